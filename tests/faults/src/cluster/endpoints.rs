//! Which pods are behind a Service.

use serde_json::{Value, json};

use super::BY;
use crate::{
    json::{is_terminating, is_true, items, text},
    kinds::Kind,
    selectors::selects,
    store::{Key, Part, Store},
};

/// Label of an EndpointSlice: its Service.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";

pub(super) fn step(store: &mut Store) {
    let services: Vec<_> = store.all(Kind::Service).cloned().collect();
    for service in &services {
        let namespace = text(service, "/metadata/namespace");
        let mut endpoints: Vec<Value> = store
            .all(Kind::Pod)
            .filter(|pod| {
                text(pod, "/metadata/namespace") == namespace
                    && selects(service, "/spec/selector", pod)
                    && !text(pod, "/status/podIP").is_empty()
            })
            .map(|pod| {
                json!({
                    "addresses": [text(pod, "/status/podIP")],
                    "conditions": {"ready": is_true(pod, "Ready") && !is_terminating(pod), "terminating": is_terminating(pod)},
                    "targetRef": {"kind": "Pod", "namespace": namespace, "name": text(pod, "/metadata/name"), "uid": text(pod, "/metadata/uid")},
                })
            })
            .collect();
        endpoints.sort_by_key(|endpoint| text(endpoint, "/targetRef/name").to_owned());
        let name = format!("{}-slice", text(service, "/metadata/name"));
        let mut labels = service.pointer("/metadata/labels").cloned().unwrap_or_else(|| json!({}));
        labels[SERVICE_NAME] = service["metadata"]["name"].clone();
        let ports: Vec<_> = items(service, "/spec/ports")
            .map(|port| json!({"name": port["name"], "port": port["port"], "protocol": "TCP"}))
            .collect();
        let slice = json!({
            "metadata": {"name": name, "labels": labels, "ownerReferences": [{
                "apiVersion": "v1", "kind": "Service", "name": service["metadata"]["name"],
                "uid": service["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true,
            }]},
            "addressType": "IPv4", "endpoints": endpoints, "ports": ports,
        });
        let key = Key::new(Kind::EndpointSlice, namespace, &name);
        if store.get(&key).is_none() {
            let _ = store.create(Kind::EndpointSlice, namespace, slice, BY);
            continue;
        }
        let members = vec![("endpoints", slice["endpoints"].clone()), ("ports", slice["ports"].clone())];
        store.set(&key, Part::Main, members, BY);
    }
}
