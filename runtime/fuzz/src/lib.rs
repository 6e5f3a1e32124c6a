//! What must hold for any bytes that somebody may send or store. In go bytes; a panic comes out where it does not hold.
//!
//! `make fuzz` calls these with inputs that libFuzzer makes up. `runtime/serve/tests/integration/fuzz.rs` calls them with the
//! seeds, and with mutations of them that are the same in every run, on any compiler.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{
    cell::RefCell,
    io::{BufReader, Cursor, Seek, SeekFrom, Write},
};

use bytes::Bytes;
use modelwright_core::{
    npz::Npz,
    onnx, rows,
    tensor::{Datatype, Tensor},
};
use modelwright_serve::{
    decode::{
        decode,
        elements::{self, Expected},
        reader::Reader,
    },
    encode::{self, encode},
    grpc::{
        contents,
        proto::{
            InferTensorContents, ModelInferRequest, ModelInferResponse, model_infer_request::InferInputTensor,
        },
    },
    request::{Form, InferRequest},
};
use prost::Message;
use serde_json::value::RawValue;

/// A body of one target.
pub type Target = fn(&[u8]);

/// Every target, by the name of its folder of seeds.
pub const TARGETS: [(&str, Target); 5] = [
    ("json_elements", json_elements),
    ("rest_body", rest_body),
    ("grpc_message", grpc_message),
    ("onnx_file", onnx_file),
    ("npz_file", npz_file),
];

/// A JSON array means to us what it means to serde and the standard library, to the bit. The first byte is the datatype,
/// the second says whether one element more is expected than is there.
pub fn json_elements(data: &[u8]) {
    let [which, more, text @ ..] = data else { return };
    let datatype = Datatype::ALL[usize::from(*which) % Datatype::ALL.len()];
    let expected = reference(datatype, text);
    // As many as there seem to be, so that what is no array is not refused for their number alone.
    let seem = || text.split(|byte| *byte == b',').count();
    let count = expected.as_ref().map_or_else(seem, |(count, _)| *count) + usize::from(*more == b'+');
    let shape = [i64::try_from(count).unwrap()];
    let mut reader = Reader::new(text);
    let found = elements::read(&mut reader, Expected { datatype, shape: &shape, count, budget: None })
        .ok()
        .filter(|_| reader.end().is_ok())
        .map(|elements| elements.data);
    let expected = expected.filter(|_| *more != b'+').map(|(_, data)| data);
    assert_eq!(found.as_deref(), expected.as_deref(), "{datatype} {}", String::from_utf8_lossy(text));
}

/// Elements of an array and how many they are, by others' parsers.
fn reference(datatype: Datatype, text: &[u8]) -> Option<(usize, Vec<u8>)> {
    let elements: Vec<&RawValue> = serde_json::from_slice(text).ok()?;
    let data: Vec<Vec<u8>> =
        elements.iter().map(|element| one(datatype, element.get())).collect::<Option<_>>()?;
    Some((data.len(), data.concat()))
}

fn one(datatype: Datatype, text: &str) -> Option<Vec<u8>> {
    // What the standard library takes for an integer and JSON has with a sign.
    let unsigned = if text == "-0" { "0" } else { text };
    let double = || text.parse::<f64>().ok().filter(|number| number.is_finite());
    if text == "null" && datatype.is_float() {
        return Some(match datatype {
            Datatype::Fp16 => 0x7e00_u16.to_le_bytes().to_vec(),
            Datatype::Bf16 => 0x7fc0_u16.to_le_bytes().to_vec(),
            Datatype::Fp32 => f32::NAN.to_le_bytes().to_vec(),
            _ => f64::NAN.to_le_bytes().to_vec(),
        });
    }
    Some(match datatype {
        Datatype::Bool => vec![u8::from(serde_json::from_str::<bool>(text).ok()?)],
        Datatype::Uint8 => unsigned.parse::<u8>().ok()?.to_le_bytes().to_vec(),
        Datatype::Uint16 => unsigned.parse::<u16>().ok()?.to_le_bytes().to_vec(),
        Datatype::Uint32 => unsigned.parse::<u32>().ok()?.to_le_bytes().to_vec(),
        Datatype::Uint64 => unsigned.parse::<u64>().ok()?.to_le_bytes().to_vec(),
        Datatype::Int8 => text.parse::<i8>().ok()?.to_le_bytes().to_vec(),
        Datatype::Int16 => text.parse::<i16>().ok()?.to_le_bytes().to_vec(),
        Datatype::Int32 => text.parse::<i32>().ok()?.to_le_bytes().to_vec(),
        Datatype::Int64 => text.parse::<i64>().ok()?.to_le_bytes().to_vec(),
        // By way of the nearest double, as is documented.
        Datatype::Fp16 => half(double()?)?.to_le_bytes().to_vec(),
        Datatype::Bf16 => brain(double()?)?.to_le_bytes().to_vec(),
        Datatype::Fp32 => {
            text.parse::<f32>().ok().filter(|number| number.is_finite())?.to_le_bytes().to_vec()
        }
        Datatype::Fp64 => double()?.to_le_bytes().to_vec(),
        Datatype::Bytes => {
            let string: String = serde_json::from_str(text).ok()?;
            [&u32::try_from(string.len()).ok()?.to_le_bytes(), string.as_bytes()].concat()
        }
    })
}

/// The nearest binary16 to a finite double, ties to even: its place is counted in steps of the smallest numbers.
fn half(number: f64) -> Option<u16> {
    narrow(number, 10, 5)
}

/// The same for bfloat16.
fn brain(number: f64) -> Option<u16> {
    narrow(number, 7, 8)
}

/// Rounds to a format of so many bits of fraction and exponent; none if it would be infinite.
fn narrow(number: f64, fraction: i32, exponent: u32) -> Option<u16> {
    let bias = (1_i32 << (exponent - 1)) - 1;
    let size = number.abs();
    // The exponent of the numbers around it, at least that of the smallest normal one.
    let place = if size == 0.0 { 1 - bias } else { exponent_of(size).max(1 - bias) };
    // Scaling by a power of two is exact here: the result has its last place at 1.
    let steps = (size * 2_f64.powi(fraction - place)).round_ties_even();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let rounded = i64::from(place + bias - 1) * (1_i64 << fraction) + steps as i64;
    let largest = ((1_i64 << exponent) - 1) << fraction;
    let sign = u16::from(number.is_sign_negative()) << 15;
    (rounded < largest).then(|| sign | u16::try_from(rounded).unwrap())
}

fn exponent_of(size: f64) -> i32 {
    i32::try_from(size.to_bits() >> 52).unwrap() - 1023
}

/// A body of a request is refused, or is tensors that are written and read back to the same; binary data lie where they
/// came. A NUL stands between JSON and binary data.
pub fn rest_body(data: &[u8]) {
    let (json, body) = match data.iter().position(|byte| *byte == 0) {
        Some(length) => (Some(length), [&data[..length], &data[length + 1..]].concat()),
        None => (None, data.to_vec()),
    };
    let body = Bytes::from(body);
    let Ok(request) = decode(&body, json) else { return };
    assert!(request.outputs.len() == request.forms.len(), "every output has a form");
    let binary = json.map_or(&[][..], |length| &body[length..]);
    let places: Vec<&Tensor> =
        request.inputs.iter().filter(|input| binary.as_ptr_range().contains(&input.data.as_ptr())).collect();
    assert_eq!(
        places.iter().map(|input| input.data.len()).sum::<usize>(),
        binary.len(),
        "binary data are lost"
    );
    let good: Vec<Tensor> = request.inputs.into_iter().filter(|input| input.check().is_ok()).collect();
    for binary in [false, true] {
        let wanted = InferRequest { every: Form { binary, classes: 0 }, ..InferRequest::default() };
        let written = encode(encode::Envelope { model: "m", version: 1, wanted: &wanted }, &good);
        let Ok(written) = written else {
            assert!(
                !binary && good.iter().any(|tensor| tensor.datatype.is_float()),
                "only NaN is not written"
            );
            continue;
        };
        let length = written.json_length.unwrap_or(written.body.len());
        let json =
            std::str::from_utf8(&written.body[..length]).unwrap().replacen("\"outputs\"", "\"inputs\"", 1);
        let again = [json.as_bytes(), &written.body[length..], &written.behind.concat()].concat();
        let read = decode(&again.into(), written.json_length.map(|_| json.len())).unwrap();
        assert_eq!(read.inputs, good, "{json}");
    }
}

/// A message is refused, or is tensors that come back from an answer as they were.
pub fn grpc_message(data: &[u8]) {
    let Ok(message) = ModelInferRequest::decode(data) else { return };
    let Ok((request, raw)) = contents::decode(message) else { return };
    let good: Vec<Tensor> = request.inputs.into_iter().filter(|input| input.check().is_ok()).collect();
    let envelope = contents::Envelope { model: "m", version: 1, raw };
    let answer = contents::encode(envelope, request.id.clone(), good.clone()).unwrap();
    let answer = ModelInferResponse::decode(answer.encode_to_vec().as_slice()).unwrap();
    assert_eq!(answer.id, request.id.unwrap_or_default());
    let raw = !answer.raw_output_contents.is_empty();
    let inputs = answer.outputs.into_iter().map(|output| InferInputTensor {
        name: output.name,
        datatype: output.datatype,
        shape: output.shape,
        parameters: output.parameters,
        contents: output.contents.filter(|contents| !raw || *contents != InferTensorContents::default()),
    });
    let again = ModelInferRequest {
        inputs: inputs.collect(),
        raw_input_contents: answer.raw_output_contents,
        ..ModelInferRequest::default()
    };
    assert_eq!(contents::decode(again).unwrap().0.inputs, good);
}

/// A file is refused, or says the same however it is read, and no more than it has bytes for. Its graph is followed to an
/// answer, whatever it is.
pub fn onnx_file(data: &[u8]) {
    if let Ok(Some(model)) = onnx::graph::read(Cursor::new(data)) {
        let pieces = onnx::graph::read(BufReader::with_capacity(3, Cursor::new(data)));
        assert_eq!(pieces.unwrap().as_ref(), Some(&model));
        let answer = rows::of_model(&model, rows::table::OPERATORS);
        assert_eq!(answer.independent, answer.reason.is_none());
    }
    let whole = onnx::read(Cursor::new(data));
    let pieces = onnx::read(BufReader::with_capacity(3, Cursor::new(data)));
    match (whole, pieces) {
        (Ok(whole), Ok(pieces)) => {
            assert_eq!(whole, pieces);
            let names = whole.operators.iter().chain(&whole.functions);
            let longest = names.map(|(domain, name)| domain.len().max(name.len())).max().unwrap_or(0);
            assert!(longest <= data.len(), "a name is longer than the file");
            assert!(
                whole.external.len() + whole.operators.len() <= data.len(),
                "there is more than there are bytes"
            );
        }
        (Err(whole), Err(pieces)) => assert_eq!(whole.to_string(), pieces.to_string()),
        (whole, pieces) => panic!("{whole:?} and {pieces:?}"),
    }
}

thread_local! {
    static FILE: RefCell<tempfile::NamedTempFile> = RefCell::new(tempfile::NamedTempFile::new().unwrap());
}

/// A file is refused, or is arrays whose rows are tensors.
pub fn npz_file(data: &[u8]) {
    FILE.with_borrow_mut(|file| {
        file.as_file().set_len(0).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.write_all(data).unwrap();
        let Ok(mut npz) = Npz::open(file.path()) else { return };
        let names: Vec<String> = npz.names().map(str::to_owned).collect();
        for name in names {
            let Ok(array) = npz.array(&name) else { continue };
            let array = array.expect("it is named");
            let Some(rows) = array.rows() else { continue };
            if let Ok(tensor) = array.tensor("x", 0..rows) {
                let is_bool = tensor.datatype == Datatype::Bool;
                assert!(is_bool || tensor.check().is_ok(), "{name}: {:?}", tensor.check());
            }
        }
    });
}
