//! Inputs and outputs of a model, as the Open Inference Protocol names them.

use serde::{Deserialize, Serialize};

/// Longest name of a tensor that a ModelVersion holds, in characters.
pub const MAX_TENSOR_NAME: usize = 1024;
/// Most axes of a tensor that a ModelVersion holds.
pub const MAX_TENSOR_AXES: usize = 256;

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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorSpec {
    /// Name in the graph.
    pub name: String,
    /// Open Inference Protocol datatype: `BOOL`, `UINT8` to `UINT64`, `INT8` to `INT64`, `FP16`, `BF16`, `FP32`, `FP64`,
    /// `BYTES`.
    pub datatype: String,
    /// Sizes; `-1` where any size is taken.
    pub shape: Vec<i64>,
}
