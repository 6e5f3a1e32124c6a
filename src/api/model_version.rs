//! `ModelVersion`: what you got. Made by the operator; immutable.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use modelwright_contract::variants::MAX_VARIANTS;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::optimize::VersionVariant;

/// A ModelVersion is one immutable result of a Model: verified bytes, what they take and give, and where they came from.
/// The operator makes it; users read it.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "modelwright.dev",
    version = "v1alpha1",
    kind = "ModelVersion",
    plural = "modelversions",
    shortname = "mv",
    category = "modelwright",
    namespaced,
    derive = "PartialEq",
    printcolumn(name = "Model", type_ = "string", json_path = ".spec.model"),
    printcolumn(name = "Version", type_ = "integer", json_path = ".spec.version"),
    printcolumn(name = "Digest", type_ = "string", json_path = ".spec.modelDigest", priority = 1),
    printcolumn(name = "Size", type_ = "integer", json_path = ".spec.artifact.sizeBytes"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self == oldSelf").message("the spec of a ModelVersion is immutable; change the Model instead"))]
pub struct ModelVersionSpec {
    /// Name of the Model.
    #[schemars(length(min = 1, max = 40))]
    pub model: String,
    /// Version number, from 1; never used again.
    #[schemars(range(min = 1))]
    pub version: u64,
    /// Hash of the Model's spec that made it.
    #[schemars(length(max = 80))]
    pub spec_hash: String,
    /// Hash of the variants that were asked for with it; absent where none were. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 80))]
    pub optimize_hash: Option<String>,
    /// SHA-256 over the sorted list of the model's files and their digests. This is what equality, serving and the
    /// response header `x-modelwright-digest` use.
    #[schemars(length(min = 64, max = 64))]
    pub model_digest: String,
    /// Where the bytes are.
    pub artifact: Artifact,
    /// What the model takes and gives.
    pub signature: Signature,
    /// Whether requests may share runs of the model, as its graph shows; absent for a version of an earlier release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row_independence: Option<RowIndependence>,
    /// How good the model is, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluation: Option<Evaluation>,
    /// Recorded predictions that every serving pod replays before it is ready.
    pub golden_samples: GoldenSamples,
    /// What it takes to load and to run, as it was measured when it was made: its size certificate. Absent where that was
    /// not possible, and in versions of earlier releases. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
    /// Variants of it, in the same artifact. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_VARIANTS))]
    pub variants: Vec<VersionVariant>,
    /// What it was made from.
    pub provenance: Provenance,
}

/// A size certificate: the highest memory of fresh processes that loaded the model and ran it on one core.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Size {
    /// Highest memory of a process that has loaded the model and not run it, in bytes.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_u64))]
    pub load_bytes: u64,
    /// The same with runs of so many rows, the fewest first.
    #[schemars(length(max = 8))]
    pub rows: Vec<RowsSize>,
}

/// What runs of one number of rows take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RowsSize {
    /// Rows of a run; 1 for a model without rows.
    #[schemars(range(min = 1, max = 2_147_483_647_u32))]
    pub rows: u32,
    /// Highest memory of a process that makes such runs one after another, in bytes.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_u64))]
    pub peak_bytes: u64,
    /// Such runs in a second of one core, a decimal string.
    #[schemars(length(max = 32))]
    pub runs_per_core_second: String,
}

/// A stored artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Artifact {
    /// Address with digest.
    #[schemars(length(max = 2048))]
    pub uri: String,
    /// Digest of the artifact, checked on every fetch.
    #[schemars(length(min = 64, max = 64))]
    pub sha256: String,
    /// Bytes over all files.
    pub size_bytes: u64,
    /// ONNX operator set of the default domain.
    pub opset: i64,
}

/// Inputs and outputs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Signature {
    /// Inputs, the first 16.
    #[schemars(length(max = 16))]
    pub inputs: Vec<Tensor>,
    /// Inputs that may be left out, since the model stores a value for each. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub optional_inputs: Vec<Tensor>,
    /// Outputs, the first 16.
    #[schemars(length(max = 16))]
    pub outputs: Vec<Tensor>,
}

/// One tensor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tensor {
    /// Name in the graph.
    #[schemars(length(max = 1024))]
    pub name: String,
    /// Open Inference Protocol datatype.
    #[schemars(length(max = 16))]
    pub datatype: String,
    /// Sizes; -1 where any size is taken.
    #[schemars(length(max = 256))]
    pub shape: Vec<i64>,
    /// What the graph calls its dimensions (`rows`, `time`), one each, empty where it has no name for one. Default: none; it
    /// names none, or the run's report had no room for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 64)))]
    pub dimensions: Vec<String>,
    /// The classes of a classifier's output, in the order of its columns (a single column is of the second of two); where it
    /// gives labels, and no output has a column for each, those that it gives. Default: none, or none are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<Classes>,
}

/// Labels of classes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Classes {
    /// How many there are.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_u64))]
    pub count: u64,
    /// The first of them: up to 20, and as many as the run's report had room for. The server's metadata have up to 1,000.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(max = 256)))]
    pub labels: Vec<String>,
}

/// Whether an answer to a row is the same whatever other rows share its run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RowIndependence {
    /// Whether the graph shows it.
    pub independent: bool,
    /// If not, because of which node, input or output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub node: Option<String>,
    /// If not, why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 160))]
    pub reason: Option<String>,
}

/// Metrics of a version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Evaluation {
    /// Metric by name, as decimal strings: of a training, measured on the test part with the published model; of an
    /// import, on the data of `evaluation`, or, without it, as the artifact that was imported says.
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = {"type": "string", "maxLength": 64}))]
    pub metrics: BTreeMap<String, String>,
    /// Name of the metric by which the candidates of a training were compared, or of an import's `evaluation`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub metric: Option<String>,
    /// Name of the candidate that was chosen, as the trainer reported it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub chosen: Option<String>,
    /// Candidates and their value of `metric` on the validation part, the best first, as the trainer reported them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub candidates: Vec<CandidateScore>,
    /// What the trainer left out of the data, could not keep or finds strange, such as an index column, numbers that FP32
    /// does not tell apart, or a column that tells the label; as many as its report had room for. The log of `train` and
    /// `modelwright/report.json` in the artifact have all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(max = 512)))]
    pub warnings: Vec<String>,
    /// Whether warnings were left out or cut.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub warnings_truncated: bool,
}

/// How one candidate did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CandidateScore {
    /// Its name.
    #[schemars(length(max = 64))]
    pub name: String,
    /// Its value, a decimal string; absent where it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub score: Option<String>,
}

/// What is known of the recorded predictions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GoldenSamples {
    /// How many.
    pub count: u32,
    /// A floating-point answer may differ from the recorded one by atol + tolerance × |recorded|, atol being tolerance ×
    /// the largest that was recorded in its column. The atol of each column is recorded with the samples.
    #[schemars(length(max = 32))]
    pub tolerance: String,
    /// Test: rows of the test part. Quantiles: made of the training part's quantiles. Shareable: rows that the training
    /// declared so. Synthetic: made from a seed and the signature. Provided: brought along with an import.
    #[schemars(length(max = 16))]
    pub source: String,
    /// Outputs that the graph makes of random numbers. No pod can repeat their numbers, so of these only the datatype, the
    /// number of axes and that they are finite is proven; the other outputs are compared as usual. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 1024)))]
    pub random_outputs: Vec<String>,
}

/// What a version was made from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Provenance {
    /// SHA-256 of what was fetched: the source model, or the training data.
    #[schemars(length(max = 64))]
    pub data_sha256: String,
    /// SHA-256 of the test set, where it is one of its own, or of the data of an import's `evaluation`. Default: none, it was a
    /// share of the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub test_sha256: Option<String>,
    /// Number of the version whose model this one took over, where only variants were made anew: nothing was trained or
    /// imported again, and the digests, the evaluation and the image of `train` are those of that version. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub made_from: Option<u64>,
    /// What computed the training, by the run's own word: `CPU`, or a GPU as its driver calls it. Default: none, the run did
    /// not say, as scikit-learn's do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub device: Option<String>,
    /// Image by container of the run.
    #[schemars(extend("maxProperties" = 8, "additionalProperties" = {"type": "string", "maxLength": 512}))]
    pub images: BTreeMap<String, String>,
    /// Name of the Job.
    #[schemars(length(max = 63))]
    pub job: String,
    /// When the run started, RFC 3339.
    #[schemars(length(max = 64))]
    pub started_at: String,
    /// When the run finished, RFC 3339.
    #[schemars(length(max = 64))]
    pub finished_at: String,
}
