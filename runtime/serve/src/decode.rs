//! Reads an inference request of the REST protocol: JSON, and the binary tensor extension behind it. In go the body and
//! the length of its JSON; out come tensors in the extension's layout, not yet compared with the model. Needs no client.
//!
//! The text is read once, from left to right; only `data` that comes before its datatype and shape is passed over and read
//! later. Binary data are not copied: their tensors are views of the body.

mod decimal;
pub mod elements;
mod lanes;
pub mod number;
pub mod reader;
mod run;

use std::sync::Arc;

use bytes::Bytes;

pub use self::elements::ElementError;
use self::{
    elements::{Elements, Expected},
    reader::{Reader, SyntaxError},
};
use super::{
    budget::{Budget, Refused},
    request::{Form, InferRequest},
};
use modelwright_core::tensor::{Datatype, Shape, Tensor, element_count};

/// Most inputs or outputs of one request; models have far fewer.
const MAX_TENSORS: usize = 1024;
/// Most sizes of a shape.
const MAX_RANK: usize = 64;

/// A body that is no request.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not JSON, or JSON of another form.
    #[error("the request's body is not the JSON of an inference request: {problem}")]
    Json {
        /// With line and column.
        problem: String,
    },
    #[error("the request's body has no \"inputs\"; expected an array of tensors")]
    NoInputs,
    /// A key of an input or output that has no default.
    #[error("{what} {number} of the request has no {key:?}")]
    NoKey { what: &'static str, number: usize, key: &'static str },
    #[error("the request has more than {MAX_TENSORS} {what}")]
    Count { what: &'static str },
    #[error("input {name:?} has datatype {got:?}, expected one of {}", datatypes())]
    Datatype { name: String, got: String },
    #[error("input {name:?} has shape {}, expected sizes of 0 or more whose product can be counted", Shape(.shape))]
    Shape { name: String, shape: Vec<i64> },
    #[error("input {name:?} has no data; expected a JSON array, or the parameter binary_data_size")]
    NoData { name: String },
    #[error("input {name:?} has both data and binary_data_size; expected one of them")]
    DataTwice { name: String },
    /// Data that do not fit.
    #[error("input {name:?}: {source}")]
    Element { name: String, source: ElementError },
    /// There is no memory for its data.
    #[error("input {name:?}: {refused}")]
    Memory { name: String, refused: Refused },
    /// Not as many bytes as were announced.
    #[error(
        "the request has {got} bytes of binary data, but its inputs say binary_data_size {expected} in all; \
         inference-header-content-length must be the length of the JSON alone"
    )]
    BinarySize { got: usize, expected: usize },
    /// The JSON would be longer than the body.
    #[error(
        "inference-header-content-length is {got}, expected the length of the JSON, at most the body's {body} bytes"
    )]
    HeaderLength { got: usize, body: usize },
    /// An extension that is not served.
    #[error("the parameter {what} of the request is not served here; {instead}")]
    Extension { what: &'static str, instead: &'static str },
}

/// The names of all datatypes, for messages.
pub fn datatypes() -> String {
    Datatype::ALL.map(Datatype::name).join(", ")
}

/// What went wrong before the text's lines are counted.
enum Fault {
    Syntax(SyntaxError),
    Decode(DecodeError),
}

impl From<SyntaxError> for Fault {
    fn from(error: SyntaxError) -> Self {
        Self::Syntax(error)
    }
}

impl From<DecodeError> for Fault {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}

/// Reads a request. `json` is the length of the JSON if binary data stand behind it.
pub fn decode(body: &Bytes, json: Option<usize>) -> Result<InferRequest, DecodeError> {
    decode_within(None, body, json)
}

/// The same, with the memory of its tensors taken from a budget.
pub fn decode_within(
    budget: Option<&Arc<Budget>>,
    body: &Bytes,
    json: Option<usize>,
) -> Result<InferRequest, DecodeError> {
    let text = body
        .get(..json.unwrap_or(body.len()))
        .ok_or(DecodeError::HeaderLength { got: json.unwrap_or_default(), body: body.len() })?;
    decode_text(budget, text, body).map_err(|fault| match fault {
        Fault::Syntax(error)
        | Fault::Decode(DecodeError::Element { source: ElementError::Syntax(error), .. }) => {
            DecodeError::Json { problem: error.shown(text) }
        }
        Fault::Decode(error) => error,
    })
}

fn decode_text(budget: Option<&Arc<Budget>>, text: &[u8], body: &Bytes) -> Result<InferRequest, Fault> {
    let mut reader = Reader::new(text);
    let mut request = InferRequest::default();
    let mut binary = text.len();
    let mut has_inputs = false;
    // What is said of one output goes before what is said of all, in whichever order they come.
    let mut binaries = Vec::new();
    reader.object("an object", |reader, key| {
        match key {
            "id" => {
                request.id = if reader.null() { None } else { Some(reader.name("a string")?.into_owned()) }
            }
            "inputs" => {
                has_inputs = true;
                reader.array("an array of inputs", |reader| {
                    let number = request.inputs.len();
                    if number == MAX_TENSORS {
                        return Err(DecodeError::Count { what: "inputs" }.into());
                    }
                    let (tensor, missing) = input(budget, reader, number, body, &mut binary)?;
                    request.inputs.push(tensor);
                    request.missing |= missing;
                    Ok::<_, Fault>(())
                })?;
            }
            "outputs" => reader.array("an array of outputs", |reader| {
                let number = request.outputs.len();
                if number == MAX_TENSORS {
                    return Err(DecodeError::Count { what: "outputs" }.into());
                }
                let (name, parameters) = output(reader, number)?;
                request.outputs.push(name);
                request.forms.push(Form { binary: false, classes: parameters.classification });
                binaries.push(parameters.binary_data);
                Ok::<_, Fault>(())
            })?,
            "parameters" => {
                let parameters = parameters(reader)?;
                request.every.binary = parameters.binary_data_output;
            }
            _ => reader.skip()?,
        }
        Ok::<_, Fault>(())
    })?;
    reader.end()?;
    if !has_inputs {
        return Err(DecodeError::NoInputs.into());
    }
    if binary != body.len() {
        let got = body.len().saturating_sub(text.len());
        return Err(DecodeError::BinarySize { got, expected: binary.saturating_sub(text.len()) }.into());
    }
    for (form, binary) in request.forms.iter_mut().zip(binaries) {
        form.binary = binary.unwrap_or(request.every.binary);
    }
    Ok(request)
}

fn input(
    budget: Option<&Arc<Budget>>,
    reader: &mut Reader<'_>,
    number: usize,
    body: &Bytes,
    binary: &mut usize,
) -> Result<(Tensor, bool), Fault> {
    let (mut name, mut datatype, mut shape) = (None, None, None);
    let mut read = None;
    let mut passed = None;
    let mut size = None;
    reader.object("an input: an object", |reader, key| {
        match key {
            "name" => name = Some(reader.name("a string")?.into_owned()),
            "datatype" => datatype = Some(reader.name("a string")?),
            "shape" => shape = Some(sizes(reader)?),
            "parameters" => size = parameters(reader)?.binary_data_size,
            "data" => {
                if let (Some(name), Some(datatype), Some(shape)) = (&name, &datatype, &shape) {
                    read = Some(array(budget, reader, name, datatype, shape)?);
                } else {
                    // It is read when the rest is known.
                    reader.next_token();
                    passed = Some(*reader);
                    reader.skip()?;
                }
            }
            _ => reader.skip()?,
        }
        Ok::<_, Fault>(())
    })?;
    let missing = |key| DecodeError::NoKey { what: "input", number, key };
    let name = name.ok_or_else(|| missing("name"))?;
    let datatype = datatype.ok_or_else(|| missing("datatype"))?;
    let shape = shape.ok_or_else(|| missing("shape"))?;
    if read.is_none()
        && let Some(mut reader) = passed
    {
        read = Some(array(budget, &mut reader, &name, &datatype, &shape)?);
    }
    let data = match (read, size) {
        (Some(_), Some(_)) => return Err(DecodeError::DataTwice { name }.into()),
        (Some(elements), None) => elements,
        (None, None) => return Err(DecodeError::NoData { name }.into()),
        (None, Some(size)) => {
            let end = binary.checked_add(size).filter(|end| *end <= body.len());
            let Some(end) = end else {
                return Err(DecodeError::BinarySize { got: body.len() - *binary, expected: size }.into());
            };
            let data = body.slice(*binary..end);
            *binary = end;
            Elements { data, missing: false }
        }
    };
    let datatype = known(&name, &datatype)?;
    Ok((Tensor { name, datatype, shape, data: data.data }, data.missing))
}

fn known(name: &str, datatype: &str) -> Result<Datatype, DecodeError> {
    Datatype::parse(datatype)
        .ok_or_else(|| DecodeError::Datatype { name: name.to_owned(), got: datatype.to_owned() })
}

fn array(
    budget: Option<&Arc<Budget>>,
    reader: &mut Reader<'_>,
    name: &str,
    datatype: &str,
    shape: &[i64],
) -> Result<Elements, DecodeError> {
    let datatype = known(name, datatype)?;
    let Some(count) = element_count(shape) else {
        return Err(DecodeError::Shape { name: name.to_owned(), shape: shape.to_vec() });
    };
    elements::read(reader, Expected { datatype, shape, count, budget }).map_err(|source| match source {
        ElementError::Memory(refused) => DecodeError::Memory { name: name.to_owned(), refused },
        source => DecodeError::Element { name: name.to_owned(), source },
    })
}

fn sizes(reader: &mut Reader<'_>) -> Result<Vec<i64>, SyntaxError> {
    let mut shape = Vec::with_capacity(4);
    reader.array("a shape: an array of integers", |reader| {
        if shape.len() == MAX_RANK {
            return reader.fault("a shape of at most 64 sizes");
        }
        shape.push(reader.integer("a size: an integer")?);
        Ok(())
    })?;
    Ok(shape)
}

fn output(reader: &mut Reader<'_>, number: usize) -> Result<(String, Parameters), Fault> {
    let mut name = None;
    let mut found = Parameters::default();
    reader.object("an output: an object", |reader, key| {
        match key {
            "name" => name = Some(reader.name("a string")?.into_owned()),
            "parameters" => found = parameters(reader)?,
            _ => reader.skip()?,
        }
        Ok::<_, Fault>(())
    })?;
    let name = name.ok_or(DecodeError::NoKey { what: "output", number, key: "name" })?;
    Ok((name, found))
}

/// Parameters that change the answer; others are free for clients and ignored, as the protocol has it.
#[derive(Default)]
struct Parameters {
    binary_data: Option<bool>,
    binary_data_output: bool,
    binary_data_size: Option<usize>,
    classification: usize,
}

fn parameters(reader: &mut Reader<'_>) -> Result<Parameters, Fault> {
    let mut found = Parameters::default();
    let count = |reader: &mut Reader<'_>, expected| -> Result<usize, SyntaxError> {
        let here = *reader;
        usize::try_from(reader.integer(expected)?).or_else(|_| here.fault(expected))
    };
    reader.object("parameters: an object", |reader, key| {
        match key {
            "binary_data" => found.binary_data = Some(reader.boolean()?),
            "binary_data_output" => found.binary_data_output = reader.boolean()?,
            "binary_data_size" => found.binary_data_size = Some(count(reader, "a number of bytes")?),
            "classification" => found.classification = count(reader, "a number of classes")?,
            "shared_memory_region" => {
                let instead = "send the data in the request";
                return Err(DecodeError::Extension { what: "shared_memory_region", instead }.into());
            }
            _ => reader.skip()?,
        }
        Ok::<_, Fault>(())
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests;
