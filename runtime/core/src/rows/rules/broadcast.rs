//! Operators that compute each element by itself, from elements of inputs that are aligned from the right.

use super::{Call, RuleResult, alike, of_class};
use crate::rows::{
    size::{Size, Symbols},
    value::{Place, Value},
};

/// One size of two that are put together; none if it is not known, or if they do not fit.
pub fn meet(symbols: &mut Symbols, a: &Size, b: &Size) -> Option<Size> {
    match (a.constant(), b.constant()) {
        _ if a == b => Some(a.clone()),
        (Some(1), _) => Some(b.clone()),
        (_, Some(1)) => Some(a.clone()),
        // Where one is 2 or more, the other is the same, or 1.
        (Some(_), None) if !b.has_rows() => Some(a.clone()),
        (None, Some(_)) if !a.has_rows() => Some(b.clone()),
        (None, None) if !a.has_rows() && !b.has_rows() => Some(symbols.of("broadcast", a, b)),
        _ => None,
    }
}

/// The sizes of values that are put together.
pub fn sizes<'v>(symbols: &mut Symbols, all: impl IntoIterator<Item = &'v Vec<Size>>) -> Option<Vec<Size>> {
    let mut together: Vec<Size> = Vec::new();
    for sizes in all {
        while together.len() < sizes.len() {
            together.insert(0, Size::of(1));
        }
        let ahead = together.len() - sizes.len();
        for (found, size) in together.iter_mut().skip(ahead).zip(sizes) {
            *found = meet(symbols, found, size)?;
        }
    }
    Some(together)
}

/// Every input, element by element.
pub fn elementwise(symbols: &mut Symbols, values: &[&Value]) -> RuleResult<Value> {
    let class = alike(values.iter().copied())?;
    let known: Option<Vec<&Vec<Size>>> = values.iter().map(|value| value.sizes.as_ref()).collect();
    if class.is_some() {
        return of_class(class, None, known.and_then(|all| self::sizes(symbols, all)));
    }
    let all = known.ok_or("the shape of a value is not known")?;
    let rank = all.iter().map(|sizes| sizes.len()).max().unwrap_or_default();
    let mut place: Option<Place> = None;
    for (value, sizes) in values.iter().zip(&all) {
        let Some(found) = value.place() else { continue };
        let moved = found.moved(found.axis + rank - sizes.len());
        match &place {
            None => place = Some(moved),
            Some(first) if *first == moved => {}
            Some(_) => {
                return Err("rows meet other rows: they lie on different axes, aligned from the right");
            }
        }
    }
    let Some(place) = place else { return Err("rows get lost") };
    for (value, sizes) in values.iter().zip(&all) {
        let at = place.axis.checked_sub(rank - sizes.len()).and_then(|axis| sizes.get(axis));
        if value.place().is_none() && at.is_some_and(|size| !size.is_one()) {
            return Err("a constant has another value for each row");
        }
    }
    let sizes = self::sizes(symbols, all).ok_or("its inputs do not fit each other")?;
    of_class(None, Some(place), Some(sizes))
}

/// The first input, element by element; a parameter of one element is the same for all.
pub fn each_element(call: &Call<'_>) -> RuleResult<Value> {
    let first = call.needed(0)?;
    call.constant_beside(&[0])?;
    Ok(Value { numbers: None, ..first.clone() })
}

/// Inputs at some places, element by element.
pub fn elementwise_of(call: &Call<'_>, symbols: &mut Symbols, places: &[usize]) -> RuleResult<Value> {
    call.constant_beside(places)?;
    let values: Vec<&Value> = places.iter().filter_map(|place| call.input(*place)).collect();
    elementwise(symbols, &values)
}
