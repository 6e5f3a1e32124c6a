//! Makes golden samples for a model that came without any: inputs from a seed and the signature, outputs from the model.
//! In goes a session; out come samples, the same ones for the same seed. Needs no client.

use modelwright_contract::{
    artifact::{GoldenSample, GoldenSamples, GoldenSource},
    signature::Signature,
};

use super::{
    decode, floats,
    form::{self, Form, SIZES, Tried},
    random::SplitMix64,
    record::{Recorder, Recording},
};
use crate::{
    session::{RunError, Session},
    tensor::{Datatype, Shape, Tensor, element_count, encode_strings},
};

/// How samples of one's own are brought along.
const OWN: &str = "import the model with golden samples of its own: beside model.onnx, modelwright/golden.json with inputs \
                   that it takes (docs: sources)";

/// Ranges of floating-point numbers, taken in turn.
const RANGES: [(f64, f64); 3] = [(0.0, 1.0), (-1.0, 1.0), (0.0, 16.0)];
/// Draws for each sample that is asked for.
pub(super) const DRAWS: u32 = 8;
/// Most bytes of the inputs of one sample.
const MAX_BYTES: usize = 16 * 1024 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The model refuses whatever is tried.
    #[error(
        "the model answers no input that was tried (sizes of free axes of {SIZES:?}, small integers, words and numbers as \
         text): {source}. Declare the sizes that it needs, or {OWN}"
    )]
    NoAnswer {
        /// What it said to the first try.
        source: RunError,
    },
    /// Inputs that came with the model are none of it.
    #[error("golden sample {sample} of the import (modelwright/golden.json, from 0) is not answered: {why}")]
    Provided {
        /// Which sample, from 0.
        sample: usize,
        why: String,
    },
    /// The inputs are too large.
    #[error(
        "input {name:?} of shape {shape} is too large for a golden sample (at most {MAX_BYTES} bytes); {OWN}"
    )]
    TooLarge { name: String, shape: String },
    /// Every answer is infinite, not a number, or on a knife's edge.
    #[error(
        "of {tried} inputs none has a finite answer that stays the same when the input moves by one unit in \
         the last place; {OWN}"
    )]
    NoneStable { tried: u32 },
}

/// Records up to `count` samples; fewer if most answers are not stable, never none.
pub fn record_synthetic(session: &Session, count: u32, seed: u64) -> Result<GoldenSamples, RecordError> {
    record_synthetic_as(session, count, seed, &Recording::default())
}

/// The same, as it is said.
pub fn record_synthetic_as(
    session: &Session,
    count: u32,
    seed: u64,
    recording: &Recording,
) -> Result<GoldenSamples, RecordError> {
    let signature = session.signature();
    let form = find_form(session, seed)?;
    let mut numbers = SplitMix64(seed);
    let mut recorder = Recorder::new(session, recording);
    let mut tried = 0;
    while recorder.count() < count as usize && tried < count.saturating_mul(DRAWS) {
        let inputs = draw(signature, &form, &mut numbers, tried as usize)?;
        tried += 1;
        recorder.offer(&inputs);
    }
    if recorder.count() == 0 && count > 0 {
        return Err(RecordError::NoneStable { tried });
    }
    Ok(recorder.finish(GoldenSource::Synthetic))
}

/// Records the answers to inputs that somebody chose, without those that are not stable.
pub fn record_provided(
    session: &Session,
    provided: &GoldenSamples,
    recording: &Recording,
) -> Result<GoldenSamples, RecordError> {
    let mut recorder = Recorder::new(session, recording);
    for (sample, GoldenSample { inputs, .. }) in provided.samples.iter().enumerate() {
        let refused = |why: String| RecordError::Provided { sample, why };
        let inputs = inputs.iter().map(decode).collect::<Result<Vec<_>, _>>().map_err(refused)?;
        session.run(&inputs, &[]).map_err(|error| refused(error.to_string()))?;
        recorder.offer(&inputs);
    }
    if recorder.count() == 0 {
        return Err(RecordError::NoneStable {
            tried: u32::try_from(provided.samples.len()).unwrap_or(u32::MAX),
        });
    }
    Ok(recorder.finish(GoldenSource::Provided))
}

/// The first form that the model answers.
fn find_form(session: &Session, seed: u64) -> Result<Form, RecordError> {
    form::find(session.signature(), session.symbols(), |form| {
        let inputs = match draw(session.signature(), form, &mut SplitMix64(seed), 0) {
            Ok(inputs) => inputs,
            Err(error) => return Tried::TooLarge(error),
        };
        match session.run(&inputs, &[]) {
            Ok(outputs) => {
                let is_finite = |output: &Tensor| floats(output).iter().all(|number| number.is_finite());
                let has_elements = outputs.iter().any(|output| !output.data.is_empty());
                if has_elements && outputs.iter().all(is_finite) { Tried::Answered } else { Tried::Weak }
            }
            Err(error) => Tried::Refused(error),
        }
    })
}

fn draw(
    signature: &Signature,
    form: &Form,
    random: &mut SplitMix64,
    turn: usize,
) -> Result<Vec<Tensor>, RecordError> {
    let (low, high) = RANGES.get(turn % RANGES.len()).copied().unwrap_or((0.0, 1.0));
    let mut tensors = Vec::with_capacity(signature.inputs.len());
    for (input, shape) in signature.inputs.iter().zip(&form.shapes) {
        let datatype = Datatype::parse(&input.datatype).unwrap_or(Datatype::Fp32);
        let fits = |count: &usize| count.saturating_mul(datatype.size().unwrap_or(16)) <= MAX_BYTES;
        let count = element_count(shape).filter(fits).ok_or_else(|| RecordError::TooLarge {
            name: input.name.clone(),
            shape: Shape(shape).to_string(),
        })?;
        let data = match datatype {
            Datatype::Bool => (0..count).map(|_| random.below(2).to_le_bytes()[0]).collect(),
            Datatype::Bytes => {
                let strings = (0..count).map(|_| pick(form.texts, random));
                encode_strings(strings).unwrap_or_default()
            }
            datatype if datatype.is_float() => {
                let numbers: Vec<f64> = (0..count).map(|_| random.between(low, high)).collect();
                write_floats(datatype, &numbers)
            }
            datatype => {
                let size = datatype.size().unwrap_or(1);
                let (low, end) = if datatype == Datatype::Uint8 { form.bytes } else { form.integers };
                (0..count)
                    .flat_map(|_| (low + random.below(end - low)).to_le_bytes().into_iter().take(size))
                    .collect()
            }
        };
        tensors.push(Tensor { name: input.name.clone(), datatype, shape: shape.clone(), data });
    }
    Ok(tensors)
}

fn pick(strings: &[&'static str], random: &mut SplitMix64) -> &'static str {
    let at = usize::try_from(random.below(strings.len() as u64)).unwrap_or(0);
    strings.get(at).copied().unwrap_or_default()
}

#[expect(clippy::cast_possible_truncation, reason = "synthetic numbers may be rounded to the datatype")]
pub(super) fn write_floats(datatype: Datatype, numbers: &[f64]) -> bytes::Bytes {
    match datatype {
        Datatype::Fp16 => numbers.iter().flat_map(|x| half::f16::from_f64(*x).to_le_bytes()).collect(),
        Datatype::Bf16 => numbers.iter().flat_map(|x| half::bf16::from_f64(*x).to_le_bytes()).collect(),
        Datatype::Fp64 => numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
        _ => numbers.iter().flat_map(|x| (*x as f32).to_le_bytes()).collect(),
    }
}

/// Moves every floating-point element by one unit in the last place.
pub(super) fn step(tensor: &Tensor, up: bool) -> Tensor {
    let Some(size) = tensor.datatype.size().filter(|_| tensor.datatype.is_float()) else {
        return tensor.clone();
    };
    let sign = 1_u64 << (size * 8 - 1);
    let exponent: u64 = match tensor.datatype {
        Datatype::Fp16 => 0x7c00,
        Datatype::Bf16 => 0x7f80,
        Datatype::Fp32 => 0x7f80_0000,
        _ => 0x7ff0_0000_0000_0000,
    };
    let moved = tensor
        .data
        .chunks_exact(size)
        .flat_map(|bytes| {
            let bits = bytes.iter().rev().fold(0, |sum: u64, byte| (sum << 8) | u64::from(*byte));
            // Missing values stay missing: neither NaN nor an infinity has neighbours.
            if bits & exponent == exponent {
                return bits.to_le_bytes().into_iter().take(size);
            }
            // Away from zero is the next number of bits, towards zero the one before; zero has neighbours of both signs.
            let moved = match (bits & !sign == 0, (bits & sign == 0) == up) {
                (true, _) => {
                    if up {
                        1
                    } else {
                        sign | 1
                    }
                }
                (false, true) => bits + 1,
                (false, false) => bits - 1,
            };
            moved.to_le_bytes().into_iter().take(size)
        })
        .collect();
    Tensor { data: moved, ..tensor.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_goes_to_the_next_number_in_its_direction() {
        let tensor = |numbers: &[f32]| Tensor {
            name: "x".to_owned(),
            datatype: Datatype::Fp32,
            shape: vec![i64::try_from(numbers.len()).unwrap_or_default()],
            data: numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
        };
        let numbers = [1.0, -1.0, 0.0, -0.0];
        assert_eq!(step(&tensor(&numbers), true), tensor(&numbers.map(f32::next_up)));
        assert_eq!(step(&tensor(&numbers), false), tensor(&numbers.map(f32::next_down)));
        let missing = tensor(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY]);
        assert_eq!((step(&missing, true), step(&missing, false)), (missing.clone(), missing.clone()));
    }
}
