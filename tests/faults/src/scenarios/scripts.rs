//! The scripts of the scenarios.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    json::{is_true, items, object, text},
    kinds::Kind,
    person::{BY, is_promoted, key},
    store::{Key, Part},
    world::{Release, World},
};

const MODEL: &str = "digits";
const SERVING: &str = "digits";

pub async fn import(world: Arc<World>) {
    world.import(MODEL, "s3://bucket/digits.onnx");
    world.until_version(MODEL, 1).await;
}

fn training(world: &World) {
    world.create(
        Kind::Model,
        MODEL,
        json!({"training": {
            "task": "Classification",
            "data": {"uri": "s3://bucket/digits.csv", "format": "CSV", "label": "digit"},
            "candidates": [{"name": "forest", "algorithm": "RandomForest"}],
        }}),
    );
}

pub async fn train(world: Arc<World>) {
    training(&world);
    world.until_version(MODEL, 1).await;
}

/// A run's pod goes before anybody has read what it said.
pub async fn lost_pod(world: Arc<World>) {
    training(&world);
    let ended = |pod: &&Arc<Value>| text(pod, "/status/phase") == "Succeeded";
    world.until("the run's end", |store| store.all(Kind::Pod).any(|pod| ended(&pod))).await;
    let name = {
        let store = world.store.lock();
        let pod = store.all(Kind::Pod).find(ended);
        pod.map(|pod| text(pod, "/metadata/name").to_owned()).unwrap_or_default()
    };
    world.until("the Job's own look", |store| store.all(Kind::Job).any(|job| is_true(job, "Complete"))).await;
    world.delete(Kind::Pod, &name);
    world.until_version(MODEL, 1).await;
}

pub async fn serve(world: Arc<World>) {
    create_deployment(&world);
    world.until_promoted(SERVING, 1).await;
}

fn create_deployment(world: &World) {
    world.create(
        Kind::ModelDeployment,
        SERVING,
        json!({"model": MODEL, "replicas": 2, "strategy": {"rollingUpdate": {"progressDeadline": "2m"}}}),
    );
}

pub async fn roll(world: Arc<World>) {
    world.import_again(MODEL, "s3://bucket/digits-2.onnx");
    world.until_promoted(SERVING, 2).await;
}

pub async fn revert(world: Arc<World>) {
    world.import_again(MODEL, "s3://bucket/digits.onnx");
    world.until_promoted(SERVING, 1).await;
}

/// A person stops a rollout half-way.
pub async fn abort(world: Arc<World>) {
    world.import_again(MODEL, "s3://bucket/digits-2.onnx");
    world.until_half_way(SERVING).await;
    world.ask(SERVING, "Abort", &world.target(SERVING));
    world.until_phase(SERVING, "Degraded").await;
}

/// R2: with nothing to stop.
pub async fn idle_abort(world: Arc<World>) {
    world.ask(SERVING, "Abort", &world.target(SERVING));
    world
        .until("that the request is done with", |store| {
            store
                .get(&key(Kind::ModelDeployment, SERVING))
                .is_some_and(|found| found["status"]["request"].is_null())
        })
        .await;
}

/// The same, and lets it go on after all.
pub async fn retry(world: Arc<World>) {
    abort(Arc::clone(&world)).await;
    world.ask(SERVING, "Retry", &world.target(SERVING));
    world.until_promoted(SERVING, 2).await;
}

/// A version that never serves is rolled back.
pub async fn fails(world: Arc<World>, how: &str) {
    world.import_again(MODEL, &format!("s3://bucket/{how}.onnx"));
    world
        .until("the rollback", |store| {
            let deployment = store.get(&key(Kind::ModelDeployment, SERVING));
            deployment.is_some_and(|found| {
                found["status"]["target"]["version"] == 2 && text(found, "/status/phase") == "Degraded"
            })
        })
        .await;
}

/// R6: one rollout after another fails, the second while the first gives way.
pub async fn fails_again(world: Arc<World>) {
    world.import_again(MODEL, "s3://bucket/broken.onnx");
    world
        .until("a pod of version 2", |store| {
            store
                .all(Kind::Pod)
                .any(|pod| crate::json::label(pod, "modelwright.dev/version") == "2" && is_serving(pod))
        })
        .await;
    world.import_again(MODEL, "s3://bucket/empty.onnx");
    world.until_half_way(SERVING).await;
    world.ask(SERVING, "Abort", &world.target(SERVING));
    world.until_phase(SERVING, "Degraded").await;
}

fn is_serving(pod: &Value) -> bool {
    items(pod, "/spec/containers").any(|container| container["name"] == "serve")
}

/// What was rolled back is not tried again because the spec leaves it and returns (R5).
pub async fn back_and_forth(world: Arc<World>) {
    fails(Arc::clone(&world), "broken").await;
    world.import_again(MODEL, "s3://bucket/digits.onnx");
    world.until_promoted(SERVING, 1).await;
    fails(world, "broken").await;
}

pub async fn scale(world: Arc<World>) {
    for replicas in [4, 1] {
        world.edit(Kind::ModelDeployment, SERVING, json!({"replicas": replicas}));
        world
            .until(&format!("{replicas} pods"), |store| {
                is_promoted(store, SERVING, 1)
                    && store.get(&key(Kind::ModelDeployment, SERVING)).is_some_and(|found| {
                        found["status"]["readyReplicas"] == replicas
                            && found["status"]["replicas"] == replicas
                    })
            })
            .await;
    }
}

pub async fn edit(world: Arc<World>) {
    world.import_again(MODEL, "s3://bucket/digits-2.onnx");
    world.until_half_way(SERVING).await;
    world.import_again(MODEL, "s3://bucket/digits-3.onnx");
    world.edit(Kind::ModelDeployment, SERVING, json!({"replicas": 3}));
    world.until_promoted(SERVING, 3).await;
}

/// The same, where version 3 was seen so late that version 2 was promoted before.
pub async fn edit_seen_late(world: Arc<World>) {
    world.import_again(MODEL, "s3://bucket/digits-2.onnx");
    world.until_half_way(SERVING).await;
    world.edit(Kind::ModelDeployment, SERVING, json!({"replicas": 3}));
    world.until_promoted(SERVING, 2).await;
    world.import_again(MODEL, "s3://bucket/digits-3.onnx");
    world.until_promoted(SERVING, 3).await;
}

/// The Model is deleted first, and stays until nothing names it.
pub async fn delete(world: Arc<World>) {
    world.delete(Kind::Model, MODEL);
    world
        .until("why the Model stays", |store| {
            store.get(&key(Kind::Model, MODEL)).is_some_and(|model| {
                items(model, "/status/conditions")
                    .any(|condition| text(condition, "/message").contains(SERVING))
            })
        })
        .await;
    world.delete(Kind::ModelDeployment, SERVING);
    world
        .until("that all is gone", |store| {
            [
                Kind::Model,
                Kind::ModelVersion,
                Kind::ReplicaSet,
                Kind::Pod,
                Kind::Service,
                Kind::ControllerRevision,
            ]
            .into_iter()
            .all(|kind| store.all(kind).next().is_none())
        })
        .await;
}

/// While the operator is about to make all that it needs.
pub async fn delete_at_once(world: Arc<World>) {
    create_deployment(&world);
    world.until("its Service", |store| store.all(Kind::Service).next().is_some()).await;
    world.delete(Kind::ModelDeployment, SERVING);
    world
        .until("that all is gone", |store| {
            let kinds =
                [Kind::Service, Kind::PodDisruptionBudget, Kind::ControllerRevision, Kind::ReplicaSet];
            kinds.into_iter().all(|kind| store.all(kind).next().is_none())
        })
        .await;
}

pub async fn create_again(world: Arc<World>) {
    world.delete(Kind::ModelDeployment, SERVING);
    create_deployment(&world);
    world.until_promoted(SERVING, 1).await;
}

pub async fn restore(world: Arc<World>) {
    world.until_promoted(SERVING, 2).await;
}

/// R11, in the middle of a rollout.
pub async fn lose_statuses(world: Arc<World>) {
    world.import_again(MODEL, "s3://bucket/digits-2.onnx");
    world.until_half_way(SERVING).await;
    for (kind, name) in [(Kind::ModelDeployment, SERVING), (Kind::Model, MODEL)] {
        world.merge(kind, name, Part::Status, json!({"status": null}));
    }
    world.until_promoted(SERVING, 2).await;
}

/// Another process stands by, and takes over from one that ends in the middle of a rollout and does not say so.
pub async fn two_operators(world: Arc<World>) {
    let second = world.keep_operator("modelwright-1");
    world.import_again(MODEL, "s3://bucket/digits-2.onnx");
    world.until_half_way(SERVING).await;
    world.stop_first();
    world.until_promoted(SERVING, 2).await;
    assert!(!second.is_finished(), "an operator ended");
}

/// What a policy of the cluster makes of what is written: it adds to templates, whoever writes them.
fn adds_to_templates(kind: Kind, value: &mut Value) {
    if matches!(kind, Kind::ReplicaSet | Kind::Job) && value.pointer("/spec/template/spec").is_some() {
        let template = object(&mut value["spec"]["template"], "spec");
        template.insert("priorityClassName".into(), "of-the-policy".into());
        template.insert("tolerations".into(), json!([{"key": "of-the-policy", "operator": "Exists"}]));
    }
}

/// A mutating policy, from the beginning.
pub async fn policy(world: Arc<World>) {
    world.store.lock().policy = Some(adds_to_templates);
    import(Arc::clone(&world)).await;
    serve(Arc::clone(&world)).await;
    roll(world).await;
}

/// One that comes when pods serve: it changes templates at the next write, whatever that is about.
pub async fn late_policy(world: Arc<World>) {
    world.store.lock().policy = Some(adds_to_templates);
    world.edit(Kind::ModelDeployment, SERVING, json!({"replicas": 3}));
    world
        .until("3 pods", |store| {
            store
                .get(&key(Kind::ModelDeployment, SERVING))
                .is_some_and(|found| found["status"]["readyReplicas"] == 3)
        })
        .await;
    roll(world).await;
}

/// Two that both lead: their Leases are of different names, as when the chart was installed twice.
pub async fn two_leaders(world: Arc<World>) {
    let second = world.keep(Release { identity: "another-0", lease: "another", namespaces: &[] });
    roll(Arc::clone(&world)).await;
    assert!(!second.is_finished(), "an operator ended");
}

/// Two releases, each of a namespace of its own (R13).
pub async fn two_releases(world: Arc<World>) {
    const ELSEWHERE: &str = "elsewhere";
    const LETTERS: &str = "letters";
    world.stop_first();
    world.keep(Release { identity: "one-0", lease: "one", namespaces: &["space"] });
    world.keep(Release { identity: "two-0", lease: "two", namespaces: &[ELSEWHERE] });
    for (kind, spec) in [
        (Kind::Model, json!({"source": {"uri": "s3://bucket/letters.onnx"}})),
        (Kind::ModelDeployment, json!({"model": LETTERS, "replicas": 2})),
    ] {
        let made = world.store.lock().create(
            kind,
            ELSEWHERE,
            json!({"metadata": {"name": LETTERS}, "spec": spec}),
            BY,
        );
        assert!(made.is_ok(), "{made:?}");
    }
    roll(Arc::clone(&world)).await;
    world
        .until("the other release's pods", |store| {
            store
                .get(&Key::new(Kind::ModelDeployment, ELSEWHERE, LETTERS))
                .is_some_and(|found| is_true(found, "Promoted"))
        })
        .await;
}
