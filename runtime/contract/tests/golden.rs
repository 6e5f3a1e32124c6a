//! What crosses the pod boundary, as committed JSON: an operator and a runtime of different releases understand each
//! other for as long as these files stay as they are. A field that is added must be optional.
#![allow(clippy::unwrap_used)]

use std::fs;

use modelwright_contract::{
    artifact::Description,
    evaluation::EvaluationConfig,
    fetch::FetchConfig,
    prove::ProveConfig,
    publish::PublishConfig,
    report::{FetchReport, ProveReport, PublishReport, Report, Retry},
    serving::ServingConfig,
    status::ServeStatus,
    traffic::Traffic,
    training::{Progress, TrainReport, TrainingReport},
    variants::OptimizeConfig,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// Reads the file as `T`, and finds the same JSON when `T` is written.
fn crosses<T: Serialize + DeserializeOwned>(file: &str) {
    let path = format!("{}/golden/{file}.json", env!("CARGO_MANIFEST_DIR"));
    let committed: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let read: T = serde_json::from_value(committed.clone()).unwrap();
    assert_eq!(serde_json::to_value(read).unwrap(), committed, "{path}");
}

#[test]
fn what_the_operator_tells_containers_is_understood() {
    crosses::<FetchConfig>("fetch");
    crosses::<FetchConfig>("fetch-artifact");
    crosses::<FetchConfig>("fetch-data");
    crosses::<FetchConfig>("fetch-network");
    crosses::<FetchConfig>("fetch-test-set");
    crosses::<ProveConfig>("prove");
    crosses::<ProveConfig>("prove-training");
    crosses::<ProveConfig>("prove-variants");
    crosses::<OptimizeConfig>("optimize");
    crosses::<EvaluationConfig>("evaluation");
    crosses::<PublishConfig>("publish-proven");
    crosses::<PublishConfig>("publish-pushed");
    crosses::<PublishConfig>("publish-recall");
    crosses::<PublishConfig>("publish");
    crosses::<PublishConfig>("publish-training");
    crosses::<ServingConfig>("serving");
    crosses::<ServingConfig>("serving-latency");
    crosses::<Traffic>("traffic");
}

#[test]
fn what_containers_tell_the_operator_is_understood() {
    crosses::<Report<FetchReport>>("fetch-succeeded");
    crosses::<Report<ProveReport>>("prove-succeeded");
    crosses::<Report<PublishReport>>("publish-succeeded");
    crosses::<Report<PublishReport>>("publish-variants");
    crosses::<Report<FetchReport>>("failed");
    crosses::<Report<PublishReport>>("failed");
    crosses::<ServeStatus>("status");
    crosses::<Report<TrainReport>>("train-succeeded");
    crosses::<Report<TrainReport>>("train-warned");
    crosses::<TrainingReport>("report");
    crosses::<Progress>("progress");
    crosses::<Progress>("progress-network");
    crosses::<Report<FetchReport>>("fetch-test-succeeded");
    crosses::<Retry>("retry");
}

#[test]
fn what_an_artifact_says_is_understood_with_and_without_a_training() {
    crosses::<Description>("description");
    let import = r#"{"modelDigest":"a","opset":17,"signature":{"inputs":[],"outputs":[]}}"#;
    let import: Description = serde_json::from_str(import).unwrap();
    assert!(import.metrics.is_empty() && import.confusion.is_none());
    assert!(!serde_json::to_string(&import).unwrap().contains("confusion"));
}

#[test]
fn an_unknown_field_of_a_config_is_refused_and_of_a_report_is_not() {
    let config = r#"{"namespace":"n","model":"m","directory":"d","store":{"uri":"u"},"goldenSamples":1,"goldenSeed":1,
        "storeRetrySeconds":1,"later":true}"#;
    assert!(serde_json::from_str::<PublishConfig>(config).is_err());
    let report = r#"{"succeeded":{"sha256":"a","sizeBytes":1,"files":1,"later":true}}"#;
    assert!(Report::<FetchReport>::parse(report).is_ok());
}
