//! Operators that take parts, by stretches or by index, and those that put parts together.

use super::{Call, RuleResult, alike, axis, of_class, one_place, rows, sizes};
use crate::rows::{
    size::{Size, Symbols},
    value::{Place, Value},
};

const TAKES_ROWS: &str = "it takes some rows and leaves others";
const MET: &str = "rows meet other rows";
const JOINED: &str = "it puts rows behind other rows";
const FIXED: &str = "a constant has another value for each row";
/// From here on, the end of a stretch is that of any axis: tf2onnx writes a thousand million.
const FAR: i64 = 1_000_000_000;

pub fn concat(call: &Call<'_>, symbols: &mut Symbols, parts: &[&Value]) -> RuleResult<Value> {
    let class = alike(parts.iter().copied())?;
    let first = parts.first().ok_or("an input is missing")?;
    let all: Option<Vec<&Vec<Size>>> = parts.iter().map(|value| value.sizes.as_ref()).collect();
    let Some(all) = all else {
        return if class.is_some() {
            of_class(class, None, None)
        } else {
            Err("the shape of a value is not known")
        };
    };
    // Operator set 1 has a default.
    let along = axis(call.integer("axis").unwrap_or(1), sizes(first)?.len())?;
    let place = one_place(parts.iter().copied())?;
    if class.is_none() {
        if place.as_ref().is_some_and(|place| place.axis == along) {
            return Err(JOINED);
        }
        if parts.iter().any(|value| value.place().is_none()) {
            return Err(FIXED);
        }
    }
    let mut together = sizes(first)?.clone();
    let mut length = Some(Size::of(0));
    for sizes in all {
        length = match (length, sizes.get(along)) {
            (Some(length), Some(size)) => symbols.plus(&length, size),
            _ => None,
        };
    }
    match (together.get_mut(along), length) {
        (Some(size), Some(length)) => *size = length,
        _ => {
            return if class.is_some() {
                of_class(class, None, None)
            } else {
                Err("its inputs do not fit each other")
            };
        }
    }
    of_class(class, place, Some(together))
}

pub fn split(call: &Call<'_>, symbols: &mut Symbols) -> RuleResult {
    let value = call.needed(0)?;
    call.constant_beside(&[0])?;
    let class = alike([value])?;
    let all = sizes(value)?;
    let along = axis(call.integer("axis").unwrap_or(0), all.len())?;
    if value.place().is_some_and(|place| place.axis == along) {
        return Err("it parts rows from rows");
    }
    let parts = call.outputs();
    // None where each part is as long as the others; what is not known is none of them.
    let lengths: Option<Vec<Size>> = match (call.integers("split"), call.input(1)) {
        (Some(lengths), _) => Some(lengths.iter().map(|length| Size::of(*length)).collect()),
        (None, Some(lengths)) => Some(lengths.terms().unwrap_or_default()),
        (None, None) => None,
    };
    let whole = all.get(along).and_then(Size::constant);
    let mut outputs = Vec::with_capacity(parts);
    for part in 0..parts {
        let count = i64::try_from(parts).unwrap_or(i64::MAX);
        let even = || {
            let length = whole?.checked_add(count - 1)?.checked_div(count)?;
            let start = length.checked_mul(i64::try_from(part).ok()?)?;
            Some(Size::of(length.min(whole?.checked_sub(start)?).max(0)))
        };
        let length = match &lengths {
            Some(lengths) => lengths.get(part).cloned(),
            None => even(),
        };
        let mut sizes = all.clone();
        if let Some(size) = sizes.get_mut(along) {
            *size = length.unwrap_or_else(|| symbols.size());
        }
        outputs.push(of_class(class.clone(), value.place().cloned(), Some(sizes))?);
    }
    Ok(outputs)
}

/// A stretch of one axis.
pub struct Stretch {
    pub start: Size,
    pub end: Size,
    pub step: i64,
}

/// The stretches of a slice, by axis.
pub fn stretches(call: &Call<'_>, rank: usize) -> RuleResult<Vec<(usize, Stretch)>> {
    const COMPUTED: &str = "its bounds are computed in a way that is not followed";
    let numbers = |name: &str, at: usize| -> RuleResult<Option<Vec<Size>>> {
        if let Some(numbers) = call.integers(name) {
            return Ok(Some(numbers.iter().map(|number| Size::of(*number)).collect()));
        }
        match call.input(at) {
            None => Ok(None),
            Some(value) => value.terms().map(Some).ok_or(COMPUTED),
        }
    };
    let starts = numbers("starts", 1)?.ok_or(COMPUTED)?;
    let ends = numbers("ends", 2)?.ok_or(COMPUTED)?;
    let (axes, steps) = (numbers("axes", 3)?, numbers("steps", 4)?);
    let mut found = Vec::with_capacity(starts.len());
    for (at, start) in starts.into_iter().enumerate() {
        let end = ends.get(at).ok_or(COMPUTED)?.clone();
        let named = match &axes {
            Some(axes) => axes.get(at).and_then(Size::constant).ok_or(COMPUTED)?,
            None => i64::try_from(at).map_err(|_| COMPUTED)?,
        };
        let step = match &steps {
            Some(steps) => steps.get(at).and_then(Size::constant).ok_or(COMPUTED)?,
            None => 1,
        };
        found.push((axis(named, rank)?, Stretch { start, end, step }));
    }
    Ok(found)
}

impl Stretch {
    /// Whether it is all of an axis.
    pub fn is_whole(&self, size: &Size) -> bool {
        let reaches = self.end == *size || self.end.constant().is_some_and(|end| end >= FAR);
        self.start.constant() == Some(0) && self.step == 1 && reaches
    }

    /// The places that it takes of so many.
    pub fn places(&self, size: i64) -> Option<Vec<i64>> {
        let (start, end) = (self.start.constant()?, self.end.constant()?);
        let from_end = |number: i64| if number < 0 { number.saturating_add(size) } else { number };
        let (start, end) = (from_end(start), from_end(end));
        if size < 0 || self.step == 0 {
            return None;
        }
        let forwards = self.step > 0;
        if size == 0 {
            return Some(Vec::new());
        }
        // Backwards, what begins ahead of the first element begins there.
        let (least, most) = if forwards { (0, size) } else { (-1, size - 1) };
        let (mut at, end) = (start.clamp(0, most), end.clamp(least, most));
        let mut places = Vec::new();
        while (if forwards { at < end } else { at > end }) && places.len() <= crate::rows::value::MAX_NUMBERS
        {
            places.push(at);
            at = at.checked_add(self.step)?;
        }
        Some(places)
    }

    /// The length that is left of a size.
    fn length(&self, size: &Size, symbols: &mut Symbols) -> Size {
        if self.is_whole(size) {
            return size.clone();
        }
        let places = size.constant().and_then(|size| self.places(size));
        match places.map(|places| i64::try_from(places.len()).unwrap_or(i64::MAX)) {
            Some(count) if count <= 1024 => Size::of(count),
            _ => symbols.size(),
        }
    }
}

pub fn slice(call: &Call<'_>, symbols: &mut Symbols) -> RuleResult<Value> {
    let value = call.needed(0)?;
    let class = alike([value])?;
    let mut all = sizes(value)?.clone();
    let bounds = alike(call.others(&[0]))?.ok_or("its bounds are taken from the rows")?;
    for (at, stretch) in stretches(call, all.len())? {
        let size = all.get_mut(at).ok_or("it names an axis that is not there")?;
        if stretch.is_whole(size) {
            continue;
        }
        if value.place().is_some_and(|place| place.axis == at) {
            return Err(TAKES_ROWS);
        }
        if stretch.start.has_rows() || stretch.end.has_rows() || size.has_rows() {
            return match class {
                // How much is left depends on the number of rows, and so does the value.
                Some(_) => Ok(Value::new(alike(call.given())?.unwrap_or(bounds), None)),
                None => Err("its bounds depend on the number of rows"),
            };
        }
        *size = stretch.length(size, symbols);
    }
    of_class(class, value.place().cloned(), Some(all))
}

/// Places of an axis, which a constant names; without an axis, of all elements.
pub fn compress(call: &Call<'_>, symbols: &mut Symbols) -> RuleResult<Value> {
    let (value, condition) = (call.needed(0)?, call.needed(1)?);
    let class = alike([value])?;
    if !condition.is_constant() {
        return Err("how much it leaves depends on values");
    }
    let mut all = sizes(value)?.clone();
    let at = axis(call.integer("axis").ok_or(TAKES_ROWS)?, all.len())?;
    if value.place().is_some_and(|place| place.axis == at) {
        return Err(TAKES_ROWS);
    }
    let size = all.get_mut(at).ok_or(TAKES_ROWS)?;
    // What is named behind the end is not there.
    let left = || {
        let size = usize::try_from(size.constant()?).ok()?;
        let named = condition.constants()?;
        i64::try_from(named.iter().take(size).filter(|is_taken| **is_taken != 0).count()).ok()
    };
    *size = left().map_or_else(|| symbols.size(), Size::of);
    of_class(class, value.place().cloned(), Some(all))
}

pub fn gather(call: &Call<'_>) -> RuleResult<Value> {
    let (data, index) = (call.needed(0)?, call.needed(1)?);
    let class = alike([data, index])?;
    let (all, of_index) = (sizes(data)?, sizes(index)?);
    let along = axis(call.integer("axis").unwrap_or(0), all.len())?;
    let place = match (data.place(), index.place()) {
        (Some(_), Some(_)) => return Err(MET),
        (Some(place), None) if place.axis == along => return Err(TAKES_ROWS),
        (Some(place), None) if place.axis > along => Some(place.moved(place.axis + of_index.len() - 1)),
        (Some(place), None) => Some(place.clone()),
        (None, Some(place)) => Some(place.moved(place.axis + along)),
        (None, None) => None,
    };
    let sizes = all.iter().take(along).chain(of_index).chain(all.iter().skip(along + 1)).cloned();
    of_class(class, place, Some(sizes.collect()))
}

pub fn gather_elements(call: &Call<'_>) -> RuleResult<Value> {
    let (data, index) = (call.needed(0)?, call.needed(1)?);
    let class = alike([data, index])?;
    let all = sizes(index)?;
    let along = axis(call.integer("axis").unwrap_or(0), all.len())?;
    let place = match (data.place(), index.place()) {
        (Some(first), Some(second)) if first == second && first.axis != along => Some(first.clone()),
        (Some(place), _) if place.axis == along => return Err(TAKES_ROWS),
        (Some(_), _) => return Err(MET),
        // Of a table, each index takes from its own line; so it is the same line for all only along the rows' axis.
        (None, Some(place)) if place.axis == along => Some(place.clone()),
        (None, Some(_)) => return Err(FIXED),
        (None, None) => None,
    };
    of_class(class, place, Some(all.clone()))
}

pub fn gather_nd(call: &Call<'_>) -> RuleResult<Value> {
    const UNKNOWN: &str = "how many axes it takes by index is not known";
    let (data, index) = (call.needed(0)?, call.needed(1)?);
    let class = alike([data, index])?;
    let (all, of_index) = (sizes(data)?, sizes(index)?);
    let batch = usize::try_from(call.integer("batch_dims").unwrap_or(0)).map_err(|_| UNKNOWN)?;
    let taken = of_index.last().and_then(Size::constant).and_then(|taken| usize::try_from(taken).ok());
    let taken = batch.checked_add(taken.ok_or(UNKNOWN)?).ok_or(UNKNOWN)?;
    let last = of_index.len() - 1;
    let place = match (data.place(), index.place()) {
        (Some(first), Some(second)) if first == second && first.axis < batch => Some(first.clone()),
        (Some(place), None) if batch == 0 && place.axis >= taken => {
            Some(place.moved(last + place.axis - taken))
        }
        (Some(place), None) if place.axis < taken => return Err(TAKES_ROWS),
        (None, Some(place)) if batch == 0 && place.axis < last => Some(place.clone()),
        (None, None) => None,
        _ => return Err(MET),
    };
    let sizes = of_index.iter().take(last).chain(all.iter().skip(taken)).cloned();
    of_class(class, place, Some(sizes.collect()))
}

/// Either the last axis by constants, or a line of a table by rows of indices, which come flat.
pub fn array_feature_extractor(call: &Call<'_>) -> RuleResult<Value> {
    let (data, index) = (call.needed(0)?, call.needed(1)?);
    let class = alike([data, index])?;
    let mut all = sizes(data)?.clone();
    let count = crate::rows::size::product(sizes(index)?).ok_or("its sizes are too large")?;
    let last = all.len().checked_sub(1).ok_or("it takes a number for a table")?;
    let place = match (data.place(), index.place()) {
        (Some(_), Some(_)) => return Err(MET),
        (Some(place), None) if place.axis == last => return Err(TAKES_ROWS),
        (Some(place), None) => Some(place.clone()),
        (None, Some(place)) => {
            let of_index = sizes(index)?;
            let sized = |sizes: &[Size], more: &Size| crate::rows::size::product(sizes.iter().chain([more]));
            let outer = of_index.get(..place.axis).and_then(|sizes| sized(sizes, &place.outer));
            let inner = of_index.get(place.axis + 1..).and_then(|sizes| sized(sizes, &place.inner));
            match (outer, inner) {
                (Some(outer), Some(inner)) => Some(Place { axis: last.max(1), outer, inner }),
                _ => return Err("its sizes are too large"),
            }
        }
        (None, None) => None,
    };
    if let Some(size) = all.get_mut(last) {
        *size = count;
    }
    // A line becomes a table of one line.
    if last == 0 {
        all.insert(0, Size::of(1));
    }
    of_class(class, place, Some(all))
}

pub fn scatter_elements(call: &Call<'_>) -> RuleResult<Value> {
    let values: Vec<&Value> = call.given().collect();
    let class = alike(values.iter().copied())?;
    let data = call.needed(0)?;
    let along = axis(call.integer("axis").unwrap_or(0), sizes(data)?.len())?;
    if class.is_some() {
        return of_class(class, None, data.sizes.clone());
    }
    if values.iter().any(|value| value.place().is_none()) {
        return Err(FIXED);
    }
    let place = one_place(values)?.filter(|place| place.axis != along).ok_or("it writes to other rows")?;
    rows(place, sizes(data)?.clone())
}

/// Rows lie on axes that are not taken by index; what is written must have them, too.
pub fn scatter_nd(call: &Call<'_>) -> RuleResult<Value> {
    let (data, index, updates) = (call.needed(0)?, call.needed(1)?, call.needed(2)?);
    let class = alike([data, index, updates])?;
    if class.is_some() {
        return of_class(class, None, data.sizes.clone());
    }
    let of_index = sizes(index)?;
    let taken = of_index.last().and_then(Size::constant).and_then(|taken| usize::try_from(taken).ok());
    let taken = taken.ok_or("how many axes it takes by index is not known")?;
    let place = data.place().ok_or(FIXED)?;
    if place.axis < taken || index.place().is_some() {
        return Err("it writes to rows by index");
    }
    let expected = place.moved(of_index.len() - 1 + place.axis - taken);
    if updates.place() != Some(&expected) {
        return Err(FIXED);
    }
    rows(place.clone(), sizes(data)?.clone())
}

pub fn one_hot(call: &Call<'_>, symbols: &mut Symbols) -> RuleResult<Value> {
    let index = call.needed(0)?;
    call.constant_beside(&[0])?;
    let class = alike([index])?;
    let mut all = sizes(index)?.clone();
    let at = axis(call.integer("axis").unwrap_or(-1), all.len() + 1)?;
    let depth = call.input(1).and_then(|depth| depth.terms()?.first().cloned());
    all.insert(at, depth.unwrap_or_else(|| symbols.size()));
    let place = index.place().map(|place| place.moved(place.axis + usize::from(at <= place.axis)));
    of_class(class, place, Some(all))
}
