//! The Open Inference Protocol against the real process: answers, refusals, limits, start-up.

use std::{
    io::Write,
    process::Command,
    time::{Duration, Instant},
};

use modelwright_contract::names::{EXIT_BAD_INPUT, POD_NAME_ENV, SERVING_ENV};
use modelwright_core::{
    golden,
    session::{Session, SessionOptions},
};
use serde_json::json;

use crate::support::{
    onnx,
    programs::executable,
    serving::{Client, PATIENCE, Serving, artifact, config, one_input},
};

const ONES: &str = r#"{"id":"7","inputs":[{"name":"x","shape":[1,4],"datatype":"FP32","data":[[1,1,1,1]]}]}"#;
/// Takes seconds; a request that is cut off ends sooner.
const LONG: &str = r#"{"inputs":[{"name":"rounds","shape":[],"datatype":"INT64","data":[10000000]},
    {"name":"x","shape":[],"datatype":"FP32","data":[1]}]}"#;

#[test]
fn a_prediction_is_answered_with_the_version_and_digest_that_gave_it() {
    let serving = Serving::model("linear", &["--version", "3"]);
    let digest = serving.wait_for("ready")["digest"].as_str().unwrap().to_owned();
    let mut client = serving.client();
    for path in ["/v2/models/linear/infer", "/v2/models/linear/versions/3/infer"] {
        let answer = client.post(path, ONES);
        assert_eq!(answer.status, 200, "{answer:?}");
        let expected = json!({"model_name": "linear", "model_version": "3", "id": "7",
            "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 3], "data": [2.75, 1.75, 5.25]}]});
        assert_eq!(answer.json(), expected);
    }
    // Health, errors and unknown paths say so too.
    for path in ["/v2/health/live", "/v2/health/ready", "/v2/models/other", "/nowhere"] {
        let answer = client.get(path);
        assert_eq!(answer.headers["x-modelwright-version"], "3", "{path}");
        assert_eq!(answer.headers["x-modelwright-digest"], digest, "{path}");
    }
}

#[test]
fn onnx_runtime_reports_nothing_to_its_makers_whatever_the_environment_says() {
    let asked = ("ORT_DISABLE_TELEMETRY", "0");
    let path = crate::support::models::model("linear");
    // Given, so that it is not for this that the runtime starts itself anew.
    let environment = [asked, ("GLIBC_TUNABLES", "")];
    let serving = Serving::start(&["--model", path.to_str().unwrap(), "--name", "linear"], &environment);
    serving.wait_for("ready");
    let silence = serving.environment().into_iter().filter(|variable| variable.starts_with(asked.0));
    assert_eq!(silence.collect::<Vec<_>>(), ["ORT_DISABLE_TELEMETRY=1"]);
    assert_eq!(serving.client().post("/v2/models/linear/infer", ONES).status, 200);
}

#[test]
fn the_memory_allocator_keeps_what_the_next_request_needs_unless_it_is_asked_for_something_else() {
    let path = crate::support::models::model("linear");
    let arguments = ["--model", path.to_str().unwrap(), "--name", "linear"];
    let tunables = |environment: &[(&str, &str)]| {
        let serving = Serving::start(&arguments, environment);
        serving.wait_for("ready");
        serving.environment().into_iter().filter(|variable| variable.starts_with("GLIBC_TUNABLES=")).collect()
    };
    let own: Vec<String> = tunables(&[("ORT_DISABLE_TELEMETRY", "1")]);
    assert!(own.len() == 1 && own[0].starts_with("GLIBC_TUNABLES=glibc.malloc.mmap_threshold="), "{own:?}");
    let asked: Vec<String> = tunables(&[("GLIBC_TUNABLES", "glibc.malloc.arena_max=2")]);
    assert_eq!(asked, ["GLIBC_TUNABLES=glibc.malloc.arena_max=2"]);
}

#[test]
fn metadata_and_health_have_the_protocols_form() {
    let serving = Serving::model("two_in_two_out", &[]);
    let mut client = serving.client();
    assert_eq!(client.get("/v2/health/live").json(), json!({"live": true}));
    assert_eq!(client.get("/v2/health/ready").json(), json!({"ready": true}));
    assert_eq!(client.get("/v2").json()["name"], "modelwright");
    for path in ["/v2/models/two_in_two_out", "/v2/models/two_in_two_out/versions/1"] {
        let metadata = client.get(path).json();
        assert_eq!(metadata["versions"], json!(["1"]));
        assert_eq!(
            metadata["inputs"][1],
            json!({"name": "b", "datatype": "FP32", "shape": [-1, 3], "parameters": {"dimensions": ["n", ""]}})
        );
        assert_eq!(
            metadata["outputs"][1],
            json!({"name": "label", "datatype": "INT64", "shape": [-1], "parameters": {"dimensions": ["n"]}})
        );
        assert_eq!(client.get(&format!("{path}/ready")).json()["ready"], true);
    }
}

#[test]
fn every_datatype_is_served_as_json() {
    let cases = [
        ("BOOL", "[true,false]"),
        ("UINT8", "[0,255]"),
        ("UINT16", "[0,65535]"),
        ("UINT32", "[0,4294967295]"),
        ("UINT64", "[0,18446744073709551615]"),
        ("INT8", "[-128,127]"),
        ("INT16", "[-32768,32767]"),
        ("INT32", "[-2147483648,2147483647]"),
        ("INT64", "[-9223372036854775808,9007199254740993]"),
        ("FP16", "[0.5,-65504.0]"),
        ("BF16", "[0.5,-3.3895314e38]"),
        ("FP32", "[0.1,-3.4028235e38]"),
        ("FP64", "[0.1,-1.7976931348623157e308]"),
        ("BYTES", r#"["Grüße, \"Welt\"",""]"#),
    ];
    for (datatype, data) in cases {
        let name = format!("identity_{}", datatype.to_lowercase());
        let serving = Serving::model(&name, &[]);
        let answer = serving
            .client()
            .post(&format!("/v2/models/{name}/infer"), &one_input("x", datatype, "[1,2]", data));
        assert_eq!(answer.status, 200, "{datatype}: {answer:?}");
        assert!(answer.body.contains(&format!("\"data\":{data}")), "{datatype}: {}", answer.body);
    }
}

#[test]
fn refusals_have_the_right_status_and_say_what_was_expected() {
    let serving = Serving::model("linear", &["--max-request-bytes", "1000"]);
    let infer = "/v2/models/linear/infer";
    let large = one_input("x", "FP32", "[1,4]", &format!("[{}1]", "1, ".repeat(1000)));
    for (method, path, headers, body, status, text) in [
        ("POST", infer, "", "{", 400, "line 1 column 2"),
        ("POST", infer, "", &one_input("x", "FP32", "[1,4]", "[1,2,3]"), 400, "has 3 elements, expected 4"),
        (
            "POST",
            infer,
            "",
            &one_input("x", "FP64", "[1,4]", "[1,2,3,4]"),
            400,
            "has datatype FP64, expected FP32",
        ),
        (
            "POST",
            infer,
            "",
            &one_input("x", "FP32", "[4]", "[1,2,3,4]"),
            400,
            "has shape [4], expected [-1,4]",
        ),
        ("POST", infer, "", &one_input("z", "FP32", "[1,4]", "[1,2,3,4]"), 400, "expected \"x\""),
        ("POST", infer, "", r#"{"inputs":[]}"#, 400, "input \"x\" is missing"),
        (
            "POST",
            infer,
            "inference-header-content-length: 7\r\n",
            ONES,
            400,
            "line 1 column 8, where it ends",
        ),
        (
            "POST",
            infer,
            "inference-header-content-length: x\r\n",
            ONES,
            400,
            "expected the length of the request's JSON",
        ),
        ("POST", infer, "inference-header-content-length: 9999\r\n", ONES, 400, "at most the body's"),
        ("POST", infer, "content-encoding: br\r\n", ONES, 415, "Content-Encoding \"br\""),
        ("POST", infer, "content-encoding: gzip\r\n", ONES, 400, "no whole gzip"),
        ("POST", infer, "", &large, 413, "larger than 1000 bytes"),
        (
            "POST",
            "/v2/models/other/infer",
            "",
            ONES,
            404,
            "model \"other\" is not served here; expected \"linear\"",
        ),
        ("POST", "/v2/models/linear/versions/2/infer", "", ONES, 404, "version \"2\" is not served here"),
        ("GET", "/v2/models/linear/versions/x", "", "", 404, "version \"x\""),
        ("GET", infer, "", "", 405, "expected POST"),
        ("POST", "/v2", "", "", 405, "expected GET"),
        ("GET", "/nothing", "", "", 404, "/v2/models/NAME/infer"),
    ] {
        let answer = serving.client().send(method, path, headers, body).unwrap();
        assert_eq!(answer.status, status, "{method} {path} {body}: {answer:?}");
        assert!(answer.error().contains(text), "{method} {path}: {}", answer.error());
    }
}

#[test]
fn a_body_without_a_length_is_cut_at_the_limit() {
    let serving = Serving::model("linear", &["--max-request-bytes", "1000"]);
    let mut client = serving.client();
    let head = "POST /v2/models/linear/infer HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = format!("400\r\n{}\r\n", " ".repeat(0x400));
    client.stream.get_mut().write_all(format!("{head}{chunk}").as_bytes()).unwrap();
    assert_eq!(client.receive().unwrap().status, 413);
}

#[test]
fn inputs_that_the_graph_refuses_are_the_clients_fault_and_endless_numbers_the_models() {
    let serving = Serving::model("lookup", &[]);
    let answer = serving.client().post("/v2/models/lookup/infer", &one_input("index", "INT64", "[1]", "[9]"));
    assert_eq!(answer.status, 400);
    assert!(answer.error().contains("idx=9"), "{}", answer.error());
    let serving = Serving::model("divide", &[]);
    let body = r#"{"inputs":[{"name":"a","shape":[1],"datatype":"FP32","data":[1]},
        {"name":"b","shape":[1],"datatype":"FP32","data":[0]}]}"#;
    let answer = serving.client().post("/v2/models/divide/infer", body);
    assert_eq!(answer.status, 500);
    assert!(answer.error().contains("output \"y\" is inf at element 0"), "{}", answer.error());
    let answer = serving.client().post("/v2/models/divide/infer", &body.replace("[0]", "[null]"));
    assert_eq!(answer.status, 400, "a number that is missing is the client's");
    assert!(answer.error().contains("null"), "{}", answer.error());
}

/// ONNX Runtime says that the run failed where it says of an index that the input is invalid.
#[test]
fn inputs_of_unequal_rows_are_the_clients_fault_unless_the_graph_takes_one_row_for_all() {
    let serving = Serving::model("divide", &[]);
    let body = |b: &str| {
        format!(
            r#"{{"inputs":[{{"name":"a","shape":[2],"datatype":"FP32","data":[1,2]}},{{"name":"b","datatype":"FP32",{b}}}]}}"#
        )
    };
    let answer = serving.client().post("/v2/models/divide/infer", &body(r#""shape":[3],"data":[1,2,4]"#));
    assert_eq!(answer.status, 400, "{}", answer.error());
    assert!(answer.error().contains("different sizes on their first axis"), "{}", answer.error());
    assert!(answer.error().contains(r#""a" 2, "b" 3"#), "{}", answer.error());
    let answer = serving.client().post("/v2/models/divide/infer", &body(r#""shape":[1],"data":[4]"#));
    assert_eq!(answer.json()["outputs"][0]["data"], json!([0.25, 0.5]));
}

#[test]
fn a_full_queue_refuses_at_once_and_a_late_answer_is_cut_off() {
    let serving = Serving::model("slow", &["--queue", "1", "--threads", "1", "--timeout", "3000"]);
    let infer = "/v2/models/slow/infer";
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let mut client = serving.client();
            std::thread::spawn(move || client.post(infer, LONG))
        })
        .collect();
    serving.wait_for_metric("modelwright_requests_in_flight", 2.0);
    let begun = Instant::now();
    let refused = serving.client().post(infer, LONG);
    assert_eq!((refused.status, refused.headers["retry-after"].as_str()), (503, "1"));
    assert!(refused.error().contains("all 1 places"), "{}", refused.error());
    assert!(begun.elapsed() < Duration::from_secs(2));
    for waiting in waiting {
        let answer = waiting.join().unwrap();
        assert_eq!(answer.status, 504, "{answer:?}");
        assert!(answer.error().contains("3000 ms"));
    }
    // The model is free again: the cut-off run was stopped, and the one that waited was never begun.
    let short = LONG.replace("10000000", "1");
    assert_eq!(serving.client().post(infer, &short).status, 200);
    let text = Client::new(serving.metrics).get("/metrics").body;
    for (code, count) in [(200, 1), (503, 1), (504, 2)] {
        let line =
            format!("modelwright_requests_total{{model=\"slow\",version=\"1\",code=\"{code}\"}} {count}");
        assert!(text.contains(&line), "{line} is missing in {text}");
    }
}

#[test]
fn a_run_ends_when_its_client_leaves() {
    let serving = Serving::model("slow", &["--timeout", "50000"]);
    let mut client = serving.client();
    let head = format!(
        "POST /v2/models/slow/infer HTTP/1.1\r\nhost: t\r\ncontent-length: {}\r\n\r\n{LONG}",
        LONG.len()
    );
    client.stream.get_mut().write_all(head.as_bytes()).unwrap();
    serving.wait_for_metric("modelwright_requests_in_flight", 1.0);
    drop(client);
    serving.wait_for_metric("modelwright_requests_in_flight", 0.0);
    let begun = Instant::now();
    assert_eq!(serving.client().post("/v2/models/slow/infer", &LONG.replace("10000000", "1")).status, 200);
    assert!(begun.elapsed() < Duration::from_secs(5), "the model was still busy");
    assert!(Client::new(serving.metrics).get("/metrics").body.contains("code=\"499\"} 1"));
}

#[test]
fn a_body_that_comes_too_slowly_is_refused() {
    let serving = Serving::model("linear", &["--timeout", "300"]);
    let mut client = serving.client();
    let head = "POST /v2/models/linear/infer HTTP/1.1\r\nhost: test\r\ncontent-length: 100\r\n\r\n{";
    client.stream.get_mut().write_all(head.as_bytes()).unwrap();
    let answer = client.receive().unwrap();
    assert_eq!(answer.status, 408);
    assert!(answer.error().contains("300 ms"));
}

#[test]
fn a_pod_replays_its_golden_samples_and_reports_what_it_serves() {
    let folder = tempfile::tempdir().unwrap();
    let digest = artifact("linear", folder.path());
    let config = config(folder.path(), &digest);
    let serving = Serving::start(&[], &[(SERVING_ENV, &config), (POD_NAME_ENV, "digits-1")]);
    serving.wait_for("ready");
    assert_eq!(serving.client().post("/v2/models/digits/infer", ONES).status, 200);
    let status = serving.status();
    assert_eq!(
        status,
        json!({"model": "digits", "version": 3, "modelDigest": digest, "executionProvider": "CPU",
            "graphNodes": {"CPU": status["graphNodes"]["CPU"].as_u64().filter(|nodes| *nodes > 0)},
            "onnxruntimeVersion": status["onnxruntimeVersion"], "ready": true, "draining": false,
            "drained": false, "goldenSamples": 3, "requests": 1,
            "sharedRuns": {"shared": true, "reason": "rows independent: yes"}})
    );
    assert_eq!(Client::new(serving.metrics).get("/healthz").body, "ok");
}

#[test]
fn a_pod_that_answers_other_than_recorded_stays_up_unready_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let digest = artifact("linear", folder.path());
    let path = folder.path().join("modelwright/golden.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut samples: modelwright_contract::artifact::GoldenSamples = serde_json::from_str(&text).unwrap();
    samples.samples[0].outputs = samples.samples[1].outputs.clone();
    std::fs::write(&path, serde_json::to_vec(&samples).unwrap()).unwrap();
    let log = folder.path().join("modelwright/termination-log");
    let config = config(folder.path(), &digest);
    let serving = Serving::start(&["--termination-log", log.to_str().unwrap()], &[(SERVING_ENV, &config)]);
    let status = serving.wait_for_status("refused", |status| status["message"].is_string());
    let message = status["message"].as_str().unwrap();
    assert!(message.starts_with("golden sample 0: output \"y["), "{message}");
    assert!(message.contains("(provider CPU, "), "{message}");
    let mut client = serving.client();
    assert_eq!(client.get("/v2/health/live").status, 200);
    let ready = client.get("/v2/health/ready");
    assert_eq!((ready.status, ready.error().as_str()), (503, message));
    assert_eq!(client.post("/v2/models/digits/infer", ONES).status, 503);
    let report = std::fs::read_to_string(&log).unwrap();
    assert!(report.contains("GoldenSampleMismatch"), "{report}");
}

#[test]
fn a_pod_whose_model_lost_its_small_weights_is_never_ready() {
    for bounds in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("model.onnx");
        std::fs::write(&model, onnx::scaler(&[5e-5, 3e-5, 1e-5])).unwrap();
        let session = Session::load(&model, &SessionOptions::default()).unwrap();
        let mut golden = golden::record_synthetic(&session, 3, 7).unwrap();
        assert_eq!(golden.bounds.len(), 1);
        if !bounds {
            // As artifacts were published before.
            golden.bounds.clear();
        }
        let text = serde_json::to_vec(&golden).unwrap();
        std::fs::create_dir(folder.path().join("modelwright")).unwrap();
        std::fs::write(folder.path().join("modelwright/golden.json"), text).unwrap();
        let start = || {
            let digest = modelwright_core::digest::model_files(folder.path()).unwrap().digest;
            Serving::start(&[], &[(SERVING_ENV, &config(folder.path(), &digest))])
        };
        start().wait_for("ready");
        std::fs::write(&model, onnx::scaler(&[0.0; 3])).unwrap();
        let serving = start();
        let status = serving.wait_for_status("refused", |status| status["message"].is_string());
        let message = status["message"].as_str().unwrap();
        assert!(message.starts_with("golden sample 0: output \"y[0]\" is 0, recorded was "), "{message}");
        assert_eq!(serving.client().get("/v2/health/ready").status, 503);
    }
}

#[test]
fn files_with_another_digest_are_not_served() {
    let folder = tempfile::tempdir().unwrap();
    artifact("linear", folder.path());
    let config = config(folder.path(), &"0".repeat(64));
    let log = folder.path().join("modelwright/termination-log");
    let mut serving =
        Serving::start(&["--termination-log", log.to_str().unwrap()], &[(SERVING_ENV, &config)]);
    assert_eq!(serving.exit_code(), EXIT_BAD_INPUT);
    let report = std::fs::read_to_string(&log).unwrap();
    assert!(report.contains("DigestMismatch") && report.contains("expected 0000"), "{report}");
}

#[test]
fn a_model_that_cannot_be_loaded_ends_the_process_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let model = crate::support::models::model("sequence");
    let mut serving = Serving::start(
        &["--model", model.to_str().unwrap(), "--name", "s", "--termination-log", log.to_str().unwrap()],
        &[],
    );
    assert_eq!(serving.exit_code(), EXIT_BAD_INPUT);
    let report = std::fs::read_to_string(&log).unwrap();
    assert!(report.contains("UnsupportedSignature") && report.contains("ConcatFromSequence"), "{report}");
}

/// How many threads run the model, and how many more are ONNX Runtime's: these have the name of the one that loaded it.
fn threads(serving: &Serving) -> (usize, usize) {
    let all = serving.threads();
    let named = |start: &str| all.iter().filter(|name| name.starts_with(start)).count();
    (named("model-"), named("loader"))
}

#[test]
fn the_mode_shares_the_cores_out_between_runs_or_within_one() {
    let cores = modelwright_core::cores::cores();
    for (arguments, runs, of_a_run, rows, delay) in [
        (&[][..], cores, 1, "64", "0"),
        (&["--mode", "Throughput", "--max-rows", "8", "--max-delay", "500"], cores, 1, "8", "0"),
        (&["--mode", "Latency", "--max-delay", "500"], 1, cores, "64", "500"),
        (&["--threads", "1"], 1, cores, "64", "0"),
    ] {
        let serving = Serving::model("linear", arguments);
        let config = serving.client().get("/v2/models/linear/config").json();
        let group = json!([{"name": "linear", "count": runs, "kind": "KIND_CPU"}]);
        assert_eq!(config["instance_group"], group, "{arguments:?}");
        let parameters = json!({
            "intra_op_thread_count": {"string_value": of_a_run.to_string()},
            "max_shared_rows": {"string_value": rows},
            "max_queue_delay_microseconds": {"string_value": delay},
        });
        assert_eq!(config["parameters"], parameters, "{arguments:?}");
        // The one that loaded the model ends a moment after it is ready. No other is there: ONNX Runtime's makers would
        // hear of it from one of their own.
        let begun = Instant::now();
        while threads(&serving) != (runs, of_a_run - 1) {
            assert!(begun.elapsed() < PATIENCE, "{arguments:?}: {:?}", serving.threads());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn the_server_understands_the_very_settings_that_the_operator_is_tested_to_render() {
    let golden = |file: &str| {
        std::fs::read_to_string(format!("{}/../contract/golden/{file}.json", env!("CARGO_MANIFEST_DIR")))
            .unwrap()
    };
    let ended = |config: &str| {
        let serving = Serving::start(&[], &[(SERVING_ENV, config)]);
        serving.ended_with(|line| line["level"] == "ERROR" && line["reason"].is_string())
    };
    // The folder of the settings is that of a container: here it gets as far as finding it missing.
    let error = ended(&golden("serving"));
    assert!(error["message"].as_str().unwrap().contains("/modelwright/model"), "{error}");
    // Another's settings are none of its own.
    let mut stranger = Command::new(executable("modelwright-serve"));
    let output = stranger.env(SERVING_ENV, golden("publish")).output().unwrap();
    assert_eq!(output.status.code(), Some(EXIT_BAD_INPUT), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("InvalidConfig"), "{output:?}");
}
