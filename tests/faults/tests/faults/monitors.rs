//! Each monitor notices what it is there for: an operator that is made up does what none may.

use modelwright_faults::{
    kinds::Kind,
    monitors::Monitors,
    store::{Author, Guard, Key, Part, Store},
    world::Release,
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
    let spec = json!({"spec": {"model": "digits", "replicas": 1}, "status": {"phase": "Healthy",
        "stable": {"revision": "r"}, "conditions": [{"type": "Promoted", "status": "True"}]}});
    let uid = make(&mut store, Kind::ModelDeployment, "digits", spec, &Author::Person);
    let labels = json!({
        "modelwright.dev/deployment": "digits", "modelwright.dev/deployment-uid": uid, "modelwright.dev/traffic": "serve",
        "modelwright.dev/model": "digits", "modelwright.dev/version": "1", "modelwright.dev/revision": "r",
    });
    let pod = json!({
        "metadata": {"labels": labels}, "spec": {"nodeName": "node", "containers": [{"name": "serve"}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "serve", "started": true}]},
    });
    make(&mut store, Kind::Pod, "pod", pod, &Author::Cluster);
    let endpoint = json!({"conditions": {"ready": true}, "targetRef": {"name": "pod"}});
    make(&mut store, Kind::EndpointSlice, "digits-slice", json!({"endpoints": [endpoint]}), &Author::Cluster);
    let revision = json!({"metadata": {"labels": labels, "annotations": {"modelwright.dev/rollout": r#"{"quarantine":"Aborted"}"#}}});
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

/// A promoted revision with a ReplicaSet.
fn promoted(store: &mut Store) {
    let labels = store.get(&key(Kind::Pod, "pod")).expect("it serves")["metadata"]["labels"].clone();
    let owner = json!([{"controller": true, "uid": labels["modelwright.dev/deployment-uid"]}]);
    let revision = json!({"metadata": {"labels": labels, "ownerReferences": owner,
        "annotations": {"modelwright.dev/rollout": r#"{"promoted":1}"#}}});
    let mut labels = labels;
    make(store, Kind::ControllerRevision, "digits-s", revision, &Author::Person);
    labels["modelwright.dev/traffic"] = Value::Null;
    let set = json!({"metadata": {"labels": labels}, "spec": {"replicas": 1}});
    make(store, Kind::ReplicaSet, "digits-s", set, &Author::Person);
}

/// As the server does with a request that names what was read.
fn guarded(store: &mut Store, deed: impl FnOnce(&mut Store)) {
    store.guard = Guard { uid: true, version: true };
    deed(store);
    store.guard = Guard::default();
}

/// Each is noticed, and none of them where it is done as it may be.
#[test]
fn writes_out_of_hand_are_noticed() {
    notices("R2", |store| {
        let asked =
            store.update(&key(Kind::ModelDeployment, "digits"), Part::Status, &Author::Person, |mut live| {
                live["status"]["request"] = json!({"id": "1", "action": "Abort", "revision": "r"});
                Ok(live)
            });
        assert!(asked.is_ok(), "{asked:?}");
        change(store, Kind::Pod, "pod", &operator(), |live| {
            live["metadata"]["annotations"] = json!({"a": "b"});
        });
    });
    notices("a request without effect was removed", |store| {
        let mut set = |request, by| {
            let done = store.update(&key(Kind::ModelDeployment, "digits"), Part::Status, &by, |mut live| {
                live["status"]["request"] = request;
                Ok(live)
            });
            assert!(done.is_ok(), "{done:?}");
        };
        set(json!({"id": "1", "action": "Retry", "revision": "r"}), Author::Person);
        set(json!(null), operator());
    });
    notices("R6: digits has the Services", |store| {
        store.monitors.broken = Monitors::see_at_rest(store);
    });
    notices("R6: gone is gone", |store| {
        let data = json!({"data": {"traffic.json": r#"{"drain":["gone"]}"#},
            "metadata": {"labels": {"modelwright.dev/deployment": "digits"}}});
        make(store, Kind::ConfigMap, "digits-traffic", data, &operator());
        store.monitors.broken = Monitors::see_at_rest(store);
    });
    notices("R6: digits-old is left", |store| {
        let labels = json!({"modelwright.dev/deployment": "digits", "modelwright.dev/revision": "old"});
        make(store, Kind::ReplicaSet, "digits-old", json!({"metadata": {"labels": labels}}), &operator());
        store.monitors.broken = Monitors::see_at_rest(store);
    });
    notices("R7: it was written", |store| {
        change(store, Kind::Pod, "pod", &operator(), |live| {
            live["metadata"]["annotations"] = json!({"a": "b"});
        });
    });
    notices("R7: a second Job", |store| {
        let owned = || json!({"metadata": {"ownerReferences": [{"controller": true, "uid": "m"}]}});
        make(store, Kind::Job, "one", owned(), &operator());
        make(store, Kind::Job, "two", owned(), &operator());
    });
    notices("R8", |store| {
        promoted(store);
        guarded(store, |store| {
            change(store, Kind::Pod, "pod", &operator(), |live| {
                live["metadata"]["labels"]["modelwright.dev/traffic"] = Value::Null;
            });
        });
    });
    notices("R9", |store| {
        promoted(store);
        change(store, Kind::ReplicaSet, "digits-s", &operator(), |live| live["spec"]["replicas"] = 0.into());
    });
    notices("R11: a promotion", |store| {
        promoted(store);
        change(store, Kind::ControllerRevision, "digits-s", &operator(), |live| {
            live["metadata"]["annotations"] = json!({});
        });
    });
    notices("R11: the status says", |store| {
        promoted(store);
        let told =
            store.update(&key(Kind::ModelDeployment, "digits"), Part::Status, &operator(), |mut live| {
                live["status"]["stable"]["revision"] = "another".into();
                Ok(live)
            });
        assert!(told.is_ok(), "{told:?}");
    });
    notices("R13: a release", |store| {
        let elsewhere = Release { identity: "leader", lease: "lease", namespaces: &["elsewhere"] };
        store.monitors.releases.insert("leader", elsewhere);
        make(store, Kind::Job, "one", json!({}), &operator());
    });
    notices("R13: an object", |store| {
        change(store, Kind::Pod, "pod", &operator(), |live| {
            live["metadata"]["labels"]["modelwright.dev/deployment-uid"] = "another".into();
        });
    });
    let mut store = serving();
    promoted(&mut store);
    guarded(&mut store, |store| {
        change(store, Kind::Pod, "pod", &operator(), |live| {
            live["metadata"]["annotations"] = json!({"a": "b"});
        });
        change(store, Kind::ModelDeployment, "digits", &Author::Person, |live| {
            live["spec"]["replicas"] = 0.into();
        });
        change(store, Kind::ReplicaSet, "digits-s", &operator(), |live| live["spec"]["replicas"] = 0.into());
    });
    assert!(store.monitors.broken.is_empty(), "{:?}", store.monitors.broken);
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
    notices("R4: a pod went that had clients", |store| {
        let list = json!({"data": {"traffic.json": r#"{"drain":["pod"]}"#}});
        make(store, Kind::ConfigMap, "digits-traffic", list, &operator());
        change(store, Kind::Pod, "pod", &operator(), |live| {
            live["metadata"]["labels"]["modelwright.dev/traffic"] = Value::Null;
        });
        assert!(store.delete(&key(Kind::Pod, "pod"), &Value::Null, &Author::Cluster).is_ok());
    });
    notices("R5", |store| {
        change(store, Kind::ControllerRevision, "digits-r", &operator(), |live| {
            live["metadata"]["annotations"] = Value::Null;
        });
    });
    notices("promoted with 0 of 1", |store| {
        change(store, Kind::ControllerRevision, "digits-r", &operator(), |live| {
            live["metadata"]["annotations"]["modelwright.dev/rollout"] = r#"{"promoted":1}"#.into();
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
