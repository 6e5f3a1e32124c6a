//! What one request may ask for, and what becomes of the others where it goes wrong.

use std::{fs, os::unix::process::ExitStatusExt, path::Path};

use modelwright_contract::{
    names::{POD_NAME_ENV, SERVING_ENV},
    report::Report,
};
use serde_json::json;
use tonic::Code;

use crate::{
    grpc::{client, floats, input, ones},
    support::{
        onnx,
        serving::{Client, Serving, artifact, config, one_input},
    },
};

const LINEAR: &str = "/v2/models/linear/infer";

#[tokio::test(flavor = "multi_thread")]
async fn a_request_beyond_rows_or_elements_is_refused_over_http_and_grpc_before_it_is_run() {
    let serving = Serving::model("linear", &["--max-request-rows", "3", "--max-request-elements", "100"]);
    let fits = one_input("x", "FP32", "[3,4]", "[1,1,1,1,1,1,1,1,1,1,1,1]");
    assert_eq!(serving.client().post(LINEAR, &fits).status, 200);
    let many = one_input("x", "FP32", "[4,4]", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]");
    let answer = serving.client().post(LINEAR, &many);
    assert_eq!(answer.status, 400, "{answer:?}");
    for part in ["input \"x\"", "4 rows", "at most 3", "serving.maxRows"] {
        assert!(answer.error().contains(part), "{part} is missing in: {}", answer.error());
    }
    let none = serving.client().post(LINEAR, &one_input("x", "FP32", "[0,4]", "[]"));
    assert!(none.status == 400 && none.error().contains("axis 0 is 0"), "{none:?}");

    let mut grpc = client(&serving).await;
    let mut request = ones("linear");
    request.inputs = vec![input("x", "FP32", &[4, 4], floats(&[1.0; 16]))];
    let refused = grpc.model_infer(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("4 rows, at most 3"), "{}", refused.message());

    let serving = Serving::model("identity_fp32", &["--max-request-elements", "6"]);
    let path = "/v2/models/identity_fp32/infer";
    let fits = one_input("x", "FP32", "[2,3]", "[1,1,1,1,1,1]");
    assert_eq!(serving.client().post(path, &fits).status, 200);
    let answer = serving.client().post(path, &one_input("x", "FP32", "[1,7]", "[1,1,1,1,1,1,1]"));
    assert!(answer.status == 400 && answer.error().contains("has 7 elements, at most 6"), "{answer:?}");
    // Sizes whose product no number holds are no shape at all.
    let answer = serving.client().post(path, &one_input("x", "FP32", "[4294967296,4294967296]", "[1]"));
    assert!(answer.status == 400 && answer.error().contains("4294967296"), "{answer:?}");
    // An axis with a name may be empty, as where a model is given what it said before.
    let answer = serving.client().post(path, &one_input("x", "FP32", "[2,0]", "[]"));
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[test]
fn bounds_of_a_pods_config_hold_and_what_is_not_said_comes_from_memory() {
    let folder = tempfile::tempdir().unwrap();
    let digest = artifact("linear", folder.path());
    let mut told: serde_json::Value = serde_json::from_str(&config(folder.path(), &digest)).unwrap();
    told["maxRows"] = 2.into();
    let serving = Serving::start(&[], &[(SERVING_ENV, &told.to_string()), (POD_NAME_ENV, "digits-1")]);
    serving.wait_for("ready");
    let bounded = serving.wait_for("bounded");
    assert_eq!(bounded["max_rows"], 2);
    assert!(bounded["max_elements"].as_u64().unwrap() > 100_000, "{bounded}");
    let many = one_input("x", "FP32", "[3,4]", "[1,1,1,1,1,1,1,1,1,1,1,1]");
    let answer = serving.client().post("/v2/models/digits/infer", &many);
    assert!(answer.status == 400 && answer.error().contains("at most 2"), "{answer:?}");
}

/// What the kubelet would read.
fn last_word(log: &Path) -> Option<(String, String)> {
    match Report::<()>::parse(&fs::read_to_string(log).unwrap()) {
        Ok(Report::Failed(failure)) => Some((failure.reason, failure.message)),
        _ => None,
    }
}

#[test]
fn a_model_that_a_zero_ends_is_warmed_up_without_one_and_its_end_by_a_client_has_words() {
    let folder = tempfile::tempdir().unwrap();
    let (path, log) = (folder.path().join("model.onnx"), folder.path().join("log"));
    fs::write(&path, onnx::step_by_step()).unwrap();
    let arguments =
        ["--model", path.to_str().unwrap(), "--name", "stft", "--termination-log", log.to_str().unwrap()];
    let start = || {
        let serving = Serving::start(&arguments, &[]);
        serving.wait_for("ready");
        serving
    };
    let mut serving = start();
    let signal = (0..128).map(|place| (place % 7).to_string()).collect::<Vec<_>>().join(",");
    let ask = |length: &str| {
        let input = |name: &str, datatype: &str, shape: &str, data: &str| {
            format!(r#"{{"name":"{name}","datatype":"{datatype}","shape":{shape},"data":[{data}]}}"#)
        };
        let inputs = [
            input("signal", "FP32", "[1,128,1]", &signal),
            input("frame_step", "INT64", "[]", "8"),
            input("frame_length", "INT64", "[]", length),
        ];
        format!(r#"{{"inputs":[{}]}}"#, inputs.join(","))
    };
    let path = "/v2/models/stft/infer";
    assert_eq!(serving.client().post(path, &ask("16")).status, 200);
    let (reason, message) = last_word(&log).expect("a word for an end that has none");
    assert_eq!(reason, "ModelCrashed");
    assert!(message.contains("while the model answered requests"), "{message}");
    let answer = serving.client().send("POST", path, "", &ask("0"));
    assert!(answer.is_err(), "ONNX Runtime lives on: this model is no example any more: {answer:?}");
    assert_eq!(serving.ended().signal(), Some(8), "a division by zero");
    assert!(last_word(&log).is_some(), "the word is there for the kubelet");

    let mut serving = start();
    serving.terminate();
    assert_eq!(serving.exit_code(), 0);
    assert_eq!(fs::read_to_string(&log).unwrap(), "", "an end in order has no such word");
}

#[test]
fn a_request_whose_run_wants_more_memory_than_there_is_harms_no_other() {
    const MEBI: u64 = 1024 * 1024;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    fs::write(&path, onnx::squaring()).unwrap();
    let most = (256 * MEBI).to_string();
    let arguments = ["--model", path.to_str().unwrap(), "--name", "squaring", "--max-run-bytes", &most];
    let serving = Serving::start(&arguments, &[]);
    serving.wait_for("ready");
    let ask = |length: usize| {
        let data = vec!["1"; length].join(",");
        one_input("x", "FP32", &format!("[1,{length}]"), &format!("[{data}]"))
    };
    let post = |length: usize| serving.client().post("/v2/models/squaring/infer", &ask(length));
    assert_eq!(post(1000).status, 200);
    // Of 160 KB, and of 6.4 GB.
    for _ in 0..3 {
        let answer = post(40_000);
        assert_eq!(answer.status, 400, "{answer:?}");
        for part in ["6400000000 bytes at once", "have 268435456", "resources.limits.memory"] {
            assert!(answer.error().contains(part), "{part} is missing in: {}", answer.error());
        }
        assert_eq!(post(1000).status, 200, "the next one is answered");
    }
    let peak = serving.peak_memory();
    assert!(peak < 600 * MEBI, "{peak} bytes");
}

/// A text, and another place of it for each row.
fn repeated() -> [Vec<u8>; 3] {
    [
        onnx::node("Gather", &["text", "at"], &["copies"], &[]),
        onnx::value(11, "at", onnx::INT64, &[0]),
        onnx::value(12, "copies", onnx::STRING, &[0]),
    ]
}

/// ONNX Runtime counts what an element takes, and not what a text holds.
#[test]
fn texts_that_a_model_multiplies_are_refused_before_they_are_copied() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    let text = onnx::value(11, "text", onnx::STRING, &[1]);
    fs::write(&path, onnx::model(&[repeated().concat(), text])).unwrap();
    let serving = Serving::at(&path, "repeated", &["--max-run-bytes", "268435456"]);
    let text = "a".repeat(1_000_000);
    let post = |copies: usize| {
        let at = vec!["0"; copies].join(",");
        let body = format!(
            r#"{{"inputs":[{{"name":"text","shape":[1],"datatype":"BYTES","data":["{text}"]}},
            {{"name":"at","shape":[{copies}],"datatype":"INT64","data":[{at}]}}]}}"#
        );
        serving.client().post("/v2/models/repeated/infer", &body)
    };
    assert_eq!(post(2).status, 200);
    for _ in 0..3 {
        let answer = post(100);
        assert_eq!(answer.status, 400, "{}", answer.error());
        for part in ["400006400 bytes at once", "have 268435456"] {
            assert!(answer.error().contains(part), "{part} is missing in: {}", answer.error());
        }
        assert_eq!(post(2).status, 200, "what was held is given back");
    }
}

/// A number of four bytes becomes a text of a hundred.
#[test]
fn classes_take_of_the_budget_before_they_are_made() {
    let serving = Serving::model("identity_fp32", &["--memory-budget", "33554432"]);
    let zeros = vec!["0"; 300_000].join(",");
    let post = |classes: usize| {
        let outputs = format!(r#"[{{"name":"y","parameters":{{"classification":{classes}}}}}]"#);
        let input = format!(r#"[{{"name":"x","shape":[1,300000],"datatype":"FP32","data":[{zeros}]}}]"#);
        let body = format!(r#"{{"inputs":{input},"outputs":{outputs}}}"#);
        serving.client().post("/v2/models/identity_fp32/infer", &body)
    };
    assert_eq!(post(3).json()["outputs"][0]["data"], json!(["0:0", "0:1", "0:2"]));
    let never = post(300_000);
    assert_eq!(never.status, 413);
    assert!(never.error().contains("take 33600000 bytes of memory"), "{}", never.error());
    assert_eq!(post(3).status, 200);
}

#[test]
fn a_model_with_a_long_label_takes_fewer_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    let rows = |label: &str| {
        fs::write(&path, onnx::model(&[repeated().concat(), onnx::texts("text", &["a", label])])).unwrap();
        let serving = Serving::at(&path, "labels", &[]);
        serving.wait_for("bounded")["max_rows"].as_u64().unwrap()
    };
    let memory = modelwright_core::memory::memory().unwrap();
    assert_eq!(rows("a label"), memory / 1024);
    assert_eq!(rows(&"a".repeat(1_000_000)), memory / 10_000_000);
}

#[test]
fn sizes_of_one_name_that_differ_are_the_clients_fault_unless_the_graph_takes_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    let axes = ["n", "time"];
    let graph = [
        onnx::node("Add", &["sequences", "mask"], &["y"], &[]),
        onnx::named(11, "sequences", onnx::FLOAT, &axes),
        onnx::named(11, "mask", onnx::FLOAT, &axes),
        onnx::named(12, "y", onnx::FLOAT, &axes),
    ];
    fs::write(&path, onnx::model(&graph)).unwrap();
    let serving = Serving::at(&path, "masked", &[]);
    let post = |mask: usize| {
        let input = |name: &str, length: usize| {
            let data = vec!["1"; length].join(",");
            format!(r#"{{"name":"{name}","shape":[1,{length}],"datatype":"FP32","data":[{data}]}}"#)
        };
        let body = format!(r#"{{"inputs":[{},{}]}}"#, input("sequences", 5), input("mask", mask));
        serving.client().post("/v2/models/masked/infer", &body)
    };
    assert_eq!(post(5).status, 200);
    let answer = post(6);
    assert_eq!(answer.status, 400, "{}", answer.error());
    let expected = r#""time": "sequences" has 5 on axis 1, "mask" has 6 on axis 1; expected the same"#;
    assert!(answer.error().contains(expected), "{}", answer.error());
    assert_eq!(post(1).status, 200, "one for all");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_panics_ends_alone_over_http_and_grpc() {
    let serving = Serving::model("slow", &["--panic-on-id", "boom"]);
    let mut other = serving.client();
    let slow = r#"{"inputs":[{"name":"rounds","shape":[],"datatype":"INT64","data":[20000]},
        {"name":"x","shape":[],"datatype":"FP32","data":[1]}]}"#;
    let waiting = std::thread::spawn(move || other.post("/v2/models/slow/infer", slow).status);
    serving.wait_for_metric("modelwright_requests_in_flight", 1.0);
    let bad = slow.replacen('{', r#"{"id":"boom","#, 1).replace("20000", "1");
    // More than there are threads that read requests: none of them is lost.
    for _ in 0..20 {
        let answer = Client::new(serving.http).send("POST", "/v2/models/slow/infer", "", &bad);
        assert!(answer.is_err(), "it did not panic: {answer:?}");
    }
    let mut grpc = client(&serving).await;
    for _ in 0..20 {
        let mut request = crate::grpc::slow(1);
        "boom".clone_into(&mut request.id);
        grpc.model_infer(request).await.expect_err("it did not panic");
        // On the same connection, and so on the same thread.
        grpc.model_infer(crate::grpc::slow(1)).await.unwrap();
    }
    assert_eq!(waiting.join().unwrap(), 200, "a request that was under way meanwhile");
    assert_eq!(serving.client().get("/v2/health/ready").status, 200);
    // Nothing of what panicked stays behind: the places are free and a drain does not wait for them.
    serving.wait_for_metric("modelwright_requests_in_flight", 0.0);
}
