//! Operators that scale to integers and back, by constants.

use super::{Call, RuleResult, alike, axis, select, sizes};
use crate::rows::{size::Symbols, value::Value};

const PER_ROW: &str = "a scale or zero point is another for each row";

/// One scale, or one for each place on an axis that is not the rows'.
pub fn quantize(call: &Call<'_>) -> RuleResult<Value> {
    let value = call.needed(0)?;
    call.constant_beside(&[0])?;
    alike([value])?;
    let Some(place) = value.place() else { return Ok(Value { numbers: None, ..value.clone() }) };
    let along = axis(call.integer("axis").unwrap_or(1), sizes(value)?.len()).ok();
    for parameter in call.others(&[0]) {
        let fits = match parameter.rank() {
            _ if parameter.count() == Some(1) => true,
            Some(1) => along.is_some_and(|along| along != place.axis),
            _ => false,
        };
        if !fits {
            return Err(PER_ROW);
        }
    }
    Ok(Value { numbers: None, ..value.clone() })
}

/// The scale and zero point of the answer, then each part with its own.
pub fn concat(call: &Call<'_>, symbols: &mut Symbols) -> RuleResult<Value> {
    let places: Vec<usize> = (2..call.inputs.len()).step_by(3).collect();
    call.constant_beside(&places)?;
    let parts: Vec<&Value> = places.iter().filter_map(|place| call.input(*place)).collect();
    select::concat(call, symbols, &parts)
}
