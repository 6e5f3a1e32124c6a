//! What a training run is told, and what its `train` container leaves behind.
//!
//! The `fetch` container writes the [`RunConfig`] to [`RUN_FILE`], for the built-in trainer and for a user's own image
//! alike. `train` reads the data from [`RunData::directory`] and writes into [`RunConfig::output`]:
//!
//! | file | what is in it |
//! | --- | --- |
//! | [`MODEL_FILE`](crate::artifact::MODEL_FILE) | the chosen model with its preparation; external data beside it by relative name |
//! | [`EVALUATION_FILE`] | the test part, as the graph takes it, its labels, and the trainer's own answers |
//! | [`CALIBRATION_FILE`] | optional: at most 512 rows of the training part, as the graph takes them |
//! | [`SHAREABLE_FILE`] | optional: rows that are no secret, as the graph takes them; golden samples are recorded of these |
//! | [`VARIABLES_FILE`], [`CURVES_FILE`] | optional: of networks, kept with the version |
//! | [`REPORT_FILE`] | optional: a [`TrainingReport`], shown and never believed |
//!
//! `prove` computes every metric and gate itself, by ONNX Runtime, from the published bytes on [`EVALUATION_FILE`].
//!
//! Arrays of [`EVALUATION_FILE`], [`CALIBRATION_FILE`] and [`SHAREABLE_FILE`] (NumPy `.npz`, without pickled objects; text as `<U…`):
//!
//! | array | shape | what it is |
//! | --- | --- | --- |
//! | `inputs/NAME` | (rows, …) | one for each input of the graph |
//! | `labels` | (rows,) | the truth: integers or text for a classification, floats for a regression |
//! | `classes` | (classes,) | with an output `probabilities`: the labels in the order of its columns, of the kind of `labels` |
//! | `outputs/NAME` | (rows, …) | optional: the trainer's own answers, compared with those of the published bytes |
//!
//! Outputs of the graph: a classification gives `label` (rows,), `probabilities` (rows, classes), or both; a regression
//! gives `prediction` (rows,) or (rows, 1). A graph with a single output may name it as it likes.

mod data;
mod judgement;
mod network;
mod report;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use data::{Images, Kind, Sequences, TableInputs, TestData, Text, Window};
pub use judgement::{Gate, Goal, Judgement, Metric, Selection};
pub use network::{Layer, Typed};
pub use report::{CandidateReport, CandidateScore, PartRows, Progress, TrainReport, TrainingReport};

/// Where the [`RunConfig`] is, for `train`.
pub const RUN_FILE: &str = "/modelwright/run.json";
/// Where `train` writes.
pub const OUTPUT_DIRECTORY: &str = "/modelwright/out";
/// The test part, in the output folder.
pub const EVALUATION_FILE: &str = "evaluation.npz";
/// Rows of the training part, in the output folder.
pub const CALIBRATION_FILE: &str = "calibration.npz";
/// Rows that may leave the cluster with the model, in the output folder.
pub const SHAREABLE_FILE: &str = "golden.npz";
/// The [`TrainReport`] of the termination message, in the output folder: optional, for the report of the run.
pub const TRAIN_REPORT_FILE: &str = "train.json";
/// The [`TrainingReport`], in the output folder.
pub const REPORT_FILE: &str = "report.json";
/// The variables of the chosen network by `layer/variable`, in the output folder: optional, kept with the version for others
/// that start from it.
pub const VARIABLES_FILE: &str = "variables.npz";
/// A picture of how losses fell, in the output folder: optional, kept with the version.
pub const CURVES_FILE: &str = "curves.svg";
/// Path of the [`Progress`], on port [`METRICS_PORT`](crate::names::METRICS_PORT) of the pod while `train` runs.
pub const PROGRESS_PATH: &str = "/progress";

/// A training run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RunConfig {
    /// Name of the Model.
    pub model: String,
    /// What is learned.
    pub task: Task,
    /// What is learned from.
    pub data: RunData,
    /// What must hold of the data before a run starts.
    #[serde(default)]
    pub checks: Checks,
    /// Preparation of columns, in order; part of the exported graph.
    #[serde(default)]
    pub preprocess: Vec<Preparation>,
    /// How rows are parted.
    pub split: Split,
    /// What is trained and compared; may be empty for a user's own image.
    #[serde(default)]
    pub candidates: Vec<Candidate>,
    /// How one of them is chosen, on the validation part.
    pub selection: Selection,
    /// The folder to write into.
    pub output: String,
    /// A folder that outlives the pod, for what a training goes on from when its pod is lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<Folder>,
    /// A folder with the [`VARIABLES_FILE`] of a version, which networks start from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Folder>,
}

/// A folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Folder {
    /// Its path.
    pub directory: String,
}

/// What is learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Task {
    /// One of several labels.
    Classification,
    /// A number.
    Regression,
}

/// Training data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RunData {
    /// The folder with the fetched files, as they came.
    pub directory: String,
    /// How they are written.
    pub format: DataFormat,
    /// CSV and Parquet: the column with the truth. NPZ: the array with it; the other array holds the features.
    pub label: String,
    /// CSV and Parquet: how the columns of a table reach the model; absent: each by its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<TableInputs>,
    /// The rows are images; of these four at most one, and without any the rows are those of a table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<Images>,
    /// The rows are sequences.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequences: Option<Sequences>,
    /// The rows are texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Text>,
    /// The rows are windows of a table in time order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// A test set of its own, in the same form; [`Split::test`] is then absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<TestData>,
}

/// How data is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DataFormat {
    /// Comma-separated values (RFC 4180) in UTF-8 with a line of names; one file, or several with the same columns.
    #[serde(rename = "CSV")]
    Csv,
    /// One NumPy `.npz` of two arrays: features (rows, …) and labels (rows,).
    #[serde(rename = "NPZ")]
    Npz,
    /// Apache Parquet; one file, or several with the same columns.
    Parquet,
    /// PNG and JPEG files in a folder or an archive, labelled by folder or by a table.
    Images,
}

/// What must hold of the data; what is absent is not checked. Shares are decimal strings from 0 to 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Checks {
    /// Fewest rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_rows: Option<u64>,
    /// Most rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rows: Option<u64>,
    /// Largest share of missing values in any one feature column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_missing_fraction: Option<String>,
    /// Largest share of rows that repeat an earlier row, label included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_duplicate_fraction: Option<String>,
    /// Classification: smallest share of rows of any one label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_class_fraction: Option<String>,
    /// Single columns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<ColumnCheck>,
}

/// What must hold of one column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ColumnCheck {
    /// Its name.
    pub name: String,
    /// What its values are.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_: Option<ColumnType>,
    /// Smallest number, a decimal string.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<String>,
    /// Largest number, a decimal string.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<String>,
    /// The only values that may occur, as text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<String>,
    /// Largest share of missing values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_missing_fraction: Option<String>,
}

/// What the values of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ColumnType {
    /// Any number.
    Number,
    /// Whole numbers.
    Integer,
    /// Text.
    Text,
}

/// One step of preparation. A step without `columns` applies to every feature column of the kind that it can take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Preparation {
    /// Fills in missing values.
    Impute {
        /// With what.
        strategy: ImputeStrategy,
        /// The value of [`ImputeStrategy::Constant`], as text.
        #[serde(default, rename = "fillValue", skip_serializing_if = "Option::is_none")]
        fill_value: Option<String>,
        /// Columns; default: every column that the strategy can fill.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        columns: Vec<String>,
    },
    /// Scales numbers.
    Scale {
        /// How.
        method: ScaleMethod,
        /// Columns; default: every numeric column.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        columns: Vec<String>,
    },
    /// One column of 0 and 1 for each value that the training part has; other values give 0 in all of them.
    OneHot {
        /// Columns; default: every text column.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        columns: Vec<String>,
    },
    /// The number of a value among those of the training part, sorted; other values give -1.
    Ordinal {
        /// Columns; default: every text column.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        columns: Vec<String>,
    },
}

/// What missing values are filled with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImputeStrategy {
    /// The mean of the training part.
    Mean,
    /// Its median.
    Median,
    /// Its most frequent value.
    MostFrequent,
    /// A given value.
    Constant,
}

/// How numbers are scaled, by figures of the training part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScaleMethod {
    /// To mean 0 and variance 1.
    Standard,
    /// To 0 … 1.
    MinMax,
    /// By median and interquartile range.
    Robust,
}

/// How rows are parted into training, validation and test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Split {
    /// By what; absent: at random.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<SplitBy>,
    /// Share of the validation part, a decimal string.
    pub validation: String,
    /// Share of the test part, a decimal string; absent where the test set is one of its own ([`RunData::test`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<String>,
    /// Seed of the shuffle, and of every candidate that takes a `random_state` and is given none.
    pub seed: u32,
    /// Whether each part has the labels in the same shares.
    pub stratify: bool,
}

/// By what rows are parted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SplitBy {
    /// A shuffle by the seed.
    Random,
    /// Their order: the training part first, then validation, then test.
    Time,
}

/// One model to train: exactly one of `algorithm` and `layers`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Candidate {
    /// Its name, unique among the candidates.
    pub name: String,
    /// One of [`crate::algorithms`], or for a user's own image any word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
    /// The layers of a network, in order; of [`crate::layers`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<Layer>,
    /// What the network is trained to make small, by Keras' identifier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<String>,
    /// How it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optimizer: Option<Typed>,
    /// What happens between its epochs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub callbacks: Vec<Typed>,
    /// Parameters by scikit-learn's own names; of a network, those of Keras' `fit`.
    #[serde(default)]
    pub parameters: BTreeMap<String, Value>,
}
