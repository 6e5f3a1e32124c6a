//! `Model`: what you want: an ONNX model imported from a source, or one trained from data.

use kube::{CustomResource, KubeSchema};
use modelwright_contract::variants::MAX_VARIANTS;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{
    condition::Condition, evaluation::ImportEvaluation, optimize::VariantRequest, rules, run::RunSizes,
    scheduling::Scheduling, training::Training,
};

/// A Model is imported or trained into immutable ModelVersions. A spec that returns to earlier content resolves to the
/// version that it had then.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "modelwright.dev",
    version = "v1alpha1",
    kind = "Model",
    plural = "models",
    shortname = "mdl",
    category = "modelwright",
    namespaced,
    derive = "PartialEq",
    status = "ModelStatus",
    validation = Rule::new("size(self.metadata.name) <= 40").message("metadata.name must have at most 40 characters: names of versions and pods are made from it; choose a shorter one"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Version", type_ = "integer", json_path = ".status.currentVersion"),
    printcolumn(name = "Metric", type_ = "string", json_path = ".status.metric"),
    printcolumn(name = "Score", type_ = "string", json_path = ".status.score"),
    printcolumn(name = "Progress", type_ = "string", json_path = ".status.run.progress.summary"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.run.phase", priority = 1),
    printcolumn(name = "Activity", type_ = "string", json_path = ".status.run.progress.activity", priority = 1),
    printcolumn(name = "Best", type_ = "string", json_path = ".status.run.progress.best", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.source) != has(self.training)").message("spec takes exactly one of source (import an ONNX model) and training (train one from data); remove one or add the missing one"))]
#[x_kube(validation = Rule::new("!has(self.evaluation) || has(self.source)").message("evaluation measures an import, and spec has training, which measures its model by split and gates of its own; remove evaluation"))]
#[x_kube(validation = Rule::new("!has(self.optimize) || size(self.optimize) == 0 || has(self.training) || has(self.evaluation)").message("optimize needs training or evaluation: variants are judged on a test part, and an import has none without evaluation; set evaluation, or remove optimize"))]
pub struct ModelSpec {
    /// Any string. It is part of what decides a version, so changing it imports or trains again: use it to take in new
    /// bytes behind an unchanged URI. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub rerun: Option<String>,
    /// An existing ONNX model to import. Default: none, `training` is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<ModelSource>,
    /// How the model is trained from data. Default: none, `source` is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<Box<Training>>,
    /// How an import is measured, and what it must reach. It is part of what decides a version. Default: it is not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluation: Option<Box<ImportEvaluation>>,
    /// Variants that each version has beside the model, for `spec.variant` of ModelDeployments. A version is found by what
    /// decides it and by these: the model is the same without them, and a return to earlier ones finds the version that had
    /// them. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_VARIANTS), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub optimize: Vec<VariantRequest>,
    /// Where the pods of a run may run. It does not decide a version. Default: anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduling: Option<Scheduling>,
    /// How large the containers of a run and their volume are. It does not decide a version. Default: as each field says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunSizes>,
    /// Whether the rows and labels of the test part leave the cluster with the model: into the store, with every version, where
    /// whoever may read it reads them. With false, golden samples are made of the training part's quantiles, and no row of it
    /// goes along. It is part of what decides a version. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_evaluation: Option<bool>,
    /// How many versions to keep. It does not decide a version. Default: as its field says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<VersionHistory>,
}

/// How many versions to keep.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VersionHistory {
    /// ModelVersions to keep, the newest; older ones are deleted, but never the current one, one that a ModelDeployment or a
    /// revision of one uses, or one with the annotation `modelwright.dev/keep: "true"`. A spec that returns to a deleted
    /// version imports or trains again. Default: 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub keep: Option<u32>,
}

/// Where a model's bytes come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = rules::has_a_scheme("source", "digits.onnx"),
    validation = Rule::new("!self.uri.startsWith('pvc://') || !has(self.credentialsSecret)").message("source.credentialsSecret does not apply to a pvc:// source; remove it"),
    validation = Rule::new("!has(self.format) || self.format != 'Keras' || !self.uri.endsWith('/')").message("source.format Keras is one .keras file, and source.uri names a folder; name the file, for example s3://bucket/digits.keras"),
    validation = rules::has_a_path("source", "digits.onnx")
)]
pub struct ModelSource {
    /// An ONNX file, a folder that holds `model.onnx` (`s3://` and `pvc://` with a trailing `/`), or an OCI artifact:
    /// `oci://registry/repository[:tag|@sha256:…]`, `s3://bucket/key`, `https://host/path`, `http://host/path`,
    /// `pvc://claim/path`.
    #[schemars(length(min = 1, max = 2048))]
    pub uri: String,
    /// What is there: ONNX, or Keras, one `.keras` file as `model.save` of Keras 3 writes it (of a `keras.Sequential`, or of a
    /// `keras.Model` with one input and one output), of which ONNX is made. Nothing of the file is executed: layers that are
    /// code, such as Lambda, and those that no network here may have are refused by name. Default: ONNX.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "source_format_schema")]
    pub format: Option<SourceFormat>,
    /// The expected SHA-256, 64 hex digits, of the one file (`sha256sum`), of the OCI manifest, or, for a folder of several
    /// files, of their sorted `sha256sum` lines. A mismatch fails the import. Default: not checked, but recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 64, max = 64), regex(pattern = r"^[0-9a-f]{64}$"))]
    pub sha256: Option<String>,
    /// Secret with the credentials, in the same namespace; its name starts with `modelwright-`, and its key `host` names
    /// the only host that they are sent to. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), regex(pattern = r"^modelwright-[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub credentials_secret: Option<String>,
    /// Names of integer inputs of which some values may end the serving process by a signal, as where ONNX Runtime divides
    /// by them. Such a model is refused otherwise, since whoever sends such a value ends a pod with everybody's requests in
    /// it. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 256)), extend("x-kubernetes-list-type" = "set"))]
    pub tolerate_crash_inputs: Vec<String>,
}

/// What a source is. Default: ONNX.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SourceFormat {
    /// An ONNX model.
    #[default]
    #[serde(rename = "ONNX")]
    Onnx,
    /// A file of Keras 3.
    Keras,
}

fn source_format_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": ["ONNX", "Keras"], "maxLength": 5})
}

/// What the operator observed of a Model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ModelStatus {
    /// Generation of the spec that this status describes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready: the spec has a version. Reconciling: a run is under way. Stalled: somebody must act.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Number of the version that this Model resolves to; ModelDeployments without `version` follow it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_version: Option<u64>,
    /// Highest version number so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latest_version: Option<u64>,
    /// The metric by which the current version was selected among its candidates, or of an import's `evaluation`; absent without.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub metric: Option<String>,
    /// The current version's value of that metric on the test part, a decimal string.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub score: Option<String>,
    /// The run under way or the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<RunStatus>,
    /// The last failure, kept until a run of the same spec succeeds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<RunFailure>,
}

/// A run: the Job that makes a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunStatus {
    /// Name of the Job.
    #[schemars(length(max = 63))]
    pub job: String,
    /// Number of pods that were tried, the present one included.
    pub attempt: u32,
    /// Pending, Suspended, Fetching, Converting, Preparing, Training, Optimizing, Proving, Publishing, Succeeded or Failed.
    #[schemars(length(max = 32))]
    pub phase: String,
    /// How far the training is, as its container says; moves at most every 10 seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<RunProgress>,
}

/// How far a training is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunProgress {
    /// Name of the candidate at work, or reading, checking, exporting.
    #[schemars(length(max = 64))]
    pub activity: String,
    /// Candidates, folds or epochs that are done.
    pub done: u64,
    /// How many there are.
    pub total: u64,
    /// Name of the metric of `best`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub metric: Option<String>,
    /// The best value so far, a decimal string.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub best: Option<String>,
    /// Epochs of the candidate at work that are done, where it learns in epochs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// How many it has at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epochs: Option<u64>,
    /// Its loss on the training part in the last epoch, a number as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub loss: Option<String>,
    /// About how many seconds its further epochs take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<u64>,
    /// All of it in a few words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub summary: Option<String>,
    /// When it said so, RFC 3339.
    #[schemars(length(max = 64))]
    pub time: String,
}

/// Why a run failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunFailure {
    /// One CamelCase word.
    #[schemars(length(max = 128))]
    pub reason: String,
    /// What was wrong, what was expected, what to do next.
    #[schemars(length(max = 4096))]
    pub message: String,
    /// The container that failed: fetch, convert, prepare, train, optimize, prove or publish.
    #[schemars(length(max = 32))]
    pub phase: String,
    /// When, RFC 3339.
    #[schemars(length(max = 64))]
    pub time: String,
}
