//! Objects as a cluster would hold them.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use modelwright::{
    api::{
        Model, ModelSource, ModelSpec, ModelVersion,
        name::{self, run_job},
    },
    context::Settings,
    model::{
        build::{build_job, build_version},
        run::report::Reports,
        snapshot::Snapshot,
        validate::{ValidModel, validate_model},
    },
};
use modelwright_contract::{
    artifact::GoldenSource,
    report::{FetchReport, PublishReport, Report},
    rows::RowIndependence,
    signature::{Signature, TensorSpec},
    training::{CandidateScore, Metric, PartRows, TrainReport},
    variants::VariantReport,
};
use serde_json::{Value, json};

pub const NAMESPACE: &str = "space";

pub fn settings() -> Settings {
    Settings {
        runtime_image: "registry.example/modelwright-runtime:1".into(),
        runtime_gpu_image: None,
        trainer_image: "registry.example/modelwright-trainer:1".into(),
        trainer_keras_image: Some("registry.example/modelwright-trainer-keras:1".into()),
        trainer_keras_gpu_image: None,
        store_uri: "oci://store.example:5000/modelwright".into(),
        store_plain_http: true,
        store_push_host: None,
        allow_private_networks: false,
        waits: modelwright_contract::fetch::Waits::default(),
        cluster_domain: "cluster.local".into(),
    }
}

/// A Model as the API server stores it.
pub fn model(uri: &str, generation: i64) -> Model {
    let source = ModelSource {
        uri: uri.into(),
        format: None,
        sha256: None,
        credentials_secret: None,
        tolerate_crash_inputs: Vec::new(),
    };
    stored(ModelSpec { source: Some(source), ..ModelSpec::default() }, generation)
}

/// A Model that is trained, as the API server stores it; `training` is merged into the shortest one.
pub fn trained_model(training: Value, generation: i64) -> Model {
    let mut spec = json!({"training": {
        "task": "Classification",
        "data": {"uri": "s3://bucket/digits.csv", "format": "CSV", "label": "digit"},
        "candidates": [{"name": "forest", "algorithm": "RandomForest"}],
    }});
    for (name, part) in training.as_object().unwrap() {
        spec["training"][name] = part.clone();
    }
    stored(serde_json::from_value(spec).unwrap(), generation)
}

/// The same with variants.
pub fn optimized_model(optimize: Value, generation: i64) -> Model {
    let mut model = trained_model(json!({}), generation);
    model.spec.optimize = serde_json::from_value(optimize).unwrap();
    model
}

/// What a run reports of variants, by name and digest.
pub fn variant_reports(variants: &[(&str, char)]) -> Vec<VariantReport> {
    let report = |(name, digest): &(&str, char)| VariantReport {
        name: (*name).into(),
        model_digest: String::from(*digest).repeat(64),
        size_bytes: 100,
        figures: None,
        size: None,
    };
    variants.iter().map(report).collect()
}

fn stored(spec: ModelSpec, generation: i64) -> Model {
    let mut model = Model::new("digits", spec);
    model.metadata.namespace = Some(NAMESPACE.into());
    model.metadata.uid = Some("uid-of-digits".into());
    model.metadata.resource_version = Some("100".into());
    model.metadata.generation = Some(generation);
    model.metadata.finalizers = Some(vec![name::MODEL_FINALIZER.into()]);
    model
}

pub fn valid(model: &Model) -> ValidModel {
    validate_model(model).unwrap()
}

pub fn publish_report(digest: char) -> PublishReport {
    let tensor = |name: &str, shape: Vec<i64>| TensorSpec {
        name: name.into(),
        datatype: "FP32".into(),
        shape,
        ..TensorSpec::default()
    };
    PublishReport {
        model_digest: String::from(digest).repeat(64),
        artifact_uri: format!(
            "oci://store.example:5000/modelwright/{NAMESPACE}/digits@sha256:{}",
            "f".repeat(64)
        ),
        artifact_sha256: "f".repeat(64),
        size_bytes: 1234,
        opset: 17,
        signature: Signature {
            inputs: vec![tensor("image", vec![-1, 784])],
            optional_inputs: Vec::new(),
            outputs: vec![tensor("probabilities", vec![-1, 10])],
        },
        signature_truncated: false,
        golden_count: 8,
        golden_tolerance: "0.0001".into(),
        golden_source: GoldenSource::Synthetic,
        golden_random: Vec::new(),
        row_independence: Some(RowIndependence::not(
            Some("sum"),
            "ReduceSum: it computes along the axis of the rows",
        )),
        metrics: BTreeMap::new(),
        size: None,
        variants: Vec::new(),
    }
}

pub fn fetch_report() -> FetchReport {
    FetchReport { sha256: "e".repeat(64), size_bytes: 1200, files: 1, test_sha256: None }
}

pub fn reports(digest: char) -> Reports {
    Reports {
        fetch: fetch_report(),
        train: None,
        publish: publish_report(digest),
        started_at: "2026-11-24T10:00:00Z".into(),
        finished_at: "2026-11-24T10:00:20Z".into(),
    }
}

/// Version `number` of `model` as of its spec, with the digest and the stamp.
pub fn version(model: &Model, number: u64, digest: char, stamp: i64) -> ModelVersion {
    let valid = valid(model);
    let mut version = build_version(&valid, number, &reports(digest), &job(model), stamp);
    version.metadata.uid = Some(format!("uid-of-v{number}"));
    version.metadata.resource_version = Some("200".into());
    version
        .metadata
        .annotations
        .get_or_insert_default()
        .insert(name::APPLIED_HASH_ANNOTATION.into(), "v1-0".into());
    version
}

/// The Job of `model`'s spec, just made.
pub fn job(model: &Model) -> Job {
    let mut job = build_job(&valid(model), &settings(), false);
    job.metadata.uid = Some(format!("uid-of-{}", job.metadata.name.clone().unwrap()));
    job.metadata.resource_version = Some("300".into());
    job
}

pub fn job_name(model: &Model) -> String {
    run_job("digits", &valid(model).key())
}

/// `job` with a condition that is true.
pub fn finished(mut job: Job, condition: &str, reason: &str) -> Job {
    job.status = Some(
        serde_json::from_value(json!({
            "startTime": "2026-11-24T10:00:00Z",
            // Kubernetes gives it to those that complete only
            "completionTime": (condition == "Complete").then_some("2026-11-24T10:00:21Z"),
            "succeeded": i32::from(condition == "Complete"),
            "failed": i32::from(condition == "Failed"),
            "conditions": [{
                "type": condition, "status": "True", "reason": reason, "message": format!("{reason} says the Job"),
                "lastTransitionTime": "2026-11-24T10:00:21Z",
            }],
        }))
        .unwrap(),
    );
    job
}

/// A pod of `job` with this status.
pub fn pod(job: &Job, status: Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": {
            "name": format!("{}-pod", job.metadata.name.clone().unwrap()),
            "namespace": NAMESPACE,
            "uid": "uid-of-pod",
            "creationTimestamp": "2026-11-24T10:00:01Z",
            "labels": {name::MODEL_LABEL: "digits", name::MANAGED_BY_LABEL: name::MANAGED_BY},
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "job", "controller": true,
                "uid": job.metadata.uid}],
        },
        "spec": {"nodeName": "node", "containers": []},
        "status": status,
    }))
    .unwrap()
}

/// Status of a container that ended.
pub fn ended(container: &str, exit_code: i32, message: &str) -> Value {
    json!({"name": container, "image": "image", "imageID": "", "ready": false, "restartCount": 0, "state": {"terminated": {
        "exitCode": exit_code, "message": message, "finishedAt": "2026-11-24T10:00:20Z"}}})
}

/// Status of a container that waits.
pub fn waits(container: &str, reason: &str, message: &str) -> Value {
    json!({"name": container, "image": "image", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"waiting": {"reason": reason, "message": message}}})
}

pub fn succeeded_pod(job: &Job, digest: char) -> Pod {
    let fetch = serde_json::to_string(&Report::Succeeded(fetch_report())).unwrap();
    let publish = serde_json::to_string(&Report::Succeeded(publish_report(digest))).unwrap();
    pod(
        job,
        json!({
            "phase": "Succeeded",
            "initContainerStatuses": [ended("fetch", 0, &fetch)],
            "containerStatuses": [ended("publish", 0, &publish)],
        }),
    )
}

pub fn train_report() -> TrainReport {
    let score =
        |name: &str, score: Option<&str>| CandidateScore { name: name.into(), score: score.map(Into::into) };
    TrainReport {
        chosen: "mlp".into(),
        metric: Metric::F1Macro,
        candidates: vec![score("mlp", Some("0.9312")), score("forest", Some("0.9127")), score("svm", None)],
        rows: PartRows { train: 3500, validation: 500, test: 1000 },
        warnings: vec!["left out the column __index_level_0__: it is pandas' index".into()],
        warnings_truncated: false,
        device: Some("NVIDIA H100 80GB HBM3".into()),
    }
}

/// What the containers of a training report; publish has measured two metrics.
pub fn training_reports(digest: char) -> Reports {
    let mut reports = reports(digest);
    reports.train = Some(train_report());
    reports.publish.metrics =
        [("Accuracy".to_owned(), "0.94".to_owned()), ("F1Macro".to_owned(), "0.9301".to_owned())].into();
    reports
}

/// A pod of a training that succeeded; `told` is the message of `train`.
pub fn trained_pod(job: &Job, digest: char, told: &str) -> Pod {
    let fetch = serde_json::to_string(&Report::Succeeded(fetch_report())).unwrap();
    let publish = serde_json::to_string(&Report::Succeeded(training_reports(digest).publish)).unwrap();
    pod(
        job,
        json!({
            "phase": "Succeeded",
            "initContainerStatuses": [ended("fetch", 0, &fetch), ended("train", 0, told)],
            "containerStatuses": [ended("publish", 0, &publish)],
        }),
    )
}

/// Status of a container that runs.
pub fn runs(container: &str) -> Value {
    json!({"name": container, "image": "image", "imageID": "", "ready": false, "restartCount": 0, "state": {"running": {}}})
}

pub fn failed_pod(job: &Job, exit_code: i32, message: &str) -> Pod {
    pod(
        job,
        json!({
            "phase": "Failed",
            "initContainerStatuses": [ended("fetch", exit_code, message)],
            "containerStatuses": [waits("publish", "PodInitializing", "")],
        }),
    )
}

pub fn snapshot(versions: Vec<ModelVersion>, jobs: Vec<Job>, pods: Vec<Pod>) -> Snapshot {
    Snapshot {
        versions: versions.into_iter().map(Arc::new).collect(),
        jobs: jobs.into_iter().map(Arc::new).collect(),
        pods: pods.into_iter().map(Arc::new).collect(),
        ..Snapshot::default()
    }
}
