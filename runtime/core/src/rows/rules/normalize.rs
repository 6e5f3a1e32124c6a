//! Operators that look along axes and keep them: rows stay apart unless they lie on such an axis.

use super::{Call, RuleResult, alike, axis, broadcast, rows, sizes};
use crate::rows::{
    size::{Size, Symbols},
    value::{Class, Value},
};

const ALONG_ROWS: &str = "it computes along the axis of the rows";
const TRAINS: &str = "in training mode it computes over all rows";

/// The first input, unless its rows lie on an axis along which is computed. All else is constant.
fn along(call: &Call<'_>, is_along: impl Fn(usize) -> bool) -> RuleResult<Value> {
    let first = call.needed(0)?;
    call.constant_beside(&[0])?;
    if first.place().is_some_and(|place| is_along(place.axis)) {
        return Err(ALONG_ROWS);
    }
    alike([first])?;
    Ok(Value { numbers: None, ..first.clone() })
}

fn named_axis(call: &Call<'_>, default: i64) -> RuleResult<usize> {
    axis(call.integer("axis").unwrap_or(default), sizes(call.needed(0)?)?.len())
}

/// Before operator set 13 all axes from `axis` on are one.
pub fn softmax(call: &Call<'_>) -> RuleResult<Value> {
    if call.version < 13 && call.node.domain.is_empty() {
        let rank = sizes(call.needed(0)?)?.len();
        // An axis of the rank means that each element is by itself.
        let number = call.integer("axis").unwrap_or(1);
        let first = if usize::try_from(number) == Ok(rank) { rank } else { axis(number, rank)? };
        return along(call, |at| at >= first);
    }
    let only = named_axis(call, -1)?;
    along(call, |at| at == only)
}

pub fn lp(call: &Call<'_>) -> RuleResult<Value> {
    let only = named_axis(call, -1)?;
    along(call, |at| at == only)
}

pub fn layer(call: &Call<'_>, symbols: &mut Symbols) -> RuleResult {
    let first = named_axis(call, -1)?;
    let value = along(call, |at| at >= first)?;
    // Scale and bias are broadcast, so that they may have a value for each row.
    for parameter in call.others(&[0]) {
        broadcast::elementwise(symbols, &[&value, parameter])?;
    }
    let rest = statistics(&value, symbols)?;
    Ok(std::iter::once(value).chain(std::iter::repeat_n(rest, call.outputs().saturating_sub(1))).collect())
}

/// Means and deviations have the same axes in other sizes.
fn statistics(value: &Value, symbols: &mut Symbols) -> RuleResult<Value> {
    let rank = sizes(value)?.len();
    match value.place() {
        Some(place) => rows(place.clone(), (0..rank).map(|_| symbols.size()).collect()),
        None => Ok(Value::new(value.class.clone(), None)),
    }
}

pub fn skip_layer(call: &Call<'_>, symbols: &mut Symbols) -> RuleResult {
    let (input, skip) = (call.needed(0)?, call.needed(1)?);
    call.constant_beside(&[0, 1])?;
    let sum = broadcast::elementwise(symbols, &[input, skip])?;
    let rank = sizes(&sum)?.len();
    if sum.place().is_some_and(|place| place.axis + 1 == rank) {
        return Err(ALONG_ROWS);
    }
    let rest = statistics(&sum, symbols)?;
    // Mean, deviation, and the sum itself.
    Ok(vec![sum.clone(), rest.clone(), rest, sum])
}

/// Trains if it says so, if it has outputs for means, or, before operator set 7, if it does not deny it.
pub fn batch(call: &Call<'_>) -> RuleResult<Value> {
    let trains = call.integer("training_mode").unwrap_or(0) != 0
        || call.node.outputs.iter().skip(1).any(|name| !name.is_empty())
        || call.version < 7 && call.integer("is_test").unwrap_or(0) == 0
        // Until operator set 9 it may count each element of a row by itself.
        || call.version < 9 && call.integer("spatial").unwrap_or(1) == 0;
    if trains && !call.given().all(Value::is_constant) {
        return Err(TRAINS);
    }
    along(call, |at| at == 1)
}

pub fn instance(call: &Call<'_>) -> RuleResult<Value> {
    along(call, |at| at > 0)
}

pub fn lrn(call: &Call<'_>) -> RuleResult<Value> {
    along(call, |at| at == 1)
}

pub fn mean_variance(call: &Call<'_>) -> RuleResult<Value> {
    let rank = sizes(call.needed(0)?)?.len();
    let named = call.integers("axes").unwrap_or(&[0, 2, 3]).iter().map(|number| axis(*number, rank));
    let axes = named.collect::<RuleResult<Vec<usize>>>()?;
    along(call, |at| axes.contains(&at))
}

/// Trains if the third input says so, or, before operator set 7, if it does not deny it.
pub fn dropout(call: &Call<'_>) -> RuleResult {
    let trains = match call.input(2) {
        Some(mode) => mode.scalar() != Some(0),
        None => call.version < 7 && call.integer("is_test").unwrap_or(0) == 0,
    };
    if trains {
        return Err("in training mode its answers are random");
    }
    let value = along(call, |_| false)?;
    Ok(vec![value; call.outputs()])
}

pub fn trilu(call: &Call<'_>) -> RuleResult<Value> {
    let rank = sizes(call.needed(0)?)?.len();
    along(call, |at| at + 2 >= rank)
}

pub fn cumulative(call: &Call<'_>) -> RuleResult<Value> {
    let rank = sizes(call.needed(0)?)?.len();
    let number = call.needed(1)?.scalar().ok_or("its axis is computed")?;
    let only = axis(number, rank)?;
    along(call, |at| at == only)
}

/// The last axis becomes another one.
pub fn last_axis(call: &Call<'_>, symbols: &mut Symbols) -> RuleResult<Value> {
    let rank = sizes(call.needed(0)?)?.len();
    let value = along(call, |at| at + 1 == rank)?;
    let mut sizes: Vec<Size> = self::sizes(&value)?.clone();
    if let Some(last) = sizes.last_mut() {
        *last = symbols.size();
    }
    match value.class {
        Class::Rows(place) => rows(place, sizes),
        class => Ok(Value::new(class, None)),
    }
}
