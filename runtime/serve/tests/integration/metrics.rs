//! What is counted while serving, against the real process: every number of the protocol's statistics is the one that
//! `/metrics` shows, and every refusal has its reason.

use std::{collections::BTreeMap, time::Duration};

use modelwright_serve::grpc::proto::{
    InferTensorContents, ModelInferRequest, ModelStatisticsRequest,
    grpc_inference_service_client::GrpcInferenceServiceClient, model_infer_request::InferInputTensor,
};
use serde_json::Value;
use tonic::transport::Endpoint;

use crate::support::serving::{Client, Serving, one_input};

const INFER: &str = "/v2/models/linear/infer";

/// Every metric by its name and its own labels.
fn metrics(serving: &Serving) -> BTreeMap<String, f64> {
    let text = Client::new(serving.metrics).get("/metrics").body;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = name.split_once('{').unwrap();
            let own = labels.splitn(3, ',').nth(2).map_or("", |own| own.trim_end_matches('}'));
            (
                if own.is_empty() { name.to_owned() } else { format!("{name}{{{own}}}") },
                value.parse().unwrap(),
            )
        })
        .collect()
}

fn rejections(serving: &Serving) -> BTreeMap<String, f64> {
    let named = |(name, count): (String, f64)| {
        let reason = name.strip_prefix("modelwright_rejections_total{reason=\"")?.strip_suffix("\"}")?;
        (count > 0.0).then(|| (reason.to_owned(), count))
    };
    metrics(serving).into_iter().filter_map(named).collect()
}

fn ones() -> ModelInferRequest {
    let contents = InferTensorContents { fp32_contents: vec![1.0; 4], ..InferTensorContents::default() };
    ModelInferRequest {
        model_name: "linear".to_owned(),
        inputs: vec![InferInputTensor {
            name: "x".to_owned(),
            datatype: "FP32".to_owned(),
            shape: vec![1, 4],
            contents: Some(contents),
            ..InferInputTensor::default()
        }],
        ..ModelInferRequest::default()
    }
}

#[tokio::test]
async fn the_statistics_of_the_protocol_are_the_metrics_in_nanoseconds() {
    let serving = Serving::model("linear", &[]);
    let mut http = serving.client();
    let endpoint = Endpoint::from_shared(format!("http://{}", serving.grpc)).unwrap();
    let mut grpc = GrpcInferenceServiceClient::new(endpoint.connect().await.unwrap());
    for _ in 0..7 {
        assert_eq!(http.post(INFER, &one_input("x", "FP32", "[1,4]", "[1,1,1,1]")).status, 200);
        grpc.model_infer(ones()).await.unwrap();
    }
    assert_eq!(http.post(INFER, "{").status, 400);
    let found = metrics(&serving);
    let statistics = http.get("/v2/models/linear/stats").json()["model_stats"][0].clone();
    let durations = &statistics["inference_stats"];
    let nanoseconds = |name: &str| durations[name]["ns"].as_f64().unwrap();
    for (step, metric) in [
        ("queue", "queue_duration"),
        ("compute_input", "compute_input_duration"),
        ("compute_infer", "compute_duration"),
        ("compute_output", "compute_output_duration"),
    ] {
        assert_eq!(durations[step]["count"], 14, "{step}: {durations}");
        assert_eq!(found.get(&format!("modelwright_{metric}_seconds_count")), Some(&14.0), "{step}");
        let sum = found[&format!("modelwright_{metric}_seconds_sum")] * 1e9;
        assert!((sum - nanoseconds(step)).abs() < 1.0, "{step}: {sum} in {durations}");
        // The queue may be empty.
        assert!(step == "queue" || sum > 0.0, "{step}");
    }
    assert_eq!((&durations["success"]["count"], &durations["fail"]["count"]), (&14.into(), &1.into()));
    let all = found["modelwright_request_duration_seconds_sum"] * 1e9;
    assert!((all - nanoseconds("success") - nanoseconds("fail")).abs() < 1.0, "{all} in {durations}");
    let steps: f64 =
        ["queue", "compute_input", "compute_infer", "compute_output"].map(nanoseconds).iter().sum();
    assert!(steps < nanoseconds("success"), "the steps are parts of the whole: {durations}");
    assert_eq!(statistics["execution_count"], 14);
    assert_eq!(found.get("modelwright_batch_size_count"), Some(&14.0));
    let over_grpc = grpc.model_statistics(ModelStatisticsRequest::default()).await.unwrap().into_inner();
    let over_grpc = over_grpc.model_stats[0].inference_stats.as_ref().unwrap();
    for (step, total) in [
        ("compute_input", over_grpc.compute_input),
        ("compute_infer", over_grpc.compute_infer),
        ("compute_output", over_grpc.compute_output),
    ] {
        assert_eq!(
            (durations[step]["ns"].as_u64(), Some(14)),
            (total.map(|total| total.ns), total.map(|total| total.count))
        );
    }
}

#[tokio::test]
async fn every_refusal_is_counted_under_its_reason() {
    let serving = Serving::model("linear", &["--max-request-bytes", "1000"]);
    let good = one_input("x", "FP32", "[1,4]", "[1,1,1,1]");
    assert_eq!(rejections(&serving), BTreeMap::new());
    for (path, headers, body, status) in [
        (INFER, "", "{", 400),
        ("/v2/models/other/infer", "", &good, 404),
        (INFER, "content-encoding: br\r\n", &good, 415),
        (INFER, "", &" ".repeat(1001), 413),
        (INFER, "", &good, 200),
    ] {
        // A body that is not read ends its connection.
        assert_eq!(serving.client().send("POST", path, headers, body).unwrap().status, status, "{headers}");
    }
    let expected = ["encoding", "invalid", "not_found", "too_large"].map(|reason| (reason.to_owned(), 1.0));
    assert_eq!(rejections(&serving), expected.into());

    let serving = Serving::model("slow", &["--queue", "0", "--threads", "1", "--timeout", "1000"]);
    let rounds = |rounds: u64| {
        serde_json::json!({"inputs": [
            {"name": "rounds", "datatype": "INT64", "shape": [], "data": [rounds]},
            {"name": "x", "datatype": "FP32", "shape": [], "data": [1.0]},
        ]})
        .to_string()
    };
    let (address, long) = (serving.http, rounds(100_000_000));
    let waiting =
        std::thread::spawn(move || Client::new(address).post("/v2/models/slow/infer", &long).status);
    serving.wait_for_metric("modelwright_requests_in_flight", 1.0);
    assert_eq!(serving.client().post("/v2/models/slow/infer", &rounds(1)).status, 503);
    assert_eq!(waiting.join().unwrap(), 504);
    let expected = ["deadline", "queue_full"].map(|reason| (reason.to_owned(), 1.0));
    assert_eq!(rejections(&serving), expected.into());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sizes_of_shared_runs_are_counted() {
    let serving = Serving::model("identity_fp32", &["--threads", "1"]);
    // A smaller one would be run where it was read, so that nothing waits.
    let elements = 20_000;
    let data = serde_json::to_string(&vec![1; elements]).unwrap();
    let body = one_input("x", "FP32", &format!("[1,{elements}]"), &data);
    let url = format!("http://{}/v2/models/identity_fp32/infer", serving.http);
    let http = reqwest::Client::new();
    let shared = |found: &BTreeMap<String, f64>| {
        found["modelwright_batch_size_sum"] > found["modelwright_batch_size_count"]
    };
    let begun = std::time::Instant::now();
    let found = loop {
        let all = (0..32).map(|_| http.post(&url).body(body.clone()).send());
        for answer in futures::future::join_all(all).await {
            assert_eq!(answer.unwrap().status(), 200);
        }
        let found = metrics(&serving);
        if shared(&found) {
            break found;
        }
        assert!(begun.elapsed() < Duration::from_mins(1), "no run was ever shared: {found:?}");
    };
    let statistics: Value =
        serving.client().get("/v2/models/identity_fp32/stats").json()["model_stats"][0].clone();
    for (metric, statistic) in [("sum", "inference_count"), ("count", "execution_count")] {
        let found = found[&format!("modelwright_batch_size_{metric}")];
        assert_eq!(Some(found), statistics[statistic].as_f64(), "{statistic}");
    }
}
