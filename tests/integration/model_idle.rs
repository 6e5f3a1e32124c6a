//! What a thousand Models ask of the API server while nothing happens to them. Paused time: the operator's own pace.

use std::{sync::Arc, time::Duration};

use modelwright::{api::Model, clock::Clock, k8s::cache::Cache};
use serde_json::{Value, json};
use tokio::{sync::watch, time::timeout};

use crate::{
    fixtures::{job, model, pod},
    scenario::{ApiServer, context},
};

const MODELS: usize = 1000;

/// How many requests a thousand Models, each with a Job and maybe a pod of this status, take until each is told why it waits,
/// and in the minute after that.
async fn requests(suspended: bool, pod_status: Option<Value>) -> (usize, usize) {
    let (mut context, mut server) = context();
    let models: Vec<Model> = (0..MODELS)
        .map(|number| {
            let mut model = model("s3://b/a", 1);
            model.metadata.name = Some(format!("m-{number}"));
            model.metadata.uid = Some(format!("uid-of-m-{number}"));
            model
        })
        .collect();
    let mut jobs: Vec<_> = models.iter().map(job).collect();
    for job in &mut jobs {
        job.spec.as_mut().unwrap().suspend = Some(suspended);
    }
    let pods = jobs.iter().filter_map(|job| {
        pod_status.clone().map(|status| {
            let mut pod = pod(job, status);
            pod.metadata.labels.clone_from(&job.metadata.labels);
            pod.spec = None;
            pod
        })
    });
    context.caches.pods = Cache::fixed(pods.collect());
    context.caches.jobs = Cache::fixed(jobs);
    context.caches.models = Cache::fixed(models);
    context.clock = Clock::following("2026-11-24T10:00:30Z".parse().unwrap());
    let (shutdown, stopping) = watch::channel(false);
    let running = tokio::spawn(modelwright::model::run(Arc::new(context), stopping));
    let first = answered(&mut server, Duration::from_secs(1)).await;
    let (mut idle, end) = (0, tokio::time::Instant::now() + Duration::from_mins(1));
    while tokio::time::Instant::now() < end {
        idle += answered(&mut server, Duration::from_secs(1)).await;
    }
    shutdown.send_replace(true);
    running.await.unwrap();
    (first, idle)
}

/// Answers requests until none comes for so long.
async fn answered(server: &mut ApiServer, quiet: Duration) -> usize {
    let mut count = 0;
    while let Ok(call) = timeout(quiet, server.next()).await {
        count += 1;
        match call.method.as_str() {
            "GET" => call.object(&json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": []})),
            _ => call.echo(),
        }
    }
    count
}

#[tokio::test(start_paused = true)]
async fn a_thousand_suspended_models_ask_for_nothing() {
    let (first, idle) = requests(true, None).await;
    assert!((MODELS..=3 * MODELS).contains(&first), "{first}");
    assert_eq!(idle, 0);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_models_that_no_node_takes_ask_for_nothing() {
    let condition = json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
        "message": "0/1 nodes are available: 1 Insufficient cpu."});
    let (first, idle) = requests(false, Some(json!({"phase": "Pending", "conditions": [condition]}))).await;
    assert!((MODELS..=3 * MODELS).contains(&first), "{first}");
    assert_eq!(idle, 0);
}
