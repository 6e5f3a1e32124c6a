//! `spec.evaluation`, parsed. In goes what a user wrote, out comes a [`ValidEvaluation`] with every default resolved; problems are
//! told by the path of the field. Pure.

use std::collections::BTreeSet;

use modelwright_contract::{
    names::TEST_DIRECTORY,
    training::{DataFormat, Judgement, Metric, RunData, Task},
};

use super::{
    candidates::{check_metric, default_metric, validate_gates},
    inputs::{check_rows, check_window, run_data},
    source::{ValidSource, validate_source},
};
use crate::api::{
    EvaluationData, ImportEvaluation,
    training::{Images, TrainingData},
};

const FIELD: &str = "spec.evaluation";
const DATA: &str = "spec.evaluation.data";

/// How an import is measured.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidEvaluation {
    /// Where the data comes from.
    pub source: ValidSource,
    /// What `prepare` is told of it.
    pub data: RunData,
    /// The labels in the order of the model's columns, where they are named.
    pub classes: Vec<String>,
    /// The metric that is shown, and that variants may lose of.
    pub metric: Metric,
    /// What the model must reach.
    pub judgement: Judgement,
}

impl ValidEvaluation {
    /// Whether it is read by the image with Keras, which alone has a library for pictures.
    pub fn needs_keras(&self) -> bool {
        self.data.format == DataFormat::Images
    }
}

/// Parses how an import is measured.
pub(super) fn validate_evaluation(
    evaluation: &ImportEvaluation,
    problems: &mut Vec<String>,
) -> Option<ValidEvaluation> {
    let task = evaluation.task;
    let written = &evaluation.data;
    let source = validate_source(
        DATA,
        [&written.uri, "digits-test.csv"],
        written.sha256.as_ref(),
        written.credentials_secret.as_ref(),
        problems,
    );
    if written.label.trim().is_empty() {
        problems.push(format!(
            "{DATA}.label is empty; name the column, or with NPZ the array, that holds the truth"
        ));
    }
    let data = as_training(written);
    check_rows(&data, DATA, problems);
    check_window(&data, [DATA, "spec.evaluation.task"], task, problems);
    check_classes(&evaluation.classes, task, problems);
    let metric = evaluation.metric.unwrap_or_else(|| default_metric(task));
    check_metric(FIELD, "metric", metric, task, problems);
    let gates = validate_gates(FIELD, &evaluation.gates, task, problems);
    Some(ValidEvaluation {
        source: source?,
        data: RunData { directory: TEST_DIRECTORY.into(), ..run_data(&data) },
        classes: evaluation.classes.clone(),
        metric,
        judgement: Judgement { task, gates },
    })
}

/// The same words as those of a training.
fn as_training(data: &EvaluationData) -> TrainingData {
    TrainingData {
        uri: data.uri.clone(),
        sha256: data.sha256.clone(),
        format: data.format,
        label: data.label.clone(),
        credentials_secret: data.credentials_secret.clone(),
        inputs: data.inputs,
        images: data.images.as_ref().map(|images| Images {
            height: None,
            width: None,
            channels: images.channels,
        }),
        sequences: data.sequences.clone(),
        text: data.text.clone(),
        window: data.window.clone(),
        test: None,
    }
}

fn check_classes(classes: &[String], task: Task, problems: &mut Vec<String>) {
    if !classes.is_empty() && task == Task::Regression {
        problems.push(format!(
            "{FIELD}.classes are the labels of a Classification, and {FIELD}.task is Regression; remove them"
        ));
    }
    if let [only] = classes {
        problems
            .push(format!("{FIELD}.classes has `{only}` alone; expected two or more, in the model's order"));
    }
    let mut seen = BTreeSet::new();
    for class in classes {
        if !seen.insert(class) {
            problems.push(format!("{FIELD}.classes names `{class}` twice; name each label once"));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;

    fn parsed(changes: &[(&str, Value)]) -> Result<ValidEvaluation, Vec<String>> {
        let mut evaluation = json!({
            "task": "Classification",
            "data": {"uri": "s3://bucket/digits-test.csv", "format": "CSV", "label": "digit"},
        });
        for (pointer, value) in changes {
            let (parent, name) = pointer.rsplit_once('/').unwrap();
            evaluation.pointer_mut(parent).unwrap()[name] = value.clone();
        }
        let mut problems = Vec::new();
        let valid = validate_evaluation(&serde_json::from_value(evaluation).unwrap(), &mut problems);
        if problems.is_empty() { Ok(valid.unwrap()) } else { Err(problems) }
    }

    #[test]
    fn what_is_not_said_is_resolved() {
        let valid = parsed(&[]).unwrap();
        assert_eq!((valid.metric, valid.data.directory.as_str()), (Metric::F1Macro, "/modelwright/test"));
        assert!(!valid.needs_keras() && valid.judgement.gates.is_empty());
        assert_eq!(parsed(&[("/task", json!("Regression"))]).unwrap().metric, Metric::MeanSquaredError);
        assert!(parsed(&[("/data/format", json!("Images"))]).unwrap().needs_keras());
    }

    #[test]
    fn what_makes_no_sense_names_the_field() {
        for (changes, part) in [
            (vec![("/data/uri", json!("ftp://host/a"))], "spec.evaluation.data.uri `ftp://host/a`"),
            (vec![("/data/uri", json!("pvc://claim/../b"))], "spec.evaluation.data.uri `pvc://claim/../b`"),
            (vec![("/data/sha256", json!("ABC"))], "spec.evaluation.data.sha256 `ABC`"),
            (
                vec![("/data/credentialsSecret", json!("mine"))],
                "spec.evaluation.data.credentialsSecret `mine`",
            ),
            (vec![("/data/label", json!(" "))], "spec.evaluation.data.label is empty"),
            (vec![("/data/images", json!({}))], "spec.evaluation.data.images goes with format NPZ or Images"),
            (
                vec![("/data/format", json!("NPZ")), ("/data/images", json!({"channels": 2}))],
                "spec.evaluation.data.images.channels is 2",
            ),
            (
                vec![("/data/sequences", json!({}))],
                "spec.evaluation.data.sequences of CSV needs id and order",
            ),
            (
                vec![("/data/format", json!("NPZ")), ("/data/inputs", json!("Matrix"))],
                "spec.evaluation.data.inputs is Matrix",
            ),
            (vec![("/data/text", json!({"column": "digit"}))], "spec.evaluation.data.text.column is `digit`"),
            (
                vec![("/data/window", json!({"past": 2}))],
                "spec.evaluation.data.window predicts a number, the label some rows ahead, and spec.evaluation.task is Classification",
            ),
            (vec![("/classes", json!(["a"]))], "spec.evaluation.classes has `a` alone"),
            (vec![("/classes", json!(["a", "b", "a"]))], "spec.evaluation.classes names `a` twice"),
            (
                vec![("/task", json!("Regression")), ("/classes", json!(["a", "b"]))],
                "spec.evaluation.classes are the labels of a Classification",
            ),
            (vec![("/metric", json!("R2"))], "spec.evaluation.metric R2 measures a Regression"),
            (
                vec![("/gates", json!([{"metric": "R2", "min": "0"}]))],
                "spec.evaluation.gates[0].metric R2 measures a Regression, and spec.evaluation.task is Classification",
            ),
            (
                vec![("/gates", json!([{"metric": "Accuracy", "min": "95"}]))],
                "spec.evaluation.gates[0].min is 95; Accuracy lies from 0 to 1",
            ),
            (vec![("/gates", json!([{"metric": "Accuracy"}]))], "spec.evaluation.gates[0] has no bound"),
        ] {
            let problems = parsed(&changes).unwrap_err();
            assert!(problems.len() == 1 && problems[0].contains(part), "{part}: {problems:?}");
        }
    }
}
