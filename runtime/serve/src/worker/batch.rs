//! Several requests as one run: their rows are put together and the answers' rows taken apart. In go the inputs of jobs;
//! out come joint inputs, and each one's outputs. Needs no client and no ONNX Runtime.
//!
//! Only of a model whose graph shows that rows are independent ([`modelwright_core::rows`]), and that was seen to answer rows together as
//! it answers them alone ([`super::trial`]): a free axis may as well be time, or rows may be compared with each other.

use std::time::{Duration, Instant};

use bytes::Bytes;
use modelwright_contract::signature::{Signature, TensorSpec};

use modelwright_core::{
    session::{RunError, Session},
    tensor::{Tensor, element_count, length_of_strings},
};

/// Most rows of one run, unless another number is asked for.
pub const MAX_ROWS: u32 = 64;
/// Most bytes of one run's inputs: beyond, a run is bound by memory and nothing is gained.
pub const MAX_BYTES: usize = 1024 * 1024;
/// Requests of a trial run whose cost is measured.
const TRIAL: usize = 8;
/// How often it is measured; the shortest time counts, since what else the machine does can only add to it.
const TRIES: u32 = 3;

/// Whether the first axis of every input and output is free.
pub fn has_rows(signature: &Signature) -> bool {
    let free = |tensor: &TensorSpec| tensor.shape.first() == Some(&-1);
    !signature.inputs.is_empty() && signature.inputs.iter().chain(&signature.outputs).all(free)
}

/// How many rows inputs have: the same in each.
pub fn rows(inputs: &[Tensor]) -> Option<i64> {
    let rows = *inputs.first()?.shape.first()?;
    inputs.iter().all(|input| input.shape.first() == Some(&rows)).then_some(rows).filter(|rows| *rows > 0)
}

/// Whether inputs can be put behind others: as many rows as there is room for, the same tensors, the same other sizes.
pub fn joins(so_far: &[&[Tensor]], next: &[Tensor], max_rows: i64) -> bool {
    let Some(first) = so_far.first() else { return true };
    let fits = |(a, b): (&Tensor, &Tensor)| {
        a.name == b.name && a.datatype == b.datatype && a.shape.get(1..) == b.shape.get(1..)
    };
    let bytes = |inputs: &[Tensor]| inputs.iter().map(|input| input.data.len()).sum::<usize>();
    let room = |rows: i64| rows <= max_rows;
    first.len() == next.len()
        && first.iter().zip(next).all(fits)
        && so_far.iter().copied().chain([next]).map(rows).sum::<Option<i64>>().is_some_and(room)
        && so_far.iter().copied().chain([next]).map(bytes).sum::<usize>() <= MAX_BYTES
}

/// Puts the rows of several requests together, which [`joins`] let join.
pub fn join(all: &[&[Tensor]]) -> Vec<Tensor> {
    let Some(first) = all.first() else { return Vec::new() };
    let joint = |(place, tensor): (usize, &Tensor)| {
        let parts = || all.iter().filter_map(|inputs| inputs.get(place));
        let mut data = Vec::with_capacity(parts().map(|part| part.data.len()).sum());
        for part in parts() {
            data.extend_from_slice(&part.data);
        }
        let mut shape = tensor.shape.clone();
        if let Some(rows) = shape.first_mut() {
            *rows = parts().filter_map(|part| part.shape.first()).sum();
        }
        Tensor { name: tensor.name.clone(), datatype: tensor.datatype, shape, data: data.into() }
    };
    first.iter().enumerate().map(joint).collect()
}

/// Takes the rows of outputs apart; none if an output does not have as many.
pub fn split(outputs: &[Tensor], rows: &[i64]) -> Option<Vec<Vec<Tensor>>> {
    let mut parts: Vec<Vec<Tensor>> = rows.iter().map(|_| Vec::with_capacity(outputs.len())).collect();
    for output in outputs {
        if output.shape.first().copied() != Some(rows.iter().sum()) {
            return None;
        }
        let mut rest: Bytes = output.data.clone();
        for (rows, part) in rows.iter().zip(&mut parts) {
            let mut shape = output.shape.clone();
            *shape.first_mut()? = *rows;
            let data = if let Some(size) = output.datatype.size() {
                let bytes = element_count(&shape)?.checked_mul(size).filter(|bytes| *bytes <= rest.len())?;
                rest.split_to(bytes)
            } else {
                // Those behind are not looked at: each request's would be read again for each before it.
                rest.split_to(length_of_strings(&rest, element_count(&shape)?)?)
            };
            part.push(Tensor { name: output.name.clone(), datatype: output.datatype, shape, data });
        }
    }
    Some(parts)
}

/// Whether a run of rows together costs less than runs of them one after another, where sizes change from run to run as they
/// do under load. Some kernels of a GPU prepare themselves anew for each shape, and that can take longer than many runs.
pub fn pays(session: &Session, samples: &[Vec<Tensor>]) -> Result<bool, RunError> {
    let Some(alone) = samples.first() else { return Ok(false) };
    let together = join(&[alone.as_slice(); TRIAL]);
    let took = |inputs: &[Tensor]| {
        let begun = Instant::now();
        session.run(inputs, &[]).map(|_| begun.elapsed())
    };
    // What is made once and kept is no cost of a change.
    for inputs in [alone, &together, alone] {
        took(inputs)?;
    }
    let (mut of_one, mut of_a_change) = (Duration::MAX, Duration::MAX);
    for _ in 0..TRIES {
        of_one = of_one.min(took(alone)?);
        of_a_change = of_a_change.min(took(&together)? + took(alone)?);
    }
    let runs = u32::try_from(TRIAL + 1).unwrap_or(u32::MAX);
    tracing::debug!(?of_one, ?of_a_change, runs, "what runs cost where their sizes change");
    Ok(of_a_change <= of_one * runs)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use modelwright_core::tensor::{Datatype, encode_strings};

    fn input(shape: &[i64], data: &[u8]) -> Tensor {
        Tensor {
            name: "x".to_owned(),
            datatype: Datatype::Uint8,
            shape: shape.to_vec(),
            data: data.to_vec().into(),
        }
    }

    #[test]
    fn rows_are_put_together_and_taken_apart() {
        let (a, b) = ([input(&[1, 2], &[1, 2])], [input(&[2, 2], &[3, 4, 5, 6])]);
        assert!(joins(&[&a], &b, 64));
        let joint = join(&[&a, &b]);
        assert_eq!(joint, [input(&[3, 2], &[1, 2, 3, 4, 5, 6])]);
        assert_eq!(split(&joint, &[1, 2]).unwrap(), [a.to_vec(), b.to_vec()]);
        assert_eq!(split(&joint, &[1, 1]), None, "an output without as many rows");
    }

    #[test]
    fn strings_are_taken_apart_by_their_lengths() {
        let tensor = |strings: &[&str]| Tensor {
            name: "y".to_owned(),
            datatype: Datatype::Bytes,
            shape: vec![i64::try_from(strings.len()).unwrap()],
            data: encode_strings(strings).unwrap(),
        };
        let parts = split(&[tensor(&["a", "", "long one"])], &[1, 2]).unwrap();
        assert_eq!(parts, [[tensor(&["a"])], [tensor(&["", "long one"])]]);
    }

    #[test]
    fn other_sizes_and_too_many_rows_do_not_join() {
        let a = [input(&[1, 2], &[1, 2])];
        assert!(!joins(&[&a], &[input(&[1, 3], &[1, 2, 3])], 64));
        assert!(!joins(&[&a], &[input(&[0, 2], &[])], 64), "no rows");
        let many = [input(&[64, 2], &[0; 128])];
        assert!(!joins(&[&a], &many, 64));
        let mut other = input(&[1, 2], &[1, 2]);
        other.name = "z".to_owned();
        assert!(!joins(&[&a], &[other], 64));
    }
}
