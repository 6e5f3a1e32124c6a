//! What the `prove` container is told.

use serde::{Deserialize, Serialize};

use crate::{training::Judgement, variants::Variant};

/// For how long a model may load and run, in seconds, where nothing else is said.
pub const DEFAULT_DEADLINE_SECONDS: u32 = 600;

/// Prove a fetched or trained model by real inference, and leave what `publish` stores. It has no credentials of any kind:
/// what runs in here is the model, which may be anybody's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProveConfig {
    /// Folder with the model's files.
    pub directory: String,
    /// The folder to leave for `publish`; it appears complete or not at all.
    pub proof: String,
    /// How many golden samples to record when the source brings none.
    pub golden_samples: u32,
    /// Seed of the synthetic golden samples.
    pub golden_seed: u64,
    /// For how many seconds the model may load and run.
    pub deadline_seconds: u32,
    /// After `train`: how its model is judged, on [`crate::training::EVALUATION_FILE`] of the folder. Absent for an import.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judgement: Option<Judgement>,
    /// Of an import: how its model is judged, on [`crate::training::EVALUATION_FILE`] of the folder. What the import says of
    /// itself is brought along.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluation: Option<Judgement>,
    /// Variants that `optimize` left, each to be proven beside the model.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<Variant>,
    /// Whether the rows and labels of the test part, or of the one that an import brings, go along with the model, and golden
    /// samples are rows of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_evaluation: bool,
    /// Integer inputs of which some values may end the process by a signal: they are not tried.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerate_crash_inputs: Vec<String>,
}
