//! 200 clients with bodies of 64 MiB and 300 slow sockets, all on loopback.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use bytes::Bytes;
use modelwright_serve::{
    compress::{Encoding, deflate},
    grpc::proto::ModelInferRequest,
};
use prost::Message;

use super::{INFER, MEBIBYTE};
use crate::grpc::input;

/// Clients of each kind of body: JSON, binary, gzip, a call, a stream.
const OF_A_KIND: usize = 40;
const SLOW: usize = 300;
/// Just within the limit.
const BODY: usize = 63 * MEBIBYTE;
const PIECE: usize = 256 * 1024;
/// So that an end is noticed.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug)]
pub struct Target {
    pub http: SocketAddr,
    pub grpc: SocketAddr,
}

/// What attackers did.
#[derive(Debug, Default)]
pub struct Did {
    /// Bytes.
    pub sent: u64,
    pub begun: u64,
    pub answered: u64,
    pub refused: u64,
    /// Ended by the server without an answer that arrived.
    pub cut: u64,
    /// Slow sockets that were opened.
    pub slow: u64,
}

#[derive(Default)]
struct Counts {
    sent: AtomicU64,
    begun: AtomicU64,
    answered: AtomicU64,
    refused: AtomicU64,
    cut: AtomicU64,
    slow: AtomicU64,
}

#[derive(Default)]
struct Stop {
    told: Mutex<bool>,
    news: Condvar,
    now: AtomicBool,
}

impl Stop {
    /// Waits for so long, or until the end; gives whether it is there.
    fn wait(&self, time: Duration) -> bool {
        let told = self.told.lock().unwrap();
        *self.news.wait_timeout_while(told, time, |told| !*told).unwrap().0
    }

    fn tell(&self) {
        *self.told.lock().unwrap() = true;
        self.now.store(true, Relaxed);
        self.news.notify_all();
    }
}

/// A body as it is sent: a start, a piece again and again, an end.
struct Body {
    headers: String,
    start: Vec<u8>,
    piece: Vec<u8>,
    times: usize,
    end: Vec<u8>,
}

impl Body {
    fn length(&self) -> usize {
        self.start.len() + self.times * self.piece.len() + self.end.len()
    }

    fn json() -> Self {
        let times = BODY / PIECE;
        let elements = times * PIECE / 2 + 1;
        let start = format!(r#"{{"inputs":[{{"name":"x","datatype":"FP32","shape":[1,{elements}],"data":["#);
        Self {
            headers: String::new(),
            start: start.into(),
            piece: b"1,".repeat(PIECE / 2),
            times,
            end: b"1]}]}".to_vec(),
        }
    }

    fn binary() -> Self {
        let times = BODY / PIECE;
        let bytes = times * PIECE;
        let start = format!(
            r#"{{"inputs":[{{"name":"x","datatype":"FP32","shape":[1,{}],"parameters":{{"binary_data_size":{bytes}}}}}],"parameters":{{"binary_data_output":true}}}}"#,
            bytes / 4
        );
        Self {
            headers: format!("inference-header-content-length: {}\r\n", start.len()),
            start: start.into(),
            piece: vec![0; PIECE],
            times,
            end: Vec::new(),
        }
    }

    /// Members of gzip one after another are one text.
    fn gzip() -> Self {
        let small = |text: &[u8]| deflate(Encoding::Gzip, std::iter::once(text)).unwrap();
        let Self { start, piece, times, end, .. } = Self::json();
        Self {
            headers: "content-encoding: gzip\r\n".to_owned(),
            start: small(&start),
            piece: small(&piece),
            times,
            end: small(&end),
        }
    }
}

fn send(target: Target, body: &Body, counts: &Counts, stop: &Stop) -> std::io::Result<u16> {
    let mut stream = TcpStream::connect(target.http)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    counts.begun.fetch_add(1, Relaxed);
    let head = format!(
        "POST {INFER} HTTP/1.1\r\nhost: t\r\nconnection: close\r\ncontent-length: {}\r\n{}\r\n",
        body.length(),
        body.headers
    );
    stream.write_all(head.as_bytes())?;
    let pieces = std::iter::once(&body.start)
        .chain(std::iter::repeat_n(&body.piece, body.times))
        .chain(std::iter::once(&body.end));
    for piece in pieces {
        if stop.now.load(Relaxed) {
            return Err(ErrorKind::Interrupted.into());
        }
        // Who is refused may still read why.
        if stream.write_all(piece).is_err() {
            break;
        }
        counts.sent.fetch_add(piece.len() as u64, Relaxed);
    }
    let mut head = [0; 12];
    stream.read_exact(&mut head)?;
    let status = std::str::from_utf8(&head[9..]).ok().and_then(|code| code.parse().ok()).unwrap_or(0);
    let mut rest = vec![0; PIECE];
    loop {
        if stop.now.load(Relaxed) || stream.read(&mut rest)? == 0 {
            return Ok(status);
        }
    }
}

fn attack_over_http(target: Target, body: &Body, counts: &Counts, stop: &Stop) {
    while !stop.now.load(Relaxed) {
        match send(target, body, counts, stop) {
            Ok(200) => _ = counts.answered.fetch_add(1, Relaxed),
            Ok(_) => {
                counts.refused.fetch_add(1, Relaxed);
                // As they are told.
                stop.wait(Duration::from_secs(1));
            }
            Err(_) => {
                counts.cut.fetch_add(1, Relaxed);
                stop.wait(Duration::from_secs(1));
            }
        }
    }
}

/// A message of 63 MiB, without having it.
fn message() -> (Bytes, Bytes, usize) {
    let times = BODY / PIECE;
    let bytes = times * PIECE;
    let request = ModelInferRequest {
        model_name: "identity_fp32".to_owned(),
        inputs: vec![input("x", "FP32", &[1, i64::try_from(bytes / 4).unwrap()], None)],
        ..ModelInferRequest::default()
    };
    let mut start = request.encode_to_vec();
    // raw_input_contents, and their length.
    start.push(7 << 3 | 2);
    prost::encoding::encode_varint(bytes as u64, &mut start);
    let length = u32::try_from(start.len() + bytes).unwrap();
    let start = [&[0], &length.to_be_bytes()[..], &start].concat();
    (start.into(), vec![0; PIECE].into(), times)
}

async fn attack_over_grpc(target: Target, method: &str, messages: usize, counts: Arc<Counts>) {
    let (start, piece, times) = message();
    let http = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    loop {
        let pieces = std::iter::once(start.clone()).chain(std::iter::repeat_n(piece.clone(), times));
        let all: Vec<Bytes> = std::iter::repeat_n(pieces, messages).flatten().collect();
        let sent = Arc::clone(&counts);
        let body = futures::StreamExt::map(futures::stream::iter(all), move |piece| {
            sent.sent.fetch_add(piece.len() as u64, Relaxed);
            Ok::<_, std::io::Error>(piece)
        });
        counts.begun.fetch_add(1, Relaxed);
        let call = http
            .post(format!("http://{}/inference.GRPCInferenceService/{method}", target.grpc))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(reqwest::Body::wrap_stream(body));
        let which = match call.send().await {
            Ok(answer) if answer.headers().contains_key("grpc-status") => &counts.refused,
            Ok(mut answer) => {
                while let Ok(Some(_)) = answer.chunk().await {}
                &counts.answered
            }
            Err(_) => &counts.cut,
        };
        which.fetch_add(1, Relaxed);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// A socket that does something a second, and next to nothing.
fn slow(target: Target, kind: usize, large: &[u8]) -> std::io::Result<TcpStream> {
    let http = || TcpStream::connect_timeout(&target.http, PATIENCE);
    let mut stream = match kind {
        // The head does not end.
        0 => {
            let mut stream = http()?;
            write!(stream, "POST {INFER} HTTP/1.1\r\nhost: t\r\nx-slow: ")?;
            stream
        }
        // The body does not come.
        1 => {
            let mut stream = http()?;
            write!(stream, "POST {INFER} HTTP/1.1\r\nhost: t\r\ncontent-length: {BODY}\r\n\r\n")?;
            stream
        }
        // The answer is not taken.
        2 => {
            let mut stream = http()?;
            stream.set_write_timeout(Some(Duration::from_millis(300)))?;
            stream.write_all(large)?;
            stream
        }
        // A call that announces a message.
        3 => {
            let mut stream = TcpStream::connect_timeout(&target.grpc, PATIENCE)?;
            stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")?;
            let literal = |name: &str, value: &str| {
                let length = |text: &str| u8::try_from(text.len()).unwrap();
                [&[0, length(name)], name.as_bytes(), &[length(value)], value.as_bytes()].concat()
            };
            let head = [
                literal(":method", "POST"),
                literal(":scheme", "http"),
                literal(":path", "/inference.GRPCInferenceService/ModelInfer"),
                literal(":authority", "t"),
                literal("content-type", "application/grpc"),
                literal("te", "trailers"),
            ]
            .concat();
            stream.write_all(&[0, 0, u8::try_from(head.len()).unwrap(), 1, 4, 0, 0, 0, 1])?;
            stream.write_all(&head)?;
            stream.write_all(&[0, 0, 5, 0, 0, 0, 0, 0, 1, 0, 3, 0, 0, 0])?;
            stream
        }
        _ => unreachable!("there are four kinds"),
    };
    stream.flush()?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

fn be_slow(target: Target, counts: &Counts, stop: &Stop) {
    let elements = 3 * MEBIBYTE / 2;
    let json = format!(
        r#"{{"inputs":[{{"name":"x","datatype":"FP32","shape":[1,{elements}],"parameters":{{"binary_data_size":{}}}}}],"parameters":{{"binary_data_output":true}}}}"#,
        4 * elements
    );
    let head = format!(
        "POST {INFER} HTTP/1.1\r\nhost: t\r\ncontent-length: {}\r\ninference-header-content-length: {}\r\n\r\n{json}",
        json.len() + 4 * elements,
        json.len()
    );
    let large = [head.as_bytes(), &vec![0; 4 * elements]].concat();
    let mut sockets: Vec<Option<TcpStream>> = (0..SLOW).map(|_| None).collect();
    loop {
        for (number, socket) in sockets.iter_mut().enumerate() {
            if stop.now.load(Relaxed) {
                return;
            }
            // Few have something large to be answered.
            let kind = if number % 20 == 2 { 2 } else { [0, 1, 3][number % 3] };
            let is_open = socket.as_mut().is_some_and(|socket| match kind {
                0 | 1 => socket.write_all(b"a").is_ok(),
                // A look that takes nothing.
                _ => !matches!(socket.peek(&mut [0]), Ok(0)),
            });
            if !is_open {
                *socket = slow(target, kind, &large).ok();
                counts.slow.fetch_add(1, Relaxed);
            }
        }
        if stop.wait(Duration::from_secs(1)) {
            return;
        }
    }
}

/// All of them, until they are stopped.
pub struct Attackers {
    stop: Arc<Stop>,
    counts: Arc<Counts>,
    threads: Vec<JoinHandle<()>>,
    calls: tokio::runtime::Runtime,
}

impl Attackers {
    pub fn start(target: &Target) -> Self {
        let (target, stop, counts) = (*target, Arc::<Stop>::default(), Arc::<Counts>::default());
        let mut threads = Vec::new();
        for body in [Body::json(), Body::binary(), Body::gzip()].map(Arc::new) {
            for _ in 0..OF_A_KIND {
                let (body, counts, stop) = (Arc::clone(&body), Arc::clone(&counts), Arc::clone(&stop));
                threads.push(std::thread::spawn(move || attack_over_http(target, &body, &counts, &stop)));
            }
        }
        let (for_slow, stops) = (Arc::clone(&counts), Arc::clone(&stop));
        threads.push(std::thread::spawn(move || be_slow(target, &for_slow, &stops)));
        let calls =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        for _ in 0..OF_A_KIND {
            calls.spawn(attack_over_grpc(target, "ModelInfer", 1, Arc::clone(&counts)));
            calls.spawn(attack_over_grpc(target, "ModelStreamInfer", 3, Arc::clone(&counts)));
        }
        Self { stop, counts, threads, calls }
    }

    pub fn wait_until_they_are_at_it(&self) {
        let begun = Instant::now();
        while self.counts.begun.load(Relaxed) < 5 * OF_A_KIND as u64
            || self.counts.slow.load(Relaxed) < SLOW as u64
        {
            let Counts { begun: clients, slow, .. } = &*self.counts;
            assert!(begun.elapsed() < Duration::from_mins(1), "only {clients:?} and {slow:?} have begun");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn stop(self) -> Did {
        self.stop.tell();
        self.calls.shutdown_background();
        for thread in self.threads {
            thread.join().unwrap();
        }
        let Counts { sent, begun, answered, refused, cut, slow } = &*self.counts;
        let [sent, begun, answered, refused, cut, slow] =
            [sent, begun, answered, refused, cut, slow].map(|count| count.load(Relaxed));
        Did { sent, begun, answered, refused, cut, slow }
    }
}
