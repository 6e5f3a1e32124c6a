//! How large a run is: the containers of its pod but the one that trains, and the volume that they share.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::amount::Amount;

/// How large the containers of a run are, and the volume that they share; `training.resources` is that of the one that
/// trains.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunSizes {
    /// The container that brings the model or the data. Default: limits of cpu 1 and memory 512Mi, requests of cpu 100m and
    /// memory 128Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetch: Option<ContainerSize>,
    /// The container that loads and runs the model. Default: as `fetch`; of a training, the memory limit is the one that
    /// `training.resources` has, or 4Gi, which is that of an import with `evaluation`, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prove: Option<ProveSize>,
    /// The container that makes ONNX of a source with format Keras. Default: limits of cpu 1 and memory 4Gi, requests as
    /// `fetch`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub convert: Option<ContainerSize>,
    /// The container that brings the data of an import's `evaluation` to what the model takes. Default: limits of cpu 1 and
    /// memory 2Gi, requests as `fetch`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepare: Option<ContainerSize>,
    /// The container that makes variants. Default: limits of cpu 1 and memory 2Gi, requests as `fetch`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optimize: Option<ContainerSize>,
    /// The container that stores the model. Default: as `fetch`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publish: Option<ContainerSize>,
    /// Room for what is fetched and for what is made of it, a quantity; a model may take 10/21 of it, and data 8/21; with
    /// `evaluation`, a model 6/21 and its data 3/21. Default: 4Gi, and 8Gi where Keras trains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_size: Option<Amount>,
}

/// Resources of a container, as in a pod: quantities by resource name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContainerSize {
    /// Most that it may use. Default: as the container's field says.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub limits: BTreeMap<String, Amount>,
    /// What the scheduler reserves. Default: as the container's field says, at most the limits.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub requests: BTreeMap<String, Amount>,
}

/// Resources of the container that loads and runs the model, and the time that it has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProveSize {
    /// Most that it may use. Default: as `run.prove` says.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub limits: BTreeMap<String, Amount>,
    /// What the scheduler reserves. Default: as `run.prove` says, at most the limits.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub requests: BTreeMap<String, Amount>,
    /// Longest that the model may take to load and to answer the test part, or its samples, in seconds. Default: 600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400))]
    pub deadline_seconds: Option<u32>,
}
