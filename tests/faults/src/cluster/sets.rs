//! The controller of ReplicaSets: as many pods as are asked for.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{BY, Cluster};
use crate::{
    json::{annotation, controller, is_terminating, is_true, number, text},
    kinds::Kind,
    selectors::selects,
    store::{Key, Part, Store},
};

const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

impl Cluster {
    pub(super) fn sets(&mut self, store: &mut Store) {
        let sets: Vec<_> = store.all(Kind::ReplicaSet).cloned().collect();
        for set in &sets {
            let (namespace, uid) = (text(set, "/metadata/namespace"), text(set, "/metadata/uid"));
            if is_terminating(set) {
                continue;
            }
            claim(store, set);
            let mut pods: Vec<_> = store
                .all(Kind::Pod)
                .filter(|pod| controller(pod) == Some(uid) && !is_terminating(pod))
                .filter(|pod| !matches!(text(pod, "/status/phase"), "Failed" | "Succeeded"))
                .cloned()
                .collect();
            let wanted = usize::try_from(number(set, "/spec/replicas")).unwrap_or_default();
            for _ in pods.len()..wanted {
                let _ = store.create(Kind::Pod, namespace, pod_of(set), BY);
            }
            // the first to go at the front
            pods.sort_by_key(|pod| {
                let cost = annotation(pod, DELETION_COST).parse::<i64>().unwrap_or_default();
                let is_placed = !text(pod, "/spec/nodeName").is_empty();
                let created = text(pod, "/metadata/creationTimestamp").to_owned();
                (
                    is_placed,
                    is_true(pod, "Ready"),
                    cost,
                    std::cmp::Reverse(created),
                    text(pod, "/metadata/name").to_owned(),
                )
            });
            for pod in pods.iter().take(pods.len().saturating_sub(wanted)) {
                let _ = store.delete(&Key::of(Kind::Pod, pod), &Value::Null, BY);
            }
            self.report(store, set);
        }
    }

    /// What it says of itself, on its next look at its pods.
    #[expect(clippy::unused_self, reason = "one controller is like the other")]
    fn report(&self, store: &mut Store, set: &Value) {
        let uid = text(set, "/metadata/uid");
        let pods: Vec<_> = store
            .all(Kind::Pod)
            .filter(|pod| controller(pod) == Some(uid) && !is_terminating(pod))
            .filter(|pod| !matches!(text(pod, "/status/phase"), "Failed" | "Succeeded"))
            .collect();
        let ready = pods.iter().filter(|pod| is_true(pod, "Ready")).count();
        let status = json!({
            "replicas": pods.len(), "fullyLabeledReplicas": pods.len(), "readyReplicas": ready,
            "availableReplicas": ready, "observedGeneration": number(set, "/metadata/generation"),
        });
        store.set(&Key::of(Kind::ReplicaSet, set), Part::Status, vec![("status", status)], BY);
    }
}

/// Takes over the pods that its selector means and nobody controls, and lets go those that it does not mean.
fn claim(store: &mut Store, set: &Value) {
    let (namespace, uid) = (text(set, "/metadata/namespace"), text(set, "/metadata/uid"));
    let pods: Vec<Arc<Value>> = store
        .all(Kind::Pod)
        .filter(|pod| text(pod, "/metadata/namespace") == namespace && !is_terminating(pod))
        .cloned()
        .collect();
    for pod in &pods {
        let is_meant = selects(set, "/spec/selector/matchLabels", pod);
        let owners = match (controller(pod), is_meant) {
            (None, true) => json!([owner(set)]),
            (Some(owner), false) if owner == uid => Value::Null,
            _ => continue,
        };
        let _ = store.update(&Key::of(Kind::Pod, pod), Part::Main, BY, |mut live| {
            live["metadata"]["ownerReferences"] = owners;
            Ok(live)
        });
    }
}

fn owner(set: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": set["metadata"]["name"], "uid": set["metadata"]["uid"],
        "controller": true, "blockOwnerDeletion": true,
    })
}

fn pod_of(set: &Value) -> Value {
    let template = set.pointer("/spec/template").cloned().unwrap_or_default();
    let mut metadata = template["metadata"].clone();
    metadata["generateName"] = format!("{}-", text(set, "/metadata/name")).into();
    metadata["ownerReferences"] = json!([owner(set)]);
    json!({"metadata": metadata, "spec": template["spec"]})
}
