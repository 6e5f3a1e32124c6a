//! Trainings with networks for tests, written as a Model has them, and what is told of them.

use modelwright::model::validate::validate_model;
use serde_json::{Value, json};

use crate::fixtures::trained_model;

pub const TABLE: &str = "Table";

/// Data whose rows are of a kind.
pub fn data(kind: &str) -> Value {
    let mut data = json!({"uri": "s3://bucket/digits", "format": "NPZ", "label": "y"});
    match kind {
        "Images" => data["images"] = json!({}),
        "Sequences" => data["sequences"] = json!({}),
        "Text" => {
            data["format"] = "CSV".into();
            data["text"] = json!({});
        }
        "Window" => {
            data["format"] = "CSV".into();
            data["window"] = json!({"past": 12});
        }
        _ => {}
    }
    data
}

pub fn training(kind: &str, task: &str, candidate: Value) -> Value {
    let mut candidate = candidate;
    candidate["name"] = "net".into();
    json!({"task": task, "data": data(kind), "candidates": [candidate]})
}

pub fn told(training: &Value) -> Vec<String> {
    validate_model(&trained_model(training.clone(), 1))
        .map_or_else(|invalid| invalid.problems, |_| Vec::new())
}

pub fn refuses(kind: &str, task: &str, candidate: Value, parts: &[&str]) {
    let training = training(kind, task, candidate);
    let told = told(&training);
    let [message] = told.as_slice() else { panic!("{training}: {told:#?}") };
    let missing: Vec<_> = parts.iter().filter(|part| !message.contains(**part)).collect();
    assert!(missing.is_empty(), "{training}: {message} lacks {missing:?}");
}

pub fn layer(type_: &str, parameters: Value) -> Value {
    json!({"name": "middle", "type": type_, "parameters": parameters})
}

/// A classification whose first layer is this one.
pub fn with(first: Value) -> Value {
    json!({"layers": [first, {"name": "out", "type": "Dense", "parameters": {"units": 10, "activation": "softmax"}}]})
}

pub fn out(units: u32, activation: &str) -> Value {
    json!({"name": "out", "type": "Dense", "parameters": {"units": units, "activation": activation}})
}
