//! Records answers as golden samples, with their bounds. In go a session and inputs; out come the samples whose answer
//! is finite and stable.
//!
//! An answer is stable if it stays within half of its bounds when every floating-point input moves by one unit in the
//! last place in either direction: an answer on a knife's edge would differ between machines. Bounds are those of all
//! samples so far, so they only grow with each.
//!
//! Rounding may move an element by more, where the numbers that it was made of are larger than the answer: a sigmoid
//! near 0 keeps the steps of 1. Such a movement is no knife's edge while it is small, and raises the bounds of its output
//! over what was seen.

use std::collections::{BTreeMap, BTreeSet};

use modelwright_contract::{
    artifact::{GoldenSample, GoldenSamples, GoldenSource},
    signature::{Signature, TensorSpec},
};

use super::{bounds, compare_random, encode, floats, generate::step};
use crate::{
    session::Session,
    tensor::{Datatype, Tensor},
    tolerance::{Bounds, Scale},
};

/// Relative tolerance of FP32 and FP64. The order of sums differs between processors, and where terms cancel it shows.
const TOLERANCE: f64 = 1e-3;
/// Relative tolerance of FP16 and BF16: BF16 has 8 bits of precision.
const HALF_TOLERANCE: f64 = 2e-2;
/// What rounding in a deep graph leaves, as a share of the output's scale.
const ROUNDING: f64 = 1e-5;
/// What rounding leaves of numbers near 1, at most.
const ROUNDING_OF_1: f64 = 1e-6;
/// How many times more both are, where the outputs have FP16 or BF16.
const HALF_ROUNDING: f64 = 100.0;
/// By how much a bound lies above the rounding that was seen: another machine rounds at every step, and not at the
/// inputs alone.
const MARGIN: f64 = 8.0;

/// The relative tolerance of what is compared in a datatype.
pub fn tolerance_of_datatype(datatype: Datatype) -> f64 {
    if matches!(datatype, Datatype::Fp16 | Datatype::Bf16) { HALF_TOLERANCE } else { TOLERANCE }
}

/// The largest bound that rounding alone may ask for, however small the output is.
pub(super) fn largest_for_rounding(is_half: bool) -> f64 {
    MARGIN * ROUNDING_OF_1 * if is_half { HALF_ROUNDING } else { 1.0 }
}

/// What is allowed for rounding of an output whose largest number is `whole`: at most half of it, or else zeros would agree
/// with every answer. Where rounding itself is a quarter of it or more, there is nothing to tell apart, and it stays.
pub(super) fn for_rounding(wanted: f64, whole: f64) -> f64 {
    let (half, seen) = (whole / 2.0, wanted / MARGIN);
    if half >= 2.0 * seen { wanted.min(half) } else { wanted }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recording {
    /// Outputs whose numbers nobody can repeat.
    pub random: BTreeSet<String>,
    /// Whether the graph computes in few bits, whatever its outputs have: in integers of eight bits, or in FP16. Where another
    /// processor rounds otherwise, it may then be by one step of these.
    pub few_bits: bool,
}

pub(super) struct Recorder<'a> {
    session: &'a Session,
    /// Outputs whose numbers nobody can repeat.
    random: &'a BTreeSet<String>,
    tolerance: f64,
    is_half: bool,
    outputs: BTreeMap<String, Output>,
    samples: Vec<GoldenSample>,
}

/// What is known of a floating-point output.
#[derive(Clone)]
struct Output {
    datatype: Datatype,
    scale: Scale,
    /// The largest movement by rounding that is beyond half of its bound.
    rounding: f64,
}

impl<'a> Recorder<'a> {
    pub fn new(session: &'a Session, recording: &'a Recording) -> Self {
        let is_half = recording.few_bits || has_half(session.signature());
        Self {
            session,
            random: &recording.random,
            tolerance: if is_half { HALF_TOLERANCE } else { TOLERANCE },
            is_half,
            outputs: BTreeMap::new(),
            samples: Vec::new(),
        }
    }

    /// How many samples there are.
    pub fn count(&self) -> usize {
        self.samples.len()
    }

    /// Keeps the answer to inputs, if it is finite and stable.
    pub fn offer(&mut self, inputs: &[Tensor]) {
        let Some((answer, outputs)) = self.stable_answer(inputs) else { return };
        self.outputs = outputs;
        self.samples.push(GoldenSample {
            inputs: inputs.iter().map(encode).collect(),
            outputs: answer.iter().map(encode).collect(),
        });
    }

    /// All of them, with their bounds.
    pub fn finish(self, source: GoldenSource) -> GoldenSamples {
        let tolerance = self.tolerance;
        let bounds =
            self.outputs.iter().map(|(name, output)| bounds::encode(name, &output.bounds(tolerance)));
        GoldenSamples {
            source,
            tolerance: tolerance.to_string(),
            bounds: bounds.collect(),
            random: self.random.iter().cloned().collect(),
            samples: self.samples,
        }
    }

    /// The answer, and what is known of the outputs with it.
    fn stable_answer(&self, inputs: &[Tensor]) -> Option<(Vec<Tensor>, BTreeMap<String, Output>)> {
        let answer = self.session.run(inputs, &[]).ok()?;
        let mut outputs = self.outputs.clone();
        for tensor in answer.iter().filter(|tensor| tensor.datatype.is_float()) {
            let numbers = floats(tensor);
            if numbers.iter().any(|number| !number.is_finite()) {
                return None;
            }
            if self.random.contains(&tensor.name) {
                continue;
            }
            of_name(&mut outputs, tensor).scale.add(&tensor.shape, &numbers);
        }
        for up in [true, false] {
            let moved: Vec<Tensor> = inputs.iter().map(|input| step(input, up)).collect();
            let again = self.session.run(&moved, &[]).ok()?;
            for (first, second) in answer.iter().zip(&again) {
                if self.random.contains(&first.name) {
                    compare_random(first, second).ok()?;
                    continue;
                }
                if first.datatype != second.datatype || first.shape != second.shape {
                    return None;
                }
                if !first.datatype.is_float() {
                    if first.data != second.data {
                        return None;
                    }
                    continue;
                }
                let output = of_name(&mut outputs, first);
                let rounding = (ROUNDING * output.scale.whole()).max(ROUNDING_OF_1);
                let most = if self.is_half { HALF_ROUNDING * rounding } else { rounding };
                output.take_rounding(first, second, self.tolerance, most)?;
            }
        }
        Some((answer, outputs))
    }
}

impl Output {
    /// Takes in how an answer moved; none, if by more than rounding does.
    fn take_rounding(&mut self, first: &Tensor, second: &Tensor, tolerance: f64, most: f64) -> Option<()> {
        let (expected, got) = (floats(first), floats(second));
        let bounds = self.bounds(tolerance);
        let shares = bounds.shares(&first.shape, &expected, &got);
        for ((share, _), (expected, got)) in shares.zip(expected.iter().zip(&got)) {
            let movement = (got - expected).abs();
            if share > 0.5 {
                // What is no number is no small movement.
                if movement.is_nan() || movement > most {
                    return None;
                }
                self.rounding = self.rounding.max(movement);
            }
        }
        Some(())
    }

    /// The bounds by scale, raised where rounding needs it.
    fn bounds(&self, tolerance: f64) -> Bounds {
        let mut bounds = self.scale.bounds(tolerance, self.datatype);
        bounds.raise(for_rounding(MARGIN * self.rounding, self.scale.whole()));
        bounds
    }
}

/// What is known of the output of a tensor.
fn of_name<'a>(outputs: &'a mut BTreeMap<String, Output>, tensor: &Tensor) -> &'a mut Output {
    outputs.entry(tensor.name.clone()).or_insert_with(|| Output {
        datatype: tensor.datatype,
        scale: Scale::default(),
        rounding: 0.0,
    })
}

/// Whether an output has few bits.
fn has_half(signature: &Signature) -> bool {
    let half = |tensor: &TensorSpec| matches!(tensor.datatype.as_str(), "FP16" | "BF16");
    signature.outputs.iter().any(half)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rounding_asks_for_does_not_let_zeros_agree_with_small_answers() {
        // Answers of a sigmoid near 0, in steps of what rounds near 1.
        let (expected, step) = ([1.2e-7, 3e-7], 6e-8);
        let output =
            Output { datatype: Datatype::Fp32, scale: Scale::of(&[2, 1], &expected), rounding: step };
        let bounds = output.bounds(TOLERANCE);
        assert!(bounds.compare(&[2, 1], &expected, &[0.0, 0.0]).is_err());
        assert!(bounds.compare(&[2, 1], &expected, &[1.2e-7 - step, 3e-7 + 2.0 * step]).is_ok());
    }
}
