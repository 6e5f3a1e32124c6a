//! Nothing is decided before the caches are filled, against a mock API server.

use std::sync::Arc;

use modelwright::k8s::cache::Cache;
use serde_json::json;

use crate::{
    fixtures::{NAMESPACE, model},
    model_scenarios::{JOBS, VERSIONS},
    scenario::context,
};

#[tokio::test(start_paused = true)]
async fn nothing_is_decided_before_every_cache_is_filled() {
    let (mut context, mut server) = context();
    let model = model("s3://b/a", 1);
    context.caches.models = Cache::fixed(vec![model.clone()]);
    // versions are not yet listed: a run that was done long ago would start again
    let (versions, driver) = Cache::new(
        context.api(NAMESPACE),
        kube::runtime::watcher::Config::default(),
        |_| {},
        Arc::clone(&context.metrics),
    );
    context.caches.versions = versions;
    let (shutdown, stopping) = tokio::sync::watch::channel(false);
    let controller = tokio::spawn(modelwright::model::run(Arc::new(context), stopping));
    let watch = tokio::spawn(driver);
    let list = server.expect("GET", VERSIONS).await;
    server.quiet_for(std::time::Duration::from_secs(5)).await;
    list.object(
        &json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": []}),
    );
    loop {
        let call = server.next().await;
        if call.path == JOBS {
            break;
        }
        assert_eq!(call.path, VERSIONS, "the watch goes on after the list");
    }
    shutdown.send_replace(true);
    watch.abort();
    controller.abort();
}

#[tokio::test]
async fn a_stop_before_the_caches_are_filled_is_one_at_once() {
    let (mut context, mut server) = context();
    let (versions, driver) = Cache::new(
        context.raw(NAMESPACE),
        kube::runtime::watcher::Config::default(),
        |_| {},
        Arc::clone(&context.metrics),
    );
    context.caches.versions = versions;
    let (shutdown, stopping) = tokio::sync::watch::channel(false);
    let controller = tokio::spawn(modelwright::model::run(Arc::new(context), stopping));
    let watch = tokio::spawn(driver);
    let _unanswered = server.expect("GET", VERSIONS).await;
    shutdown.send_replace(true);
    tokio::time::timeout(std::time::Duration::from_secs(5), controller).await.unwrap().unwrap();
    watch.abort();
}

#[tokio::test]
async fn every_waiter_learns_that_a_cache_is_filled() {
    let (context, mut server) = context();
    let (versions, driver) = Cache::<modelwright::api::ModelVersion>::new(
        context.api(NAMESPACE),
        kube::runtime::watcher::Config::default(),
        |_| {},
        Arc::clone(&context.metrics),
    );
    let versions = Arc::new(versions);
    let waiters: Vec<_> = (0..3)
        .map(|_| {
            let versions = Arc::clone(&versions);
            tokio::spawn(async move { versions.synced().await })
        })
        .collect();
    let watch = tokio::spawn(driver);
    let list = server.expect("GET", VERSIONS).await;
    list.object(
        &json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": []}),
    );
    let all = futures::future::join_all(waiters);
    tokio::time::timeout(std::time::Duration::from_secs(1), all).await.unwrap();
    watch.abort();
}
