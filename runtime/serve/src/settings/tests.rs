//! What a command line and a pod's environment become.
#![allow(clippy::unwrap_used)]
use clap::Parser;

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    arguments: ServeArguments,
}

pub fn parsed(line: &str) -> ServeArguments {
    Line::parse_from(std::iter::once("serve").chain(line.split_whitespace())).arguments
}

#[test]
fn a_person_needs_a_model_and_a_name() {
    let settings =
        settings(parsed("--model digits.onnx --name digits --version 3"), Environment::default()).unwrap();
    assert_eq!((settings.model.as_str(), settings.version), ("digits", 3));
    assert_eq!(settings.http.to_string(), "127.0.0.1:8080");
    assert_eq!((settings.grpc, settings.metrics), (None, None));
    assert_eq!(settings.limits, ServingLimits::default());
    assert!(Line::try_parse_from(["serve", "--model", "x"]).is_err());
    assert!(Line::try_parse_from(["serve", "--name", "x"]).is_err());
    let providers = parsed("--model x --name x --execution-provider CUDA --execution-provider CPU");
    assert_eq!(providers.execution_provider, [ExecutionProvider::Cuda, ExecutionProvider::Cpu]);
    assert!(
        Line::try_parse_from(["serve", "--model", "x", "--name", "x", "--execution-provider", "TPU"])
            .is_err()
    );
}

#[test]
fn a_pods_config_is_read_from_the_environment() {
    let config = r#"{"model":"digits","version":3,"modelDigest":"ab","revision":"r1","directory":"/m",
        "executionProviders":["CUDA"],"allowFallback":false,"queue":2,"timeoutMilliseconds":5,
        "maxRequestBytes":6,"drainTimeoutMilliseconds":7}"#;
    let environment =
        Environment { config: Some(config.into()), pod_name: Some("digits-1".into()), memory: None };
    let settings = settings(parsed(""), environment).unwrap();
    assert_eq!(settings.model_digest.as_deref(), Some("ab"));
    assert_eq!(settings.limits.queue, 2);
    assert_eq!(settings.http.to_string(), "[::]:8080");
    assert_eq!(settings.grpc.unwrap().to_string(), "[::]:9000");
    assert_eq!(settings.metrics.unwrap().port(), 9090);
    assert_eq!(settings.pod_name.as_deref(), Some("digits-1"));
    assert_eq!(settings.traffic_file, PathBuf::from("/etc/modelwright/traffic/traffic.json"));
}

#[test]
fn a_mode_shares_the_cores_out() {
    let by_hand = |line: &str| {
        let settings = settings(parsed(line), Environment::default()).unwrap();
        (settings.mode, settings.threads)
    };
    let by_hand_word = |line: &str| settings(parsed(line), Environment::default()).unwrap().rows_independent;
    assert_eq!(by_hand("--model x --name x"), (ServingMode::Throughput, cores()));
    assert_eq!(by_hand("--model x --name x --mode Latency"), (ServingMode::Latency, 1));
    assert_eq!(by_hand("--model x --name x --threads 3"), (ServingMode::Throughput, 3));
    for line in ["--mode Latency --threads 3", "--mode latency"] {
        assert!(
            Line::try_parse_from(format!("serve --model x --name x {line}").split(' ')).is_err(),
            "{line}"
        );
    }
    let config = r#"{"model":"digits","version":3,"modelDigest":"ab","revision":"r1","directory":"/m",
        "executionProviders":["CPU"],"allowFallback":false,"queue":2,"timeoutMilliseconds":5,
        "maxRequestBytes":6,"drainTimeoutMilliseconds":7,"mode":"Latency",
        "batching":{"maxSize":8,"maxDelayMilliseconds":3,"rowsIndependent":true}}"#;
    let environment = Environment { config: Some(config.into()), ..Environment::default() };
    let settings = settings(parsed(""), environment).unwrap();
    assert_eq!((settings.threads, settings.max_rows), (1, 8));
    assert_eq!(settings.max_delay, Duration::from_millis(3));
    assert_eq!(settings.rows_independent, Some(true));
    assert_eq!(by_hand_word("--model x --name x"), None);
    assert_eq!(by_hand_word("--model x --name x --rows-independent false"), Some(false));
}

#[test]
fn nothing_and_nonsense_are_refused_with_what_to_do() {
    let nothing = settings(parsed(""), Environment::default()).unwrap_err().to_string();
    assert!(nothing.contains("--model") && nothing.contains("MODELWRIGHT_SERVING"), "{nothing}");
    let environment = Environment { config: Some("{}".into()), ..Environment::default() };
    assert!(settings(parsed(""), environment).unwrap_err().to_string().contains("missing field"));
}

#[test]
fn no_body_may_be_larger_than_the_budget_and_the_default_follows_it() {
    const MEBIBYTE: u64 = 1 << 20;
    let by_hand = |line: &str, memory: u64| {
        let environment = Environment { memory: Some(memory), ..Environment::default() };
        settings(parsed(&format!("--model x --name x{line}")), environment)
    };
    let found = by_hand("", 1 << 30).unwrap();
    assert_eq!((found.memory.budget, found.limits.max_request_bytes), (256 * MEBIBYTE, 64 * MEBIBYTE));
    assert_eq!((found.memory.http_connections, found.memory.grpc_connections), (1024, 256));
    assert!(by_hand(" --max-request-bytes 268435456", 1 << 30).is_ok());
    let refused = by_hand(" --max-request-bytes 268435457", 1 << 30).unwrap_err().to_string();
    for part in [
        "maxRequestBytes is 268435457",
        "268435456 (256 MiB)",
        "resources.limits.memory of at least 1073741828",
    ] {
        assert!(refused.contains(part), "{refused}");
    }
    assert_eq!(by_hand("", 128 * MEBIBYTE).unwrap().limits.max_request_bytes, 32 * MEBIBYTE);
    let given = by_hand(" --memory-budget 1000 --max-request-bytes 1001", 1 << 30).unwrap_err();
    assert!(matches!(given, SettingsError::RequestTooLarge { asked: 1001, budget: 1000 }));
    assert!(
        by_hand(" --max-request-bytes 1099511627776", u64::MAX).is_ok(),
        "nothing is known of its memory"
    );
}
