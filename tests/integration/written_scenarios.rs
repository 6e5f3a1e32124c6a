//! What was written and is not in the caches yet.

use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Resource as _;
use modelwright::{
    api::name::{DEPLOYMENT_LABEL, owned_metadata},
    context::Context,
    k8s::{cache::Cache, expectations::Expectation},
};

use crate::{fixtures::NAMESPACE, scenario::context};

fn map(uid: &str, version: u64) -> ConfigMap {
    let mut map = ConfigMap {
        metadata: owned_metadata("map".into(), NAMESPACE, None, [(DEPLOYMENT_LABEL, "digits".to_owned())]),
        ..ConfigMap::default()
    };
    map.metadata.uid = Some(uid.into());
    map.metadata.resource_version = Some(version.to_string());
    map
}

fn expectation(context: &Context) -> Expectation {
    context.expectations.state(&context.caches, NAMESPACE, "digits")
}

#[tokio::test]
async fn a_write_is_waited_for_until_the_cache_shows_it_or_something_later() {
    for (cached, seen) in [
        (vec![], Expectation::Pending),
        (vec![map("a", 9)], Expectation::Pending),
        (vec![map("a", 10)], Expectation::Satisfied),
        (vec![map("another", 101)], Expectation::Satisfied),
    ] {
        let (mut context, _server) = context();
        assert_eq!(expectation(&context), Expectation::Satisfied, "nothing was written");
        context.expectations.present("ConfigMap", map("a", 10).meta());
        context.caches.config_maps = Cache::fixed(cached.clone());
        assert_eq!(expectation(&context), seen, "{cached:?}");
    }
}

#[tokio::test]
async fn a_deletion_is_waited_for_until_the_cache_shows_none_or_another() {
    for (cached, seen) in [
        (vec![map("a", 10)], Expectation::Pending),
        (vec![], Expectation::Satisfied),
        (vec![map("another", 101)], Expectation::Satisfied),
    ] {
        let (mut context, _server) = context();
        context.expectations.present("ConfigMap", map("a", 10).meta());
        context.expectations.gone("ConfigMap", map("a", 10).meta());
        context.caches.config_maps = Cache::fixed(cached.clone());
        assert_eq!(expectation(&context), seen, "{cached:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_never_comes_is_overdue_once() {
    let (context, _server) = context();
    context.expectations.present("ConfigMap", map("a", 10).meta());
    tokio::time::advance(Duration::from_secs(4)).await;
    assert_eq!(expectation(&context), Expectation::Pending);
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(
        (expectation(&context), expectation(&context)),
        (Expectation::Expired, Expectation::Satisfied)
    );
}

#[tokio::test]
async fn other_deployments_are_not_held_up() {
    let (context, _server) = context();
    context.expectations.present("ConfigMap", map("a", 10).meta());
    assert_eq!(context.expectations.state(&context.caches, NAMESPACE, "other"), Expectation::Satisfied);
    assert_eq!(context.expectations.state(&context.caches, "elsewhere", "digits"), Expectation::Satisfied);
    assert_eq!(expectation(&context), Expectation::Pending);
}
