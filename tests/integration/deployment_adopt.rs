//! Which revisions that nobody owns are taken over, and what is said of the others; records that cannot be read.

use std::sync::Arc;

use k8s_openapi::{api::apps::v1::ControllerRevision, apimachinery::pkg::runtime::RawExtension};
use kube::ResourceExt as _;
use modelwright::{
    context::Settings,
    k8s::cache::Cache,
    serving::{
        adopt::part,
        build::{Owner, build_revision},
        fetch::Children,
        identity::revision_hash,
        record::ROLLOUT,
    },
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    deployment_fixtures::{deployment, valid, version_reference},
    deployment_scenarios::{LooksAgain as _, made, path, reconciled},
    fixtures::settings,
    scenario::{context, play},
};

/// What the operator makes of a spec, as it comes back from a backup.
fn restored(spec: &Value, settings: &Settings, account: bool) -> ControllerRevision {
    let valid = valid(&deployment(spec.clone()));
    let owner = Owner { name: &valid.name, namespace: &valid.namespace, reference: &valid.owner };
    let version_reference = version_reference(1, 'c');
    let hash = revision_hash(&valid.asked, &version_reference.model_digest);
    let mut revision = build_revision(&owner, &hash, &valid.asked, &version_reference, settings, account);
    revision.metadata.owner_references = None;
    // as the API server stores it: through JSON
    serde_json::from_value(serde_json::to_value(revision).unwrap()).unwrap()
}

/// Why a revision is not taken over by a ModelDeployment with this spec, if it is not.
fn refused(revision: ControllerRevision, present: &Value) -> Option<String> {
    let object = deployment(present.clone());
    let name = revision.name_any();
    let mut children = Children { revisions: vec![Arc::new(revision)], ..Children::default() };
    let strangers = part(&settings(), &object, Some(&valid(&object)), &mut children);
    assert_eq!(children.revisions.len() + strangers.len(), 1);
    strangers.get(&name).cloned()
}

fn plain() -> Value {
    json!({"model": "digits"})
}

fn elaborate() -> Value {
    json!({"model": "digits", "replicas": 3,
        "serving": {"queue": 8, "timeout": "90s", "maxRequestBytes": "16Mi", "drainTimeout": "1m", "restart": "2",
            "batching": {"maxSize": 4}},
        "resources": {"limits": {"cpu": "1500m", "memory": "2Gi"}, "requests": {"cpu": 1}},
        "scheduling": {"nodeSelector": {"zone": "a"}, "tolerations": [{"key": "k", "operator": "Exists"}],
            "podLabels": {"team": "a"}, "imagePullSecrets": ["pull"]}})
}

fn elsewhere() -> Settings {
    Settings {
        runtime_image: "registry.example/modelwright-runtime@sha256:00".into(),
        store_plain_http: false,
        store_uri: "oci://other/kept".into(),
        ..settings()
    }
}

#[test]
fn what_this_operator_or_one_of_another_image_made_is_taken_over_whatever_the_spec_is_now() {
    for spec in [plain(), elaborate(), json!({"model": "digits", "serving": {"runtime": "own/runtime:3"}})] {
        for settings in [settings(), elsewhere()] {
            for account in [false, true] {
                let revision = restored(&spec, &settings, account);
                assert_eq!(refused(revision, &json!({"model": "other"})), None, "{spec}");
            }
        }
    }
}

/// Changes one value in the data of a revision.
fn with(mut revision: ControllerRevision, pointer: &str, value: Value) -> ControllerRevision {
    let mut data = revision.data.unwrap().0;
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match data.pointer_mut(parent).unwrap() {
        Value::Object(members) => drop(members.insert(key.into(), value)),
        Value::Array(items) => items.push(value),
        other => panic!("{other}"),
    }
    revision.data = Some(RawExtension(data));
    revision
}

#[test]
fn what_is_not_what_its_name_says_is_a_stranger_with_the_reason() {
    let runtime = json!({"model": "digits", "serving": {"runtime": "own/runtime:3"}});
    let container = "/podTemplate/spec/containers/0";
    for (spec, pointer, value, part) in [
        (plain(), format!("{container}/image"), json!("evil/image:1"), "containers[0].image"),
        (
            plain(),
            "/podTemplate/spec/initContainers/0/image".into(),
            json!("evil/image:1"),
            "initContainers[0].image",
        ),
        (runtime, format!("{container}/image"), json!("own/runtime:4"), "containers[0].image"),
        (plain(), format!("{container}/command"), json!(["sh"]), "containers[0].command"),
        (plain(), "/podTemplate/spec/hostNetwork".into(), json!(true), "spec.hostNetwork"),
        (
            plain(),
            "/podTemplate/spec/volumes/x".into(),
            json!({"name": "h", "hostPath": {"path": "/"}}),
            "spec.volumes",
        ),
        (plain(), "/podTemplate/spec/serviceAccountName".into(), json!("admin"), "spec.serviceAccountName"),
        (plain(), "/asked/serving".into(), json!({"queue": 9}), "is of the name digits-"),
        (plain(), "/asked/model".into(), json!("other"), "is of the name digits-"),
        (plain(), "/modelDigest".into(), json!("d".repeat(64)), "is of the name digits-"),
        (plain(), "/asked/serving".into(), json!({"queue": "many"}), "is no spec"),
        (plain(), "/asked/serving".into(), json!({"timeout": "never"}), "is refused"),
        (plain(), "/podTemplate".into(), json!(7), "not those of a revision"),
        (plain(), "/allowFallback".into(), json!(true), "data.allowFallback"),
    ] {
        let revision = with(restored(&spec, &settings(), false), &pointer, value);
        let why = refused(revision, &spec).unwrap_or_else(|| panic!("{pointer} was taken over"));
        assert!(why.contains(part), "{pointer}: {why}");
    }
}

#[test]
fn a_revision_of_before_is_taken_over_where_the_present_spec_is_its_own() {
    let mut old = restored(&elaborate(), &settings(), false);
    old.data.as_mut().unwrap().0.as_object_mut().unwrap().remove("asked").unwrap();
    assert_eq!(refused(old.clone(), &elaborate()), None);
    assert!(refused(old, &plain()).unwrap().contains("does not say what was asked for"));
}

/// Every path to a value that is no object or list.
fn leaves(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                leaves(member, &format!("{path}/{}", key.replace('~', "~0").replace('/', "~1")), found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                leaves(item, &format!("{path}/{index}"), found);
            }
        }
        _ => found.push(path.to_owned()),
    }
}

proptest! {
    /// The address of the artifact decides nothing of a pod: its digest is in the hash.
    #[test]
    fn nothing_in_the_pods_of_a_revision_can_be_changed_unnoticed(at in any::<prop::sample::Index>(), value in "[a-z]{1,8}") {
        let mut revision = restored(&elaborate(), &settings(), true);
        let mut data = revision.data.take().unwrap().0;
        let mut paths = Vec::new();
        leaves(&data["podTemplate"], "/podTemplate", &mut paths);
        let path = at.get(&paths);
        let leaf = data.pointer_mut(path).unwrap();
        let changed = match leaf {
            Value::Bool(value) => json!(!*value),
            Value::Number(value) => json!(value.as_i64().unwrap() + 1),
            _ => json!(value),
        };
        prop_assume!(*leaf != changed);
        *leaf = changed;
        revision.data = Some(RawExtension(data));
        prop_assert!(refused(revision, &elaborate()).is_some(), "{}", path);
    }
}

#[tokio::test]
async fn a_stranger_under_the_name_of_the_target_is_a_condition_and_is_left_alone() {
    let object = deployment(json!({"model": "digits", "version": 1, "replicas": 0}));
    let (mut context, mut server) = context();
    let mut revision = with(
        made(&object, &mut context, true).revision,
        "/podTemplate/spec/containers/0/image",
        json!("evil/image:1"),
    );
    revision.metadata.owner_references = None;
    context.caches.revisions = Cache::fixed(vec![revision]);
    context.caches.replica_sets = Cache::fixed(vec![]);
    play(reconciled(&object, context), async {
        let call = server.next().await;
        assert!(call.path.ends_with("/modeldeployments/digits/status"), "{} {}", call.method, call.path);
        let conditions = call.body["status"]["conditions"].as_array().unwrap().clone();
        let stalled = conditions.iter().find(|condition| condition["type"] == "Stalled").unwrap();
        assert_eq!(stalled["reason"], "NotAdopted");
        let message = stalled["message"].as_str().unwrap();
        assert!(message.contains("containers[0].image") && message.contains("delete it"), "{message}");
        call.object(&object);
        server.next().await.echo();
        server.nothing_more().await;
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn one_that_the_cache_does_not_show_yet_is_not_taken_over_unseen() {
    let object = deployment(json!({"model": "digits", "version": 1, "replicas": 1}));
    let (mut context, mut server) = context();
    let mut revision = made(&object, &mut context, true).revision;
    revision.metadata.owner_references = None;
    let name = revision.name_any();
    context.caches.revisions = Cache::fixed(vec![]);
    context.caches.replica_sets = Cache::fixed(vec![]);
    play(reconciled(&object, context), async {
        server.owner_stays(&object).await;
        let call = server.expect("POST", &path("apis/apps/v1", "controllerrevisions", "")).await;
        call.error(409, "AlreadyExists", "already exists");
        server.expect("GET", &path("apis/apps/v1", "controllerrevisions", &name)).await.object(&revision);
        // whether the owner stays is asked before anything gets one
        server.owner_stays(&object).await;
        server.nothing_more().await;
    })
    .await
    .looks_again();
}

#[tokio::test]
async fn a_record_that_cannot_be_read_holds_and_says_so() {
    let object = deployment(json!({"model": "digits", "version": 1, "replicas": 0}));
    let (mut context, mut server) = context();
    let mut revision = made(&object, &mut context, true).revision;
    revision.annotations_mut().insert(ROLLOUT.into(), r#"{"schema":1,"promoted":"soon"}"#.into());
    context.caches.revisions = Cache::fixed(vec![revision.clone()]);
    play(reconciled(&object, context), async {
        let status = path("apis/modelwright.dev/v1alpha1", "modeldeployments", "digits/status");
        let call = server.expect("PATCH", &status).await;
        let conditions = call.body["status"]["conditions"].as_array().unwrap().clone();
        let stalled = conditions.iter().find(|condition| condition["type"] == "Stalled").unwrap();
        assert_eq!(stalled["reason"], "Unreadable");
        let message = stalled["message"].as_str().unwrap();
        for part in [&revision.name_any(), ROLLOUT, "soon", "JSON of a rollout's record"] {
            assert!(message.contains(part), "{part}: {message}");
        }
        call.object(&object);
        server.next().await.echo();
        server.nothing_more().await;
    })
    .await
    .unwrap();
}
