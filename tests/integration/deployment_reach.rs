//! A first start is promoted when its Service has answered: whole looks, with pods and a Service that really answer.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use modelwright::{
    api::name::{
        DEPLOYMENT_LABEL, DEPLOYMENT_UID_LABEL, MANAGED_BY, MANAGED_BY_LABEL, REVISION_LABEL, TRAFFIC_LABEL,
        TRAFFIC_SERVE,
    },
    k8s::cache::Cache,
    serving::{
        fetch::{Children, fetch_cached},
        probe::Prober,
        record::Outcome,
        snapshot::{Snapshot, observe},
    },
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::{
    deployment_fixtures::{deployment, endpoints, time, valid},
    deployment_scenarios::made,
    scenario::context,
};

/// Answers everyone with this body.
fn answering(listener: TcpListener, body: String) {
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let _ = socket.read(&mut [0; 1024]).await.unwrap();
            let text = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            socket.write_all(text.as_bytes()).await.unwrap();
        }
    });
}

fn ready_pod(short: &str, set: &str) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "digits-x", "namespace": "space", "uid": "pod", "labels": {
            MANAGED_BY_LABEL: MANAGED_BY, DEPLOYMENT_LABEL: "digits", DEPLOYMENT_UID_LABEL: "uid-of-md",
            REVISION_LABEL: short, TRAFFIC_LABEL: TRAFFIC_SERVE},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": set, "uid": "stored", "controller": true}]},
        "status": {"podIP": "127.0.0.1", "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "serve", "image": "i", "imageID": "", "ready": true, "restartCount": 0,
                "containerID": "c", "started": true, "state": {"running": {}}}]},
    }))
    .unwrap()
}

#[tokio::test]
async fn a_first_start_whose_pods_are_ready_is_promoted_only_when_its_service_answers() {
    let object = deployment(json!({"model": "digits", "version": 1, "replicas": 1}));
    let (mut context, server) = context();
    let world = made(&object, &mut context, false);
    let set = format!("digits-{}", world.short);
    context.caches.pods = Cache::fixed(vec![ready_pod(&world.short, &set)]);
    let mut service = context.caches.services.get("space", "digits").unwrap().as_ref().clone();
    service.spec.as_mut().unwrap().cluster_ip = Some("127.0.0.1".into());
    context.caches.services = Cache::fixed(vec![service]);

    context.caches.endpoint_slices = Cache::fixed(vec![endpoints("digits", "space", "pod")]);

    let (pods, services) = (
        TcpListener::bind(("127.0.0.1", 0)).await.unwrap(),
        TcpListener::bind(("127.0.0.1", 0)).await.unwrap(),
    );
    let ports = (pods.local_addr().unwrap().port(), services.local_addr().unwrap().port());
    let digest = "c".repeat(64);
    answering(
        pods,
        json!({"model": "digits", "version": 1, "modelDigest": digest, "executionProvider": "CPU", "onnxruntimeVersion": "1",
            "ready": true, "draining": false, "drained": false, "goldenSamples": 1, "requests": 0})
        .to_string(),
    );
    // as a node's proxy that knows of no endpoint yet
    drop(services);
    let prober = Arc::new(Prober::at_ports(ports.0, ports.1));
    let valid = valid(&object);
    let take = async || -> Snapshot {
        let children: Children = fetch_cached(&context, &object.name_any(), "space");
        observe(&context, &prober, &object, Some(&valid), children, time(0)).await
    };

    let refused = take().await;
    assert!(refused.observed.revisions[&world.short].pods[0].verified, "{:#?}", refused.observed);
    assert!(refused.observed.unreached);
    assert_eq!(refused.decision.records[&world.short].outcome, Some(Outcome::Progressing));
    assert_eq!(refused.decision.stable, None);
    assert!(refused.decision.again.unwrap().as_secs() < 1, "it is asked again soon");

    answering(TcpListener::bind(("127.0.0.1", ports.1)).await.unwrap(), String::new());
    let answered = take().await;
    assert!(!answered.observed.unreached);
    assert_eq!(answered.decision.records[&world.short].outcome, Some(Outcome::Promoted));
    server.nothing_more().await;
}

#[tokio::test]
async fn a_pod_that_tries_again_to_fetch_its_model_says_why_and_since_when() {
    let object = deployment(json!({"model": "digits", "version": 1, "replicas": 1}));
    let (mut context, server) = context();
    let world = made(&object, &mut context, false);
    let mut pod = ready_pod(&world.short, &format!("digits-{}", world.short));
    pod.status = serde_json::from_value(json!({"phase": "Pending", "podIP": "127.0.0.1",
        "initContainerStatuses": [{"name": "fetch", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"running": {}}}]}))
    .unwrap();
    context.caches.pods = Cache::fixed(vec![pod]);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    answering(
        listener,
        json!({"sinceUnixSeconds": 1_796_000_000, "message": "http://store/v2/: refused"}).to_string(),
    );
    let children = fetch_cached(&context, "digits", "space");
    let looked =
        observe(&context, &Prober::at_ports(port, port), &object, Some(&valid(&object)), children, time(0))
            .await;
    let problem = looked.observed.revisions[&world.short].pods[0].problem.clone().unwrap();
    assert_eq!(problem.reason, "Retrying");
    assert_eq!(
        problem.message,
        "fetch of pod digits-x tries again since 2026-11-30T00:53:20Z; it failed last because of this: http://store/v2/: refused"
    );
    server.nothing_more().await;
}
