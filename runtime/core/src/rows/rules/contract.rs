//! Products of matrices and their like: each axis of an input has a letter, equal letters are the same axis, and letters that
//! the output lacks are summed over. Rows stay apart if their letter is in the output and in no other input but as rows.

use super::{Call, RuleResult, alike, broadcast, of_class, sizes};
use crate::rows::{
    size::{Size, Symbols},
    value::{Place, Value},
};

/// A letter; axes that are aligned from the right have those from this one on.
type Letter = u32;
const ALIGNED: Letter = 0x11_0000;
const M: Letter = 1;
const K: Letter = 2;
const P: Letter = 3;

const SUMMED: &str = "it sums over the axis of the rows";
const MET: &str = "rows meet other rows";

/// Contracts inputs to the letters of an output.
fn contract(symbols: &mut Symbols, inputs: &[(&Value, Vec<Letter>)], output: &[Letter]) -> RuleResult<Value> {
    let class = alike(inputs.iter().map(|(value, _)| *value))?;
    let mut found: Vec<(Letter, Size)> = Vec::new();
    let mut place: Option<(Letter, Place)> = None;
    for (value, letters) in inputs {
        let Some(all) = value.sizes.as_ref() else {
            return if class.is_some() {
                of_class(class, None, None)
            } else {
                Err("the shape of a value is not known")
            };
        };
        if all.len() != letters.len() {
            return Err("its inputs do not fit each other");
        }
        for (letter, size) in letters.iter().zip(all) {
            match found.iter_mut().find(|(known, _)| known == letter) {
                None => found.push((*letter, size.clone())),
                Some((_, known)) => match broadcast::meet(symbols, known, size) {
                    Some(size) => *known = size,
                    None if class.is_some() => return of_class(class, None, None),
                    None => return Err("a constant has another value for each row"),
                },
            }
        }
        if let Some(own) = value.place() {
            let letter = *letters.get(own.axis).ok_or(MET)?;
            if letters.iter().filter(|other| **other == letter).count() > 1 {
                return Err(MET);
            }
            match &place {
                None => place = Some((letter, own.clone())),
                Some((first, known)) if *first == letter && known.moved(0) == own.moved(0) => {}
                Some(_) => return Err(MET),
            }
        }
    }
    let place = match place {
        None => None,
        Some((letter, place)) => {
            for (value, letters) in inputs.iter().filter(|(value, _)| value.place().is_none()) {
                let at = letters.iter().position(|other| *other == letter);
                let size = at.and_then(|at| value.sizes.as_ref()?.get(at));
                if size.is_some_and(|size| !size.is_one()) {
                    return Err("a constant has another value for each row");
                }
            }
            let mut on = output.iter().enumerate().filter(|(_, other)| **other == letter);
            let axis = on.next().map(|(at, _)| at).ok_or(SUMMED)?;
            if on.next().is_some() {
                return Err(MET);
            }
            Some(place.moved(axis))
        }
    };
    let size =
        |letter: &Letter| found.iter().find(|(known, _)| known == letter).map(|(_, size)| size.clone());
    let sizes = output
        .iter()
        .map(size)
        .collect::<Option<Vec<Size>>>()
        .ok_or("its output has an axis that no input has")?;
    of_class(class, place, Some(sizes))
}

/// Letters of one side of a product: those of a matrix, and before it those that are aligned from the right.
fn letters(value: &Value, matrix: [Letter; 2], vector: Letter, transposed: bool) -> RuleResult<Vec<Letter>> {
    let rank = sizes(value)?.len();
    let matrix = if transposed { [matrix[1], matrix[0]] } else { matrix };
    match rank {
        0 => Err("it takes a number for a matrix"),
        1 => Ok(vec![vector]),
        rank => {
            let ahead = u32::try_from(rank - 2).map_err(|_| "it has too many axes")?;
            Ok((0..ahead).rev().map(|at| ALIGNED + at).chain(matrix).collect())
        }
    }
}

fn product(symbols: &mut Symbols, a: &Value, b: &Value, transposed: (bool, bool)) -> RuleResult<Value> {
    if a.sizes.is_none() || b.sizes.is_none() {
        let class = alike([a, b])?;
        return of_class(class, None, None);
    }
    let (left, right) = (letters(a, [M, K], K, transposed.0)?, letters(b, [K, P], K, transposed.1)?);
    let ahead = left.len().max(right.len()).saturating_sub(2);
    let ahead = u32::try_from(ahead).map_err(|_| "it has too many axes")?;
    let mut output: Vec<Letter> = (0..ahead).rev().map(|at| ALIGNED + at).collect();
    output.extend(left.contains(&M).then_some(M));
    output.extend(right.contains(&P).then_some(P));
    contract(symbols, &[(a, left), (b, right)], &output)
}

pub fn matmul(call: &Call<'_>, symbols: &mut Symbols) -> RuleResult<Value> {
    product(symbols, call.needed(0)?, call.needed(1)?, (false, false))
}

/// Whether a parameter is one number, or none: one for each row would belong to rows.
fn one_number(value: Option<&Value>) -> bool {
    value.is_none_or(|value| value.is_constant() && value.count() == Some(1))
}

const PER_ROW: &str = "a scale or zero point is another for each row";

pub fn matmul_integer(call: &Call<'_>, symbols: &mut Symbols) -> RuleResult<Value> {
    let (a, b) = (call.needed(0)?, call.needed(1)?);
    call.constant_beside(&[0, 1])?;
    if a.place().is_some() && !one_number(call.input(2)) || b.place().is_some() && !one_number(call.input(3))
    {
        return Err(PER_ROW);
    }
    product(symbols, a, b, (false, false))
}

/// a, its scale and zero point, b, its scale and zero point, those of the answer.
pub fn qlinear_matmul(call: &Call<'_>, symbols: &mut Symbols) -> RuleResult<Value> {
    let (a, b) = (call.needed(0)?, call.needed(3)?);
    call.constant_beside(&[0, 3])?;
    let single = |places: [usize; 2]| places.into_iter().all(|place| one_number(call.input(place)));
    if a.place().is_some() && !single([1, 2]) || b.place().is_some() && !single([4, 5]) || !single([6, 7]) {
        return Err(PER_ROW);
    }
    product(symbols, a, b, (false, false))
}

pub fn fused_matmul(call: &Call<'_>, symbols: &mut Symbols) -> RuleResult<Value> {
    let is_set = |name: &str| call.integer(name).unwrap_or(0) != 0;
    if is_set("transBatchA") || is_set("transBatchB") {
        return Err("it transposes the axes before its matrices");
    }
    product(symbols, call.needed(0)?, call.needed(1)?, (is_set("transA"), is_set("transB")))
}

pub fn gemm(call: &Call<'_>, symbols: &mut Symbols) -> RuleResult<Value> {
    let is_set = |name: &str| call.integer(name).unwrap_or(0) != 0;
    let value = product(symbols, call.needed(0)?, call.needed(1)?, (is_set("transA"), is_set("transB")))?;
    match call.input(2) {
        None => Ok(value),
        Some(bias) => broadcast::elementwise(symbols, &[&value, bias]),
    }
}

/// a, its scale and zero point, b, its scale and zero point, a bias, the scale and zero point of the answer.
pub fn qgemm(call: &Call<'_>, symbols: &mut Symbols) -> RuleResult<Value> {
    let (a, b) = (call.needed(0)?, call.needed(3)?);
    call.constant_beside(&[0, 3])?;
    if b.place().is_some() || ![1, 2, 7, 8].into_iter().all(|place| one_number(call.input(place))) {
        return Err(PER_ROW);
    }
    let is_set = |name: &str| call.integer(name).unwrap_or(0) != 0;
    let value = product(symbols, a, b, (is_set("transA"), is_set("transB")))?;
    match call.input(6) {
        None => Ok(value),
        Some(bias) => broadcast::elementwise(symbols, &[&value, bias]),
    }
}

/// Each row of the one with each row of the other.
pub fn cdist(call: &Call<'_>) -> RuleResult<Value> {
    let (a, b) = (call.needed(0)?, call.needed(1)?);
    let class = alike([a, b])?;
    let of = |value: &Value| sizes(value)?.first().cloned().ok_or("it takes a number for a matrix");
    let both = vec![of(a)?, of(b)?];
    let place = match (a.place(), b.place()) {
        (Some(_), Some(_)) => return Err(MET),
        (Some(place), None) if place.axis == 0 => Some(place.clone()),
        (None, Some(place)) if place.axis == 0 => Some(place.moved(1)),
        (None, None) => None,
        _ => return Err(SUMMED),
    };
    of_class(class, place, Some(both))
}

pub fn einsum(call: &Call<'_>, symbols: &mut Symbols) -> RuleResult<Value> {
    const UNREADABLE: &str = "its equation cannot be read";
    let equation: String =
        call.text("equation").ok_or(UNREADABLE)?.chars().filter(|c| !c.is_whitespace()).collect();
    let (terms, output) = match equation.split_once("->") {
        Some((terms, output)) => (terms, Some(output)),
        None => (equation.as_str(), None),
    };
    let values: Vec<&Value> = call.given().collect();
    let terms: Vec<&str> = terms.split(',').collect();
    if terms.len() != values.len() {
        return Err(UNREADABLE);
    }
    let mut inputs = Vec::with_capacity(values.len());
    let mut most = 0;
    for (value, term) in values.iter().zip(&terms) {
        let Some(all) = value.sizes.as_ref() else {
            let class = alike(values.iter().copied())?;
            return of_class(class, None, None);
        };
        let named = term.chars().filter(|c| *c != '.').count();
        let dots = u32::try_from(all.len().checked_sub(named).ok_or(UNREADABLE)?).map_err(|_| UNREADABLE)?;
        most = most.max(if term.contains("...") { dots } else { 0 });
        inputs.push((*value, spell(term, dots).ok_or(UNREADABLE)?));
    }
    let output = if let Some(output) = output {
        spell(output, most).ok_or(UNREADABLE)?
    } else {
        // What is there once, in the order of the alphabet, behind what is not named.
        let all: Vec<char> = terms.concat().chars().filter(|c| *c != '.').collect();
        let mut once: Vec<char> =
            all.iter().copied().filter(|c| all.iter().filter(|other| *other == c).count() == 1).collect();
        once.sort_unstable();
        (0..most).rev().map(|at| ALIGNED + at).chain(once.into_iter().map(u32::from)).collect()
    };
    contract(symbols, &inputs, &output)
}

/// The letters of a term, with so many in place of the dots.
fn spell(term: &str, dots: u32) -> Option<Vec<Letter>> {
    let (before, after) = term.split_once("...").unwrap_or((term, ""));
    let plain = |part: &str| {
        part.chars().all(|c| c.is_ascii_alphabetic()).then(|| part.chars().map(u32::from).collect())
    };
    let (mut letters, after): (Vec<Letter>, Vec<Letter>) = (plain(before)?, plain(after)?);
    if term.contains("...") {
        letters.extend((0..dots).rev().map(|at| ALIGNED + at));
    } else if dots > 0 {
        return None;
    }
    letters.extend(after);
    Some(letters)
}
