//! What a server's memory holds of a model: its weights once, wherever they lie.

use std::{
    fs::{self, File},
    io::Write as _,
};

use tempfile::TempDir;

use crate::support::{
    onnx,
    serving::{Client, Serving},
};

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

/// Numbers of an answer, a mebibyte of them.
const WIDE: u64 = 256 * 1024;
/// Requests at once, of which one does not take its answer.
const TOGETHER: usize = 24;
const ROUNDS: usize = 8;

#[test]
fn who_does_not_take_an_answer_holds_those_of_others_that_shared_its_run_no_longer_than_they_do() {
    let folder = TempDir::new().unwrap();
    let model = onnx::model(&[
        onnx::node("MatMul", &["x", "w"], &["y"], &[]),
        onnx::constant("w", onnx::FLOAT, &[1, WIDE], &vec![0; usize::try_from(WIDE).unwrap() * 4]),
        onnx::value(11, "x", onnx::FLOAT, &[0, 1]),
        onnx::value(12, "y", onnx::FLOAT, &[0, WIDE]),
    ]);
    fs::write(folder.path().join("model.onnx"), model).unwrap();
    // Fewer rows than usual, since they are tried before anything is served.
    let serving = Serving::at(folder.path(), "wide", &["--threads", "1", "--max-rows", "16"]);
    let body = r#"{"inputs":[{"name":"x","shape":[1,1],"datatype":"FP32","data":[1]}],"outputs":[{"name":"y","parameters":{"binary_data":true}}]}"#;
    let request = format!(
        "POST /v2/models/wide/infer HTTP/1.1\r\nhost: t\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut kept = Vec::new();
    let mut round = || {
        let mut clients: Vec<Client> = (0..TOGETHER).map(|_| Client::new(serving.http)).collect();
        for client in &mut clients {
            client.send_only(request.as_bytes());
        }
        // Behind the first ones, which have runs of their own.
        kept.push(clients.swap_remove(TOGETHER / 2));
        std::thread::scope(|scope| {
            for mut client in clients {
                scope.spawn(move || assert_eq!(client.receive().unwrap().status, 200));
            }
        });
    };
    round();
    let before = serving.own_memory();
    for _ in 0..ROUNDS {
        round();
    }
    let runs = serving.metric("modelwright_batch_size_count").unwrap();
    let requests = serving.metric("modelwright_batch_size_sum").unwrap();
    assert!(requests > 4.0 * runs, "{requests} requests in {runs} runs");
    let held = serving.metric("modelwright_memory_held_bytes").unwrap();
    // Who takes nothing for long is given up; not all of them are by now.
    let most = f64::from(u32::try_from(ROUNDS as u64 * WIDE * 4).unwrap());
    assert!(held >= most / 2.0, "{held} bytes wait for their clients");
    let grown = serving.own_memory().saturating_sub(before);
    // Each of those who wait has a mebibyte; ONNX Runtime and the allocator keep some of what was in use.
    assert!(grown < 60 << 20, "{grown} bytes for {ROUNDS} answers of {} bytes", WIDE * 4);
}
