//! Operators on texts. What parts texts makes a row as long as the longest row of the run, which is followed as padded rows.

use super::{Call, RuleResult, cause, sizes, whole};
use crate::{
    onnx::graph::{Numbers, Setting, Texts},
    rows::{
        size::{Size, Symbols},
        value::{Class, Padding, Value},
    },
};

/// One text for each, unless words are left out: then texts move up.
pub fn normalizer(call: &Call<'_>) -> RuleResult<Value> {
    const LEFT_OUT: &str = "it leaves texts out, so that others take their places";
    let value = call.needed(0)?;
    // Of two axes it takes a single line.
    if value.place().is_none() || value.rank() != Some(1) {
        return Err("it takes all strings for one row");
    }
    match call.setting("stopwords") {
        None => Ok(value.clone()),
        Some(Setting::Texts(texts)) if texts.count == 0 => Ok(value.clone()),
        Some(_) => Err(LEFT_OUT),
    }
}

/// Texts with an axis more at the end, which is as long as the longest of all.
fn parted(call: &Call<'_>, symbols: &mut Symbols, with: &str, reason: &str) -> RuleResult<Value> {
    let value = call.needed(0)?;
    let place = value.place().ok_or("its sizes depend on values")?.clone();
    let mut all = sizes(value)?.clone();
    let padding = Padding {
        place,
        along: all.len(),
        least: 0,
        with: symbols.text(with),
        cause: cause(call.node, reason),
    };
    // The length of this run: no value in which it shows is anything else than padded, or mixed.
    all.push(symbols.size());
    Ok(Value::new(Class::Padded(padding), Some(all)))
}

/// Tokens are followed by nothing but what fills up. Marks are not followed: a text without tokens has them only beside texts
/// that have some.
pub fn tokenizer(call: &Call<'_>, symbols: &mut Symbols) -> RuleResult<Value> {
    if call.integer("mark") != Some(0) {
        return Err("a text without tokens has marks only beside rows that have tokens");
    }
    let with = call.text("pad_value").ok_or("what it fills rows up with is not known")?;
    if !matches!(call.needed(0)?.rank(), Some(1 | 2)) {
        return Err("it takes texts of one axis or two");
    }
    parted(call, symbols, with, "how many tokens it has room for depends on all rows")
}

/// The parts, and how many there are of each text.
pub fn split(call: &Call<'_>, symbols: &mut Symbols) -> RuleResult {
    let parts = parted(call, symbols, "", "how many parts it has room for depends on all rows")?;
    let counts = Value { numbers: None, ..call.needed(0)?.clone() };
    Ok(vec![parts, counts])
}

/// What a `LabelEncoder` makes of an element, if that can be told.
pub fn label(call: &Call<'_>, element: &Size, symbols: &mut Symbols) -> Option<Size> {
    // Version 1 has one list, and the place in it.
    if call.version < 2 {
        return None;
    }
    let texts = |name: &str| match call.setting(name)? {
        Setting::Texts(Texts { all: Some(texts), .. }) => Some(texts.as_slice()),
        _ => None,
    };
    // Where a key stands twice, versions differ in which of both they take.
    let only = |mut places: Vec<usize>| (places.len() <= 1).then(|| places.pop());
    let places =
        |is_key: &dyn Fn(usize) -> bool, count: usize| only((0..count).filter(|at| is_key(*at)).collect());
    let keys = call.tensor("keys_tensor");
    let found = if let Some(text) = symbols.text_of(element) {
        let keys = keys.map_or_else(|| texts("keys_strings"), |keys| keys.texts.as_deref())?;
        places(&|at| keys.get(at).is_some_and(|key| key == text), keys.len())?
    } else {
        let element = element.constant()?;
        let keys = match keys {
            None => call.integers("keys_int64s")?,
            Some(keys) => match keys.numbers.as_ref()? {
                Numbers::Integers(keys) => keys,
                Numbers::Floats(_) => return None,
            },
        };
        places(&|at| keys.get(at) == Some(&element), keys.len())?
    };
    if let Some(values) = call.tensor("values_tensor") {
        let (of, at) = match found {
            Some(at) => (values, at),
            None => (call.tensor("default_tensor")?, 0),
        };
        return match (&of.numbers, &of.texts) {
            (Some(Numbers::Integers(numbers)), _) => numbers.get(at).map(|number| Size::of(*number)),
            (Some(Numbers::Floats(numbers)), _) => numbers.get(at).map(|number| whole(*number, symbols)),
            (None, Some(texts)) => texts.get(at).map(|text| symbols.text(text)),
            (None, None) => None,
        };
    }
    if let Some(values) = call.integers("values_int64s") {
        let default = || Some(call.integer("default_int64").unwrap_or(-1));
        return found.map_or_else(default, |at| values.get(at).copied()).map(Size::of);
    }
    if let Some(values) = texts("values_strings") {
        let default = || Some(call.text("default_string").unwrap_or("_Unused"));
        let text = found.map_or_else(default, |at| values.get(at).map(String::as_str));
        return text.map(|text| symbols.text(text));
    }
    let values = call.floats("values_floats")?;
    let default = || match call.setting("default_float") {
        None => Some(-0.0),
        Some(Setting::Float(number)) => Some(*number),
        Some(_) => None,
    };
    found.map_or_else(default, |at| values.get(at).copied()).map(|number| whole(number.into(), symbols))
}
