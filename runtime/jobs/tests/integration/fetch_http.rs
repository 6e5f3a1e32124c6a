use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::{
    Volume,
    disk::Disk,
    files,
    server::{Authority, Reply, Server, file, ok, redirect, status},
    sha256,
};

const MODEL: &str = "the bytes of a model";

fn at(server: &Server, path: &str) -> Volume {
    Volume::new(&format!("http://{}{path}", server.host()))
}

/// A server whose answers change from request to request; the last one stays.
async fn server_with(answers: Vec<fn() -> Reply>) -> Server {
    let count = AtomicUsize::new(0);
    Server::start(move |_| {
        let answer = count.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
        answers[answer]()
    })
    .await
}

#[tokio::test]
async fn a_file_of_any_name_becomes_the_model_with_its_digest() {
    let server = server_with(vec![|| ok(MODEL)]).await;
    let volume = at(&server, "/some/digits.bin?token=abc").pinned(&sha256(MODEL));
    let report = volume.fetch().await.unwrap();
    assert_eq!((report.sha256.as_str(), report.size_bytes, report.files), (&*sha256(MODEL), 20, 1));
    assert_eq!(volume.files(), ["model.onnx"]);
    assert_eq!(volume.read("model.onnx"), MODEL);
    assert_eq!(server.seen()[0].path, "/some/digits.bin?token=abc");
}

#[tokio::test]
async fn other_bytes_than_pinned_are_refused_with_both_digests() {
    let server = server_with(vec![|| ok(MODEL)]).await;
    let error = at(&server, "/m?token=hush").pinned(&"0".repeat(64)).refusal().await;
    assert_eq!(error.reason(), "DigestMismatch");
    let text = error.to_string();
    assert!(
        text.contains(&sha256(MODEL)) && text.contains(&"0".repeat(64)) && !text.contains("hush"),
        "{text}"
    );
    assert!(!error.is_transient());
}

#[tokio::test]
async fn a_digest_that_is_none_is_refused_without_a_request() {
    let server = server_with(vec![|| ok(MODEL)]).await;
    assert_eq!(at(&server, "/m").pinned("abc").refused().await, "InvalidDigest");
    assert_eq!(server.seen().len(), 0);
}

#[tokio::test]
async fn a_refusal_of_the_server_is_final_and_asked_for_once() {
    for (code, reason) in [
        (401, "Unauthorized"),
        (403, "Forbidden"),
        (404, "NotFound"),
        (410, "NotFound"),
        (418, "UnexpectedStatus"),
    ] {
        let server = Server::start(move |_| status(code)).await;
        let error = at(&server, "/m").refusal().await;
        assert_eq!((error.reason(), error.is_transient()), (reason, false), "{error}");
        assert!(error.to_string().contains(&server.host()), "{error}");
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn a_server_that_recovers_is_asked_again() {
    let broken: fn() -> Reply =
        || Reply::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nthe by".to_vec());
    let closed: fn() -> Reply = || Reply::Bytes(Vec::new());
    for first in [|| status(503), || status(429), broken, closed] {
        let server = server_with(vec![first, || ok(MODEL)]).await;
        let volume = at(&server, "/m");
        volume.fetch().await.unwrap();
        assert_eq!(volume.read("model.onnx"), MODEL);
        assert_eq!(server.seen().len(), 2);
    }
}

#[tokio::test]
async fn a_server_that_does_not_recover_is_a_failure_that_may_pass() {
    let broken: fn() -> Reply =
        || Reply::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nthe by".to_vec());
    let stalled: fn() -> Reply =
        || Reply::Stall(b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nthe by".to_vec());
    let mute: fn() -> Reply = || Reply::Stall(Vec::new());
    for answer in [|| status(500), broken, stalled, mute] {
        let server = server_with(vec![answer]).await;
        let error = at(&server, "/m").refusal().await;
        assert_eq!((error.reason(), error.is_transient()), ("Unreachable", true), "{error}");
        assert_eq!(server.seen().len(), 3, "{error}");
    }
    let error = Volume::new("http://127.0.0.1:1/m").refusal().await;
    assert_eq!((error.reason(), error.is_transient()), ("Unreachable", true), "{error}");
}

#[tokio::test]
async fn too_many_bytes_are_refused_before_they_come_and_while_they_come() {
    let announced: fn() -> Reply =
        || Reply::Stall(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n".to_vec());
    let chunked: fn() -> Reply = || {
        let chunk = format!("2000\r\n{}\r\n", "x".repeat(0x2000)).repeat(200);
        Reply::Stall(format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunk}").into())
    };
    for answer in [announced, chunked] {
        let server = server_with(vec![answer]).await;
        let error = at(&server, "/m").refusal().await;
        assert_eq!((error.reason(), error.is_transient()), ("TooLarge", false), "{error}");
        assert!(error.to_string().contains("1000000"), "{error}");
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn this_machine_is_refused_by_address_and_by_name_without_the_flag_for_tests() {
    let server = server_with(vec![|| ok(MODEL)]).await;
    let port = server.address.port();
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0x7f.1", "2130706433", "0.0.0.0", "[::1]"] {
        let mut volume = Volume::new(&format!("http://{host}:{port}/m"));
        volume.options.allow_loopback = false;
        volume.config.allow_private_networks = true;
        let error = volume.refusal().await;
        assert_eq!((error.reason(), error.is_transient()), ("AddressRefused", false), "{host}: {error}");
    }
    assert_eq!(server.seen().len(), 0);
}

#[tokio::test]
async fn a_redirect_is_followed_within_limits_and_checked_each_time() {
    let server = Server::start(|request| match request.path.as_str() {
        "/start" => redirect("next?x=1"),
        "/next?x=1" => ok(MODEL),
        "/loop" => redirect("/loop"),
        "/metadata" => redirect("http://169.254.169.254/latest/meta-data"),
        "/mapped" => redirect("http://[::ffff:169.254.169.254]/"),
        "/private" => redirect("http://10.0.0.1/"),
        "/file" => redirect("file:///etc/passwd"),
        _ => status(404),
    })
    .await;
    at(&server, "/start").fetch().await.unwrap();
    let before = server.seen().len();
    assert_eq!(at(&server, "/loop").refused().await, "RedirectRefused");
    assert_eq!(server.seen().len() - before, 6);
    for path in ["/metadata", "/mapped", "/private"] {
        let error = at(&server, path).refusal().await;
        assert_eq!((error.reason(), error.is_transient()), ("AddressRefused", false), "{path}: {error}");
    }
    assert_eq!(at(&server, "/file").refused().await, "RedirectRefused");
}

const LOGIN: [(&str, &str); 3] = [("username", "ada"), ("password", "pw"), ("plainHttp", "true")];

#[tokio::test]
async fn credentials_stay_with_their_host_when_a_redirect_leads_elsewhere() {
    let other = Server::start(|_| ok(MODEL)).await;
    let target = format!("http://{}/m", other.host());
    let server = Server::start(move |request| match request.path.as_str() {
        "/m" => redirect("/again"),
        _ => redirect(&target),
    })
    .await;
    let host = server.host();
    let volume = at(&server, "/m").with_secret(&[LOGIN.as_slice(), &[("host", &host)]].concat());
    volume.fetch().await.unwrap();
    let sent: Vec<_> =
        server.seen().iter().map(|request| request.header("authorization").map(str::to_owned)).collect();
    assert_eq!(sent, [Some("Basic YWRhOnB3".to_owned()), Some("Basic YWRhOnB3".to_owned())]);
    assert_eq!(other.seen()[0].header("authorization"), None);
}

#[tokio::test]
async fn a_token_is_sent_as_it_is() {
    let server = Server::start(|_| ok(MODEL)).await;
    let keys = [("host", &*server.host()), ("token", "abc"), ("plainHttp", "true")];
    at(&server, "/m").with_secret(&keys).fetch().await.unwrap();
    assert_eq!(server.seen()[0].header("authorization"), Some("Bearer abc"));
}

#[tokio::test]
async fn a_secret_without_or_for_another_host_or_for_tls_only_sends_nothing() {
    let server = Server::start(|_| ok(MODEL)).await;
    let host = server.host();
    let cases: [(&[(&str, &str)], &str); 5] = [
        (&LOGIN, "CredentialsHostMissing"),
        (&[("host", "example.com"), LOGIN[0], LOGIN[1], LOGIN[2]], "CredentialsHostMismatch"),
        (&[("host", "127.0.0.1"), LOGIN[0], LOGIN[1], LOGIN[2]], "CredentialsHostMismatch"),
        (&[("host", &host), LOGIN[0], LOGIN[1]], "CredentialsKeyMissing"),
        (&[("host", &host), LOGIN[0], LOGIN[2]], "CredentialsKeyMissing"),
    ];
    for (keys, reason) in cases {
        let error = at(&server, "/m").with_secret(keys).refusal().await;
        assert_eq!((error.reason(), error.is_transient()), (reason, false), "{error}");
    }
    assert_eq!(server.seen().len(), 0);
}

#[tokio::test]
async fn an_authority_of_ones_own_is_trusted_only_by_its_certificate() {
    let authority = Authority::new();
    let server = Server::start_tls(&authority, |_| ok(MODEL)).await;
    let uri = format!("https://{}/m", server.host());
    let error = Volume::new(&uri).refusal().await;
    assert_eq!((error.reason(), error.is_transient()), ("CertificateRefused", false), "{error}");
    assert!(error.to_string().contains("ca.crt"), "{error}");
    let keys = [("host", &*server.host()), ("ca.crt", &authority.certificate), ("token", "abc")];
    let volume = Volume::new(&uri).with_secret(&keys);
    volume.fetch().await.unwrap();
    assert_eq!(volume.read("model.onnx"), MODEL);
    assert_eq!(server.seen()[0].header("authorization"), Some("Bearer abc"));
    let nonsense = [("host", &*server.host()), ("ca.crt", "no certificate")];
    assert_eq!(Volume::new(&uri).with_secret(&nonsense).refused().await, "CertificateRefused");
}

#[tokio::test]
async fn a_redirect_from_https_to_http_is_not_followed() {
    let authority = Authority::new();
    let plain = Server::start(|_| ok(MODEL)).await;
    let target = format!("http://{}/m", plain.host());
    let server = Server::start_tls(&authority, move |_| redirect(&target)).await;
    let keys = [("host", &*server.host()), ("ca.crt", &authority.certificate)];
    let volume = Volume::new(&format!("https://{}/m", server.host())).with_secret(&keys);
    assert_eq!(volume.refused().await, "RedirectRefused");
    assert_eq!(plain.seen().len(), 0);
}

#[tokio::test]
async fn a_full_disk_is_told_and_leaves_nothing_behind() {
    let disk = Disk::of_kibibytes(64);
    let server =
        Server::start(|request| file(&vec![7; if request.path == "/small" { 7 } else { 500_000 }])).await;
    let fetch = async |path: &str| {
        let mut volume = Volume::new(&format!("http://{}{path}", server.host()));
        volume.config.destination = disk.path().join("data").to_str().unwrap().to_owned();
        volume.fetch().await
    };
    let error = fetch("/large").await.unwrap_err();
    assert_eq!((error.reason(), error.is_transient()), ("DiskFailed", true), "{error}");
    let message = error.to_string();
    assert!(message.contains(disk.path().to_str().unwrap()), "{message}");
    assert!(message.contains("No space left on device"), "{message}");
    assert_eq!(files(disk.path()), Vec::<String>::new());
    fetch("/small").await.unwrap();
}
