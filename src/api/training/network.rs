//! `candidates[].layers` of a training and what goes with them, in Keras' own names.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One layer of a network.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Layer {
    /// Its name, unique among the candidate's layers. `input` is the name of the data.
    #[schemars(length(min = 1, max = 40), regex(pattern = r"^[A-Za-z][A-Za-z0-9_-]*$"))]
    pub name: String,
    /// What it is, by Keras' name, for example Dense, Conv2D, LSTM or TransformerEncoder.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 64))]
    pub type_: String,
    /// Names of the earlier layers that it takes, of which most take one. Default: the layer before, and for the first the
    /// data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 40)))]
    pub inputs: Vec<String>,
    /// Its parameters by Keras' names: numbers, strings, booleans, null, lists of these, or {type, parameters} where Keras
    /// takes an object (an initializer, a regularizer, the layer of Bidirectional); at most 8 KiB. Default: Keras' own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64, "additionalProperties" = {"x-kubernetes-preserve-unknown-fields": true}))]
    pub parameters: BTreeMap<String, Value>,
}

/// How a network's weights are changed. Default: Adam with Keras' parameters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Optimizer {
    /// SGD, RMSprop, Adam or AdamW.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 64))]
    pub type_: String,
    /// Its parameters by Keras' names; learning_rate is a number or a schedule, {type, parameters}. Default: Keras' own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64, "additionalProperties" = {"x-kubernetes-preserve-unknown-fields": true}))]
    pub parameters: BTreeMap<String, Value>,
}

/// What happens between a network's epochs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Callback {
    /// Keras' name for it, for example EarlyStopping.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 64))]
    pub type_: String,
    /// Its parameters by Keras' names. Default: Keras' own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64, "additionalProperties" = {"x-kubernetes-preserve-unknown-fields": true}))]
    pub parameters: BTreeMap<String, Value>,
}
