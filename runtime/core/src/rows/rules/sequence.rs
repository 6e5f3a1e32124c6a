//! Operators over time: recurrent networks, sequences read backwards, Fourier transforms.

use super::{Call, RuleResult, alike, axis, of_class, rows, sizes};
use crate::rows::{
    size::{Size, Symbols},
    value::{Place, Value},
};

/// Rows on the axis that the operator has for them; each has its own length.
pub fn reverse(call: &Call<'_>) -> RuleResult<Value> {
    let (value, lengths) = (call.needed(0)?, call.needed(1)?);
    let class = alike([value, lengths])?;
    let rank = sizes(value)?.len();
    if class.is_some() {
        return of_class(class, None, value.sizes.clone());
    }
    let batch = axis(call.integer("batch_axis").unwrap_or(1), rank)?;
    let place =
        value.place().filter(|place| place.axis == batch).ok_or("it reads along the axis of the rows")?;
    if lengths.place() != Some(&place.moved(0)) {
        return Err("its lengths are not those of the rows");
    }
    rows(place.clone(), sizes(value)?.clone())
}

/// Rows are on axis 1 of inputs and states, behind time or direction, and on axis 0 in the other layout.
pub fn recurrent(call: &Call<'_>, symbols: &mut Symbols) -> RuleResult {
    const WRONG: &str = "its steps of time are where the rows are";
    let is_first = call.integer("layout").unwrap_or(0) != 0;
    let on = usize::from(!is_first);
    // Input, lengths, first state, first cell.
    let by_rows = [0, 4, 5, 6];
    call.constant_beside(&by_rows)?;
    let class = alike(call.given())?;
    let mut found: Option<Place> = None;
    for at in by_rows {
        let Some(value) = call.input(at) else { continue };
        let expected = if at == 4 { 0 } else { on };
        match value.place() {
            Some(place) if place.axis == expected => {
                let place = place.moved(0);
                if found.get_or_insert_with(|| place.clone()) != &place {
                    return Err(WRONG);
                }
            }
            Some(_) => return Err(WRONG),
            None if class.is_none() => return Err("a constant has another value for each row"),
            None => {}
        }
    }
    let input = sizes(call.needed(0)?)?;
    let mut output = |axis: usize, rank: usize, time: Option<Size>| {
        let mut all: Vec<Size> = (0..rank).map(|_| symbols.size()).collect();
        if let (Some(first), Some(time)) = (all.get_mut(usize::from(is_first)), time) {
            *first = time;
        }
        match (&class, &found) {
            (None, Some(place)) => rows(place.moved(axis), all),
            (Some(class), _) => Ok(Value::new(class.clone(), None)),
            (None, None) => Err(WRONG),
        }
    };
    let time = input.get(usize::from(is_first)).cloned();
    let (whole, last) = if is_first { (0, 0) } else { (2, 1) };
    Ok(vec![output(whole, 4, time)?, output(last, 3, None)?, output(last, 3, None)?])
}

/// Along one axis, and the last one holds the parts of a number.
pub fn dft(call: &Call<'_>, symbols: &mut Symbols) -> RuleResult<Value> {
    let value = call.needed(0)?;
    call.constant_beside(&[0])?;
    let class = alike([value])?;
    let mut all = sizes(value)?.clone();
    let named = match call.input(2) {
        Some(axis) => axis.scalar().ok_or("its axis is computed")?,
        None => call.integer("axis").unwrap_or(if call.version < 20 { 1 } else { -2 }),
    };
    let (along, last) = (axis(named, all.len())?, all.len() - 1);
    if value.place().is_some_and(|place| place.axis == along || place.axis == last) {
        return Err("it computes along the axis of the rows");
    }
    for at in [along, last] {
        if let Some(size) = all.get_mut(at) {
            *size = symbols.size();
        }
    }
    of_class(class, value.place().cloned(), Some(all))
}
