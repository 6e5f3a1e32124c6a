use std::fs;

use crate::support::{
    Volume,
    programs::Program,
    server::{Authority, Server, redirect, status},
    sha256,
};

/// A store with the bucket `models`.
pub async fn store(authority: Option<&Authority>) -> Program {
    let folder = tempfile::tempdir().unwrap();
    let bucket = folder.path().join("buckets/models");
    fs::create_dir_all(bucket.join("digits/weights")).unwrap();
    fs::write(bucket.join("digits/net.onnx"), "graph").unwrap();
    fs::write(bucket.join("digits/weights/net data+1.bin"), "weights").unwrap();
    fs::write(bucket.join("alone.bin"), "alone").unwrap();
    let tls = authority.map(|authority| {
        let (certificate, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
        fs::write(&certificate, &authority.server_certificate).unwrap();
        fs::write(&key, &authority.server_key).unwrap();
        (certificate, key)
    });
    Program::object_store(
        folder,
        tls.as_ref().map(|(certificate, key)| (certificate.as_path(), key.as_path())),
    )
    .await
}

const KEYS: [(&str, &str); 3] =
    [("accessKeyId", "ada"), ("secretAccessKey", "lovelace"), ("plainHttp", "true")];

pub fn volume(host: &str, uri: &str) -> Volume {
    Volume::new(uri).with_secret(&[KEYS.as_slice(), &[("host", host)]].concat())
}

#[tokio::test]
async fn one_object_becomes_the_model() {
    let store = store(None).await;
    let volume = volume(&store.host(), "s3://models/alone.bin").pinned(&sha256("alone"));
    let report = volume.fetch().await.unwrap();
    assert_eq!((report.sha256, report.size_bytes, report.files), (sha256("alone"), 5, 1));
    assert_eq!(volume.files(), ["model.onnx"]);
    assert_eq!(volume.read("model.onnx"), "alone");
}

#[tokio::test]
async fn a_prefix_is_fetched_whole_and_its_digest_is_that_of_the_sorted_list() {
    let store = store(None).await;
    let volume = volume(&store.host(), "s3://models/digits/");
    let report = volume.fetch().await.unwrap();
    let list = format!("{}  net.onnx\n{}  weights/net data+1.bin\n", sha256("graph"), sha256("weights"));
    assert_eq!((report.sha256, report.files), (sha256(list), 2));
    assert_eq!(volume.files(), ["model.onnx", "weights/net data+1.bin"]);
    assert_eq!(volume.read("weights/net data+1.bin"), "weights");
}

#[tokio::test]
async fn what_is_not_there_or_not_allowed_is_refused_for_good() {
    let store = store(None).await;
    let host = store.host();
    for uri in ["s3://models/missing.onnx", "s3://models/missing/", "s3://absent/x.onnx", "s3://absent/"] {
        let error = volume(&host, uri).refusal().await;
        assert_eq!((error.reason(), error.is_transient()), ("NotFound", false), "{uri}: {error}");
        assert!(error.to_string().contains(uri), "{error}");
    }
    let wrong =
        [("host", &*host), ("accessKeyId", "ada"), ("secretAccessKey", "wrong"), ("plainHttp", "true")];
    let error = Volume::new("s3://models/alone.bin").with_secret(&wrong).refusal().await;
    assert_eq!((error.reason(), error.is_transient()), ("Forbidden", false), "{error}");
    assert!(!error.to_string().contains("wrong"), "{error}");
    let anonymous = [("host", &*host), ("plainHttp", "true")];
    let error = Volume::new("s3://models/alone.bin").with_secret(&anonymous).refusal().await;
    assert_eq!((error.reason(), error.is_transient()), ("Forbidden", false), "{error}");
}

#[tokio::test]
async fn a_secret_without_host_or_with_half_a_pair_sends_nothing() {
    assert_eq!(Volume::new("s3://models/x").with_secret(&KEYS).refused().await, "CredentialsHostMissing");
    let half = [("host", "127.0.0.1:1"), ("accessKeyId", "ada")];
    assert_eq!(Volume::new("s3://models/x").with_secret(&half).refused().await, "CredentialsKeyMissing");
}

#[tokio::test]
async fn sizes_and_digests_are_checked() {
    let store = store(None).await;
    let mut small = volume(&store.host(), "s3://models/digits/");
    small.config.max_bytes = 11;
    assert_eq!(small.refused().await, "TooLarge");
    small.config.uri = "s3://models/alone.bin".to_owned();
    small.config.max_bytes = 4;
    assert_eq!(small.refused().await, "TooLarge");
    let other = volume(&store.host(), "s3://models/alone.bin").pinned(&sha256("other"));
    assert_eq!(other.refused().await, "DigestMismatch");
}

#[tokio::test]
async fn an_endpoint_on_this_machine_is_refused_by_address_and_by_name() {
    let store = store(None).await;
    let port = store.address.port();
    for host in ["127.0.0.1", "localhost", "169.254.169.254"] {
        let mut volume = volume(&format!("{host}:{port}"), "s3://models/alone.bin");
        volume.options.allow_loopback = false;
        volume.config.allow_private_networks = true;
        let error = volume.refusal().await;
        assert_eq!((error.reason(), error.is_transient()), ("AddressRefused", false), "{host}: {error}");
    }
}

#[tokio::test]
async fn an_authority_of_ones_own_is_trusted_by_its_certificate() {
    let authority = Authority::new();
    let store = store(Some(&authority)).await;
    let keys = [("host", &*store.host()), KEYS[0], KEYS[1]];
    let error = Volume::new("s3://models/alone.bin").with_secret(&keys).refusal().await;
    assert_eq!((error.reason(), error.is_transient()), ("CertificateRefused", false), "{error}");
    let keys = [keys.as_slice(), &[("ca.crt", &authority.certificate)]].concat();
    let volume = Volume::new("s3://models/alone.bin").with_secret(&keys);
    volume.fetch().await.unwrap();
    assert_eq!(volume.read("model.onnx"), "alone");
}

#[tokio::test]
async fn a_store_that_is_down_may_come_back_and_one_that_redirects_is_not_followed() {
    let down = Server::start(|_| status(503)).await;
    let error = volume(&down.host(), "s3://models/alone.bin").refusal().await;
    assert_eq!((error.reason(), error.is_transient()), ("Unreachable", true), "{error}");
    assert_eq!(down.seen().len(), 3);
    let away = Server::start(|_| redirect("http://169.254.169.254/")).await;
    let error = volume(&away.host(), "s3://models/alone.bin").refusal().await;
    assert!(!error.is_transient(), "{error}");
    assert_eq!(away.seen().len(), 1);
}
