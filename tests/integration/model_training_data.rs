//! What is refused of data whose rows are not those of a table, before any pod, and what `train` is told of it.

use k8s_openapi::api::core::v1::Container;
use modelwright::{
    context::Settings,
    model::{build::build_job, validate::validate_model},
};
use modelwright_contract::{algorithms::scikit_learn, training::Task};
use serde_json::{Value, json};

use crate::fixtures::{settings, trained_model, valid};

fn training(data: Value, more: Value) -> Value {
    let mut all = json!({"uri": "s3://bucket/data", "format": "CSV", "label": "y"});
    for (name, part) in data.as_object().unwrap() {
        all[name] = part.clone();
    }
    let mut training = json!({"data": all});
    for (name, part) in more.as_object().unwrap() {
        training[name] = part.clone();
    }
    training
}

/// A network, which takes texts, too.
fn words() -> Value {
    let layer = |name: &str, layer: &str, parameters: Value| json!({"name": name, "type": layer, "parameters": parameters});
    json!({"candidates": [{"name": "net", "layers": [
        layer("tokens", "TextVectorization", json!({"max_tokens": 20, "output_sequence_length": 6})),
        layer("words", "Embedding", json!({"input_dim": 20, "output_dim": 4})),
        layer("pool", "GlobalAveragePooling1D", json!({})),
        layer("out", "Dense", json!({"units": 2, "activation": "softmax"})),
    ]}]})
}

fn refuses(data: Value, more: Value, parts: &[&str]) {
    let training = training(data, more);
    let told = validate_model(&trained_model(training.clone(), 1)).unwrap_err().problems;
    let [message] = told.as_slice() else { panic!("{training}: {told:#?}") };
    let missing: Vec<_> = parts.iter().filter(|part| !message.contains(**part)).collect();
    assert!(missing.is_empty(), "{training}: {message} lacks {missing:?}");
}

#[test]
fn rows_are_of_one_kind_that_the_format_has() {
    let none = || json!({});
    let regression = || json!({"task": "Regression", "candidates": [{"name": "a", "algorithm": "Ridge"}]});
    refuses(
        json!({"format": "NPZ", "images": {}, "sequences": {}}),
        none(),
        &["has images and sequences", "at most one"],
    );
    refuses(json!({"images": {}}), none(), &["data.images goes with format NPZ or Images", "is CSV"]);
    refuses(
        json!({"format": "NPZ", "text": {}}),
        words(),
        &["data.text is of a table", "is NPZ", "CSV or Parquet"],
    );
    refuses(
        json!({"format": "NPZ", "window": {"past": 3}}),
        regression(),
        &["data.window is of a table", "is NPZ"],
    );
    refuses(
        json!({"format": "Images", "sequences": {}}),
        none(),
        &["has images and sequences", "at most one"],
    );
    refuses(
        json!({"format": "Images", "inputs": "Matrix"}),
        none(),
        &["data.inputs is Matrix", "data.images is one input"],
    );
    let scale = || json!({"preprocess": [{"scale": {"method": "MinMax"}}]});
    let mut scaled_words = words();
    scaled_words["preprocess"] = scale()["preprocess"].clone();
    refuses(
        json!({"text": {}}),
        scaled_words,
        &["preprocess is for the columns of a table", "data has text"],
    );
    refuses(
        json!({"format": "Images"}),
        scale(),
        &["preprocess is for the columns", "data has images", "Rescaling"],
    );
    refuses(json!({"sequences": {}}), none(), &["data.sequences of CSV needs id and order"]);
    refuses(json!({"sequences": {"id": "a"}}), none(), &["data.sequences.id is `a`, and order is missing"]);
    refuses(
        json!({"sequences": {"order": "a"}}),
        none(),
        &["data.sequences.order is `a`, and id is missing"],
    );
    refuses(json!({"sequences": {"id": "a", "order": "a"}}), none(), &["are both `a`", "two columns"]);
    refuses(json!({"sequences": {"id": "y", "order": "a"}}), none(), &["sequences.id is `y`", "data.label"]);
    refuses(
        json!({"format": "NPZ", "sequences": {"id": "a", "order": "b"}}),
        none(),
        &["data.sequences.id `a` names a column", "NPZ", "remove id and order"],
    );
    refuses(
        json!({"format": "NPZ", "images": {"height": 28}}),
        none(),
        &["images.height is 28, and width is missing"],
    );
    refuses(
        json!({"format": "NPZ", "images": {"width": 28}}),
        none(),
        &["images.width is 28, and height is missing"],
    );
    refuses(
        json!({"format": "NPZ", "images": {"channels": 9}}),
        none(),
        &["images.channels is 9; expected 1 (grey), 3 (RGB) or 4"],
    );
    refuses(
        json!({"text": {"column": "y"}}),
        words(),
        &["text.column is `y`, which is spec.training.data.label"],
    );
    refuses(json!({"window": {"past": 0}}), regression(), &["window.past", "1 or more"]);
    refuses(
        json!({"window": {"past": 3}}),
        none(),
        &["data.window predicts a number", "task is Classification"],
    );
    refuses(
        json!({"format": "NPZ", "inputs": "Matrix"}),
        none(),
        &["data.inputs is Matrix", "NPZ", "remove it"],
    );
    refuses(
        json!({"text": {}, "inputs": "Columns"}),
        words(),
        &["data.inputs is Columns", "data.text is one input"],
    );
}

#[test]
fn an_algorithm_is_refused_for_rows_that_it_can_never_take() {
    for (task, algorithm, known) in [
        ("Classification", "LogisticRegression", scikit_learn(Task::Classification)),
        ("Regression", "RandomForest", scikit_learn(Task::Regression)),
    ] {
        assert!(known.contains_key(algorithm));
        let more = || json!({"task": task, "candidates": [{"name": "a", "algorithm": algorithm}]});
        refuses(
            json!({"text": {}}),
            more(),
            &[
                "candidates[0].algorithm",
                algorithm,
                "a fixed number of numbers",
                "data has text",
                "TextVectorization",
            ],
        );
        // What can be known of sequences before they are read refuses none.
        for data in [
            json!({}),
            json!({"format": "Images"}),
            json!({"format": "NPZ", "images": {}}),
            json!({"format": "Parquet", "sequences": {}}),
        ] {
            valid(&trained_model(training(data, more()), 1));
        }
    }
    // Code of one's own knows words of its own.
    let own =
        json!({"candidates": [{"name": "a", "algorithm": "TfIdf"}], "trainer": {"image": "registry/own:1"}});
    valid(&trained_model(training(json!({"text": {}}), own), 1));
}

#[test]
fn rows_in_their_order_are_parted_by_it() {
    let window = json!({"window": {"past": 3}});
    let of = |split: Value| json!({"task": "Regression", "candidates": [{"name": "a", "algorithm": "Ridge"}], "split": split});
    refuses(
        window.clone(),
        of(json!({"by": "Random"})),
        &["split.by is Random", "in their order", "set it to Time"],
    );
    refuses(
        json!({}),
        json!({"split": {"by": "Time", "stratify": true}}),
        &["split.stratify is true", "by time"],
    );
    let told = |data: Value, more: Value| {
        let model = valid(&trained_model(training(data, more), 1));
        serde_json::to_value(&model.training().unwrap().config).unwrap()
    };
    let windowed = told(window, of(json!({})));
    assert_eq!(
        windowed["split"],
        json!({"by": "Time", "validation": "0.1", "test": "0.2", "seed": 0, "stratify": false})
    );
    assert_eq!(windowed["data"]["window"], json!({"past": 3}));
    let in_order = told(json!({}), json!({"split": {"by": "Time"}}));
    assert_eq!(in_order["split"]["stratify"], false);
    let plain = told(json!({}), json!({}));
    assert_eq!(plain["split"], json!({"validation": "0.1", "test": "0.2", "seed": 0, "stratify": true}));
    assert_eq!(plain["data"], json!({"directory": "/modelwright/data", "format": "CSV", "label": "y"}));
}

#[test]
fn what_the_rows_are_is_told_as_it_is_written() {
    let plain = || json!({});
    for (data, told, more) in [
        (json!({"format": "Images"}), json!({"images": {}}), plain()),
        (json!({"format": "NPZ", "images": {"height": 8, "width": 9, "channels": 1}}), plain(), plain()),
        (json!({"sequences": {"id": "a", "order": "b", "maxLength": 29}}), plain(), plain()),
        (json!({"format": "Parquet", "sequences": {}}), plain(), plain()),
        (json!({"text": {"column": "sentence"}}), plain(), words()),
        (json!({"inputs": "Matrix"}), plain(), plain()),
    ] {
        let model = valid(&trained_model(training(data.clone(), more), 1));
        let mut expected = json!({"directory": "/modelwright/data", "format": "CSV", "label": "y"});
        for (name, part) in data.as_object().unwrap().iter().chain(told.as_object().unwrap()) {
            expected[name] = part.clone();
        }
        assert_eq!(serde_json::to_value(&model.training().unwrap().config.data).unwrap(), expected);
    }
}

/// A pod that names a claim twice may not start.
#[test]
fn a_claim_that_holds_data_and_test_set_is_one_volume_of_the_pod() {
    for (data, test, store, claims) in [
        ("pvc://one/data.csv", "pvc://one/test.csv", "oci://store:5000/models", 1),
        ("pvc://one/data.csv", "pvc://two/test.csv", "oci://store:5000/models", 2),
        ("s3://bucket/data.csv", "pvc://one/test.csv", "pvc://one/kept", 1),
        ("pvc://one/data.csv", "pvc://one/test.csv", "pvc://one/kept", 1),
        ("pvc://one/data.csv", "pvc://two/test.csv", "pvc://three/kept", 3),
    ] {
        let training = training(json!({"uri": data, "test": {"uri": test}}), json!({}));
        let settings = Settings { store_uri: store.into(), ..settings() };
        let job = build_job(&valid(&trained_model(training, 1)), &settings, false);
        let pod = job.spec.unwrap().template.spec.unwrap();
        let volumes = pod.volumes.unwrap();
        let named: Vec<_> =
            volumes.iter().filter_map(|volume| volume.persistent_volume_claim.as_ref()).collect();
        assert_eq!(named.len(), claims, "{data} {test} {store}: {named:?}");
        let containers: Vec<_> = pod.init_containers.unwrap().into_iter().chain(pod.containers).collect();
        for container in &containers {
            for mount in container.volume_mounts.iter().flatten() {
                assert!(
                    volumes.iter().any(|volume| volume.name == mount.name),
                    "{} of {}",
                    mount.name,
                    container.name
                );
            }
        }
        let fetch = &containers[0];
        let test = fetch
            .volume_mounts
            .iter()
            .flatten()
            .find(|mount| mount.mount_path == "/modelwright-test-claim")
            .unwrap();
        assert_eq!(test.read_only, Some(true));
        let is_mounted = |container: &Container| {
            container
                .volume_mounts
                .iter()
                .flatten()
                .any(|mount| mount.mount_path == "/modelwright-test-claim")
        };
        assert_eq!(
            containers.iter().filter(|container| is_mounted(container)).count(),
            1,
            "into fetch alone"
        );
    }
}
