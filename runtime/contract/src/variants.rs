//! Variants of a model: what is asked, what the `optimize` container is told, and what `prove` found of each.
//!
//! `optimize` reads the model and [`CALIBRATION_FILE`](crate::training::CALIBRATION_FILE) of a folder, and leaves
//! `variants/NAME/model.onnx` in it for each variant. In an artifact a variant is a folder of its own,
//! [`directory`], made like an artifact: its graph, and beside it golden samples and a description. What lies in
//! Modelwright's own folder is no part of the model's digest, so that a version with variants has the digest that it has
//! without. A pod that serves a variant takes that folder for its artifact.

use serde::{Deserialize, Serialize};

use crate::{artifact::METADATA_DIRECTORY, size::Size, training::Metric};

/// Most variants of a version: what is said of them has to fit into a termination message.
pub const MAX_VARIANTS: usize = 4;
/// Longest name of one, in bytes.
pub const MAX_NAME: usize = 20;
/// Folder of variants, where `optimize` leaves them and inside an artifact's [`METADATA_DIRECTORY`].
pub const VARIANTS_DIRECTORY: &str = "variants";
/// What was measured of a variant, beside its golden samples.
pub const VARIANT_FILE: &str = "variant.json";
/// Environment variable with the JSON of [`OptimizeConfig`].
pub const OPTIMIZE_ENV: &str = "MODELWRIGHT_OPTIMIZE";

/// Where a variant lies in an artifact.
pub fn directory(name: &str) -> String {
    format!("{METADATA_DIRECTORY}/{VARIANTS_DIRECTORY}/{name}")
}

/// What the `optimize` container is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OptimizeConfig {
    /// Folder with the model; variants are left in it.
    pub directory: String,
    /// What is asked.
    pub variants: Vec<Variant>,
}

/// One variant that is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Variant {
    /// Its name: lower-case letters, digits and hyphens.
    pub name: String,
    /// How its weights become integers; in FP16 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantize: Option<Quantize>,
    /// What it has to gain.
    #[serde(rename = "for")]
    pub target: Target,
    /// The metric that it may lose of.
    pub metric: Metric,
    /// How much of it, a decimal string: of an error, which has any scale, as a share of the original's.
    pub max_metric_drop: String,
    /// How far its answers may be from the original's, a decimal string. Of a classification, the share of rows with another
    /// label, or of the probability that went to other classes, where that is more; of a regression, the root of the mean
    /// square of the differences in parts of the standard deviation of the original's answers.
    pub max_disagreement: String,
}

/// How weights become integers of eight bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Quantize {
    /// Activations are scaled in each run.
    Dynamic,
    /// Activations are scaled by what rows of the training part showed.
    Static,
}

/// What a variant has to gain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Target {
    /// CPU time.
    Latency,
    /// Bytes.
    Size,
}

/// What `prove` found of a variant. The artifact has all of it; a termination message as much as it has room for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VariantReport {
    /// Its name.
    pub name: String,
    /// Digest of its files, as of a model of its own.
    pub model_digest: String,
    /// Bytes of its files.
    pub size_bytes: u64,
    /// What was measured beside the original.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub figures: Option<VariantFigures>,
    /// What it takes to load and to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
}

/// A variant beside its original. Numbers are decimal strings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VariantFigures {
    /// The metric that was asked about, on the test part.
    pub metric: Metric,
    /// Its value.
    pub value: String,
    /// The original's.
    pub original: String,
    /// How far its answers are from the original's.
    pub disagreement: String,
    /// Bytes of the original's files.
    pub original_bytes: u64,
    /// CPU time of runs beside that of the original's, the fewest rows first; empty if it was not measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub time: Vec<TimeShare>,
}

/// CPU time of runs, in parts of the original's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TimeShare {
    /// Rows of a run.
    pub rows: u32,
    /// The median of interleaved runs.
    pub median: String,
    /// Lower end of the median's interval of 99 %.
    pub low: String,
    /// Upper end of it.
    pub high: String,
}
