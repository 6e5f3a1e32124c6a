//! How much memory a message takes once it is decoded, found without decoding it. In go its bytes; out comes a number.
//! Needs no client.
//!
//! Two bytes of a message may be a tensor of some hundred in memory, and one an integer of eight; so a message is weighed
//! before it is decoded. What is no message weighs as far as it can be read, and is refused by the decoder.

use bytes::Bytes;

use super::proto::{
    InferParameter,
    model_infer_request::{InferInputTensor, InferRequestedOutputTensor},
};

/// A list doubles as it grows.
const GROWS: usize = 2;
/// An entry of a map, beside its text: it has room for twice as many as it holds, and a control byte for each.
const ENTRY: usize = GROWS * (size_of::<String>() + size_of::<InferParameter>() + 1);

/// Bytes that a ModelInferRequest takes, beside those of the message itself: raw contents and elements of BYTES are views
/// of them.
pub fn weigh(message: &[u8]) -> usize {
    sum(message, |field, value| match (field, value) {
        // model_name, model_version, id
        (1..=3, Value::Bytes(text)) => text.len(),
        // parameters
        (4, Value::Bytes(entry)) => ENTRY + entry.len(),
        // inputs
        (5, Value::Bytes(tensor)) => GROWS * size_of::<InferInputTensor>() + input(tensor),
        // outputs
        (6, Value::Bytes(tensor)) => GROWS * size_of::<InferRequestedOutputTensor>() + output(tensor),
        // raw_input_contents
        (7, Value::Bytes(_)) => GROWS * size_of::<Bytes>(),
        _ => 0,
    })
}

fn input(tensor: &[u8]) -> usize {
    sum(tensor, |field, value| match (field, value) {
        // name, datatype
        (1 | 2, Value::Bytes(text)) => text.len(),
        // shape
        (3, value) => numbers(value, size_of::<i64>()),
        // parameters
        (4, Value::Bytes(entry)) => ENTRY + entry.len(),
        // contents
        (5, Value::Bytes(contents)) => sum(contents, element),
        _ => 0,
    })
}

fn output(tensor: &[u8]) -> usize {
    sum(tensor, |field, value| match (field, value) {
        // name
        (1, Value::Bytes(text)) => text.len(),
        // parameters
        (2, Value::Bytes(entry)) => ENTRY + entry.len(),
        _ => 0,
    })
}

/// Of a field of InferTensorContents; a list and the data that are made of it.
fn element(field: u64, value: Value<'_>) -> usize {
    match (field, value) {
        (1, value) => numbers(value, size_of::<bool>()),
        (2 | 4, value) => numbers(value, size_of::<i32>()),
        (3 | 5, value) => numbers(value, size_of::<i64>()),
        // fp32_contents and fp64_contents are as long as they are in memory.
        (6 | 7, Value::Bytes(list)) => (GROWS + 1) * list.len(),
        (6 | 7, Value::Number) => (GROWS + 1) * size_of::<f64>(),
        (8, Value::Bytes(text)) => GROWS * size_of::<Bytes>() + text.len() + size_of::<u32>(),
        _ => 0,
    }
}

/// Of integers of this size: all of a list, or one of it.
fn numbers(value: Value<'_>, size: usize) -> usize {
    let count = match value {
        Value::Number => 1,
        // Each ends with a byte without the uppermost bit.
        Value::Bytes(list) => list.iter().filter(|byte| **byte < 0x80).count(),
    };
    (GROWS + 1) * size * count
}

#[derive(Clone, Copy)]
enum Value<'a> {
    Number,
    Bytes(&'a [u8]),
}

fn sum(message: &[u8], weight: impl Fn(u64, Value<'_>) -> usize) -> usize {
    let (mut rest, mut sum) = (message, 0_usize);
    while let Some((field, value)) = next(&mut rest) {
        sum = sum.saturating_add(weight(field, value));
    }
    sum
}

/// The next field; none at the end, or where it cannot be read.
fn next<'a>(rest: &mut &'a [u8]) -> Option<(u64, Value<'a>)> {
    let tag = varint(rest)?;
    let value = match tag & 7 {
        0 => {
            varint(rest)?;
            Value::Number
        }
        1 => {
            take(rest, 8)?;
            Value::Number
        }
        2 => {
            let length = usize::try_from(varint(rest)?).ok()?;
            Value::Bytes(take(rest, length)?)
        }
        5 => {
            take(rest, 4)?;
            Value::Number
        }
        // Groups are no longer in use, and nothing here has one.
        _ => return None,
    };
    Some((tag >> 3, value))
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, behind) = rest.split_at_checked(count)?;
    *rest = behind;
    Some(taken)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for place in 0..10 {
        let (byte, behind) = rest.split_first()?;
        *rest = behind;
        number |= u64::from(byte & 0x7f) << (7 * place);
        if *byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::HashMap;

    use proptest::prelude::*;
    use prost::Message;

    use super::{
        super::proto::{InferTensorContents, ModelInferRequest, infer_parameter::ParameterChoice},
        *,
    };

    /// Bytes of its lists, texts and maps, as they are laid out.
    fn holds(message: &ModelInferRequest) -> usize {
        let map = |map: &HashMap<String, InferParameter>| {
            let entry = |(key, value): (&String, &InferParameter)| {
                let text = match &value.parameter_choice {
                    Some(ParameterChoice::StringParam(text)) => text.capacity(),
                    _ => 0,
                };
                key.capacity() + text
            };
            map.iter().map(entry).sum::<usize>()
                + map.capacity() * (size_of::<String>() + size_of::<InferParameter>())
        };
        let contents = |lists: &InferTensorContents| {
            lists.bool_contents.capacity()
                + 4 * (lists.int_contents.capacity() + lists.uint_contents.capacity())
                + 8 * (lists.int64_contents.capacity() + lists.uint64_contents.capacity())
                + 4 * lists.fp32_contents.capacity()
                + 8 * lists.fp64_contents.capacity()
                + size_of::<Bytes>() * lists.bytes_contents.capacity()
        };
        let inputs = message.inputs.iter().map(|input| {
            8 * input.shape.capacity() + map(&input.parameters) + input.contents.as_ref().map_or(0, contents)
        });
        let outputs = message.outputs.iter().map(|output| map(&output.parameters));
        inputs.chain(outputs).sum::<usize>()
            + message.inputs.capacity() * size_of::<InferInputTensor>()
            + message.outputs.capacity() * size_of::<InferRequestedOutputTensor>()
            + message.raw_input_contents.capacity() * size_of::<Bytes>()
            + map(&message.parameters)
    }

    /// Small lists start with room for some elements, and maps for three.
    fn start(message: &ModelInferRequest) -> usize {
        let tensors = 1 + message.inputs.len() + message.outputs.len();
        4 * size_of::<InferInputTensor>() + tensors * (1024 + 3 * ENTRY)
    }

    #[test]
    fn two_bytes_may_weigh_hundreds() {
        for field in [5_u8, 6, 7, 4] {
            let message = [field << 3 | 2, 0].repeat(10_000);
            let decoded = ModelInferRequest::decode(Bytes::from(message.clone())).unwrap();
            assert!(
                weigh(&message) >= holds(&decoded),
                "{field}: {} of {}",
                weigh(&message),
                holds(&decoded)
            );
        }
        let contents =
            InferTensorContents { int64_contents: vec![1; 100_000], ..InferTensorContents::default() };
        let input = InferInputTensor { contents: Some(contents), ..InferInputTensor::default() };
        let message =
            ModelInferRequest { inputs: vec![input], ..ModelInferRequest::default() }.encode_to_vec();
        assert!(message.len() < 110_000 && weigh(&message) >= 2_400_000, "{}", weigh(&message));
    }

    prop_compose! {
        fn any_message()(
            shape in prop::collection::vec(any::<i64>(), 0..9),
            numbers in prop::collection::vec(any::<i64>(), 0..200),
            floats in prop::collection::vec(any::<f32>(), 0..200),
            texts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..60),
            keys in prop::collection::hash_map("[a-z]{0,9}", "[a-z]{0,30}", 0..20),
            counts in (0..30_usize, 0..30_usize, 0..30_usize),
        ) -> ModelInferRequest {
            let parameters: HashMap<_, _> = keys.into_iter().map(|(key, text)| {
                (key, InferParameter { parameter_choice: Some(ParameterChoice::StringParam(text)) })
            }).collect();
            let contents = InferTensorContents {
                bool_contents: numbers.iter().map(|number| *number > 0).collect(),
                int64_contents: numbers.clone(),
                uint_contents: numbers.iter().map(|number| u32::try_from(*number & 0xff).unwrap()).collect(),
                fp32_contents: floats,
                bytes_contents: texts.into_iter().map(Bytes::from).collect(),
                ..InferTensorContents::default()
            };
            let input = InferInputTensor {
                name: "x".to_owned(), datatype: "INT64".to_owned(), shape,
                parameters: parameters.clone(), contents: Some(contents),
            };
            let output = InferRequestedOutputTensor { name: "y".to_owned(), parameters: parameters.clone() };
            ModelInferRequest {
                inputs: vec![input; counts.0],
                outputs: vec![output; counts.1],
                raw_input_contents: vec![Bytes::from_static(b"raw"); counts.2],
                parameters,
                ..ModelInferRequest::default()
            }
        }
    }

    proptest! {
        #[test]
        fn a_message_takes_no_more_than_it_weighs(message in any_message()) {
            let bytes = message.encode_to_vec();
            let decoded = ModelInferRequest::decode(Bytes::from(bytes.clone())).unwrap();
            prop_assert!(weigh(&bytes) + start(&decoded) >= holds(&decoded));
        }

        #[test]
        fn any_bytes_are_weighed_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            weigh(&bytes);
        }
    }
}
