//! Predictions over a stream of gRPC against the real process: order, errors, the bound, and leaving service.

use futures::StreamExt;
use modelwright_serve::grpc::proto::{ModelInferRequest, ModelStreamInferResponse, ServerLiveRequest};
use tokio::sync::mpsc;
use tonic::{Code, Status, Streaming};

use crate::{
    grpc::{Inference, client, floats, input, ones, slow},
    support::serving::{Client, Serving},
};

/// An open stream, and the way to send requests over it.
struct Open {
    send: mpsc::UnboundedSender<ModelInferRequest>,
    answers: Streaming<ModelStreamInferResponse>,
    /// The connection ends with it.
    _client: Inference,
}

async fn open(serving: &Serving) -> Open {
    let (send, mut requests) = mpsc::unbounded_channel();
    let requests = futures::stream::poll_fn(move |context| requests.poll_recv(context));
    let mut client = client(serving).await;
    let answers = client.model_stream_infer(requests).await.unwrap();
    assert_eq!(answers.metadata().get("x-modelwright-version").unwrap(), "1");
    Open { send, answers: answers.into_inner(), _client: client }
}

fn named(id: &str, request: ModelInferRequest) -> ModelInferRequest {
    ModelInferRequest { id: id.to_owned(), ..request }
}

fn counted(serving: &Serving, line: &str) -> bool {
    Client::new(serving.metrics).get("/metrics").body.contains(line)
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_a_stream_are_answered_in_order_and_an_error_of_one_does_not_end_it() {
    let serving = Serving::model("linear", &["--max-request-bytes", "1000"]);
    let Open { send, mut answers, _client } = open(&serving).await;
    let wrong =
        ModelInferRequest { inputs: vec![input("z", "FP32", &[1, 4], floats(&[1.0; 4]))], ..ones("linear") };
    for (id, request) in [("a", ones("linear")), ("b", wrong), ("c", ones("other")), ("d", ones("linear"))] {
        send.send(named(id, request)).unwrap();
    }
    for (id, error) in
        [("a", ""), ("b", "expected \"x\""), ("c", "model \"other\" is not served here"), ("d", "")]
    {
        let answer = answers.message().await.unwrap().unwrap();
        assert!(answer.error_message.contains(error), "{answer:?}");
        assert_eq!(answer.error_message.is_empty(), error.is_empty(), "{answer:?}");
        let prediction = answer.infer_response.unwrap();
        assert_eq!(prediction.id, id);
        let numbers = prediction.outputs.first().and_then(|output| output.contents.as_ref());
        let expected = [2.75, 1.75, 5.25];
        assert_eq!(
            numbers.map(|found| found.fp32_contents.as_slice()),
            error.is_empty().then_some(&expected[..])
        );
    }
    // A message that is too large cannot be passed over.
    let large = ModelInferRequest {
        inputs: vec![input("x", "FP32", &[1, 4], floats(&[1.0; 1000]))],
        ..ones("linear")
    };
    send.send(large).unwrap();
    let refusal: Status = answers.message().await.unwrap_err();
    assert_eq!(refusal.code(), Code::ResourceExhausted, "{refusal}");
    assert!(refusal.message().contains("larger than 1000 bytes"), "{refusal}");
    for (code, count) in [(200, 2), (400, 1), (404, 1), (413, 1), (499, 0)] {
        let line =
            format!("modelwright_requests_total{{model=\"linear\",version=\"1\",code=\"{code}\"}} {count}\n");
        assert!(counted(&serving, &line), "{line}");
    }
    let Open { send, answers, _client } = open(&serving).await;
    send.send(ones("linear")).unwrap();
    drop(send);
    assert_eq!(
        answers.filter(|answer| std::future::ready(answer.is_ok())).count().await,
        1,
        "it ends as the client does"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_takes_no_more_than_its_bound_before_it_has_answered_and_stops_its_runs_with_its_client() {
    let serving = Serving::model("slow", &["--threads", "1"]);
    let Open { send, answers, _client } = open(&serving).await;
    for _ in 0..200 {
        send.send(slow(100_000_000)).unwrap();
    }
    serving.wait_for_metric("modelwright_requests_in_flight", 64.0);
    // Another call goes on meanwhile, and the stream took nothing more.
    client(&serving).await.server_live(ServerLiveRequest {}).await.unwrap();
    serving.wait_for_metric("modelwright_requests_in_flight", 64.0);
    drop((send, answers));
    serving.wait_for_metric("modelwright_requests_in_flight", 0.0);
    assert!(counted(&serving, "code=\"499\"} 64\n"));
    client(&serving).await.model_infer(slow(1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_leaves_answers_what_it_took_of_a_stream_and_ends_it() {
    let mut serving = Serving::model("slow", &[]);
    let Open { send, mut answers, _client } = open(&serving).await;
    send.send(named("short", slow(1))).unwrap();
    assert_eq!(answers.message().await.unwrap().unwrap().infer_response.unwrap().id, "short");
    send.send(named("long", slow(300_000))).unwrap();
    serving.wait_for_metric("modelwright_requests_in_flight", 1.0);
    serving.terminate();
    serving.wait_for("draining");
    let long = answers.message().await.unwrap().unwrap();
    assert_eq!((long.error_message.as_str(), long.infer_response.unwrap().id.as_str()), ("", "long"));
    let end = answers.message().await.unwrap_err();
    assert_eq!(end.code(), Code::Unavailable, "{end}");
    assert!(end.message().contains("open another stream"), "{end}");
    // One that comes late is answered too.
    let Open { send: late, mut answers, _client } = open(&serving).await;
    late.send(named("late", slow(1))).unwrap();
    assert_eq!(answers.message().await.unwrap().unwrap().infer_response.unwrap().id, "late");
    assert_eq!(answers.message().await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(serving.exit_code(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_never_pauses_does_not_hold_a_server_that_leaves() {
    let mut serving = Serving::model("slow", &["--threads", "1", "--timeout", "300000"]);
    let Open { send, mut answers, _client } = open(&serving).await;
    for _ in 0..400 {
        send.send(slow(10_000)).unwrap();
    }
    serving.wait_for_metric("modelwright_requests_in_flight", 64.0);
    serving.terminate();
    let mut answered = 0;
    let end = loop {
        match answers.message().await {
            Ok(answer) => assert_eq!(answer.unwrap().error_message, ""),
            Err(end) => break end,
        }
        answered += 1;
    };
    assert_eq!(end.code(), Code::Unavailable, "{end}");
    assert!((64..400).contains(&answered), "{answered} of 400 were answered");
    assert_eq!(serving.exit_code(), 0);
}
