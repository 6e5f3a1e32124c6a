//! Each monitor notices what it is there for: an operator that is made up does what none may.

use modelwright_faults::{
    kinds::Kind,
    store::{Author, Key, Part, Store},
};
use serde_json::{Value, json};

const SPACE: &str = "space";

fn operator() -> Author {
    Author::Operator("leader".into())
}

fn key(kind: Kind, name: &str) -> Key {
    Key::new(kind, SPACE, name)
}

/// Makes an object of `value`, whole; out comes its UID.
fn make(store: &mut Store, kind: Kind, name: &str, mut value: Value, by: &Author) -> String {
    value["metadata"]["name"] = name.into();
    let status = value["status"].take();
    let made = store.create(kind, SPACE, value, by).expect("there is none of this name");
    if !status.is_null() {
        store.set(&key(kind, name), Part::Status, vec![("status", status)], &Author::Cluster);
    }
    made["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
}

fn change(store: &mut Store, kind: Kind, name: &str, by: &Author, change: impl FnOnce(&mut Value)) {
    let changed = store.update(&key(kind, name), Part::Main, by, |mut live| {
        change(&mut live);
        Ok(live)
    });
    assert!(changed.is_ok(), "{changed:?}");
}

/// A world with a leader, and a ModelDeployment whose pod serves.
fn serving() -> Store {
    let mut store = Store::new("2026-11-24T10:00:00Z".parse().expect("a time"));
    make(&mut store, Kind::Lease, "lease", json!({"spec": {"holderIdentity": "leader"}}), &operator());
    let spec = json!({"spec": {"model": "digits", "replicas": 1}});
    let uid = make(&mut store, Kind::ModelDeployment, "digits", spec, &Author::Person);
    let labels = json!({
        "modelwright.dev/deployment": "digits", "modelwright.dev/deployment-uid": uid, "modelwright.dev/traffic": "serve",
        "modelwright.dev/model": "digits", "modelwright.dev/version": "1", "modelwright.dev/revision": "r",
    });
    let pod = json!({
        "metadata": {"labels": labels}, "spec": {"nodeName": "node", "containers": [{"name": "serve"}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    });
    make(&mut store, Kind::Pod, "pod", pod, &Author::Cluster);
    let endpoint = json!({"conditions": {"ready": true}, "targetRef": {"name": "pod"}});
    make(&mut store, Kind::EndpointSlice, "digits-slice", json!({"endpoints": [endpoint]}), &Author::Cluster);
    let revision =
        json!({"metadata": {"labels": labels, "annotations": {"modelwright.dev/quarantine": "Aborted"}}});
    make(&mut store, Kind::ControllerRevision, "digits-r", revision, &operator());
    let version = json!({"spec": {"model": "digits", "version": 1, "specHash": "h", "modelDigest": "a"},
        "metadata": {"ownerReferences": [{"controller": true, "uid": "m"}]}});
    make(&mut store, Kind::ModelVersion, "digits-v1", version, &operator());
    assert!(store.monitors.broken.is_empty(), "{:?}", store.monitors.broken);
    store
}

fn notices(words: &str, deed: impl FnOnce(&mut Store)) {
    let mut store = serving();
    deed(&mut store);
    let broken = &store.monitors.broken;
    assert!(broken.iter().any(|told| told.contains(words)), "{words} was not noticed: {broken:?}");
}

#[test]
fn what_none_may_do_is_noticed() {
    let job = || {
        json!({"metadata": {"annotations": {"modelwright.dev/spec-hash": "h"},
            "ownerReferences": [{"controller": true, "uid": "m"}]}})
    };
    notices("R1: a version", |store| {
        let deleted = store.delete(&key(Kind::ModelVersion, "digits-v1"), &Value::Null, &operator());
        assert!(deleted.is_ok());
    });
    notices("R3", |store| {
        change(store, Kind::EndpointSlice, "digits-slice", &Author::Cluster, |live| {
            live["endpoints"] = json!([]);
        });
    });
    notices("R4", |store| {
        let deleted = store.delete(&key(Kind::Pod, "pod"), &Value::Null, &Author::Cluster);
        assert!(deleted.is_ok());
    });
    notices("R5", |store| {
        change(store, Kind::ControllerRevision, "digits-r", &operator(), |live| {
            live["metadata"]["annotations"] = Value::Null;
        });
    });
    notices("promoted with 0 of 1", |store| {
        change(store, Kind::ControllerRevision, "digits-r", &operator(), |live| {
            live["metadata"]["annotations"]["modelwright.dev/promoted"] = "1".into();
        });
    });
    notices("R16: a run", |store| {
        make(store, Kind::Job, "one", job(), &operator());
        make(store, Kind::Job, "two", job(), &operator());
    });
    notices("R16: a version", |store| {
        let version = json!({"spec": {"model": "digits", "version": 2, "specHash": "h", "modelDigest": "b"},
            "metadata": {"ownerReferences": [{"controller": true, "uid": "m"}]}});
        make(store, Kind::ModelVersion, "digits-v2", version, &operator());
    });
    notices("does not hold the Lease", |store| {
        make(store, Kind::Job, "one", job(), &Author::Operator("another".into()));
    });
    notices("changed a spec", |store| {
        change(store, Kind::ModelDeployment, "digits", &operator(), |live| {
            live["spec"]["replicas"] = 2.into();
        });
    });
}
