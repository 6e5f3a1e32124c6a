//! What is refused of a candidate's layers before any pod: path, layer, value, what was expected, and what was probably meant.

use modelwright::model::validate::{Trainer, validate_model};
use modelwright_contract::{layers::keras, training::Task};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::fixtures::{trained_model, valid};

const TABLE: &str = "Table";

/// Data whose rows are of a kind.
fn data(kind: &str) -> Value {
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

fn training(kind: &str, task: &str, candidate: Value) -> Value {
    let mut candidate = candidate;
    candidate["name"] = "net".into();
    json!({"task": task, "data": data(kind), "candidates": [candidate]})
}

fn told(training: &Value) -> Vec<String> {
    validate_model(&trained_model(training.clone(), 1))
        .map_or_else(|invalid| invalid.problems, |_| Vec::new())
}

fn refuses(kind: &str, task: &str, candidate: Value, parts: &[&str]) {
    let training = training(kind, task, candidate);
    let told = told(&training);
    let [message] = told.as_slice() else { panic!("{training}: {told:#?}") };
    let missing: Vec<_> = parts.iter().filter(|part| !message.contains(**part)).collect();
    assert!(missing.is_empty(), "{training}: {message} lacks {missing:?}");
}

fn layer(type_: &str, parameters: Value) -> Value {
    json!({"name": "middle", "type": type_, "parameters": parameters})
}

/// A classification whose first layer is this one.
fn with(first: Value) -> Value {
    json!({"layers": [first, {"name": "out", "type": "Dense", "parameters": {"units": 10, "activation": "softmax"}}]})
}

fn out(units: u32, activation: &str) -> Value {
    json!({"name": "out", "type": "Dense", "parameters": {"units": units, "activation": activation}})
}

/// The article's network, and one of each family.
fn networks() -> Vec<(&'static str, &'static str, Value)> {
    let dense = |units: u32| layer("Dense", json!({"units": units, "activation": "relu"}));
    let named = |name: &str, mut layer: Value| {
        layer["name"] = name.into();
        layer
    };
    let inner = json!({"type": "LSTM", "parameters": {"units": 8, "return_sequences": true}});
    vec![
        (
            "Images",
            "Classification",
            json!({
                "layers": [
                    named("scale", layer("Rescaling", json!({"scale": 0.003_921_568}))),
                    named("flat", layer("Flatten", json!({}))),
                    dense(128),
                    out(10, "softmax"),
                ],
                "loss": "sparse_categorical_crossentropy",
                "optimizer": {"type": "Adam", "parameters": {"learning_rate": 0.001}},
                "parameters": {"epochs": 5, "batch_size": 32, "shuffle": true, "class_weight": {"0": 1, "1": 2.5}},
                "callbacks": [{"type": "EarlyStopping", "parameters": {"monitor": "val_loss", "patience": 3, "restore_best_weights": true}}],
            }),
        ),
        (
            "Images",
            "Classification",
            json!({"layers": [
                named("conv", layer("Conv2D", json!({"filters": 8, "kernel_size": 3, "padding": "same", "kernel_initializer": "he_normal", "kernel_regularizer": {"type": "L2", "parameters": {"l2": 0.01}}}))),
                named("norm", layer("BatchNormalization", json!({}))),
                named("pool", layer("MaxPooling2D", json!({"pool_size": [2, 2]}))),
                named("all", layer("GlobalAveragePooling2D", json!({}))),
                out(3, "softmax"),
            ]}),
        ),
        (
            "Sequences",
            "Classification",
            json!({"layers": [
                named("both", layer("Bidirectional", json!({"layer": inner}))),
                named("last", layer("GRU", json!({"units": 4}))),
                out(9, "softmax"),
            ], "optimizer": {"type": "SGD", "parameters": {"momentum": 0.9, "learning_rate": {"type": "ExponentialDecay", "parameters": {"initial_learning_rate": 0.1, "decay_steps": 100, "decay_rate": 0.9}}}}}),
        ),
        (
            "Text",
            "Classification",
            json!({"layers": [
                named("words", layer("TextVectorization", json!({"max_tokens": 1000, "output_sequence_length": 40}))),
                named("vectors", layer("Embedding", json!({"input_dim": 1000, "output_dim": 16}))),
                named("places", layer("PositionEmbedding", json!({"sequence_length": 40}))),
                named("block", layer("TransformerEncoder", json!({"num_heads": 2, "key_dim": 8, "intermediate_dim": 32}))),
                named("mean", layer("GlobalAveragePooling1D", json!({}))),
                out(2, "softmax"),
            ]}),
        ),
        (
            "Window",
            "Regression",
            json!({"layers": [named("steps", layer("LSTM", json!({"units": 8}))), {"name": "out", "type": "Dense", "parameters": {"units": 1}}], "loss": "huber"}),
        ),
        (
            TABLE,
            "Regression",
            json!({"layers": [
                named("one", dense(4)),
                {"name": "two", "type": "Dense", "inputs": ["input"], "parameters": {"units": 4}},
                {"name": "sum", "type": "Add", "inputs": ["one", "two"]},
                {"name": "out", "type": "Dense", "parameters": {"units": 1}},
            ]}),
        ),
        (
            TABLE,
            "Classification",
            json!({"layers": [dense(4), out(1, "sigmoid")], "loss": "binary_crossentropy"}),
        ),
    ]
}

#[test]
fn a_network_of_each_family_is_accepted_and_told_to_the_trainer_as_it_is_written() {
    for (kind, task, candidate) in networks() {
        let training = training(kind, task, candidate.clone());
        let model = valid(&trained_model(training.clone(), 1));
        let trained = model.training().unwrap();
        assert_eq!(trained.trainer, Trainer::Keras, "{training}");
        let mut told = serde_json::to_value(&trained.config.candidates[0]).unwrap();
        told.as_object_mut().unwrap().remove("name");
        let mut written = candidate;
        if written.get("parameters").is_none() {
            written["parameters"] = json!({});
        }
        for layer in written["layers"].as_array_mut().unwrap() {
            if layer["parameters"] == json!({}) {
                layer.as_object_mut().unwrap().remove("parameters");
            }
        }
        assert_eq!(told, written);
    }
}

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

#[test]
fn a_network_ends_as_its_task_needs() {
    let flat = json!({"name": "flat", "type": "Flatten"});
    let dense = |parameters: Value| json!({"layers": [flat, {"name": "out", "type": "Dense", "parameters": parameters}]});
    for (kind, task, candidate, parts) in [
        (
            TABLE,
            "Classification",
            dense(json!({"units": 3})),
            vec!["layers[1].parameters.activation of layer `out` is not set", "probabilities", "softmax"],
        ),
        (
            TABLE,
            "Classification",
            dense(json!({"units": 3, "activation": "relu"})),
            vec!["is `relu`", "softmax"],
        ),
        (
            TABLE,
            "Classification",
            dense(json!({"units": 1, "activation": "softmax"})),
            vec!["is 1", "always 1"],
        ),
        (TABLE, "Classification", json!({"layers": [flat]}), vec!["the last layer is a Flatten", "Dense"]),
        (TABLE, "Regression", dense(json!({"units": 2})), vec!["units", "is 2", "one value"]),
        (
            "Text",
            "Classification",
            json!({"layers": [{"name": "words", "type": "TextVectorization", "parameters": {"output_sequence_length": 4}}]}),
            vec!["layers[0] of layer `words` is the last and gives the numbers of tokens", "Embedding"],
        ),
        (
            "Sequences",
            "Classification",
            json!({"layers": [out(3, "softmax")]}),
            vec!["layers[0] of layer `out` is the last and gives rank 2", "pooling"],
        ),
        (
            TABLE,
            "Classification",
            json!({"layers": [flat, out(3, "sigmoid")], "loss": "categorical_crossentropy"}),
            vec!["`sigmoid`", "softmax"],
        ),
        (
            TABLE,
            "Classification",
            json!({"layers": [flat, out(3, "sigmoid")], "loss": "binary_crossentropy"}),
            vec!["is 3", "one probability"],
        ),
    ] {
        refuses(kind, task, candidate, &parts);
    }
}

#[test]
fn what_goes_with_layers_is_known_and_fits_the_task() {
    let with = |name: &str, value: Value| {
        let mut candidate = json!({"layers": [out(3, "softmax")]});
        candidate[name] = value;
        candidate
    };
    for (candidate, parts) in [
        (
            with("loss", json!("mse")),
            vec!["spec.training.candidates[0].loss `mse` measures a Regression", "Classification"],
        ),
        (with("loss", json!("hinge")), vec!["loss `hinge`", "binary_crossentropy"]),
        (
            with("loss", json!("sparse_categorical_crosentropy")),
            vec!["did you mean `sparse_categorical_crossentropy`?"],
        ),
        (with("optimizer", json!({"type": "Adma"})), vec!["optimizer.type `Adma`", "did you mean `Adam`?"]),
        (
            with("optimizer", json!({"type": "Adam", "parameters": {"lr": 0.1}})),
            vec!["optimizer.parameters.lr", "not a parameter of Adam", "learning_rate"],
        ),
        (
            with("optimizer", json!({"type": "Adam", "parameters": {"learning_rate": 0}})),
            vec!["optimizer.parameters.learning_rate is 0", "above 0", "schedule"],
        ),
        (
            with(
                "optimizer",
                json!({"type": "Adam", "parameters": {"learning_rate": {"type": "CosinDecay"}}}),
            ),
            vec!["learning_rate.type", "did you mean `CosineDecay`?"],
        ),
        (
            with(
                "optimizer",
                json!({"type": "SGD", "parameters": {"learning_rate": {"type": "PiecewiseConstantDecay", "parameters": {"boundaries": [100]}}}}),
            ),
            vec!["learning_rate.parameters.values is missing", "numbers"],
        ),
        (with("callbacks", json!([{"type": "EarlyStoping"}])), vec!["callbacks[0].type", "`EarlyStopping`"]),
        (
            with("callbacks", json!([{"type": "ModelCheckpoint"}])),
            vec!["callbacks[0].type", "run.checkpoint"],
        ),
        (
            with("callbacks", json!([{"type": "EarlyStopping"}, {"type": "EarlyStopping"}])),
            vec!["callbacks[1].type EarlyStopping is there twice"],
        ),
        (
            with(
                "callbacks",
                json!([{"type": "EarlyStopping", "parameters": {"monitor": "val_mean_absolute_error"}}]),
            ),
            vec!["callbacks[0].parameters.monitor", "of a Regression", "val_accuracy"],
        ),
        (with("parameters", json!({"epochs": 0})), vec!["candidates[0].parameters.epochs is 0", "from 1"]),
        (with("parameters", json!({"epoch": 5})), vec!["parameters.epoch", "did you mean `epochs`?"]),
        (with("parameters", json!({"validation_split": 0.1})), vec!["validation_split", "split.validation"]),
        (
            with("parameters", json!({"class_weight": [1, 2]})),
            vec!["class_weight", "[1,2]", "for each label"],
        ),
        (with("algorithm", json!("SVM")), vec!["candidates[0].algorithm `SVM`", "layers are both set"]),
    ] {
        refuses(TABLE, "Classification", candidate, &parts);
    }
    let weighed = json!({"layers": [{"name": "out", "type": "Dense", "parameters": {"units": 1}}], "parameters": {"class_weight": {"0": 1}}});
    refuses(TABLE, "Regression", weighed, &["parameters.class_weight", "a Regression has none"]);
    refuses(
        TABLE,
        "Classification",
        json!({"algorithm": "SVM", "loss": "mse"}),
        &["loss, optimizer and callbacks belong to layers"],
    );
    refuses(TABLE, "Classification", json!({}), &["candidates[0] has neither algorithm nor layers"]);
    refuses(
        TABLE,
        "Classification",
        json!({"algorithm": "Dense"}),
        &["algorithm `Dense`", "a layer of Keras"],
    );
}

#[test]
fn a_trainer_that_knows_no_layers_is_refused_and_one_that_does_needs_none() {
    let of = |trainer: Value, candidate: Value| {
        let mut training = training(TABLE, "Classification", candidate);
        training["trainer"] = trainer;
        training
    };
    let network = json!({"layers": [out(3, "softmax")]});
    let told_of = |trainer: Value| told(&of(trainer, network.clone())).join("; ");
    let library = told_of(json!({"library": "ScikitLearn"}));
    assert!(
        library.contains("trainer.library is ScikitLearn") && library.contains("set it to Keras"),
        "{library}"
    );
    let image = told_of(json!({"image": "mine:1"}));
    assert!(image.contains("candidates[0].layers are trained by the built-in Keras"), "{image}");
    assert!(told_of(json!({"library": "Keras"})).is_empty());
    let forest = valid(&trained_model(of(json!({"library": "Keras"}), json!({"algorithm": "SVM"})), 1));
    assert_eq!(forest.training().unwrap().trainer, Trainer::Keras);
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

proptest! {
    #[test]
    fn no_network_panics(
        words in proptest::collection::vec("[a-zA-Z_]{0,8}|Dense|LSTM|input|Add|Flatten|units|é", 12),
        numbers in proptest::collection::vec(any::<i64>(), 3),
    ) {
        let candidate = json!({
            "layers": [
                {"name": words[0], "type": words[1], "inputs": [words[2], words[3]], "parameters": {words[4].as_str(): numbers[0]}},
                {"name": words[5], "type": words[6], "parameters": {"units": numbers[1], words[7].as_str(): {"type": words[8], "parameters": words[9]}}},
            ],
            "loss": words[10],
            "optimizer": {"type": words[11], "parameters": {"learning_rate": {"type": words[1], "parameters": {words[2].as_str(): numbers[2]}}}},
        });
        for kind in [TABLE, "Images", "Sequences", "Text"] {
            for task in ["Classification", "Regression"] {
                let _ = told(&training(kind, task, candidate.clone()));
            }
        }
    }
}
