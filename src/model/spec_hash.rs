//! What decides a version: what the user wrote in `source`, `evaluation`, `training` (without `run` and `resources`), `rerun` and
//! `keepEvaluation`, and nothing that the operator adds. In goes a Model, out comes a hash. Pure.
//!
//! Only what is written counts: a default that is written out is another spec than one that is left out, so that a later
//! operator's default makes no new version. Decimal strings count by value (`"0.10"` is `"0.1"`), as do the numbers of
//! parameters (`1.0` is `1`: the API server itself stores the one as the other), but a parameter that is `null` is
//! another one than none. Lists count in their order, and an empty part counts as none.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::{
    api::{
        Model, Training,
        training::{Callback, Candidate, Layer},
    },
    decimal::Decimal,
    hash,
};

/// Members of a training, wherever they are, whose value is a decimal string.
const DECIMALS: [&str; 9] = [
    "validation",
    "test",
    "min",
    "max",
    "maxMissingFraction",
    "maxDuplicateFraction",
    "minClassFraction",
    "maxMetricDrop",
    "maxDisagreement",
];
/// Parts of a training that are as good as absent when they are empty.
const PARTS: [&str; 6] = ["checks", "preprocess", "split", "candidates", "selection", "gates"];
/// Largest whole number that a JSON number holds exactly.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// What decides a version of the Model.
pub fn spec_hash(model: &Model) -> String {
    let mut decided = Map::new();
    decided.insert("source".into(), to_value(&model.spec.source));
    decided.insert("training".into(), model.spec.training.as_deref().map_or(Value::Null, training_identity));
    decided.insert("rerun".into(), to_value(&model.spec.rerun));
    if let Some(evaluation) = &model.spec.evaluation {
        let mut written = to_value(evaluation);
        by_value(&mut written);
        decided.insert("evaluation".into(), written);
    }
    if let Some(keep) = model.spec.keep_evaluation {
        decided.insert("keepEvaluation".into(), keep.into());
    }
    hash::canonical(&Value::Object(decided))
}

/// What decides the variants of a version; none where none are asked for.
pub fn optimize_hash(model: &Model) -> Option<String> {
    let mut written = to_value(&model.spec.optimize);
    by_value(&mut written);
    (!is_empty(&written)).then(|| hash::canonical(&written))
}

/// What a version is found by: without variants, the hash of its spec alone, as ever.
pub fn version_key(spec_hash: &str, optimize_hash: Option<&str>) -> String {
    optimize_hash.map_or_else(
        || spec_hash.to_owned(),
        |optimize| hash::canonical(&serde_json::json!({"specHash": spec_hash, "optimize": optimize})),
    )
}

fn training_identity(training: &Training) -> Value {
    let written = Training { resources: None, run: None, candidates: Vec::new(), ..training.clone() };
    let mut identity = to_value(&written);
    by_value(&mut identity);
    // the digest says which code it is, wherever that is kept
    if let Some(python) = identity.pointer_mut("/trainer/python").and_then(Value::as_object_mut) {
        python.remove("configMap");
    }
    if let Some(members) = identity.as_object_mut() {
        members.insert("candidates".into(), training.candidates.iter().map(candidate_identity).collect());
        members.retain(|name, part| !(PARTS.contains(&name.as_str()) && is_empty(part)));
    }
    identity
}

/// Parameters as a list of pairs: a map would lose those that are `null`.
fn candidate_identity(candidate: &Candidate) -> Value {
    let mut identity = Map::new();
    identity.insert("name".into(), candidate.name.as_str().into());
    if let Some(algorithm) = &candidate.algorithm {
        identity.insert("algorithm".into(), algorithm.as_str().into());
    }
    let pairs = if candidate.layers.is_empty() { parameter_pairs } else { nested_pairs };
    if !candidate.parameters.is_empty() {
        identity.insert("parameters".into(), pairs(&candidate.parameters));
    }
    if !candidate.layers.is_empty() {
        identity.insert("layers".into(), candidate.layers.iter().map(layer_identity).collect());
    }
    if let Some(loss) = &candidate.loss {
        identity.insert("loss".into(), loss.as_str().into());
    }
    if let Some(optimizer) = &candidate.optimizer {
        identity.insert("optimizer".into(), typed_identity(&optimizer.type_, &optimizer.parameters));
    }
    if !candidate.callbacks.is_empty() {
        let callback = |one: &Callback| typed_identity(&one.type_, &one.parameters);
        identity.insert("callbacks".into(), candidate.callbacks.iter().map(callback).collect());
    }
    identity.into()
}

fn parameter_pairs(parameters: &BTreeMap<String, Value>) -> Value {
    let pairs = parameters.iter();
    pairs.map(|(name, value)| Value::Array(vec![name.as_str().into(), number_by_value(value)])).collect()
}

/// Of a network, whose parameters may have parameters within: those, too, as pairs.
fn nested_pairs(parameters: &BTreeMap<String, Value>) -> Value {
    fn pairs(value: &Value) -> Value {
        match value {
            Value::Object(members) => {
                let all: Value = members
                    .iter()
                    .map(|(name, member)| Value::Array(vec![name.as_str().into(), pairs(member)]))
                    .collect();
                Value::Object([("members".to_owned(), all)].into_iter().collect())
            }
            Value::Array(items) => items.iter().map(pairs).collect(),
            other => number_by_value(other),
        }
    }
    parameters.iter().map(|(name, value)| Value::Array(vec![name.as_str().into(), pairs(value)])).collect()
}

fn typed_identity(type_: &str, parameters: &BTreeMap<String, Value>) -> Value {
    let mut identity = Map::new();
    identity.insert("type".into(), type_.into());
    if !parameters.is_empty() {
        identity.insert("parameters".into(), nested_pairs(parameters));
    }
    identity.into()
}

fn layer_identity(layer: &Layer) -> Value {
    let mut identity = typed_identity(&layer.type_, &layer.parameters);
    if let Some(members) = identity.as_object_mut() {
        members.insert("name".into(), layer.name.as_str().into());
        if !layer.inputs.is_empty() {
            members.insert("inputs".into(), layer.inputs.clone().into());
        }
    }
    identity
}

fn number_by_value(value: &Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => match number.as_f64() {
            #[allow(clippy::cast_possible_truncation)] // whole, and within the bounds of i64
            Some(float) if float.fract() == 0.0 && float.abs() <= EXACT => Value::from(float as i64),
            _ => value.clone(),
        },
        Value::Array(items) => items.iter().map(number_by_value).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, member)| (name.clone(), number_by_value(member))).collect()
        }
        _ => value.clone(),
    }
}

/// What cannot be read is refused elsewhere; here it stands for itself.
fn by_value(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(text) if DECIMALS.contains(&name.as_str()) => {
                        if let Ok(decimal) = Decimal::parse(text) {
                            *text = decimal.to_string();
                        }
                    }
                    _ => by_value(member),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(by_value),
        _ => {}
    }
}

fn is_empty(part: &Value) -> bool {
    match part {
        Value::Null => true,
        Value::Object(members) => members.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

fn to_value(part: &impl serde::Serialize) -> Value {
    serde_json::to_value(part).expect("strings, numbers and maps with string keys are JSON")
}
