//! Tensors as gRPC messages carry them: raw, in the layout of the binary tensor extension, or typed, as lists of numbers.
//! In goes a message; out comes a request; and from outputs an answer. Needs no client.
//!
//! Raw contents are not copied. FP16 and BF16 have no typed form.

use std::collections::HashMap;

use bytes::Bytes;

use super::proto::{
    InferParameter, InferTensorContents, ModelInferRequest, ModelInferResponse,
    infer_parameter::ParameterChoice, model_infer_request::InferInputTensor,
    model_infer_response::InferOutputTensor,
};
use crate::{
    decode::datatypes,
    error::ApiError,
    request::{Form, InferRequest},
};
use modelwright_core::tensor::{Datatype, Tensor, element_count, encode_strings};

/// Most inputs or outputs of one request, as over HTTP.
const MAX_TENSORS: usize = 1024;
/// Most sizes of a shape, as over HTTP.
const MAX_RANK: usize = 64;

/// A message as a request, and whether its contents are raw.
pub fn decode(message: ModelInferRequest) -> Result<(InferRequest, bool), ApiError> {
    let bad = |problem: String| Err(ApiError::BadRequest(problem));
    let raw = !message.raw_input_contents.is_empty();
    if raw && message.raw_input_contents.len() != message.inputs.len() {
        return bad(format!(
            "the request has {} raw_input_contents and {} inputs; expected one for each input",
            message.raw_input_contents.len(),
            message.inputs.len()
        ));
    }
    for (what, got) in [("inputs", message.inputs.len()), ("outputs", message.outputs.len())] {
        if got > MAX_TENSORS {
            return bad(format!("the request has {got} {what}, expected at most {MAX_TENSORS}"));
        }
    }
    let mut raws = message.raw_input_contents.into_iter();
    let inputs =
        message.inputs.into_iter().map(|input| tensor(input, raws.next())).collect::<Result<_, _>>()?;
    let (mut outputs, mut forms) = (Vec::new(), Vec::new());
    for output in message.outputs {
        refuse_shared_memory(&output.parameters)?;
        outputs.push(output.name);
        forms.push(Form { binary: false, classes: classes(&output.parameters)? });
    }
    let id = Some(message.id).filter(|id| !id.is_empty());
    Ok((InferRequest { id, inputs, outputs, forms, every: Form::default(), missing: false }, raw))
}

fn refuse_shared_memory(parameters: &HashMap<String, InferParameter>) -> Result<(), ApiError> {
    if parameters.contains_key("shared_memory_region") {
        return Err(ApiError::BadRequest(
            "the parameter shared_memory_region of the request is not served here; send the data in the request"
                .to_owned(),
        ));
    }
    Ok(())
}

fn classes(parameters: &HashMap<String, InferParameter>) -> Result<usize, ApiError> {
    let Some(parameter) = parameters.get("classification") else { return Ok(0) };
    let count = match parameter.parameter_choice {
        Some(ParameterChoice::Int64Param(count)) => usize::try_from(count).ok(),
        Some(ParameterChoice::Uint64Param(count)) => usize::try_from(count).ok(),
        _ => None,
    };
    count.ok_or_else(|| {
        ApiError::BadRequest(
            "the parameter classification is no number of classes; expected an integer of 0 or more"
                .to_owned(),
        )
    })
}

fn tensor(input: InferInputTensor, raw: Option<Bytes>) -> Result<Tensor, ApiError> {
    refuse_shared_memory(&input.parameters)?;
    let InferInputTensor { name, datatype, shape, contents, .. } = input;
    let bad = |problem: String| Err(ApiError::BadRequest(format!("input {name:?} {problem}")));
    if shape.len() > MAX_RANK {
        return bad(format!("has a shape of {} sizes, expected at most {MAX_RANK}", shape.len()));
    }
    let Some(datatype) = Datatype::parse(&datatype) else {
        return bad(format!("has datatype {datatype:?}, expected one of {}", datatypes()));
    };
    let data = match (raw, contents) {
        (Some(raw), None) => raw,
        (Some(raw), Some(contents)) if contents == InferTensorContents::default() => raw,
        (Some(_), Some(_)) => {
            return bad("has contents beside raw_input_contents; expected one of them".to_owned());
        }
        (None, contents) => match typed(datatype, contents.unwrap_or_default()) {
            Ok(data) => data,
            Err(problem) => return bad(problem),
        },
    };
    Ok(Tensor { name, datatype, shape, data })
}

/// The only field of typed contents that a datatype has; nothing for those without.
fn field(datatype: Datatype) -> Option<&'static str> {
    Some(match datatype {
        Datatype::Bool => "bool_contents",
        Datatype::Int8 | Datatype::Int16 | Datatype::Int32 => "int_contents",
        Datatype::Int64 => "int64_contents",
        Datatype::Uint8 | Datatype::Uint16 | Datatype::Uint32 => "uint_contents",
        Datatype::Uint64 => "uint64_contents",
        Datatype::Fp32 => "fp32_contents",
        Datatype::Fp64 => "fp64_contents",
        Datatype::Bytes => "bytes_contents",
        Datatype::Fp16 | Datatype::Bf16 => return None,
    })
}

/// Refuses elements in a field that is not the datatype's: whoever sent them meant something by them.
fn refuse_others(datatype: Datatype, contents: &InferTensorContents) -> Result<(), String> {
    let Some(expected) = field(datatype) else { return Ok(()) };
    let InferTensorContents {
        bool_contents,
        int_contents,
        int64_contents,
        uint_contents,
        uint64_contents,
        fp32_contents,
        fp64_contents,
        bytes_contents,
    } = contents;
    let lengths = [
        ("bool_contents", bool_contents.len()),
        ("int_contents", int_contents.len()),
        ("int64_contents", int64_contents.len()),
        ("uint_contents", uint_contents.len()),
        ("uint64_contents", uint64_contents.len()),
        ("fp32_contents", fp32_contents.len()),
        ("fp64_contents", fp64_contents.len()),
        ("bytes_contents", bytes_contents.len()),
    ];
    match lengths.into_iter().find(|(name, length)| *length > 0 && *name != expected) {
        None => Ok(()),
        Some((name, length)) => Err(format!(
            "has {length} elements in {name}; expected all of datatype {datatype} in {expected}, and nothing elsewhere"
        )),
    }
}

/// Typed contents in the layout.
fn typed(datatype: Datatype, contents: InferTensorContents) -> Result<Bytes, String> {
    fn all<T, const N: usize>(list: Vec<T>, bytes: fn(T) -> [u8; N]) -> Bytes {
        list.into_iter().flat_map(bytes).collect()
    }
    fn narrow<W: Copy + std::fmt::Display, T: TryFrom<W>, const N: usize>(
        list: Vec<W>,
        datatype: Datatype,
        bytes: fn(T) -> [u8; N],
    ) -> Result<Bytes, String> {
        let mut data = Vec::with_capacity(list.len() * N);
        for (element, wide) in list.into_iter().enumerate() {
            let number = T::try_from(wide)
                .map_err(|_| format!("has element {element} {wide}, which {datatype} cannot hold"))?;
            data.extend_from_slice(&bytes(number));
        }
        Ok(data.into())
    }
    refuse_others(datatype, &contents)?;
    Ok(match datatype {
        Datatype::Bool => all(contents.bool_contents, |truth| [u8::from(truth)]),
        Datatype::Int8 => narrow(contents.int_contents, datatype, i8::to_le_bytes)?,
        Datatype::Int16 => narrow(contents.int_contents, datatype, i16::to_le_bytes)?,
        Datatype::Int32 => all(contents.int_contents, i32::to_le_bytes),
        Datatype::Int64 => all(contents.int64_contents, i64::to_le_bytes),
        Datatype::Uint8 => narrow(contents.uint_contents, datatype, u8::to_le_bytes)?,
        Datatype::Uint16 => narrow(contents.uint_contents, datatype, u16::to_le_bytes)?,
        Datatype::Uint32 => all(contents.uint_contents, u32::to_le_bytes),
        Datatype::Uint64 => all(contents.uint64_contents, u64::to_le_bytes),
        Datatype::Fp32 => all(contents.fp32_contents, f32::to_le_bytes),
        Datatype::Fp64 => all(contents.fp64_contents, f64::to_le_bytes),
        Datatype::Bytes => encode_strings(contents.bytes_contents)
            .ok_or_else(|| "has an element of more than 4 GiB".to_owned())?,
        Datatype::Fp16 | Datatype::Bf16 => {
            return Err(format!(
                "has datatype {datatype}, which has no typed contents; expected raw_input_contents"
            ));
        }
    })
}

/// Bytes of the lists that an answer has beside its outputs, unless it is raw.
pub fn weight(outputs: &[Tensor], raw: bool) -> usize {
    let list = |output: &Tensor| match output.datatype {
        // Lists have no narrower integers than those of four bytes.
        Datatype::Int8 | Datatype::Uint8 => output.data.len().saturating_mul(4),
        Datatype::Int16 | Datatype::Uint16 => output.data.len().saturating_mul(2),
        Datatype::Bytes => {
            let count = element_count(&output.shape).unwrap_or(0);
            output.data.len().saturating_add(count.saturating_mul(size_of::<Bytes>()))
        }
        _ => output.data.len(),
    };
    if raw { 0 } else { outputs.iter().map(list).fold(0, usize::saturating_add) }
}

/// What stands around the outputs of an answer.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    pub model: &'a str,
    pub version: u64,
    /// Whether the request's contents were raw; then the answer's are too.
    pub raw: bool,
}

/// Outputs as a message. Raw contents are also given to who sent typed ones and asks for a datatype without them.
pub fn encode(
    envelope: Envelope<'_>,
    id: Option<String>,
    outputs: Vec<Tensor>,
) -> Result<ModelInferResponse, ApiError> {
    let raw = envelope.raw
        || outputs.iter().any(|output| matches!(output.datatype, Datatype::Fp16 | Datatype::Bf16));
    let mut message = ModelInferResponse {
        model_name: envelope.model.to_owned(),
        model_version: envelope.version.to_string(),
        id: id.unwrap_or_default(),
        ..ModelInferResponse::default()
    };
    for output in outputs {
        let contents = if raw { None } else { Some(list(&output)?) };
        let Tensor { name, datatype, shape, data } = output;
        message.outputs.push(InferOutputTensor {
            name,
            datatype: datatype.name().to_owned(),
            shape,
            parameters: HashMap::new(),
            contents,
        });
        if raw {
            message.raw_output_contents.push(data);
        }
    }
    Ok(message)
}

fn list(output: &Tensor) -> Result<InferTensorContents, ApiError> {
    fn all<T: bytemuck::Pod, W>(data: &[u8], widen: fn(T) -> W) -> Vec<W> {
        data.chunks_exact(size_of::<T>()).map(|chunk| widen(bytemuck::pod_read_unaligned(chunk))).collect()
    }
    let data = &output.data;
    let mut contents = InferTensorContents::default();
    match output.datatype {
        Datatype::Bool => contents.bool_contents = all(data, |byte: u8| byte != 0),
        Datatype::Int8 => contents.int_contents = all(data, |number: i8| number.into()),
        Datatype::Int16 => contents.int_contents = all(data, |number: i16| number.into()),
        Datatype::Int32 => contents.int_contents = all(data, |number: i32| number),
        Datatype::Int64 => contents.int64_contents = all(data, |number: i64| number),
        Datatype::Uint8 => contents.uint_contents = all(data, |number: u8| number.into()),
        Datatype::Uint16 => contents.uint_contents = all(data, |number: u16| number.into()),
        Datatype::Uint32 => contents.uint_contents = all(data, |number: u32| number),
        Datatype::Uint64 => contents.uint64_contents = all(data, |number: u64| number),
        Datatype::Fp32 => contents.fp32_contents = all(data, |number: f32| number),
        Datatype::Fp64 => contents.fp64_contents = all(data, |number: f64| number),
        Datatype::Bytes => {
            let strings = output
                .strings()
                .map_err(|error| ApiError::Failed(format!("output {:?} has {error}", output.name)))?;
            contents.bytes_contents =
                strings.into_iter().map(|text| Bytes::copy_from_slice(text.as_bytes())).collect();
        }
        // Such outputs are raw.
        Datatype::Fp16 | Datatype::Bf16 => {}
    }
    Ok(contents)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn message(datatype: &str, contents: InferTensorContents) -> ModelInferRequest {
        ModelInferRequest {
            inputs: vec![InferInputTensor {
                name: "x".to_owned(),
                datatype: datatype.to_owned(),
                shape: vec![2],
                parameters: HashMap::new(),
                contents: Some(contents),
            }],
            ..ModelInferRequest::default()
        }
    }

    fn only(field: &str, full: &InferTensorContents) -> InferTensorContents {
        let (full, mut one) = (full.clone(), InferTensorContents::default());
        match field {
            "bool_contents" => one.bool_contents = full.bool_contents,
            "int_contents" => one.int_contents = full.int_contents,
            "int64_contents" => one.int64_contents = full.int64_contents,
            "uint_contents" => one.uint_contents = full.uint_contents,
            "uint64_contents" => one.uint64_contents = full.uint64_contents,
            "fp32_contents" => one.fp32_contents = full.fp32_contents,
            "fp64_contents" => one.fp64_contents = full.fp64_contents,
            _ => one.bytes_contents = full.bytes_contents,
        }
        one
    }

    fn refusal(message: ModelInferRequest) -> String {
        decode(message).unwrap_err().to_string()
    }

    #[test]
    fn typed_contents_of_every_datatype_come_back_as_they_were() {
        let full = InferTensorContents {
            bool_contents: vec![true, false],
            int_contents: vec![-128, 127],
            int64_contents: vec![i64::MIN, i64::MAX],
            uint_contents: vec![0, 255],
            uint64_contents: vec![0, u64::MAX],
            fp32_contents: vec![f32::NAN, -0.0],
            fp64_contents: vec![f64::INFINITY, 1e-300],
            bytes_contents: vec![Bytes::from_static(b""), Bytes::from_static("ä".as_bytes())],
        };
        for datatype in Datatype::ALL {
            let refused = refusal(message(datatype.name(), full.clone()));
            let Some(field) = field(datatype) else {
                assert!(refused.contains("expected raw_input_contents"), "{refused}");
                continue;
            };
            let other = if field == "bool_contents" { "int_contents" } else { "bool_contents" };
            let expected =
                format!("has 2 elements in {other}; expected all of datatype {datatype} in {field},");
            assert!(refused.contains(&expected), "{refused}");
            let contents = only(field, &full);
            let (request, raw) = decode(message(datatype.name(), contents.clone())).unwrap();
            assert!(!raw);
            assert_eq!(request.inputs[0].check().unwrap(), 2, "{datatype}");
            let envelope = Envelope { model: "m", version: 1, raw };
            let answer = encode(envelope, None, request.inputs.clone()).unwrap();
            let again = message(datatype.name(), answer.outputs[0].contents.clone().unwrap());
            assert_eq!(decode(again).unwrap().0.inputs, request.inputs, "{datatype}");
        }
    }

    #[test]
    fn raw_contents_are_not_copied_and_are_answered_raw() {
        let mut request = message("FP16", InferTensorContents::default());
        let raw = Bytes::from_static(&[1, 2, 3, 4]);
        request.raw_input_contents = vec![raw.clone()];
        let (request, is_raw) = decode(request).unwrap();
        assert!(is_raw);
        assert_eq!(request.inputs[0].data.as_ptr(), raw.as_ptr());
        let envelope = Envelope { model: "m", version: 1, raw: false };
        let answer = encode(envelope, Some("7".to_owned()), request.inputs).unwrap();
        assert_eq!((answer.id.as_str(), answer.raw_output_contents.as_slice()), ("7", &[raw][..]));
    }

    #[test]
    fn contents_that_do_not_fit_are_refused_with_the_input() {
        let wide = InferTensorContents { int_contents: vec![1, 128], ..InferTensorContents::default() };
        assert_eq!(
            refusal(message("INT8", wide.clone())),
            "input \"x\" has element 1 128, which INT8 cannot hold"
        );
        assert!(
            refusal(message("FP31", wide.clone())).contains("has datatype \"FP31\", expected one of BOOL")
        );
        let mut both = message("INT32", wide.clone());
        both.raw_input_contents = vec![Bytes::new()];
        assert!(refusal(both).contains("contents beside raw_input_contents"));
        let mut two = message("INT32", wide);
        two.raw_input_contents = vec![Bytes::new(), Bytes::new()];
        assert!(refusal(two).contains("2 raw_input_contents and 1 inputs"));
    }
}
