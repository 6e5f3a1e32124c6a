//! Writes an inference response's JSON. In go output tensors; out comes text whose numbers read back to the same bits.
//! Needs no client.
//!
//! JSON has no NaN and no infinity. An output that holds one is an error, and so counts as one in metrics and rollouts:
//! `null` or a made-up number would pass for a prediction.

use std::fmt::Write;

use crate::tensor::{Datatype, LayoutError, Tensor};

/// An answer that JSON cannot carry.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// NaN or infinity.
    #[error(
        "output {name:?} is {number} at element {element}, which JSON cannot carry; the model does not give finite \
         numbers for these inputs"
    )]
    NotFinite {
        /// The output.
        name: String,
        /// Which element.
        element: usize,
        /// `NaN`, `inf` or `-inf`.
        number: String,
    },
    /// Strings that are none.
    #[error("output {name:?} has {source}")]
    Layout {
        /// The output.
        name: String,
        /// Why.
        source: LayoutError,
    },
}

/// What stands around the outputs.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// Model name.
    pub model: &'a str,
    /// Version.
    pub version: u64,
    /// The request's own id.
    pub id: Option<&'a str>,
}

/// Writes a response.
pub fn encode(envelope: Envelope<'_>, outputs: &[Tensor]) -> Result<String, EncodeError> {
    let bytes: usize = outputs.iter().map(|output| output.data.len()).sum();
    let mut text = String::with_capacity(256 + bytes.saturating_mul(3));
    text.push_str("{\"model_name\":");
    push_string(&mut text, envelope.model);
    push(&mut text, format_args!(",\"model_version\":\"{}\"", envelope.version));
    if let Some(id) = envelope.id {
        text.push_str(",\"id\":");
        push_string(&mut text, id);
    }
    text.push_str(",\"outputs\":[");
    for (i, output) in outputs.iter().enumerate() {
        if i > 0 {
            text.push(',');
        }
        text.push_str("{\"name\":");
        push_string(&mut text, &output.name);
        push(&mut text, format_args!(",\"datatype\":\"{}\"", output.datatype));
        push(&mut text, format_args!(",\"shape\":{},\"data\":[", crate::tensor::Shape(&output.shape)));
        push_elements(&mut text, output)?;
        text.push_str("]}");
    }
    text.push_str("]}");
    Ok(text)
}

fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments).expect("a String takes all that is written to it");
}

fn push_string(text: &mut String, string: &str) {
    text.push_str(&serde_json::to_string(string).expect("every string can be written as JSON"));
}

fn push_elements(text: &mut String, tensor: &Tensor) -> Result<(), EncodeError> {
    match tensor.datatype {
        Datatype::Bool => push_all(text, &tensor.data, |text, byte: u8| {
            text.push_str(if byte == 0 { "false" } else { "true" });
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
                    text.push(',');
                }
                push_string(text, string);
            }
        }
    }
    Ok(())
}

fn push_all<T: bytemuck::Pod>(text: &mut String, data: &[u8], push: fn(&mut String, T)) {
    for (i, chunk) in data.chunks_exact(size_of::<T>()).enumerate() {
        if i > 0 {
            text.push(',');
        }
        push(text, bytemuck::pod_read_unaligned(chunk));
    }
}

fn push_integer<T: std::fmt::Display>(text: &mut String, number: T) {
    push(text, format_args!("{number}"));
}

fn push_floats<T: bytemuck::Pod, F: ryu::Float>(
    text: &mut String,
    tensor: &Tensor,
    widen: fn(T) -> F,
) -> Result<(), EncodeError> {
    let mut buffer = ryu::Buffer::new();
    for (element, chunk) in tensor.data.chunks_exact(size_of::<T>()).enumerate() {
        if element > 0 {
            text.push(',');
        }
        // The shortest digits that read back to the same number; `NaN` and `inf` have letters at their start.
        let digits = buffer.format(widen(bytemuck::pod_read_unaligned(chunk)));
        if digits.starts_with(['N', 'i']) || digits.starts_with("-i") {
            let number = digits.to_owned();
            return Err(EncodeError::NotFinite { name: tensor.name.clone(), element, number });
        }
        text.push_str(digits);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::{serve::decode::decode, tensor::encode_strings};

    const ENVELOPE: Envelope<'_> = Envelope { model: "m", version: 1, id: None };

    /// The outputs of a response are written like the inputs of a request.
    fn back(text: &str) -> Vec<Tensor> {
        decode(text.replace("\"outputs\"", "\"inputs\"").as_bytes()).unwrap().inputs
    }

    #[test]
    fn a_response_has_the_protocols_form() {
        let output = Tensor {
            name: "y".to_owned(),
            datatype: Datatype::Fp32,
            shape: vec![1, 2],
            data: [1.5_f32, -0.0].iter().flat_map(|x| x.to_le_bytes()).collect(),
        };
        let envelope = Envelope { model: "digits", version: 3, id: Some("a\"b") };
        assert_eq!(
            encode(envelope, &[output]).unwrap(),
            "{\"model_name\":\"digits\",\"model_version\":\"3\",\"id\":\"a\\\"b\",\"outputs\":[{\"name\":\"y\",\
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
            let error = encode(ENVELOPE, &[output]).unwrap_err().to_string();
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
        ) {
            let datatype = Datatype::ALL[which];
            let data: Vec<u8> = bits.iter().flat_map(|bits| element(datatype, *bits)).collect();
            let shape = vec![i64::try_from(bits.len()).unwrap()];
            let tensor = Tensor { name: "t".to_owned(), datatype, shape, data: data.into() };
            let text = encode(ENVELOPE, std::slice::from_ref(&tensor)).unwrap();
            prop_assert_eq!(back(&text), [tensor]);
        }

        #[test]
        fn every_string_reads_back_as_it_was(strings in prop::collection::vec(any::<String>(), 1..8)) {
            let strings: Vec<String> = strings.into_iter().map(|string| string.replace('\0', "")).collect();
            let shape = vec![i64::try_from(strings.len()).unwrap(), 1];
            let data = encode_strings(&strings).unwrap();
            let tensor = Tensor { name: "t".to_owned(), datatype: Datatype::Bytes, shape, data };
            let text = encode(ENVELOPE, std::slice::from_ref(&tensor)).unwrap();
            prop_assert_eq!(back(&text), [tensor]);
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
        let text = encode(ENVELOPE, std::slice::from_ref(&tensor)).unwrap();
        assert_eq!(back(&text), [tensor]);
    }
}
