//! What becomes of the numbers of rows, 0 to N - 1, as indices: `x[arange(N), i]` takes something of each row from that row.
//! Where they are used in another way, they depend on how many rows there are.

use super::{Call, Rule, axis, cause, layout, select};
use crate::rows::{
    size::{Size, Symbols},
    table::Operator,
    value::{Class, Place, Value},
};

/// None if the rule does not know numbers of rows.
pub fn apply(row: &Operator, call: &Call<'_>, symbols: &mut Symbols) -> Option<Vec<Value>> {
    let value = match row.rule {
        Rule::EachElement if row.domain.is_empty() => copied(row, call)?,
        Rule::Reshape | Rule::Unsqueeze | Rule::Squeeze | Rule::Expand | Rule::Transpose => {
            moved(row.rule, call, symbols)?
        }
        Rule::Concat => addresses(call, symbols)?,
        Rule::GatherNd => taken(call)?,
        _ => return None,
    };
    Some(vec![value])
}

/// As it is, or as another kind of integer that holds it.
fn copied(row: &Operator, call: &Call<'_>) -> Option<Value> {
    let keeps = match row.name {
        "Identity" => true,
        // INT32 and INT64.
        "Cast" => matches!(call.integer("to"), Some(6 | 7)),
        _ => false,
    };
    keeps.then(|| call.input(0).cloned()).flatten()
}

/// A call with rows in place of their numbers: where elements only move, each stays with its row.
fn with_rows<'a>(call: &Call<'a>) -> Call<'a> {
    let as_rows = |value: &Value| match &value.class {
        Class::RowNumbers(place) => Value { class: Class::Rows(place.clone()), ..value.clone() },
        _ => value.clone(),
    };
    let inputs = call.inputs.iter().map(|value| value.as_ref().map(as_rows)).collect();
    Call { node: call.node, version: call.version, inputs, settings: call.settings }
}

fn moved(rule: Rule, call: &Call<'_>, symbols: &mut Symbols) -> Option<Value> {
    let Class::RowNumbers(_) = call.input(0)?.class else { return None };
    // Sizes may be made of how many rows there are, but not of which one it is.
    if !call.others(&[0]).all(|value| matches!(value.class, Class::Constant | Class::Count)) {
        return None;
    }
    let call = with_rows(call);
    let value = match rule {
        Rule::Reshape => layout::reshape(&call, symbols),
        Rule::Unsqueeze => layout::unsqueeze(&call),
        Rule::Squeeze => layout::squeeze(&call),
        Rule::Expand => layout::expand(&call, symbols),
        Rule::Transpose => layout::transpose(&call),
        _ => return None,
    };
    let value = value.ok()?;
    let place = value.place()?.clone();
    Some(Value { class: Class::RowNumbers(place), ..value })
}

/// The number of the row beside what else says where something of it is.
fn addresses(call: &Call<'_>, symbols: &mut Symbols) -> Option<Value> {
    let rank = call.input(0)?.rank()?;
    let last = rank.checked_sub(1)?;
    if axis(call.integer("axis")?, rank).ok()? != last {
        return None;
    }
    let mut ahead = 0_i64;
    let mut component = None;
    for value in call.given() {
        let size = value.sizes.as_ref()?.get(last)?.constant()?;
        match &value.class {
            Class::RowNumbers(_) if component.is_none() && size == 1 => component = Some(ahead),
            Class::Rows(_) => {}
            _ => return None,
        }
        ahead = ahead.checked_add(size)?;
    }
    let component = usize::try_from(component?).ok()?;
    let call = with_rows(call);
    let parts: Vec<&Value> = call.given().collect();
    let value = select::concat(&call, symbols, &parts).ok()?;
    let place = value.place()?.clone();
    let cause = cause(call.node, "what depends on the number of rows enters the values");
    Some(Value { class: Class::Addresses { place, component, cause }, ..value })
}

/// Of each row what is at its own addresses.
fn taken(call: &Call<'_>) -> Option<Value> {
    let (data, index) = (call.input(0)?, call.input(1)?);
    let Class::Addresses { place, component, .. } = &index.class else { return None };
    if call.integer("batch_dims").unwrap_or(0) != 0 || data.place()? != &Place::on(*component) {
        return None;
    }
    let (all, of_index) = (data.sizes.as_ref()?, index.sizes.as_ref()?);
    let last = of_index.len().checked_sub(1)?;
    let taken = of_index.last().and_then(Size::constant).and_then(|taken| usize::try_from(taken).ok())?;
    if *component >= taken || taken > all.len() || place.axis >= last {
        return None;
    }
    let sizes = of_index.iter().take(last).chain(all.iter().skip(taken)).cloned();
    Value::rows(place.clone(), sizes.collect())
}
