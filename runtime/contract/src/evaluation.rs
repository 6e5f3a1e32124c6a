//! What the `prepare` container of an import is told, which has data to be measured on.
//!
//! It reads the model, leaves its files in [`EvaluationConfig::output`], and beside them
//! [`EVALUATION_FILE`](crate::training::EVALUATION_FILE) and [`CALIBRATION_FILE`](crate::training::CALIBRATION_FILE), as a
//! training leaves them, but without answers.

use serde::{Deserialize, Serialize};

use crate::training::{RunData, Task};

/// Environment variable with the JSON of [`EvaluationConfig`].
pub const EVALUATION_ENV: &str = "MODELWRIGHT_EVALUATION";

/// Bring data to what a model takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EvaluationConfig {
    /// Folder with the model's files.
    pub directory: String,
    /// The folder to leave them in.
    pub output: String,
    /// What the model answers.
    pub task: Task,
    /// What it is measured on; NPZ has an array for each input, by its name.
    pub data: RunData,
    /// The labels in the order of the columns of its probabilities; empty: those of the data, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
}
