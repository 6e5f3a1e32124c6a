//! What the schema cannot say, and the operator finds before anything runs.

use serde_json::{Value, json};

use super::table::{End::Invalid, Row, row};
use crate::harness::{
    datasets,
    resources::{deployment, merge, model},
};

const INVALID: super::table::End = Invalid("InvalidSpec");

fn trained(name: &str, change: Value) -> Value {
    let mut spec = datasets::training(json!({
        "data": {"uri": "s3://bucket/people.csv", "label": "buys"},
        "candidates": [{"name": "tree", "algorithm": "DecisionTree"}],
    }));
    merge(&mut spec, change);
    datasets::model(name, spec)
}

fn candidate(name: &str, candidate: Value) -> Value {
    trained(name, json!({"candidates": [candidate]}))
}

/// Every row.
pub fn rows() -> Vec<Row> {
    [sources(), trainings(), deployments()].into_iter().flatten().collect()
}

fn sources() -> Vec<Row> {
    let source = |name: &str, uri: &str| model(name, uri, json!({}));
    vec![
        row(
            source("uri-user", "https://ada:secret@host/digits.onnx"),
            INVALID,
            ["spec.source.uri", "carries credentials", "spec.source.credentialsSecret"],
        ),
        row(source("uri-space", "https://host/my digits.onnx"), INVALID, ["spec.source.uri", "%20"]),
        row(
            source("uri-dots", "pvc://claim/../other.onnx"),
            INVALID,
            ["spec.source.uri", "`pvc://claim/../other.onnx`", ".."],
        ),
        row(source("uri-claim", "pvc://Claim/digits.onnx"), INVALID, ["spec.source.uri", "Kubernetes name"]),
    ]
}

fn trainings() -> Vec<Row> {
    let tree =
        |parameters: Value| json!({"name": "tree", "algorithm": "DecisionTree", "parameters": parameters});
    vec![
        row(
            candidate("algorithm", json!({"name": "tree", "algorithm": "DecisionTre"})),
            INVALID,
            [
                "spec.training.candidates[0].algorithm `DecisionTre`",
                "did you mean `DecisionTree`?",
                "RandomForest",
            ],
        ),
        row(
            candidate("other-task", json!({"name": "lasso", "algorithm": "Lasso"})),
            INVALID,
            ["spec.training.candidates[0].algorithm `Lasso`", "it is one for Regression"],
        ),
        row(
            candidate("parameter", tree(json!({"max_dept": 3}))),
            INVALID,
            ["spec.training.candidates[0].parameters.max_dept", "did you mean `max_depth`?"],
        ),
        row(
            candidate("parameter-map", tree(json!({"max_depth": {"value": 3}}))),
            INVALID,
            ["spec.training.candidates[0].parameters.max_depth is a map", "expected a number"],
        ),
        row(
            trained("split", json!({"split": {"validation": "0.6", "test": "0.5"}})),
            INVALID,
            ["spec.training.split.validation is 0.6", "spec.training.split.test is 0.5", "below 1"],
        ),
        row(
            trained("share", json!({"split": {"test": "1"}})),
            INVALID,
            ["spec.training.split.test is 1", "a share between 0 and 1"],
        ),
        row(
            trained("rows", json!({"checks": {"minRows": 9, "maxRows": 3}})),
            INVALID,
            ["spec.training.checks.minRows is 9", "maxRows is 3", "at most"],
        ),
        row(
            trained("bounds", json!({"checks": {"columns": [{"name": "age", "min": "9", "max": "3"}]}})),
            INVALID,
            ["spec.training.checks.columns[0].min is 9", "max is 3"],
        ),
        row(
            trained("prepared-label", json!({"preprocess": [{"oneHot": {"columns": ["buys"]}}]})),
            INVALID,
            [
                "spec.training.preprocess[0].oneHot.columns names `buys`",
                "the label is not prepared: remove it",
            ],
        ),
        row(
            trained("goal", json!({"selection": {"metric": "F1Macro", "goal": "Minimize"}})),
            INVALID,
            ["spec.training.selection.goal is Minimize", "remove goal, or set it to Maximize"],
        ),
        row(
            trained(
                "measure",
                json!({"selection": {"metric": "LogLoss"}, "candidates": [{"name": "svm", "algorithm": "SVM"}]}),
            ),
            INVALID,
            [
                "spec.training.selection.metric LogLoss is measured of probabilities",
                "spec.training.candidates[0] `svm` gives none",
                "with probability: true",
            ],
        ),
        row(
            trained("gates", json!({"gates": [{"metric": "Accuracy", "min": "0.9", "max": "0.1"}]})),
            INVALID,
            ["spec.training.gates[0].min is 0.9", "max is 0.1"],
        ),
        row(
            trained("memory", json!({"resources": {"limits": {"memory": "1KB"}}})),
            INVALID,
            ["spec.training.resources.limits.memory", "`1KB`", "64Mi"],
        ),
        row(
            trained("image", json!({"trainer": {"image": "my image:1"}})),
            INVALID,
            ["spec.training.trainer.image `my image:1`", "registry.example.com/team/trainer:1"],
        ),
    ]
}

fn deployments() -> Vec<Row> {
    let served = |name: &str, change: Value| deployment(name, "served", change);
    vec![
        row(
            served("requests", json!({"resources": {"requests": {"cpu": 2}, "limits": {"cpu": "1500m"}}})),
            INVALID,
            ["spec.resources.requests.cpu is 2", "at most", "1500m"],
        ),
        row(
            served("gpu", json!({"resources": {"limits": {"gpu": 1}}})),
            INVALID,
            ["spec.resources.limits.gpu", "`gpu`", "nvidia.com/gpu"],
        ),
        row(
            served("timeout", json!({"serving": {"timeout": "0s"}})),
            INVALID,
            ["spec.serving.timeout `0s`", "at most 24h"],
        ),
        row(
            served("delay", json!({"serving": {"mode": "Latency", "batching": {"maxDelay": "11s"}}})),
            INVALID,
            ["spec.serving.batching.maxDelay `11s`", "0ms to 10s"],
        ),
        row(
            served("bytes", json!({"serving": {"maxRequestBytes": "0"}})),
            INVALID,
            ["spec.serving.maxRequestBytes `0`", "64Mi"],
        ),
        row(
            served("providers", json!({"accelerator": {"executionProviders": ["CPU", "CPU"]}})),
            INVALID,
            ["spec.accelerator.executionProviders names a provider twice", "once"],
        ),
        row(
            served(
                "toleration",
                json!({"scheduling": {"tolerations": [{"operator": "Exists", "value": "x"}]}}),
            ),
            INVALID,
            ["spec.scheduling.tolerations[0].value does not apply to operator Exists", "Equal"],
        ),
        row(
            served("version", json!({"version": 99})),
            Invalid("VersionNotFound"),
            ["spec.version is 99", "its latest: 1", "kubectl get modelversions"],
        ),
    ]
}
