//! What the API server refuses of an import that is measured, or that is a file of Keras.

use serde_json::{Value, json};

use super::{
    admission::{imported, trained},
    table::{End::Refused, Row, row},
};
use crate::harness::resources::merge;

/// Every row.
pub fn rows() -> Vec<Row> {
    let asked = json!({
        "task": "Classification",
        "data": {"uri": "s3://bucket/digits-test.csv", "format": "CSV", "label": "digit"},
    });
    let measured = |change: Value| {
        let mut evaluation = asked.clone();
        merge(&mut evaluation, change);
        imported(json!({"spec": {"evaluation": evaluation}}))
    };
    let mut both = trained(json!({}));
    both["spec"]["evaluation"] = asked.clone();
    vec![
        row(both, Refused, ["evaluation measures an import, and spec has training"]),
        row(
            imported(json!({"spec": {"optimize": [{"name": "int8", "quantize": "Static"}]}})),
            Refused,
            ["optimize needs training or evaluation"],
        ),
        row(
            measured(json!({"data": {"uri": "ftp://a"}})),
            Refused,
            ["evaluation.data.uri must start with oci://"],
        ),
        row(
            measured(json!({"data": {"format": "TSV"}})),
            Refused,
            ["spec.evaluation.data.format: Unsupported value"],
        ),
        row(
            measured(json!({"data": {"text": {}, "window": {"past": 2}}})),
            Refused,
            ["evaluation.data takes at most one of images, sequences, text and window"],
        ),
        row(measured(json!({"metric": "R2"})), Refused, ["evaluation.metric is one of the other task"]),
        row(
            measured(json!({"gates": [{"metric": "R2", "min": "0.9"}]})),
            Refused,
            ["evaluation.gates has a metric of the other task"],
        ),
        row(
            measured(json!({"task": "Regression", "classes": ["a", "b"]})),
            Refused,
            ["evaluation.classes are the labels of a Classification"],
        ),
        row(
            measured(json!({"classes": ["a", "a"]})),
            Refused,
            ["spec.evaluation.classes[1]: Duplicate value"],
        ),
        row(
            imported(json!({"spec": {"source": {"uri": "s3://bucket/folder/", "format": "Keras"}}})),
            Refused,
            ["source.format Keras is one .keras file"],
        ),
        row(
            imported(json!({"spec": {"source": {"format": "PyTorch"}}})),
            Refused,
            ["spec.source.format: Unsupported value"],
        ),
    ]
}
