//! Operators that look along axes and make them one number, or a few.

use super::{Call, RuleResult, alike, axis, of_class, sizes};
use crate::rows::{
    size::{Size, Symbols},
    value::Value,
};

const ALONG_ROWS: &str = "it computes along the axis of the rows";

/// The first input with axes that are looked along, and go or become 1.
fn without(value: &Value, axes: &[usize], keep: bool) -> RuleResult<Value> {
    let class = alike([value])?;
    let place = match value.place() {
        Some(place) if axes.contains(&place.axis) => return Err(ALONG_ROWS),
        Some(place) if keep => Some(place.clone()),
        Some(place) => Some(place.moved(place.axis - axes.iter().filter(|axis| **axis < place.axis).count())),
        None => None,
    };
    let left = sizes(value)?.iter().enumerate().filter_map(|(at, size)| match axes.contains(&at) {
        true if keep => Some(Size::of(1)),
        true => None,
        false => Some(size.clone()),
    });
    of_class(class, place, Some(left.collect()))
}

/// Axes are an attribute first and an input later; none are all of them, unless that is said to be none.
pub fn reduce(call: &Call<'_>) -> RuleResult<Value> {
    let value = call.needed(0)?;
    call.constant_beside(&[0])?;
    let rank = sizes(value)?.len();
    let named = call.integers_or_input("axes", 1)?.unwrap_or_default();
    let mut axes = named.iter().map(|number| axis(*number, rank)).collect::<RuleResult<Vec<usize>>>()?;
    if axes.is_empty() {
        if call.integer("noop_with_empty_axes").unwrap_or(0) != 0 {
            return Ok(Value { numbers: None, ..value.clone() });
        }
        axes = (0..rank).collect();
    }
    axes.sort_unstable();
    axes.dedup();
    without(value, &axes, call.integer("keepdims").unwrap_or(1) != 0)
}

/// The place of the largest or smallest.
pub fn arg(call: &Call<'_>) -> RuleResult<Value> {
    let value = call.needed(0)?;
    let only = axis(call.integer("axis").unwrap_or(0), sizes(value)?.len())?;
    without(value, &[only], call.integer("keepdims").unwrap_or(1) != 0)
}

/// The k largest, and their places.
pub fn top(call: &Call<'_>, symbols: &mut Symbols) -> RuleResult {
    let value = call.needed(0)?;
    call.constant_beside(&[0])?;
    let class = alike([value])?;
    let mut sizes = sizes(value)?.clone();
    let only = axis(call.integer("axis").unwrap_or(-1), sizes.len())?;
    if value.place().is_some_and(|place| place.axis == only) {
        return Err(ALONG_ROWS);
    }
    let k = call.integer("k").map(Size::of);
    let k = k.or_else(|| call.input(1)?.terms()?.first().cloned()).unwrap_or_else(|| symbols.size());
    if let Some(size) = sizes.get_mut(only) {
        *size = k;
    }
    let value = of_class(class, value.place().cloned(), Some(sizes))?;
    Ok(vec![value.clone(), value])
}

/// A determinant of the last two axes.
pub fn det(call: &Call<'_>) -> RuleResult<Value> {
    let value = call.needed(0)?;
    let rank = sizes(value)?.len();
    let last = rank.checked_sub(2).ok_or("it names an axis that is not there")?;
    without(value, &[last, last + 1], false)
}
