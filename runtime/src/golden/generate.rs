//! Makes golden samples for a model that came without any: inputs from a seed and the signature, outputs from the model.
//! In goes a session; out come samples, the same ones for the same seed. Needs no client.

use modelwright_contract::{
    artifact::{GoldenSamples, GoldenSource},
    signature::Signature,
};

use super::{random::SplitMix64, record::Recorder};
use crate::{
    session::{RunError, Session},
    tensor::{Datatype, Shape, Tensor, element_count, encode_strings},
};

/// Sizes that dynamic dimensions other than the first are tried with, since some graphs need room for their windows.
const SIZES: [i64; 5] = [1, 4, 16, 64, 224];
/// Ranges of integers (without their end), since some are indices into small tables, and some are what is divided by: 0
/// comes last, since it may end the process where all others are answered.
const INTEGERS: [(u64, u64); 4] = [(1, 8), (1, 2), (0, 2), (0, 1)];
/// Ranges of floating-point numbers, taken in turn.
const RANGES: [(f64, f64); 3] = [(0.0, 1.0), (-1.0, 1.0), (0.0, 16.0)];
/// Strings, short and of several scripts.
const STRINGS: [&str; 6] = ["a", "b", "yes", "no", "Ü", ""];
/// Draws for each sample that is asked for.
pub(super) const DRAWS: u32 = 8;
/// Most bytes of the inputs of one sample.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// No samples.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The model refuses whatever is tried.
    #[error(
        "the model answers no input that its signature allows (tried dynamic sizes of {SIZES:?} and small integers): \
         {source}. Declare the sizes that it needs, or import it with golden samples of its own"
    )]
    NoAnswer {
        /// What it said to the first try.
        source: RunError,
    },
    /// The inputs are too large.
    #[error(
        "input {name:?} of shape {shape} is too large for a golden sample (at most {MAX_BYTES} bytes); import the model \
         with golden samples of its own"
    )]
    TooLarge {
        /// Which input.
        name: String,
        /// Its shape.
        shape: String,
    },
    /// Every answer is infinite, not a number, or on a knife's edge.
    #[error(
        "of {tried} synthetic inputs none has a finite answer that stays the same when the input moves by one unit in \
         the last place; import the model with golden samples of its own"
    )]
    NoneStable {
        /// How many.
        tried: u32,
    },
}

/// Records up to `count` samples; fewer if most answers are not stable, never none.
pub fn record_synthetic(session: &Session, count: u32, seed: u64) -> Result<GoldenSamples, RecordError> {
    let signature = session.signature();
    let form = find_form(session, seed)?;
    let mut random = SplitMix64(seed);
    let mut recorder = Recorder::new(session);
    let mut tried = 0;
    while recorder.count() < count as usize && tried < count.saturating_mul(DRAWS) {
        let inputs = draw(signature, form, &mut random, tried as usize)?;
        tried += 1;
        recorder.offer(&inputs);
    }
    if recorder.count() == 0 && count > 0 {
        return Err(RecordError::NoneStable { tried });
    }
    Ok(recorder.finish(GoldenSource::Synthetic))
}

/// What is not fixed by the signature.
#[derive(Clone, Copy)]
struct Form {
    size: i64,
    integers: (u64, u64),
}

/// The first form that the model answers.
fn find_form(session: &Session, seed: u64) -> Result<Form, RecordError> {
    let mut first = None;
    for size in SIZES {
        for integers in INTEGERS {
            let form = Form { size, integers };
            let inputs = match draw(session.signature(), form, &mut SplitMix64(seed), 0) {
                Ok(inputs) => inputs,
                Err(error) => return Err(first.map_or(error, |source| RecordError::NoAnswer { source })),
            };
            match session.run(&inputs, &[]) {
                Ok(_) => return Ok(form),
                Err(error) => {
                    first.get_or_insert(error);
                }
            }
        }
    }
    // The lists of sizes and integers are not empty, so there was an error.
    Err(first.map_or(RecordError::NoneStable { tried: 0 }, |source| RecordError::NoAnswer { source }))
}

fn draw(
    signature: &Signature,
    form: Form,
    random: &mut SplitMix64,
    turn: usize,
) -> Result<Vec<Tensor>, RecordError> {
    let (low, high) = RANGES.get(turn % RANGES.len()).copied().unwrap_or((0.0, 1.0));
    let mut tensors = Vec::with_capacity(signature.inputs.len());
    for input in &signature.inputs {
        let shape: Vec<i64> = input
            .shape
            .iter()
            .enumerate()
            .map(|(i, size)| {
                if *size >= 0 {
                    *size
                } else if i == 0 {
                    1
                } else {
                    form.size
                }
            })
            .collect();
        let datatype = Datatype::parse(&input.datatype).unwrap_or(Datatype::Fp32);
        let fits = |count: &usize| count.saturating_mul(datatype.size().unwrap_or(16)) <= MAX_BYTES;
        let count = element_count(&shape).filter(fits).ok_or_else(|| RecordError::TooLarge {
            name: input.name.clone(),
            shape: Shape(&shape).to_string(),
        })?;
        let data = match datatype {
            Datatype::Bool => (0..count).map(|_| random.below(2).to_le_bytes()[0]).collect(),
            Datatype::Bytes => {
                let strings = (0..count).map(|_| pick(&STRINGS, random));
                encode_strings(strings).unwrap_or_default()
            }
            datatype if datatype.is_float() => {
                let numbers: Vec<f64> = (0..count).map(|_| random.between(low, high)).collect();
                write_floats(datatype, &numbers)
            }
            datatype => {
                let size = datatype.size().unwrap_or(1);
                let (low, end) = form.integers;
                (0..count)
                    .flat_map(|_| (low + random.below(end - low)).to_le_bytes().into_iter().take(size))
                    .collect()
            }
        };
        tensors.push(Tensor { name: input.name.clone(), datatype, shape, data });
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
