//! `training` of a Model: data in, a model out. Words and defaults are those of the trainers' contract.

mod data;
mod network;
mod preparation;
mod words;

use std::collections::BTreeMap;

use kube::KubeSchema;
use modelwright_contract::training::{ColumnType, DataFormat, Goal, Metric, SplitBy, TableInputs, Task};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{amount::Amount, rules};
pub use data::{Images, Sequences, TestData, Text, Window};
pub use network::{Callback, Layer, Optimizer};
pub use preparation::{Encode, Impute, Preparation, Scale};
use words::{column_type_schema, goal_schema, split_by_schema};
pub(super) use words::{format_schema, inputs_schema, metric_schema, task_schema};

/// A decimal string.
const DECIMAL: &str = r"^-?[0-9]{1,15}(\.[0-9]{1,15})?$";
/// A decimal string from 0 to 1.
pub(super) const FRACTION: &str = r"^(0(\.[0-9]{1,15})?|1(\.0{1,15})?)$";

/// How a model is trained: data, checks, preparation, split, candidates, selection, gates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(has(self.trainer) && (has(self.trainer.image) || has(self.trainer.python))) || (has(self.candidates) && size(self.candidates) > 0)").message("training.candidates is empty: name at least one algorithm to train, for example {name: forest, algorithm: RandomForest}; only an own trainer.image or trainer.python may do without"),
    validation = Rule::new("!has(self.candidates) || !has(self.trainer) || (!has(self.trainer.image) && !has(self.trainer.python) && (!has(self.trainer.library) || self.trainer.library != 'ScikitLearn')) || self.candidates.all(candidate, !has(candidate.layers))").message("training.candidates has layers, and training.trainer is one that knows none: layers are trained by Keras; remove training.trainer or set its library to Keras"),
    validation = Rule::new("!(has(self.from) || (has(self.run) && has(self.run.checkpoint))) || (has(self.trainer) && (has(self.trainer.image) || has(self.trainer.python))) || (has(self.candidates) && self.candidates.exists(candidate, has(candidate.layers)))").message("training.from and training.run.checkpoint are for networks (candidates[].layers) and for code of your own; remove them"),
    validation = Rule::new("!has(self.data.test) || !has(self.split) || !has(self.split.test)").message("training.split.test is a share of the data, and training.data.test is a test set of its own; remove one of both"),
    validation = Rule::new("!has(self.data.window) || !has(self.split) || !has(self.split.by) || self.split.by == 'Time'").message("training.split.by is Random, and training.data.window needs rows in their order; set it to Time or remove it"),
    validation = Rule::new("!has(self.split) || !has(self.split.stratify) || !self.split.stratify || !(has(self.data.window) || (has(self.split.by) && self.split.by == 'Time'))").message("training.split.stratify is true, and rows that are parted by time cannot be chosen by label; remove stratify, or part at random"),
    validation = Rule::new("!has(self.preprocess) || size(self.preprocess) == 0 || !(self.data.format == 'Images' || has(self.data.images) || has(self.data.sequences) || has(self.data.text) || has(self.data.window))").message("training.preprocess is for the columns of a table, and training.data has images, sequences, text or windows; remove it, and give a network layers such as Rescaling or BatchNormalization"),
    validation = rules::has_windows_of_a_regression("training"),
    validation = rules::has_gates_of_its_task("training"),
    validation = rules::has_a_metric_of_its_task("training", "!has(self.selection) || !has(self.selection.metric)", "selection.metric")
)]
pub struct Training {
    /// What is learned: Classification (one of several labels) or Regression (a number).
    #[schemars(schema_with = "task_schema")]
    pub task: Task,
    /// Who trains. Default: Keras where a candidate has layers, otherwise scikit-learn, both built in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trainer: Option<Trainer>,
    /// What is learned from.
    pub data: TrainingData,
    /// What must hold of the data; a run whose data fails a check ends before it trains. Default: nothing is checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checks: Option<Checks>,
    /// Preparation of columns, in order. It is exported as part of the model, so clients send raw values. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub preprocess: Vec<Preparation>,
    /// How rows are parted into training, validation and test. Default: as each field says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
    /// What is trained and compared; the best of them on the validation part becomes the version. At least one, unless
    /// the trainer is an own image. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub candidates: Vec<Candidate>,
    /// How the best candidate is chosen. Default: as each field says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selection: Option<Selection>,
    /// What the chosen model must reach on the test part, measured on the exported model itself. A model that misses a
    /// gate becomes no version. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 11), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["metric"]))]
    pub gates: Vec<Gate>,
    /// A version of this Model that networks start from: their weights, by the layers' names, in place of random ones. Default:
    /// they start anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<StartFrom>,
    /// Resources of the container that trains. They do not decide a version. Default: as each field says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<TrainingResources>,
    /// How the run's Job is run. It does not decide a version. Default: as each field says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunSettings>,
}

/// Who trains: a built-in library, code of your own with it, or an image of your own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(has(self.library) || has(self.python)) != has(self.image)").message("training.trainer takes exactly one of library (built in) and image (your own); remove one or add the missing one"),
    validation = Rule::new("has(self.image) || (!has(self.command) && !has(self.args))").message("training.trainer.command and args apply to an own image only; remove them or set image")
)]
pub struct Trainer {
    /// ScikitLearn or Keras, whose image has scikit-learn, too. Default: Keras where a candidate has layers, otherwise
    /// ScikitLearn, unless `image` is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub library: Option<Library>,
    /// Python of your own, run in the library's image under the contract of own images (docs: own image). Default: none, the
    /// library trains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python: Option<Python>,
    /// An image of your own that follows the contract of the train container. Default: none, the library trains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// Command of the own image. Default: the image's entrypoint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 4096)))]
    pub command: Vec<String>,
    /// Arguments of the own image's command. Default: the image's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 4096)))]
    pub args: Vec<String>,
}

/// Python of your own. Default: none, the library trains.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.inline) != has(self.configMap)").message("training.trainer.python takes exactly one of inline (the code itself) and configMap (where it is); remove one or add the missing one"),
    validation = Rule::new("has(self.configMap) == has(self.sha256)").message("training.trainer.python.configMap and sha256 belong together: the digest says which code it is, and decides the version; set both or neither")
)]
pub struct Python {
    /// The code itself, at most 64 KiB. Default: none, `configMap` is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65_536))]
    pub inline: Option<String>,
    /// A ConfigMap of the namespace that has the code. Default: none, `inline` is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ConfigMapKey>,
    /// SHA-256 of the code in the ConfigMap, 64 hex digits (`sha256sum`); the run ends where it is another. Default: none, with
    /// `inline`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 64, max = 64), regex(pattern = r"^[0-9a-f]{64}$"))]
    pub sha256: Option<String>,
}

/// A key of a ConfigMap. Default: none, `inline` is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapKey {
    /// Name of the ConfigMap.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
    /// Its key.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

/// A version of this Model that networks start from. Default: they start anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StartFrom {
    /// Its number.
    #[schemars(range(min = 1))]
    pub version: u64,
}

/// A built-in library. Default: Keras where a candidate has layers, otherwise ScikitLearn, unless an image is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Library {
    /// scikit-learn.
    ScikitLearn,
    /// Keras on TensorFlow, beside scikit-learn.
    Keras,
}

/// What is learned from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = rules::has_a_scheme("training.data", "digits.csv"),
    validation = rules::has_no_credentials_of_a_claim("training.data"),
    validation = rules::has_a_path("training.data", "digits.csv"),
    validation = rules::has_one_kind_of_rows("training.data"),
    validation = Rule::new("!has(self.images) || self.format in ['NPZ', 'Images']").message("training.data.images goes with format NPZ (an array of UINT8) or Images (PNG and JPEG files); choose one of them"),
    validation = Rule::new("self.format != 'Images' || !has(self.sequences)").message("training.data.format Images has images only; remove sequences, or choose NPZ, Parquet or CSV"),
    validation = Rule::new("!has(self.sequences) || self.format in ['CSV', 'Parquet', 'Images'] || (self.format == 'NPZ' && !has(self.sequences.id))").message("training.data.sequences goes with format NPZ (without id and order), Parquet, or CSV (with id and order)"),
    validation = Rule::new("!has(self.sequences) || self.format != 'CSV' || has(self.sequences.id)").message("training.data.sequences of CSV needs id and order, the columns that say which rows are a sequence"),
    validation = Rule::new("!(has(self.text) || has(self.window)) || self.format in ['CSV', 'Parquet']").message("training.data.text and window are of a table; set format to CSV or Parquet"),
    validation = Rule::new("!has(self.inputs) || (self.format in ['CSV', 'Parquet'] && !has(self.sequences) && !has(self.text) && !has(self.window))").message("training.data.inputs is for tables of CSV and Parquet; images, sequences, text, windows and NPZ have one input already: remove it")
)]
pub struct TrainingData {
    /// A file, or, for CSV and Parquet, a folder of files with the same columns (`s3://` and `pvc://` with a trailing
    /// `/`, or an OCI artifact): `oci://registry/repository[:tag|@sha256:…]`, `s3://bucket/key`, `https://host/path`,
    /// `http://host/path`, `pvc://claim/path`.
    #[schemars(length(min = 1, max = 2048))]
    pub uri: String,
    /// The expected SHA-256, 64 hex digits, of the one file (`sha256sum`), of the OCI manifest, or, for several files, of
    /// their sorted `sha256sum` lines. A mismatch fails the run. Default: not checked, but recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 64, max = 64), regex(pattern = r"^[0-9a-f]{64}$"))]
    pub sha256: Option<String>,
    /// How the data is written: CSV (UTF-8, with a line of names), NPZ (one NumPy file of two arrays), Parquet or Images (PNG
    /// and JPEG files in folders or in one archive).
    #[schemars(schema_with = "format_schema")]
    pub format: DataFormat,
    /// The column with the truth; with NPZ the array with it, and the other array holds the features. YAML reads a plain
    /// `y` as true: write "y".
    #[schemars(length(min = 1, max = 256))]
    pub label: String,
    /// Secret with the credentials, in the same namespace; its name starts with `modelwright-`, and its key `host` names
    /// the only host that they are sent to. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), regex(pattern = r"^modelwright-[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub credentials_secret: Option<String>,
    /// How the columns of a table reach the model: Columns (one input a column, by its name) or Matrix (one input `x` of all
    /// columns, numbers only). Default: Columns; with NPZ there is `x` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "inputs_schema")]
    pub inputs: Option<TableInputs>,
    /// The rows are images, of NPZ (an array of UINT8) or of image files. Default: with format Images as each field says,
    /// otherwise the rows are those of a table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<Images>,
    /// The rows are sequences: of a long table (`id` and `order`), of NPZ (rows, time, channels), or of Parquet's lists. Default:
    /// the rows are those of a table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequences: Option<Sequences>,
    /// The rows are texts in a column of CSV or Parquet. Default: the rows are those of a table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Text>,
    /// The rows are windows of a table in time order, of which the label is the series to predict. Default: each row stands
    /// for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// A test set of its own, in the same format. Default: a share of the data, as `split.test` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<TestData>,
}

/// What must hold of the data before a run trains. Shares are decimal strings from 0 to 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Checks {
    /// Fewest rows. Default: not checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000_000_u64))]
    pub min_rows: Option<u64>,
    /// Most rows. Default: not checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000_000_u64))]
    pub max_rows: Option<u64>,
    /// Largest share of missing values in any one feature column, for example "0.05". Default: not checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20), regex(pattern = FRACTION))]
    pub max_missing_fraction: Option<String>,
    /// Largest share of rows that repeat an earlier row, label included. Default: not checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20), regex(pattern = FRACTION))]
    pub max_duplicate_fraction: Option<String>,
    /// Classification only: smallest share of rows of any one label. Default: not checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20), regex(pattern = FRACTION))]
    pub min_class_fraction: Option<String>,
    /// Single columns. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub columns: Vec<ColumnCheck>,
}

/// What must hold of one column.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ColumnCheck {
    /// Its name.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// What its values are: Number, Integer or Text. Default: not checked.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "column_type_schema")]
    pub type_: Option<ColumnType>,
    /// Smallest number, a decimal string. Default: not checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40), regex(pattern = DECIMAL))]
    pub min: Option<String>,
    /// Largest number, a decimal string. Default: not checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40), regex(pattern = DECIMAL))]
    pub max: Option<String>,
    /// The only values that may occur, as text. Default: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128), inner(length(max = 256)))]
    pub allowed: Vec<String>,
    /// Largest share of missing values. Default: `maxMissingFraction` of all columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20), regex(pattern = FRACTION))]
    pub max_missing_fraction: Option<String>,
}

/// How rows are parted. What is neither validation nor test is trained on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Split {
    /// By what: Random (a shuffle by the seed) or Time (the order of the rows: training, then validation, then test). Default:
    /// Time with `data.window`, otherwise Random.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "split_by_schema")]
    pub by: Option<SplitBy>,
    /// Share of the validation part, on which candidates are compared. Default: "0.1".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20), regex(pattern = FRACTION))]
    pub validation: Option<String>,
    /// Share of the test part, on which gates are measured. Default: "0.2", and none with `data.test`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20), regex(pattern = FRACTION))]
    pub test: Option<String>,
    /// Seed of the shuffle, and of every candidate that takes a `random_state` and is given none. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4_294_967_295_u64))]
    pub seed: Option<u32>,
    /// Whether each part has the labels in the same shares. Default: true for a Classification, false for a Regression,
    /// which cannot, and where rows are parted by time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stratify: Option<bool>,
}

/// One model to train: an algorithm of scikit-learn, or a network of layers by Keras.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.algorithm) != has(self.layers)").message("a candidate takes exactly one of algorithm (scikit-learn, or a word of your own image) and layers (a network); remove one or add the missing one"),
    validation = Rule::new("has(self.layers) || !(has(self.loss) || has(self.optimizer) || has(self.callbacks))").message("loss, optimizer and callbacks of a candidate belong to layers; remove them, or put those of an algorithm into its parameters")
)]
pub struct Candidate {
    /// Its name, unique among the candidates.
    #[schemars(length(min = 1, max = 40), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// With scikit-learn: DecisionTree, ElasticNet, Lasso, LinearRegression, LogisticRegression, MLP, RandomForest,
    /// Ridge, SGD or SVM, as far as the task has it. With an own image any word. Default: none, `layers` is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub algorithm: Option<String>,
    /// The layers of a network, in order, by Keras' names. A Classification ends in one value a label (Dense with activation
    /// softmax), a Regression in one value (Dense with units 1). Default: none, `algorithm` is set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 128))]
    pub layers: Vec<Layer>,
    /// What the network is trained to make small, by Keras' identifier. Default: sparse_categorical_crossentropy for a
    /// Classification, mean_squared_error for a Regression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub loss: Option<String>,
    /// How the network's weights are changed. Default: Adam with Keras' parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optimizer: Option<Optimizer>,
    /// What happens between the network's epochs, for example EarlyStopping. Default: nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub callbacks: Vec<Callback>,
    /// Parameters by scikit-learn's own names, of a network those of Keras' fit (epochs, batch_size, shuffle, class_weight):
    /// numbers, strings, booleans, null, or lists of at most 16 of these; at most 8 KiB. Kubernetes does not tell 1.0 from
    /// 1, so a whole number is an integer. Default: the library's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64, "additionalProperties" = {"x-kubernetes-preserve-unknown-fields": true}))]
    pub parameters: BTreeMap<String, Value>,
}

/// How the best candidate is chosen, on the validation part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Selection {
    /// Classification: Accuracy, PrecisionMacro, RecallMacro, F1Macro, PrecisionWeighted, RecallWeighted, F1Weighted or
    /// LogLoss. Regression: MeanSquaredError, MeanAbsoluteError or R2. Default: F1Macro, MeanSquaredError.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "metric_schema")]
    pub metric: Option<Metric>,
    /// Maximize or Minimize; the metric knows, and the other one is refused. Default: the metric's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "goal_schema")]
    pub goal: Option<Goal>,
}

/// What a model must reach on the test part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.min) || has(self.max)").message("a gate needs min, max or both, as decimal strings, for example {metric: Accuracy, min: \"0.95\"}"))]
pub struct Gate {
    /// One of the metrics of `selection.metric`, each once.
    #[schemars(schema_with = "metric_schema")]
    pub metric: Metric,
    /// Smallest value that passes, a decimal string. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40), regex(pattern = DECIMAL))]
    pub min: Option<String>,
    /// Largest value that passes, a decimal string. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40), regex(pattern = DECIMAL))]
    pub max: Option<String>,
}

/// Resources of the container that trains, as in a pod: quantities by resource name, extended resources included.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrainingResources {
    /// Most that it may use, for example `nvidia.com/gpu: 1`. Default: cpu 2, memory 2Gi, and 4Gi where Keras
    /// trains.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub limits: BTreeMap<String, Amount>,
    /// What the scheduler reserves. Default: cpu 500m, memory 512Mi, and 1Gi where Keras trains, at most the limits;
    /// extended resources as in limits.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub requests: BTreeMap<String, Amount>,
}

/// How the run's Job is run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.priorityClass) || has(self.queueName)").message("training.run.priorityClass is Kueue's and needs training.run.queueName; set it, or use scheduling.priorityClassName for the pods"),
    validation = Rule::new("!has(self.suspend) || !self.suspend || !has(self.queueName)").message("training.run.suspend does not go with queueName: Kueue decides when a queued run starts; remove one of both")
)]
pub struct RunSettings {
    /// Pods that may fail before the run does; disruptions do not count, and bad input fails the run at once. Default: 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 20))]
    pub backoff_limit: Option<i32>,
    /// Longest that the run may take in seconds, waiting for a node included. Default: 3600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_592_000))]
    pub active_deadline_seconds: Option<i64>,
    /// Whether the run stands still: its pod is stopped, and a new one starts from the beginning once this is false.
    /// Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
    /// Queue of Kueue (a LocalQueue of the namespace) that admits the run. Default: none, the run starts at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub queue_name: Option<String>,
    /// Where networks keep how far they are, so that a run whose pod is lost goes on from there. Default: nowhere, it starts
    /// anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<CheckpointClaim>,
    /// WorkloadPriorityClass of Kueue, with `queueName`. Default: Kueue's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub priority_class: Option<String>,
}

/// Where networks keep how far they are. Default: nowhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckpointClaim {
    /// A PersistentVolumeClaim of the namespace, which all nodes that the run may be on can mount.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub claim: String,
}
