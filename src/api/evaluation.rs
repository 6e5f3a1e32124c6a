//! `evaluation` of a Model that is imported: data to measure it on, and what it must reach there. Words are those of a training.

use kube::KubeSchema;
use modelwright_contract::training::{DataFormat, Metric, TableInputs, Task};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::training::{
    Gate, Sequences, Text, Window, format_schema, inputs_schema, metric_schema, task_schema,
};

/// How an import is measured before it becomes a version. Default: it is not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.data.window) || self.task == 'Regression'").message("evaluation.data.window predicts a number, the label some rows ahead; set evaluation.task to Regression"),
    validation = Rule::new("!has(self.classes) || self.task == 'Classification'").message("evaluation.classes are the labels of a Classification; remove them"),
    validation = Rule::new("!has(self.metric) || (self.metric in ['MeanSquaredError', 'MeanAbsoluteError', 'R2']) == (self.task == 'Regression')").message("evaluation.metric is one of the other task: MeanSquaredError, MeanAbsoluteError and R2 measure a Regression, all others a Classification; choose one that fits evaluation.task"),
    validation = Rule::new("!has(self.gates) || self.gates.all(gate, (gate.metric in ['MeanSquaredError', 'MeanAbsoluteError', 'R2']) == (self.task == 'Regression'))").message("evaluation.gates has a metric of the other task: MeanSquaredError, MeanAbsoluteError and R2 measure a Regression, all others a Classification; choose one that fits evaluation.task")
)]
pub struct ImportEvaluation {
    /// What the model answers: Classification (one of several labels) or Regression (a number).
    #[schemars(schema_with = "task_schema")]
    pub task: Task,
    /// What it is measured on: data that it was not trained on. One row in five, at most 512, is not measured: the ranges of
    /// `optimize` and golden samples are made of these.
    pub data: EvaluationData,
    /// The labels in the order of the columns of the model's probabilities. Default: those of the data, sorted; where they are
    /// numbers of columns, all of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 2, max = 1000), inner(length(min = 1, max = 256)), extend("x-kubernetes-list-type" = "set"))]
    pub classes: Vec<String>,
    /// The metric that `status.score` shows, and that a variant may lose of (`optimize[].maxMetricDrop`). Default: F1Macro,
    /// MeanSquaredError.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "metric_schema")]
    pub metric: Option<Metric>,
    /// What the model must reach. One that misses a gate becomes no version. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 11), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["metric"]))]
    pub gates: Vec<Gate>,
}

/// What an import is measured on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.uri.matches('^(oci|s3|https|http|pvc)://[^/]+')").message("evaluation.data.uri must start with oci://, s3://, https://, http:// or pvc:// and name a host, bucket or claim, for example s3://bucket/digits-test.csv"),
    validation = Rule::new("!self.uri.startsWith('pvc://') || !has(self.credentialsSecret)").message("evaluation.data.credentialsSecret does not apply to a pvc:// address; remove it"),
    validation = Rule::new("self.uri.startsWith('oci://') || self.uri.startsWith('http') || self.uri.matches('^(s3|pvc)://[^/]+/.+')").message("evaluation.data.uri must name a path behind the bucket or claim, for example s3://bucket/digits-test.csv or pvc://claim/digits-test.csv"),
    validation = Rule::new("[has(self.images), has(self.sequences), has(self.text), has(self.window)].filter(given, given).size() <= 1").message("evaluation.data takes at most one of images, sequences, text and window; without any, a row is one of a table")
)]
pub struct EvaluationData {
    /// Where it is, as `training.data.uri`.
    #[schemars(length(min = 1, max = 2048))]
    pub uri: String,
    /// The expected SHA-256, as `training.data.sha256`. A mismatch fails the run. Default: not checked, but recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 64, max = 64), regex(pattern = r"^[0-9a-f]{64}$"))]
    pub sha256: Option<String>,
    /// How the data is written, as `training.data.format`. An NPZ has an array for each input of the model, by its name, and
    /// one for the label; of a model with a single input the array may have any name.
    #[schemars(schema_with = "format_schema")]
    pub format: DataFormat,
    /// The column, or with NPZ the array, with the truth. YAML reads a plain `y` as true: write "y".
    #[schemars(length(min = 1, max = 256))]
    pub label: String,
    /// Secret with the credentials, as `training.data.credentialsSecret`. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), regex(pattern = r"^modelwright-[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub credentials_secret: Option<String>,
    /// How the columns of a table reach the model: Columns (each input is the column of its name; others are left out) or
    /// Matrix (the model's one input is all columns but the label, in the order of the data). Default: Columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "inputs_schema")]
    pub inputs: Option<TableInputs>,
    /// The rows are images, as `training.data.images`; values are 0 to 255, and no model but the imported one resizes or scales
    /// them. Default: with format Images as each field says, otherwise the rows are those of a table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<EvaluationImages>,
    /// The rows are sequences, as `training.data.sequences`. Default: the rows are those of a table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequences: Option<Sequences>,
    /// The rows are texts, as `training.data.text`. Default: the rows are those of a table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Text>,
    /// The rows are windows of a table in time order, as `training.data.window`. Default: each row stands for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
}

/// Images. Default: with format Images as each field says, otherwise the rows are those of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EvaluationImages {
    /// Values of a pixel: 1 for grey, 3 for colour. Default: as in the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4))]
    pub channels: Option<u32>,
}
