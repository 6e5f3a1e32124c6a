//! Finds what a model's signature leaves open and the model answers: sizes of free axes, a range of integers, a kind of
//! text. In goes a way to ask the model; out comes a form that inputs are drawn in, the same one for the same model.
//!
//! One name of an axis is one size, wherever it stands, as exporters mean it, and so is one in a sum (`past_length + 1`, as
//! language models have it). An axis without a name has a size of its own.
//! First axes are most often rows, and are 1 until nothing else is answered.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use modelwright_contract::signature::Signature;

use super::generate::RecordError;
use crate::{session::RunError, tensor::Datatype};

/// Sizes that free axes are tried with: tokens, images, and windows of sound up to four seconds.
pub(super) const SIZES: [i64; 11] = [1, 4, 16, 64, 224, 512, 1024, 2048, 4096, 16_384, 65_536];
/// Ranges of integers (without their end), since some are indices into small tables, and some are what is divided by: 0
/// comes last, since it may end the process where all others are answered.
const INTEGERS: [(u64, u64); 4] = [(1, 8), (1, 2), (0, 2), (0, 1)];
/// The range of UINT8 that is tried first: pixels, most often. Of 0 to 7, all would be black.
const PIXELS: (u64, u64) = (1, 256);
/// Strings, short and of several scripts.
const WORDS: [&str; 6] = ["a", "b", "yes", "no", "Ü", ""];
/// Strings that a graph can take for numbers.
const NUMBERS: [&str; 6] = ["1", "2", "0", "7", "10", "3"];
/// For how long a form is looked for.
const PATIENCE: Duration = Duration::from_mins(2);
/// Most sizes that are taken from what the model says.
const MAX_NAMED: usize = 24;

/// What is not fixed by a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Form {
    /// Input by input, its shape.
    pub shapes: Vec<Vec<i64>>,
    /// Integers from the first to below the second.
    pub integers: (u64, u64),
    pub bytes: (u64, u64),
    pub texts: &'static [&'static str],
}

/// What came of trying a form.
pub(super) enum Tried {
    /// An answer that has elements, and finite numbers.
    Answered,
    /// An answer without any element or with numbers that are not finite, which proves little or nothing.
    Weak,
    Refused(RunError),
    /// Its inputs are too large to be kept.
    TooLarge(RecordError),
}

/// A size of an input's axis.
#[derive(Clone)]
enum Axis {
    Fixed(i64),
    /// That of a variable, by its number.
    Free(usize),
    /// A number and so many times each of some variables.
    Sum(i64, Vec<(i64, usize)>),
}

/// Numbers, and names with what each is multiplied by, of a text such as `past_length + 2*n`; none if it is no such sum.
fn sum(text: &str) -> Option<(i64, Vec<(i64, &str)>)> {
    let (mut fixed, mut names) = (0_i64, Vec::new());
    for term in text.split('+').map(str::trim) {
        let (mut factor, mut name) = (1_i64, None);
        for part in term.split('*').map(str::trim) {
            if let Ok(number) = part.parse::<u32>() {
                factor = factor.checked_mul(number.into())?;
                continue;
            }
            let is_name = part.starts_with(|letter: char| letter.is_alphabetic() || letter == '_')
                && part.chars().all(|letter| letter.is_alphanumeric() || "_.".contains(letter));
            if !is_name || name.replace(part).is_some() {
                return None;
            }
        }
        match name {
            Some(name) => names.push((factor, name)),
            None => fixed = fixed.checked_add(factor)?,
        }
    }
    Some((fixed, names))
}

/// What sizes a signature leaves open.
struct Open {
    inputs: Vec<Vec<Axis>>,
    /// Variable by variable, whether it is the first axis of an input.
    is_first: Vec<bool>,
}

impl Open {
    /// `symbols` are the names of the inputs' axes, empty where there is none.
    fn new(signature: &Signature, symbols: &[Vec<String>]) -> Self {
        let mut open = Self { inputs: Vec::new(), is_first: Vec::new() };
        let mut named: BTreeMap<&str, usize> = BTreeMap::new();
        for (place, input) in signature.inputs.iter().enumerate() {
            let mut axes = Vec::with_capacity(input.shape.len());
            for (axis, size) in input.shape.iter().enumerate() {
                if *size >= 0 {
                    axes.push(Axis::Fixed(*size));
                    continue;
                }
                // Some exporters write a question mark where they know no name.
                let symbol = symbols.get(place).and_then(|names| names.get(axis)).map(String::as_str);
                let symbol = symbol.filter(|symbol| !matches!(*symbol, "" | "?"));
                let sum = symbol
                    .and_then(sum)
                    .filter(|(fixed, names)| *fixed != 0 || !matches!(names.as_slice(), [(1, _)]));
                axes.push(match sum {
                    Some((fixed, terms)) => {
                        let of = |(factor, name)| (factor, open.variable(&mut named, Some(name), false));
                        Axis::Sum(fixed, terms.into_iter().map(of).collect())
                    }
                    None => Axis::Free(open.variable(&mut named, symbol, axis == 0)),
                });
            }
            open.inputs.push(axes);
        }
        open
    }

    /// The variable of a name, or a new one.
    fn variable<'a>(
        &mut self,
        named: &mut BTreeMap<&'a str, usize>,
        symbol: Option<&'a str>,
        is_first: bool,
    ) -> usize {
        let next = self.is_first.len();
        let variable = symbol.map_or(next, |symbol| *named.entry(symbol).or_insert(next));
        if variable == next {
            self.is_first.push(false);
        }
        if let Some(known) = self.is_first.get_mut(variable) {
            *known |= is_first;
        }
        variable
    }

    /// The inputs' shapes for sizes of the variables.
    fn shapes(&self, sizes: &[i64]) -> Vec<Vec<i64>> {
        let of = |variable: usize| sizes.get(variable).copied().unwrap_or(1);
        let size = |axis: &Axis| match axis {
            Axis::Fixed(size) => *size,
            Axis::Free(variable) => of(*variable),
            Axis::Sum(fixed, parts) => parts.iter().fold(*fixed, |sum, (factor, variable)| {
                sum.saturating_add(factor.saturating_mul(of(*variable)))
            }),
        };
        self.inputs.iter().map(|axes| axes.iter().map(size).collect()).collect()
    }

    /// Sizes of the variables in the order in which they are tried: what is usual first.
    fn assignments(&self, sizes: &[i64]) -> Vec<Vec<i64>> {
        let all = self.is_first.len();
        let rest: Vec<usize> =
            (0..all).filter(|variable| self.is_first.get(*variable) == Some(&false)).collect();
        // 1, and another size for some.
        let with = |size: i64, has: &dyn Fn(usize) -> bool| -> Vec<i64> {
            (0..all).map(|variable| if has(variable) { size } else { 1 }).collect()
        };
        let mut found = Vec::new();
        let mut add = |sizes: Vec<i64>| {
            if !found.contains(&sizes) {
                found.push(sizes);
            }
        };
        for size in sizes {
            add(with(*size, &|variable| rest.contains(&variable)));
        }
        for size in sizes {
            for one in &rest {
                add(with(*size, &|variable| variable == *one));
            }
        }
        for size in sizes {
            for one in &rest {
                add(with(*size, &|variable| variable != *one && rest.contains(&variable)));
            }
        }
        // What comes first is no row here.
        for size in sizes {
            add(with(*size, &|_| true));
        }
        for size in sizes {
            for one in 0..all {
                add(with(*size, &|variable| variable == one));
            }
        }
        found
    }
}

/// The first form that the model answers.
pub(super) fn find(
    signature: &Signature,
    symbols: &[Vec<String>],
    mut ask: impl FnMut(&Form) -> Tried,
) -> Result<Form, RecordError> {
    let has = |is: &dyn Fn(Datatype) -> bool| {
        signature.inputs.iter().any(|input| Datatype::parse(&input.datatype).is_some_and(is))
    };
    let is_integer =
        |datatype: Datatype| !datatype.is_float() && !matches!(datatype, Datatype::Bool | Datatype::Bytes);
    let integers = INTEGERS.get(..if has(&is_integer) { INTEGERS.len() } else { 1 }).unwrap_or_default();
    let pixels = if has(&|datatype| datatype == Datatype::Uint8) { integers.first() } else { None };
    let ranges: Vec<_> = pixels
        .map(|others| (*others, PIXELS))
        .into_iter()
        .chain(integers.iter().map(|range| (*range, *range)))
        .collect();
    let texts: &[&'static [&'static str]] =
        if has(&|datatype| datatype == Datatype::Bytes) { &[&WORDS, &NUMBERS] } else { &[&WORDS] };
    let open = Open::new(signature, symbols);
    let mut search =
        Search { begun: Instant::now(), first: None, too_large: None, weak: None, named: BTreeSet::new() };
    let mut try_all = |search: &mut Search, sizes: &[i64]| -> Option<Form> {
        for sizes in open.assignments(sizes) {
            let shapes = open.shapes(&sizes);
            for texts in texts.iter().copied() {
                for (integers, bytes) in ranges.iter().copied() {
                    if search.begun.elapsed() > PATIENCE {
                        return None;
                    }
                    let form = Form { shapes: shapes.clone(), integers, bytes, texts };
                    match ask(&form) {
                        Tried::Answered => return Some(form),
                        Tried::Weak => drop(search.weak.get_or_insert(form)),
                        Tried::Refused(error) => search.refused(error),
                        Tried::TooLarge(error) => drop(search.too_large.get_or_insert(error)),
                    }
                }
            }
        }
        None
    };
    if let Some(form) = try_all(&mut search, &SIZES) {
        return Ok(form);
    }
    // What the model says of a size that it did not get often has the one that it wants.
    let named: Vec<i64> =
        search.named.iter().copied().filter(|size| !SIZES.contains(size)).take(MAX_NAMED).collect();
    if let Some(form) = try_all(&mut search, &named) {
        return Ok(form);
    }
    match (search.weak, search.first, search.too_large) {
        (Some(form), ..) => Ok(form),
        (_, Some(source), _) => Err(RecordError::NoAnswer { source }),
        (_, _, Some(error)) => Err(error),
        // The lists are not empty, so that something was tried.
        _ => Err(RecordError::NoneStable { tried: 0 }),
    }
}

/// What a search has seen.
struct Search {
    begun: Instant,
    first: Option<RunError>,
    too_large: Option<RecordError>,
    weak: Option<Form>,
    named: BTreeSet<i64>,
}

impl Search {
    fn refused(&mut self, error: RunError) {
        let words = error.to_string();
        let numbers =
            words.split(|letter: char| !letter.is_ascii_digit()).filter_map(|text| text.parse().ok());
        let most = SIZES.last().copied().unwrap_or(1);
        self.named.extend(numbers.filter(|size| (2..=most).contains(size)));
        self.first.get_or_insert(error);
    }
}

#[cfg(test)]
mod tests;
