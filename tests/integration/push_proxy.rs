use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use k8s_openapi::jiff::Timestamp;
use modelwright::push_proxy::{Doors, serve};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::scenario::{ApiServer, client};

pub const KEYS: &str = "/openid/v1/jwks";
pub const UPLOAD: &str = "/v2/models/team/digits/blobs/uploads/";

/// A key of a cluster.
pub struct Key(EcdsaKeyPair);

impl Key {
    pub fn new() -> Self {
        let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self(EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap())
    }

    pub fn told(&self) -> String {
        let point = &self.0.public_key().as_ref()[1..];
        let [x, y] = [&point[..32], &point[32..]].map(|part| URL_SAFE_NO_PAD.encode(part));
        json!({"keys": [{"kid": "k", "kty": "EC", "crv": "P-256", "x": x, "y": y}]}).to_string()
    }

    fn token(&self, audience: &str) -> String {
        self.token_of("team", audience)
    }

    pub fn token_of(&self, namespace: &str, audience: &str) -> String {
        let claims = json!({"aud": [audience], "exp": Timestamp::now().as_second() + 600,
            "kubernetes.io": {"namespace": namespace}});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&json!({"alg": "ES256", "kid": "k"})), part(&claims));
        let signature = self.0.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// A place that notes what reaches it, and says 201.
pub async fn registry() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut text = String::new();
            while !text.ends_with("the blob") && !text.ends_with("\r\n\r\n") {
                text.push(char::from(stream.read_u8().await.unwrap()));
                // the body follows
                if text.ends_with("\r\n\r\n") && text.contains("content-length: 8") {
                    let mut body = [0; 8];
                    stream.read_exact(&mut body).await.unwrap();
                    text.push_str(&String::from_utf8_lossy(&body));
                }
            }
            notes.lock().unwrap().push(text);
            let answer = "HTTP/1.1 201 Created\r\nlocation: /there\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (address, seen)
}

/// What the proxy listens on, and where pushes go.
pub async fn doors() -> (Doors, SocketAddr) {
    let [push, probe] = [TcpListener::bind("127.0.0.1:0").await, TcpListener::bind("127.0.0.1:0").await];
    let doors = Doors { push: push.unwrap(), probe: probe.unwrap() };
    let address = doors.push.local_addr().unwrap();
    (doors, address)
}

/// Asks the proxy this by each of these headers, and gives the answers and what reached the registry; `cluster` answers what
/// the API server is asked.
async fn asked(
    path: &str,
    headers: &[String],
    cluster: impl AsyncFnOnce(&mut ApiServer),
) -> (Vec<String>, Vec<String>) {
    let (client, mut server) = client();
    let (registry, seen) = registry().await;
    let (doors, address) = doors().await;
    let ask = async {
        let mut answers = Vec::new();
        for header in headers {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let request = format!(
                "POST {path} HTTP/1.1\r\nhost: store:5001\r\ncontent-length: 8\r\nconnection: close\r\n{header}\r\n\r\nthe blob"
            );
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answers.push(answer);
        }
        answers
    };
    let answers = tokio::select! {
        () = serve(&doors, client, registry, "models".into()) => panic!("it ended"),
        (answers, ()) = async { tokio::join!(ask, cluster(&mut server)) } => answers,
    };
    let seen = seen.lock().unwrap().clone();
    (answers, seen)
}

pub fn bearer(token: &str) -> String {
    format!("authorization: Bearer {token}")
}

#[tokio::test]
async fn what_carries_the_token_of_its_repository_is_passed_on_without_it() {
    let key = Key::new();
    let token = key.token("modelwright-store:digits");
    let basic = format!("authorization: basic {}", STANDARD.encode(format!("any:{token}")));
    let path = format!("{UPLOAD}?mount=a&from=b");
    // One look at the keys is enough for both.
    let (answers, seen) = asked(&path, &[bearer(&token), basic], async |server: &mut ApiServer| {
        server.expect("GET", KEYS).await.text(key.told());
    })
    .await;
    assert_eq!(seen.len(), 2, "{answers:?}");
    for (answer, seen) in answers.iter().zip(&seen) {
        assert!(
            answer.starts_with("HTTP/1.1 201 Created\r\n") && answer.contains("location: /there"),
            "{answer}"
        );
        assert!(seen.starts_with(&format!("POST {path} HTTP/1.1\r\n")), "{seen}");
        assert!(seen.contains("host: store:5001\r\n"), "what it makes addresses of: {seen}");
        assert!(seen.ends_with("the blob"), "{seen}");
        assert!(!seen.to_lowercase().contains("authorization") && !seen.contains(&token), "{seen}");
    }
}

#[tokio::test]
async fn nothing_else_reaches_the_registry() {
    let (key, stranger) = (Key::new(), Key::new());
    let headers = [
        "accept: */*".to_owned(),
        "authorization: Basic YWRhOnB3".to_owned(),
        bearer("a.b.c"),
        bearer(&stranger.token("modelwright-store:digits")),
        bearer(&key.token("https://kubernetes.default.svc")),
        bearer(&key.token("modelwright-store:wine")),
    ];
    let (answers, seen) = asked(UPLOAD, &headers, async |server: &mut ApiServer| {
        server.expect("GET", KEYS).await.text(key.told());
    })
    .await;
    assert_eq!(seen, Vec::<String>::new());
    for (answer, header) in answers[..5].iter().zip(&headers) {
        assert!(answer.starts_with("HTTP/1.1 401 "), "{header}: {answer}");
        assert!(answer.contains("www-authenticate: Basic realm="), "{header}: {answer}");
        assert!(answer.contains("kubectl create token default --namespace NAMESPACE --audience"), "{answer}");
    }
    assert!(answers[5].starts_with("HTTP/1.1 403 "), "{}", answers[5]);
    assert!(
        answers[5].contains("the token lets push to models/team/wine, and to nothing else"),
        "{}",
        answers[5]
    );
    // Nor does the right one lead to what belongs to nobody.
    let own = [bearer(&key.token("modelwright-store:digits"))];
    for path in ["/v2/_catalog", "/v2/models/team/digits/../wine/blobs/uploads/", "/debug/vars", "/", "*"] {
        let (answers, seen) = asked(path, &own, async |server: &mut ApiServer| {
            server.expect("GET", KEYS).await.text(key.told());
        })
        .await;
        assert!(answers[0].starts_with("HTTP/1.1 403 ") && seen.is_empty(), "{path}: {answers:?} {seen:?}");
    }
}

/// A cluster that cannot be asked is no reason to give up what was trained.
#[tokio::test]
async fn while_the_cluster_does_not_tell_its_keys_a_push_is_put_off() {
    let key = Key::new();
    let own = [bearer(&key.token("modelwright-store:digits"))];
    let (answers, seen) = asked(UPLOAD, &own, async |server: &mut ApiServer| {
        server.expect("GET", KEYS).await.error(403, "Forbidden", "no rights on keys");
    })
    .await;
    let [answer] = &answers[..] else { panic!("{answers:?}") };
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after: 2"), "{answer}");
    assert!(answer.contains("no rights on keys") && seen.is_empty(), "{answer}");
}

/// Any other token of the cluster would be signed like it, so trying again is in vain.
#[tokio::test]
async fn a_cluster_whose_keys_cannot_be_checked_is_told_so_at_once() {
    let own = [bearer(&Key::new().token("modelwright-store:digits"))];
    let (answers, seen) = asked(UPLOAD, &own, async |server: &mut ApiServer| {
        let key = json!({"kid": "k", "kty": "EC", "crv": "P-521", "alg": "ES512", "x": "AQ", "y": "Ag"});
        server.expect("GET", KEYS).await.text(json!({"keys": [key]}).to_string());
    })
    .await;
    let [answer] = &answers[..] else { panic!("{answers:?}") };
    assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("signed by ES512"), "{answer}");
    assert!(answer.contains("use a store of your own") && seen.is_empty(), "{answer} {seen:?}");
}
