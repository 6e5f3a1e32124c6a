//! `evaluation` of a Model that is imported: data to measure it on, and what it must reach there. Words are those of a training.

use kube::KubeSchema;
use modelwright_contract::training::{DataFormat, Metric, TableInputs, Task};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    rules,
    training::{Gate, Sequences, Text, Window, format_schema, inputs_schema, metric_schema, task_schema},
};

/// How an import is measured before it becomes a version. Default: it is not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = rules::has_windows_of_a_regression("evaluation"),
    validation = Rule::new("!has(self.classes) || self.task == 'Classification'").message("evaluation.classes are the labels of a Classification; remove them"),
    validation = rules::has_a_metric_of_its_task("evaluation", "!has(self.metric)", "metric"),
    validation = rules::has_gates_of_its_task("evaluation")
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
    validation = rules::has_a_scheme("evaluation.data", "digits-test.csv"),
    validation = rules::has_no_credentials_of_a_claim("evaluation.data"),
    validation = rules::has_a_path("evaluation.data", "digits-test.csv"),
    validation = rules::has_one_kind_of_rows("evaluation.data")
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
