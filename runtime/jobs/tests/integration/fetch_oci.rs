use std::{collections::BTreeMap, fs};

use modelwright_contract::fetch::FetchKind;
use modelwright_jobs::{
    network::{Timeouts, address::AddressPolicy, credentials::Secret},
    store::{
        Access, DEFAULT_CHUNK, Reference, Registry,
        manifest::{self, Descriptor, Manifest},
    },
};

use crate::support::{
    Volume, files, options,
    programs::Program,
    secret,
    server::{Server, ok, redirect, status, with_headers},
    sha256,
};

/// A layer to push: its path, content, media type and the annotation that holds the path.
pub type Layer<'a> = (&'a str, &'a str, &'a str, &'a str);

pub fn file<'a>(path: &'a str, content: &'a str) -> Layer<'a> {
    (path, content, "application/octet-stream", manifest::TITLE)
}

fn descriptor(content: &str, media_type: &str) -> Descriptor {
    Descriptor {
        media_type: media_type.to_owned(),
        digest: format!("sha256:{}", sha256(content)),
        size: content.len() as u64,
        annotations: BTreeMap::new(),
    }
}

fn manifest_of(layers: &[Layer<'_>]) -> Vec<u8> {
    let layers = layers.iter().map(|(path, content, media_type, annotation)| Descriptor {
        annotations: BTreeMap::from([((*annotation).to_owned(), (*path).to_owned())]),
        ..descriptor(content, media_type)
    });
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(manifest::MANIFEST.to_owned()),
        artifact_type: None,
        config: descriptor("{}", "application/vnd.oci.empty.v1+json"),
        layers: layers.collect(),
        annotations: BTreeMap::new(),
    };
    serde_json::to_vec(&manifest).unwrap()
}

pub fn registry(host: &str, keys: Option<&[(&str, &str)]>) -> Registry {
    let folder = keys.map(secret);
    let directory = folder.as_ref().map(|folder| folder.path().to_str().unwrap());
    let secret = Secret::read(directory, "the Secret").unwrap();
    let access = Access {
        secret: secret.as_ref(),
        plain_http: true,
        policy: AddressPolicy { allow_private: false, allow_loopback: true },
        timeouts: Timeouts::default(),
        retry: options().retry,
        chunk: DEFAULT_CHUNK,
    };
    Registry::new(Reference::parse(&format!("{host}/models/digits")).unwrap(), access).unwrap()
}

/// Pushes an artifact under a tag and gives its digest.
pub async fn push(registry: &Registry, tag: &str, layers: &[Layer<'_>]) -> String {
    let folder = tempfile::tempdir().unwrap();
    for content in layers.iter().map(|layer| layer.1).chain(["{}"]) {
        let path = folder.path().join("blob");
        fs::write(&path, content).unwrap();
        let digest = format!("sha256:{}", sha256(content));
        registry.push_blob(&path, &digest, content.len() as u64).await.unwrap();
    }
    let manifest = manifest_of(layers);
    registry.push_manifest(tag, &manifest).await.unwrap();
    sha256(manifest)
}

pub fn volume(host: &str, rest: &str) -> Volume {
    let mut volume = Volume::new(&format!("oci://{host}/models/digits{rest}"));
    volume.config.plain_http = true;
    volume
}

#[tokio::test]
async fn an_artifact_of_any_tool_is_fetched_by_tag_and_by_digest() {
    let program = Program::registry("").await;
    let host = program.host();
    let layers =
        [file("README.md", "read me"), file("onnx/net.onnx", "graph"), file("onnx/net.data", "weights")];
    let digest = push(&registry(&host, None), "v1", &layers).await;
    for rest in [":v1", &format!("@sha256:{digest}"), &format!(":v1@sha256:{digest}")] {
        let volume = volume(&host, rest).pinned(&digest);
        let report = volume.fetch().await.unwrap();
        assert_eq!((report.sha256.as_str(), report.files, report.size_bytes), (&*digest, 2, 12));
        assert_eq!(volume.files(), ["model.onnx", "net.data"]);
    }
    // A digest in `sha256` alone is enough, without any tag.
    volume(&host, "").pinned(&digest).fetch().await.unwrap();
}

#[tokio::test]
async fn a_published_artifact_is_restored_as_its_folder_and_only_by_digest() {
    let program = Program::registry("").await;
    let layers = [
        ("model.onnx", "graph", manifest::WEIGHT, manifest::FILE_PATH),
        ("modelwright/description.json", "{}", manifest::DOCUMENT, manifest::FILE_PATH),
    ];
    let digest = push(&registry(&program.host(), None), "v1", &layers).await;
    for kind in [FetchKind::Artifact, FetchKind::Source] {
        let mut volume = volume(&program.host(), "").pinned(&digest);
        volume.config.kind = kind;
        volume.fetch().await.unwrap();
        assert_eq!(volume.files(), ["model.onnx", "modelwright/description.json"]);
    }
    let mut unpinned = volume(&program.host(), ":v1");
    unpinned.config.kind = FetchKind::Artifact;
    assert_eq!(unpinned.refused().await, "InvalidDigest");
}

#[tokio::test]
async fn another_digest_than_pinned_is_refused_before_any_layer_comes() {
    let program = Program::registry("").await;
    let digest = push(&registry(&program.host(), None), "v1", &[file("net.onnx", "graph")]).await;
    let error = volume(&program.host(), ":v1").pinned(&"0".repeat(64)).refusal().await;
    assert_eq!((error.reason(), error.is_transient()), ("DigestMismatch", false), "{error}");
    assert!(error.to_string().contains(&digest), "{error}");
    let both = volume(&program.host(), &format!("@sha256:{digest}")).pinned(&"0".repeat(64));
    assert_eq!(both.refused().await, "DigestMismatch");
    let unknown = volume(&program.host(), &format!("@sha256:{}", "0".repeat(64)));
    assert_eq!(unknown.refused().await, "NotFound");
}

#[tokio::test]
async fn a_blob_that_was_changed_in_the_registry_is_refused() {
    let program = Program::registry("").await;
    push(&registry(&program.host(), None), "v1", &[file("net.onnx", "graph")]).await;
    let root = program.folder.path().join("registry");
    let blob =
        files(&root).into_iter().find(|path| path.ends_with(&format!("{}/data", sha256("graph")))).unwrap();
    fs::write(root.join(blob), "grass").unwrap();
    let error = volume(&program.host(), ":v1").refusal().await;
    assert_eq!((error.reason(), error.is_transient()), ("DigestMismatch", false), "{error}");
    assert!(error.to_string().contains(&sha256("grass")), "{error}");
}

#[tokio::test]
async fn what_holds_no_single_model_is_refused() {
    let program = Program::registry("").await;
    let registry = registry(&program.host(), None);
    let archive = ("net.onnx", "graph", "application/vnd.oci.image.layer.v1.tar+gzip", manifest::TITLE);
    let nameless = ("net.onnx", "graph", "application/octet-stream", "some.other/annotation");
    let cases: [(&[Layer<'_>], &str); 8] = [
        (&[file("a.onnx", "a"), file("b.onnx", "b")], "SeveralModels"),
        (&[file("a.txt", "a"), file("b.txt", "b")], "NoModel"),
        (&[archive], "NoModel"),
        (&[nameless], "NoModel"),
        (&[], "NoModel"),
        (&[file("../net.onnx", "graph")], "UnsafePath"),
        (&[file("/net.onnx", "graph")], "UnsafePath"),
        (&[file("net.onnx", "graph"), file("net.onnx", "graph")], "UnsafePath"),
    ];
    for (layers, reason) in cases {
        push(&registry, "v1", layers).await;
        let error = volume(&program.host(), ":v1").refusal().await;
        assert_eq!((error.reason(), error.is_transient()), (reason, false), "{error}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_refused_for_good_and_sizes_are_checked() {
    let program = Program::registry("").await;
    push(&registry(&program.host(), None), "v1", &[file("net.onnx", "graph")]).await;
    assert_eq!(volume(&program.host(), ":v2").refused().await, "NotFound");
    let mut small = volume(&program.host(), ":v1");
    small.config.max_bytes = 4;
    assert_eq!(small.refused().await, "TooLarge");
}

#[tokio::test]
async fn a_registry_that_wants_a_password_gets_it_from_the_secret_for_its_host_only() {
    let folder = tempfile::tempdir().unwrap();
    let more = Program::password_file(folder.path());
    let program = Program::registry(&more).await;
    let host = program.host();
    let keys = [("host", &*host), ("username", "ada"), ("password", "pw"), ("plainHttp", "true")];
    push(&registry(&host, Some(&keys)), "v1", &[file("net.onnx", "graph")]).await;
    volume(&host, ":v1").with_secret(&keys).fetch().await.unwrap();
    for wrong in [
        [keys[0], keys[1], ("password", "wrong"), keys[3]].as_slice(),
        // Only a host: nobody to log in as.
        &[keys[0], keys[3]],
    ] {
        let error = volume(&host, ":v1").with_secret(wrong).refusal().await;
        assert_eq!((error.reason(), error.is_transient()), ("Unauthorized", false), "{error}");
    }
    assert_eq!(volume(&host, ":v1").refused().await, "Unauthorized");
    assert_eq!(volume(&host, ":v1").with_secret(&keys[1..]).refused().await, "CredentialsHostMissing");
}

/// A registry that wants a token from `realm`, and sends blobs from elsewhere.
async fn token_registry(realm: String, blobs: String) -> Server {
    let manifest = String::from_utf8(manifest_of(&[file("net.onnx", "graph")])).unwrap();
    Server::start(move |request| match (request.path.as_str(), request.header("authorization")) {
        (path, _) if path.starts_with("/token") => ok(r#"{"token": "abc"}"#),
        (path, Some("Bearer abc")) if path.contains("/manifests/") => ok(&manifest),
        (path, Some("Bearer abc")) if path.contains("/blobs/") => redirect(&blobs),
        _ => {
            let realm = if realm.is_empty() {
                format!("http://{}/token", request.header("host").unwrap())
            } else {
                realm.clone()
            };
            let challenge =
                format!("Bearer realm=\"{realm}\",service=\"here\",scope=\"repository:models/digits:pull\"");
            with_headers(401, &[("www-authenticate", &challenge)])
        }
    })
    .await
}

#[tokio::test]
async fn a_token_stays_with_the_registry_and_a_password_with_the_hosts_of_the_secret() {
    let blobs = Server::start(|_| ok("graph")).await;
    let server = token_registry(String::new(), format!("http://{}/blob", blobs.host())).await;
    let host = server.host();
    let keys = [("host", &*host), ("username", "ada"), ("password", "pw"), ("plainHttp", "true")];
    volume(&host, ":v1").with_secret(&keys).fetch().await.unwrap();
    let token = server.seen().into_iter().find(|request| request.path.starts_with("/token")).unwrap();
    assert_eq!(token.path, "/token?service=here&scope=repository%3Amodels%2Fdigits%3Apull");
    assert_eq!(token.header("authorization"), Some("Basic YWRhOnB3"));
    assert_eq!(blobs.seen()[0].header("authorization"), None);

    let tokens = Server::start(|_| ok(r#"{"access_token": "abc"}"#)).await;
    let server =
        token_registry(format!("http://{}/token", tokens.host()), format!("http://{}/blob", blobs.host()))
            .await;
    let host = server.host();
    let keys = [("host", &*host), ("username", "ada"), ("password", "pw"), ("plainHttp", "true")];
    let error = volume(&host, ":v1").with_secret(&keys).refusal().await;
    assert_eq!((error.reason(), error.is_transient()), ("CredentialsHostMismatch", false), "{error}");
    assert!(error.to_string().contains("tokenHost") && error.to_string().contains(&tokens.host()), "{error}");
    assert_eq!(tokens.seen().len(), 0);
    let token_host = tokens.host();
    let trusting = [keys.as_slice(), &[("tokenHost", &*token_host)]].concat();
    volume(&host, ":v1").with_secret(&trusting).fetch().await.unwrap();
    assert_eq!(tokens.seen()[0].header("authorization"), Some("Basic YWRhOnB3"));
    // Without a Secret there is nothing to keep from anyone.
    volume(&host, ":v1").fetch().await.unwrap();
    assert_eq!(tokens.seen()[1].header("authorization"), None);
}

#[tokio::test]
async fn a_realm_or_a_redirect_at_a_forbidden_address_is_refused() {
    let realm = token_registry("http://169.254.169.254/token".to_owned(), String::new()).await;
    assert_eq!(volume(&realm.host(), ":v1").refused().await, "AddressRefused");
    let blobs = token_registry(String::new(), "http://169.254.169.254/blob".to_owned()).await;
    assert_eq!(volume(&blobs.host(), ":v1").refused().await, "AddressRefused");
}

#[tokio::test]
async fn a_registry_that_is_down_may_come_back() {
    let server = Server::start(|_| status(503)).await;
    let error = volume(&server.host(), ":v1").refusal().await;
    assert_eq!((error.reason(), error.is_transient()), ("Unreachable", true), "{error}");
    assert_eq!(server.seen().len(), 3);
}
