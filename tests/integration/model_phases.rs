//! What a run says while it goes on: its phase and since when, what its container tries again, and why the store that came
//! with the chart is not up.

use k8s_openapi::api::core::v1::Pod;
use modelwright::{
    bundled_store::BundledStore,
    k8s::cache::Cache,
    metrics::Metrics,
    model::{
        plan::plan_model,
        run::{read_run, words::words},
        status::{Inputs, ModelState, model_status},
    },
    pods::http::PodClient,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::{
    fixtures::{ended, job, model, pod, runs, snapshot, trained_model, valid, waits},
    model_scenarios::{EVENTS, STATUS, condition, reconciled},
    scenario::{ApiServer, client, context, play},
};

fn since(mut container: Value, time: &str) -> Value {
    container["state"]["running"]["startedAt"] = time.into();
    container
}

#[test]
fn the_condition_tells_the_phase_and_since_when() {
    let model = trained_model(json!({}), 1);
    let job = job(&model);
    let fetch = since(runs("fetch"), "2026-11-24T10:00:05Z");
    let train = since(runs("train"), "2026-11-24T10:00:09Z");
    let publish = since(runs("publish"), "2026-11-24T10:05:00Z");
    let (waiting, fetched) = (waits("train", "PodInitializing", ""), ended("fetch", 0, ""));
    for (init, main, expected) in [
        (vec![], vec![], "the model is being trained: its pod is being started"),
        (
            vec![fetch, waiting],
            vec![],
            "the model is being trained: its data are being fetched since 2026-11-24T10:00:05Z",
        ),
        (
            vec![fetched.clone(), train],
            vec![],
            "the model is being trained: train is at work since 2026-11-24T10:00:09Z",
        ),
        (
            vec![fetched, ended("train", 0, "")],
            vec![publish],
            "the model is being trained: it is being published since 2026-11-24T10:05:00Z",
        ),
    ] {
        let status = json!({"phase": "Pending", "initContainerStatuses": init, "containerStatuses": main});
        let snapshot = snapshot(vec![], vec![job.clone()], vec![pod(&job, status)]);
        let plan = plan_model(&model, &valid(&model), &snapshot);
        let state = ModelState::Running { problem: None, started: None };
        let status = model_status(&Inputs {
            model: &model,
            plan: Some(&plan),
            state: &state,
            refused: None,
            current_version: None,
            score: None,
            latest_version: None,
            now: "2026-11-24T10:06:00Z".parse().unwrap(),
        });
        let told = status.conditions.iter().find(|condition| condition.type_ == "Reconciling").unwrap();
        assert_eq!((told.reason.as_str(), told.message.as_str()), ("Training", expected));
    }
    assert_eq!(
        words(false, Some("Fetching"), None),
        "the model is being imported: its files are being fetched"
    );
    assert_eq!(words(false, None, None), "the model is being imported");
}

/// A pod in which this container runs, at this machine's own address.
fn at_work(job: &k8s_openapi::api::batch::v1::Job, container: &str) -> Pod {
    let running = vec![runs(container)];
    let (init, main) = if container == "publish" { (vec![], running) } else { (running, vec![]) };
    let status = json!({"phase": "Pending", "podIP": "127.0.0.1", "initContainerStatuses": init, "containerStatuses": main});
    pod(job, status)
}

/// The condition of a Model whose container answers `/retry` so, and what else was asked.
async fn told(container: &str, answer: Value, store: BundledStore) -> (Value, Value) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let (mut context, mut server) = context();
    context.pods = PodClient::at_port(listener.local_addr().unwrap().port());
    context.bundled_store = store;
    let model = model("s3://bucket/a.onnx", 1);
    let job = job(&model);
    context.caches.pods = Cache::fixed(vec![at_work(&job, container)]);
    context.caches.jobs = Cache::fixed(vec![job]);
    let answered = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = [0; 1024];
        let read = socket.read(&mut request).await.unwrap();
        assert!(request[..read].starts_with(b"GET /retry "));
        let body = answer.to_string();
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        socket.write_all(answer.as_bytes()).await.unwrap();
    };
    let mut out = (Value::Null, Value::Null);
    play(reconciled(&model, context), async {
        let (call, ()) = futures::future::join(server.expect("PATCH", STATUS), answered).await;
        out.0 = condition(&call.body, "Reconciling").clone();
        call.echo_model(&model);
        if out.0["reason"] == "Retrying" {
            let call = server.expect("POST", EVENTS).await;
            out.1 = call.body.clone();
            call.echo();
        }
        server.nothing_more().await;
    })
    .await
    .unwrap();
    out
}

fn retry(message: &str) -> Value {
    json!({"sinceUnixSeconds": 1_796_000_000, "message": message})
}

#[tokio::test]
async fn what_a_container_tries_again_its_last_error_and_since_when_are_told_while_it_does() {
    for container in ["fetch", "publish"] {
        let (told, event) =
            told(container, retry("s3://bucket/a.onnx: connection\n refused"), BundledStore::default()).await;
        assert_eq!(told["reason"], "Retrying");
        assert_eq!(
            told["message"],
            format!(
                "{container} tries again since 2026-11-30T00:53:20Z; it failed last because of this: s3://bucket/a.onnx: connection refused"
            )
        );
        assert_eq!(event["reason"], "RunWaiting");
    }
    let (quiet, _) = told("fetch", Value::Null, BundledStore::default()).await;
    assert_eq!(quiet["reason"], "Importing");
}

#[test]
fn the_word_of_another_pod_than_the_present_one_is_not_told() {
    let model = model("s3://bucket/a.onnx", 1);
    let job = job(&model);
    let mut snapshot = snapshot(vec![], vec![job.clone()], vec![at_work(&job, "fetch")]);
    let retrying = |pod: &str| modelwright::model::snapshot::Retrying {
        pod: pod.into(),
        container: "fetch".into(),
        since: "2026-11-24T10:00:00Z".parse().unwrap(),
        message: "refused".into(),
        store: None,
    };
    snapshot.retrying = Some(retrying("another"));
    let quiet = read_run(&job, &snapshot);
    snapshot.retrying = Some(retrying("uid-of-pod"));
    assert_ne!(quiet.state, read_run(&job, &snapshot).state);
}

const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/system/deployments/modelwright-store";
const CLAIM: &str = "/api/v1/namespaces/system/persistentvolumeclaims/modelwright-store";
const STORE_EVENTS: &str = "/api/v1/namespaces/system/events";
const STORE_PODS: &str = "/api/v1/namespaces/system/pods";

fn store_deployment(available: i32) -> Value {
    let volumes = json!([{"name": "config", "configMap": {"name": "c"}},
        {"name": "data", "persistentVolumeClaim": {"claimName": "modelwright-store"}}]);
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "modelwright-store"},
        "spec": {"selector": {"matchLabels": {"app": "store"}}, "template": {"spec": {"containers": [], "volumes": volumes}}},
        "status": {"availableReplicas": available}})
}

fn list(items: &[Value]) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": items})
}

/// What a store says after these answers to one look at it.
async fn seen(answer: impl AsyncFnOnce(&mut ApiServer)) -> BundledStore {
    let (client, mut server) = client();
    let (store, metrics) = (BundledStore::default(), Metrics::default());
    tokio::select! {
        () = store.watch(client, "system", "modelwright-store", &metrics) => panic!("it looks on for ever"),
        // the last answer is taken in before the next look is far
        () = async {
            answer(&mut server).await;
            server.quiet_for(std::time::Duration::from_millis(100)).await;
        } => {}
    }
    let up = format!("modelwright_bundled_store_up{{}} {}\n", i32::from(store.why_down().is_none()));
    assert!(metrics.render().unwrap().contains(&up), "{}", metrics.render().unwrap());
    store
}

#[tokio::test]
async fn a_bundled_store_without_a_storage_class_says_so_and_so_does_the_run_that_waits_for_it() {
    let words = "no persistent volumes available for this claim and no storage class is set";
    let store = seen(async |server| {
        server.expect("GET", DEPLOYMENT).await.object(&store_deployment(0));
        let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": "modelwright-store", "uid": "claim"}, "spec": {}, "status": {"phase": "Pending"}});
        server.expect("GET", CLAIM).await.object(&claim);
        let call = server.expect("GET", STORE_EVENTS).await;
        assert!(call.query.contains("claim"), "{}", call.query);
        call.object(&list(&[json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"},
            "involvedObject": {}, "reason": "FailedBinding", "message": words})]));
    })
    .await;
    let why = store.why_down().unwrap();
    for part in [
        "PersistentVolumeClaim modelwright-store is Pending",
        words,
        "storageClassName",
        "persistence.enabled",
    ] {
        assert!(why.contains(part), "{part}: {why}");
    }
    let (of_publish, _) = told("publish", retry("connection refused"), store.clone()).await;
    assert!(of_publish["message"].as_str().unwrap().contains(words), "{of_publish}");
    let (of_store, _) = told("fetch", retry("http://store.example:5000/v2/: refused"), store.clone()).await;
    assert!(of_store["message"].as_str().unwrap().contains(words), "{of_store}");
    let (of_fetch, _) = told("fetch", retry("http://elsewhere/a: refused"), store).await;
    assert!(!of_fetch["message"].as_str().unwrap().contains(words), "it does not need the store: {of_fetch}");
}

#[tokio::test]
async fn a_bundled_store_whose_pod_does_not_start_says_why_and_one_that_is_up_says_nothing() {
    let store = seen(async |server| {
        server.expect("GET", DEPLOYMENT).await.object(&store_deployment(0));
        let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": "modelwright-store", "uid": "claim"}, "status": {"phase": "Bound"}});
        server.expect("GET", CLAIM).await.object(&claim);
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
            "status": {"containerStatuses": [waits("registry", "ErrImagePull", "not found")]}});
        let call = server.expect("GET", STORE_PODS).await;
        assert!(call.query.contains("app%3Dstore"), "{}", call.query);
        call.object(&list(&[pod]));
    })
    .await;
    let why = store.why_down().unwrap();
    assert!(why.contains("ImagePullFailed: container registry cannot pull image: not found"), "{why}");
    let scaled = seen(async |server| {
        let mut deployment = store_deployment(0);
        deployment["spec"]["replicas"] = 0.into();
        server.expect("GET", DEPLOYMENT).await.object(&deployment);
        let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": "modelwright-store", "uid": "claim"}, "status": {"phase": "Bound"}});
        server.expect("GET", CLAIM).await.object(&claim);
        server.expect("GET", STORE_PODS).await.object(&list(&[]));
    })
    .await;
    let why = scaled.why_down().unwrap();
    assert!(why.contains("it was scaled to 0 replicas; start it with `kubectl scale"), "{why}");
    let up = seen(async |server| server.expect("GET", DEPLOYMENT).await.object(&store_deployment(1))).await;
    assert_eq!(up.why_down(), None);
    let gone = seen(async |server| server.expect("GET", DEPLOYMENT).await.error(404, "NotFound", "no")).await;
    assert!(gone.why_down().unwrap().contains("does not exist"));
}
