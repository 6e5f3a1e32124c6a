//! ModelDeployments and what runs of them, as a cluster would hold them.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{api::discovery::v1::EndpointSlice, jiff::Timestamp};
use modelwright::{
    api::{
        ModelDeployment,
        model_version::{Artifact, Signature},
        name::{DEPLOYMENT_LABEL, MANAGED_BY, MANAGED_BY_LABEL},
    },
    problem::Problem,
    serving::{
        build::{Owner, build_revision},
        identity::revision_hash,
        pods::Answer,
        revision::{RevisionData, VersionReference, read},
        rollout::{self, Desired, Observed, Pod, Revision, Scale},
        validate::{ValidDeployment, validate_deployment},
    },
};
use modelwright_contract::status::ServeStatus;
use serde_json::{Value, json};

use crate::fixtures::{NAMESPACE, settings};

pub fn deployment(spec: Value) -> ModelDeployment {
    serde_json::from_value(json!({
        "apiVersion": "modelwright.dev/v1alpha1", "kind": "ModelDeployment",
        "metadata": {"name": "digits", "namespace": NAMESPACE, "uid": "uid-of-md", "generation": 2, "resourceVersion": "100"},
        "spec": spec,
    }))
    .unwrap()
}

pub fn valid(deployment: &ModelDeployment) -> ValidDeployment {
    validate_deployment(deployment).unwrap()
}

pub fn version_reference(version: u64, digest: char) -> VersionReference {
    VersionReference {
        model: "digits".into(),
        version,
        model_digest: String::from(digest).repeat(64),
        variant: None,
        artifact: Artifact {
            uri: format!("oci://store.example:5000/modelwright/{NAMESPACE}/digits@sha256:{}", "f".repeat(64)),
            sha256: "f".repeat(64),
            size_bytes: 1_000_000,
            opset: 17,
        },
        signature: Signature::default(),
        size: None,
    }
}

/// What a revision of this version serves; its name is the version as ten digits.
pub fn data(version: u64) -> RevisionData {
    let valid = valid(&deployment(json!({"model": "digits"})));
    let version_reference = version_reference(version, 'c');
    let owner = Owner { name: &valid.name, namespace: &valid.namespace, reference: &valid.owner };
    let hash = revision_hash(&valid.asked, &version_reference.model_digest);
    read(&build_revision(&owner, &hash, &valid.asked, &version_reference, &settings(), false)).unwrap()
}

/// What the cluster makes of a Service that has this pod, by its UID.
pub fn endpoints(service: &str, namespace: &str, pod: &str) -> EndpointSlice {
    serde_json::from_value(json!({
        "metadata": {"name": format!("{service}-1"), "namespace": namespace, "labels": {
            MANAGED_BY_LABEL: MANAGED_BY, DEPLOYMENT_LABEL: service, "kubernetes.io/service-name": service}},
        "addressType": "IPv4", "ports": [{"name": "http", "port": 8080}],
        "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": true},
            "targetRef": {"kind": "Pod", "uid": pod}}],
    }))
    .unwrap()
}

pub fn time(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

pub fn pod(name: &str, ready: bool) -> Pod {
    Pod {
        name: name.into(),
        created: Some(time(0)),
        terminating: false,
        started: ready,
        ready,
        taken_up: true,
        labelled: true,
        routed: true,
        leaving_since: None,
        verified: ready,
        drained: false,
        problem: None,
    }
}

pub fn broken(name: &str, reason: &str, message: &str) -> Pod {
    Pod { problem: Some(Problem { reason: reason.into(), message: message.into() }), ..pod(name, false) }
}

pub fn revision(record: modelwright::serving::record::Record, replicas: u32, pods: Vec<Pod>) -> Revision {
    Revision {
        record,
        scale: Some(Scale { replicas, settled: true }),
        drain_timeout: Duration::from_secs(30),
        pods,
        problem: None,
        is_aside: false,
    }
}

pub fn desired(target: Option<&str>, replicas: u32) -> Desired {
    Desired {
        target: target.map(Into::into),
        replicas,
        max_surge: 1,
        progress_deadline: Duration::from_mins(10),
        auto_rollback: true,
        paused: false,
        keep: 10,
    }
}

pub fn observed(revisions: impl IntoIterator<Item = (&'static str, Revision)>) -> Observed {
    Observed {
        revisions: revisions.into_iter().map(|(name, revision)| (name.to_owned(), revision)).collect(),
        ..rollout::Observed::default()
    }
}

pub fn said(pod: &str, digest: &str, provider: &str) -> BTreeMap<String, Answer> {
    let said = ServeStatus {
        model: "digits".into(),
        version: 1,
        model_digest: digest.into(),
        execution_provider: provider.into(),
        graph_nodes: BTreeMap::from([(provider.to_owned(), 3)]),
        onnxruntime_version: "1".into(),
        ready: true,
        draining: false,
        drained: false,
        shared_runs: None,
        golden_samples: 8,
        requests: 0,
        message: None,
    };
    [(pod.to_owned(), Answer::Said(said))].into()
}
