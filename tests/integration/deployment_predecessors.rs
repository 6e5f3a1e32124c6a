//! What a ModelDeployment of the same name left, which was deleted: waited for, and neither taken over nor believed.

use modelwright::k8s::cache::Cache;
use serde_json::{Value, json};

use crate::{
    deployment_fixtures::deployment,
    deployment_refusals::{budget, condition, service, traffic},
    deployment_scenarios::{made, path, reconciled},
    scenario::{context, play},
};

/// The same object as the predecessor of `object` left it: of an owner with its name and another UID.
fn predecessors<K: serde::Serialize + serde::de::DeserializeOwned>(object: &K) -> K {
    let mut value = serde_json::to_value(object).unwrap();
    value["metadata"]["ownerReferences"][0]["uid"] = "uid-of-the-predecessor".into();
    serde_json::from_value(value).unwrap()
}

/// `kubectl replace --force`: the next of the name is there while the objects of the one before are yet to be collected.
#[tokio::test]
async fn what_a_deleted_predecessor_left_is_waited_for_and_its_pods_promote_nothing() {
    let object = deployment(json!({"model": "digits", "version": 1, "replicas": 1}));
    let (mut context, mut server) = context();
    let world = made(&object, &mut context, true);
    let name = format!("digits-{}", world.short);
    let mut set = predecessors(context.caches.replica_sets.get("space", &name).unwrap().as_ref());
    set.metadata.uid = Some("uid-of-its-set".into());
    set.spec.as_mut().unwrap().replicas = Some(1);
    let revision = predecessors(&world.revision);
    let service = predecessors(&service(&object, |_| {}));
    let budget = predecessors(&budget(&object, |_| {}));
    let map = predecessors(&traffic());
    let pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("{name}-x"), "namespace": "space", "uid": "pod", "resourceVersion": "7",
            "labels": {"modelwright.dev/traffic": "serve", "modelwright.dev/revision": world.short,
                "modelwright.dev/deployment-uid": "uid-of-the-predecessor"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": name, "uid": "uid-of-its-set", "controller": true}]},
        "status": {"startTime": "2026-11-24T10:00:00Z", "conditions": [{"type": "Ready", "status": "True"}]}});
    context.caches.replica_sets = Cache::fixed(vec![set.clone()]);
    context.caches.revisions = Cache::fixed(vec![revision.clone()]);
    context.caches.services = Cache::fixed(vec![service]);
    context.caches.disruption_budgets = Cache::fixed(vec![budget]);
    context.caches.config_maps = Cache::fixed(vec![serde_json::from_value(map.clone()).unwrap()]);
    context.caches.pods = Cache::fixed(vec![serde_json::from_value(pod.clone()).unwrap()]);
    let action = play(reconciled(&object, context), async {
        server.owner_stays(&object).await;
        let call = server.expect("POST", &path("apis/apps/v1", "controllerrevisions", "")).await;
        call.error(409, "AlreadyExists", "already exists");
        server.expect("GET", &path("apis/apps/v1", "controllerrevisions", &name)).await.object(&revision);
        for _ in 0..4 {
            let call = server.next().await;
            let list =
                |items: Value| json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": items});
            match call.path.rsplit('/').next().unwrap() {
                "controllerrevisions" => call.object(&list(json!([revision]))),
                "replicasets" => call.object(&list(json!([set]))),
                "pods" => call.object(&list(json!([pod]))),
                _ => call.object(&map),
            }
        }
        let call = server.next().await;
        assert!(call.path.ends_with("/status"), "{} {}", call.method, call.path);
        for (type_, status) in [("Ready", "False"), ("Promoted", "False"), ("Reconciling", "True")] {
            let condition = condition(&call, type_);
            assert_eq!(
                (&condition["status"], &condition["reason"]),
                (&json!(status), &json!("PredecessorRemains"))
            );
            for kind in ["Service digits", "PodDisruptionBudget digits", "ControllerRevision digits-"] {
                assert!(condition["message"].as_str().unwrap().contains(kind), "{condition}");
            }
        }
        assert_eq!(call.body["status"]["stable"], Value::Null);
        call.object(&object);
        server.nothing_more().await;
    })
    .await
    .unwrap();
    assert_ne!(action, kube::runtime::controller::Action::await_change());
}
