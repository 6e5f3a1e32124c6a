//! What `train` says: how far it is, and how it ended.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Metric;

/// The end of `train`, in its termination message as [`Report`](crate::report::Report); a user's own image may leave none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrainReport {
    /// Name of the candidate that was exported.
    pub chosen: String,
    /// The selection's metric.
    pub metric: Metric,
    /// Candidates and their value of it on the validation part, the best first, as many as there is room for.
    pub candidates: Vec<CandidateScore>,
    /// Rows by part.
    pub rows: PartRows,
    /// What the run left out, could not keep or finds strange, in sentences: as many as there is room for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Whether warnings were left out or cut; the log and the training report have all of them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub warnings_truncated: bool,
    /// What computed, as its driver calls it; absent where the run does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
}

/// How one candidate did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CandidateScore {
    /// Its name.
    pub name: String,
    /// The selection's metric on the validation part, a decimal string; absent where it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<String>,
}

/// Rows of each part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PartRows {
    /// Of the training part.
    pub train: u64,
    /// Of the validation part.
    pub validation: u64,
    /// Of the test part.
    pub test: u64,
}

/// [`REPORT_FILE`](super::REPORT_FILE): all that `train` has to say, kept in the artifact for people to read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrainingReport {
    /// Name of the candidate that was exported.
    pub chosen: String,
    /// All candidates, in the order of the spec.
    pub candidates: Vec<CandidateReport>,
    /// The chosen candidate's metrics on the test part, as the trainer measured them; `publish` measures its own.
    pub metrics: BTreeMap<String, f64>,
    /// Rows by part.
    pub rows: PartRows,
    /// Names of the features, in the order of the data.
    pub features: Vec<String>,
    /// Labels of a classification, in the order of its columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<crate::signature::Classes>,
    /// Versions of the libraries at work.
    pub versions: BTreeMap<String, String>,
    /// What the run left out, could not keep or finds strange, in sentences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// One candidate of a [`TrainingReport`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CandidateReport {
    /// Its name.
    pub name: String,
    /// Its algorithm; absent for a network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
    /// Metrics on the validation part.
    pub metrics: BTreeMap<String, f64>,
    /// Seconds that the training took.
    pub seconds: f64,
    /// Why it could not be trained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// How far `train` is: the answer of [`PROGRESS_PATH`](super::PROGRESS_PATH).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Name of the candidate at work, or `reading`, `checking`, `exporting`.
    pub activity: String,
    /// Candidates, folds or epochs that are done.
    pub done: u64,
    /// How many there are.
    pub total: u64,
    /// Name of the metric of `best`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    /// The best value so far, a decimal string.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<String>,
    /// Of a candidate that learns in epochs: those that are done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// How many it has at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epochs: Option<u64>,
    /// Its loss on the training part in the last epoch, a number as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<String>,
    /// Seconds that its further epochs take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<u64>,
}
