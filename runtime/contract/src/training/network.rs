//! The parts of a network, in Keras' own names.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Layer {
    /// Its name, unique in the network; `input` is the data.
    pub name: String,
    /// Keras' class.
    #[serde(rename = "type")]
    pub type_: String,
    /// Names of earlier layers that it takes; absent: the one before, and for the first the data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<String>,
    /// Parameters by Keras' names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, Value>,
}

/// Something of Keras' that is named by its class: an optimizer, a callback.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Typed {
    /// Keras' class.
    #[serde(rename = "type")]
    pub type_: String,
    /// Parameters by Keras' names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, Value>,
}
