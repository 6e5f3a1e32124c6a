//! `ModelDeployment`: what takes traffic.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    condition::Condition,
    scheduling::{Resources, Scheduling},
};

/// A ModelDeployment serves one version of a Model and rolls over to the next without losing a request. A spec that
/// returns to earlier content resolves to the revision that it had then.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "modelwright.dev",
    version = "v1alpha1",
    kind = "ModelDeployment",
    plural = "modeldeployments",
    shortname = "md",
    category = "modelwright",
    namespaced,
    derive = "PartialEq",
    status = "ModelDeploymentStatus",
    scale(spec_replicas_path = ".spec.replicas", status_replicas_path = ".status.replicas", label_selector_path = ".status.selector"),
    validation = Rule::new("size(self.metadata.name) <= 40").message("metadata.name must have at most 40 characters: names of revisions and pods are made from it; choose a shorter one"),
    validation = Rule::new("!has(self.spec.serving) || !has(self.spec.serving.batching) || !has(self.spec.serving.batching.maxDelay) || (has(self.spec.serving.mode) && self.spec.serving.mode == 'Latency') || (has(self.spec.accelerator) && has(self.spec.accelerator.executionProviders) && 'CUDA' in self.spec.accelerator.executionProviders)").message("spec.serving.batching.maxDelay applies where runs are made one at a time: name CUDA in spec.accelerator.executionProviders, set spec.serving.mode to Latency, or remove it"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Stable", type_ = "integer", json_path = ".status.stable.version"),
    printcolumn(name = "Target", type_ = "integer", json_path = ".status.target.version"),
    printcolumn(name = "Replicas", type_ = "string", json_path = ".status.replicasSummary"),
    printcolumn(name = "URL", type_ = "string", json_path = ".status.url"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Rollout", type_ = "string", json_path = ".status.conditions[?(@.type==\"Promoted\")].reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct ModelDeploymentSpec {
    /// Name of the Model to serve, in the same namespace.
    #[schemars(length(min = 1, max = 40))]
    pub model: String,
    /// Number of the version to serve. Default: follow the Model's `status.currentVersion`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub version: Option<u64>,
    /// Name of the version's variant to serve, as the Model's `optimize` names it. Default: the model itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20), regex(pattern = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"))]
    pub variant: Option<String>,
    /// Number of serving pods. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: Option<u32>,
    /// Resources of a serving pod. Default: as each field says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Hardware to run the model on. Default: the CPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accelerator: Option<Accelerator>,
    /// Limits and settings of the server. Default: as each field says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serving: Option<Serving>,
    /// How a new revision takes over. Default: rollingUpdate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// Where serving pods may run. Default: anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduling: Option<Scheduling>,
    /// How many revisions to remember. Default: as its field says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<History>,
    /// Whether a rollout stands still; what serves goes on serving. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
}

/// Hardware to run the model on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Accelerator {
    /// Execution providers of ONNX Runtime, in order of preference: CPU, CUDA. Default: [CPU].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 2))]
    pub execution_providers: Vec<ExecutionProvider>,
    /// Whether a pod may serve with the next provider, and at last the CPU, where the first is missing. Default: false, a
    /// missing provider is a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_fallback: Option<bool>,
}

/// Execution provider of ONNX Runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ExecutionProvider {
    /// The processor.
    #[serde(rename = "CPU")]
    Cpu,
    /// NVIDIA GPUs.
    #[serde(rename = "CUDA")]
    Cuda,
}

/// Limits and settings of the server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Serving {
    /// Requests of a pod that may wait; the next is answered 503 with Retry-After. Default: 256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65536))]
    pub queue: Option<u32>,
    /// Time from a request to its answer, for example 500ms or 30s; past it the answer is 504. Default: 30s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = r"^([0-9]{1,6}(ms|s|m|h))+$"))]
    pub timeout: Option<String>,
    /// Largest request body, for example 64Mi; a larger one is answered 413. The memory limit must be four times of it.
    /// Default: 64Mi, or a quarter of a smaller memory limit's bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = r"^[0-9]{1,12}(Ki|Mi|Gi|k|M|G)?$"))]
    pub max_request_bytes: Option<String>,
    /// Most rows of a request: the size of an input's first axis, where the model leaves it free; more are answered 400.
    /// Default: one for each KiB of the pod's memory limit, fewer for a model with a long label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_147_483_647_u32))]
    pub max_rows: Option<u32>,
    /// Most elements of one input of a request, over all its axes; more are answered 400. Bound it where what a model makes
    /// of a free axis grows with its square, as attention does with the length of a text. Default: one for each 64 bytes
    /// of the pod's memory limit, and no fewer than the bytes of the largest request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_147_483_647_u32))]
    pub max_elements: Option<u32>,
    /// How long a pod that leaves service waits for its clients. Default: 30s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = r"^([0-9]{1,6}(ms|s|m|h))+$"))]
    pub drain_timeout: Option<String>,
    /// What the cores of a pod are for. Throughput: as many requests at once as the pod has cores, each run on one.
    /// Latency: one request at a time, run on all of them. Default: Throughput.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<ServingMode>,
    /// How requests share runs of the model, where its graph shows that an answer does not depend on the other rows of a
    /// run. Default: as each field says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batching: Option<Batching>,
    /// Image of the runtime. Default: the operator's at the time that the revision was made; an operator upgrade does not
    /// change it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub runtime: Option<String>,
    /// Any string; changing it makes a new revision, with the operator's present runtime image. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub restart: Option<String>,
}

/// How requests share runs of the model. Which do is decided by the runtime; this bounds it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Batching {
    /// Most rows of a run that requests share, along the first axis; 1 for no sharing. Default: 64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4096))]
    pub max_size: Option<u32>,
    /// Longest time that a request waits for others to share its run, for example 2ms; 0ms for none. A run that is full
    /// begins at once. It applies where runs are made one at a time: in the mode Latency, and on CUDA once this is set. Every
    /// request that nobody joins takes that much longer. Default: 0ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = r"^([0-9]{1,6}(ms|s))+$"))]
    pub max_delay: Option<String>,
    /// Whether an answer to a row is the same whatever other rows share its run. true: your own word, where the graph does
    /// not show it; runs are then shared if the model answers trial rows together as it answers them alone. false: no runs
    /// are shared. Default: what the graph shows, which spec.rowIndependence of the ModelVersion says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_independent: Option<bool>,
}

/// What the cores of a pod are for. Throughput: as many requests at once as the pod has cores, each run on one. Latency:
/// one request at a time, run on all of them. Default: Throughput.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ServingMode {
    /// Many requests at once, each run on one core.
    Throughput,
    /// One request at a time, run on all cores.
    Latency,
}

/// How a new revision takes over; exactly one way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Strategy {
    /// Pod by pod: a pod of the old revision leaves when one of the new is ready. Default: this way, with its defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolling_update: Option<RollingUpdate>,
}

/// Pod by pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RollingUpdate {
    /// Pods above `replicas` during a rollout; ready pods never fall below `replicas`. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_surge: Option<u32>,
    /// How long a rollout may go without a further pod becoming ready, for example 10m. Default: 10m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = r"^([0-9]{1,6}(ms|s|m|h))+$"))]
    pub progress_deadline: Option<String>,
    /// Whether a rollout past its deadline goes back to the stable revision and is not tried again until it is asked for.
    /// Default: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_rollback: Option<bool>,
}

/// How much to remember.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct History {
    /// Revisions without traffic to keep; a kept one takes traffic back without a new rollout check. Default: 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 50))]
    pub keep: Option<u32>,
}

/// What the operator observed of a ModelDeployment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ModelDeploymentStatus {
    /// Generation of the spec that this status describes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready: it serves. Promoted: the spec's revision is the stable one. Reconciling, Stalled: as in Model.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Healthy, Progressing, Paused or Degraded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub phase: Option<String>,
    /// What is going on, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub message: Option<String>,
    /// The revision that was promoted last; it takes traffic unless the target has all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stable: Option<RevisionStatus>,
    /// The revision that the spec asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<RevisionStatus>,
    /// Revisions, newest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 60))]
    pub history: Vec<HistoryEntry>,
    /// What the serving pods say of themselves, the first 20.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub pods: Vec<PodStatus>,
    /// Serving pods of all revisions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u32>,
    /// Serving pods that are ready, of all revisions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<u32>,
    /// Serving pods that are ready, of those that are wanted: 2/3.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub replicas_summary: Option<String>,
    /// Label selector of the serving pods, for autoscalers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub selector: Option<String>,
    /// Where clients in the cluster send requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub url: Option<String>,
    /// The same for clients of gRPC: host and port.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub grpc_address: Option<String>,
    /// A person's action, written by the rollout plugin; the operator removes it when it has taken effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<ActionRequest>,
}

/// A revision in the status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevisionStatus {
    /// Hash of the revision.
    #[schemars(length(max = 64))]
    pub revision: String,
    /// Version number that it serves.
    pub version: u64,
    /// Digest of the model's files.
    #[schemars(length(max = 64))]
    pub model_digest: String,
    /// Pods.
    pub replicas: u32,
    /// Pods that are ready.
    pub ready_replicas: u32,
}

/// A revision in the history.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    /// Hash of the revision.
    #[schemars(length(max = 64))]
    pub revision: String,
    /// Version number that it serves.
    pub version: u64,
    /// Promoted, Progressing, RolledBack, Aborted or Superseded.
    #[schemars(length(max = 32))]
    pub outcome: String,
    /// Why, where it was not promoted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
    /// When its outcome was reached, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub time: Option<String>,
}

/// A serving pod's own answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodStatus {
    /// Name of the pod.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Digest of the files that it loaded.
    #[schemars(length(max = 64))]
    pub model_digest: String,
    /// Execution provider in use.
    #[schemars(length(max = 32))]
    pub execution_provider: String,
    /// Node that it runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub node: Option<String>,
}

/// A person's action on a rollout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActionRequest {
    /// Any string that tells this request from others.
    #[schemars(length(min = 1, max = 64))]
    pub id: String,
    /// What to do.
    pub action: Action,
    /// Hash of the revision that the person saw as target; the request is void when it is another by now.
    #[schemars(length(max = 64))]
    pub revision: String,
}

/// What a person may ask of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Action {
    /// Go back to the stable revision, and do not try this one again.
    Abort,
    /// Try a revision again that was rolled back.
    Retry,
}
