//! Golden samples of a training whose rows stay in the cluster: like its data, and none of it.

use std::{fs, path::Path};

use modelwright_contract::{
    artifact::{Description, GoldenSamples, GoldenSource},
    fetch::FetchKind,
    report::PublishReport,
    training::Task,
};
use modelwright_core::{golden, tensor::Tensor};

use crate::support::{
    Volume,
    npz::{f32s, i64s, npz},
    onnx,
    programs::Program,
    sha256,
    training::{Run, says},
};

const ROWS: usize = 60;
const FEATURES: usize = 6;
/// Neurons of the layers, the last ones being the classes.
const LAYERS: [usize; 3] = [8, 8, 3];

/// Numbers that look random and are the same each time.
fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f32::from(u16::try_from(state >> 16).unwrap()) / 32768.0 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// A network of three layers with a softmax, as a trainer would export it; the weights and biases of `zeroed` are lost.
fn network(zeroed: Option<&str>) -> Vec<u8> {
    let mut parts = Vec::new();
    let (mut from, mut width) = ("x".to_owned(), FEATURES);
    for (number, size) in LAYERS.into_iter().enumerate() {
        let name = |what: &str| format!("{what}{number}");
        for (array, shape, seed) in [("w", vec![width, size], 7), ("b", vec![size], 70)] {
            let count = shape.iter().product();
            let mut values = numbers(count, seed + u32::try_from(number).unwrap());
            if zeroed == Some(name(array).as_str()) {
                values = vec![0.0; count];
            }
            let shape: Vec<u64> = shape.iter().map(|size| *size as u64).collect();
            parts.push(onnx::constant(&name(array), onnx::FLOAT, &shape, &onnx::floats(&values)));
        }
        parts.push(onnx::node("Gemm", &[&from, &name("w"), &name("b")], &[&name("sum")], &[]));
        let is_last = number + 1 == LAYERS.len();
        let to = if is_last { "probabilities".to_owned() } else { name("h") };
        parts.push(onnx::node(if is_last { "Softmax" } else { "Relu" }, &[&name("sum")], &[&to], &[]));
        (from, width) = (to, size);
    }
    parts.push(onnx::value(11, "x", onnx::FLOAT, &[0, FEATURES as u64]));
    parts.push(onnx::value(12, "probabilities", onnx::FLOAT, &[0, LAYERS[2] as u64]));
    onnx::model(&parts)
}

/// Rows of people: every one of them is somebody.
fn people(seed: u32) -> Vec<f32> {
    numbers(ROWS * FEATURES, seed).iter().map(|number| number * 3.0).collect()
}

fn run(host: &str) -> Run {
    let run = Run::new(host, Task::Classification);
    run.write("model.onnx", network(None));
    let labels: Vec<i64> = (0..ROWS).map(|row| i64::try_from(row % 3).unwrap()).collect();
    let evaluation = [
        ("inputs/x", f32s(&[ROWS, FEATURES], &people(1))),
        ("labels", i64s(&[ROWS], &labels)),
        ("classes", i64s(&[3], &[0, 1, 2])),
    ];
    run.write("evaluation.npz", npz(&evaluation));
    run.write("calibration.npz", npz(&[("inputs/x", f32s(&[ROWS, FEATURES], &people(2)))]));
    run
}

async fn fetch(report: &PublishReport) -> Volume {
    let mut volume = Volume::new(&report.artifact_uri).pinned(&report.artifact_sha256);
    volume.config.kind = FetchKind::Source;
    volume.config.plain_http = true;
    volume.fetch().await.unwrap();
    volume
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> T {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn rows(inputs: &Tensor) -> Vec<f32> {
    inputs.data.chunks(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

fn inputs(volume: &Volume) -> Vec<Vec<f32>> {
    let golden: GoldenSamples = read(&volume.folder.path().join("data/modelwright/golden.json"));
    golden.samples.iter().map(|sample| rows(&golden::decode(&sample.inputs[0]).unwrap())).collect()
}

#[tokio::test]
async fn no_row_leaves_the_cluster_and_any_layer_that_is_lost_is_caught() {
    let registry = Program::registry("").await;
    let mut run = run(&registry.host());
    run.config.golden_samples = 8;
    let report = run.publish().await.unwrap();
    assert_eq!((report.golden_count, report.golden_source), (8, GoldenSource::Quantiles));
    assert!(report.metrics.contains_key("Accuracy"), "it is judged on the test part all the same");
    let volume = fetch(&report).await;
    let files = ["model.onnx", "modelwright/description.json", "modelwright/golden.json"];
    assert_eq!(volume.files(), files, "and nothing with rows");
    let (test, train) = (people(1), people(2));
    for sample in inputs(&volume) {
        assert!(test.chunks(FEATURES).chain(train.chunks(FEATURES)).all(|row| row != sample), "{sample:?}");
    }
    let data = volume.folder.path().join("data");
    let description: Description = read(&data.join("modelwright/description.json"));
    for layer in ["w0", "b0", "w1", "b1", "w2", "b2"] {
        let mut import = Run::new(&registry.host(), Task::Classification);
        import.config.judgement = None;
        let lost = network(Some(layer));
        import.write("model.onnx", &lost);
        let model_digest = sha256(format!("{}  model.onnx\n", sha256(&lost)));
        let of_lost = Description { model_digest, ..description.clone() };
        import.write("modelwright/description.json", serde_json::to_vec(&of_lost).unwrap());
        import.write("modelwright/golden.json", fs::read(data.join("modelwright/golden.json")).unwrap());
        says(&import.refused().await, "GoldenMismatch", "does not reproduce");
    }
}

#[tokio::test]
async fn rows_that_are_declared_shareable_are_what_is_recorded() {
    let registry = Program::registry("").await;
    let run = run(&registry.host());
    let shared = numbers(3 * FEATURES, 9);
    run.write("golden.npz", npz(&[("inputs/x", f32s(&[3, FEATURES], &shared))]));
    let report = run.publish().await.unwrap();
    assert_eq!((report.golden_count, report.golden_source), (3, GoldenSource::Shareable));
    let recorded = inputs(&fetch(&report).await);
    assert_eq!(recorded, shared.chunks(FEATURES).map(<[f32]>::to_vec).collect::<Vec<_>>());
    run.write("golden.npz", npz(&[("inputs/x", f32s(&[3, 2], &[0.0; 6]))]));
    let refused = run.refused().await;
    says(&refused, "InvalidEvaluation", "golden.npz is refused: its array \"inputs/x\"");
    says(&refused, "InvalidEvaluation", "the graph takes FP32 of shape [-1, 6]");
}

#[tokio::test]
async fn without_rows_to_draw_from_samples_are_made_from_the_signature() {
    let registry = Program::registry("").await;
    let run = run(&registry.host());
    run.write("calibration.npz", npz(&[("inputs/x", f32s(&[19, FEATURES], &people(2)[..19 * FEATURES]))]));
    assert_eq!(run.publish().await.unwrap().golden_source, GoldenSource::Synthetic);
    fs::remove_file(run.path("calibration.npz")).unwrap();
    assert_eq!(run.publish().await.unwrap().golden_source, GoldenSource::Synthetic);
}
