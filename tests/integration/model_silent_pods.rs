//! Pods of runs that let questions go unanswered, as behind a NetworkPolicy, keep nobody else's Models waiting.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::FutureExt as _;
use modelwright::{k8s::cache::Cache, model::observe::observe, pods::http::PodClient};
use serde_json::json;
use tokio::time::Instant;

use crate::{
    fixtures::{job, pod, runs, trained_model},
    scenario::context,
};

#[tokio::test(start_paused = true)]
async fn a_pod_that_does_not_answer_is_asked_less_and_less() {
    let (mut context, _server) = context();
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    context.pods = PodClient::by(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        pending().boxed()
    });
    let model = trained_model(json!({}), 1);
    let job = job(&model);
    let status = json!({"phase": "Pending", "podIP": "192.0.2.1", "initContainerStatuses": [runs("train")]});
    context.caches.pods = Cache::fixed(vec![pod(&job, status)]);
    context.caches.jobs = Cache::fixed(vec![job]);
    let mut waited = Duration::ZERO;
    for _ in 0..60 {
        let begun = Instant::now();
        let snapshot = observe(&context, &model).await;
        assert!(snapshot.progress.is_none());
        waited += begun.elapsed();
        tokio::time::advance(Duration::from_secs(10)).await;
    }
    let asked = asked.load(Ordering::Relaxed);
    assert!((4..8).contains(&asked), "in ten minutes it was asked {asked} times");
    assert!(waited < Duration::from_secs(8), "{waited:?}");
}
