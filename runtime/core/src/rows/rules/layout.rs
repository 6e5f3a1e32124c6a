//! Operators that put the same elements into other sizes, and those that make elements from sizes.

use super::{Call, RuleResult, alike, axis, broadcast, of_class, rows, sizes, stored};
use crate::{
    onnx::graph::Setting,
    rows::{
        size::{Size, Symbols, product},
        value::{Class, Place, Value},
    },
};

const LOST: &str = "its sizes do not keep the rows apart";
const COMPUTED: &str = "its sizes are computed in a way that is not followed";
const TOO_LARGE: &str = "its sizes are too large";

pub fn constant(call: &Call<'_>, symbols: &mut Symbols) -> Value {
    if let Some(tensor) = call.tensor("value") {
        return stored(tensor, symbols);
    }
    let number = |number: i64| {
        Value::new(Class::Constant, Some(Vec::new())).with_numbers(Some(vec![Some(Size::of(number))]))
    };
    let list = |count: usize| Some(vec![Size::of(i64::try_from(count).unwrap_or(i64::MAX))]);
    match (call.setting("value_int"), call.setting("value_ints"), call.setting("value_floats")) {
        (Some(Setting::Integer(value)), _, _) => number(*value),
        (_, Some(Setting::Integers(values)), _) => {
            let numbers = values.iter().map(|value| Some(Size::of(*value))).collect();
            Value::new(Class::Constant, list(values.len())).with_numbers(Some(numbers))
        }
        (_, _, Some(Setting::Floats(values))) => Value::new(Class::Constant, list(values.len())),
        _ if call.setting("value_float").is_some() || call.setting("value_string").is_some() => {
            Value::new(Class::Constant, Some(Vec::new()))
        }
        _ => Value::new(Class::Constant, None),
    }
}

/// The class of numbers that were made of sizes; known ones without N depend on nothing.
fn counted(value: &Value, sizes: Vec<Size>, numbers: Vec<Size>) -> Value {
    let class = match value.class {
        Class::Constant => Class::Constant,
        _ => Class::Count,
    };
    Value::new(class, Some(sizes)).with_numbers(Some(numbers.into_iter().map(Some).collect()))
}

pub fn shape(call: &Call<'_>) -> RuleResult<Value> {
    let value = call.needed(0)?;
    let all = sizes(value)?;
    let rank = i64::try_from(all.len()).map_err(|_| TOO_LARGE)?;
    let bound = |name: &str, default: i64| {
        let number = call.integer(name).unwrap_or(default);
        let number = if number < 0 { number + rank } else { number };
        usize::try_from(number.clamp(0, rank)).unwrap_or_default()
    };
    let (start, end) = (bound("start", 0), bound("end", rank));
    let part: Vec<Size> = all.get(start..end.max(start)).unwrap_or_default().to_vec();
    let count = i64::try_from(part.len()).map_err(|_| TOO_LARGE)?;
    Ok(counted(value, vec![Size::of(count)], part))
}

pub fn size(call: &Call<'_>) -> RuleResult<Value> {
    let value = call.needed(0)?;
    let count = product(sizes(value)?).ok_or(TOO_LARGE)?;
    Ok(counted(value, Vec::new(), vec![count]))
}

/// The same elements in other sizes: rows stay where they are among all elements.
fn regroup(value: &Value, target: Vec<Size>) -> RuleResult<Value> {
    let Some(place) = value.place() else {
        let class = alike([value])?;
        return of_class(class, None, Some(target));
    };
    let before = product(sizes(value)?.iter().take(place.axis).chain([&place.outer])).ok_or(TOO_LARGE)?;
    let axis = target.iter().position(Size::has_rows).ok_or(LOST)?;
    let ahead = product(target.iter().take(axis)).ok_or(TOO_LARGE)?;
    let outer = before.over(&ahead).filter(|outer| !outer.has_rows()).ok_or(LOST)?;
    let rest = target.get(axis).and_then(|size| size.over(&Size::rows())?.over(&outer));
    let inner = rest.filter(|inner| !inner.has_rows()).ok_or(LOST)?;
    rows(Place { axis, outer, inner }, target)
}

/// 0 is the same size as before, -1 what is left over.
pub fn reshape(call: &Call<'_>, symbols: &mut Symbols) -> RuleResult<Value> {
    let value = call.needed(0)?;
    let target = if let Some(numbers) = call.integers("shape") {
        numbers.iter().map(|number| Size::of(*number)).collect()
    } else {
        let shape = call.needed(1)?;
        alike([shape])?.ok_or("its sizes are taken from the rows")?;
        shape.terms().ok_or(COMPUTED)?
    };
    let copies = call.integer("allowzero").unwrap_or(0) == 0;
    let mut known = Vec::with_capacity(target.len());
    for (at, size) in target.into_iter().enumerate() {
        known.push(match size.constant() {
            Some(0) if copies => Some(sizes(value)?.get(at).ok_or(LOST)?.clone()),
            Some(-1) => None,
            Some(_) => Some(size),
            // What is not known may be -1 as well, unless it is a size of something: then it is no size of the answer.
            None if symbols.is_nonnegative(&size) => {
                // It may be 0, which copies as well.
                let there = if copies { sizes(value)?.get(at) } else { None };
                let is_same = size.has_rows() || there.is_none_or(|there| *there == size);
                Some(if is_same { size } else { symbols.size() })
            }
            None if size.has_rows() => return Err(COMPUTED),
            None => Some(symbols.size()),
        });
    }
    let mut rest = || -> RuleResult<Size> {
        let all = product(sizes(value)?).ok_or(TOO_LARGE)?;
        let others = product(known.iter().flatten()).ok_or(TOO_LARGE)?;
        match all.over(&others) {
            Some(rest) => Ok(rest),
            // N cancels out, so that what is left is the same for every number of rows.
            None => match (all.over(&Size::rows()), others.over(&Size::rows())) {
                (Some(all), Some(others)) if !all.has_rows() && !others.has_rows() => Ok(symbols.size()),
                _ if !all.has_rows() && !others.has_rows() => Ok(symbols.size()),
                _ => Err(LOST),
            },
        }
    };
    if known.iter().filter(|size| size.is_none()).count() > 1 {
        return Err(LOST);
    }
    let rest = if known.iter().any(Option::is_none) { Some(rest()?) } else { None };
    let target = known.into_iter().filter_map(|size| size.or_else(|| rest.clone())).collect();
    regroup(value, target)
}

pub fn flatten(call: &Call<'_>) -> RuleResult<Value> {
    let value = call.needed(0)?;
    let all = sizes(value)?;
    let number = call.integer("axis").unwrap_or(1);
    let at = if usize::try_from(number) == Ok(all.len()) { all.len() } else { axis(number, all.len())? };
    let ahead = product(all.iter().take(at)).ok_or(TOO_LARGE)?;
    let rest = product(all.iter().skip(at)).ok_or(TOO_LARGE)?;
    regroup(value, vec![ahead, rest])
}

pub fn transpose(call: &Call<'_>) -> RuleResult<Value> {
    let value = call.needed(0)?;
    let class = alike([value])?;
    let all = sizes(value)?;
    let order = match call.integers("perm") {
        Some(order) => order.iter().map(|number| axis(*number, all.len())).collect::<RuleResult<Vec<_>>>()?,
        None => (0..all.len()).rev().collect(),
    };
    let mut sorted = order.clone();
    sorted.sort_unstable();
    if !sorted.into_iter().eq(0..all.len()) {
        return Err("its order of axes is none");
    }
    let place = match value.place() {
        Some(place) => Some(place.moved(order.iter().position(|at| *at == place.axis).ok_or(LOST)?)),
        None => None,
    };
    of_class(class, place, Some(order.iter().filter_map(|at| all.get(*at).cloned()).collect()))
}

pub fn squeeze(call: &Call<'_>) -> RuleResult<Value> {
    let value = call.needed(0)?;
    let class = alike([value])?;
    let all = sizes(value)?;
    // ONNX Runtime takes a list of no axes for none.
    let axes = match call.integers_or_input("axes", 1)?.filter(|named| !named.is_empty()) {
        Some(named) => named.iter().map(|number| axis(*number, all.len())).collect::<RuleResult<Vec<_>>>()?,
        // A size that is not known is 1 at times, also that of the rows.
        None if all.iter().all(|size| size.constant().is_some()) => {
            all.iter().enumerate().filter(|(_, size)| size.is_one()).map(|(at, _)| at).collect()
        }
        None => return Err("it removes whichever axes have the size 1, that of a single row too"),
    };
    if value.place().is_some_and(|place| axes.contains(&place.axis)) {
        return Err("it removes the axis of the rows, which only a single row has with size 1");
    }
    let place = value.place();
    let place =
        place.map(|place| place.moved(place.axis - axes.iter().filter(|at| **at < place.axis).count()));
    let left = all.iter().enumerate().filter(|(at, _)| !axes.contains(at)).map(|(_, size)| size.clone());
    of_class(class, place, Some(left.collect()))
}

pub fn unsqueeze(call: &Call<'_>) -> RuleResult<Value> {
    let value = call.needed(0)?;
    let class = alike([value])?;
    let named = call.integers_or_input("axes", 1)?.ok_or("it names no axes")?;
    let mut left = sizes(value)?.iter().cloned();
    let rank = left.len() + named.len();
    let axes = named.iter().map(|number| axis(*number, rank)).collect::<RuleResult<Vec<usize>>>()?;
    let all: Vec<Size> =
        (0..rank).filter_map(|at| if axes.contains(&at) { Some(Size::of(1)) } else { left.next() }).collect();
    let place = match value.place() {
        Some(place) => {
            let kept = (0..rank).filter(|at| !axes.contains(at)).nth(place.axis);
            Some(place.moved(kept.ok_or("it names an axis twice")?))
        }
        None => None,
    };
    of_class(class, place, Some(all))
}

/// A constant that is repeated on one axis for each row: every row has the same.
fn repeated(class: &Class, sizes: Vec<Size>, rows_of: impl Fn(usize) -> Option<Place>) -> RuleResult<Value> {
    let with_rows: Vec<usize> =
        sizes.iter().enumerate().filter(|(_, size)| size.has_rows()).map(|(at, _)| at).collect();
    match (class, with_rows.as_slice()) {
        (Class::Constant, [axis]) => match rows_of(*axis) {
            Some(place) => rows(place, sizes),
            None => Ok(Value::new(Class::Count, Some(sizes))),
        },
        (Class::Constant, [_, ..]) => Ok(Value::new(Class::Count, Some(sizes))),
        (class, _) => Ok(Value::new(class.clone(), Some(sizes))),
    }
}

/// All elements of rows on an axis of multiples of N, each row with as many.
fn even(axis: usize, size: &Size) -> Option<Place> {
    let inner = size.over(&Size::rows()).filter(|inner| !inner.has_rows())?;
    Some(Place { axis, outer: Size::of(1), inner })
}

pub fn expand(call: &Call<'_>, symbols: &mut Symbols) -> RuleResult<Value> {
    let (value, shape) = (call.needed(0)?, call.needed(1)?);
    alike([shape])?.ok_or("its sizes are taken from the rows")?;
    if shape.class == Class::OneRow {
        return Err(COMPUTED);
    }
    let (all, target) = (sizes(value)?.clone(), shape.terms().ok_or(COMPUTED)?);
    let Some(class) = alike([value])? else {
        // The rows' axis may meet its own size, or 1.
        let place = value.place().ok_or(LOST)?;
        let sizes = broadcast::sizes(symbols, [&all, &target]).ok_or("rows are repeated for other rows")?;
        let moved = place.moved(place.axis + sizes.len() - all.len());
        return rows(moved, sizes);
    };
    let sizes = broadcast::sizes(symbols, [&all, &target]).ok_or(COMPUTED)?;
    repeated(&class, sizes.clone(), |axis| {
        let own = (axis + all.len()).checked_sub(sizes.len()).and_then(|axis| all.get(axis));
        if own.is_none_or(Size::is_one) { even(axis, sizes.get(axis)?) } else { None }
    })
}

pub fn tile(call: &Call<'_>) -> RuleResult<Value> {
    let (value, repeats) = (call.needed(0)?, call.needed(1)?);
    alike([repeats])?.ok_or("its sizes are taken from the rows")?;
    if repeats.class == Class::OneRow {
        return Err(COMPUTED);
    }
    let (all, repeats) = (sizes(value)?, repeats.terms().ok_or(COMPUTED)?);
    if all.len() != repeats.len() {
        return Err(COMPUTED);
    }
    let sizes: Option<Vec<Size>> = all.iter().zip(&repeats).map(|(size, times)| size.times(times)).collect();
    let sizes = sizes.ok_or(TOO_LARGE)?;
    if let Some(class) = alike([value])? {
        // What is repeated for each row is the same for each.
        return repeated(&class, sizes.clone(), |axis| even(axis, sizes.get(axis)?));
    }
    let place = value.place().ok_or(LOST)?;
    let times = repeats.get(place.axis).filter(|times| !times.has_rows()).ok_or(LOST)?;
    let outer = place.outer.times(times).ok_or(TOO_LARGE)?;
    rows(Place { outer, ..place.clone() }, sizes)
}

pub fn constant_of_shape(call: &Call<'_>) -> RuleResult<Value> {
    let shape = call.needed(0)?;
    let class = alike([shape])?.ok_or("its sizes are taken from the rows")?;
    let sizes = shape.terms().ok_or(COMPUTED)?;
    let class = if class == Class::Count { Class::Constant } else { class };
    let value = repeated(&class, sizes.clone(), |axis| even(axis, sizes.get(axis)?))?;
    let Some(count) = value.count().filter(|count| *count <= crate::rows::value::MAX_NUMBERS) else {
        return Ok(value);
    };
    let number = match call.tensor("value").map(|tensor| &tensor.numbers) {
        None => Some(0),
        Some(Some(crate::onnx::graph::Numbers::Integers(numbers))) => numbers.first().copied(),
        Some(_) => None,
    };
    Ok(match number {
        Some(number) if value.is_constant() => value.with_numbers(Some(vec![Some(Size::of(number)); count])),
        _ => value,
    })
}

/// From a start to a limit in steps; a number for each row tells rows by their place.
pub fn range(call: &Call<'_>, symbols: &mut Symbols) -> RuleResult<Value> {
    let class = alike(call.given())?.ok_or("its bounds are taken from the rows")?;
    let bound = |at: usize| call.input(at)?.terms()?.first().cloned();
    let known = (bound(0), bound(1), bound(2));
    let (Some(start), Some(limit), Some(step)) = known else {
        let size = (class == Class::Constant).then(|| vec![symbols.size()]);
        return Ok(Value::new(class, size));
    };
    let value = match (start.constant(), limit.constant(), step.constant()) {
        (Some(start), Some(limit), Some(step)) if step != 0 => {
            let count = (i128::from(limit) - i128::from(start) + i128::from(step)
                - i128::from(step.signum()))
                / i128::from(step);
            let count = i64::try_from(count.max(0)).map_err(|_| TOO_LARGE)?;
            let value = Value::new(class, Some(vec![Size::of(count)]));
            let small = usize::try_from(count).is_ok_and(|count| count <= crate::rows::value::MAX_NUMBERS);
            let at = |at: i64| at.checked_mul(step).and_then(|ahead| start.checked_add(ahead)).map(Size::of);
            if small { value.with_numbers(Some((0..count).map(at).collect())) } else { value }
        }
        // What is at a row's place is the row's number.
        (Some(0), _, Some(1)) if limit == Size::rows() => {
            Value::new(Class::RowNumbers(Place::on(0)), Some(vec![limit]))
        }
        // Up to 2.5 there are three, and up to -1 there is none.
        (Some(0), _, Some(1)) if symbols.is_whole(&limit) && symbols.is_nonnegative(&limit) => {
            Value::new(class, Some(vec![limit]))
        }
        _ if class == Class::Constant => Value::new(class, Some(vec![symbols.size()])),
        _ => Value::new(class, None),
    };
    Ok(value)
}
