//! Writes an inference response of the REST protocol: JSON, and the binary tensor extension behind it. In go output
//! tensors; out comes one buffer, whose numbers read back to the same bits. Needs no client.
//!
//! JSON has no NaN and no infinity. An output that holds one is an error, and so counts as one in metrics and rollouts:
//! `null` or a made-up number would pass for a prediction. Binary outputs carry every number.

use bytes::Bytes;

use super::{
    compress::{self, Encoding, SMALLEST},
    request::InferRequest,
};
use modelwright_core::tensor::{Datatype, LayoutError, Tensor};

/// Most bytes of binary data that are copied behind the JSON.
const APPENDED: usize = 16 * 1024;

/// An answer that JSON cannot carry.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    #[error(
        "output {name:?} is {number} at element {element}, which JSON cannot carry; the model does not give finite \
         numbers for these inputs"
    )]
    NotFinite {
        name: String,
        element: usize,
        /// `NaN`, `inf` or `-inf`.
        number: String,
    },
    #[error("output {name:?} has {source}")]
    Layout { name: String, source: LayoutError },
}

/// What stands around the outputs.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    pub model: &'a str,
    pub version: u64,
    /// The request's own id, and how it wants the outputs.
    pub wanted: &'a InferRequest,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// JSON, and small binary data behind it.
    pub body: Vec<u8>,
    /// Length of the JSON if there are binary data.
    pub json_length: Option<usize>,
    /// Large binary data, which stand behind that and stay where the model wrote them.
    pub behind: Vec<Bytes>,
    /// How all of it is compressed.
    pub encoding: Option<Encoding>,
}

impl Encoded {
    /// Compresses the response if that was asked for and it is not small.
    pub fn compressed(self, asked: Option<Encoding>) -> std::io::Result<Self> {
        let Some(encoding) = asked.filter(|_| self.body.len() > SMALLEST || !self.behind.is_empty()) else {
            return Ok(self);
        };
        let parts = std::iter::once(self.body.as_slice()).chain(self.behind.iter().map(AsRef::as_ref));
        let body = compress::deflate(encoding, parts)?;
        Ok(Self { body, behind: Vec::new(), encoding: Some(encoding), ..self })
    }
}

/// How many bytes of JSON a response's numbers are, about.
pub fn json_size(wanted: &InferRequest, outputs: &[Tensor]) -> usize {
    let size = |(place, output): (usize, &Tensor)| {
        if wanted.form(place).binary {
            return 0;
        }
        match output.datatype.size() {
            // Twelve characters hold most numbers, and a comma.
            Some(size) => (output.data.len() / size).saturating_mul(13),
            // Few characters of a string are escaped.
            None => output.data.len().saturating_add(output.data.len() / 8),
        }
    };
    outputs.iter().enumerate().map(size).fold(0, usize::saturating_add)
}

/// Writes a response into one buffer.
pub fn encode(envelope: Envelope<'_>, outputs: &[Tensor]) -> Result<Encoded, EncodeError> {
    let is_binary = |place: usize| envelope.wanted.form(place).binary;
    let binary =
        || outputs.iter().enumerate().filter(|(place, _)| is_binary(*place)).map(|(_, output)| &output.data);
    let appended = Some(binary().map(Bytes::len).sum::<usize>()).filter(|bytes| *bytes <= APPENDED);
    let size = json_size(envelope.wanted, outputs).saturating_add(appended.unwrap_or(0));
    let mut text = Vec::with_capacity(size.saturating_add(256));
    text.extend_from_slice(b"{\"model_name\":");
    push_string(&mut text, envelope.model);
    text.extend_from_slice(b",\"model_version\":\"");
    push_integer(&mut text, envelope.version);
    text.push(b'"');
    if let Some(id) = &envelope.wanted.id {
        text.extend_from_slice(b",\"id\":");
        push_string(&mut text, id);
    }
    text.extend_from_slice(b",\"outputs\":[");
    for (place, output) in outputs.iter().enumerate() {
        if place > 0 {
            text.push(b',');
        }
        push_output(&mut text, output, is_binary(place))?;
    }
    text.extend_from_slice(b"]}");
    let json_length = binary().next().is_some().then_some(text.len());
    if appended.is_none() {
        return Ok(Encoded { body: text, json_length, behind: binary().cloned().collect(), encoding: None });
    }
    for data in binary() {
        text.extend_from_slice(data);
    }
    Ok(Encoded { body: text, json_length, behind: Vec::new(), encoding: None })
}

fn push_output(text: &mut Vec<u8>, output: &Tensor, binary: bool) -> Result<(), EncodeError> {
    text.extend_from_slice(b"{\"name\":");
    push_string(text, &output.name);
    text.extend_from_slice(b",\"datatype\":\"");
    text.extend_from_slice(output.datatype.name().as_bytes());
    text.extend_from_slice(b"\",\"shape\":[");
    for (place, size) in output.shape.iter().enumerate() {
        if place > 0 {
            text.push(b',');
        }
        push_integer(text, *size);
    }
    if binary {
        text.extend_from_slice(b"],\"parameters\":{\"binary_data_size\":");
        push_integer(text, output.data.len());
        text.extend_from_slice(b"}}");
    } else {
        text.extend_from_slice(b"],\"data\":[");
        push_elements(text, output)?;
        text.extend_from_slice(b"]}");
    }
    Ok(())
}

fn push_string(text: &mut Vec<u8>, string: &str) {
    serde_json::to_writer(text, string).expect("a Vec takes all that is written to it");
}

fn push_elements(text: &mut Vec<u8>, tensor: &Tensor) -> Result<(), EncodeError> {
    match tensor.datatype {
        Datatype::Bool => push_all(text, &tensor.data, |text, byte: u8| {
            text.extend_from_slice(if byte == 0 { b"false" } else { b"true" });
        }),
        Datatype::Uint8 => push_all(text, &tensor.data, push_integer::<u8>),
        Datatype::Uint16 => push_all(text, &tensor.data, push_integer::<u16>),
        Datatype::Uint32 => push_all(text, &tensor.data, push_integer::<u32>),
        Datatype::Uint64 => push_all(text, &tensor.data, push_integer::<u64>),
        Datatype::Int8 => push_all(text, &tensor.data, push_integer::<i8>),
        Datatype::Int16 => push_all(text, &tensor.data, push_integer::<i16>),
        Datatype::Int32 => push_all(text, &tensor.data, push_integer::<i32>),
        Datatype::Int64 => push_all(text, &tensor.data, push_integer::<i64>),
        Datatype::Fp16 => return push_floats(text, tensor, half::f16::to_f32),
        Datatype::Bf16 => return push_floats(text, tensor, half::bf16::to_f32),
        Datatype::Fp32 => return push_floats(text, tensor, |number: f32| number),
        Datatype::Fp64 => return push_floats(text, tensor, |number: f64| number),
        Datatype::Bytes => {
            let layout = |source| EncodeError::Layout { name: tensor.name.clone(), source };
            for (i, string) in tensor.strings().map_err(layout)?.into_iter().enumerate() {
                if i > 0 {
                    text.push(b',');
                }
                push_string(text, string);
            }
        }
    }
    Ok(())
}

fn push_all<T: bytemuck::Pod>(text: &mut Vec<u8>, data: &[u8], push: impl Fn(&mut Vec<u8>, T)) {
    for (i, chunk) in data.chunks_exact(size_of::<T>()).enumerate() {
        if i > 0 {
            text.push(b',');
        }
        push(text, bytemuck::pod_read_unaligned(chunk));
    }
}

fn push_integer<T: itoa::Integer>(text: &mut Vec<u8>, number: T) {
    text.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn push_floats<T: bytemuck::Pod, F: ryu::Float + Into<f64> + Copy>(
    text: &mut Vec<u8>,
    tensor: &Tensor,
    widen: fn(T) -> F,
) -> Result<(), EncodeError> {
    let mut buffer = ryu::Buffer::new();
    for (element, chunk) in tensor.data.chunks_exact(size_of::<T>()).enumerate() {
        if element > 0 {
            text.push(b',');
        }
        let number = widen(bytemuck::pod_read_unaligned(chunk));
        if !number.into().is_finite() {
            let number = buffer.format(number).to_owned();
            return Err(EncodeError::NotFinite { name: tensor.name.clone(), element, number });
        }
        // The shortest digits that read back to the same number.
        text.extend_from_slice(buffer.format_finite(number).as_bytes());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::{decode::decode, request::Form};
    use modelwright_core::tensor::encode_strings;

    fn text(wanted: &InferRequest, outputs: &[Tensor]) -> Result<String, EncodeError> {
        encode(Envelope { model: "m", version: 1, wanted }, outputs)
            .map(|encoded| String::from_utf8(encoded.body).unwrap())
    }

    /// The outputs of a response are written like the inputs of a request.
    fn back(encoded: Encoded) -> Vec<Tensor> {
        let length = encoded.json_length.unwrap_or(encoded.body.len());
        let (json, binary) = encoded.body.split_at(length);
        let mut body = std::str::from_utf8(json).unwrap().replace("\"outputs\"", "\"inputs\"").into_bytes();
        let json_length = encoded.json_length.map(|_| body.len());
        body.extend_from_slice(binary);
        body.extend(encoded.behind.concat());
        decode(&body.into(), json_length).unwrap().inputs
    }

    fn round(tensor: &Tensor, binary: bool) -> Vec<Tensor> {
        let wanted = InferRequest { every: Form { binary, classes: 0 }, ..InferRequest::default() };
        let envelope = Envelope { model: "m", version: 1, wanted: &wanted };
        back(encode(envelope, std::slice::from_ref(tensor)).unwrap())
    }

    #[test]
    fn a_response_has_the_protocols_form() {
        let output = Tensor {
            name: "y".to_owned(),
            datatype: Datatype::Fp32,
            shape: vec![1, 2],
            data: [1.5_f32, -0.0].iter().flat_map(|x| x.to_le_bytes()).collect(),
        };
        let wanted = InferRequest { id: Some("a\"b".to_owned()), ..InferRequest::default() };
        assert_eq!(
            text(&wanted, &[output]).unwrap(),
            "{\"model_name\":\"m\",\"model_version\":\"1\",\"id\":\"a\\\"b\",\"outputs\":[{\"name\":\"y\",\
             \"datatype\":\"FP32\",\"shape\":[1,2],\"data\":[1.5,-0.0]}]}"
        );
    }

    #[test]
    fn not_a_number_and_infinity_are_errors_that_name_the_element() {
        for (number, shown) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (f32::NEG_INFINITY, "-inf")] {
            let output = Tensor {
                name: "y".to_owned(),
                datatype: Datatype::Fp32,
                shape: vec![2],
                data: [1.0, number].iter().flat_map(|x| x.to_le_bytes()).collect(),
            };
            assert!(round(&output, true) == [output.clone()], "binary data carry it");
            let error = text(&InferRequest::default(), &[output]).unwrap_err().to_string();
            assert!(error.starts_with(&format!("output \"y\" is {shown} at element 1")), "{error}");
        }
    }

    fn element(datatype: Datatype, bits: u64) -> Vec<u8> {
        let bytes = bits.to_le_bytes();
        let finite = match datatype {
            Datatype::Bool => return vec![bytes[0] & 1],
            Datatype::Fp16 => half::f16::from_le_bytes([bytes[0], bytes[1]]).is_finite(),
            Datatype::Bf16 => half::bf16::from_le_bytes([bytes[0], bytes[1]]).is_finite(),
            Datatype::Fp32 => f32::from_le_bytes(bytes[..4].try_into().unwrap()).is_finite(),
            Datatype::Fp64 => f64::from_le_bytes(bytes).is_finite(),
            _ => true,
        };
        let size = datatype.size().unwrap();
        if finite { bytes[..size].to_vec() } else { vec![0; size] }
    }

    proptest! {
        #[test]
        fn every_number_reads_back_to_the_same_bits(
            which in 0..13_usize,
            bits in prop::collection::vec(any::<u64>(), 0..40),
            binary in any::<bool>(),
        ) {
            let datatype = Datatype::ALL[which];
            let data: Vec<u8> = bits.iter().flat_map(|bits| element(datatype, *bits)).collect();
            let shape = vec![i64::try_from(bits.len()).unwrap()];
            let tensor = Tensor { name: "t".to_owned(), datatype, shape, data: data.into() };
            prop_assert_eq!(round(&tensor, binary), [tensor]);
        }

        #[test]
        fn every_string_reads_back_as_it_was(
            strings in prop::collection::vec(any::<String>(), 1..8),
            binary in any::<bool>(),
        ) {
            let strings: Vec<String> = strings.into_iter().map(|string| string.replace('\0', "")).collect();
            let shape = vec![i64::try_from(strings.len()).unwrap(), 1];
            let data = encode_strings(&strings).unwrap();
            let tensor = Tensor { name: "t".to_owned(), datatype: Datatype::Bytes, shape, data };
            prop_assert_eq!(round(&tensor, binary), [tensor]);
        }
    }

    #[test]
    fn the_smallest_and_largest_numbers_read_back_to_the_same_bits() {
        let numbers =
            [f32::MIN_POSITIVE, f32::from_bits(1), f32::MAX, f32::MIN, 0.1, 1e10, 16_777_216.0, 1.0e-7];
        let tensor = Tensor {
            name: "t".to_owned(),
            datatype: Datatype::Fp32,
            shape: vec![8],
            data: numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
        };
        assert_eq!(round(&tensor, false), [tensor]);
    }
}
