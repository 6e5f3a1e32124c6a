use std::{
    fs,
    path::Path,
    process::Output,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use modelwright_contract::{
    names::{EXIT_BAD_INPUT, EXIT_TRANSIENT, FETCH_ENV, ONNXRUNTIME_ENV, PROVE_ENV, PUBLISH_ENV},
    report::{FetchReport, PublishReport, RETRY_PATH, Report, Retry},
    rows::RowIndependence,
};
use tokio::process::Command;

use crate::support::{
    Volume, onnx,
    programs::Program,
    server::{Server, file, ok, status},
};

/// Runs the program with nothing but what a container would give it.
pub async fn run(arguments: &[&str], variable: (&str, &str)) -> Output {
    run_with(arguments, &[variable]).await
}

/// The same with several variables.
pub async fn run_with(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let library = std::env::var_os(ONNXRUNTIME_ENV).unwrap_or_default();
    let mut command = Command::new(env!("CARGO_BIN_EXE_modelwright-jobs"));
    command.args(arguments).env_clear().env(ONNXRUNTIME_ENV, library).envs(variables.iter().copied());
    command.output().await.unwrap()
}

pub fn report<T: serde::Serialize + serde::de::DeserializeOwned>(path: &Path) -> Report<T> {
    Report::parse(&fs::read_to_string(path).unwrap()).unwrap()
}

#[tokio::test]
async fn fetch_and_publish_end_with_a_report_and_a_code_for_success_bad_input_and_what_may_pass() {
    let registry = Program::registry("").await;
    let server = Server::start(|request| match request.path.as_str() {
        "/m" => file(&onnx::adder()),
        _ => status(404),
    })
    .await;
    let mut volume = Volume::new(&format!("http://{}/m", server.host()));
    let log = volume.folder.path().join("log");
    let arguments = ["fetch", "--allow-loopback", "--termination-log", log.to_str().unwrap()];
    let config = |volume: &Volume| serde_json::to_string(&volume.config).unwrap();

    let output = run(&arguments, (FETCH_ENV, &config(&volume))).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let Report::<FetchReport>::Succeeded(fetched) = report(&log) else { panic!("{output:?}") };
    assert_eq!(fetched.size_bytes, onnx::adder().len() as u64);

    let publish = serde_json::json!({
        "namespace": "team", "model": "digits", "directory": volume.config.destination,
        "store": {"uri": format!("oci://{}/models", registry.host()), "plainHttp": true},
        "goldenSamples": 2, "goldenSeed": 1, "storeRetrySeconds": 5,
    });
    let arguments_of_publish = ["publish", "--allow-loopback", "--termination-log", log.to_str().unwrap()];
    let output = run(&arguments_of_publish, (PUBLISH_ENV, &publish.to_string())).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let Report::<PublishReport>::Succeeded(published) = report(&log) else { panic!("{output:?}") };
    assert_eq!(published.golden_count, 2);
    assert_eq!(published.row_independence, Some(RowIndependence::yes()));

    volume.config.uri = format!("http://{}/missing", server.host());
    let output = run(&arguments, (FETCH_ENV, &config(&volume))).await;
    assert_eq!(output.status.code(), Some(EXIT_BAD_INPUT), "{output:?}");
    let Report::<FetchReport>::Failed(failure) = report(&log) else { panic!("{output:?}") };
    assert_eq!(failure.reason, "NotFound");
    assert!(failure.message.contains(&volume.config.uri), "{}", failure.message);
}

/// What a running job says that it tries again; `None` while nobody answers.
async fn retried(port: u16) -> Option<serde_json::Value> {
    let answer = reqwest::get(format!("http://127.0.0.1:{port}{RETRY_PATH}")).await.ok()?;
    assert_eq!(answer.headers()["connection"], "close");
    serde_json::from_slice(&answer.bytes().await.ok()?).ok()
}

/// Waits until a job says that it tries again, and gives its words.
async fn awaited_retry(port: u16) -> Retry {
    for _ in 0..600 {
        if let Some(said) = retried(port).await.filter(|said| !said.is_null()) {
            return serde_json::from_value(said).unwrap();
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the job never said that it tries again");
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("[::]:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn fetch_and_publish_tell_what_they_try_again_why_and_since_when_while_they_do() {
    let now = || std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let broken = Arc::new(AtomicBool::new(true));
    let is_broken = Arc::clone(&broken);
    let server = Server::start(move |request| match request.path.as_str() {
        "/m" if !is_broken.load(Ordering::Relaxed) => file(&onnx::adder()),
        "/m" => status(503),
        _ => status(404),
    })
    .await;
    let volume = Volume::new(&format!("http://{}/m", server.host()));
    let log = volume.folder.path().join("log");
    let job = |name: &str, port: u16, variable: &str, config: String| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_modelwright-jobs"));
        command
            .args([name, "--allow-loopback", "--retry-port", &port.to_string()])
            .arg("--termination-log")
            .arg(&log);
        command.env_clear().env(ONNXRUNTIME_ENV, std::env::var_os(ONNXRUNTIME_ENV).unwrap_or_default());
        command.env(variable, config).kill_on_drop(true).spawn().unwrap()
    };

    let (port, before) = (free_port(), now());
    let mut fetch = job("fetch", port, FETCH_ENV, serde_json::to_string(&volume.config).unwrap());
    let told = awaited_retry(port).await;
    assert!(told.message.contains("503") && told.message.contains(&server.host()), "{told:?}");
    assert!((before..=now()).contains(&told.since_unix_seconds), "{told:?}");
    let elsewhere = reqwest::get(format!("http://127.0.0.1:{port}/other")).await.unwrap();
    assert_eq!(elsewhere.status().as_u16(), 404);
    broken.store(false, Ordering::Relaxed);
    assert_eq!(fetch.wait().await.unwrap().code(), Some(0));

    // a store that is not there
    let (port, nowhere) = (free_port(), free_port());
    let config = serde_json::json!({
        "namespace": "team", "model": "digits", "directory": volume.config.destination,
        "store": {"uri": format!("oci://127.0.0.1:{nowhere}/models"), "plainHttp": true},
        "goldenSamples": 2, "goldenSeed": 1, "storeRetrySeconds": 600,
    });
    let mut publish = job("publish", port, PUBLISH_ENV, config.to_string());
    let told = awaited_retry(port).await;
    assert!(told.message.contains(&format!("127.0.0.1:{nowhere}")), "{told:?}");
    publish.kill().await.unwrap();
}

#[tokio::test]
async fn a_command_without_its_config_says_which_variable_it_wants() {
    for (command, variable) in [("fetch", FETCH_ENV), ("prove", PROVE_ENV), ("publish", PUBLISH_ENV)] {
        for value in [("OTHER", ""), (variable, "{\"uri\": 1}")] {
            // Without a kubelet's file, the report is on standard output.
            let output = run(&[command], value).await;
            assert_eq!(output.status.code(), Some(EXIT_BAD_INPUT), "{output:?}");
            let text = String::from_utf8(output.stdout).unwrap();
            let Report::<FetchReport>::Failed(failure) = Report::parse(&text).unwrap() else {
                panic!("{text}")
            };
            assert_eq!(failure.reason, "InvalidConfig");
            assert!(failure.message.contains(variable), "{}", failure.message);
        }
    }
}

#[tokio::test]
async fn this_machine_is_out_of_reach_for_a_container() {
    let server = Server::start(|_| ok("x")).await;
    let volume = Volume::new(&format!("http://{}/m", server.host()));
    let output = run(&["fetch"], (FETCH_ENV, &serde_json::to_string(&volume.config).unwrap())).await;
    assert_eq!(output.status.code(), Some(EXIT_BAD_INPUT), "{output:?}");
    assert!(String::from_utf8(output.stdout).unwrap().contains("AddressRefused"));
    assert_eq!(server.seen().len(), 0);
}

#[tokio::test]
async fn a_child_without_onnx_runtime_blames_nobody_but_itself() {
    let folder = tempfile::tempdir().unwrap();
    let answer = folder.path().join("answer");
    let directory = folder.path().to_str().unwrap();
    let arguments = [
        "try",
        "--directory",
        directory,
        "--samples",
        "1",
        "--seed",
        "1",
        "--answer",
        answer.to_str().unwrap(),
    ];
    let output = run(&arguments, (ONNXRUNTIME_ENV, "/nowhere/libonnxruntime.so")).await;
    assert_eq!(output.status.code(), Some(EXIT_TRANSIENT), "{output:?}");
    assert!(!answer.exists());
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nowhere/libonnxruntime.so"), "{output:?}");
}

#[tokio::test]
async fn inspect_prints_what_a_model_is_for_people_and_as_json() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("adder.onnx");
    fs::write(&path, onnx::adder()).unwrap();
    let path = path.to_str().unwrap();
    let output = run(&["inspect", path], ("OTHER", "")).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let digest = crate::support::sha256(onnx::adder());
    for part in ["ai.onnx 21", &digest, "x  FP32    [n, 3]", "y  FP32    [n, 3]", "rows independent: yes"] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
    let output = run(&["inspect", "--json", path], ("OTHER", "")).await;
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["sha256"], digest);
    assert_eq!(json["operatorSets"]["ai.onnx"], 21);
    assert_eq!(json["rowIndependence"], serde_json::json!({"independent": true}));
    assert_eq!(json["signature"]["inputs"][0]["shape"], serde_json::json!([-1, 3]));

    fs::write(folder.path().join("page.onnx"), "<html>").unwrap();
    let output = run(&["inspect", folder.path().join("page.onnx").to_str().unwrap()], ("OTHER", "")).await;
    assert_ne!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no whole ONNX model"), "{output:?}");

    // ONNX Runtime loads it and answers; on a processor with other registers it answers wrongly.
    let blocked = crate::support::models::model("blocked");
    let output = run(&["inspect", blocked.to_str().unwrap()], ("OTHER", "")).await;
    assert_ne!(output.status.code(), Some(0));
    let words = String::from_utf8_lossy(&output.stderr);
    for part in ["com.microsoft.nchwc::Conv", "ORT_ENABLE_EXTENDED"] {
        assert!(words.contains(part), "{part} is missing in: {words}");
    }
}

#[tokio::test]
async fn the_commands_understand_the_very_settings_that_the_operator_is_tested_to_render() {
    let golden = |file: &str| {
        fs::read_to_string(format!("{}/../contract/golden/{file}.json", env!("CARGO_MANIFEST_DIR"))).unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let reason = async |arguments: &[&str], variable: &str, config: &str| {
        let end = ["--termination-log", log.to_str().unwrap()];
        let output = run(&[arguments, &end].concat(), (variable, config)).await;
        let Report::<FetchReport>::Failed(failure) = report(&log) else { panic!("{output:?}") };
        failure
    };
    // The folders of the settings are those of a container: here each command gets as far as finding them missing.
    for (command, variable, config, place) in [
        ("prove", PROVE_ENV, "prove", "/modelwright/data"),
        ("prove", PROVE_ENV, "prove-training", "/modelwright/out"),
        ("publish", PUBLISH_ENV, "publish-proven", "/modelwright/proof"),
        ("publish", PUBLISH_ENV, "publish", "/modelwright/data"),
    ] {
        let failure = reason(&[command], variable, &golden(config)).await;
        assert!(failure.message.contains(place), "{failure:?}");
    }
    for (variable, command) in [(PROVE_ENV, "prove"), (PUBLISH_ENV, "publish")] {
        assert_eq!(reason(&[command], variable, &golden("serving")).await.reason, "InvalidConfig");
    }
}
