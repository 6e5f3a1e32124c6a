//! What becomes of rows that are filled up to the longest row of a run, each behind its own end. What is computed of each
//! element by itself leaves them such rows, filled up with what it makes of the filling. Once they are filled up further with
//! the same, and cut where every row of every run has elements, their length is the same in every run: then they are rows like
//! others. So are words that are counted, of which what fills rows up is none. Everything else takes padded rows for what they
//! are, dependent on all rows.

use super::{Call, Rule, RuleResult, axis, rows, stretches, text, whole};
use crate::{
    onnx::graph::{Setting, Texts},
    rows::{
        numbers::{self, Arithmetic, Numbers},
        size::{Size, Symbols},
        table::Operator,
        value::{Class, Padding, Place, Value},
    },
};

/// None if the rule does not know padded rows.
pub fn apply(row: &Operator, call: &Call<'_>, symbols: &mut Symbols) -> Option<RuleResult> {
    let one = |outcome: RuleResult<Value>| outcome.map(|value| vec![value]);
    match row.rule {
        Rule::Elementwise | Rule::EachElement => elementwise(row, call, symbols).map(|value| Ok(vec![value])),
        Rule::Pad => pad(call, symbols).map(one),
        Rule::Slice => slice(call).map(one),
        Rule::Flatten => flat(call).map(|value| Ok(vec![value])),
        _ if row.domain.is_empty() && row.name == "TfIdfVectorizer" => counted(call, symbols).map(one),
        _ => None,
    }
}

/// The first input, if it is padded and all others are constants.
fn first<'c>(call: &'c Call<'_>) -> Option<(&'c Padding, &'c Vec<Size>)> {
    let value = call.input(0)?;
    let Class::Padded(padding) = &value.class else { return None };
    call.others(&[0]).all(Value::is_constant).then_some((padding, value.sizes.as_ref()?))
}

/// Padded rows of the same lengths, and constants of one element. What they are filled up with is computed like an element.
fn elementwise(row: &Operator, call: &Call<'_>, symbols: &mut Symbols) -> Option<Value> {
    if row.rule == Rule::EachElement {
        first(call)?;
    }
    let mut found: Option<(Padding, &Vec<Size>)> = None;
    let mut elements = Vec::with_capacity(call.inputs.len());
    for value in call.given() {
        let Class::Padded(padding) = &value.class else {
            elements.push(value.numbers.as_ref().and_then(|numbers| numbers.first().cloned()).flatten());
            continue;
        };
        elements.push(Some(padding.with.clone()));
        let sizes = value.sizes.as_ref()?;
        match &mut found {
            None => found = Some((padding.clone(), sizes)),
            // The size of their axis, too, is the same one, since it is that of the same node.
            Some((first, same))
                if *same == sizes && first.place == padding.place && first.along == padding.along =>
            {
                first.least = first.least.min(padding.least);
            }
            Some(_) => return None,
        }
    }
    let (padding, sizes) = found?;
    let fits = |value: &Value| match value.class {
        Class::Padded(_) => true,
        Class::Constant => value.count() == Some(1) && value.rank() <= Some(sizes.len()),
        _ => false,
    };
    if !call.given().all(fits) {
        return None;
    }
    let with = element(row, call, elements, symbols);
    Some(Value::new(Class::Padded(Padding { with, ..padding }), Some(sizes.clone())))
}

/// What an operator makes of one element of each input; what cannot be told is nothing that is known.
fn element(row: &Operator, call: &Call<'_>, inputs: Vec<Option<Size>>, symbols: &mut Symbols) -> Size {
    if row.domain == "ai.onnx.ml" && row.name == "LabelEncoder" {
        let found =
            inputs.first().cloned().flatten().and_then(|element| text::label(call, &element, symbols));
        return found.unwrap_or_else(|| symbols.number());
    }
    let scalar = |element| Value::new(Class::Constant, Some(Vec::new())).with_numbers(Some(vec![element]));
    let alone = Call {
        node: call.node,
        version: call.version,
        inputs: inputs.into_iter().map(|element| Some(scalar(element))).collect(),
        settings: call.settings,
    };
    let mut outputs = [Value::new(Class::Constant, Some(Vec::new()))];
    numbers::follow(row.rule, row.numbers, &alone, &mut outputs, symbols);
    let [output] = outputs;
    let found = output.numbers.and_then(|numbers| numbers.into_iter().next().flatten());
    // A product of floating-point numbers may be the zero below zero.
    let is_exact = match row.numbers {
        Numbers::Each(
            Arithmetic::Mul | Arithmetic::Div | Arithmetic::Mod | Arithmetic::Neg | Arithmetic::Round,
        ) => found.as_ref().and_then(Size::constant) != Some(0),
        _ => true,
    };
    found.filter(|_| is_exact).unwrap_or_else(|| symbols.number())
}

/// The same where there is nothing to flatten, as exporters of scikit-learn write it.
fn flat(call: &Call<'_>) -> Option<Value> {
    let (_, sizes) = first(call)?;
    let is_flat = sizes.len() == 2 && matches!(call.integer("axis").unwrap_or(1), 1 | -1);
    is_flat.then(|| call.input(0).cloned()).flatten()
}

/// How often words of a vocabulary follow each other, which what is filled up changes only if it is one of the words.
fn counted(call: &Call<'_>, symbols: &mut Symbols) -> Option<RuleResult<Value>> {
    let (padding, sizes) = first(call)?;
    if sizes.len() != 2 || padding.place != Place::on(0) || padding.along != 1 {
        return None;
    }
    let is_word = match (symbols.text_of(&padding.with), padding.with.constant()) {
        (Some(text), _) => match call.setting("pool_strings") {
            Some(Setting::Texts(Texts { all: Some(words), .. })) => words.iter().any(|word| word == text),
            _ => true,
        },
        (None, Some(number)) => call.integers("pool_int64s").is_none_or(|words| words.contains(&number)),
        (None, None) => true,
    };
    if is_word {
        return Some(Err("it counts what rows are filled up with to the longest"));
    }
    Some(rows(Place::on(0), vec![Size::rows(), symbols.size()]))
}

/// More of the same at the end.
fn pad(call: &Call<'_>, symbols: &mut Symbols) -> Option<RuleResult<Value>> {
    let (padding, sizes) = first(call)?;
    Some(padded(call, padding, sizes.clone(), symbols))
}

fn padded(
    call: &Call<'_>,
    padding: &Padding,
    mut sizes: Vec<Size>,
    symbols: &mut Symbols,
) -> RuleResult<Value> {
    const COMPUTED: &str = "how much it adds is computed in a way that is not followed";
    if !matches!(call.text("mode"), None | Some("constant"))
        || call.setting("mode").is_some() && call.text("mode").is_none()
    {
        return Err("rows that are filled up to the longest are filled up further with what they have");
    }
    let pads = match call.integers("pads").or_else(|| call.integers("paddings")) {
        Some(pads) => pads.to_vec(),
        None => call.input(1).and_then(Value::constants).ok_or(COMPUTED)?,
    };
    let axes = match call.input(3) {
        None => (0..sizes.len()).collect(),
        Some(named) => {
            let named = named.constants().ok_or(COMPUTED)?;
            named.iter().map(|number| axis(*number, sizes.len())).collect::<RuleResult<Vec<usize>>>()?
        }
    };
    let mut least = padding.least;
    for (at, axis) in axes.iter().enumerate() {
        let (start, end) = (*pads.get(at).ok_or(COMPUTED)?, *pads.get(at + axes.len()).ok_or(COMPUTED)?);
        match (start, end) {
            (0, 0) => {}
            (0, 1..) if *axis == padding.along => {
                least = least.checked_add(end).ok_or(COMPUTED)?;
                let size = sizes.get_mut(*axis).ok_or(COMPUTED)?;
                *size = symbols.plus(size, &Size::of(end)).ok_or(COMPUTED)?;
            }
            _ => return Err("of rows that are filled up to the longest, it fills up more than their ends"),
        }
    }
    let with = match (call.input(2), call.setting("value")) {
        (Some(value), _) if value.count() == Some(1) => value.terms().and_then(|mut terms| terms.pop()),
        (None, Some(Setting::Float(number))) => Some(whole((*number).into(), symbols)),
        (Some(_), _) | (None, Some(_)) => None,
        (None, None) => Some(Size::of(0)),
    };
    // A symbol may be another number in another datatype; a text is one.
    let is_known = |with: &Size| with.constant().is_some() || symbols.text_of(with).is_some();
    if with.as_ref() != Some(&padding.with) || !is_known(&padding.with) {
        return Err("rows that are filled up to the longest are filled up further with something else");
    }
    Ok(Value::new(Class::Padded(Padding { least, ..padding.clone() }), Some(sizes)))
}

/// The first elements, as many as each row has in every run.
fn slice(call: &Call<'_>) -> Option<RuleResult<Value>> {
    let (padding, sizes) = first(call)?;
    Some(cut(call, padding, sizes.clone()))
}

fn cut(call: &Call<'_>, padding: &Padding, mut sizes: Vec<Size>) -> RuleResult<Value> {
    const LONGER: &str = "it leaves more of rows that are filled up to the longest than what they were filled up with beyond it";
    let mut length = None;
    for (at, stretch) in stretches(call, sizes.len())? {
        let size = sizes.get(at).ok_or("it names an axis that is not there")?;
        if at != padding.along {
            if stretch.is_whole(size) {
                continue;
            }
            return Err("it takes parts of several axes of rows that are filled up to the longest");
        }
        match (stretch.start.constant(), stretch.end.constant(), stretch.step) {
            (Some(0), Some(end), 1) if (0..=padding.least).contains(&end) => length = Some(Size::of(end)),
            (Some(0), Some(end), 1) if end >= 0 => return Err(LONGER),
            _ => return Err("it takes something else than the first elements of rows that are filled up"),
        }
    }
    let Some(length) = length else {
        return Ok(Value::new(Class::Padded(padding.clone()), Some(sizes)));
    };
    *sizes.get_mut(padding.along).ok_or(LONGER)? = length;
    rows(padding.place.clone(), sizes)
}
