//! Inputs that are like the rows of a part, and none of which is one of them: each column takes one of its own quantiles, in
//! an order of its own. In go a file that `train` left and a signature; out come inputs, the same ones for the same seed.
//! Needs no client.
//!
//! Quantiles leave out the ends, where a value may be one person's, and what is taken as it is, text or a number, is only what
//! many rows have. Every column goes
//! through all of its quantiles once, as in a Latin hypercube, so that few inputs reach much of the graph.

use std::{collections::BTreeMap, path::Path};

use modelwright_contract::signature::Signature;

use super::{
    floats,
    generate::{DRAWS, write_floats},
    random::SplitMix64,
};
use crate::{
    npz::Npz,
    tensor::{Datatype, Tensor, encode_strings},
};

/// Fewest rows: the quantiles of fewer are the rows themselves.
const MIN_ROWS: usize = 20;
/// The lowest quantile and the highest.
const LEVELS: (f64, f64) = (0.05, 0.95);
/// Text is drawn that is in this share of the rows, and in so many; a number that is in so many.
const COMMON_FRACTION: f64 = 0.05;
const COMMON_ROWS: usize = 5;

/// Reads the rows of a file: what the graph takes, of all rows at once.
pub fn read_rows(file: &Path, signature: &Signature) -> Result<Vec<Tensor>, String> {
    let mut npz = Npz::open(file).map_err(|error| error.to_string())?;
    let mut inputs: Vec<Tensor> = Vec::with_capacity(signature.inputs.len());
    for expected in &signature.inputs {
        let name = format!("inputs/{}", expected.name);
        let array = npz.array(&name).map_err(|error| error.to_string())?;
        let array = array.ok_or_else(|| format!("it lacks the array {name:?}"))?;
        let rows = array.rows().filter(|rows| *rows > 0);
        let rows = rows.ok_or_else(|| format!("its array {name:?} has no rows"))?;
        let tensor =
            array.tensor(&expected.name, 0..rows).map_err(|why| format!("its array {name:?} {why}"))?;
        let fits = |(got, expected): (&i64, &i64)| *expected < 0 || got == expected;
        let takes = expected.shape.is_empty()
            || tensor.shape.len() == expected.shape.len()
                && tensor.shape.iter().zip(&expected.shape).skip(1).all(fits);
        if tensor.datatype.name() != expected.datatype || !takes {
            return Err(format!(
                "its array {name:?} is {} of shape {:?}, and the graph takes {} of shape {:?} (-1: any size)",
                tensor.datatype, tensor.shape, expected.datatype, expected.shape
            ));
        }
        if inputs.first().is_some_and(|first| first.shape.first() != tensor.shape.first()) {
            return Err("its arrays differ in their number of rows".to_owned());
        }
        inputs.push(tensor);
    }
    if inputs.is_empty() { Err("the graph takes no input".to_owned()) } else { Ok(inputs) }
}

/// Inputs of single rows, or of as many as the graph wants at once, from some rows; as many of them as are tried for `count`
/// samples.
pub fn draw(
    rows: &[Tensor],
    signature: &Signature,
    count: u32,
    seed: u64,
) -> Result<Vec<Vec<Tensor>>, String> {
    let found = rows.first().and_then(|input| usize::try_from(*input.shape.first()?).ok()).unwrap_or(0);
    if found < MIN_ROWS {
        return Err(format!(
            "it has {found} rows, and the quantiles of fewer than {MIN_ROWS} are the rows themselves"
        ));
    }
    let draws = count.saturating_mul(DRAWS).max(1) as usize;
    let block = block_of(signature);
    let mut random = SplitMix64(seed);
    let columns: Vec<Columns> =
        rows.iter().map(|input| Columns::of(input, found, draws, &mut random)).collect::<Result<_, _>>()?;
    (0..draws)
        .map(|first| {
            let lines: Vec<usize> = (0..block).map(|line| (first * block + line) % draws).collect();
            rows.iter().zip(&columns).map(|(input, columns)| columns.tensor(input, &lines)).collect()
        })
        .collect()
}

/// Rows as they are, each by itself, or as many together as the graph wants at once; the first of them.
pub fn blocks(rows: &[Tensor], signature: &Signature) -> Result<Vec<Vec<Tensor>>, String> {
    const MOST: usize = 256;
    let found = rows.first().and_then(|input| usize::try_from(*input.shape.first()?).ok()).unwrap_or(0);
    let block = block_of(signature);
    let columns: Vec<Columns> =
        rows.iter().map(|input| Columns::whole(input, found)).collect::<Result<_, _>>()?;
    (0..(found / block).min(MOST))
        .map(|number| {
            let lines: Vec<usize> = (number * block..(number + 1) * block).collect();
            rows.iter().zip(&columns).map(|(input, columns)| columns.tensor(input, &lines)).collect()
        })
        .collect()
}

/// How many rows the graph wants at once.
fn block_of(signature: &Signature) -> usize {
    let mut wanted = signature.inputs.iter().filter_map(|input| input.shape.first());
    wanted.find(|size| **size > 0).and_then(|size| usize::try_from(*size).ok()).unwrap_or(1)
}

/// What every column of an input takes: a line for each draw.
enum Columns {
    Numbers(Vec<Vec<f64>>),
    Texts(Vec<Vec<String>>),
}

impl Columns {
    fn of(input: &Tensor, rows: usize, draws: usize, random: &mut SplitMix64) -> Result<Self, String> {
        if input.datatype == Datatype::Bytes {
            let texts = input.strings().map_err(|error| error.to_string())?;
            let width = texts.len() / rows;
            let lines = lines(width, draws, random, |column, levels| {
                let of_column = texts.iter().skip(column).step_by(width).copied();
                common(of_column, rows, levels)
            });
            return Ok(Self::Texts(lines));
        }
        let numbers = numbers(input);
        let width = numbers.len() / rows;
        Ok(Self::Numbers(lines(width, draws, random, |column, levels| {
            let of_column = numbers.iter().skip(column).step_by(width).copied();
            quantiles(of_column.filter(|number| number.is_finite()).collect(), levels)
        })))
    }

    fn whole(input: &Tensor, rows: usize) -> Result<Self, String> {
        Ok(if input.datatype == Datatype::Bytes {
            let texts = input.strings().map_err(|error| error.to_string())?;
            let width = (texts.len() / rows.max(1)).max(1);
            Self::Texts(
                texts.chunks(width).map(|row| row.iter().map(ToString::to_string).collect()).collect(),
            )
        } else {
            let numbers = numbers(input);
            Self::Numbers(numbers.chunks((numbers.len() / rows.max(1)).max(1)).map(<[f64]>::to_vec).collect())
        })
    }

    /// The lines as a tensor.
    fn tensor(&self, like: &Tensor, lines: &[usize]) -> Result<Tensor, String> {
        let mut shape = like.shape.clone();
        if let Some(size) = shape.first_mut() {
            *size = i64::try_from(lines.len()).map_err(|error| error.to_string())?;
        }
        let data = match self {
            Self::Texts(all) => {
                let words = lines.iter().filter_map(|line| all.get(*line)).flatten().map(String::as_str);
                encode_strings(words).ok_or("its text is too long")?
            }
            Self::Numbers(all) => {
                let numbers: Vec<f64> =
                    lines.iter().filter_map(|line| all.get(*line)).flatten().copied().collect();
                write(like.datatype, &numbers)
            }
        };
        Ok(Tensor { shape, data, ..like.clone() })
    }
}

/// For each draw a line of what each column gives for its levels, which come in an order of the column's own.
fn lines<T>(
    width: usize,
    draws: usize,
    random: &mut SplitMix64,
    mut column: impl FnMut(usize, &[f64]) -> Vec<T>,
) -> Vec<Vec<T>> {
    let mut lines: Vec<Vec<T>> = (0..draws).map(|_| Vec::with_capacity(width)).collect();
    for number in 0..width {
        let levels = levels(draws, random);
        for (line, value) in lines.iter_mut().zip(column(number, &levels)) {
            line.push(value);
        }
    }
    lines
}

/// Levels between the ends, evenly apart and shuffled.
#[expect(clippy::cast_precision_loss, reason = "there are few of them")]
fn levels(draws: usize, random: &mut SplitMix64) -> Vec<f64> {
    let (low, high) = LEVELS;
    let mut levels: Vec<f64> =
        (0..draws).map(|place| low + (high - low) * (place as f64 + 0.5) / draws as f64).collect();
    for end in (1..levels.len()).rev() {
        let other = usize::try_from(random.below(end as u64 + 1)).unwrap_or(end);
        levels.swap(end, other);
    }
    levels
}

/// Quantiles of numbers; where all of them are whole, whole ones. A number that few rows have is never copied: it may be one
/// person's, as a customer's or a telephone's is.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "places in a list that is in memory"
)]
fn quantiles(mut numbers: Vec<f64>, levels: &[f64]) -> Vec<f64> {
    numbers.sort_by(f64::total_cmp);
    let is_whole = numbers.iter().all(|number| number.fract() == 0.0);
    let last = numbers.len().saturating_sub(1) as f64;
    levels
        .iter()
        .map(|level| {
            let place = (level * last).round() as usize;
            let number = numbers.get(place).copied().unwrap_or(f64::NAN);
            if is_rare(&numbers, number) { between(&numbers, place, is_whole) } else { number }
        })
        .collect()
}

/// Whether there are rows with this number, and few.
fn is_rare(sorted: &[f64], number: f64) -> bool {
    let below = |limit: fn(&f64, &f64) -> bool| sorted.partition_point(|other| limit(other, &number));
    (1..COMMON_ROWS).contains(&(below(f64::le) - below(f64::lt)))
}

/// A number in the middle of two that are [`COMMON_ROWS`] places apart and no ends: the nearest one that nobody has alone.
/// Only of whole numbers that lie side by side, so that there is none, the middle is taken whosesoever it is; of so few
/// numbers that those two would be the ends, none.
fn between(sorted: &[f64], place: usize, is_whole: bool) -> f64 {
    if sorted.len() < MIN_ROWS {
        return f64::NAN;
    }
    let first = place.saturating_sub(COMMON_ROWS / 2).clamp(1, sorted.len() - 1 - COMMON_ROWS);
    let at = |place: usize| sorted.get(place).copied().unwrap_or(f64::NAN);
    let (low, high) = (at(first), at(first + COMMON_ROWS - 1));
    let exact = low / 2.0 + high / 2.0;
    let middle = if is_whole { exact.round() } else { exact };
    let step =
        if is_whole { f64::max(1.0, middle.abs().next_up() - middle.abs()) } else { (high - low) / 32.0 };
    let steps = (0..=u8::MAX).flat_map(|count| [f64::from(count), -f64::from(count)]);
    let mut tried = steps.map(|count| count.mul_add(step, middle));
    tried.find(|number| low < *number && *number < high && !is_rare(sorted, *number)).unwrap_or(middle)
}

/// Text that many rows have, as often as they do; an empty one where there is none.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "places in a list that is in memory"
)]
fn common<'a>(texts: impl Iterator<Item = &'a str>, rows: usize, levels: &[f64]) -> Vec<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for text in texts {
        *counts.entry(text).or_default() += 1;
    }
    let least = COMMON_ROWS.max((rows as f64 * COMMON_FRACTION).ceil() as usize);
    counts.retain(|_, count| *count >= least);
    let sorted: Vec<&str> =
        counts.iter().flat_map(|(text, count)| std::iter::repeat_n(*text, *count)).collect();
    let place = |level: &f64| (level * sorted.len() as f64) as usize;
    levels.iter().map(|level| sorted.get(place(level)).copied().unwrap_or_default().to_owned()).collect()
}

/// The elements of a tensor that holds no text.
#[expect(clippy::cast_precision_loss, reason = "of the largest integers, the nearest will do")]
fn numbers(tensor: &Tensor) -> Vec<f64> {
    if tensor.datatype.is_float() {
        return floats(tensor);
    }
    let size = tensor.datatype.size().unwrap_or(1);
    let is_signed =
        matches!(tensor.datatype, Datatype::Int8 | Datatype::Int16 | Datatype::Int32 | Datatype::Int64);
    let number = |bytes: &[u8]| {
        let unsigned = bytes.iter().rev().fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
        if is_signed {
            let shift = u32::try_from(64_usize.saturating_sub(size * 8)).unwrap_or(0);
            ((unsigned << shift).cast_signed() >> shift) as f64
        } else {
            unsigned as f64
        }
    };
    tensor.data.chunks(size).map(number).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "whole numbers that came out of the same datatype")]
fn write(datatype: Datatype, numbers: &[f64]) -> bytes::Bytes {
    if datatype.is_float() {
        return write_floats(datatype, numbers);
    }
    let size = datatype.size().unwrap_or(1);
    let whole = |number: &f64| if number.is_nan() { 0 } else { *number as i128 };
    numbers.iter().flat_map(|number| whole(number).to_le_bytes().into_iter().take(size)).collect()
}

#[cfg(test)]
mod tests;
