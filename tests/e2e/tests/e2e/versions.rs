//! A3: what decides a version. The same bytes are the same version, earlier content finds its version again without a
//! run, and an artifact takes along what is known of it.

use modelwright::api::{model::Model, model_version::ModelVersion, name};
use modelwright_contract::artifact::{
    Description, GoldenSample, GoldenSamples, GoldenSource, GoldenTensor, digest_line,
};
use modelwright_contract::signature::{Signature, TensorSpec};
use serde_json::json;

use crate::harness::{
    Space,
    onnx::Affine,
    registry::{Registry, hex},
    resources::model,
};

const FIRST: Affine = Affine { factor: 2.0, summand: 1.0 };
const SECOND: Affine = Affine { factor: -1.0, summand: 0.5 };

fn current(model: &Model) -> Option<u64> {
    model.status.as_ref().and_then(|status| status.current_version)
}

/// Two addresses, one content.
pub async fn equal_bytes_from_two_addresses_are_one_version(space: Space) {
    space.import("digits", FIRST).await;
    let moved = space.import_next("digits", "moved.onnx", FIRST).await;
    assert_eq!(current(&moved), Some(1));
    assert_eq!(moved.status.as_ref().and_then(|status| status.latest_version), Some(1));
    let versions = space.list::<ModelVersion>().await;
    assert_eq!(versions.len(), 1, "{versions:?}");
    let hashes =
        versions[0].metadata.annotations.as_ref().and_then(|all| all.get(name::SPEC_HASHES_ANNOTATION));
    assert!(hashes.is_some_and(|hashes| !hashes.is_empty()), "the second spec is remembered");
    let jobs = space.jobs().await;
    assert_eq!(jobs.len(), 2, "both specs were fetched: {jobs:?}");

    // Both specs are known now: going back and forth fetches nothing.
    let uri = format!("http://{}/files/{}/digits.onnx", space.world.fixtures.http_host(), space.name);
    space.patch::<Model>("digits", json!({"spec": {"source": {"uri": uri}}})).await;
    assert_eq!(current(&space.ready_model("digits").await), Some(1));
    assert_eq!(space.jobs().await, jobs);
}

/// New bytes behind an old address come in by `rerun`, and the spec of before brings the version of before.
pub async fn a_spec_that_returns_resolves_to_its_old_version_without_a_run(space: Space) {
    space.import("digits", FIRST).await;
    space.serve_file("digits.onnx", SECOND).await;
    space.patch::<Model>("digits", json!({"spec": {"rerun": "new-bytes"}})).await;
    let second = space.ready_model("digits").await;
    assert_eq!(current(&second), Some(2));
    let digest = |version: ModelVersion| version.spec.model_digest;
    assert_ne!(digest(space.version("digits-v1").await), digest(space.version("digits-v2").await));
    let jobs = space.jobs().await;
    assert_eq!(jobs.len(), 2, "{jobs:?}");

    // The address has other bytes by now; the version is decided by what the user wrote.
    space.patch::<Model>("digits", json!({"spec": {"rerun": null}})).await;
    let back = space.ready_model("digits").await;
    assert_eq!(current(&back), Some(1));
    assert_eq!(back.status.as_ref().and_then(|status| status.latest_version), Some(2));
    space.patch::<Model>("digits", json!({"spec": {"rerun": "new-bytes"}})).await;
    assert_eq!(current(&space.ready_model("digits").await), Some(2));
    assert_eq!(space.jobs().await, jobs, "no run was started for known specs");
    assert_eq!(space.list::<ModelVersion>().await.len(), 2);
}

/// Promotion to another namespace is an import by digest.
pub async fn an_artifact_of_modelwright_keeps_its_samples_in_another_namespace(space: Space) {
    space.import("digits", FIRST).await;
    let made = space.version("digits-v1").await.spec;
    let production = space.another("production").await;
    let source = json!({"sha256": made.artifact.sha256});
    production.create_object::<Model>(model("digits", &made.artifact.uri, source)).await;
    production.ready_model("digits").await;
    let promoted = production.version("digits-v1").await.spec;
    assert_eq!(promoted.model_digest, made.model_digest);
    assert_eq!(promoted.golden_samples, made.golden_samples);
    assert_eq!(promoted.signature, made.signature);
    assert_eq!(promoted.provenance.data_sha256, made.artifact.sha256);
    let deployment = production.serve("digits", "digits", json!({})).await;
    assert_eq!(production.predict(&deployment, FIRST).await.digest, made.model_digest);
    production.delete().await.expect("the second namespace can be deleted");
}

/// Metrics and test rows come along with the bytes.
pub async fn an_artifact_with_an_evaluation_brings_its_metrics_and_test_rows(space: Space) {
    let registry = space.world.fixtures.registry(false);
    let manifest = push_evaluated(&registry, &space.name).await;
    space.secret("modelwright-registry", &[("host", &registry.host), ("plainHttp", "true")]).await;
    let uri = format!("oci://{}/{}@sha256:{manifest}", registry.host, space.name);
    space
        .create_object::<Model>(model("digits", &uri, json!({"credentialsSecret": "modelwright-registry"})))
        .await;
    space.ready_model("digits").await;
    let version = space.version("digits-v1").await.spec;
    assert_eq!(version.model_digest, model_digest(&FIRST.bytes()));
    let metrics = version.evaluation.expect("the evaluation came along").metrics;
    assert_eq!(metrics.get("Accuracy").map(String::as_str), Some("0.97"));
    assert_eq!((version.golden_samples.count, version.golden_samples.source.as_str()), (1, "Test"));
}

fn model_digest(model: &[u8]) -> String {
    hex(digest_line("model.onnx", &hex(model)))
}

/// An artifact as a training run makes it.
async fn push_evaluated(registry: &Registry, repository: &str) -> String {
    let model = FIRST.bytes();
    let tensor = |name: &str, values: [f32; 4]| GoldenTensor {
        name: name.to_owned(),
        datatype: "FP32".to_owned(),
        shape: vec![1, 4],
        data: crate::harness::registry::base64(&values.map(f32::to_le_bytes).concat()),
    };
    let specification = |name: &str| TensorSpec {
        name: name.to_owned(),
        datatype: "FP32".to_owned(),
        shape: vec![-1, 4],
        ..TensorSpec::default()
    };
    let row = [1.0, 2.0, 3.0, 4.0];
    let golden = GoldenSamples {
        source: GoldenSource::Test,
        tolerance: "0.00001".to_owned(),
        // As artifacts were made before bounds were recorded.
        bounds: Vec::new(),
        random: Vec::new(),
        samples: vec![GoldenSample {
            inputs: vec![tensor("x", row)],
            outputs: vec![tensor("y", FIRST.predict(row))],
        }],
    };
    let description = Description {
        model_digest: model_digest(&model),
        opset: 17,
        signature: Signature {
            inputs: vec![specification("x")],
            outputs: vec![specification("y")],
            ..Signature::default()
        },
        metrics: [("Accuracy".to_owned(), "0.97".to_owned())].into(),
        confusion: None,
    };
    let files = [
        ("model.onnx", model),
        ("modelwright/description.json", serde_json::to_vec(&description).expect("it is JSON")),
        ("modelwright/golden.json", serde_json::to_vec(&golden).expect("it is JSON")),
    ];
    registry.push_files(repository, "v1", &files).await
}
