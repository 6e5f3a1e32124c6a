//! Which networks are taken as they are written, and what is refused of one as a whole before any pod.

use modelwright::model::validate::Trainer;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::fixtures::{trained_model, valid};
use crate::network_fixtures::{TABLE, layer, out, refuses, told, training};

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
