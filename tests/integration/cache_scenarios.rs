//! Nothing is decided before the caches are filled, against a mock API server.

use std::{sync::Arc, time::Duration};

use kube::client::ClientBuilder;
use modelwright::{
    k8s::{cache::Cache, heard::Listening},
    metrics::Metrics,
};
use serde_json::json;

use crate::{
    fixtures::{NAMESPACE, model},
    model_scenarios::{JOBS, VERSIONS},
    scenario::{carrier, context},
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

/// The API server sends a bookmark each minute where nothing happens; kube's watcher says nothing of it.
#[tokio::test(start_paused = true)]
async fn a_bookmark_makes_a_cache_young_again_and_a_watch_that_is_refused_does_not() {
    let (service, mut server) = carrier();
    let metrics = Arc::new(Metrics::default());
    let client = ClientBuilder::new(service, NAMESPACE).with_layer(&Listening(Arc::clone(&metrics))).build();
    let (_versions, driver) = Cache::<modelwright::api::ModelVersion>::new(
        kube::Api::namespaced(client, NAMESPACE),
        kube::runtime::watcher::Config::default(),
        Arc::clone(&metrics),
    );
    let age = || -> f64 {
        let text = metrics.render().unwrap();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("modelwright_cache_age_seconds{kind=\"ModelVersion\"} "));
        line.unwrap().parse().unwrap()
    };
    let watch = tokio::spawn(driver);
    server.expect("GET", VERSIONS).await.object(
        &json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": []}),
    );
    let call = server.expect("GET", VERSIONS).await;
    tokio::time::advance(Duration::from_secs(100)).await;
    assert!((100.0..102.0).contains(&age()), "{}", age());
    let bookmark = json!({"kind": "ModelVersion", "apiVersion": "modelwright.dev/v1alpha1",
        "metadata": {"resourceVersion": "2"}});
    call.events(&[("BOOKMARK", bookmark)]);
    let call = server.next().await;
    assert!(call.query.contains("resourceVersion=2") && age() < 5.0, "{} {}", call.query, age());
    tokio::time::advance(Duration::from_secs(100)).await;
    call.error(500, "InternalError", "no");
    server.limit = Duration::from_mins(2);
    server.expect("GET", VERSIONS).await;
    assert!(age() > 100.0, "{}", age());
    watch.abort();
}

#[tokio::test]
async fn every_waiter_learns_that_a_cache_is_filled() {
    let (context, mut server) = context();
    let (versions, driver) = Cache::<modelwright::api::ModelVersion>::new(
        context.api(NAMESPACE),
        kube::runtime::watcher::Config::default(),
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
