//! What is inside a published artifact.
//!
//! An artifact is a folder: `model.onnx`, its external data by relative name, and `modelwright/` with what Modelwright
//! knows about it. The model digest covers everything outside `modelwright/`.
//!
//! A registry keeps it as one manifest with a layer a file, and its digest is the manifest's. An object store and a claim
//! keep the folder itself at `<prefix>/<namespace>/<model>/<sha256>/`, and its digest is that of the list of all its files
//! ([`digest_line`]), Modelwright's own included.

use serde::{Deserialize, Serialize};

use crate::signature::Signature;

/// The graph.
pub const MODEL_FILE: &str = "model.onnx";
/// Folder of Modelwright's own files inside the artifact; not part of the model digest.
pub const METADATA_DIRECTORY: &str = "modelwright";
/// The [`Description`], inside [`METADATA_DIRECTORY`].
pub const DESCRIPTION_FILE: &str = "description.json";
/// The [`GoldenSamples`], inside [`METADATA_DIRECTORY`].
pub const GOLDEN_FILE: &str = "golden.json";
/// Most bytes of it: nobody reads more, so nobody leaves more.
pub const MAX_GOLDEN_BYTES: u64 = 256 * 1024 * 1024;

/// One line of the list whose SHA-256 is the model digest: the file's digest in hex, two spaces, the relative path with
/// `/`, a newline. The lines are sorted by path in byte order (the format of `sha256sum`).
pub fn digest_line(path: &str, sha256_hex: &str) -> String {
    format!("{sha256_hex}  {path}\n")
}

/// What is known about the model apart from its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Description {
    /// Digest of the model's files.
    pub model_digest: String,
    /// Operator set of the default domain.
    pub opset: i64,
    /// Inputs and outputs, whole.
    pub signature: Signature,
    /// Metrics by name, as decimal strings; empty for an import of a bare ONNX file.
    #[serde(default)]
    pub metrics: std::collections::BTreeMap<String, String>,
    /// What a classification answered to which truth, on the test part; absent for an import of a bare ONNX file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confusion: Option<Confusion>,
}

/// A confusion matrix over the labels that occur in the truth or in the answers (at most 100).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Confusion {
    /// Labels in their order.
    pub labels: Vec<String>,
    /// Cases: a row for each truth, a column for each answer.
    pub counts: Vec<Vec<u64>>,
}

/// Recorded inputs and outputs that every serving pod replays before it is ready.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GoldenSamples {
    /// Where the inputs come from; an import that has no description of Modelwright's beside it brings its own
    /// (`Provided`), whatever it says.
    #[serde(default)]
    pub source: GoldenSource,
    /// Floating-point outputs may differ from what was recorded by `atol + tolerance × |recorded|` on the CPU provider;
    /// other outputs must be equal. A decimal string, `0.001` if absent.
    #[serde(default = "default_tolerance")]
    pub tolerance: String,
    /// The `atol` of each floating-point output, from the scale of its columns over the samples. Artifacts that were
    /// published before bounds were recorded have none; for these, `atol` is `tolerance` times the largest magnitude of
    /// the output in the samples, or times 1 where that is larger.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bounds: Vec<GoldenBounds>,
    /// Outputs that are made of random numbers, as the graph shows: of these, datatype and number of axes are compared, and
    /// that floating-point numbers are finite. What a file says here is not believed, but found again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub random: Vec<String>,
    /// The samples.
    pub samples: Vec<GoldenSample>,
}

fn default_tolerance() -> String {
    "0.001".to_owned()
}

/// By how much an output may differ beside its relative tolerance. Of all bounds that apply to an element, the smallest
/// does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GoldenBounds {
    /// Name of the output.
    pub name: String,
    /// For every element, a decimal string.
    pub atol: String,
    /// For each axis but the first, a bound for each index on it: FP64, little endian, base64; empty for an axis without
    /// columns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub axes: Vec<String>,
}

/// Origin of golden inputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum GoldenSource {
    /// Brought along with an import by whoever made the model.
    #[default]
    Provided,
    /// Rows of the test part of a training run.
    Test,
    /// Quantiles of the training part, column by column: none of them is a row of it.
    Quantiles,
    /// Rows that the training declared shareable.
    Shareable,
    /// Made from a seed and the signature.
    Synthetic,
}

/// One request and its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GoldenSample {
    /// Every input of the model.
    pub inputs: Vec<GoldenTensor>,
    /// Every output of the model. An import may bring samples without any output: publish records the answers.
    #[serde(default)]
    pub outputs: Vec<GoldenTensor>,
}

/// One tensor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GoldenTensor {
    /// Name in the graph.
    pub name: String,
    /// Open Inference Protocol datatype.
    pub datatype: String,
    /// Sizes.
    pub shape: Vec<i64>,
    /// The elements in the binary tensor extension's layout (little endian; BYTES with 4-byte length prefixes), base64.
    pub data: String,
}
