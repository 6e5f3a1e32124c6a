//! Reads an inference request's JSON. In go the body's bytes; out come tensors in the binary tensor extension's layout,
//! not yet compared with the model. Needs no client.
//!
//! `data` is kept as text until its datatype is known, since keys come in any order, and then goes straight into the
//! binary layout: no number passes through a type that would round it.

mod elements;

use serde::Deserialize;
use serde_json::value::RawValue;

pub use self::elements::ElementError;
use crate::tensor::{Datatype, Tensor, element_count};

/// Most inputs or outputs of one request; models have far fewer.
const MAX_TENSORS: usize = 1024;

/// A request for a prediction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InferRequest {
    /// Chosen by the client, and sent back.
    pub id: Option<String>,
    /// Inputs as they came.
    pub inputs: Vec<Tensor>,
    /// Outputs that are asked for; none means all.
    pub outputs: Vec<String>,
    /// Whether a number of an input is missing: `null`, which becomes NaN.
    pub missing: bool,
}

/// A body that is no request.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not JSON, or JSON of another form.
    #[error("the request's body is not the JSON of an inference request: {source}")]
    Json {
        /// With line and column.
        #[from]
        source: serde_json::Error,
    },
    /// Too many tensors.
    #[error("the request has {got} {what}, expected at most {MAX_TENSORS}")]
    Count {
        /// Inputs or outputs.
        what: &'static str,
        /// How many.
        got: usize,
    },
    /// No such datatype.
    #[error("input {name:?} has datatype {got:?}, expected one of {}", datatypes())]
    Datatype {
        /// The input.
        name: String,
        /// As it came.
        got: String,
    },
    /// No such shape.
    #[error("input {name:?} has shape {}, expected sizes of 0 or more whose product can be counted", crate::tensor::Shape(.shape))]
    Shape {
        /// The input.
        name: String,
        /// As it came.
        shape: Vec<i64>,
    },
    /// No data.
    #[error("input {name:?} has no data; expected a JSON array")]
    NoData {
        /// The input.
        name: String,
    },
    /// Data that do not fit.
    #[error("input {name:?}: {source}")]
    Element {
        /// The input.
        name: String,
        /// Where and why.
        source: ElementError,
    },
    /// An extension that is not served.
    #[error("{what} of the request is not served here; {instead}")]
    Extension {
        /// What was asked for.
        what: String,
        /// What to do.
        instead: &'static str,
    },
}

fn datatypes() -> String {
    Datatype::ALL.map(Datatype::name).join(", ")
}

const SEND_JSON: &str = "send and ask for JSON data (binary_data: false)";

#[derive(Deserialize)]
struct RawRequest<'a> {
    #[serde(default)]
    id: Option<String>,
    #[serde(borrow)]
    inputs: Vec<RawInput<'a>>,
    #[serde(default)]
    outputs: Vec<RawOutput>,
    #[serde(default)]
    parameters: RawParameters,
}

#[derive(Deserialize)]
struct RawInput<'a> {
    name: String,
    datatype: String,
    shape: Vec<i64>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(default)]
    parameters: RawParameters,
}

#[derive(Deserialize)]
struct RawOutput {
    name: String,
    #[serde(default)]
    parameters: RawParameters,
}

/// Parameters that would change the answer; others are free for clients and ignored, as the protocol has it.
#[derive(Default, Deserialize)]
struct RawParameters {
    #[serde(default)]
    binary_data: bool,
    #[serde(default)]
    binary_data_output: bool,
    #[serde(default)]
    binary_data_size: Option<u64>,
    #[serde(default)]
    classification: Option<u64>,
    #[serde(default)]
    shared_memory_region: Option<String>,
}

impl RawParameters {
    fn refuse_extensions(&self) -> Result<(), DecodeError> {
        let refused = |what: &str, instead| {
            Err(DecodeError::Extension { what: format!("the parameter {what}"), instead })
        };
        if self.binary_data || self.binary_data_output || self.binary_data_size.is_some() {
            return refused("binary_data", SEND_JSON);
        }
        if self.classification.is_some_and(|count| count > 0) {
            return refused("classification", "ask for the output itself and sort it");
        }
        if self.shared_memory_region.is_some() {
            return refused("shared_memory_region", "send the data in the request");
        }
        Ok(())
    }
}

/// Reads a request.
pub fn decode(body: &[u8]) -> Result<InferRequest, DecodeError> {
    let raw: RawRequest = serde_json::from_slice(body)?;
    raw.parameters.refuse_extensions()?;
    for (what, got) in [("inputs", raw.inputs.len()), ("outputs", raw.outputs.len())] {
        if got > MAX_TENSORS {
            return Err(DecodeError::Count { what, got });
        }
    }
    let mut missing = false;
    let decoded = raw.inputs.into_iter().map(|input| decode_input(input, &mut missing));
    let inputs = decoded.collect::<Result<_, _>>()?;
    let mut outputs = Vec::with_capacity(raw.outputs.len());
    for output in raw.outputs {
        output.parameters.refuse_extensions()?;
        outputs.push(output.name);
    }
    Ok(InferRequest { id: raw.id, inputs, outputs, missing })
}

fn decode_input(raw: RawInput<'_>, missing: &mut bool) -> Result<Tensor, DecodeError> {
    raw.parameters.refuse_extensions()?;
    let RawInput { name, datatype, shape, data, .. } = raw;
    let Some(datatype) = Datatype::parse(&datatype) else {
        return Err(DecodeError::Datatype { name, got: datatype });
    };
    let Some(count) = element_count(&shape) else {
        return Err(DecodeError::Shape { name, shape });
    };
    let Some(data) = data else {
        return Err(DecodeError::NoData { name });
    };
    match elements::decode(data.get(), datatype, &shape, count) {
        Ok(elements) => {
            *missing |= elements.missing;
            Ok(Tensor { name, datatype, shape, data: elements.data.into() })
        }
        Err(source) => Err(DecodeError::Element { name, source }),
    }
}

#[cfg(test)]
mod tests;
