//! A3: models come in from every kind of server, their bytes are proven, and a failed import says why.

use std::time::Duration;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use modelwright::api::{
    condition::{READY, RECONCILING, STALLED},
    model::Model,
};
use serde_json::{Value, json};

use crate::harness::{
    Space,
    fixtures::{PASSWORD, USER, container_security, pod_security},
    onnx::Affine,
    registry::hex,
    resources::{Observed as _, model},
};

const AFFINE: Affine = Affine { factor: 2.0, summand: 1.0 };

/// The whole chain: import, serve, predict.
pub async fn a_model_is_imported_served_and_answers(space: Space) {
    let imported = space.import("digits", AFFINE).await;
    assert!(imported.is(READY), "{}", imported.says(READY));
    let version = space.version("digits-v1").await;
    assert_eq!(version.spec.signature.inputs[0].shape, [-1, 4]);
    assert_eq!(version.spec.golden_samples.source, "Synthetic");
    assert!(version.spec.golden_samples.count > 0);
    let deployment = space.serve("digits", "digits", json!({})).await;
    let prediction = space.predict(&deployment, AFFINE).await;
    assert_eq!((prediction.version, &prediction.digest), (1, &version.spec.model_digest));
}

/// One model over every scheme: one model digest.
pub async fn the_same_model_comes_in_from_every_kind_of_source(space: Space) {
    let fixtures = &space.world.fixtures;
    let bytes = AFFINE.bytes();
    let http = space.serve_file("model.onnx", AFFINE).await;
    let file = format!("{}/model.onnx", space.name);
    fixtures.put_model(&format!("{}/folder/model.onnx", space.name), AFFINE).await;

    let registry = fixtures.registry(true);
    let manifest = registry.push(&space.name, "v1", &bytes).await;
    space
        .secret(
            "modelwright-registry",
            &[("host", &registry.host), ("username", USER), ("password", PASSWORD), ("plainHttp", "true")],
        )
        .await;
    let (s3, https) = (fixtures.s3_host(), fixtures.https_host());
    space
        .secret(
            "modelwright-s3",
            &[("host", &s3), ("accessKeyId", USER), ("secretAccessKey", PASSWORD), ("plainHttp", "true")],
        )
        .await;
    space.secret("modelwright-https", &[("host", &https), ("ca.crt", &fixtures.authority)]).await;
    claim_with(&space, "models", "folder/model.onnx", &bytes).await;

    let data = hex(&bytes);
    let redirected = http.replace("/files/", "/redirect/3/");
    let cases: [(&str, String, Value, &str); 9] = [
        ("http", http, json!({"sha256": data}), &data),
        ("redirected", redirected, json!({}), &data),
        (
            "https",
            format!("https://{https}/files/{file}"),
            json!({"credentialsSecret": "modelwright-https"}),
            &data,
        ),
        ("s3", format!("s3://{file}"), json!({"credentialsSecret": "modelwright-s3", "sha256": data}), &data),
        (
            "oci-tag",
            format!("oci://{}/{}:v1", registry.host, space.name),
            json!({"credentialsSecret": "modelwright-registry"}),
            &manifest,
        ),
        (
            "oci-digest",
            format!("oci://{}/{}@sha256:{manifest}", registry.host, space.name),
            json!({"credentialsSecret": "modelwright-registry", "sha256": manifest}),
            &manifest,
        ),
        ("pvc", "pvc://models/folder/model.onnx".to_owned(), json!({"sha256": data}), &data),
        ("pvc-folder", "pvc://models/folder/".to_owned(), json!({"sha256": data}), &data),
        (
            "s3-folder",
            format!("s3://{}/folder/", space.name),
            json!({"credentialsSecret": "modelwright-s3"}),
            &data,
        ),
    ];
    for (name, uri, source, _) in &cases {
        space.create_object::<Model>(model(name, uri, source.clone())).await;
    }
    let mut digests = Vec::new();
    for (name, .., fetched) in &cases {
        space.ready_model(name).await;
        let version = space.version(&format!("{name}-v1")).await;
        assert_eq!(version.spec.provenance.data_sha256, **fetched, "{name}");
        digests.push(version.spec.model_digest);
    }
    digests.dedup();
    assert_eq!(digests.len(), 1, "{digests:?}");
}

/// A pin that the bytes do not have.
pub async fn bytes_that_miss_their_pin_make_no_version(space: Space) {
    let uri = space.serve_file("model.onnx", AFFINE).await;
    let other = Affine { factor: 3.0, ..AFFINE };
    let pin = hex(other.bytes());
    space.create_object::<Model>(model("pinned", &uri, json!({"sha256": pin}))).await;
    let stalled = space.stalled_model("pinned", 60).await;
    let said = stalled.says(STALLED);
    assert!(said.starts_with("DigestMismatch: "), "{said}");
    assert!(said.contains(&pin) && said.contains(&hex(AFFINE.bytes())), "{said}");
    assert!(!stalled.is(READY) && !stalled.is(RECONCILING));
    assert_eq!(stalled.status.and_then(|status| status.latest_version), None);

    // The server gets the right bytes, and the user asks for another try.
    space.serve_file("model.onnx", other).await;
    space.patch::<Model>("pinned", json!({"spec": {"rerun": "corrected"}})).await;
    let ready = space.ready_model("pinned").await;
    assert_eq!(ready.status.and_then(|status| status.current_version), Some(1));
}

/// 404, 403, 401, and a file that is no model.
pub async fn a_source_that_cannot_be_had_says_so_at_once(space: Space) {
    let fixtures = &space.world.fixtures;
    let base = format!("http://{}", fixtures.http_host());
    let own = space.name.clone();
    fixtures.put(&format!("{own}/text.onnx"), b"this is no model".to_vec()).await;
    fixtures.put(&format!("{own}/closed.onnx"), AFFINE.bytes()).await;
    for (name, path, reason) in [
        ("missing", format!("files/{own}/nothing.onnx"), "NotFound"),
        ("forbidden", "forbidden".to_owned(), "Forbidden"),
        ("closed", format!("basic-auth/{USER}/{PASSWORD}/{own}/closed.onnx"), "Unauthorized"),
        ("text", format!("files/{own}/text.onnx"), "NotOnnx"),
    ] {
        space.create_object::<Model>(model(name, &format!("{base}/{path}"), json!({}))).await;
        let stalled = space.stalled_model(name, 60).await;
        let status = stalled.status.as_ref().expect("it has a status");
        let failure = status.last_failure.as_ref().expect("the failure is kept");
        assert_eq!(failure.reason, reason, "{name}: {}", failure.message);
        assert!(stalled.says(STALLED).contains("spec.rerun"), "{}", stalled.says(STALLED));
        assert_eq!(
            status.run.as_ref().map(|run| (run.attempt, run.phase.as_str())),
            Some((1, "Failed")),
            "{name}"
        );
    }
    assert!(!fixtures.requests(&format!("{own}/nothing.onnx")).await.is_empty(), "the server was asked");
}

/// A body that ends early is no model, however often it is tried.
pub async fn a_connection_that_breaks_makes_no_version(space: Space) {
    space.serve_file("model.onnx", AFFINE).await;
    let path = format!("truncated/{}/model.onnx", space.name);
    let uri = format!("http://{}/{path}", space.world.fixtures.http_host());
    space.create_object::<Model>(model("broken", &uri, json!({}))).await;
    space
        .until("broken", "tried again", 180, |model: &Model| {
            model.status.as_ref().and_then(|status| status.run.as_ref()).is_some_and(|run| run.attempt > 1)
        })
        .await;
    assert!(space.world.fixtures.requests(&path).await.len() > 1, "it was asked for again");
    assert!(space.list::<modelwright::api::ModelVersion>().await.is_empty());
}

/// A Secret names the only host that it is for.
pub async fn credentials_go_to_the_host_that_their_secret_names_only(space: Space) {
    let fixtures = &space.world.fixtures;
    let uri = space.serve_file("model.onnx", AFFINE).await;
    let keys = |host: &'static str| {
        [("username", USER), ("password", PASSWORD), ("plainHttp", "true"), ("host", host)]
    };
    space.secret("modelwright-elsewhere", &keys("models.example.com")).await;
    space.secret("modelwright-nowhere", &keys("")[..3]).await;
    for (name, secret, reason) in [
        ("elsewhere", "modelwright-elsewhere", "CredentialsHostMismatch"),
        ("nowhere", "modelwright-nowhere", "CredentialsHostMissing"),
    ] {
        space.create_object::<Model>(model(name, &uri, json!({"credentialsSecret": secret}))).await;
        let said = space.stalled_model(name, 60).await.says(STALLED);
        assert!(said.starts_with(&format!("{reason}: ")), "{said}");
    }
    assert!(
        fixtures
            .requests(&format!("{}/model.onnx", space.name))
            .await
            .iter()
            .all(|seen| seen["method"] != "GET")
    );

    // The named host redirects to another one: the bytes come, the credentials do not go.
    let host = fixtures.http_host();
    let other = fixtures.reachable(&format!("files/{}/model.onnx", space.name));
    space
        .secret(
            "modelwright-here",
            &[("host", &host), ("username", USER), ("password", PASSWORD), ("plainHttp", "true")],
        )
        .await;
    let uri = format!("http://{host}/redirect-to?url={other}&for={}", space.name);
    space.create_object::<Model>(model("here", &uri, json!({"credentialsSecret": "modelwright-here"}))).await;
    space.ready_model("here").await;
    let seen = fixtures.requests(&format!("{}/model.onnx", space.name)).await;
    let got: Vec<_> = seen.iter().filter(|seen| seen["method"] == "GET").collect();
    assert_eq!(got.len(), 1, "{seen:?}");
    assert_eq!(got[0]["withCredentials"], false, "the other host saw the credentials");
    assert!(fixtures.requests("/redirect-to").await.iter().any(|seen| seen["withCredentials"] == true));
}

/// The run waits for a Secret, and goes on by itself.
pub async fn a_missing_secret_is_told_within_thirty_seconds_and_heals(space: Space) {
    let registry = space.world.fixtures.registry(true);
    registry.push(&space.name, "v1", &AFFINE.bytes()).await;
    let uri = format!("oci://{}/{}:v1", registry.host, space.name);
    space.create_object::<Model>(model("late", &uri, json!({"credentialsSecret": "modelwright-late"}))).await;
    let waiting = space
        .until("late", "waiting for its Secret", 30, |model: &Model| {
            model.is(RECONCILING) && model.says(RECONCILING).starts_with("SecretNotFound: ")
        })
        .await;
    assert!(waiting.says(RECONCILING).contains("modelwright-late"), "{}", waiting.says(RECONCILING));
    assert!(!waiting.is(READY) && !waiting.is(STALLED));
    space
        .secret(
            "modelwright-late",
            &[("host", &registry.host), ("username", USER), ("password", PASSWORD), ("plainHttp", "true")],
        )
        .await;
    let ready = space.ready_model("late").await;
    assert_eq!(ready.status.and_then(|status| status.run).map(|run| run.attempt), Some(1), "one pod did it");
}

/// A claim that holds one file.
async fn claim_with(space: &Space, claim: &str, path: &str, content: &[u8]) {
    space
        .create_object::<PersistentVolumeClaim>(json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": claim},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "64Mi"}}},
        }))
        .await;
    let fixtures = &space.world.fixtures;
    space.secret("writer", &fixtures.server_files()).await;
    space
        .create_object::<Pod>(json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "writer"},
            "spec": {
                "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 1,
                "securityContext": pod_security(),
                "containers": [{
                    "name": "writer", "image": fixtures.image, "securityContext": container_security(),
                    "command": [
                        "fixture-server", "--root", "/claim",
                        "--certificate", "/etc/fixtures/tls.crt", "--key", "/etc/fixtures/tls.key",
                    ],
                    "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
                    "volumeMounts": [
                        {"name": "claim", "mountPath": "/claim"},
                        {"name": "settings", "mountPath": "/etc/fixtures", "readOnly": true},
                    ],
                }],
                "volumes": [
                    {"name": "claim", "persistentVolumeClaim": {"claimName": claim}},
                    {"name": "settings", "secret": {"secretName": "writer"}},
                ],
            },
        }))
        .await;
    let writer =
        space.until("writer", "ready", 60, |pod: &Pod| crate::harness::fixtures::is_ready(pod)).await;
    let address = writer.status.and_then(|status| status.pod_ip).expect("a ready pod has an address");
    let answer = space
        .world
        .http
        .put(format!("http://{address}:8080/files/{path}"))
        .body(content.to_vec())
        .timeout(Duration::from_secs(10))
        .send()
        .await;
    answer.and_then(reqwest::Response::error_for_status).expect("the claim keeps the file");
    space
        .api::<Pod>()
        .delete("writer", &kube::api::DeleteParams::default())
        .await
        .expect("it can be deleted");
    space.until_gone::<Pod>("writer", 60).await;
}
