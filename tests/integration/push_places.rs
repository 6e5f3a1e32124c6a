use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use modelwright::push_proxy::serve;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};

use crate::{
    push_proxy::{Key, bearer, doors},
    scenario::client,
};

/// Connections that a namespace may have, all that have shown no token, and those that probe.
const OF_NAMESPACE: usize = 32;
const STRANGERS: usize = 128;
const PROBES: usize = 64;

/// A proxy with a cluster that tells its key, and a registry that answers at once, but what concerns the namespace `team`:
/// that it holds, for a test to answer.
struct Stage {
    push: SocketAddr,
    probe: SocketAddr,
    key: Key,
    held: UnboundedReceiver<(String, TcpStream)>,
}

impl Stage {
    async fn new() -> Self {
        let (client, mut server) = client();
        let registry = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let behind = registry.local_addr().unwrap().to_string();
        let (doors, push) = doors().await;
        let (probe, key) = (doors.probe.local_addr().unwrap(), Key::new());
        let told = key.told();
        let (holds, waiting) = unbounded_channel();
        tokio::spawn(async move {
            loop {
                server.next().await.text(told.clone());
            }
        });
        tokio::spawn(async move {
            while let Ok((stream, _)) = registry.accept().await {
                tokio::spawn(answered(stream, holds.clone()));
            }
        });
        tokio::spawn(async move { serve(&doors, client, behind, "models".into()).await });
        Self { push, probe, key, held: waiting }
    }

    /// A request of a namespace without its body.
    fn head(&self, namespace: &str, method: &str, more: &str) -> String {
        let token = bearer(&self.key.token_of(namespace, "modelwright-store:digits"));
        let path = format!("/v2/models/{namespace}/digits/blobs/uploads/1");
        format!(
            "{method} {path} HTTP/1.1\r\nhost: store:5001\r\nconnection: close\r\n{token}\r\n{more}\r\n\r\n"
        )
    }

    async fn pushes(&self, namespace: &str) -> String {
        let head = self.head(namespace, "PATCH", "content-length: 8");
        whole(open(self.push, &format!("{head}the blob")).await).await
    }

    async fn is_well(&self) {
        for path in ["/healthz", "/readyz"] {
            let answer = open(self.probe, &format!("GET {path} HTTP/1.1\r\nhost: store\r\n\r\n")).await;
            let answer = whole(answer).await;
            assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
        }
    }
}

async fn answered(mut stream: TcpStream, holds: UnboundedSender<(String, TcpStream)>) {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(char::from(byte));
    }
    if head.contains("/team/") {
        let _ = holds.send((head, stream));
    } else {
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        let _ = stream.write_all(answer.as_bytes()).await;
    }
}

async fn open(address: SocketAddr, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

/// The same of another address than everybody else's.
async fn open_elsewhere(address: SocketAddr, text: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::new(127, 0, 0, 2), 0).into()).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

/// All that comes, as far as it comes.
async fn whole(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(Duration::from_mins(2), stream.read_to_end(&mut bytes)).await;
    let _ = read.expect("it ends");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Sooner than any time limit would end it.
async fn is_sent_away(mut stream: TcpStream) {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await;
    let _ = read.expect("it keeps its place");
    assert_eq!(String::from_utf8_lossy(&answer), "");
}

#[tokio::test]
async fn a_namespace_that_holds_all_its_places_stops_no_other_and_no_probe() {
    let mut stage = Stage::new().await;
    let head = stage.head("team", "PATCH", "content-length: 8");
    let mut pushing = Vec::new();
    for _ in 0..OF_NAMESPACE {
        pushing.push((open(stage.push, &head).await, stage.held.recv().await.unwrap()));
    }
    let refused = stage.pushes("team").await;
    assert!(refused.starts_with("HTTP/1.1 429 ") && refused.contains("retry-after: 2"), "{refused}");
    assert!(refused.contains("the namespace team has 32 connections already"), "{refused}");
    assert!(stage.pushes("other").await.starts_with("HTTP/1.1 200 "));
    stage.is_well().await;
    // All that it had goes on, and a place that is given back is there for the next.
    let (mut client, (_, mut registry)) = pushing.pop().unwrap();
    client.write_all(b"the blob").await.unwrap();
    registry.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    let accepted = whole(client).await;
    assert!(accepted.starts_with("HTTP/1.1 202 "), "{accepted}");
    let _next = open(stage.push, &head).await;
    stage.held.recv().await.unwrap();
}

#[tokio::test]
async fn those_who_show_no_token_take_no_place_of_those_who_do() {
    let mut stage = Stage::new().await;
    let head = stage.head("team", "PATCH", "content-length: 8");
    let pushing = (open(stage.push, &head).await, stage.held.recv().await.unwrap());
    let mut strangers = Vec::new();
    for _ in 0..2 * STRANGERS {
        strangers.push(open(stage.push, "PATCH /v2/models/team/digits/blobs/").await);
    }
    // All their places are taken: whoever came first had to go for whoever came last, long before its time was over.
    for stranger in strangers.drain(..STRANGERS) {
        is_sent_away(stranger).await;
    }
    assert!(stage.pushes("other").await.starts_with("HTTP/1.1 200 "));
    stage.is_well().await;
    let (mut client, (_, mut registry)) = pushing;
    client.write_all(b"the blob").await.unwrap();
    registry.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    assert!(whole(client).await.starts_with("HTTP/1.1 202 "), "what was under way was left alone");
}

#[tokio::test]
async fn the_probes_own_port_answers_whoever_else_is_there() {
    let stage = Stage::new().await;
    let mut idle = Vec::new();
    for _ in 0..2 * PROBES {
        idle.push(open(stage.probe, "GET /healthz").await);
    }
    is_sent_away(idle.remove(0)).await;
    stage.is_well().await;
    let elsewhere = open(stage.probe, "GET /v2/ HTTP/1.1\r\nhost: store\r\n\r\n").await;
    let elsewhere = whole(elsewhere).await;
    assert!(elsewhere.starts_with("HTTP/1.1 404 "), "{elsewhere}");
}

/// Whoever opens connections faster than others send their heads would stop every push and the probes by that.
#[tokio::test]
async fn one_that_opens_many_takes_no_place_of_those_that_came_before() {
    let stage = Stage::new().await;
    let head = stage.head("other", "PATCH", "content-length: 8");
    let (begun, rest) = head.split_at(20);
    let mut pushing = open(stage.push, begun).await;
    let mut probing = open(stage.probe, "GET /readyz HTTP/1.1\r\nhost: store\r\n").await;
    for (address, places) in [(stage.push, STRANGERS), (stage.probe, PROBES)] {
        let mut many = Vec::new();
        for _ in 0..2 * places {
            many.push(open_elsewhere(address, "GET /").await);
        }
        // It goes for one of its own last: all were taken in.
        is_sent_away(many.swap_remove(places - 1)).await;
    }
    pushing.write_all(format!("{rest}the blob").as_bytes()).await.unwrap();
    let pushed = whole(pushing).await;
    assert!(pushed.starts_with("HTTP/1.1 200 "), "{pushed:?}");
    probing.write_all(b"\r\n").await.unwrap();
    let probed = whole(probing).await;
    assert!(probed.starts_with("HTTP/1.1 200 "), "{probed:?}");
}

/// As one that moves a large layer to its place.
#[tokio::test]
async fn a_registry_may_take_its_time_with_what_came_whole() {
    let mut stage = Stage::new().await;
    let head = stage.head("team", "PUT", "expect: 100-continue\r\ncontent-length: 8");
    let mut client = open(stage.push, &head).await;
    let (_, mut registry) = stage.held.recv().await.unwrap();
    let mut goes_on = [0; 25];
    client.read_exact(&mut goes_on).await.unwrap();
    assert_eq!(&goes_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    client.write_all(b"the blob").await.unwrap();
    let mut came = [0; 8];
    registry.read_exact(&mut came).await.unwrap();
    tokio::time::pause();
    tokio::time::sleep(Duration::from_mins(30)).await;
    registry.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    let answer = whole(client).await;
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
}

#[tokio::test]
async fn requests_that_come_at_once_are_answered_one_after_the_other() {
    let stage = Stage::new().await;
    let last = stage.head("other", "PATCH", "content-length: 8");
    let first = last.replace("connection: close\r\n", "");
    let all = format!("{first}the blob{first}the blob{last}the blob");
    let answers = whole(open(stage.push, &all).await).await;
    assert_eq!(answers.matches("HTTP/1.1 200 ").count(), 3, "{answers}");
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_is_let_go() {
    let mut stage = Stage::new().await;
    let _client = open(stage.push, &stage.head("team", "GET", "accept: */*")).await;
    let (_, mut registry) = stage.held.recv().await.unwrap();
    registry.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\n").await.unwrap();
    let bytes = vec![0; 1 << 20];
    let blocked = async { while registry.write_all(&bytes).await.is_ok() {} };
    let blocked = tokio::time::timeout(Duration::from_secs(1), blocked).await;
    blocked.expect_err("nothing is held for a client without end, and nobody is let go at once");
    // all that is left to happen is that time goes by
    tokio::time::pause();
    let let_go = async { while registry.write_all(&bytes).await.is_ok() {} };
    tokio::time::timeout(Duration::from_mins(5), let_go).await.expect("it keeps its place for ever");
}

/// A client that is gone without a word, or that means harm, would keep its place for ever.
#[tokio::test]
async fn a_body_that_stops_coming_gives_its_place_back() {
    let mut stage = Stage::new().await;
    let head = stage.head("team", "PATCH", "content-length: 8");
    let client = open(stage.push, &format!("{head}the ")).await;
    let (_, mut registry) = stage.held.recv().await.unwrap();
    let mut came = [0; 4];
    registry.read_exact(&mut came).await.unwrap();
    assert_eq!(&came, b"the ");
    tokio::time::pause();
    let answer = whole(client).await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("too little of it came"), "{answer}");
    assert_eq!(registry.read(&mut [0; 8]).await.unwrap_or(0), 0, "the registry is not left waiting either");
}

#[tokio::test]
async fn a_body_that_drips_gives_its_place_back() {
    let mut stage = Stage::new().await;
    let head = stage.head("team", "PATCH", "content-length: 1000");
    let (mut client, mut drips) = open(stage.push, &head).await.into_split();
    let (_, mut registry) = stage.held.recv().await.unwrap();
    tokio::time::pause();
    // Time goes by only where it is told to, as long as something is to be done.
    tokio::spawn(async {
        loop {
            tokio::task::yield_now().await;
        }
    });
    let drip = async {
        let mut dripped = 0;
        for _ in 0..100 {
            drips.write_all(b"b").await.unwrap();
            if registry.read_u8().await.is_err() {
                std::future::pending::<()>().await;
            }
            dripped += 1;
            tokio::time::advance(Duration::from_secs(25)).await;
        }
        dripped
    };
    let mut answer = vec![0; 12];
    tokio::select! {
        dripped = drip => panic!("{dripped} bytes took their time"),
        read = client.read_exact(&mut answer) => { read.unwrap(); }
    }
    assert_eq!(answer, b"HTTP/1.1 408");
}

#[tokio::test]
async fn a_head_that_drips_gives_its_place_back() {
    let stage = Stage::new().await;
    let (mut client, mut drips) = open(stage.push, "GET /").await.into_split();
    tokio::time::pause();
    let drip = async {
        for _ in 0..100 {
            tokio::time::sleep(Duration::from_secs(20)).await;
            if drips.write_all(b"b").await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let mut answer = Vec::new();
    tokio::select! {
        () = drip => panic!("it took its time"),
        _ = client.read_to_end(&mut answer) => assert_eq!(String::from_utf8_lossy(&answer), ""),
    }
}

#[tokio::test]
async fn a_body_that_is_not_as_the_protocol_has_it_is_the_clients_fault() {
    let mut stage = Stage::new().await;
    let head = stage.head("team", "PATCH", "transfer-encoding: chunked");
    for body in ["zz\r\nthe blob\r\n0\r\n\r\n", "4\r\nthe blob\r\n0\r\n\r\n", "fffffffffffffffff\r\n"] {
        let answer = whole(open(stage.push, &format!("{head}{body}")).await).await;
        let _ = stage.held.try_recv();
        assert!(
            answer.starts_with("HTTP/1.1 400 ") && answer.contains("it cannot be read"),
            "{body:?}: {answer}"
        );
    }
    let gone = stage.pushes("other").await;
    assert!(gone.starts_with("HTTP/1.1 200 "), "{gone}");
}
