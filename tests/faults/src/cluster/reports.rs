//! What the containers of a run say at their end, and what its `publish` leaves in the store.

use std::collections::BTreeMap;

use modelwright_contract::{
    artifact::GoldenSource,
    names::{EXIT_BAD_INPUT, FETCH_ENV},
    report::{Failure, FetchReport, MADE_BEFORE, NO_REPORT, PublishReport, Report, RunReport},
    signature::{Signature, TensorSpec},
    training::{CandidateScore, Metric, PartRows, TrainReport},
};
use serde::Serialize;
use serde_json::Value;

use super::{Cluster, casts};
use crate::json::{annotation, items, text};

const RECALLS: &str = "modelwright.dev/recalls";
const SPEC_HASH: &str = "modelwright.dev/spec-hash";

/// Exit code and message of a container that ended.
pub type End = (i32, String);

impl Cluster {
    /// How a container of a Job's pod ends.
    pub(super) fn end(&mut self, job: &Value, container: &str) -> End {
        let uid = text(job, "/metadata/uid");
        let recalls = annotation(job, RECALLS);
        match container {
            "fetch" if self.published.contains_key(uid) => {
                failed(MADE_BEFORE, "an earlier attempt of the run published")
            }
            "fetch" => said(&fetch_report()),
            "train" => said(&train_report()),
            "publish" if !recalls.is_empty() => match self.published.get(recalls) {
                Some(report) => (0, report.clone()),
                None => failed(NO_REPORT, "the store has no report of the run"),
            },
            "publish" => {
                let report = publish_report(job);
                let trained = container_of(job, "train").is_some();
                let run = RunReport {
                    run: uid.into(),
                    fetch: fetch_report(),
                    train: trained.then(train_report),
                    publish: report.clone(),
                };
                self.published.insert(uid.to_owned(), said(&run).1);
                said(&report)
            }
            _ => (0, String::new()),
        }
    }
}

fn said<T: Serialize>(report: &T) -> End {
    (0, serde_json::to_string(&Report::Succeeded(report)).unwrap_or_default())
}

fn failed(reason: &str, message: &str) -> End {
    let failure = Failure { reason: reason.into(), message: message.into() };
    (EXIT_BAD_INPUT, serde_json::to_string(&Report::<()>::Failed(failure)).unwrap_or_default())
}

fn container_of<'a>(job: &'a Value, name: &str) -> Option<&'a Value> {
    let spec = "/spec/template/spec";
    let mut all =
        items(job, &format!("{spec}/initContainers")).chain(items(job, &format!("{spec}/containers")));
    all.find(|container| container["name"] == name)
}

/// What a run is made from: the address of an import, all that a training asks for.
fn source(job: &Value) -> String {
    if container_of(job, "train").is_some() {
        return format!("trained of {}", annotation(job, SPEC_HASH));
    }
    let config = container_of(job, "fetch").map(|fetch| {
        let mut variables = items(fetch, "/env");
        let config = variables.find(|variable| variable["name"] == FETCH_ENV);
        config.map(|variable| text(variable, "/value").to_owned()).unwrap_or_default()
    });
    let config: Value = serde_json::from_str(&config.unwrap_or_default()).unwrap_or_default();
    text(&config, "/uri").to_owned()
}

fn fetch_report() -> FetchReport {
    FetchReport { sha256: "e".repeat(64), size_bytes: 1200, files: 1, test_sha256: None }
}

fn train_report() -> TrainReport {
    TrainReport {
        device: None,
        chosen: "forest".into(),
        metric: Metric::F1Macro,
        candidates: vec![CandidateScore { name: "forest".into(), score: Some("0.93".into()) }],
        rows: PartRows { train: 3500, validation: 500, test: 1000 },
        warnings: Vec::new(),
        warnings_truncated: false,
    }
}

fn publish_report(job: &Value) -> PublishReport {
    let model_digest = casts::digest(&source(job));
    let artifact_sha256: String = model_digest.chars().rev().collect();
    let tensor = |name: &str, shape: Vec<i64>| TensorSpec {
        name: name.into(),
        datatype: "FP32".into(),
        shape,
        ..TensorSpec::default()
    };
    PublishReport {
        artifact_uri: format!(
            "oci://store.example:5000/modelwright/{}/{}@sha256:{artifact_sha256}",
            text(job, "/metadata/namespace"),
            crate::json::label(job, "modelwright.dev/model"),
        ),
        model_digest,
        artifact_sha256,
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
        row_independence: None,
        metrics: BTreeMap::new(),
        size: None,
        variants: Vec::new(),
    }
}
