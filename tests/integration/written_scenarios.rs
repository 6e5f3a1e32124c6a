//! What was written and is not in the caches yet.

use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Resource as _;
use modelwright::{
    api::name::DEPLOYMENT_LABEL,
    context::Context,
    k8s::{cache::Cache, expectations::Sight, objects::owned_metadata},
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

fn sight(context: &Context) -> Sight {
    context.written.sight(&context.caches, NAMESPACE, "digits")
}

#[tokio::test]
async fn a_write_is_waited_for_until_the_cache_shows_it_or_something_later() {
    for (cached, seen) in [
        (vec![], Sight::Behind),
        (vec![map("a", 9)], Sight::Behind),
        (vec![map("a", 10)], Sight::Clear),
        (vec![map("another", 101)], Sight::Clear),
    ] {
        let (mut context, _server) = context();
        assert_eq!(sight(&context), Sight::Clear, "nothing was written");
        context.written.present("ConfigMap", map("a", 10).meta());
        context.caches.config_maps = Cache::fixed(cached.clone());
        assert_eq!(sight(&context), seen, "{cached:?}");
    }
}

#[tokio::test]
async fn a_deletion_is_waited_for_until_the_cache_shows_none_or_another() {
    for (cached, seen) in [
        (vec![map("a", 10)], Sight::Behind),
        (vec![], Sight::Clear),
        (vec![map("another", 101)], Sight::Clear),
    ] {
        let (mut context, _server) = context();
        context.written.present("ConfigMap", map("a", 10).meta());
        context.written.gone("ConfigMap", map("a", 10).meta());
        context.caches.config_maps = Cache::fixed(cached.clone());
        assert_eq!(sight(&context), seen, "{cached:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_never_comes_is_overdue_once() {
    let (context, _server) = context();
    context.written.present("ConfigMap", map("a", 10).meta());
    tokio::time::advance(Duration::from_secs(4)).await;
    assert_eq!(sight(&context), Sight::Behind);
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!((sight(&context), sight(&context)), (Sight::Overdue, Sight::Clear));
}

#[tokio::test]
async fn other_deployments_are_not_held_up() {
    let (context, _server) = context();
    context.written.present("ConfigMap", map("a", 10).meta());
    assert_eq!(context.written.sight(&context.caches, NAMESPACE, "other"), Sight::Clear);
    assert_eq!(context.written.sight(&context.caches, "elsewhere", "digits"), Sight::Clear);
    assert_eq!(sight(&context), Sight::Behind);
}
