//! A request for a prediction and its answer, whichever frontend they come and go by. Needs no client.

use modelwright_core::tensor::Tensor;

/// A request, decoded and not yet compared with the model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InferRequest {
    /// Chosen by the client, and sent back.
    pub id: Option<String>,
    /// Inputs as they came. Binary data stay where they were received.
    pub inputs: Vec<Tensor>,
    /// Outputs that are asked for; none means all.
    pub outputs: Vec<String>,
    /// How each of `outputs` is to be written, in their order.
    pub forms: Vec<Form>,
    /// How every output is to be written if none is asked for.
    pub every: Form,
    /// Whether a number of an input is missing: `null`, which becomes NaN.
    pub missing: bool,
}

/// How an output is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Form {
    /// As bytes behind the JSON, over HTTP.
    pub binary: bool,
    /// As the names of this many best classes; 0 for the output itself.
    pub classes: usize,
}

impl InferRequest {
    /// How the output at this place of the answer is to be written.
    pub fn form(&self, place: usize) -> Form {
        if self.outputs.is_empty() { self.every } else { self.forms.get(place).copied().unwrap_or_default() }
    }
}
