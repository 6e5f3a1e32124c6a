//! Sources that cannot be reached, may not be read, or hold something else.

use serde_json::{Value, json};

use super::table::{
    End::{Failed, Retried},
    Row, row,
};
use crate::harness::{
    Space,
    fixtures::{PASSWORD, USER},
    onnx::Affine,
    resources::model,
};

const AFFINE: Affine = Affine { factor: 2.0, summand: 1.0 };

/// Every row, with the servers' side of it.
pub async fn rows(space: &Space) -> Vec<Row> {
    let mut rows = web(space).await;
    rows.extend(secrets(space).await);
    rows.extend(stores(space).await);
    rows
}

async fn web(space: &Space) -> Vec<Row> {
    let fixtures = &space.world.fixtures;
    let (base, own) = (format!("http://{}", fixtures.http_host()), &space.name);
    let right = space.serve_file("right.onnx", AFFINE).await;
    let at = |name: &str, path: String| model(name, &format!("{base}/{path}"), json!({}));
    let host = fixtures.http_host();
    let service = host.split(':').next().unwrap_or_default();
    let closed_port = format!("http://{service}:9/digits.onnx");
    let nowhere =
        format!("http://nowhere.{}/digits.onnx", service.split_once('.').map_or("", |(_, zone)| zone));
    vec![
        row(
            at("nothing", format!("files/{own}/nothing.onnx")),
            Failed("NotFound"),
            ["nothing.onnx answered 404", "check the address for a typing error", "spec.rerun"],
        ),
        row(
            at("forbidden", "forbidden".into()),
            Failed("Forbidden"),
            ["answered 403 Forbidden", "give them the right to", "spec.rerun"],
        ),
        row(
            at("closed", format!("basic-auth/{USER}/{PASSWORD}/{own}/right.onnx")),
            Failed("Unauthorized"),
            ["answered 401 Unauthorized", "`credentialsSecret`", "spec.rerun"],
        ),
        row(
            at("circle", format!("redirect/9/{own}/right.onnx")),
            Failed("RedirectRefused"),
            ["a redirect to", "which is not followed", "more than 5 redirects"],
        ),
        row(
            at("inwards", "redirect-to?url=http://127.0.0.1:6443/secrets".into()),
            Failed("AddressRefused"),
            ["127.0.0.1", "may not be fetched"],
        ),
        row(
            model("metadata", "http://169.254.169.254/latest/meta-data", json!({})),
            Failed("AddressRefused"),
            ["169.254.169.254", "link-local"],
        ),
        row(
            model("half", &right.replace("/files/", "/truncated/"), json!({})),
            Retried("Unreachable"),
            ["right.onnx", "broke off"],
        ),
        row(
            model("port", &closed_port, json!({})),
            Retried("Unreachable"),
            [closed_port.as_str(), "cannot be reached"],
        ),
        row(
            model("nowhere", &nowhere, json!({})),
            Retried("Unreachable"),
            [nowhere.as_str(), "cannot be reached"],
        ),
        row(
            model(
                "untrusted",
                &format!("https://{}/files/{own}/right.onnx", fixtures.https_host()),
                json!({}),
            ),
            Failed("CertificateRefused"),
            ["the server's certificate is not trusted", "`ca.crt`"],
        ),
    ]
}

/// Secrets that are there, and not as their scheme needs them.
async fn secrets(space: &Space) -> Vec<Row> {
    let fixtures = &space.world.fixtures;
    let (web, s3) = (fixtures.http_host(), fixtures.s3_host());
    let uri = space.serve_file("guarded.onnx", AFFINE).await;
    let of = |name: &str, uri: &str| {
        model(name, uri, json!({"credentialsSecret": format!("modelwright-bad-{name}")}))
    };
    let secret = async |name: &str, keys: &[(&str, &str)]| {
        space.secret(&format!("modelwright-bad-{name}"), keys).await;
    };
    let user = [("username", USER), ("password", PASSWORD), ("plainHttp", "true")];
    secret("no-host", &user).await;
    secret("host", &[&user[..], &[("host", "a host of mine")]].concat()).await;
    secret("half-user", &[("host", &web), ("username", USER), ("plainHttp", "true")]).await;
    secret("plain", &[("host", &web), ("username", USER), ("password", PASSWORD)]).await;
    secret("no-key", &[("host", &s3), ("accessKeyId", USER), ("plainHttp", "true")]).await;
    secret(
        "wrong-key",
        &[("host", &s3), ("accessKeyId", USER), ("secretAccessKey", "wrong"), ("plainHttp", "true")],
    )
    .await;
    let bucket = format!("s3://{}/guarded.onnx", space.name);
    vec![
        row(
            of("no-host", &uri),
            Failed("CredentialsHostMissing"),
            ["modelwright-bad-no-host", "no key `host`", &format!("add `host: {web}`")],
        ),
        row(
            of("host", &uri),
            Failed("CredentialsHostInvalid"),
            ["modelwright-bad-host", "\"a host of mine\"", "`host:port` was expected"],
        ),
        row(
            of("half-user", &uri),
            Failed("CredentialsKeyMissing"),
            ["modelwright-bad-half-user", "key `password`"],
        ),
        row(of("plain", &uri), Failed("CredentialsKeyMissing"), ["modelwright-bad-plain", "plainHttp"]),
        row(
            of("no-key", &bucket),
            Failed("CredentialsKeyMissing"),
            ["modelwright-bad-no-key", "key `secretAccessKey`"],
        ),
        row(of("wrong-key", &bucket), Failed("Forbidden"), [bucket.as_str(), "secretAccessKey"]),
    ]
}

/// Buckets and registries.
async fn stores(space: &Space) -> Vec<Row> {
    let fixtures = &space.world.fixtures;
    let s3 = fixtures.s3_host();
    let keys: [(&str, &str); 4] =
        [("host", &s3), ("accessKeyId", USER), ("secretAccessKey", PASSWORD), ("plainHttp", "true")];
    space.secret("modelwright-s3", &keys).await;
    for paper in ["licence.txt", "read.me"] {
        fixtures.put(&format!("{}/papers/{paper}", space.name), b"no model".to_vec()).await;
    }
    let closed = fixtures.registry(true);
    space
        .secret(
            "modelwright-registry",
            &[("host", &closed.host), ("username", USER), ("password", "wrong"), ("plainHttp", "true")],
        )
        .await;
    let open = fixtures.registry(false);
    space.secret("modelwright-open", &[("host", &open.host), ("plainHttp", "true")]).await;
    let two = [("a.onnx", AFFINE.bytes()), ("b.onnx", AFFINE.bytes())];
    open.push_files(&space.name, "two", &two).await;
    closed.push(&space.name, "v1", &AFFINE.bytes()).await;
    let with = |secret: &str| -> Value { json!({"credentialsSecret": secret}) };
    let (missing, papers) =
        (format!("s3://{}/nothing.onnx", space.name), format!("s3://{}/papers/", space.name));
    let (several, tag) = (
        format!("oci://{}/{}:two", open.host, space.name),
        format!("oci://{}/{}:three", open.host, space.name),
    );
    let password = format!("oci://{}/{}:v1", closed.host, space.name);
    let bucket = format!("s3://no-such-{}/digits.onnx", space.world.run);
    vec![
        row(
            model("key", &missing, with("modelwright-s3")),
            Failed("NotFound"),
            [missing.as_str(), "nothing is there"],
        ),
        row(
            model("bucket", &bucket, with("modelwright-s3")),
            Failed("NotFound"),
            [bucket.as_str(), "nothing is there"],
        ),
        row(
            model("papers", &papers, with("modelwright-s3")),
            Failed("NoModel"),
            [papers.as_str(), "holds no ONNX model"],
        ),
        row(
            model("two", &several, with("modelwright-open")),
            Failed("SeveralModels"),
            [several.as_str(), "a.onnx", "b.onnx", "name one file"],
        ),
        row(model("tag", &tag, with("modelwright-open")), Failed("NotFound"), ["three", "typing error"]),
        row(
            model("password", &password, with("modelwright-registry")),
            Failed("Unauthorized"),
            ["401", "`credentialsSecret`"],
        ),
    ]
}
