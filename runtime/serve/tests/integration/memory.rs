//! What a server's memory holds of a model: its weights once, wherever they lie.

use std::{
    fs::{self, File},
    io::Write as _,
};

use tempfile::TempDir;

use crate::support::{onnx, serving::Serving};

/// Layers of the model, each a matrix of 16 MiB: one at a time is there twice, while ONNX Runtime lays it out anew.
const LAYERS: u8 = 8;
/// Rows and columns of a matrix.
const SHAPE: [u64; 2] = [2048, 2048];
const WEIGHTS: u64 = LAYERS as u64 * SHAPE[0] * SHAPE[1] * 4;

/// Of a matrix.
fn name(number: u8) -> String {
    format!("w{number}")
}

/// All zeros but for the first one, since ONNX Runtime keeps what is the same once.
fn first(number: u8) -> [u8; 4] {
    f32::from(number).to_le_bytes()
}

/// Its matrices are said by initializers.
fn product(weights: impl Fn(u8) -> Vec<u8>) -> Vec<u8> {
    let layer = |number: u8| {
        let (from, to) = (format!("x{number}"), format!("x{}", number + 1));
        [onnx::node("MatMul", &[&from, &name(number)], &[&to], &[]), weights(number)]
    };
    let mut parts: Vec<_> = (0..LAYERS).flat_map(layer).collect();
    parts.push(onnx::value(11, "x0", onnx::FLOAT, &[0, SHAPE[0]]));
    parts.push(onnx::value(12, &format!("x{LAYERS}"), onnx::FLOAT, &[0, SHAPE[1]]));
    onnx::model(&parts)
}

/// Most bytes that a server of a model has had until it was ready.
fn taken(folder: &TempDir) -> u64 {
    Serving::at(folder.path(), "large", &[]).peak_memory()
}

#[test]
fn a_models_weights_are_in_memory_once_from_the_start_on() {
    let small = Serving::model("linear", &[]).peak_memory();
    let apart = TempDir::new().unwrap();
    let model = product(|number| onnx::elsewhere(&name(number), &SHAPE, &name(number)));
    fs::write(apart.path().join("model.onnx"), model).unwrap();
    let size = WEIGHTS / u64::from(LAYERS);
    for number in 0..LAYERS {
        let mut file = File::create(apart.path().join(name(number))).unwrap();
        file.write_all(&first(number)).unwrap();
        file.set_len(size).unwrap();
    }
    let inside = TempDir::new().unwrap();
    let model = product(|number| {
        let mut matrix = vec![0; usize::try_from(size).unwrap()];
        matrix[..4].copy_from_slice(&first(number));
        onnx::constant(&name(number), onnx::FLOAT, &SHAPE, &matrix)
    });
    fs::write(inside.path().join("model.onnx"), model).unwrap();
    for (what, folder) in [("beside the graph", apart), ("in the graph", inside)] {
        let took = taken(&folder).saturating_sub(small);
        assert!(took >= WEIGHTS, "the weights {what} were not loaded: {took} bytes");
        assert!(took < WEIGHTS * 3 / 2, "weights of {WEIGHTS} bytes {what} took {took}");
    }
}

#[test]
fn what_loading_a_model_left_is_given_back() {
    // Initializers that are too small to be mapped one by one, as those of most models.
    const SIDE: u64 = 256;
    const COUNT: u8 = 200;
    let numbers = |number: u8| {
        [first(number).as_slice(), &vec![0; usize::try_from(SIDE * SIDE).unwrap() * 4 - 4]].concat()
    };
    let layer = |number: u8| {
        let (from, to) = (format!("x{number}"), format!("x{}", number + 1));
        let weights = onnx::constant(&name(number), onnx::FLOAT, &[SIDE, SIDE], &numbers(number));
        [onnx::node("MatMul", &[&from, &name(number)], &[&to], &[]), weights]
    };
    let mut parts: Vec<_> = (0..COUNT).flat_map(layer).collect();
    parts.push(onnx::value(11, "x0", onnx::FLOAT, &[0, SIDE]));
    parts.push(onnx::value(12, &format!("x{COUNT}"), onnx::FLOAT, &[0, SIDE]));
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("model.onnx"), onnx::model(&parts)).unwrap();
    let serving = Serving::at(folder.path(), "layers", &[]);
    let weights = SIDE * SIDE * 4 * u64::from(COUNT);
    let keeps = serving.own_memory();
    assert!(keeps > weights, "{keeps} bytes, and the weights are {weights}");
    assert!(keeps < weights + 16_000_000, "{keeps} bytes are kept for weights of {weights}");
}
