//! Writes against a mock API server: server-side apply, strangers, comparisons.

use std::time::Duration;

use k8s_openapi::{api::core::v1::ConfigMap, apimachinery::pkg::apis::meta::v1::OwnerReference};
use modelwright::{
    api::name::{APPLIED_HASH_ANNOTATION, owned_metadata},
    k8s::{
        apply::{ApplyError, apply_objects, delete, patch_observed},
        objects::{Objects, Prepared, Write, stamp},
    },
};
use serde_json::json;

use crate::{
    fixtures::NAMESPACE,
    scenario::{ApiServer, context, play},
};

const MAP: &str = "/api/v1/namespaces/space/configmaps/map";

fn map(value: &str) -> ConfigMap {
    let owner = OwnerReference {
        api_version: "v1".into(),
        kind: "Owner".into(),
        name: "owner".into(),
        uid: "me".into(),
        controller: Some(true),
        ..OwnerReference::default()
    };
    ConfigMap {
        metadata: owned_metadata("map".into(), NAMESPACE, Some(owner), [("label", "value".to_owned())]),
        data: Some([("key".to_owned(), value.to_owned())].into()),
        ..ConfigMap::default()
    }
}

fn prepared(value: &str, observed: Option<&ConfigMap>) -> Objects<Prepared> {
    let mut objects = Objects::default();
    objects.push(Write::Apply, &map(value), observed).unwrap();
    objects
}

/// The object as the API server would hold it after it was applied.
fn stored(value: &str) -> ConfigMap {
    let mut item = prepared(value, None).items()[0].value.clone();
    stamp(&mut item, APPLIED_HASH_ANNOTATION);
    let mut stored: ConfigMap = serde_json::from_value(item).unwrap();
    stored.metadata.uid = Some("uid-of-map".into());
    stored.metadata.resource_version = Some("5".into());
    stored
}

#[tokio::test]
async fn an_object_as_rendered_is_not_written() {
    let (context, server) = context();
    let objects = prepared("a", Some(&stored("a")));
    let applied = play(apply_objects(&context, objects), server.nothing_more()).await.unwrap();
    let map: ConfigMap = applied.get("map").unwrap();
    assert_eq!(map.metadata.uid.as_deref(), Some("uid-of-map"));
}

#[tokio::test]
async fn a_difference_is_applied_to_exactly_the_object_that_was_seen() {
    let (context, mut server) = context();
    let mut drifted = stored("a");
    drifted.data.as_mut().unwrap().insert("key".into(), "by hand".into());
    for (rendered, observed) in [("b", stored("a")), ("a", drifted)] {
        play(apply_objects(&context, prepared(rendered, Some(&observed))), async {
            let call = server.expect("PATCH", MAP).await;
            assert!(call.query.contains("fieldManager=modelwright") && call.query.contains("force=true"));
            assert_eq!(
                (&call.body["metadata"]["uid"], &call.body["data"]["key"]),
                (&json!("uid-of-map"), &json!(rendered))
            );
            call.object(&stored(rendered));
        })
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn an_object_that_the_cache_does_not_hold_is_applied_only_where_there_is_none() {
    let (context, mut server) = context();
    let unseen = async |server: &mut ApiServer| {
        let call = server.expect("PATCH", MAP).await;
        // no object has it: whatever is there is a conflict
        assert_eq!(call.body["metadata"]["resourceVersion"], "1");
        call
    };
    play(apply_objects(&context, prepared("a", None)), async {
        unseen(&mut server).await.object(&stored("a"));
    })
    .await
    .unwrap();
    let mut stranger = stored("a");
    stranger.metadata.owner_references = None;
    stranger.metadata.labels = None;
    let error = play(apply_objects(&context, prepared("a", None)), async {
        unseen(&mut server).await.error(409, "Conflict", "the object has been modified");
        server.expect("GET", MAP).await.object(&stranger);
        server.quiet_for(Duration::from_millis(50)).await;
    })
    .await
    .unwrap_err();
    assert!(matches!(error, ApplyError::NameTaken { .. }), "{error}");
    // ours, and not as rendered: the cache was behind
    play(apply_objects(&context, prepared("b", None)), async {
        unseen(&mut server).await.error(409, "Conflict", "the object has been modified");
        server.expect("GET", MAP).await.object(&stored("a"));
        let call = server.expect("PATCH", MAP).await;
        assert_eq!(call.body["metadata"]["uid"], "uid-of-map");
        call.object(&stored("b"));
        server.nothing_more().await;
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn an_object_that_is_being_deleted_is_waited_for() {
    let (context, server) = context();
    let mut leaving = stored("a");
    leaving.metadata.deletion_timestamp =
        Some(serde_json::from_value(json!("2026-11-24T10:00:00Z")).unwrap());
    let objects = prepared("b", Some(&leaving));
    let error = play(apply_objects(&context, objects), server.nothing_more()).await.unwrap_err();
    assert!(matches!(error, ApplyError::Terminating { .. }), "{error}");
}

#[tokio::test]
async fn a_refusal_carries_the_api_servers_words() {
    let (context, mut server) = context();
    let error = play(apply_objects(&context, prepared("b", Some(&stored("a")))), async {
        server.expect("PATCH", MAP).await.error(403, "Forbidden", "exceeded quota: maps");
    })
    .await
    .unwrap_err();
    assert_eq!(error.label(), "refused");
    assert!(error.to_string().contains("exceeded quota: maps"), "{error}");
}

/// Whatever has the object looked at again, what was refused of it is not sent again with it.
#[tokio::test]
async fn a_write_that_was_refused_is_not_sent_again_before_its_time() {
    let (context, mut server) = context();
    for is_sent in [true, false] {
        let error = play(apply_objects(&context, prepared("a", None)), async {
            if is_sent {
                server.expect("PATCH", MAP).await.error(403, "Forbidden", "a policy says no");
            }
            server.quiet_for(Duration::from_millis(20)).await;
        })
        .await
        .unwrap_err();
        assert!(error.to_string().ends_with("a policy says no"), "{error}");
        let error = play(delete(&context, &stored("a")), async {
            if is_sent {
                server.expect("DELETE", MAP).await.error(403, "Forbidden", "nor to this");
            }
            server.quiet_for(Duration::from_millis(20)).await;
        })
        .await
        .unwrap_err();
        assert!(error.to_string().ends_with("nor to this"), "{error}");
        let labels = json!({"metadata": {"labels": {"label": "other"}}});
        let error = play(patch_observed(&context, &stored("a"), labels), async {
            if is_sent {
                server.expect("PATCH", MAP).await.error(422, "Invalid", "nor to that");
            }
            server.quiet_for(Duration::from_millis(20)).await;
        })
        .await
        .unwrap_err();
        assert!(error.to_string().ends_with("nor to that"), "{error}");
    }
    play(apply_objects(&context, prepared("b", None)), async {
        server.expect("PATCH", MAP).await.object(&stored("b"));
        server.nothing_more().await;
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn deleting_what_is_gone_succeeds_and_what_changed_does_not() {
    let (context, mut server) = context();
    play(delete(&context, &stored("a")), async {
        server.expect("DELETE", MAP).await.error(404, "NotFound", "no");
    })
    .await
    .unwrap();
    let error = play(delete(&context, &stored("a")), async {
        server.expect("DELETE", MAP).await.error(409, "Conflict", "the UID in the precondition differs");
    })
    .await
    .unwrap_err();
    assert!(matches!(error, ApplyError::Stale { .. }), "{error}");
}

#[tokio::test]
async fn labels_that_somebody_took_off_come_back_and_other_ones_are_another_content() {
    let create = || {
        let mut objects = Objects::default();
        objects.push(Write::Create, &map("a"), None).unwrap();
        objects
    };
    let found = |label: Option<&str>| {
        let mut found = stored("a");
        let labels = found.metadata.labels.as_mut().unwrap();
        labels.remove("label");
        labels.extend(label.map(|value| ("label".to_owned(), value.to_owned())));
        found
    };
    for (label, is_mended) in [(None, true), (Some("other"), false)] {
        let (context, mut server) = context();
        let outcome = play(apply_objects(&context, create()), async {
            let call = server.expect("POST", "/api/v1/namespaces/space/configmaps").await;
            call.error(409, "AlreadyExists", "already exists");
            server.expect("GET", MAP).await.object(&found(label));
            if is_mended {
                let call = server.expect("PATCH", MAP).await;
                assert_eq!(call.body["metadata"]["labels"]["label"], "value");
                assert_eq!(call.body["metadata"]["resourceVersion"], "5");
                call.object(&stored("a"));
            }
            server.nothing_more().await;
        })
        .await;
        assert_eq!(outcome.is_ok(), is_mended, "{label:?}");
    }
}
