//! Leaving service under load on real sockets: no request may be lost.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use modelwright_contract::names::{POD_NAME_ENV, SERVING_ENV};

use crate::support::serving::{Answer, Client, Serving, artifact, config};

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

/// Keep-alive clients that behave as ordinary ones do: after `Connection: close` they open a new connection, and after a
/// refused one they go elsewhere.
struct Load {
    clients: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
    closed: Arc<AtomicU64>,
}

impl Load {
    fn start(address: SocketAddr, pause: Duration) -> Self {
        let counter = || Arc::new(AtomicU64::new(0));
        let (sent, failed, closed) = (counter(), counter(), counter());
        let stop = Arc::new(AtomicBool::new(false));
        let clients = (0..6)
            .map(|_| {
                let (sent, failed, closed, stop) =
                    (Arc::clone(&sent), Arc::clone(&failed), Arc::clone(&closed), Arc::clone(&stop));
                std::thread::spawn(move || {
                    let mut client: Option<Client> = None;
                    while !stop.load(Ordering::Relaxed) {
                        let Some(mut open) = client.take().or_else(|| Client::try_new(address).ok()) else {
                            return;
                        };
                        sent.fetch_add(1, Ordering::Relaxed);
                        match open.send("POST", "/v2/models/digits/infer", "", ONES) {
                            Ok(Answer { status: 200, headers, .. }) => {
                                if headers.get("connection").is_some_and(|value| value == "close") {
                                    closed.fetch_add(1, Ordering::Relaxed);
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
                })
            })
            .collect();
        Self { clients, stop, sent, failed, closed }
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
    serving.terminate();
    serving.wait_for("draining");
    // As long as endpoints still name this pod, clients come; each answer asks them to leave.
    load.goes_on(200);
    let answer = serving.client().get("/v2/health/ready");
    assert_eq!(answer.status, 503);
    assert!(answer.closes());
    let (sent, failed, closed) = load.stop();
    assert!(sent >= 400 && closed > 0, "sent {sent}, closed {closed}");
    assert_eq!(failed, 0, "of {sent}");
    assert_eq!(serving.exit_code(), 0);
    serving.wait_for("drained");
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
