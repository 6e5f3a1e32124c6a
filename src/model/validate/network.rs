//! The network of a candidate, before any Job: names, types, parameters, what takes what, ranks, and the end of it. In goes
//! what a user wrote; problems are told by the path of the field, and by the layer's name. Pure.
//!
//! Widths are not known before the first rows; the trainer refuses those.

mod ends;
mod input;
mod ranks;
mod values;

use std::collections::{BTreeMap, BTreeSet};

use modelwright_contract::{
    layers::{INPUT, Inputs, LayerEntry, keras},
    training::{Layer, Task, Typed},
};

pub use self::input::Input;
use self::{
    input::layer_field,
    values::{Field, check_parameters, unknown},
};
use super::problems::are_enough;
use crate::{api::training as written, suggestion::did_you_mean};

/// Most layers of a network.
const MAX_LAYERS: usize = 128;
/// Longest name of a layer.
const MAX_NAME: usize = 40;
/// Layers that one input is nothing to.
const JOINING: [&str; 2] = ["Add", "Concatenate"];

/// It takes a query, a value and a key.
const ATTENTION: &str = "MultiHeadAttention";
const MAX_ATTENDED: usize = 3;

/// Checks a candidate that has layers.
pub(super) fn check_network(
    field: &str,
    candidate: &written::Candidate,
    task: Task,
    input: Input,
    problems: &mut Vec<String>,
) {
    let layers = &candidate.layers;
    if layers.len() > MAX_LAYERS {
        problems
            .push(format!("{field}.layers has {} layers; at most {MAX_LAYERS} are possible", layers.len()));
    }
    let before = problems.len();
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    for (at, layer) in layers.iter().enumerate() {
        if are_enough(problems) {
            return;
        }
        let field = layer_field(field, at, layer);
        check_name(&field, layer, &names, problems);
        if let Some(entry) = check_type(&field, layer, problems) {
            check_parameters(
                &field.child("parameters"),
                &layer.type_,
                &layer.parameters,
                &entry.entry,
                problems,
            );
            check_count(&field, layer, at, entry, problems);
        }
        check_inputs(&field, layer, &names, layers, problems);
        names.entry(&layer.name).or_insert(at);
    }
    // what takes what is known only where the names are
    if problems.len() == before {
        check_used(field, layers, problems);
        let given = ranks::check_ranks(field, layers, input, problems);
        ends::check_end(field, candidate, task, given.last().copied().flatten(), problems);
    }
    ends::check_loss(field, candidate.loss.as_deref(), task, problems);
    check_optimizer(field, candidate.optimizer.as_ref(), problems);
    check_callbacks(field, &candidate.callbacks, task, problems);
    check_fit(field, candidate, task, problems);
}

/// What the trainer is told.
pub(super) fn layers(candidate: &written::Candidate) -> Vec<Layer> {
    let layer = |layer: &written::Layer| Layer {
        name: layer.name.clone(),
        type_: layer.type_.clone(),
        inputs: layer.inputs.clone(),
        parameters: layer.parameters.clone(),
    };
    candidate.layers.iter().map(layer).collect()
}

/// What the trainer is told.
pub(super) fn optimizer(candidate: &written::Candidate) -> Option<Typed> {
    let optimizer = candidate.optimizer.as_ref()?;
    Some(Typed { type_: optimizer.type_.clone(), parameters: optimizer.parameters.clone() })
}

/// What the trainer is told.
pub(super) fn callbacks(candidate: &written::Candidate) -> Vec<Typed> {
    let typed = |callback: &written::Callback| Typed {
        type_: callback.type_.clone(),
        parameters: callback.parameters.clone(),
    };
    candidate.callbacks.iter().map(typed).collect()
}

fn check_name(
    field: &Field,
    layer: &written::Layer,
    names: &BTreeMap<&str, usize>,
    problems: &mut Vec<String>,
) {
    let name = layer.name.as_str();
    let is_name = name.len() <= MAX_NAME
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    let field = format!("{}.name `{}`", field.path, values::shortened(name));
    if !is_name {
        problems.push(format!(
            "{field} is not a name; expected a letter and at most {} further letters, digits, _ and -, for example hidden_1",
            MAX_NAME - 1
        ));
    } else if name == INPUT {
        problems.push(format!("{field} is the name of the data, which layers take by it; choose another"));
    } else if names.contains_key(name) {
        problems.push(format!("{field} is there twice; give each layer a name of its own"));
    }
}

fn check_type(
    field: &Field,
    layer: &written::Layer,
    problems: &mut Vec<String>,
) -> Option<&'static LayerEntry> {
    let known = &keras().layers;
    let entry = known.get(&layer.type_);
    if entry.is_none() {
        problems.push(unknown(&field.child("type"), &layer.type_, "a layer", known.keys(), None));
    }
    entry
}

/// Whether a layer has as many inputs as it takes.
fn check_count(
    field: &Field,
    layer: &written::Layer,
    at: usize,
    entry: &LayerEntry,
    problems: &mut Vec<String>,
) {
    let (field, type_) = (field.child("inputs"), &layer.type_);
    let count = layer.inputs.len();
    if entry.inputs == Inputs::One && count > 1 {
        problems.push(format!(
            "{field} names {count} layers, and {type_} takes one; join them by a layer Add or Concatenate before it"
        ));
    } else if layer.type_ == ATTENTION && count > MAX_ATTENDED {
        problems.push(format!(
            "{field} names {count} layers; {type_} takes a query, a value and, where it is another one, a key: expected at most {MAX_ATTENDED}"
        ));
    } else if JOINING.contains(&type_.as_str()) && count < 2 {
        let taken = if count == 1 || at == 0 { "one" } else { "the layer before alone" };
        problems.push(format!(
            "{field} names {taken}, and {type_} joins two or more; name all of them, for example [{INPUT}, hidden]"
        ));
    }
}

/// Whether the inputs of a layer are there before it.
fn check_inputs(
    field: &Field,
    layer: &written::Layer,
    earlier: &BTreeMap<&str, usize>,
    all: &[written::Layer],
    problems: &mut Vec<String>,
) {
    for (at, name) in layer.inputs.iter().enumerate() {
        if are_enough(problems) {
            return;
        }
        if name == INPUT || earlier.contains_key(name.as_str()) {
            continue;
        }
        let field = field.child(&format!("inputs[{at}]"));
        let shown = values::shortened(name);
        let why = if *name == layer.name {
            "is the layer itself".to_owned()
        } else if all.iter().any(|other| other.name == *name) {
            "is a later layer: a layer takes earlier ones; change their order".to_owned()
        } else {
            let known = earlier.keys().copied().chain([INPUT]);
            format!("is no earlier layer{}", did_you_mean(name, known.clone()))
        };
        let known: Vec<_> = std::iter::once(INPUT).chain(earlier.keys().copied()).collect();
        problems.push(format!("{field}: `{shown}` {why}; expected {}", values::listed(&known)));
    }
}

/// Whether something takes what each layer gives: the last one's is the answer.
fn check_used(field: &str, layers: &[written::Layer], problems: &mut Vec<String>) {
    let taken: BTreeSet<&str> = layers
        .iter()
        .enumerate()
        .flat_map(|(at, layer)| {
            let before = at.checked_sub(1).and_then(|before| layers.get(before));
            let default = before.filter(|_| layer.inputs.is_empty()).map(|before| before.name.as_str());
            layer.inputs.iter().map(String::as_str).chain(default)
        })
        .collect();
    let count = layers.len().saturating_sub(1);
    for (at, layer) in layers.iter().enumerate().take(count) {
        if !taken.contains(layer.name.as_str()) {
            problems.push(format!(
                "{} is taken by no later layer; name it in the inputs of one, or remove it",
                layer_field(field, at, layer)
            ));
        }
    }
}

fn check_optimizer(field: &str, optimizer: Option<&written::Optimizer>, problems: &mut Vec<String>) {
    let Some(optimizer) = optimizer else { return };
    let field = Field::new(format!("{field}.optimizer"), String::new());
    match keras().optimizers.get(&optimizer.type_) {
        Some(entry) => check_parameters(
            &field.child("parameters"),
            &optimizer.type_,
            &optimizer.parameters,
            entry,
            problems,
        ),
        None => problems.push(unknown(
            &field.child("type"),
            &optimizer.type_,
            "an optimizer",
            keras().optimizers.keys(),
            None,
        )),
    }
}

fn check_callbacks(field: &str, callbacks: &[written::Callback], task: Task, problems: &mut Vec<String>) {
    let table = keras();
    let mut types = BTreeSet::new();
    for (at, callback) in callbacks.iter().enumerate() {
        let field = Field::new(format!("{field}.callbacks[{at}]"), String::new());
        let Some(entry) = table.callbacks.get(&callback.type_) else {
            let why = table.callbacks_refused.get(&callback.type_);
            problems.push(unknown(
                &field.child("type"),
                &callback.type_,
                "a callback",
                table.callbacks.keys(),
                why,
            ));
            continue;
        };
        if !types.insert(&callback.type_) {
            problems.push(format!(
                "{} {} is there twice; merge both into one",
                field.child("type"),
                callback.type_
            ));
        }
        check_parameters(&field.child("parameters"), &callback.type_, &callback.parameters, entry, problems);
        ends::check_monitor(&field.child("parameters.monitor"), callback, task, problems);
    }
}

fn check_fit(field: &str, candidate: &written::Candidate, task: Task, problems: &mut Vec<String>) {
    let field = Field::new(format!("{field}.parameters"), String::new());
    check_parameters(&field, "Keras' fit", &candidate.parameters, &keras().fit, problems);
    if task == Task::Regression && candidate.parameters.get("class_weight").is_some_and(|one| !one.is_null())
    {
        problems.push(format!(
            "{} weighs labels, and a Regression has none; remove it",
            field.child("class_weight")
        ));
    }
}
