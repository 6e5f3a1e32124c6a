//! What a serving pod says of itself at `GET :9090/status`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A serving pod's own answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServeStatus {
    /// Model name.
    pub model: String,
    /// Version number.
    pub version: u64,
    /// Digest of the files that were loaded.
    pub model_digest: String,
    /// Execution provider in use: `CPU` or `CUDA`.
    pub execution_provider: String,
    /// Nodes of the graph by the execution provider that runs them: beside `CUDA`, those on the `CPU` fell back.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub graph_nodes: BTreeMap<String, u32>,
    /// Version of ONNX Runtime.
    pub onnxruntime_version: String,
    /// Whether it takes traffic.
    pub ready: bool,
    /// Whether it was told to leave service.
    pub draining: bool,
    /// Whether it was told to leave service and no client is left.
    pub drained: bool,
    /// Whether requests share runs, and why not; absent before that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_runs: Option<SharedRuns>,
    /// Golden samples that were replayed and agreed.
    pub golden_samples: u32,
    /// Requests answered since the start.
    pub requests: u64,
    /// Why it will never take traffic, for people: it does not reproduce its golden samples here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Whether requests share runs of the model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SharedRuns {
    /// Whether they do.
    pub shared: bool,
    /// Why they do, or do not, for people.
    pub reason: String,
}
