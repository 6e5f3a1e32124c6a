//! A4: serving pods in the cluster: what they answer, and that a pod that leaves loses nothing.

use k8s_openapi::api::core::v1::Pod;
use kube::{ResourceExt as _, api::DeleteParams};
use modelwright_contract::names;
use modelwright_serve::grpc::proto::{
    ModelInferRequest, ModelReadyRequest, grpc_inference_service_client::GrpcInferenceServiceClient,
    model_infer_request::InferInputTensor,
};
use serde_json::{Value, json};
use tonic::{Code, transport::Channel};

use crate::harness::{Space, load::Load, onnx::Affine, predict::SAMPLE};

const AFFINE: Affine = Affine { factor: 2.0, summand: 1.0 };

/// The Open Inference Protocol through the Service, and the pod's own account.
pub async fn a_served_model_speaks_the_open_inference_protocol(space: Space) {
    space.import("digits", AFFINE).await;
    let limits = json!({"serving": {"maxRequestBytes": "4Ki"}});
    let deployment = space.serve("digits", "digits", limits).await;
    let version = space.version("digits-v1").await;
    let endpoint = space.endpoint(&deployment).await;
    let http = &space.world.http;
    let get = async |path: &str| {
        let answer = http.get(format!("{}{path}", endpoint.base)).send().await.expect("it answers");
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = answer.bytes().await.expect("its body can be read");
        (status, headers, serde_json::from_slice::<Value>(&body).unwrap_or(Value::Null))
    };
    for path in [
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models/digits/ready",
        "/v2/models/digits/versions/1/ready",
    ] {
        assert_eq!(get(path).await.0, 200, "{path}");
    }
    let (status, headers, metadata) = get("/v2/models/digits").await;
    assert_eq!(status, 200);
    assert_eq!(headers[names::VERSION_HEADER], "1");
    assert_eq!(headers[names::DIGEST_HEADER], version.spec.model_digest.as_str());
    assert_eq!(metadata["name"], "digits");
    assert_eq!(metadata["versions"], json!(["1"]));
    let input =
        json!({"name": "x", "datatype": "FP32", "shape": [-1, 4], "parameters": {"dimensions": ["N", ""]}});
    assert_eq!(metadata["inputs"], json!([input]));
    assert_eq!(get("/v2/models/letters").await.0, 404);
    assert_eq!(get("/v2/models/digits/versions/7").await.0, 404);

    let prediction = space.predict(&deployment, AFFINE).await;
    assert_eq!(prediction.body["model_name"], "digits");
    assert_eq!(prediction.body["model_version"], "1");
    let post = async |body: String| {
        let answer = http.post(endpoint.infer_url()).body(body).send().await.expect("it answers");
        (answer.status().as_u16(), answer.text().await.expect("its body can be read"))
    };
    let wrong = json!({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}]});
    let (status, said) = post(wrong.to_string()).await;
    assert_eq!(status, 400, "{said}");
    assert!(said.contains('x') && said.contains('4'), "the message names the input and the size: {said}");
    let (status, said) = post(" ".repeat(5000)).await;
    assert_eq!(status, 413, "{said}");

    let pod = space.pods("digits").await.pop().expect("a pod serves");
    let own = space.status_of(&pod).await;
    assert_eq!((own.model.as_str(), own.version, own.model_digest), ("digits", 1, version.spec.model_digest));
    assert_eq!((own.execution_provider.as_str(), own.ready, own.draining), ("CPU", true, false));
    assert_eq!(own.golden_samples, version.spec.golden_samples.count);
    assert!(own.requests >= 1);
    let reported = deployment.status.expect("it has a status").pods;
    assert_eq!(reported.len(), 1, "{reported:?}");
    assert_eq!((&reported[0].name, &reported[0].model_digest), (&pod.name_any(), &own_digest(&space).await));

    let address = pod.status.as_ref().and_then(|status| status.pod_ip.clone()).expect("it has an address");
    let metrics = http.get(format!("http://{address}:{}/metrics", names::METRICS_PORT)).send().await;
    let metrics = metrics.expect("it answers").text().await.expect("text");
    assert!(metrics.contains("# TYPE") && metrics.contains("digits"), "{metrics}");
}

/// The same over gRPC, on the Service's other port.
pub async fn a_served_model_speaks_grpc_through_its_service(space: Space) {
    space.import("digits", AFFINE).await;
    let deployment = space.serve("digits", "digits", json!({})).await;
    let expected = space.predict(&deployment, AFFINE).await.data;
    let base = space.endpoint(&deployment).await.base;
    let (host, _) = base.rsplit_once(':').expect("the endpoint has a port");
    let channel = Channel::from_shared(format!("{host}:{}", names::GRPC_PORT)).expect("it is an address");
    let mut client = GrpcInferenceServiceClient::new(channel.connect().await.expect("it listens"));
    let ready = ModelReadyRequest { name: "digits".into(), version: "1".into() };
    assert!(client.model_ready(ready).await.expect("it answers").into_inner().ready);

    let input = |shape: [i64; 2]| InferInputTensor {
        name: "x".into(),
        datatype: "FP32".into(),
        shape: shape.into(),
        ..InferInputTensor::default()
    };
    let numbers = SAMPLE.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>();
    let right = ModelInferRequest {
        model_name: "digits".into(),
        inputs: vec![input([1, 4])],
        raw_input_contents: vec![numbers.into()],
        ..ModelInferRequest::default()
    };
    let wrong = ModelInferRequest { inputs: vec![input([1, 3])], ..right.clone() };
    let answer = client.model_infer(right).await.expect("it predicts").into_inner();
    assert_eq!((answer.model_name.as_str(), answer.model_version.as_str()), ("digits", "1"));
    let (numbers, rest) = answer.raw_output_contents[0].as_chunks();
    let numbers: Vec<f64> = numbers.iter().map(|number| f32::from_le_bytes(*number).into()).collect();
    assert_eq!((numbers, rest), (expected, [].as_slice()), "as over HTTP");
    let refused = client.model_infer(wrong).await.expect_err("another shape");
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    assert!(refused.message().contains("\"x\""), "{refused}");
}

async fn own_digest(space: &Space) -> String {
    space.version("digits-v1").await.spec.model_digest
}

/// A pod is deleted under keep-alive load.
pub async fn deleting_a_serving_pod_under_load_loses_no_request(space: Space) {
    space.import("digits", AFFINE).await;
    let deployment = space.serve("digits", "digits", json!({"replicas": 2})).await;
    let endpoint = space.endpoint(&deployment).await;
    let mut load = Load::start(&endpoint);
    load.answers(200).await;
    let mut busiest = None;
    for pod in space.pods("digits").await {
        let requests = space.status_of(&pod).await.requests;
        busiest = busiest.max(Some((requests, pod.name_any())));
    }
    let (requests, victim) = busiest.expect("pods serve");
    assert!(requests >= 100, "the pod that goes had only {requests} requests");
    let pods = space.api::<Pod>();
    pods.delete(&victim, &DeleteParams::default()).await.expect("a pod can be deleted");
    space.until_gone::<Pod>(&victim, 60).await;
    load.answers(200).await;
    let seen = load.stop().await;
    seen.assert_nothing_lost(400);
    assert!(space.pods("digits").await.iter().all(|pod| pod.name_any() != victim));
}
