//! Inputs and outputs of a model, as the Open Inference Protocol names them.

use serde::{Deserialize, Serialize};

/// Longest name of a tensor that a ModelVersion holds, in characters.
pub const MAX_TENSOR_NAME: usize = 1024;
/// Most axes of a tensor that a ModelVersion holds.
pub const MAX_TENSOR_AXES: usize = 256;
/// Longest name of a dimension that is told, in bytes. A longer one is as good as none.
pub const MAX_DIMENSION_NAME: usize = 64;
/// Most labels of classes that are told; how many there are is always told.
pub const MAX_LABELS: usize = 1000;
/// Most bytes of one label.
pub const MAX_LABEL_BYTES: usize = 256;
/// Most bytes of all that are told.
pub const MAX_LABELS_BYTES: usize = 64 * 1024;
/// Most labels of classes that a ModelVersion holds, which is an object of the cluster.
pub const MAX_VERSION_LABELS: usize = 20;

/// What a model takes and gives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// Inputs in the model's order.
    pub inputs: Vec<TensorSpec>,
    /// Inputs that may be left out, since the model stores a value for each (initializers that are inputs). None, where a
    /// graph has more than 16 of them: then it lists its weights.
    #[serde(default, rename = "optionalInputs", skip_serializing_if = "Vec::is_empty")]
    pub optional_inputs: Vec<TensorSpec>,
    /// Outputs in the model's order.
    pub outputs: Vec<TensorSpec>,
}

/// Name, datatype and shape of one tensor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorSpec {
    /// Name in the graph.
    pub name: String,
    /// Open Inference Protocol datatype: `BOOL`, `UINT8` to `UINT64`, `INT8` to `INT64`, `FP16`, `BF16`, `FP32`, `FP64`,
    /// `BYTES`.
    pub datatype: String,
    /// Sizes; `-1` where any size is taken.
    pub shape: Vec<i64>,
    /// What the graph calls its dimensions (`rows`, `time`), one each, empty where it has no name for one; none at all where
    /// it names none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dimensions: Vec<String>,
    /// The classes of a classifier's output: what its columns mean, or which labels it gives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<Classes>,
}

impl TensorSpec {
    /// Takes over what the graph calls the dimensions, as far as it can be shown.
    #[must_use]
    pub fn with_dimensions<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        let shown = |name: &str| name.len() <= MAX_DIMENSION_NAME && !name.chars().any(char::is_control);
        let names = names.into_iter().take(MAX_TENSOR_AXES);
        let names: Vec<_> =
            names.map(|name| if shown(name) { name.to_owned() } else { String::new() }).collect();
        if names.iter().any(|name| !name.is_empty()) {
            self.dimensions = names;
        }
        self
    }
}

/// Labels of classes, in the order of an output's columns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Classes {
    /// How many there are.
    pub count: u64,
    /// The first of them, all where there is room. A label that is a number is written as text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
}

impl Classes {
    /// Of all labels, as many as are told.
    pub fn of(labels: impl IntoIterator<Item = String>) -> Self {
        let (mut classes, mut bytes, mut room) = (Self::default(), 0, true);
        for label in labels {
            classes.count += 1;
            bytes += label.len();
            room = room
                && classes.labels.len() < MAX_LABELS
                && label.len() <= MAX_LABEL_BYTES
                && bytes <= MAX_LABELS_BYTES;
            if room {
                classes.labels.push(label);
            }
        }
        classes
    }

    /// With so many labels at most, each as short as a told one is.
    #[must_use]
    pub fn shortened(mut self, most: usize) -> Self {
        let told = self.labels.iter().take(most).take_while(|label| label.len() <= MAX_LABEL_BYTES).count();
        self.labels.truncate(told);
        self
    }
}
