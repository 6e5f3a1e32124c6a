//! Models that strangers bring: what they need beyond their signature is found, or can be brought along, and what is proven
//! by less says so.

use std::{fs, process::Command};

use base64::{Engine, engine::general_purpose::STANDARD};
use modelwright_contract::{
    artifact::{GoldenSamples, GoldenSource, GoldenTensor},
    fetch::FetchKind,
    report::PublishReport,
};
use modelwright_core::golden::{self, ReplayError};
use serde_json::json;

use crate::{
    publish::{Work, fetch, read},
    support::models::{load, model},
    support::{
        programs::Program,
        serving::{Serving, one_input},
    },
};

/// The folder with the locale that the images have.
fn locale() -> String {
    let top = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let output = Command::new("images/locale").current_dir(top).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn text_is_lowered_with_the_locale_of_the_images_and_without_it_the_refusal_says_what_is_missing() {
    let path = model("lower_case");
    let serving = Serving::start(
        &["--model", path.to_str().unwrap(), "--name", "lower_case"],
        &[("LOCPATH", &locale())],
    );
    serving.wait_for("ready");
    let request = one_input("x", "BYTES", "[2]", r#"["ÄBC", "Ελλάδα"]"#);
    let answer = serving.client().post("/v2/models/lower_case/infer", &request).json();
    assert_eq!(answer["outputs"][0]["data"], json!(["äbc", "ελλάδα"]), "{answer}");

    let mut command = Command::new(env!("CARGO_BIN_EXE_modelwright-jobs"));
    let nowhere = model("lower_case_nowhere");
    let output = command.args(["inspect", nowhere.to_str().unwrap()]).output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    for part in ["\"xx_XX.UTF-8\"", "StringNormalizer", "localedef -i xx_XX -f UTF-8 xx_XX.UTF-8"] {
        assert!(words.contains(part), "{part} is missing in: {words}");
    }
    let work = Work::new("127.0.0.1:1", &fs::read(nowhere).unwrap());
    let error = work.refusal().await;
    assert_eq!(error.reason(), "LoadFailed");
    assert!(error.to_string().contains("the package locales"), "{error}");
}

#[test]
fn sizes_and_values_that_a_signature_does_not_tell_are_found() {
    for (name, shapes) in [
        ("recurrent", vec![vec![1, 16], vec![2, 1, 4]]),
        ("window", vec![vec![65_536]]),
        ("text_number", vec![vec![1]]),
        ("long_name", vec![vec![1; 20]]),
    ] {
        let session = load(name);
        let golden =
            golden::record_synthetic(&session, 4, 7).unwrap_or_else(|error| panic!("{name}: {error}"));
        let found: Vec<_> = golden.samples[0].inputs.iter().map(|input| input.shape.clone()).collect();
        assert_eq!(found, shapes, "{name}");
        assert_eq!(golden::replay(&session, &golden).unwrap().count, 4, "{name}");
    }
}

async fn published(work: &Work) -> (PublishReport, GoldenSamples) {
    let report = work.publish().await.unwrap();
    let volume = fetch(FetchKind::Artifact, &report).await;
    let golden = read(&volume.folder.path().join("data/modelwright/golden.json"));
    (report, golden)
}

fn file(name: &str) -> Vec<u8> {
    fs::read(model(name)).unwrap()
}

#[tokio::test]
async fn a_model_that_draws_random_numbers_is_proven_by_less_and_says_so() {
    let registry = Program::registry("").await;
    let (report, golden) = published(&Work::new(&registry.host(), &file("noisy"))).await;
    assert_eq!((report.golden_count, report.golden_random), (4, vec!["noisy".to_owned()]));
    assert_eq!(golden.random, ["noisy"]);
    let session = load("noisy");
    assert_eq!(golden::replay(&session, &golden).unwrap().count, 4);

    // What is not random is held to what was recorded, and what is has a kind.
    let changed = |at: usize, change: &dyn Fn(&mut GoldenTensor)| {
        let mut golden = golden.clone();
        change(&mut golden.samples[0].outputs[at]);
        golden::replay(&session, &golden)
    };
    let zeros = |tensor: &mut GoldenTensor| tensor.data = STANDARD.encode([0; 8]);
    assert!(changed(0, &zeros).is_ok(), "other random numbers");
    assert!(matches!(changed(1, &zeros), Err(ReplayError::Mismatch(_))), "zeros for what is no noise");
    let flat = changed(0, &|tensor| tensor.shape = vec![2]);
    assert!(matches!(flat, Err(ReplayError::Mismatch(_))), "{flat:?}");

    // A file cannot declare an output random.
    let work = Work::new(&registry.host(), &file("linear"));
    let mut other = golden::record_synthetic(&load("linear"), 1, 7).unwrap();
    other.random = vec!["y".to_owned()];
    other.samples[0].outputs[0].data = STANDARD.encode([0; 12]);
    work.write("modelwright/golden.json", serde_json::to_vec(&other).unwrap());
    assert_eq!(work.refusal().await.reason(), "GoldenMismatch");
}

fn tensor(name: &str, numbers: &[f32]) -> serde_json::Value {
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    json!({"name": name, "datatype": "FP32", "shape": [1, numbers.len()], "data": STANDARD.encode(bytes)})
}

#[tokio::test]
async fn an_import_brings_samples_of_its_own_with_answers_or_has_them_recorded() {
    let registry = Program::registry("").await;
    let row = [1.0, 0.0, 0.0, 0.0];
    // The first row of the weights, and what is added.
    let answer = [0.5, -0.875, 2.25];
    let publish = |samples: serde_json::Value| {
        let work = Work::new(&registry.host(), &file("linear"));
        work.write("modelwright/golden.json", samples.to_string());
        work
    };
    for (outputs, count) in [(None, 1), (Some(answer), 1)] {
        let mut sample = json!({"inputs": [tensor("x", &row)]});
        if let Some(outputs) = outputs {
            sample["outputs"] = json!([tensor("y", &outputs)]);
        }
        // What it says of its source is nobody's word.
        let (report, golden) = published(&publish(json!({"source": "Test", "samples": [sample]}))).await;
        assert_eq!((report.golden_count, report.golden_source), (count, GoldenSource::Provided));
        assert_eq!(golden.samples[0].inputs[0].data, tensor("x", &row)["data"]);
        assert_eq!(golden.samples[0].outputs[0].data, tensor("y", &answer)["data"]);
        assert!(golden::replay(&load("linear"), &golden).is_ok());
    }
    for (samples, part) in [
        (
            json!({"samples": [{"inputs": [tensor("x", &row)], "outputs": [tensor("y", &[0.5, -0.875, 9.0])]}]}),
            "9",
        ),
        (json!({"samples": [{"inputs": [tensor("z", &row)]}]}), "golden sample 0 of the import"),
        (json!({"samples": [{"inputs": [tensor("x", &row[..2])]}]}), "golden sample 0 of the import"),
        (json!({"samples": [{"inputs": 7}]}), "expected {\"samples\": [{\"inputs\": "),
    ] {
        let error = publish(samples).refusal().await;
        assert_eq!(error.reason(), "GoldenMismatch", "{error}");
        assert!(error.to_string().contains(part), "{part} is missing in: {error}");
    }
}

#[test]
fn a_stored_value_that_is_an_input_may_be_given_or_left_out() {
    let serving = Serving::model("scaled", &[]);
    let x = r#"{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 1]}"#;
    let infer = |inputs: &str| {
        serving.client().post("/v2/models/scaled/infer", &format!(r#"{{"inputs": [{inputs}]}}"#))
    };
    let w = |shape: &str, data: &str| {
        format!(r#"{{"name": "w", "datatype": "FP32", "shape": {shape}, "data": {data}}}"#)
    };
    let data = |inputs: &str| infer(inputs).json()["outputs"][0]["data"].clone();
    assert_eq!(data(x), json!([2.0, 3.0]));
    for given in [format!("{x}, {}", w("[2]", "[5, 7]")), format!("{}, {x}", w("[2]", "[5, 7]"))] {
        assert_eq!(data(&given), json!([5.0, 7.0]), "{given}");
    }
    assert_eq!(data(x), json!([2.0, 3.0]), "the stored one is still there");
    for (inputs, part) in [
        (format!("{x}, {}", w("[3]", "[5, 7, 9]")), "input \"w\" has shape [3], expected [2]"),
        (w("[2]", "[5, 7]"), "input \"x\" is missing"),
        (format!("{x}, {}, {}", w("[2]", "[5, 7]"), w("[2]", "[5, 7]")), "given twice"),
        (
            r#"{"name": "z", "datatype": "FP32", "shape": [1], "data": [1]}"#.to_owned(),
            "expected \"x\", and if wanted \"w\"",
        ),
    ] {
        let error = infer(&inputs).error();
        assert!(error.contains(part), "{part} is missing in: {error}");
    }
    let metadata = serving.client().get("/v2/models/scaled").json();
    assert_eq!(metadata["inputs"].as_array().unwrap().len(), 1, "{metadata}");
    assert_eq!(metadata["optional_inputs"], json!([{"name": "w", "datatype": "FP32", "shape": [2]}]));
    let config = serving.client().get("/v2/models/scaled/config").json();
    assert_eq!(config["input"][1]["optional"], true, "{config}");
}
