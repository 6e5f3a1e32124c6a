//! What only a GPU shows: answers, shared runs, failures and limits of a model on CUDA. Without `tests/run gpu`, which
//! looks whether there is a GPU, these are left out and not passed.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use modelwright_contract::{
    names::{EXIT_BAD_INPUT, SERVING_ENV},
    serving::ExecutionProvider,
};
use modelwright_core::{
    golden::{record_synthetic, replay},
    session::{Cancellation, RunError, Session, SessionOptions},
    tensor::{Datatype, Tensor, encode_strings},
};
use serde_json::json;
use tonic::Request;

use crate::{
    grpc,
    support::models::model,
    support::{
        onnx::{FLOAT, INT64, constant, model as graph_of, node, value},
        serving::{Serving, artifact, config, one_input},
    },
};

const ON_CUDA: [&str; 2] = ["--execution-provider", "CUDA"];
const INFER: &str = "/v2/models/linear/infer";

fn on_cuda(path: &Path) -> Session {
    let options =
        SessionOptions { execution_providers: vec![ExecutionProvider::Cuda], ..SessionOptions::default() };
    Session::load(path, &options).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn on_cpu(name: &str) -> Session {
    Session::load(&model(name), &SessionOptions::default()).unwrap()
}

fn tensor(name: &str, datatype: Datatype, shape: &[i64], data: Vec<u8>) -> Tensor {
    Tensor { name: name.to_owned(), datatype, shape: shape.to_vec(), data: data.into() }
}

fn fp32(name: &str, shape: &[i64], numbers: impl IntoIterator<Item = f32>) -> Tensor {
    tensor(name, Datatype::Fp32, shape, numbers.into_iter().flat_map(f32::to_le_bytes).collect())
}

fn int64(name: &str, shape: &[i64], number: i64) -> Tensor {
    tensor(name, Datatype::Int64, shape, number.to_le_bytes().to_vec())
}

#[test]
#[ignore = "needs a GPU with CUDA: tests/run gpu"]
fn each_model_answers_as_it_was_recorded_on_a_cpu() {
    let identities = Datatype::ALL.map(|datatype| format!("identity_{}", datatype.name().to_lowercase()));
    let others =
        ["linear", "classifier", "sigmoid", "zipmap", "zipmap_int64", "classifier_text", "two_in_two_out"];
    for name in identities.into_iter().chain(others.map(str::to_owned)) {
        let (session, golden) = (on_cuda(&model(&name)), record_synthetic(&on_cpu(&name), 5, 7).unwrap());
        assert_eq!(session.execution_provider(), ExecutionProvider::Cuda, "{name}");
        let proof = replay(&session, &golden).unwrap_or_else(|error| panic!("{name}: {error}"));
        println!(
            "{name}: {} samples, difference {}, {:?}",
            proof.count,
            proof.max_difference,
            session.nodes()
        );
        assert_eq!(proof.count, 5, "{name}");
    }
    for name in ["linear", "sigmoid", "two_in_two_out"] {
        let nodes = on_cuda(&model(name)).nodes().clone();
        assert!(nodes.get("CUDA").is_some_and(|count| *count > 0), "{name}: {nodes:?}");
    }
}

#[test]
#[ignore = "needs a GPU with CUDA: tests/run gpu"]
fn every_datatype_goes_to_the_device_and_back_bit_by_bit() {
    for datatype in Datatype::ALL {
        let session = on_cuda(&model(&format!("identity_{}", datatype.name().to_lowercase())));
        let bytes = |count: usize| match datatype {
            Datatype::Bool => (0..count).map(|i| u8::from(i % 3 == 0)).collect::<Vec<u8>>(),
            Datatype::Bytes => encode_strings((0..count).map(|i| "ä".repeat(i % 7))).unwrap().to_vec(),
            other => {
                (0..count * other.size().unwrap()).map(|i| u8::try_from(i * 31 % 251).unwrap()).collect()
            }
        };
        // None, few, and many.
        for rows in [0_i64, 1, 7, 4096] {
            let count = usize::try_from(rows * 3).unwrap();
            let input = tensor("x", datatype, &[rows, 3], bytes(count));
            let answer = session.run(std::slice::from_ref(&input), &[]).unwrap();
            assert_eq!(answer, [Tensor { name: "y".to_owned(), ..input }], "{datatype}, {rows} rows");
        }
    }
}

/// What runs of one session could share on a device: a library's handles and scratch memory (a product of matrices, a
/// convolution), and what a convolution keeps of its last shape.
#[test]
#[ignore = "needs a GPU with CUDA: tests/run gpu"]
fn runs_from_many_threads_are_those_of_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    let numbers = |count: u16| {
        (0..count).flat_map(|i| (f32::from(i % 13) / 13.0 - 0.4).to_le_bytes()).collect::<Vec<u8>>()
    };
    let graph = [
        constant("kernel", FLOAT, &[8, 1, 3, 3], &numbers(72)),
        constant("weight", FLOAT, &[8 * 26 * 26, 10], &numbers(8 * 26 * 26 * 10)),
        node("Conv", &["x", "kernel"], &["felt"], &[]),
        node("Flatten", &["felt"], &["flat"], &[]),
        node("MatMul", &["flat", "weight"], &["score"], &[]),
        node("Softmax", &["score"], &["y"], &[]),
        value(11, "x", FLOAT, &[0, 1, 28, 28]),
        value(12, "y", FLOAT, &[0, 10]),
    ];
    std::fs::write(&path, graph_of(&graph)).unwrap();
    let runs: usize = std::env::var("SHARED_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(2_000);
    let rows = |name: &str, shape: &[i64], seed: i64| {
        let count = shape.iter().product::<i64>();
        fp32(
            name,
            shape,
            (0..count).map(|i| f32::from(i16::try_from((i * 37 + seed * 11) % 101).unwrap()) / 101.0),
        )
    };
    let work = [
        (on_cuda(&path), (0..6).map(|i| rows("x", &[1 + i % 3, 1, 28, 28], i)).collect::<Vec<_>>()),
        (on_cuda(&model("linear")), (0..12).map(|i| rows("x", &[1 + i % 5 * 40, 4], i)).collect()),
        (on_cuda(&model("sigmoid")), (0..6).map(|i| rows("x", &[1 + i * 17, 1], i)).collect()),
    ];
    let once = |session: &Session, input: &Tensor| session.run(std::slice::from_ref(input), &[]).unwrap();
    let expected: Vec<Vec<_>> = work
        .iter()
        .map(|(session, inputs)| inputs.iter().map(|input| once(session, input)).collect())
        .collect();
    assert!(expected[0].iter().skip(1).all(|answer| answer != &expected[0][0]), "inputs matter");
    std::thread::scope(|scope| {
        for thread in 0..8_usize {
            let (work, expected) = (&work, &expected);
            scope.spawn(move || {
                for run in 0..runs {
                    // Each change of its shape has a convolution prepare itself for milliseconds.
                    let which = if (run + thread) % 16 == 0 { 0 } else { 1 + run % 2 };
                    let (session, inputs) = &work[which];
                    let input = (run * 7 / 3 + thread) % inputs.len();
                    assert_eq!(
                        once(session, &inputs[input]),
                        expected[which][input],
                        "model {which}, run {run}"
                    );
                }
            });
        }
    });
}

#[test]
#[ignore = "needs a GPU with CUDA: tests/run gpu"]
fn a_convolution_on_the_device_shares_no_runs_and_a_product_of_matrices_does() {
    for (name, rows) in [("linear", "64"), ("convolution", "1")] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("convolution.onnx");
        let graph = [
            constant("kernel", FLOAT, &[4, 1, 3, 3], &[0; 4 * 9 * 4]),
            node("Conv", &["x", "kernel"], &["y"], &[]),
            value(11, "x", FLOAT, &[0, 1, 28, 28]),
            value(12, "y", FLOAT, &[0, 4, 26, 26]),
        ];
        std::fs::write(&path, graph_of(&graph)).unwrap();
        let path = if name == "linear" { model(name) } else { path };
        let arguments = ["--model", path.to_str().unwrap(), "--name", name, ON_CUDA[0], ON_CUDA[1]];
        let serving = Serving::start(&arguments, &[]);
        serving.wait_for("ready");
        let config = serving.client().get(&format!("/v2/models/{name}/config")).body;
        assert!(
            config.contains(&format!(r#""max_shared_rows":{{"string_value":"{rows}"}}"#)),
            "{name}: {config}"
        );
    }
}

#[test]
#[ignore = "needs a GPU with CUDA: tests/run gpu"]
fn a_run_that_needs_more_memory_than_the_device_has_fails_and_the_next_one_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    let graph = [
        node("ConstantOfShape", &["size"], &["zeros"], &[]),
        node("Exp", &["zeros"], &["ones"], &[]),
        node("ReduceSum", &["ones"], &["y"], &[]),
        value(11, "size", INT64, &[1]),
        value(12, "y", FLOAT, &[0]),
    ];
    std::fs::write(&path, graph_of(&graph)).unwrap();
    let session = on_cuda(&path);
    let sum = |size: i64| session.run(&[int64("size", &[1], size)], &[]);
    assert_eq!(sum(1000).unwrap(), [fp32("y", &[1], [1000.0])]);
    // A terabyte.
    let error = sum(1 << 38).unwrap_err();
    assert!(matches!(&error, RunError::Failed { .. }), "{error:?}");
    println!("{error}");
    assert_eq!(sum(1024).unwrap(), [fp32("y", &[1], [1024.0])]);
}

#[test]
#[ignore = "needs a GPU with CUDA: tests/run gpu"]
fn a_run_on_the_device_is_cancelled_from_another_thread() {
    let (session, cancellation) = (on_cuda(&model("slow")), Cancellation::new().unwrap());
    let inputs = |rounds: i64| [int64("rounds", &[], rounds), fp32("x", &[], [1.5])];
    // What is made at the first run is not waited for below.
    let expected = session.run(&inputs(3), &[]).unwrap();
    let other = cancellation.clone();
    let canceller = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        other.cancel();
    });
    let begun = Instant::now();
    let error = session.run_cancellable(&inputs(10_000_000), &[], &cancellation).unwrap_err();
    canceller.join().unwrap();
    assert!(matches!(error, RunError::Cancelled), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(session.run(&inputs(3), &[]).unwrap(), expected);
}

#[test]
#[ignore = "needs a GPU with CUDA: tests/run gpu"]
fn a_pod_on_a_gpu_replays_its_golden_samples_and_says_what_runs_where() {
    let folder = tempfile::tempdir().unwrap();
    let digest = artifact("linear", folder.path());
    let config = config(folder.path(), &digest).replace(r#"["CPU"]"#, r#"["CUDA"]"#);
    let mut serving = Serving::start(&[], &[(SERVING_ENV, &config)]);
    let ready = serving.wait_for("ready");
    let status = serving.status();
    println!("{ready}\n{status}");
    assert_eq!(
        (&status["executionProvider"], &status["goldenSamples"], &status["ready"]),
        (&json!("CUDA"), &json!(3), &json!(true)),
        "{status}"
    );
    assert!(status["graphNodes"]["CUDA"].as_u64().is_some_and(|nodes| nodes > 0), "{status}");
    assert_eq!(
        serving
            .client()
            .post("/v2/models/digits/infer", &one_input("x", "FP32", "[1,4]", "[1,1,1,1]"))
            .status,
        200
    );
    serving.terminate();
    assert_eq!(serving.exit_code(), 0);
}

#[test]
#[ignore = "needs a GPU with CUDA: tests/run gpu"]
fn a_node_whose_device_is_not_seen_is_told_from_a_broken_model_and_the_cpu_serves_if_it_may() {
    let path = model("linear");
    let arguments = ["--model", path.to_str().unwrap(), "--name", "linear", ON_CUDA[0], ON_CUDA[1]];
    let hidden = [("CUDA_VISIBLE_DEVICES", "")];
    let mut serving = Serving::start(&arguments, &hidden);
    assert_eq!(serving.exit_code(), EXIT_BAD_INPUT);
    let ended = serving.ended_with(|line| line["reason"].is_string());
    assert_eq!(ended["reason"], "ExecutionProviderUnavailable", "{ended}");
    let message = ended["message"].as_str().unwrap();
    assert!(message.contains("not available: CUDA failure ") && !message.contains("::"), "{message}");
    let serving = Serving::start(&[&arguments[..], &["--allow-fallback"]].concat(), &hidden);
    serving.wait_for("ready");
    assert_eq!(serving.status()["executionProvider"], "CPU");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a GPU with CUDA: tests/run gpu"]
async fn a_gpu_is_asked_over_json_binary_and_grpc_and_answers_each_its_own_when_runs_are_shared() {
    let serving = Serving::model("linear", &ON_CUDA);
    let body = one_input("x", "FP32", "[1,4]", "[1,1,1,1]");
    let answer = serving.client().post(INFER, &body).json();
    assert_eq!(answer["outputs"][0]["data"], json!([2.75, 1.75, 5.25]));
    let answer = grpc::client(&serving).await.model_infer(Request::new(grpc::ones("linear"))).await.unwrap();
    let raw = &answer.get_ref().raw_output_contents;
    let contents = answer.get_ref().outputs[0].contents.as_ref();
    let numbers = raw.first().map_or_else(
        || contents.unwrap().fp32_contents.clone(),
        |raw| raw.chunks(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect(),
    );
    assert_eq!(numbers, [2.75, 1.75, 5.25]);

    // The first row of the weights is 0, 1 and 2 eighths: every request has an answer of its own.
    std::thread::scope(|scope| {
        for thread in 0..16_u16 {
            let mut client = serving.client();
            scope.spawn(move || {
                for run in 0..100_u16 {
                    let x = f32::from(thread * 100 + run);
                    let body = one_input("x", "FP32", "[1,4]", &format!("[{x},0,0,0]"));
                    let answer = client.post(INFER, &body);
                    assert_eq!(answer.status, 200, "{answer:?}");
                    let found: Vec<f32> =
                        serde_json::from_value(answer.json()["outputs"][0]["data"].clone()).unwrap();
                    let expected = [0.5, x / 8.0 - 1.0, x / 4.0 + 2.0];
                    assert_eq!(found, expected, "{x}");
                }
            });
        }
    });
    let statistics = serving.client().get("/v2/models/linear/stats").json();
    let count = |name: &str| {
        statistics["model_stats"][0][name].as_str().map_or_else(
            || statistics["model_stats"][0][name].as_u64().unwrap(),
            |text| text.parse().unwrap(),
        )
    };
    println!("{} requests in {} runs", count("inference_count"), count("execution_count"));
    assert!(count("execution_count") < count("inference_count"), "none was shared: {statistics}");
}
