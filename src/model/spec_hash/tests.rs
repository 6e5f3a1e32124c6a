//! Golden hashes, what decides a version, and spellings that do not.

#![allow(clippy::unwrap_used)]
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::api::{ModelSource, ModelSpec};

fn model(uri: &str) -> Model {
    let source = ModelSource {
        uri: uri.into(),
        format: None,
        sha256: None,
        credentials_secret: None,
        tolerate_crash_inputs: Vec::new(),
    };
    Model::new("digits", ModelSpec { source: Some(source), ..ModelSpec::default() })
}

fn optimized(written: Value) -> Model {
    let training = json!({
        "task": "Classification",
        "data": {"uri": "s3://bucket/digits.csv", "format": "CSV", "label": "digit"},
        "candidates": [{"name": "net", "algorithm": "MLP"}],
    });
    let spec = json!({"training": training, "optimize": written});
    Model::new("digits", serde_json::from_value(spec).unwrap())
}

#[test]
fn variants_have_a_hash_of_their_own_and_without_them_nothing_changes() {
    let plain = optimized(json!([]));
    assert_eq!(optimize_hash(&plain), None);
    assert_eq!(version_key(&spec_hash(&plain), None), spec_hash(&plain));
    let int8 = optimized(json!([{"name": "int8", "quantize": "Dynamic"}]));
    assert_eq!(spec_hash(&int8), spec_hash(&plain));
    assert_eq!(
        optimize_hash(&int8).unwrap(),
        "v1-85535c9b156a905ef787b5c4a3762194d7041ccbcff073ec1adafa06a7eae548"
    );
    assert_eq!(
        version_key(&spec_hash(&int8), optimize_hash(&int8).as_deref()),
        "v1-ce438a650a18b6c8a058e4a518037f0052a383d9f0785e834c1f6bc2e6052203"
    );
    let hash = |written: Value| optimize_hash(&optimized(written)).unwrap();
    let drop = |text: &str| hash(json!([{"name": "int8", "quantize": "Dynamic", "maxMetricDrop": text}]));
    assert_eq!(drop("0.10"), drop("0.1"));
    assert_ne!(drop("0.1"), hash(json!([{"name": "int8", "quantize": "Dynamic"}])));
    assert_ne!(hash(json!([{"name": "a"}, {"name": "b"}])), hash(json!([{"name": "b"}, {"name": "a"}])));
}

fn trained(changes: &[(&str, Value)]) -> String {
    let mut training = json!({
        "task": "Classification",
        "data": {"uri": "s3://bucket/digits.csv", "format": "CSV", "label": "digit"},
        "candidates": [{"name": "forest", "algorithm": "RandomForest"}],
    });
    for (pointer, value) in changes {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        training.pointer_mut(parent).unwrap()[name] = value.clone();
    }
    let training = serde_json::from_value(training).unwrap();
    spec_hash(&Model::new("digits", ModelSpec { training: Some(training), ..ModelSpec::default() }))
}

fn full() -> Vec<(&'static str, Value)> {
    vec![
        ("/trainer", json!({"library": "ScikitLearn"})),
        ("/data/sha256", "a".repeat(64).into()),
        ("/data/credentialsSecret", "modelwright-s3".into()),
        (
            "/checks",
            json!({"minRows": 1000, "maxMissingFraction": "0.05",
            "columns": [{"name": "age", "type": "Number", "min": "0", "max": "130.5"}]}),
        ),
        (
            "/preprocess",
            json!([{"impute": {"strategy": "Median"}}, {"scale": {"method": "Standard"}}, {"oneHot": {}}]),
        ),
        ("/split", json!({"validation": "0.1", "test": "0.2", "seed": 7, "stratify": true})),
        (
            "/candidates",
            json!([
                {"name": "forest", "algorithm": "RandomForest", "parameters": {"n_estimators": 200, "max_features": null}},
                {"name": "mlp", "algorithm": "MLP", "parameters": {"alpha": 0.0001, "hidden_layer_sizes": [64, 32]}},
            ]),
        ),
        ("/selection", json!({"metric": "F1Macro", "goal": "Maximize"})),
        ("/gates", json!([{"metric": "Accuracy", "min": "0.95"}])),
    ]
}

#[test]
fn golden_hashes_of_imports_never_change() {
    let plain = model("s3://bucket/digits.onnx");
    let mut full = plain.clone();
    full.spec.rerun = Some("2026-11".into());
    full.spec.source = Some(ModelSource {
        uri: "s3://bucket/digits.onnx".into(),
        format: None,
        sha256: Some("a".repeat(64)),
        credentials_secret: Some("modelwright-s3".into()),
        tolerate_crash_inputs: Vec::new(),
    });
    assert_eq!(spec_hash(&plain), "v1-ae763009bed69eedad147c746dd6d614e8dfb21550e6199cc0ec0d90e2826a5b");
    assert_eq!(spec_hash(&full), "v1-a0d51fb44cdbd4bece5ce298fa74baf48c59e9ec038252b15979a19016b0af53");
    let mut keras = plain.clone();
    keras.spec.source.as_mut().unwrap().format = Some(crate::api::SourceFormat::Keras);
    assert_ne!(spec_hash(&keras), spec_hash(&plain));
    // How large a run is decides no version; what goes along with the model does.
    let mut sized = plain.clone();
    sized.spec.run = Some(crate::api::run::RunSizes {
        volume_size: Some(crate::api::Amount::Text("21Gi".into())),
        ..Default::default()
    });
    assert_eq!(spec_hash(&sized), spec_hash(&plain));
    let mut kept = plain.clone();
    kept.spec.keep_evaluation = Some(true);
    assert_ne!(spec_hash(&kept), spec_hash(&plain));
    // What is accepted is said to a run that judges it: one that was refused is tried again.
    let mut tolerant = plain.clone();
    let source = tolerant.spec.source.as_mut().unwrap();
    source.tolerate_crash_inputs = vec!["frame_step".into()];
    assert_ne!(spec_hash(&tolerant), spec_hash(&plain));
}

fn measured(changes: &[(&str, Value)]) -> String {
    let mut evaluation = json!({
        "task": "Classification",
        "data": {"uri": "s3://bucket/digits-test.csv", "format": "CSV", "label": "digit"},
    });
    for (pointer, value) in changes {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        evaluation.pointer_mut(parent).unwrap()[name] = value.clone();
    }
    let mut model = model("s3://bucket/digits.onnx");
    model.spec.evaluation = serde_json::from_value(evaluation).unwrap();
    spec_hash(&model)
}

#[test]
fn how_an_import_is_measured_decides_its_version_and_never_hashes_otherwise() {
    assert_eq!(measured(&[]), "v1-c298a7dab970db740fc30dc711b50333ad23fedce9579d627eb7969b3503e889");
    let mut all = vec![spec_hash(&model("s3://bucket/digits.onnx")), measured(&[])];
    for (pointer, value) in [
        ("/task", json!("Regression")),
        ("/data/uri", json!("s3://bucket/other.csv")),
        ("/data/label", json!("other")),
        ("/data/inputs", json!("Matrix")),
        ("/data/images", json!({})),
        ("/classes", json!(["a", "b"])),
        ("/classes", json!(["b", "a"])),
        ("/metric", json!("Accuracy")),
        ("/gates", json!([{"metric": "Accuracy", "min": "0.90"}])),
    ] {
        let hash = measured(&[(pointer, value.clone())]);
        assert!(!all.contains(&hash), "{pointer} {value} is no change");
        all.push(hash);
    }
    assert_eq!(measured(&[("/gates", json!([{"metric": "Accuracy", "min": "0.9"}]))]), all[10]);
    assert_eq!(measured(&[("/gates", json!([])), ("/classes", json!([]))]), all[1]);
}

#[test]
fn golden_hashes_of_trainings_never_change() {
    assert_eq!(trained(&[]), "v1-e8d47f02738daa762aee85b0701a407a64abcd636409f800c50e111940c63fcb");
    assert_eq!(trained(&full()), "v1-b35a4fb8f0e1ae3249bb6f00de00e777f98371d3eafcc9fb238a4f89e90334e9");
}

/// The article's network, on images.
fn network() -> Vec<(&'static str, Value)> {
    let layers = json!([
        {"name": "scale", "type": "Rescaling", "parameters": {"scale": 0.5}},
        {"name": "flat", "type": "Flatten"},
        {"name": "hidden", "type": "Dense", "inputs": ["flat"], "parameters": {"units": 128, "activation": "relu"}},
        {"name": "out", "type": "Dense", "parameters": {"units": 10, "activation": "softmax",
            "kernel_regularizer": {"type": "L2", "parameters": {"l2": 0.01}}}},
    ]);
    vec![
        ("/data/format", "NPZ".into()),
        ("/data/images", json!({"height": 28, "width": 28})),
        ("/split", json!({"by": "Random", "test": "0.10"})),
        (
            "/candidates",
            json!([{"name": "net", "layers": layers, "loss": "sparse_categorical_crossentropy",
                "optimizer": {"type": "Adam", "parameters": {"learning_rate": 0.001}},
                "parameters": {"epochs": 5, "class_weight": {"0": 1, "1": 2.5}},
                "callbacks": [{"type": "EarlyStopping", "parameters": {"patience": 3}}]}]),
        ),
    ]
}

#[test]
fn golden_hashes_of_networks_never_change() {
    let plain = json!([{"name": "net", "layers": [{"name": "out", "type": "Dense"}]}]);
    assert_eq!(
        trained(&[("/candidates", plain)]),
        "v1-3c7ec3af5b0ab56aa2ff81ceb27584c218dfadcbb052957bad23a4e59f6afe59"
    );
    assert_eq!(trained(&network()), "v1-32b36eef3b859cf70758682447214c56bd811f16cb6360c31fa29ff3d994852b");
    let data = [
        ("/data/inputs", json!("Matrix")),
        ("/data/sequences", json!({"id": "a", "order": "b", "maxLength": 29})),
        ("/data/text", json!({"column": "a"})),
        ("/data/window", json!({"past": 12, "horizon": 1})),
        ("/data/test", json!({"uri": "s3://bucket/test.csv", "sha256": "a".repeat(64)})),
        ("/split", json!({"by": "Time"})),
    ];
    assert_eq!(trained(&data), "v1-8f4d5a478b775d1f29f5e0013391cea8c8fec237e569f6e67dc6f10db42f4c49");
}

#[test]
fn everything_of_a_network_decides_a_version_and_spellings_of_it_do_not() {
    let mut all = vec![trained(&network())];
    for (pointer, value) in [
        ("/candidates/0/layers/0/name", json!("other")),
        ("/candidates/0/layers/0/type", json!("Flatten")),
        ("/candidates/0/layers/2/inputs", json!(["scale"])),
        ("/candidates/0/layers/2/inputs", json!([])),
        ("/candidates/0/layers/2/parameters", json!({"units": 129, "activation": "relu"})),
        ("/candidates/0/layers/2/parameters", json!({"units": 128, "activation": null})),
        ("/candidates/0/layers/2/parameters", json!({"units": 128})),
        (
            "/candidates/0/layers/3/parameters/kernel_regularizer",
            json!({"type": "L2", "parameters": {"l2": null}}),
        ),
        ("/candidates/0/layers/3/parameters/kernel_regularizer", json!({"type": "L2"})),
        ("/candidates/0/layers/3/parameters/kernel_regularizer", json!({"type": "L2", "parameters": {}})),
        ("/candidates/0/loss", json!(null)),
        ("/candidates/0/optimizer", json!({"type": "Adam"})),
        ("/candidates/0/optimizer", json!(null)),
        ("/candidates/0/callbacks", json!([])),
        ("/candidates/0/callbacks", json!([{"type": "EarlyStopping"}])),
        ("/candidates/0/parameters", json!({"epochs": 5, "class_weight": {"0": 1, "1": null}})),
        ("/data/images", json!({})),
        ("/data/images", json!(null)),
        ("/split", json!({"test": "0.1"})),
    ] {
        let mut changes = network();
        changes.push((pointer, value.clone()));
        let hash = trained(&changes);
        assert!(!all.contains(&hash), "{pointer} {value} is no change");
        all.push(hash);
    }
    for (pointer, value) in [
        ("/split", json!({"by": "Random", "test": "0.1"})),
        ("/candidates/0/layers/1/parameters", json!({})),
        ("/candidates/0/layers/2/parameters", json!({"activation": "relu", "units": 128.0})),
        ("/candidates/0/parameters", json!({"epochs": 5.0, "class_weight": {"1": 2.5, "0": 1.0}})),
    ] {
        let mut changes = network();
        changes.push((pointer, value.clone()));
        assert_eq!(trained(&changes), all[0], "{pointer} {value}");
    }
}

#[test]
fn spellings_of_the_same_training_have_one_hash() {
    for (one, other) in [
        (vec![("/split", json!({"test": "0.1"}))], vec![("/split", json!({"test": "0.10"}))]),
        (vec![], vec![("/checks", json!({})), ("/preprocess", json!([])), ("/split", json!({}))]),
        (vec![], vec![("/selection", json!({})), ("/gates", json!([]))]),
        (
            vec![("/gates", json!([{"metric": "Accuracy", "min": "0.950"}]))],
            vec![("/gates", json!([{"metric": "Accuracy", "min": "0.95"}]))],
        ),
        (
            vec![("/candidates/0/parameters", json!({"n_estimators": 200}))],
            vec![("/candidates/0/parameters", json!({"n_estimators": 200.0}))],
        ),
        (
            vec![("/checks", json!({"columns": [{"name": "a", "min": "-0"}]}))],
            vec![("/checks", json!({"columns": [{"name": "a", "min": "0.0"}]}))],
        ),
    ] {
        assert_eq!(trained(&one), trained(&other), "{other:?}");
    }
}

#[test]
fn how_a_run_is_run_decides_no_version_and_everything_else_does() {
    let plain = trained(&[]);
    for same in [
        ("/resources", json!({"limits": {"nvidia.com/gpu": 1}})),
        ("/run", json!({"suspend": true, "queueName": "team-a", "backoffLimit": 5})),
    ] {
        assert_eq!(trained(std::slice::from_ref(&same)), plain, "{same:?}");
    }
    let mut all = vec![plain];
    for other in full().into_iter().chain([
        ("/task", json!("Regression")),
        ("/data/uri", json!("s3://bucket/other.csv")),
        ("/data/label", json!("other")),
        ("/data/format", json!("Parquet")),
        ("/trainer", json!({"image": "registry.example/mine:1"})),
        ("/trainer", json!({"image": "registry.example/mine:1", "args": ["x"]})),
        ("/preprocess", json!([{"ordinal": {}}])),
        ("/preprocess", json!([{"oneHot": {}}])),
        ("/candidates/0/parameters", json!({"max_features": null})),
        ("/candidates/0/parameters", json!({"max_features": "null"})),
        ("/candidates/0/parameters", json!({"max_features": 0.5})),
        ("/candidates", json!([{"name": "b", "algorithm": "SVM"}, {"name": "a", "algorithm": "SVM"}])),
        ("/candidates", json!([{"name": "a", "algorithm": "SVM"}, {"name": "b", "algorithm": "SVM"}])),
    ]) {
        let hash = trained(std::slice::from_ref(&other));
        assert!(!all.contains(&hash), "{other:?} is no change");
        all.push(hash);
    }
}

proptest! {
    #[test]
    fn a_decimal_counts_by_value(whole in 0_u32..1000, fraction in "[0-9]{1,8}", zeros in 0_usize..6) {
        let short = json!([{"metric": "LogLoss", "max": format!("{whole}.{fraction}")}]);
        let long = json!([{"metric": "LogLoss", "max": format!("{whole}.{fraction}{}", "0".repeat(zeros))}]);
        prop_assert_eq!(trained(&[("/gates", short)]), trained(&[("/gates", long)]));
    }
}
