//! Where pods may run: the part of a pod that users choose, the same for runs and for serving.
//!
//! The schema of an optional enum keeps the enum's documentation, not the field's: so that is where a default stands.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::amount::Amount;

/// Where pods run and how they are labelled.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.podLabels) || self.podLabels.all(key, !key.startsWith('modelwright.dev/') && !key.startsWith('app.kubernetes.io/') && !key.startsWith('argocd.argoproj.io/'))").message("scheduling.podLabels must not set keys of modelwright.dev/, app.kubernetes.io/ or argocd.argoproj.io/; remove them"),
    validation = Rule::new("!has(self.podAnnotations) || self.podAnnotations.all(key, !key.startsWith('modelwright.dev/') && !key.startsWith('argocd.argoproj.io/'))").message("scheduling.podAnnotations must not set keys of modelwright.dev/ or argocd.argoproj.io/; remove them")
)]
pub struct Scheduling {
    /// Labels that a node must have. Default: none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub node_selector: BTreeMap<String, LabelValue>,
    /// Taints that pods tolerate. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub tolerations: Vec<Toleration>,
    /// How pods spread over nodes or zones. Default: the scheduler's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub topology_spread: Vec<TopologySpread>,
    /// PriorityClass of the pods. Default: the cluster's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub priority_class_name: Option<String>,
    /// Names of Secrets to pull images with. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(min = 1, max = 253)))]
    pub image_pull_secrets: Vec<String>,
    /// Labels to add to pods; keys of `modelwright.dev/`, `app.kubernetes.io/` and `argocd.argoproj.io/` are refused.
    /// Default: none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub pod_labels: BTreeMap<String, LabelValue>,
    /// Annotations to add to pods; keys of `modelwright.dev/` and `argocd.argoproj.io/` are refused. Default: none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub pod_annotations: BTreeMap<String, AnnotationValue>,
}

/// Value of a label.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct LabelValue(#[schemars(length(max = 63))] pub String);

/// Value of an annotation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct AnnotationValue(#[schemars(length(max = 4096))] pub String);

impl AsRef<str> for LabelValue {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for AnnotationValue {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// A taint that pods tolerate, as in a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Toleration {
    /// Key of the taint; absent with operator Exists: every taint. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 317))]
    pub key: Option<String>,
    /// Exists or Equal. Default: Equal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<TolerationOperator>,
    /// Value of the taint, with operator Equal. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub value: Option<String>,
    /// NoSchedule, PreferNoSchedule or NoExecute. Default: every effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<TaintEffect>,
    /// For how many seconds a NoExecute taint is tolerated. Default: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub toleration_seconds: Option<i64>,
}

/// How a toleration compares: Exists or Equal. Default: Equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TolerationOperator {
    /// Any value.
    Exists,
    /// This value.
    Equal,
}

/// Effect of the taint: NoSchedule, PreferNoSchedule or NoExecute. Default: every effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TaintEffect {
    /// New pods stay away.
    NoSchedule,
    /// New pods stay away if they can.
    PreferNoSchedule,
    /// Running pods leave too.
    NoExecute,
}

/// How pods spread over a topology, as in a pod; the operator fills in the selector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TopologySpread {
    /// Largest allowed difference in pods between two domains.
    #[schemars(range(min = 1, max = 1000))]
    pub max_skew: i32,
    /// Node label that names the domain.
    #[schemars(length(min = 1, max = 317))]
    pub topology_key: String,
    /// DoNotSchedule or ScheduleAnyway. Default: ScheduleAnyway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when_unsatisfiable: Option<WhenUnsatisfiable>,
}

/// When the spread cannot be met: DoNotSchedule or ScheduleAnyway. Default: ScheduleAnyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WhenUnsatisfiable {
    /// The pod waits.
    DoNotSchedule,
    /// The pod runs where it can.
    ScheduleAnyway,
}

/// Resources of a container, as in a pod: quantities by resource name, extended resources included.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// Most that the container may use, for example `nvidia.com/gpu: 1`. Default: memory 1Gi, or
    /// as much more as a full batch on each core takes by the version's size certificate, or as four times
    /// `serving.maxRequestBytes`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub limits: BTreeMap<String, Amount>,
    /// What the scheduler reserves. Default: cpu 100m; memory 128Mi, or as much more as one run takes by
    /// the version's size certificate; extended resources as in limits.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub requests: BTreeMap<String, Amount>,
}
