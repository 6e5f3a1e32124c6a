//! Parameters and their values against the table. Problems are told by the path of the field. Pure.

use std::{collections::BTreeMap, fmt};

use modelwright_contract::layers::{Entry, Kind, Parameter, keras};
use serde_json::{Map, Value};

use crate::{k8s::events::truncated, model::validate::problems::are_enough, suggestion::did_you_mean};

/// Most bytes of parameters as JSON.
const MAX_PARAMETERS: usize = 8 * 1024;
/// Most numbers of a list.
const MAX_LIST: usize = 64;
/// Most labels that have weights.
const MAX_LABELS: usize = 1000;
/// Longest value that is told, in bytes.
const MAX_WORD: usize = 64;

/// The path of a field, and whose it is.
#[derive(Clone, Debug)]
pub struct Field {
    /// The path.
    pub path: String,
    of: String,
}

impl Field {
    pub fn new(path: String, of: String) -> Self {
        Self { path, of }
    }

    pub fn child(&self, name: &str) -> Self {
        Self { path: format!("{}.{name}", self.path), of: self.of.clone() }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{}", self.path, self.of)
    }
}

pub fn shortened(text: &str) -> String {
    truncated(text, MAX_WORD)
}

pub fn listed(words: &[impl AsRef<str>]) -> String {
    match words {
        [one] => one.as_ref().to_owned(),
        several => {
            let all: Vec<&str> = several.iter().map(AsRef::as_ref).collect();
            format!("one of {}", all.join(", "))
        }
    }
}

/// That a word is none of those that are known: why, if that is known, what was probably meant, and what there is.
pub fn unknown<'a>(
    field: &Field,
    word: &str,
    what: &str,
    known: impl Iterator<Item = &'a String> + Clone,
    why: Option<&String>,
) -> String {
    let hint = match why {
        Some(why) => format!(" that is offered ({why})"),
        None => format!(" that is known{}", did_you_mean(word, known.clone().map(String::as_str))),
    };
    let known: Vec<_> = known.collect();
    format!("{field} `{}` is not {what}{hint}; expected {}", shortened(word), listed(&known))
}

/// Checks parameters of `owner`, which has these.
pub fn check_parameters(
    field: &Field,
    owner: &str,
    parameters: &BTreeMap<String, Value>,
    entry: &Entry,
    problems: &mut Vec<String>,
) {
    for (name, value) in parameters {
        if are_enough(problems) {
            return;
        }
        let field = field.child(&shortened(name));
        if let Some(parameter) = entry.parameters.get(name) {
            check_value(&field, value, parameter, problems);
        } else if let Some(why) = entry.refused.get(name) {
            problems.push(format!("{field} is a parameter of {owner} that is not offered: {why}; remove it"));
        } else {
            let known = entry.parameters.keys().map(String::as_str);
            let all: Vec<_> = known.clone().collect();
            let expected =
                if all.is_empty() { "none: it has no parameters".to_owned() } else { listed(&all) };
            problems.push(format!(
                "{field} is not a parameter of {owner}{}; expected {expected}",
                did_you_mean(name, known)
            ));
        }
    }
    for (name, parameter) in &entry.parameters {
        if parameter.required && !parameters.contains_key(name) {
            problems.push(format!(
                "{} is missing; {owner} needs it: {}",
                field.child(name),
                expected(parameter)
            ));
        }
    }
    let bytes = serde_json::to_string(parameters).map_or(usize::MAX, |text| text.len());
    if bytes > MAX_PARAMETERS {
        problems.push(format!(
            "{field} has {bytes} bytes as JSON; at most {MAX_PARAMETERS} are possible: shorten them"
        ));
    }
}

fn check_value(field: &Field, value: &Value, parameter: &Parameter, problems: &mut Vec<String>) {
    if value.is_null() && parameter.nullable {
        return;
    }
    let fits = match parameter.kind {
        Kind::Integer => is_integer(value, parameter),
        Kind::Boolean => value.is_boolean(),
        Kind::Word => value.as_str().is_some_and(|word| parameter.words.iter().any(|known| known == word)),
        Kind::Integers => match value {
            Value::Array(items) => {
                let count = if parameter.axes == 0 {
                    (1..=MAX_LIST).contains(&items.len())
                } else {
                    items.len() == parameter.axes
                };
                count && items.iter().all(|item| is_integer(item, parameter))
            }
            one => is_integer(one, parameter),
        },
        Kind::Numbers => value.as_array().is_some_and(|items| {
            (1..=MAX_LIST).contains(&items.len()) && items.iter().all(|item| is_number(item, parameter))
        }),
        Kind::ClassWeights => value.as_object().is_some_and(|weights| {
            (1..=MAX_LABELS).contains(&weights.len()) && weights.values().all(|one| is_number(one, parameter))
        }),
        Kind::Activation => return check_activation(field, value, problems),
        Kind::Initializer => {
            let table = (&keras().initializers, &keras().initializers_refused);
            return check_named(field, value, "an initializer", table, true, problems);
        }
        Kind::Regularizer => {
            let table = (&keras().regularizers, &keras().regularizers_refused);
            return check_named(field, value, "a regularizer", table, true, problems);
        }
        Kind::LearningRate if value.is_object() => {
            let table = (&keras().schedules, &BTreeMap::new());
            return check_named(field, value, "a schedule", table, false, problems);
        }
        Kind::Number | Kind::LearningRate => is_number(value, parameter),
        Kind::Layer => return check_inner_layer(field, value, parameter, problems),
        Kind::Other => true,
    };
    if !fits {
        let near = match (parameter.kind, value) {
            (Kind::Word, Value::String(word)) => {
                did_you_mean(word, parameter.words.iter().map(String::as_str))
            }
            _ => String::new(),
        };
        problems.push(format!("{field} is {}{near}; expected {}", shown(value), expected(parameter)));
    }
}

fn is_integer(value: &Value, parameter: &Parameter) -> bool {
    (value.is_i64() || value.is_u64()) && is_number(value, parameter)
}

fn is_number(value: &Value, parameter: &Parameter) -> bool {
    value.as_f64().is_some_and(|number| {
        parameter.min.is_none_or(|min| number >= min)
            && parameter.max.is_none_or(|max| number <= max)
            && parameter.above.is_none_or(|above| number > above)
            && parameter.below.is_none_or(|below| number < below)
    })
}

/// What a parameter takes, in words.
fn expected(parameter: &Parameter) -> String {
    let mut bounds: Vec<String> = Vec::new();
    match (parameter.min, parameter.max) {
        (Some(min), Some(max)) => bounds.push(format!(" from {min} to {max}")),
        (Some(min), None) => bounds.push(format!(" of at least {min}")),
        (None, Some(max)) => bounds.push(format!(" of at most {max}")),
        (None, None) => {}
    }
    bounds.extend(parameter.above.map(|above| format!(" above {above}")));
    bounds.extend(parameter.below.map(|below| format!(" below {below}")));
    let bounds = bounds.join(" and");
    let or_null = if parameter.nullable { ", or null" } else { "" };
    let words = match parameter.kind {
        Kind::Integer => format!("a whole number{bounds}"),
        Kind::Number => format!("a number{bounds}"),
        Kind::Boolean => "true or false".into(),
        Kind::Word => listed(&parameter.words),
        Kind::Integers if parameter.axes == 0 => format!("a list of whole numbers{bounds}"),
        Kind::Integers if parameter.axes == 1 => format!("a whole number{bounds}"),
        Kind::Integers => format!("a whole number{bounds}, or a list of {} of them", parameter.axes),
        Kind::Numbers => format!("a list of at most {MAX_LIST} numbers{bounds}"),
        Kind::Activation => "the name of an activation".into(),
        Kind::Initializer => "the name of an initializer, or {type, parameters}".into(),
        Kind::Regularizer => "the name of a regularizer, or {type, parameters}".into(),
        Kind::Layer => format!("a layer, {{type, parameters}}, of {}", parameter.words.join(", ")),
        Kind::LearningRate => format!("a number{bounds}, or a schedule, {{type, parameters}}"),
        Kind::ClassWeights => {
            format!("a number{bounds} for each label, for example {{\"0\": 1, \"1\": 2.5}}")
        }
        Kind::Other => "what Keras takes".into(),
    };
    format!("{words}{or_null}")
}

fn check_activation(field: &Field, value: &Value, problems: &mut Vec<String>) {
    let table = keras();
    match value {
        Value::String(word) if table.activations.contains(word) => {}
        Value::String(word) => {
            let why = table.activations_refused.get(word);
            problems.push(unknown(field, word, "an activation", table.activations.iter(), why));
        }
        other => {
            problems.push(format!("{field} is {}; expected the name of an activation", shown(other)));
        }
    }
}

/// Something of a table by its name, where it may stand alone, or as `{type, parameters}`.
fn check_named(
    field: &Field,
    value: &Value,
    what: &str,
    (known, refused): (&BTreeMap<String, Entry>, &BTreeMap<String, String>),
    by_name: bool,
    problems: &mut Vec<String>,
) {
    let find = |name: &str| known.iter().find(|(own, entry)| entry.is_named(own, name));
    let mut told = |field: &Field, name: &str| {
        let all = known.iter().map(|(own, entry)| entry.names.first().filter(|_| by_name).unwrap_or(own));
        problems.push(unknown(field, name, what, all, refused.get(name)));
    };
    match value {
        Value::String(name) if by_name => match find(name) {
            // nothing is said of the parameters that it needs
            Some((own, entry)) => {
                check_parameters(&field.child("parameters"), own, &BTreeMap::new(), entry, problems);
            }
            None => told(field, name),
        },
        Value::Object(members) => {
            let Some((name, parameters)) = typed(field, members, problems) else { return };
            match known.get_key_value(name).or_else(|| find(name).filter(|_| by_name)) {
                Some((own, entry)) => {
                    check_parameters(&field.child("parameters"), own, &parameters, entry, problems);
                }
                None => {
                    problems.push(unknown(&field.child("type"), name, what, known.keys(), refused.get(name)));
                }
            }
        }
        other => {
            let by_name = if by_name { "its name, or " } else { "" };
            problems
                .push(format!("{field} is {}; expected {what}: {by_name}{{type, parameters}}", shown(other)));
        }
    }
}

/// A layer that another one wraps.
fn check_inner_layer(field: &Field, value: &Value, parameter: &Parameter, problems: &mut Vec<String>) {
    let Value::Object(members) = value else {
        problems.push(format!("{field} is {}; expected {}", shown(value), expected(parameter)));
        return;
    };
    let Some((name, parameters)) = typed(field, members, problems) else { return };
    match keras().layers.get(name).filter(|_| parameter.words.iter().any(|word| word == name)) {
        Some(layer) => {
            check_parameters(&field.child("parameters"), name, &parameters, &layer.entry, problems);
        }
        None => problems.push(unknown(
            &field.child("type"),
            name,
            "a layer for this place",
            parameter.words.iter(),
            None,
        )),
    }
}

/// Type and parameters of an object that has nothing else.
fn typed<'a>(
    field: &Field,
    members: &'a Map<String, Value>,
    problems: &mut Vec<String>,
) -> Option<(&'a str, BTreeMap<String, Value>)> {
    let mut is_right = true;
    for name in members.keys().filter(|name| !["type", "parameters"].contains(&name.as_str())) {
        is_right = false;
        if are_enough(problems) {
            break;
        }
        problems.push(format!(
            "{} is not a field{}; expected type and parameters",
            field.child(&shortened(name)),
            did_you_mean(name, ["type", "parameters"])
        ));
    }
    let type_ = members.get("type").and_then(Value::as_str);
    if type_.is_none() {
        problems.push(format!("{} is missing; expected the name of what this is", field.child("type")));
    }
    let parameters = match members.get("parameters") {
        None | Some(Value::Null) => Some(BTreeMap::new()),
        Some(Value::Object(parameters)) => {
            Some(parameters.iter().map(|(name, value)| (name.clone(), value.clone())).collect())
        }
        Some(other) => {
            problems.push(format!(
                "{} is {}; expected a map of parameters by name",
                field.child("parameters"),
                shown(other)
            ));
            None
        }
    };
    type_.zip(parameters).filter(|_| is_right)
}

pub fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("`{}`", shortened(text)),
        other => shortened(&other.to_string()),
    }
}
