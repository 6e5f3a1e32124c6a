//! What people do with Modelwright, each from a world that is at rest.

use std::sync::{Arc, OnceLock};

use futures::FutureExt as _;
use serde_json::{Value, json};

use crate::{
    json::{is_true, items, text},
    kinds::Kind,
    person::{is_promoted, key},
    store::Part,
    world::{Script, Snapshot, World, play},
};

/// A scenario.
#[derive(Clone, Copy)]
pub struct Scenario {
    pub name: &'static str,
    /// What was before.
    pub after: Before,
    pub script: Script,
}

/// What was before a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Before {
    Nothing,
    /// A Model of one version, imported.
    Imported,
    /// The same with a ModelDeployment of two pods.
    Served,
    /// The same with a second version that took over from the first.
    Rolled,
    /// What a backup of the second kind of world brings back into an empty namespace.
    Restored,
}

impl Before {
    /// The world that was; it is made once.
    pub fn world(self) -> Snapshot {
        static KNOWN: [OnceLock<Snapshot>; 4] = [const { OnceLock::new() }; 4];
        let (place, before, script): (_, _, Script) = match self {
            Self::Nothing => return Snapshot::empty(),
            Self::Imported => (0, Self::Nothing, |world| import(world).boxed()),
            Self::Served => (1, Self::Imported, |world| serve(world).boxed()),
            Self::Rolled => (2, Self::Served, |world| roll(world).boxed()),
            Self::Restored => return Self::Rolled.world().restored(),
        };
        let known = KNOWN[place].get_or_init(|| {
            let outcome = play(&before.world(), script, &[]);
            assert!(outcome.broken.is_empty(), "{self:?}: {:?}", outcome.broken);
            outcome.snapshot
        });
        known.clone()
    }
}

const MODEL: &str = "digits";
const SERVING: &str = "digits";

/// All of them.
pub const ALL: &[Scenario] = &[
    Scenario { name: "import", after: Before::Nothing, script: |world| import(world).boxed() },
    Scenario { name: "train", after: Before::Nothing, script: |world| train(world).boxed() },
    Scenario { name: "lost pod", after: Before::Nothing, script: |world| lost_pod(world).boxed() },
    Scenario { name: "first start", after: Before::Imported, script: |world| serve(world).boxed() },
    Scenario { name: "roll", after: Before::Served, script: |world| roll(world).boxed() },
    Scenario { name: "revert", after: Before::Rolled, script: |world| revert(world).boxed() },
    Scenario { name: "abort", after: Before::Served, script: |world| abort(world).boxed() },
    Scenario { name: "retry", after: Before::Served, script: |world| retry(world).boxed() },
    Scenario { name: "rollback", after: Before::Served, script: |world| fails(world, "broken").boxed() },
    Scenario { name: "wrong model", after: Before::Served, script: |world| fails(world, "wrong").boxed() },
    Scenario { name: "no model", after: Before::Served, script: |world| fails(world, "empty").boxed() },
    Scenario { name: "back and forth", after: Before::Served, script: |world| back_and_forth(world).boxed() },
    Scenario { name: "scale", after: Before::Served, script: |world| scale(world).boxed() },
    Scenario { name: "edit in mid-rollout", after: Before::Served, script: |world| edit(world).boxed() },
    Scenario { name: "delete", after: Before::Served, script: |world| delete(world).boxed() },
    Scenario {
        name: "delete and create",
        after: Before::Served,
        script: |world| create_again(world).boxed(),
    },
    Scenario { name: "restore", after: Before::Restored, script: |world| restore(world).boxed() },
    Scenario { name: "lost statuses", after: Before::Served, script: |world| lose_statuses(world).boxed() },
    Scenario { name: "two operators", after: Before::Served, script: |world| two_operators(world).boxed() },
];

async fn import(world: Arc<World>) {
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

async fn train(world: Arc<World>) {
    training(&world);
    world.until_version(MODEL, 1).await;
}

/// A run's pod goes before anybody has read what it said.
async fn lost_pod(world: Arc<World>) {
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

async fn serve(world: Arc<World>) {
    create_deployment(&world);
    world.until_promoted(SERVING, 1).await;
}

fn create_deployment(world: &World) {
    world.create(
        Kind::ModelDeployment,
        SERVING,
        json!({"model": MODEL, "replicas": 2, "strategy": {"rollingUpdate": {"progressDeadline": "5m"}}}),
    );
}

async fn roll(world: Arc<World>) {
    world.import_again(MODEL, "s3://bucket/digits-2.onnx");
    world.until_promoted(SERVING, 2).await;
}

async fn revert(world: Arc<World>) {
    world.import_again(MODEL, "s3://bucket/digits.onnx");
    world.until_promoted(SERVING, 1).await;
}

/// A person stops a rollout half-way.
async fn abort(world: Arc<World>) {
    world.import_again(MODEL, "s3://bucket/digits-2.onnx");
    world.until_half_way(SERVING).await;
    world.ask(SERVING, "Abort", &world.target(SERVING));
    world.until_phase(SERVING, "Degraded").await;
}

/// The same, and lets it go on after all.
async fn retry(world: Arc<World>) {
    abort(Arc::clone(&world)).await;
    world.ask(SERVING, "Retry", &world.target(SERVING));
    world.until_promoted(SERVING, 2).await;
}

/// A version that never serves is rolled back.
async fn fails(world: Arc<World>, how: &str) {
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

/// What was rolled back is not tried again because the spec leaves it and returns (R5).
async fn back_and_forth(world: Arc<World>) {
    fails(Arc::clone(&world), "broken").await;
    world.import_again(MODEL, "s3://bucket/digits.onnx");
    world.until_promoted(SERVING, 1).await;
    fails(world, "broken").await;
}

async fn scale(world: Arc<World>) {
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

async fn edit(world: Arc<World>) {
    world.import_again(MODEL, "s3://bucket/digits-2.onnx");
    world.until_half_way(SERVING).await;
    world.import_again(MODEL, "s3://bucket/digits-3.onnx");
    world.edit(Kind::ModelDeployment, SERVING, json!({"replicas": 3}));
    world.until_promoted(SERVING, 3).await;
}

/// The Model is deleted first, and stays until nothing names it.
async fn delete(world: Arc<World>) {
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

async fn create_again(world: Arc<World>) {
    world.delete(Kind::ModelDeployment, SERVING);
    create_deployment(&world);
    world.until_promoted(SERVING, 1).await;
}

async fn restore(world: Arc<World>) {
    world.until_promoted(SERVING, 2).await;
}

/// R11, in the middle of a rollout.
async fn lose_statuses(world: Arc<World>) {
    world.import_again(MODEL, "s3://bucket/digits-2.onnx");
    world.until_half_way(SERVING).await;
    for (kind, name) in [(Kind::ModelDeployment, SERVING), (Kind::Model, MODEL)] {
        world.merge(kind, name, Part::Status, json!({"status": null}));
    }
    world.until_promoted(SERVING, 2).await;
}

/// Another process stands by, and takes over from one that ends in the middle of a rollout and does not say so.
async fn two_operators(world: Arc<World>) {
    let second = world.keep_operator("modelwright-1");
    world.import_again(MODEL, "s3://bucket/digits-2.onnx");
    world.until_half_way(SERVING).await;
    world.stop_first();
    world.until_promoted(SERVING, 2).await;
    assert!(!second.is_finished(), "an operator ended");
}
