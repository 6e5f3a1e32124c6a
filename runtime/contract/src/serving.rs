//! What the `serve` container is told.

use serde::{Deserialize, Serialize};

/// Serve one version of one model. Immutable: a change is a new revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServingConfig {
    /// Model name in the protocol.
    pub model: String,
    /// Version number in the protocol.
    pub version: u64,
    /// Digest of the model's files, 64 hex digits. The loaded files must have it; see [`crate::artifact::digest_line`].
    pub model_digest: String,
    /// Hash of the revision, for logs and `/status`.
    pub revision: String,
    /// Folder with the artifact.
    pub directory: String,
    /// Execution providers, in order of preference. The first must load unless `allow_fallback`.
    pub execution_providers: Vec<ExecutionProvider>,
    /// Whether a missing provider may be replaced by the next, and at last by the CPU.
    pub allow_fallback: bool,
    /// Limits.
    #[serde(flatten)]
    pub limits: ServingLimits,
    /// What the cores are for. The default is left out, so that a runtime that does not know it serves.
    #[serde(default, skip_serializing_if = "ServingMode::is_default")]
    pub mode: ServingMode,
    /// How requests share runs. Left out if nothing is said, for the same reason.
    #[serde(default, skip_serializing_if = "Batching::is_default")]
    pub batching: Batching,
}

/// How requests share runs of the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Batching {
    /// Most rows of a run that is shared, along the first axis; the runtime's own default if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_size: Option<u32>,
    /// How many milliseconds a request waits for others to share its run; none if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_delay_milliseconds: Option<u64>,
    /// The user's own word on whether rows are independent; what the graph shows if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_independent: Option<bool>,
}

impl Batching {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What the cores of a serving process are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServingMode {
    /// Many requests at once, each run on one core.
    #[default]
    Throughput,
    /// One request at a time, run on all cores.
    Latency,
}

impl ServingMode {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Throughput, Self::Latency];

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl std::fmt::Display for ServingMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Throughput => "Throughput",
            Self::Latency => "Latency",
        })
    }
}

/// Limits of one serving process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServingLimits {
    /// Requests that may wait for a run; the next is answered 503 with Retry-After.
    pub queue: u32,
    /// Milliseconds from the head of a request to its answer; past them it is answered 504.
    pub timeout_milliseconds: u64,
    /// Largest request body in bytes; a larger one is answered 413.
    pub max_request_bytes: u64,
    /// Milliseconds that a drain waits for clients to leave.
    pub drain_timeout_milliseconds: u64,
    /// Most rows of a request: the size of an input's first axis, where the model leaves it free. By the process' memory if
    /// none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rows: Option<u64>,
    /// Most elements of an input of a request. By the process' memory if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_elements: Option<u64>,
}

impl Default for ServingLimits {
    fn default() -> Self {
        Self {
            queue: 256,
            timeout_milliseconds: 30_000,
            max_request_bytes: 64 * 1024 * 1024,
            drain_timeout_milliseconds: 30_000,
            max_rows: None,
            max_elements: None,
        }
    }
}

/// Hardware back end of ONNX Runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ExecutionProvider {
    /// The processor.
    #[serde(rename = "CPU")]
    Cpu,
    /// NVIDIA GPUs through CUDA.
    #[serde(rename = "CUDA")]
    Cuda,
}

impl std::fmt::Display for ExecutionProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Cpu => "CPU",
            Self::Cuda => "CUDA",
        })
    }
}
