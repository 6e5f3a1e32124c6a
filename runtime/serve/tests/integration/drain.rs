//! Leaving service under load on real sockets: no request may be lost.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use modelwright_contract::names::{POD_NAME_ENV, SERVING_ENV};

use crate::{
    grpc::{Inference, input},
    support::serving::{Answer, Client, Serving, artifact, config},
};
use modelwright_serve::grpc::proto::{
    ModelInferRequest, ModelInferResponse, ModelStreamInferResponse,
    grpc_inference_service_client::GrpcInferenceServiceClient,
};

const ONES: &str = r#"{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP32","data":[1,1,1,1]}]}"#;

fn serve(folder: &Path) -> Serving {
    let digest = artifact("linear", folder);
    let config = config(folder, &digest);
    let traffic = folder.join("modelwright/traffic");
    std::fs::create_dir_all(&traffic).unwrap();
    let serving = Serving::start(
        &["--traffic-directory", traffic.to_str().unwrap()],
        &[(SERVING_ENV, &config), (POD_NAME_ENV, "digits-1")],
    );
    serving.wait_for("ready");
    serving
}

/// Swaps the file as the kubelet does.
fn drain(folder: &Path, pods: &[&str]) {
    let new = folder.join("modelwright/traffic/new");
    std::fs::write(&new, serde_json::json!({ "drain": pods }).to_string()).unwrap();
    std::fs::rename(new, folder.join("modelwright/traffic/traffic.json")).unwrap();
}

/// Keep-alive clients that behave as ordinary ones do: after `Connection: close` they open a new connection as long as
/// endpoints name the server, and else they go elsewhere. Each says whether it was asked to leave, or was refused.
struct Load {
    clients: Vec<JoinHandle<bool>>,
    stop: Arc<AtomicBool>,
    named: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
    closed: Arc<AtomicU64>,
}

impl Load {
    fn start(address: SocketAddr, pause: Duration) -> Self {
        let counter = || Arc::new(AtomicU64::new(0));
        let (sent, failed, closed) = (counter(), counter(), counter());
        let stop = Arc::new(AtomicBool::new(false));
        let named = Arc::new(AtomicBool::new(true));
        let clients = (0..6)
            .map(|_| {
                let (sent, failed, closed) = (Arc::clone(&sent), Arc::clone(&failed), Arc::clone(&closed));
                let (stop, named) = (Arc::clone(&stop), Arc::clone(&named));
                std::thread::spawn(move || {
                    let mut client: Option<Client> = None;
                    while !stop.load(Ordering::Relaxed) {
                        let Some(mut open) = client.take().or_else(|| Client::try_new(address).ok()) else {
                            return false;
                        };
                        sent.fetch_add(1, Ordering::Relaxed);
                        match open.send("POST", "/v2/models/digits/infer", "", ONES) {
                            Ok(Answer { status: 200, headers, .. }) => {
                                if headers.get("connection").is_some_and(|value| value == "close") {
                                    closed.fetch_add(1, Ordering::Relaxed);
                                    if !named.load(Ordering::Relaxed) {
                                        return true;
                                    }
                                } else {
                                    client = Some(open);
                                }
                            }
                            _ => {
                                failed.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                        std::thread::sleep(pause);
                    }
                    false
                })
            })
            .collect();
        Self { clients, stop, named, sent, failed, closed }
    }

    fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Waits until this many more were sent.
    fn goes_on(&self, more: u64) {
        let (before, begun) = (self.sent(), Instant::now());
        while self.sent() < before + more {
            assert!(begun.elapsed() < Duration::from_secs(30), "the clients stand still");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Endpoints no longer name the server: its clients stay until it asks them to leave. Gives how many it asked.
    fn leave(self) -> (usize, u64, u64) {
        self.named.store(false, Ordering::Relaxed);
        let asked = self.clients.into_iter().map(|client| client.join().unwrap()).filter(|asked| *asked);
        (asked.count(), self.sent.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }

    fn stop(self) -> (u64, u64, u64) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().unwrap();
        }
        (
            self.sent.load(Ordering::Relaxed),
            self.failed.load(Ordering::Relaxed),
            self.closed.load(Ordering::Relaxed),
        )
    }
}

#[test]
fn a_signal_under_load_loses_nothing_and_ends_with_0() {
    let folder = tempfile::tempdir().unwrap();
    let mut serving = serve(folder.path());
    let load = Load::start(serving.http, Duration::from_millis(2));
    load.goes_on(200);
    assert_eq!(load.closed.load(Ordering::Relaxed), 0, "before the signal nobody is asked to leave");
    serving.terminate();
    serving.wait_for("draining");
    // As long as endpoints still name this pod, clients come; each answer asks them to leave.
    load.goes_on(200);
    let answer = serving.client().get("/v2/health/ready");
    assert_eq!(answer.status, 503);
    assert!(answer.closes());
    // Then nobody comes any more, and who is there is answered until the server asks for the end, and before it ends.
    let clients = load.clients.len();
    let (asked, sent, failed) = load.leave();
    assert_eq!((asked, failed), (clients, 0), "of {sent}");
    assert_eq!(serving.exit_code(), 0);
    serving.wait_for("drained");
}

/// Bytes that a slow client reads in a second.
const RATE: u64 = 2 * 1024 * 1024;
/// Bytes of a large answer.
const LARGE: usize = 32 * 1024 * 1024;

/// What passes answers of a server on as a slow network does, to one client. Gives its address.
fn slow_network(server: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut server = TcpStream::connect(server).unwrap();
        // What the system takes in ahead would be no part of the answer that is still to be read.
        rustix::net::sockopt::set_socket_recv_buffer_size(&server, 64 * 1024).unwrap();
        let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        std::thread::spawn(move || {
            // The connection may end on either side first.
            let _ = std::io::copy(&mut from, &mut to);
        });
        let (begun, mut passed, mut piece) = (Instant::now(), 0, vec![0; 64 * 1024]);
        while let Ok(length @ 1..) = server.read(&mut piece) {
            if client.write_all(&piece[..length]).is_err() {
                return;
            }
            passed += length as u64;
            let due = Duration::from_micros(passed * 1_000_000 / RATE);
            std::thread::sleep(due.saturating_sub(begun.elapsed()));
        }
        let _ = client.shutdown(std::net::Shutdown::Both);
    });
    address
}

/// Told to stop in the middle of an answer, a server has it arrive whole, says so, and then ends.
fn stops_behind_the_answer(mut serving: Serving, answer: JoinHandle<(Instant, Vec<u8>)>, sent: &[u8]) {
    serving.wait_for_metric("modelwright_requests_in_flight", 0.0);
    let told = Instant::now();
    serving.terminate();
    serving.wait_for("draining");
    assert!(!answer.is_finished(), "the answer was read before the signal");
    let (arrived, received) = answer.join().unwrap();
    let took = arrived - told;
    // Longer than a silence that is taken for the end of all clients, and than the last patience behind it.
    assert!(took > Duration::from_secs(11), "the answer was not read slowly: {took:?}");
    assert!(received == sent, "{} of {} bytes arrived", received.len(), sent.len());
    assert_eq!(serving.exit_code(), 0);
    serving.wait_for("drained");
}

fn large() -> Vec<u8> {
    (0..LARGE).map(|place| u8::try_from(place * 31 % 251).unwrap()).collect()
}

#[test]
fn a_large_answer_over_http_that_is_read_slowly_arrives_whole_although_the_server_is_told_to_stop() {
    let serving = Serving::model("identity_uint8", &["--drain-timeout", "60000"]);
    let network = slow_network(serving.http);
    let sent = large();
    let head = serde_json::json!({
        "inputs": [{"name": "x", "datatype": "UINT8", "shape": [1, LARGE],
            "parameters": {"binary_data_size": LARGE}}],
        "parameters": {"binary_data_output": true},
    })
    .to_string();
    let body = [head.as_bytes(), &sent].concat();
    let answer = std::thread::spawn(move || {
        let length = format!("inference-header-content-length: {}\r\n", head.len());
        let path = "/v2/models/identity_uint8/infer";
        let answer = Client::new(network).send_bytes("POST", path, &length, &body);
        let received = answer.map(|answer| answer.binary().1).unwrap_or_default();
        (Instant::now(), received)
    });
    serving.wait_for_prediction();
    stops_behind_the_answer(serving, answer, &sent);
}

#[test]
fn a_large_answer_over_grpc_that_is_read_slowly_arrives_whole_although_the_server_is_told_to_stop() {
    let serving = Serving::model("identity_uint8", &["--drain-timeout", "60000"]);
    let network = slow_network(serving.grpc);
    let sent = large();
    let request = ModelInferRequest {
        model_name: "identity_uint8".to_owned(),
        inputs: vec![input("x", "UINT8", &[1, i64::try_from(LARGE).unwrap()], None)],
        raw_input_contents: vec![sent.clone().into()],
        ..ModelInferRequest::default()
    };
    let answer = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let answer = runtime.block_on(async {
            let channel = tonic::transport::Endpoint::from_shared(format!("http://{network}")).unwrap();
            let mut client: Inference = GrpcInferenceServiceClient::new(channel.connect().await.unwrap())
                .max_decoding_message_size(usize::MAX);
            client.model_infer(request).await
        });
        let raw = |answer: tonic::Response<ModelInferResponse>| answer.into_inner().raw_output_contents.pop();
        let received = answer.map_err(|status| eprintln!("{status}")).ok().and_then(raw);
        let received = received.map(Vec::from).unwrap_or_default();
        (Instant::now(), received)
    });
    serving.wait_for_prediction();
    stops_behind_the_answer(serving, answer, &sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_its_client_has_no_room_for_yet_is_kept_for_it_while_the_server_is_told_to_stop() {
    let mut serving = Serving::model("identity_uint8", &["--drain-timeout", "60000"]);
    // HTTP/2 then holds back what the client has not asked for, and nothing lies in the system's queues.
    let client = reqwest::Client::builder()
        .http2_prior_knowledge()
        .http2_initial_stream_window_size(65_535)
        .http2_initial_connection_window_size(65_535)
        .build()
        .unwrap();
    let sent = large().split_off(LARGE - 1024 * 1024);
    let request = ModelInferRequest {
        model_name: "identity_uint8".to_owned(),
        inputs: vec![input("x", "UINT8", &[1, i64::try_from(sent.len()).unwrap()], None)],
        raw_input_contents: vec![sent.clone().into()],
        ..ModelInferRequest::default()
    };
    let message = prost::Message::encode_to_vec(&request);
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let message = [&[0], &length[..], &message].concat();
    let requests =
        futures::stream::iter([Ok::<_, std::io::Error>(message)]).chain(futures::stream::pending());
    let mut answers = client
        .post(format!("http://{}/inference.GRPCInferenceService/ModelStreamInfer", serving.grpc))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(reqwest::Body::wrap_stream(requests))
        .send()
        .await
        .unwrap();
    serving.wait_for_prediction();
    serving.terminate();
    serving.wait_for("draining");
    // At twice the least rate, which takes longer than a silence that is taken for the end of all clients, with the last
    // patience behind it.
    let (told, mut received) = (Instant::now(), Vec::new());
    while let Some(piece) = answers.chunk().await.expect("the answer was cut") {
        received.extend_from_slice(&piece);
        let due = Duration::from_micros(received.len() as u64 * 1_000_000 / (64 * 1024));
        tokio::time::sleep(due.saturating_sub(told.elapsed())).await;
    }
    assert!(told.elapsed() > Duration::from_secs(12), "the answer was not read slowly: {:?}", told.elapsed());
    let answer: ModelStreamInferResponse = prost::Message::decode(&received[5..]).unwrap();
    let received = answer.infer_response.and_then(|answer| answer.raw_output_contents.into_iter().next());
    assert!(received.is_some_and(|received| received == sent), "another answer: {}", answer.error_message);
    drop((answers, client));
    assert_eq!(tokio::task::spawn_blocking(move || serving.exit_code()).await.unwrap(), 0);
}

#[test]
fn the_traffic_file_drains_a_pod_and_takes_it_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut serving = serve(folder.path());
    let load = Load::start(serving.http, Duration::from_millis(2));
    load.goes_on(100);
    drain(folder.path(), &["another", "digits-1"]);
    let status = serving.wait_for_status("draining", |status| status["draining"] == true);
    assert_eq!((&status["ready"], &status["drained"]), (&false.into(), &false.into()));
    load.goes_on(100);
    let (sent, failed, closed) = load.stop();
    assert_eq!(failed, 0, "of {sent}");
    assert!(closed > 0);
    serving.wait_for_status("drained", |status| status["drained"] == true);
    // It serves on, and comes back when its name is taken off the list.
    let answer = serving.client().post("/v2/models/digits/infer", ONES);
    assert!(answer.status == 200 && answer.closes(), "{answer:?}");
    drain(folder.path(), &["another"]);
    serving.wait_for_status("ready", |status| status["ready"] == true && status["draining"] == false);
    let answer = serving.client().post("/v2/models/digits/infer", ONES);
    assert!(answer.status == 200 && !answer.closes(), "{answer:?}");
    // A pod that was drained before it is told to stop does not wait for clients again.
    drain(folder.path(), &["digits-1"]);
    serving.wait_for_status("drained", |status| status["drained"] == true);
    let begun = Instant::now();
    serving.terminate();
    assert_eq!(serving.exit_code(), 0);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[test]
fn an_idle_connection_gets_one_more_answer_before_it_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let mut serving = serve(folder.path());
    let mut idle = serving.client();
    assert!(!idle.post("/v2/models/digits/infer", ONES).closes());
    serving.terminate();
    serving.wait_for("draining");
    // Longer than the time for which new connections are accepted at least.
    std::thread::sleep(Duration::from_millis(3500));
    let answer = idle.post("/v2/models/digits/infer", ONES);
    assert!(answer.status == 200 && answer.closes(), "{answer:?}");
    drop(idle);
    assert_eq!(serving.exit_code(), 0);
}

#[test]
fn a_request_in_flight_is_finished_and_a_second_signal_ends_at_once() {
    let slow = r#"{"inputs":[{"name":"rounds","shape":[],"datatype":"INT64","data":[ROUNDS]},
        {"name":"x","shape":[],"datatype":"FP32","data":[1]}]}"#;
    let mut serving = Serving::model("slow", &[]);
    let mut client = serving.client();
    let body = slow.replace("ROUNDS", "20000");
    let waiting = std::thread::spawn(move || client.post("/v2/models/slow/infer", &body));
    serving.wait_for_metric("modelwright_requests_in_flight", 1.0);
    serving.terminate();
    let answer = waiting.join().unwrap();
    assert!(answer.status == 200 && answer.closes(), "{answer:?}");
    assert_eq!(serving.exit_code(), 0);

    let mut serving = Serving::model("slow", &[]);
    let mut client = serving.client();
    let body = slow.replace("ROUNDS", "100000000");
    let waiting = std::thread::spawn(move || client.send("POST", "/v2/models/slow/infer", "", &body));
    serving.wait_for_metric("modelwright_requests_in_flight", 1.0);
    serving.terminate();
    serving.wait_for("draining");
    serving.terminate();
    assert_eq!(serving.exit_code(), 1);
    assert_cut_short(&waiting.join().unwrap());
}

/// A request whose run was stopped gets no prediction: nothing, or the advice to send it again.
fn assert_cut_short(answer: &std::io::Result<Answer>) {
    if let Ok(answer) = answer {
        assert!(answer.status == 503 && answer.error().contains("is stopping"), "{answer:?}");
    }
}

#[test]
fn a_drain_that_takes_too_long_ends_at_its_timeout() {
    let mut serving = Serving::model("slow", &["--drain-timeout", "500"]);
    let mut client = serving.client();
    let body = r#"{"inputs":[{"name":"rounds","shape":[],"datatype":"INT64","data":[100000000]},
        {"name":"x","shape":[],"datatype":"FP32","data":[1]}]}"#;
    let waiting = std::thread::spawn(move || client.send("POST", "/v2/models/slow/infer", "", body));
    serving.wait_for_metric("modelwright_requests_in_flight", 1.0);
    serving.terminate();
    assert_eq!(serving.exit_code(), 0);
    serving.wait_for("drain timed out");
    assert_cut_short(&waiting.join().unwrap());
}
