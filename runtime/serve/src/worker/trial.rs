//! A shared run, tried before any request: the second lock behind what the graph shows ([`modelwright_core::rows`]). In goes a session with
//! samples; out comes nothing, or which output of which row was another one than alone. Needs ONNX Runtime.
//!
//! As many rows as a run may have, of several scales and in more than one order, each compared with its own answer alone, within
//! rounding of that output's scale. Kernels differ by the number of rows, so that equal to the bit is not what is asked.

use std::time::{Duration, Instant};

use super::batch::{MAX_BYTES, join, joins, rows, split};
use modelwright_core::{
    golden,
    session::{RunError, Session},
    tensor::{Datatype, Tensor},
};

/// Most samples that are tried, as they are and at every scale.
const SAMPLES: usize = 8;
const SCALED_SAMPLES: usize = 4;
/// What numbers of a sample are multiplied with. A scale that is computed over rows shows where rows have different ones.
const SCALES: [f64; 3] = [1.0, 0.3, 100.0];
/// A second order is tried if the first took less.
const PATIENCE: Duration = Duration::from_secs(1);
/// How far an answer may move, in parts of its output's scale.
const TOLERANCE: f64 = 1e-4;
/// The same of numbers with 11 bits of precision, and of those with 8.
const HALF_TOLERANCE: f64 = 4e-3;
const BRAIN_TOLERANCE: f64 = 3e-2;
/// The least scale of an output, in parts of that of all rows together.
const FLOOR: f64 = 1e-6;

/// Why runs are not shared.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    #[error("there are no two samples that may share a run")]
    TooFew,
    #[error("a trial run failed: {0}")]
    Run(#[from] RunError),
    /// The outputs do not have the rows of the inputs.
    #[error("an output of a shared run does not have as many rows as the inputs")]
    Rows,
    /// An answer was another one.
    #[error("in a trial, {output:?} of a row was another one in a run of {rows} rows than alone")]
    Differs {
        output: String,
        /// In a run of how many rows.
        rows: i64,
    },
}

/// A request with its answer alone.
struct Alone {
    scale: f64,
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
    /// The largest number of each output.
    largest: Vec<f64>,
}

pub fn run(session: &Session, samples: &[Vec<Tensor>], max_rows: u32) -> Result<(), TrialError> {
    let all = alone(session, samples, max_rows)?;
    let Some(first) = all.first() else { return Err(TrialError::TooFew) };
    if !all.iter().any(|other| other.inputs != first.inputs) {
        return Err(TrialError::TooFew);
    }
    let begun = Instant::now();
    let order = fill(&all, max_rows);
    together(session, &all, &order)?;
    if begun.elapsed() < PATIENCE {
        together(session, &all, &permuted(&order))?;
    }
    Ok(())
}

/// The samples at every scale that the model answers, each alone.
fn alone(session: &Session, samples: &[Vec<Tensor>], max_rows: u32) -> Result<Vec<Alone>, TrialError> {
    let mut all: Vec<Alone> = Vec::new();
    let joined = |inputs: &Vec<Tensor>| {
        samples.first().is_some_and(|first| joins(&[first], inputs, i64::from(max_rows)) || inputs == first)
    };
    for (number, inputs) in samples.iter().filter(|inputs| joined(inputs)).take(SAMPLES).enumerate() {
        for scale in SCALES.into_iter().take(if number < SCALED_SAMPLES { SCALES.len() } else { 1 }) {
            let scaled: Vec<Tensor> = inputs.iter().map(|input| scaled(input, scale)).collect();
            if all.iter().any(|known| known.inputs == scaled) {
                continue;
            }
            let as_it_is = scale.to_bits() == 1.0_f64.to_bits();
            match session.run(&scaled, &[]) {
                Ok(outputs) if as_it_is || outputs.iter().all(is_finite) => {
                    let largest = outputs.iter().map(largest).collect();
                    all.push(Alone { scale, inputs: scaled, outputs, largest });
                }
                Err(error) if as_it_is => return Err(error.into()),
                // What is no input of this model any more proves nothing.
                Ok(_) | Err(_) => {}
            }
        }
    }
    Ok(all)
}

fn largest(tensor: &Tensor) -> f64 {
    let numbers = golden::floats(tensor).into_iter().map(f64::abs).filter(|number| number.is_finite());
    numbers.fold(0.0, f64::max)
}

fn is_finite(tensor: &Tensor) -> bool {
    golden::floats(tensor).into_iter().all(f64::is_finite)
}

#[expect(clippy::cast_possible_truncation, reason = "a scaled number may be rounded to its datatype")]
fn scaled(tensor: &Tensor, scale: f64) -> Tensor {
    let numbers = || golden::floats(tensor).into_iter().map(|number| number * scale);
    let data = match tensor.datatype {
        _ if scale.to_bits() == 1.0_f64.to_bits() => return tensor.clone(),
        Datatype::Fp16 => numbers().flat_map(|x| half::f16::from_f64(x).to_le_bytes()).collect(),
        Datatype::Bf16 => numbers().flat_map(|x| half::bf16::from_f64(x).to_le_bytes()).collect(),
        Datatype::Fp32 => numbers().flat_map(|x| (x as f32).to_le_bytes()).collect(),
        Datatype::Fp64 => numbers().flat_map(f64::to_le_bytes).collect(),
        _ => return tensor.clone(),
    };
    Tensor { data, ..tensor.clone() }
}

/// One after the other and from the frontend again, until the run is full.
fn fill(all: &[Alone], max_rows: u32) -> Vec<usize> {
    let (mut order, mut filled, mut bytes) = (Vec::new(), 0, 0);
    for (place, next) in all.iter().enumerate().cycle() {
        filled += rows(&next.inputs).unwrap_or(i64::MAX / 2);
        bytes += next.inputs.iter().map(|input| input.data.len()).sum::<usize>();
        if filled > i64::from(max_rows) || bytes > MAX_BYTES && order.len() >= 2 {
            break;
        }
        order.push(place);
    }
    order
}

/// The same in another order: by a step that has no factor in common with their number, from the end.
fn permuted(order: &[usize]) -> Vec<usize> {
    let count = order.len();
    let shares = |step: usize| (2..=step).any(|it| step.is_multiple_of(it) && count.is_multiple_of(it));
    let step = (count / 3 + 1..=count + 1).find(|step| !shares(*step)).unwrap_or(1);
    (0..count)
        .filter_map(|at| order.get((at * step + count.saturating_sub(1)) % count.max(1)).copied())
        .collect()
}

fn together(session: &Session, all: &[Alone], order: &[usize]) -> Result<(), TrialError> {
    let members: Vec<&Alone> = order.iter().filter_map(|place| all.get(*place)).collect();
    if members.len() < 2 {
        return Err(TrialError::TooFew);
    }
    let inputs: Vec<&[Tensor]> = members.iter().map(|member| member.inputs.as_slice()).collect();
    let counts: Vec<i64> = inputs.iter().filter_map(|inputs| rows(inputs)).collect();
    let outputs = session.run(&join(&inputs), &[])?;
    let parts = split(&outputs, &counts).ok_or(TrialError::Rows)?;
    for (member, part) in members.iter().zip(parts) {
        let differs = member
            .outputs
            .iter()
            .zip(&part)
            .enumerate()
            .find(|(place, (alone, together))| !agree(all, member, *place, (alone, together)));
        if let Some((_, (alone, _))) = differs {
            return Err(TrialError::Differs { output: alone.name.clone(), rows: counts.iter().sum() });
        }
    }
    Ok(())
}

/// How far numbers of an output may move, of requests of one scale.
fn room(all: &[Alone], scale: f64, place: usize) -> f64 {
    let largest = |of: &dyn Fn(&Alone) -> bool| {
        let found = all.iter().filter(|member| of(member)).filter_map(|member| member.largest.get(place));
        found.copied().fold(0.0, f64::max)
    };
    let datatype = all.first().and_then(|member| member.outputs.get(place)).map(|output| output.datatype);
    let tolerance = match datatype {
        Some(Datatype::Fp16) => HALF_TOLERANCE,
        Some(Datatype::Bf16) => BRAIN_TOLERANCE,
        _ => TOLERANCE,
    };
    let own = largest(&|member| member.scale.to_bits() == scale.to_bits());
    tolerance * own.max(FLOOR * largest(&|_| true))
}

fn agree(all: &[Alone], member: &Alone, place: usize, (alone, together): (&Tensor, &Tensor)) -> bool {
    if alone.shape != together.shape || alone.datatype != together.datatype {
        return false;
    }
    if alone.datatype.is_float() {
        let room = room(all, member.scale, place);
        let near = |(a, b): (f64, f64)| {
            a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan() || (a - b).abs() <= room
        };
        return golden::floats(alone).into_iter().zip(golden::floats(together)).all(near);
    }
    alone == together || is_tie(all, member)
}

/// Whether the two highest scores of a row are so near that either may win.
fn is_tie(all: &[Alone], member: &Alone) -> bool {
    member.outputs.iter().enumerate().any(|(place, output)| {
        let width =
            output.shape.last().and_then(|size| usize::try_from(*size).ok()).filter(|size| *size >= 2);
        let Some(width) = width.filter(|_| output.datatype.is_float() && output.shape.len() >= 2) else {
            return false;
        };
        let room = 2.0 * room(all, member.scale, place);
        golden::floats(output).chunks(width).any(|scores| {
            let mut sorted = scores.to_vec();
            sorted.sort_by(|a, b| b.total_cmp(a));
            matches!(sorted.as_slice(), [first, second, ..] if first - second <= room)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_order_holds_every_row_once() {
        for count in 1..70 {
            let order: Vec<usize> = (0..count).collect();
            let mut other = permuted(&order);
            assert!(count < 3 || other != order, "{count}");
            other.sort_unstable();
            assert_eq!(other, order);
        }
    }
}
