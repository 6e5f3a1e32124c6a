//! The Open Inference Protocol over gRPC against the real process: answers, refusals, limits, and leaving service.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use modelwright_core::tensor::{Datatype, encode_strings};
use modelwright_serve::grpc::proto::{
    InferParameter, InferTensorContents, ModelConfigRequest, ModelInferRequest, ModelInferResponse,
    ModelMetadataRequest, ModelReadyRequest, ModelStatisticsRequest, RepositoryIndexRequest,
    ServerLiveRequest, ServerMetadataRequest, ServerReadyRequest,
    grpc_inference_service_client::GrpcInferenceServiceClient,
    infer_parameter::ParameterChoice,
    model_infer_request::{InferInputTensor, InferRequestedOutputTensor},
};
use tonic::{
    Code, Request, Response, Status,
    codec::CompressionEncoding,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::support::serving::{Client, Serving};

pub type Inference = GrpcInferenceServiceClient<Channel>;

async fn channel(serving: &Serving) -> Channel {
    Endpoint::from_shared(format!("http://{}", serving.grpc)).unwrap().connect().await.unwrap()
}

pub async fn client(serving: &Serving) -> Inference {
    GrpcInferenceServiceClient::new(channel(serving).await).max_decoding_message_size(usize::MAX)
}

pub fn input(
    name: &str,
    datatype: &str,
    shape: &[i64],
    contents: Option<InferTensorContents>,
) -> InferInputTensor {
    InferInputTensor {
        name: name.to_owned(),
        datatype: datatype.to_owned(),
        shape: shape.to_vec(),
        parameters: HashMap::new(),
        contents,
    }
}

#[expect(clippy::unnecessary_wraps, reason = "it is what a message holds")]
pub fn floats(numbers: &[f32]) -> Option<InferTensorContents> {
    Some(InferTensorContents { fp32_contents: numbers.to_vec(), ..InferTensorContents::default() })
}

pub fn ones(model: &str) -> ModelInferRequest {
    ModelInferRequest {
        model_name: model.to_owned(),
        id: "7".to_owned(),
        inputs: vec![input("x", "FP32", &[1, 4], floats(&[1.0; 4]))],
        ..ModelInferRequest::default()
    }
}

pub fn slow(rounds: i64) -> ModelInferRequest {
    let rounds = InferTensorContents { int64_contents: vec![rounds], ..InferTensorContents::default() };
    ModelInferRequest {
        model_name: "slow".to_owned(),
        inputs: vec![input("rounds", "INT64", &[], Some(rounds)), input("x", "FP32", &[], floats(&[1.0]))],
        ..ModelInferRequest::default()
    }
}

fn assert_marked(answer: &Response<ModelInferResponse>, serving: &Serving, version: &str) {
    let metadata = answer.metadata();
    assert_eq!(metadata.get("x-modelwright-version").unwrap(), version);
    let digest = serving.wait_for("ready")["digest"].as_str().unwrap().to_owned();
    assert_eq!(metadata.get("x-modelwright-digest").unwrap().to_str().unwrap(), digest);
}

#[tokio::test]
async fn a_prediction_is_answered_with_the_version_and_digest_that_gave_it() {
    let serving = Serving::model("linear", &["--version", "3"]);
    let mut client = client(&serving).await;
    for version in ["", "3"] {
        let mut request = ones("linear");
        request.model_version = version.to_owned();
        let answer = client.model_infer(request).await.unwrap();
        assert_marked(&answer, &serving, "3");
        let answer = answer.into_inner();
        assert_eq!((answer.model_name.as_str(), answer.model_version.as_str()), ("linear", "3"));
        assert_eq!(answer.id, "7");
        assert_eq!((answer.outputs[0].name.as_str(), answer.outputs[0].shape.as_slice()), ("y", &[1, 3][..]));
        assert_eq!(answer.outputs[0].contents.as_ref().unwrap().fp32_contents, [2.75, 1.75, 5.25]);
    }
    let refusal = client.model_infer(ones("other")).await.unwrap_err();
    assert_eq!(refusal.metadata().get("x-modelwright-version").unwrap(), "3", "refusals say so too");
}

#[tokio::test]
async fn every_datatype_goes_raw_bit_by_bit() {
    for datatype in Datatype::ALL {
        let name = format!("identity_{}", datatype.name().to_lowercase());
        let serving = Serving::model(&name, &[]);
        let data = match datatype {
            Datatype::Bool => vec![1, 0],
            Datatype::Bytes => encode_strings(["Grüße", ""]).unwrap().to_vec(),
            // Not a number, and others.
            other => [vec![0xff; other.size().unwrap()], vec![0x11; other.size().unwrap()]].concat(),
        };
        let request = ModelInferRequest {
            model_name: name.clone(),
            inputs: vec![input("x", datatype.name(), &[1, 2], None)],
            outputs: vec![InferRequestedOutputTensor { name: "y".to_owned(), parameters: HashMap::new() }],
            raw_input_contents: vec![data.clone().into()],
            ..ModelInferRequest::default()
        };
        let mut client = client(&serving).await.send_compressed(CompressionEncoding::Gzip);
        let answer = client.model_infer(request).await.unwrap().into_inner();
        assert_eq!(answer.outputs[0].datatype, datatype.name());
        assert_eq!(answer.raw_output_contents, [data], "{datatype}");
    }
}

#[tokio::test]
async fn refusals_have_the_right_code_and_say_what_was_expected() {
    let serving = Serving::model("linear", &["--max-request-bytes", "1000"]);
    let mut client = client(&serving).await;
    let with = |change: &dyn Fn(&mut ModelInferRequest)| {
        let mut request = ones("linear");
        change(&mut request);
        request
    };
    let region = InferParameter { parameter_choice: Some(ParameterChoice::StringParam("r".to_owned())) };
    for (request, code, text) in [
        (ones("other"), Code::NotFound, "model \"other\" is not served here; expected \"linear\""),
        (with(&|r| r.model_version = "2".to_owned()), Code::NotFound, "version \"2\" is not served here"),
        (with(&|r| r.inputs.clear()), Code::InvalidArgument, "input \"x\" is missing"),
        (with(&|r| r.inputs[0].name = "z".to_owned()), Code::InvalidArgument, "expected \"x\""),
        (with(&|r| r.inputs[0].datatype = "FP31".to_owned()), Code::InvalidArgument, "expected one of BOOL"),
        (with(&|r| r.inputs[0].shape = vec![2, 4]), Code::InvalidArgument, "16 bytes of data, expected 32"),
        (with(&|r| r.inputs[0].shape = vec![-1, 4]), Code::InvalidArgument, "has shape [-1,4]"),
        (
            with(&|r| r.inputs[0].shape = vec![i64::MAX, 4]),
            Code::InvalidArgument,
            "whose product can be counted",
        ),
        (
            with(&|r| {
                r.inputs[0].parameters = HashMap::from([("shared_memory_region".to_owned(), region.clone())]);
            }),
            Code::InvalidArgument,
            "shared_memory_region",
        ),
        (
            with(&|r| r.inputs[0].contents = floats(&[1.0; 1000])),
            Code::ResourceExhausted,
            "larger than 1000 bytes",
        ),
    ] {
        let refusal: Status = client.model_infer(request.clone()).await.unwrap_err();
        assert_eq!(refusal.code(), code, "{request:?}: {refusal}");
        assert!(refusal.message().contains(text), "{request:?}: {refusal}");
    }
    let text = Client::new(serving.metrics).get("/metrics").body;
    for (code, count) in [(400, 7), (404, 2), (413, 1)] {
        let line =
            format!("modelwright_requests_total{{model=\"linear\",version=\"1\",code=\"{code}\"}} {count}");
        assert!(text.contains(&line), "{line} is missing in {text}");
    }
}

#[tokio::test]
async fn what_inflates_beyond_the_limit_is_refused() {
    let serving = Serving::model("identity_fp32", &["--max-request-bytes", "1000000"]);
    let mut client = client(&serving).await.send_compressed(CompressionEncoding::Gzip);
    let request = |bytes: usize| ModelInferRequest {
        model_name: "identity_fp32".to_owned(),
        inputs: vec![input("x", "FP32", &[1, i64::try_from(bytes / 4).unwrap()], None)],
        raw_input_contents: vec![vec![0; bytes].into()],
        ..ModelInferRequest::default()
    };
    assert!(client.model_infer(request(900_000)).await.is_ok());
    let refusal = client.model_infer(request(40_000_000)).await.unwrap_err();
    assert_eq!(refusal.code(), Code::ResourceExhausted, "{refusal}");
}

#[tokio::test]
async fn the_clients_deadline_and_the_servers_both_stop_a_run() {
    let serving = Serving::model("slow", &["--timeout", "3000", "--threads", "1"]);
    let mut client = client(&serving).await;
    for (patience, least) in [(Some(300), 0), (None, 2500)] {
        let mut request = Request::new(slow(100_000_000));
        if let Some(patience) = patience {
            request.metadata_mut().insert("grpc-timeout", format!("{patience}m").parse().unwrap());
        }
        let begun = Instant::now();
        let refusal = client.model_infer(request).await.unwrap_err();
        // The client of this test ends a call by itself, too, and calls that cancelled.
        let expected = if patience.is_some() { Code::Cancelled } else { Code::DeadlineExceeded };
        assert_eq!(refusal.code(), expected, "{refusal}");
        assert!(begun.elapsed() >= Duration::from_millis(least) && begun.elapsed() < Duration::from_secs(10));
    }
    assert!(client.model_infer(slow(1)).await.is_ok(), "the model is free again");
}

#[tokio::test]
async fn a_full_queue_refuses_at_once_with_the_code_to_try_again_after() {
    let serving = Serving::model("slow", &["--queue", "0", "--threads", "1", "--timeout", "4000"]);
    let mut first = client(&serving).await;
    // A place is taken when the message is there, which the other may have before it.
    let waiting = tokio::spawn(async move {
        loop {
            let refusal = first.model_infer(slow(100_000_000)).await.unwrap_err();
            if refusal.code() != Code::Unavailable {
                return refusal;
            }
        }
    });
    let mut client = client(&serving).await;
    let begun = Instant::now();
    let refusal = loop {
        if let Err(refusal) = client.model_infer(slow(1)).await {
            break refusal;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "no place was ever taken");
    };
    assert_eq!(refusal.code(), Code::Unavailable, "{refusal}");
    assert_eq!(waiting.await.unwrap().code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn metadata_configuration_statistics_and_index_say_what_is_served() {
    let serving = Serving::model("two_in_two_out", &[]);
    let mut client = client(&serving).await;
    assert!(client.server_live(ServerLiveRequest {}).await.unwrap().into_inner().live);
    assert!(client.server_ready(ServerReadyRequest {}).await.unwrap().into_inner().ready);
    let named = |name: &str| ModelReadyRequest { name: name.to_owned(), version: "1".to_owned() };
    assert!(client.model_ready(named("two_in_two_out")).await.unwrap().into_inner().ready);
    assert_eq!(client.model_ready(named("other")).await.unwrap_err().code(), Code::NotFound);
    let server = client.server_metadata(ServerMetadataRequest {}).await.unwrap().into_inner();
    assert_eq!(server.name, "modelwright");
    let name = "two_in_two_out".to_owned();
    let metadata = client
        .model_metadata(ModelMetadataRequest { name: name.clone(), version: String::new() })
        .await
        .unwrap()
        .into_inner();
    assert_eq!((metadata.versions[0].as_str(), metadata.platform.as_str()), ("1", "onnxruntime_onnx"));
    assert_eq!((metadata.inputs[1].name.as_str(), metadata.inputs[1].shape.as_slice()), ("b", &[-1, 3][..]));
    assert_eq!(
        (metadata.outputs[1].name.as_str(), metadata.outputs[1].datatype.as_str()),
        ("label", "INT64")
    );
    let config = client
        .model_config(ModelConfigRequest { name: name.clone(), version: String::new() })
        .await
        .unwrap()
        .into_inner();
    let config = config.config.unwrap();
    assert_eq!(config.parameters["intra_op_thread_count"].string_value, "1");
    let output = config.output[1].clone();
    assert_eq!((output.name.as_str(), output.data_type), ("label", 9));
    let zeros = floats(&[0.0; 3]);
    let request = ModelInferRequest {
        model_name: name.clone(),
        inputs: vec![input("b", "FP32", &[1, 3], zeros.clone()), input("a", "FP32", &[1, 3], zeros)],
        ..ModelInferRequest::default()
    };
    client.model_infer(request.clone()).await.unwrap();
    client.model_infer(ModelInferRequest { inputs: Vec::new(), ..request }).await.unwrap_err();
    let statistics = client
        .model_statistics(ModelStatisticsRequest { name, version: "1".to_owned() })
        .await
        .unwrap()
        .into_inner();
    let model = &statistics.model_stats[0];
    assert_eq!((model.inference_count, model.execution_count), (1, 1));
    let durations = model.inference_stats.as_ref().unwrap();
    assert_eq!((durations.success.unwrap().count, durations.fail.unwrap().count), (1, 1));
    assert!(durations.compute_infer.unwrap().ns > 0 && model.last_inference > 1_700_000_000_000);
    let index = client.repository_index(RepositoryIndexRequest::default()).await.unwrap().into_inner();
    assert_eq!(index.models[0].state, "READY");
}

#[tokio::test]
async fn health_and_reflection_are_served() {
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let serving = Serving::model("linear", &[]);
    let channel = channel(&serving).await;
    let mut health = HealthClient::new(channel.clone());
    let ask = |service: &str| HealthCheckRequest { service: service.to_owned() };
    for service in ["", "inference.GRPCInferenceService"] {
        let answer = health.check(ask(service)).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving);
    }
    assert_eq!(health.check(ask("other")).await.unwrap_err().code(), Code::NotFound);
    let mut reflection = ServerReflectionClient::new(channel);
    let list = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers =
        reflection.server_reflection_info(futures::stream::iter([list])).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(services) = answer else { panic!("{answer:?}") };
    let names: Vec<_> = services.service.iter().map(|service| service.name.as_str()).collect();
    assert!(names.contains(&"inference.GRPCInferenceService"), "{names:?}");
    assert!(names.contains(&"grpc.health.v1.Health"), "{names:?}");
    let mut watch = health.watch(ask("")).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    serving.terminate();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
}

/// Clients that keep their connection and reconnect when they are told to. The one of this test does not send a call
/// again by itself that it held back when it was told, as gRPC's own clients do; so it is sent again here. The server's
/// count shows that it answered no call whose answer did not arrive; what it saw besides are calls that a client began
/// before it read that it should not, and those the client knows of.
#[tokio::test(flavor = "multi_thread")]
async fn a_signal_under_load_loses_no_call_and_ends_with_0() {
    let mut serving = Serving::model("linear", &[]);
    let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let refused = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = (0..6)
        .map(|_| {
            let endpoint = Endpoint::from_shared(format!("http://{}", serving.grpc)).unwrap();
            let (stop, sent, refused) = (Arc::clone(&stop), Arc::clone(&sent), Arc::clone(&refused));
            tokio::spawn(async move {
                let mut client = GrpcInferenceServiceClient::new(endpoint.connect().await.unwrap());
                while !stop.load(Ordering::Relaxed) {
                    match client.model_infer(ones("linear")).await {
                        Ok(_) => _ = sent.fetch_add(1, Ordering::Relaxed),
                        Err(refusal) => {
                            refused.fetch_add(1, Ordering::Relaxed);
                            assert!(
                                matches!(refusal.code(), Code::Cancelled | Code::Unknown)
                                    && format!("{refusal:?}").contains(if refusal.code() == Code::Unknown {
                                        "NO_ERROR"
                                    } else {
                                        "connection closed"
                                    }),
                                "{refusal:?}"
                            );
                        }
                    }
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            })
        })
        .collect();
    let goes_on = async |more: u64| {
        let (before, begun) = (sent.load(Ordering::Relaxed), Instant::now());
        while sent.load(Ordering::Relaxed) < before + more {
            assert!(begun.elapsed() < Duration::from_secs(30), "the clients stand still");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    goes_on(200).await;
    assert_eq!(refused.load(Ordering::Relaxed), 0, "a server that nobody told to leave refuses nothing");
    serving.terminate();
    serving.wait_for("draining");
    let before = sent.load(Ordering::Relaxed);
    goes_on(200).await;
    let answered = sent.load(Ordering::Relaxed) - before;
    // Each connection that comes now is told to leave behind its first call, which is answered, and holds back one.
    let held_back = refused.load(Ordering::Relaxed);
    assert!(
        held_back <= answered + 12,
        "{held_back} calls were held back beside {answered} that were answered"
    );
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(serving.exit_code(), 0);
    serving.wait_for("drained");
    let stopped = serving.wait_for("stopped");
    assert_eq!(stopped["answered"], sent.load(Ordering::Relaxed));
    let begun = stopped["requests"].as_u64().unwrap() - sent.load(Ordering::Relaxed);
    assert!(begun <= refused.load(Ordering::Relaxed), "{begun} calls were begun and not answered");
}

#[tokio::test]
async fn a_message_that_breaks_off_is_a_client_that_left_and_a_wrong_one_its_mistake() {
    let serving = Serving::model("linear", &[]);
    let url = format!("http://{}/inference.GRPCInferenceService/ModelInfer", serving.grpc);
    let http = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let call = |body: reqwest::Body| {
        http.post(&url).header("content-type", "application/grpc").header("te", "trailers").body(body).send()
    };
    let counted = |code: &str| {
        let (line, begun) = (format!("code=\"{code}\"}} 1\n"), Instant::now());
        while !Client::new(serving.metrics).get("/metrics").body.contains(&line) {
            assert!(begun.elapsed() < Duration::from_secs(30), "no request is counted as {code}");
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    let start = Ok::<_, std::io::Error>(vec![0, 0, 0, 0, 9, 1]);
    let broken = futures::stream::iter([start, Err(std::io::Error::other("gone"))]);
    assert!(call(reqwest::Body::wrap_stream(broken)).await.is_err());
    counted("499");
    call(reqwest::Body::from(vec![0, 0, 0, 0, 1, 0xff])).await.unwrap();
    counted("400");
}

#[tokio::test]
async fn a_connection_is_told_to_leave_behind_its_present_call() {
    let mut serving = Serving::model("slow", &[]);
    let mut busy = client(&serving).await;
    let waiting = tokio::spawn(async move { busy.model_infer(slow(20_000)).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    serving.terminate();
    serving.wait_for("draining");
    // Comes late, is answered, and finds its connection closed by the server though it does not let go.
    let mut late = client(&serving).await;
    assert!(late.model_infer(slow(1)).await.is_ok());
    assert!(waiting.await.unwrap().is_ok(), "a call in flight is finished");
    serving.wait_for_metric("modelwright_connections_open", 0.0);
    assert_eq!(serving.exit_code(), 0);
    drop(late);
}
