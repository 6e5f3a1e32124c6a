//! What is refused of a layer before any pod: its path, its value, what was expected, and what was probably meant.

use modelwright_contract::{layers::keras, training::Task};
use serde_json::{Value, json};

use crate::network_fixtures::{TABLE, layer, out, refuses, told, training, with};

#[test]
fn a_name_that_is_none_is_told_with_the_nearest_one() {
    let dense = json!({"units": 4});
    for (kind, candidate, parts) in [
        (
            TABLE,
            with(layer("Dnese", dense.clone())),
            vec![
                "spec.training.candidates[0].layers[0].type of layer `middle` `Dnese`",
                "did you mean `Dense`?",
            ],
        ),
        (TABLE, with(layer("Masking", json!({}))), vec!["`Masking` is not a layer", "Flatten"]),
        (
            TABLE,
            with(layer("Dense", json!({"units": 4, "activaton": "relu"}))),
            vec![
                "layers[0].parameters.activaton of layer `middle`",
                "not a parameter of Dense",
                "`activation`",
            ],
        ),
        (
            TABLE,
            with(layer("Dense", json!({"units": 4, "dtype": "float16"}))),
            vec!["layers[0].parameters.dtype", "not offered", "float32", "remove it"],
        ),
        (
            TABLE,
            with(layer("Dense", json!({"units": 4, "activation": "rellu"}))),
            vec!["parameters.activation", "`rellu` is not an activation", "did you mean `relu`?"],
        ),
        (
            TABLE,
            with(layer("Dense", json!({"units": 4, "kernel_initializer": "he_norml"}))),
            vec!["parameters.kernel_initializer", "`he_norml` is not an initializer", "`he_normal`"],
        ),
        (
            TABLE,
            with(layer("Dense", json!({"units": 4, "kernel_regularizer": {"type": "L3"}}))),
            vec!["parameters.kernel_regularizer.type", "`L3`", "L1, L1L2, L2"],
        ),
        (
            TABLE,
            with(layer(
                "Dense",
                json!({"units": 4, "kernel_regularizer": {"type": "L2", "parameters": {"l3": 1}}}),
            )),
            vec!["kernel_regularizer.parameters.l3", "not a parameter of L2", "l2"],
        ),
        (
            TABLE,
            with(layer("Dense", json!({"units": 4, "kernel_regularizer": {"name": "L2", "type": "L2"}}))),
            vec!["kernel_regularizer.name", "type and parameters"],
        ),
        (
            "Sequences",
            with(layer("Bidirectional", json!({"layer": {"type": "Dense", "parameters": dense}}))),
            vec!["parameters.layer.type", "`Dense`", "SimpleRNN, LSTM, GRU"],
        ),
        (
            "Sequences",
            with(layer("LSTM", json!({"units": 4, "stateful": true}))),
            vec!["parameters.stateful", "rows are independent"],
        ),
        (
            "Text",
            with(layer(
                "TextVectorization",
                json!({"max_tokens": 9, "output_sequence_length": 4, "ngrams": 2}),
            )),
            vec!["parameters.ngrams", "not offered"],
        ),
    ] {
        refuses(kind, "Classification", candidate, &parts);
    }
}

#[test]
fn a_value_that_a_parameter_cannot_have_is_told_with_what_it_can() {
    for (type_, parameters, parts) in [
        ("Dense", json!({}), vec!["parameters.units of layer `middle` is missing", "a whole number from 1"]),
        ("Dense", json!({"units": 0}), vec!["parameters.units", "is 0", "from 1 to 65536"]),
        ("Dense", json!({"units": 1.5}), vec!["parameters.units", "is 1.5", "whole number"]),
        ("Dense", json!({"units": "128"}), vec!["parameters.units", "is `128`", "whole number"]),
        ("Dense", json!({"units": null}), vec!["parameters.units", "is null", "whole number"]),
        ("Dense", json!({"units": 4, "use_bias": "no"}), vec!["use_bias", "`no`", "true or false"]),
        (
            "Dense",
            json!({"units": 4, "activation": 3}),
            vec!["activation", "is 3", "the name of an activation"],
        ),
        (
            "Dense",
            json!({"units": 4, "bias_initializer": [1]}),
            vec!["bias_initializer", "[1]", "{type, parameters}"],
        ),
        ("Dropout", json!({"rate": 1}), vec!["parameters.rate", "is 1;", "below 1"]),
        ("Dropout", json!({"rate": -0.1}), vec!["parameters.rate", "is -0.1", "at least 0"]),
    ] {
        refuses(TABLE, "Classification", with(layer(type_, parameters)), &parts);
    }
    let conv = |parameters: Value| {
        json!({"layers": [
            layer("Conv2D", parameters), {"name": "flat", "type": "Flatten"}, out(3, "softmax"),
        ]})
    };
    for (parameters, parts) in [
        (json!({"filters": 4, "kernel_size": [3]}), vec!["kernel_size", "[3]", "a list of 2"]),
        (json!({"filters": 4, "kernel_size": [3, 0]}), vec!["kernel_size", "[3,0]", "from 1"]),
        (
            json!({"filters": 4, "kernel_size": 3, "padding": "sam"}),
            vec!["padding", "`sam` (did you mean `same`?)", "valid, same"],
        ),
        (json!({"filters": 4, "kernel_size": 3, "groups": 2}), vec!["groups", "not offered"]),
    ] {
        refuses("Images", "Classification", conv(parameters), &parts);
    }
}

#[test]
fn layers_take_what_is_there_before_them() {
    let dense = |name: &str, inputs: Value| json!({"name": name, "type": "Dense", "inputs": inputs, "parameters": {"units": 4}});
    let end = out(3, "softmax");
    let of = |layers: Value| json!({"layers": layers});
    for (candidate, parts) in [
        (
            of(json!([dense("a", json!(["inptu"])), end])),
            vec!["layers[0].inputs[0] of layer `a`: `inptu`", "`input`"],
        ),
        (
            of(json!([dense("hidden", json!(["input"])), dense("b", json!(["hiden"])), end])),
            vec![
                "layers[1].inputs[0]",
                "`hiden` is no earlier layer",
                "did you mean `hidden`?",
                "input, hidden",
            ],
        ),
        (
            of(json!([dense("a", json!(["b"])), dense("b", json!(["input"])), end])),
            vec!["layers[0].inputs[0]", "`b` is a later layer", "change their order"],
        ),
        (of(json!([dense("a", json!(["a"])), end])), vec!["`a` is the layer itself"]),
        (
            of(json!([dense("a", json!(["input"])), dense("a", json!(["input"])), end])),
            vec!["layers[1].name `a` is there twice"],
        ),
        (
            of(json!([dense("input", json!(["input"])), end])),
            vec!["layers[0].name `input`", "the name of the data"],
        ),
        (of(json!([dense("1st", json!(["input"])), end])), vec!["layers[0].name `1st` is not a name"]),
        (
            of(json!([
                dense("a", json!(["input"])),
                dense("b", json!(["input"])),
                dense("c", json!(["a", "b"])),
                end
            ])),
            vec!["layers[2].inputs of layer `c` names 2 layers", "Dense takes one", "Concatenate"],
        ),
        (
            of(json!([dense("a", json!(["input"])), {"name": "sum", "type": "Add", "inputs": ["a"]}, end])),
            vec!["layers[1].inputs of layer `sum` names one", "Add joins two or more"],
        ),
        (
            of(json!([dense("a", json!(["input"])), {"name": "sum", "type": "Add"}, end])),
            vec!["layers[1].inputs of layer `sum`", "Add joins two or more"],
        ),
        (
            of(json!([dense("a", json!(["input"])), dense("b", json!(["input"])), end])),
            vec!["layers[0] of layer `a` is taken by no later layer"],
        ),
    ] {
        refuses(TABLE, "Classification", candidate, &parts);
    }
}

#[test]
fn a_layer_behind_another_rank_than_it_takes_is_refused() {
    let parts_of = |kind: &str, type_: &str, parameters: Value, parts: &[&str]| {
        refuses(kind, "Classification", with(layer(type_, parameters)), parts);
    };
    let conv = json!({"filters": 4, "kernel_size": 3});
    parts_of(
        TABLE,
        "Conv2D",
        conv.clone(),
        &[
            "layers[0] of layer `middle` takes the data, rows of a table (rank 1)",
            "rank 3 (images)",
            "data.images",
        ],
    );
    parts_of(
        TABLE,
        "LSTM",
        json!({"units": 4}),
        &["takes the data, rows of a table", "rank 2", "data.sequences"],
    );
    parts_of(
        "Images",
        "LSTM",
        json!({"units": 4}),
        &["takes the data, images (rank 3)", "LSTM takes rank 2"],
    );
    parts_of("Images", "Conv1D", conv, &["images (rank 3)", "Conv1D takes rank 2"]);
    parts_of(
        "Text",
        "Flatten",
        json!({}),
        &["the data, texts", "put a TextVectorization and an Embedding before it"],
    );
    parts_of(
        TABLE,
        "TextVectorization",
        json!({"output_sequence_length": 4}),
        &["rank 1", "TextVectorization takes texts (data.text)"],
    );
    parts_of(
        TABLE,
        "Embedding",
        json!({"input_dim": 4, "output_dim": 2}),
        &["numbers of tokens", "TextVectorization"],
    );
    for axis in [0, 2, -2] {
        refuses(
            TABLE,
            "Classification",
            json!({"layers": [
                {"name": "wide", "type": "Dense", "parameters": {"units": 4}},
                {"name": "join", "type": "Concatenate", "inputs": ["input", "wide"], "parameters": {"axis": axis}},
                out(3, "softmax"),
            ]}),
            &[&format!("layers[1].parameters.axis of layer `join` is {axis}"), "rank 1", "expected -1 or 1"],
        );
    }
    refuses(
        "Sequences",
        "Classification",
        json!({"layers": [
            {"name": "first", "type": "GRU", "parameters": {"units": 4}},
            {"name": "second", "type": "GRU", "parameters": {"units": 4}},
            out(3, "softmax"),
        ]}),
        &["layers[1] of layer `second` takes `first`, of rank 1", "return_sequences"],
    );
    refuses(
        "Sequences",
        "Classification",
        json!({"layers": [
            {"name": "last", "type": "GRU", "parameters": {"units": 4}},
            {"name": "sum", "type": "Add", "inputs": ["last", "input"]},
            out(3, "softmax"),
        ]}),
        &["layers[1] of layer `sum` takes inputs of different ranks, 1 and 2 (`input`)"],
    );
}

/// Every parameter of every layer, by the table: what it does not take is refused by its name, and its default is taken.
#[test]
fn every_parameter_of_every_layer_is_taken_or_refused_by_name() {
    let mut seen = 0;
    for (type_, entry) in &keras().layers {
        let layer_with = |name: &str, value: &Value| {
            let mut parameters = json!({});
            parameters[name] = value.clone();
            with(layer(type_, parameters))
        };
        let problem_of = |name: &str, value: &Value| {
            let told = told(&training(TABLE, "Classification", layer_with(name, value)));
            let paths = [" of", "."].map(|end| format!("layers[0].parameters.{name}{end}"));
            told.into_iter().find(|problem| paths.iter().any(|path| problem.contains(path)))
        };
        for (name, why) in &entry.entry.refused {
            let problem = problem_of(name, &json!(1)).unwrap_or_default();
            assert!(problem.contains(why), "{type_}.{name}: {problem}");
            seen += 1;
        }
        for (name, parameter) in &entry.entry.parameters {
            if let Some(default) = &parameter.default {
                assert_eq!(problem_of(name, default), None, "{type_}.{name}");
            }
            assert!(problem_of(name, &json!({"no": "value"})).is_some() || name == "layer", "{type_}.{name}");
            seen += 1;
        }
    }
    assert!(seen > 300, "{seen}");
    assert!(
        keras().losses.values().all(|losses| !losses.is_empty())
            && keras().losses.contains_key(&Task::Regression)
    );
}
