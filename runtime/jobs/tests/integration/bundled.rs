use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use modelwright_contract::publish::Push;
use modelwright_jobs::{
    network::{RetryPolicy, Timeouts, address::AddressPolicy, credentials::Secret},
    publish::{self, recall},
    store::{Access, Reference, Registry},
};
use reqwest::{Method, StatusCode};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    publish::Work,
    support::{
        Volume, files, onnx, options,
        programs::{Program, free_address},
        server::{Server, ok},
        sha256, short,
    },
};

const RUN: &str = "0a1b2c3d-0000-4000-8000-00000000000a";

/// A key that a cluster signs tokens with.
struct Key {
    id: &'static str,
    pair: EcdsaKeyPair,
}

impl Key {
    fn new(id: &'static str) -> Self {
        let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self { id, pair: EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap() }
    }

    fn public(&self) -> Value {
        let point = &self.pair.public_key().as_ref()[1..];
        let [x, y] = [&point[..32], &point[32..]].map(|part| URL_SAFE_NO_PAD.encode(part));
        json!({"use": "sig", "kty": "EC", "kid": self.id, "crv": "P-256", "alg": "ES256", "x": x, "y": y})
    }

    /// A token as the kubelet gets it for a pod of a namespace, which expires in so many seconds.
    fn token(&self, namespace: &str, audience: &str, seconds: i64) -> String {
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
        let claims = json!({"aud": [audience], "exp": now + seconds, "iat": now, "nbf": now - 3600,
            "kubernetes.io": {"namespace": namespace, "pod": {"name": "digits-0", "uid": "u"}},
            "sub": format!("system:serviceaccount:{namespace}:default")});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&json!({"alg": "ES256", "kid": self.id})), part(&claims));
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// The pod of the chart's own store, with the chart's own configuration: a registry that is read, one that is written over
/// the same files, and the operator's executable before it. The API server is one that tells keys.
pub struct Bundled {
    pub read: Program,
    write: Program,
    pub proxy: Option<Program>,
    pub push: SocketAddr,
    key: Key,
    keys: Arc<Mutex<Value>>,
    cluster: Server,
    folder: TempDir,
}

impl Bundled {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("registry");
        fs::create_dir(&root).unwrap();
        let of = |name: &str, listens: &str, address: SocketAddr| {
            let text = configured(name);
            assert!(text.contains(listens) && text.contains("/var/lib/registry"), "{text}");
            text.replace(listens, &format!("addr: {address}"))
                .replace("/var/lib/registry", root.to_str().unwrap())
        };
        let [read, write, push] = [free_address(), free_address(), free_address()];
        let key = Key::new("one");
        let keys = Arc::new(Mutex::new(json!({"keys": [key.public()]})));
        let told = keys.clone();
        let cluster = Server::start(move |request| {
            assert_eq!(request.path, "/openid/v1/jwks");
            ok(&told.lock().unwrap().to_string())
        })
        .await;
        let mut bundled = Self {
            read: Program::registry_with(read, &of("read.yml", "addr: :5000", read)).await,
            write: Program::registry_with(write, &of("write.yml", "addr: localhost:5002", write)).await,
            proxy: None,
            push,
            key,
            keys,
            cluster,
            folder,
        };
        bundled.start_proxy().await;
        bundled
    }

    async fn start_proxy(&mut self) {
        let cluster = format!("http://{}", self.cluster.host());
        self.proxy = Some(Program::push_proxy(self.push, &self.write.host(), "models", &cluster).await);
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("registry")
    }

    /// A file as the kubelet keeps it.
    fn token_file(&self, token: &str) -> PathBuf {
        let file = self.folder.path().join("token");
        fs::write(&file, token).unwrap();
        file
    }

    pub fn token(&self) -> String {
        self.key.token("team", "modelwright-store:digits", 600)
    }

    /// A Model of the namespace `team` that is published to it.
    pub fn work(&self, token: &str) -> Work {
        let mut work = Work::new(&self.read.host(), &onnx::adder());
        let token_file = self.token_file(token).to_str().unwrap().to_owned();
        work.config.store.push = Some(Push { host: self.push.to_string(), token_file });
        work.config.store_retry_seconds = 60;
        work
    }

    fn is_empty(&self) -> bool {
        files(&self.root()).is_empty()
    }
}

/// What the chart has a registry run with.
fn configured(name: &str) -> String {
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts/modelwright/templates/store.yaml");
    let chart = fs::read_to_string(chart).unwrap();
    let (_, after) = chart.split_once(&format!("\n  {name}: |\n")).unwrap();
    let lines = after.lines().map_while(|line| line.strip_prefix("    "));
    lines.collect::<Vec<_>>().join("\n")
}

pub async fn asked(method: Method, url: &str, token: Option<&str>) -> (StatusCode, String) {
    let mut request = reqwest::Client::new().request(method, url).body("{}");
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let answer = request.send().await.unwrap();
    (answer.status(), answer.text().await.unwrap())
}

/// Everything by which something is written to a repository.
fn writes(host: &str, repository: &str) -> [(Method, String); 4] {
    let base = format!("http://{host}/v2/{repository}");
    let digest = format!("sha256:{}", sha256("{}"));
    [
        (Method::POST, format!("{base}/blobs/uploads/")),
        (Method::POST, format!("{base}/blobs/uploads/?digest={digest}")),
        (Method::PUT, format!("{base}/manifests/run-{RUN}")),
        (Method::DELETE, format!("{base}/manifests/{digest}")),
    ]
}

#[tokio::test]
async fn the_port_that_is_read_takes_nothing_from_anybody() {
    let bundled = Bundled::start().await;
    let host = bundled.read.host();
    assert_eq!(asked(Method::GET, &format!("http://{host}/v2/"), None).await.0, 200);
    for (method, url) in writes(&host, "models/team/digits") {
        for token in [None, Some(bundled.token())] {
            let (status, words) = asked(method.clone(), &url, token.as_deref()).await;
            assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{method} {url}: {words}");
        }
    }
    assert!(bundled.is_empty(), "{:?}", files(&bundled.root()));
}

#[tokio::test]
async fn nobody_pushes_without_a_token_for_this_repository_of_this_cluster_that_holds_now() {
    let bundled = Bundled::start().await;
    let stranger = Key::new("one");
    let unknown = Key::new("two");
    let of =
        |key: &Key, namespace: &str, audience: &str, seconds| Some(key.token(namespace, audience, seconds));
    let digits = "modelwright-store:digits";
    let forged = {
        let token = bundled.token();
        let (head, signature) = token.rsplit_once('.').unwrap();
        let (header, _) = head.split_once('.').unwrap();
        let claims = bundled.key.token("other", "modelwright-store:digits", 600);
        let claims = claims.split('.').nth(1).unwrap().to_owned();
        format!("{header}.{claims}.{signature}")
    };
    let unsigned = {
        let token = bundled.token();
        let claims = token.split('.').nth(1).unwrap().to_owned();
        format!("{}.{claims}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none","kid":"one"}"#))
    };
    for (what, token, code, words) in [
        ("no token", None, 401, "no token is shown"),
        ("no token at all", Some("let-me-in".into()), 401, "none of a ServiceAccount"),
        (
            "that of the API",
            of(&bundled.key, "team", "https://kubernetes.default.svc", 600),
            401,
            "for others",
        ),
        ("one that has expired", of(&bundled.key, "team", digits, -61), 401, "expired"),
        (
            "that of a stranger who took the key's name",
            of(&stranger, "team", digits, 600),
            401,
            "does not hold",
        ),
        ("that of a key of no cluster", of(&unknown, "team", digits, 600), 401, "does not have"),
        ("one that says another namespace", Some(forged), 401, "does not hold"),
        ("one without a signature", Some(unsigned), 401, "does not hold"),
        (
            "that of another Model",
            of(&bundled.key, "team", "modelwright-store:wine", 600),
            403,
            "models/team/wine",
        ),
        ("that of another namespace", of(&bundled.key, "other", digits, 600), 403, "models/other/digits"),
    ] {
        for (method, url) in writes(&bundled.push.to_string(), "models/team/digits") {
            let (status, said) = asked(method.clone(), &url, token.as_deref()).await;
            assert_eq!(status.as_u16(), code, "{what}: {method} {url}: {said}");
            assert!(said.contains(words), "{what}: {said}");
        }
    }
    // Nor does the right token lead elsewhere.
    let token = bundled.token();
    for repository in
        ["models/team/digits2", "models/team/digits/deeper", "models/team", "demo/mnist", "digits"]
    {
        for (method, url) in writes(&bundled.push.to_string(), repository) {
            let (status, said) = asked(method.clone(), &url, Some(&token)).await;
            assert_eq!(status, StatusCode::FORBIDDEN, "{method} {url}: {said}");
        }
    }
    assert!(bundled.is_empty(), "{:?}", files(&bundled.root()));
    // The same questions with it write, so that they were the right ones.
    let [upload, ..] = writes(&bundled.push.to_string(), "models/team/digits");
    assert_eq!(asked(upload.0, &upload.1, Some(&token)).await.0, StatusCode::ACCEPTED);
    assert!(!bundled.is_empty());
}

#[tokio::test]
async fn publish_writes_with_its_token_and_tells_the_address_that_is_read() {
    let bundled = Bundled::start().await;
    let mut work = bundled.work(&bundled.token());
    let notes = work.folder.path().join("notes");
    fs::create_dir(&notes).unwrap();
    let fetched = modelwright_contract::report::FetchReport {
        sha256: "e".repeat(64),
        size_bytes: 1,
        files: 1,
        test_sha256: None,
    };
    recall::leave_fetched(&notes, &fetched);
    work.options.fetched_directory = notes;
    work.options.run = Some(RUN.to_owned());
    let published = publish::run(&work.config, &work.options).await.unwrap();
    let expected =
        format!("oci://{}/models/team/digits@sha256:{}", bundled.read.host(), published.artifact_sha256);
    assert_eq!(published.artifact_uri, expected);
    // Neither the pods that serve nor those that read a report have a token.
    let mut volume = Volume::new(&published.artifact_uri);
    volume.config.plain_http = true;
    volume.fetch().await.unwrap();
    assert!(volume.files().contains(&"model.onnx".to_owned()));
    let mut config = work.config.clone();
    (config.store.push, config.recall) = (None, Some(RUN.to_owned()));
    let report = recall::recall(&config, &work.options).await.unwrap();
    assert_eq!(report.publish.artifact_uri, expected);
    // Once more, as an attempt after one that was cut off.
    let again = publish::run(&work.config, &work.options).await.unwrap();
    assert_eq!(again.artifact_uri, expected);
}

#[tokio::test]
async fn a_token_that_is_not_taken_yet_is_asked_for_again_until_the_kubelet_and_the_cluster_have_the_next() {
    let bundled = Bundled::start().await;
    let next = Key::new("next");
    let work = bundled.work(&bundled.key.token("team", "modelwright-store:digits", -600));
    let file = bundled.folder.path().join("token");
    let renewed = async {
        let said = |words: &str| {
            fs::read_to_string(bundled.proxy.as_ref().unwrap().words()).unwrap().contains(words)
        };
        until(|| said("expired"), "the first token is refused").await;
        fs::write(&file, next.token("team", "modelwright-store:digits", 600)).unwrap();
        until(|| said("does not have"), "the next is refused, whose key is not told yet").await;
        *bundled.keys.lock().unwrap() = json!({"keys": [next.public()]});
    };
    let (published, ()) = tokio::join!(publish::run(&work.config, &work.options), renewed);
    published.unwrap();
    assert!(bundled.cluster.seen().len() > 1, "the cluster was asked for its keys again");
    // One that stays wrong may pass, for all that is known, and costs the run no more than a try.
    let work = bundled.work(&bundled.token());
    let mut config = work.config.clone();
    config.store_retry_seconds = 1;
    let error = publish::run(&config, &work.options).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert!(error.to_string().contains("401 Unauthorized"), "{error}");
}

/// What an upload has while it goes on.
fn uploads(root: &Path) -> Vec<PathBuf> {
    let folder = root.join("docker/registry/v2/repositories/models/team/digits/_uploads");
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

pub async fn until(holds: impl Fn() -> bool, what: &str) {
    for _ in 0..3000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what} within 30 s");
}

#[tokio::test]
async fn an_upload_in_parts_goes_on_where_it_was_when_the_proxy_comes_back() {
    let mut bundled = Bundled::start().await;
    let file = bundled.folder.path().join("blob");
    let bytes: Vec<u8> = (0..=250_u8).cycle().take(48 * 1024 * 1024).collect();
    fs::write(&file, &bytes).unwrap();
    let digest = format!("sha256:{}", sha256(&bytes));
    let secret =
        Secret::of_token(&bundled.push.to_string(), &bundled.token_file(&bundled.token()), "the token");
    let retry = RetryPolicy { limit: Duration::from_mins(1), retries: 200, ..options().retry };
    let access = Access {
        secret: Some(&secret),
        plain_http: true,
        policy: AddressPolicy { allow_private: false, allow_loopback: true },
        timeouts: Timeouts { answer: Duration::from_secs(30), ..short() },
        retry: RetryPolicy { longest_delay: Duration::from_millis(200), ..retry },
        chunk: 64 * 1024,
    };
    let reference = Reference::parse(&format!("{}/models/team/digits", bundled.push)).unwrap();
    let client = Registry::new(reference, access).unwrap();
    let root = bundled.root();
    let upload = client.push_blob(&file, &digest, bytes.len() as u64);
    let cut = async {
        let has_some =
            |place: &PathBuf| fs::metadata(place.join("data")).is_ok_and(|data| data.len() > 1 << 20);
        until(|| uploads(&root).iter().any(has_some), "a megabyte is there").await;
        bundled.proxy = None;
        let begun = uploads(&root);
        assert_eq!(begun.len(), 1, "it had not ended: {begun:?}");
        bundled.start_proxy().await;
        begun
    };
    let (sent, begun) = tokio::join!(upload, cut);
    assert!(sent.unwrap(), "it was sent");
    // Begun anew, it would have left the first one behind.
    assert!(!begun[0].exists() && uploads(&root).is_empty(), "{:?}", uploads(&root));
    let read = format!("http://{}/v2/models/team/digits/blobs/{digest}", bundled.read.host());
    let read = reqwest::get(read).await.unwrap().bytes().await.unwrap();
    assert_eq!(sha256(&read), sha256(&bytes));
}
