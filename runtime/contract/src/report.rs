//! What the containers of a run say at their end, through the termination message.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    artifact::GoldenSource, rows::RowIndependence, signature::Signature, size::Size, training::TrainReport,
    variants::VariantReport,
};

/// Most bytes of one report: the kubelet shares 12 KiB over all containers of a pod.
pub const MAX_REPORT_BYTES: usize = 1500;

/// Path of the present [`Retry`], or `null`, on port [`METRICS_PORT`](crate::names::METRICS_PORT) of the pod while `fetch` or
/// `publish` runs.
pub const RETRY_PATH: &str = "/retry";
/// Longest message of a [`Retry`], in bytes.
pub const MAX_RETRY_BYTES: usize = 1000;

/// What a container tries again, inside itself: it has not ended, so no termination message says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Retry {
    /// When it failed first, in seconds since 1970.
    pub since_unix_seconds: u64,
    /// Why it failed last.
    pub message: String,
}

/// The end of a container: what it made, or why it could not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Report<T> {
    /// It did what it was told.
    Succeeded(T),
    /// It did not.
    Failed(Failure),
}

/// Why a container failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// One word in `CamelCase`, for conditions: `DigestMismatch`, `NotFound`, `Forbidden`, `NotOnnx`, …
    pub reason: String,
    /// For people: what was wrong, with field and value, what was expected, what to do next.
    pub message: String,
}

/// What `fetch` got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FetchReport {
    /// SHA-256 of what was fetched, as [`crate::fetch::FetchConfig::sha256`] defines it.
    pub sha256: String,
    /// Bytes over all files.
    pub size_bytes: u64,
    /// Number of files.
    pub files: u32,
    /// SHA-256 of a test set of its own, or of the data that an import is measured on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_sha256: Option<String>,
}

/// What `prove` has proven. All that is known of it is in the folder that it leaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProveReport {
    /// Digest of the model's files.
    pub model_digest: String,
    /// Recorded golden samples.
    pub golden_count: u32,
}

/// What `publish` stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PublishReport {
    /// Digest of the model's files.
    pub model_digest: String,
    /// Address of the artifact, with its digest: `oci://host/prefix/namespace/model@sha256:…`.
    pub artifact_uri: String,
    /// Digest of the artifact (for `oci`, of the manifest).
    pub artifact_sha256: String,
    /// Bytes over all files of the artifact.
    pub size_bytes: u64,
    /// Operator set of the default domain.
    pub opset: i64,
    /// Inputs and outputs, as many as the report has room for.
    pub signature: Signature,
    /// Whether inputs or outputs were left out of `signature`.
    #[serde(default)]
    pub signature_truncated: bool,
    /// Recorded golden samples.
    pub golden_count: u32,
    /// Their tolerance, a decimal string.
    pub golden_tolerance: String,
    /// Their origin.
    pub golden_source: GoldenSource,
    /// Outputs that are made of random numbers, so that their numbers prove nothing; as many as the report has room for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub golden_random: Vec<String>,
    /// Whether requests may share runs of it, as its graph shows; absent from a runtime that does not look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row_independence: Option<RowIndependence>,
    /// Metrics that the artifact brought along.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, String>,
    /// What it takes to load and to run; absent where it could not be measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
    /// Variants in the artifact.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<VariantReport>,
}

/// Reason of a recall that found nothing: the run is made again.
pub const NO_REPORT: &str = "NoReport";

/// Reason of a `fetch` that ends its run, since an earlier attempt published: what that one reported is recalled.
pub const MADE_BEFORE: &str = "MadeBefore";

/// What the containers of a run reported: `publish` leaves it in the store, and recalls it if the run's pod is gone before
/// anybody read what it said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunReport {
    /// What the run is known by.
    pub run: String,
    /// Of `fetch`.
    pub fetch: FetchReport,
    /// Of `train`, where there is one and it says something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train: Option<TrainReport>,
    /// Of `publish`.
    pub publish: PublishReport,
}

/// A termination message that is no report.
#[derive(Debug, thiserror::Error)]
#[error("the container left no readable report: {source}")]
pub struct UnreadableReport {
    #[from]
    source: serde_json::Error,
}

impl<T: Serialize + DeserializeOwned> Report<T> {
    /// Reads a termination message.
    pub fn parse(message: &str) -> Result<Self, UnreadableReport> {
        Ok(serde_json::from_str(message)?)
    }
}
