//! A3: models come in from every kind of server, their bytes are proven, and a failed import says why.

use modelwright::api::{
    condition::{READY, RECONCILING, STALLED},
    model::Model,
};
use serde_json::{Value, json};

use crate::harness::{
    Space,
    claims::claim_with,
    fixtures::{PASSWORD, USER},
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

/// Text that needs a locale, names and axes beyond the usual, random numbers: made by `runtime/tests/models/make.py`.
pub async fn what_strangers_bring_is_taken_by_the_images_and_the_definitions(space: Space) {
    let files: [(&str, &[u8]); 3] = [
        ("lower-case", include_bytes!("../../../../runtime/tests/models/lower_case.onnx")),
        ("long-name", include_bytes!("../../../../runtime/tests/models/long_name.onnx")),
        ("noisy", include_bytes!("../../../../runtime/tests/models/noisy.onnx")),
    ];
    for (name, bytes) in files {
        let uri = space.serve_bytes(&format!("{name}.onnx"), bytes.to_vec()).await;
        space.create_object::<Model>(model(name, &uri, json!({}))).await;
    }
    let mut versions = Vec::new();
    for (name, _) in files {
        space.ready_model(name).await;
        versions.push(space.version(&format!("{name}-v1")).await.spec);
    }
    let [text, long, noisy] = versions.as_slice() else { unreachable!("there are three") };
    assert_eq!(text.signature.inputs[0].datatype, "BYTES");
    let input = &long.signature.inputs[0];
    assert_eq!((input.name.len(), input.shape.len()), (300, 20));
    assert_eq!(noisy.golden_samples.random_outputs, ["noisy"]);
    // It is proven by its golden samples again before it is ready.
    space.serve("lower-case", "lower-case", json!({})).await;
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

/// A body that ends early is no model, however often it is tried.
pub async fn a_connection_that_breaks_makes_no_version(space: Space) {
    space.serve_file("model.onnx", AFFINE).await;
    let path = format!("truncated/{}/model.onnx", space.name);
    let uri = format!("http://{}/{path}", space.world.fixtures.http_host());
    space.create_object::<Model>(model("broken", &uri, json!({}))).await;
    space
        .until("broken", "telling what its pod tries again", 90, |model: &Model| {
            let said = model.says(RECONCILING);
            said.starts_with("Retrying: fetch tries again since ") && said.contains("broke off")
        })
        .await;
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
