//! B10: what is deleted goes whole, in whatever phase it is, and so does a namespace.

use std::{fs, time::Duration};

use k8s_openapi::api::{
    apps::v1::{ControllerRevision, ReplicaSet},
    batch::v1::Job,
    core::v1::{ConfigMap, Namespace, Pod, Service},
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams},
};
use modelwright::api::{
    condition::{READY, RECONCILING, STALLED},
    model::Model,
    model_deployment::ModelDeployment,
    model_version::ModelVersion,
    name::{MANAGED_BY, MANAGED_BY_LABEL},
};
use serde_json::json;

use crate::harness::{
    Space,
    datasets::{self, training},
    images::repository,
    kubectl::run,
    onnx::Affine,
    resources::{Observed as _, deployment, model},
    wait,
};

const FIRST: Affine = Affine { factor: 2.0, summand: 1.0 };
const SECOND: Affine = Affine { factor: -1.0, summand: 0.5 };
/// Seconds after which nothing may be left.
const LIMIT: u64 = 60;

/// Models in every phase of a run, by name.
const MODELS: [&str; 5] = ["suspended", "fetching", "training", "failed", "ready"];
/// ModelDeployments in every phase of a rollout.
const DEPLOYMENTS: [&str; 5] = ["starting", "rolling", "paused", "back", "healthy"];

/// Brings Models and ModelDeployments into every phase.
async fn bring_into_every_phase(space: &Space) {
    space.import("ready", FIRST).await;
    let uri = space.serve_data("digits.csv").await;
    let forest = json!({"name": "f", "algorithm": "RandomForest"});
    let suspended = training(json!({
        "data": {"uri": uri, "label": "digit"}, "candidates": [forest], "run": {"suspend": true},
    }));
    space.create_object::<Model>(datasets::model("suspended", suspended)).await;

    let image = format!("{}-{}", space.world.images.runtime, space.name);
    let bad = json!({"serving": {"runtime": image}});
    for name in ["rolling", "paused", "back", "healthy"] {
        space.create_object::<ModelDeployment>(deployment(name, "ready", json!({}))).await;
    }
    space.create_object::<ModelDeployment>(deployment("starting", "ready", bad.clone())).await;
    for name in ["rolling", "paused", "back", "healthy"] {
        space.promoted(name).await;
    }
    space.patch::<ModelDeployment>("rolling", json!({"spec": bad})).await;
    space
        .patch::<ModelDeployment>("paused", json!({"spec": {"paused": true, "serving": bad["serving"]}}))
        .await;
    let hasty = json!({"rollingUpdate": {"progressDeadline": "5s"}});
    space
        .patch::<ModelDeployment>("back", json!({"spec": {"serving": bad["serving"], "strategy": hasty}}))
        .await;

    // Runs come last: what they do ends some time, while a slow machine starts the pods above.
    let patient = space.own_code(&uri, &space.until_file("never"), json!({"data": {"label": "digit"}}));
    space.create_object::<Model>(datasets::model("training", patient)).await;
    let file = space.serve_file("slow.onnx", SECOND).await;
    let slow = file.replace("/files/", "/slow/110000/");
    space.create_object::<Model>(model("fetching", &slow, json!({}))).await;
    let missing = file.replace("slow.onnx", "missing.onnx");
    space.create_object::<Model>(model("failed", &missing, json!({}))).await;
    for (name, phase) in [("fetching", "Fetching"), ("training", "Training"), ("suspended", "Suspended")] {
        space
            .until(name, phase, 120, |model: &Model| {
                let run = model.status.as_ref().and_then(|status| status.run.as_ref());
                run.is_some_and(|run| run.phase == phase)
            })
            .await;
    }
    space.stalled_model("failed", 120).await;
    for (name, phase) in
        [("starting", "Progressing"), ("rolling", "Progressing"), ("paused", "Paused"), ("back", "Degraded")]
    {
        space
            .until(name, phase, 120, |md: &ModelDeployment| {
                let moved = name == "starting"
                    || md.status.as_ref().is_some_and(|status| status.target != status.stable);
                moved
                    && md.status.as_ref().and_then(|status| status.phase.as_deref()) == Some(phase)
                    && (md.is(RECONCILING) || md.is(STALLED))
            })
            .await;
    }
}

/// Names of what Modelwright made and is still there.
async fn left(space: &Space) -> Vec<String> {
    async fn of<K>(space: &Space, kind: &str) -> Vec<String>
    where
        K: Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned
            + kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        let ours = ListParams::default().labels(&format!("{MANAGED_BY_LABEL}={MANAGED_BY}"));
        let found = space.api::<K>().list(&ours).await.expect("objects can be listed");
        found.items.iter().map(|object| format!("{kind}/{}", object.name_any())).collect()
    }
    let mut left = of::<Job>(space, "job").await;
    left.extend(of::<Pod>(space, "pod").await);
    left.extend(of::<ReplicaSet>(space, "replicaset").await);
    left.extend(of::<Service>(space, "service").await);
    left.extend(of::<ConfigMap>(space, "configmap").await);
    left.extend(of::<PodDisruptionBudget>(space, "poddisruptionbudget").await);
    left.extend(of::<ControllerRevision>(space, "controllerrevision").await);
    left.extend(of::<ModelVersion>(space, "modelversion").await);
    left
}

/// Every kind, one after the other.
pub async fn each_kind_in_each_phase_leaves_nothing(space: Space) {
    bring_into_every_phase(&space).await;
    let before = left(&space).await;
    for kind in
        ["job/", "pod/", "replicaset/", "service/", "configmap/", "controllerrevision/", "modelversion/"]
    {
        assert!(
            before.iter().any(|name| name.starts_with(kind)),
            "{kind} is not there, so its going shows nothing"
        );
    }
    // A version that serves may go: its revision holds what it needs.
    let now = DeleteParams::default();
    space.api::<ModelVersion>().delete("ready-v1", &now).await.expect("it can be deleted");
    space.until_gone::<ModelVersion>("ready-v1", LIMIT).await;
    let healthy = space.deployment("healthy").await;
    space.predict(&healthy, FIRST).await;

    for name in DEPLOYMENTS {
        space.api::<ModelDeployment>().delete(name, &now).await.expect("it can be deleted");
    }
    for name in MODELS {
        space.api::<Model>().delete(name, &now).await.expect("it can be deleted");
    }
    for name in DEPLOYMENTS {
        space.until_gone::<ModelDeployment>(name, LIMIT).await;
    }
    for name in MODELS {
        space.until_gone::<Model>(name, LIMIT).await;
    }
    let limit = tokio::time::Instant::now() + Duration::from_secs(LIMIT);
    let mut remains = left(&space).await;
    // The garbage collector of the cluster announces nothing.
    while !remains.is_empty() {
        assert!(tokio::time::Instant::now() < limit, "left after {LIMIT} s: {remains:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
        remains = left(&space).await;
    }
}

/// The commands that docs/install.md gives for an operator that is down: for one Model, and for all of a namespace.
fn documented_commands() -> Vec<String> {
    let path = repository().join("docs/install.md");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (_, section) =
        text.split_once("### When the operator is down\n").expect("install.md has this section");
    let section = section.split("\n## ").next().unwrap_or(section);
    let mut commands = vec![String::new()];
    for line in section.lines() {
        match line.strip_prefix("    ") {
            Some(code) => commands.last_mut().expect("one is there").extend([code, "\n"]),
            None => commands.push(String::new()),
        }
    }
    commands.retain(|command| !command.is_empty());
    commands
}

/// Alone, B10: without the operator a deleted Model waits, and the documented commands free it, and a namespace.
pub async fn with_the_operator_down_the_documented_commands_free_what_was_deleted(space: Space) {
    let commands = documented_commands();
    assert_eq!(commands.len(), 2, "{commands:?}");
    let busy = space.another("busy").await;
    space.import("digits", FIRST).await;
    space.import("letters", FIRST).await;
    let served = space.serve("front", "letters", json!({})).await;
    for name in ["digits", "letters"] {
        busy.import(name, FIRST).await;
    }
    let operator = space.world.operator();
    operator.stop().await;

    let now = DeleteParams::default();
    space.api::<Model>().delete("digits", &now).await.expect("it can be deleted");
    let waits = space.model("digits").await;
    assert!(waits.metadata.deletion_timestamp.is_some(), "it is being deleted");
    assert_eq!(waits.metadata.finalizers.unwrap_or_default(), ["modelwright.dev/protection"]);
    let documented = async |command: &str, space: &Space| {
        let placed = command.replace("team-a", &space.name);
        assert_ne!(placed, command, "the command is for a namespace");
        run("bash", &["-euo", "pipefail", "-c", &placed], "").await.expect_success();
    };
    documented(&commands[0], &space).await;
    space.until_gone::<Model>("digits", 30).await;
    space.until_gone::<ModelVersion>("digits-v1", LIMIT).await;
    until_nothing_is_left_of(&space, "digits").await;
    space.predict(&served, FIRST).await;

    busy.delete().await.expect("it can be deleted");
    busy.until("letters", "being deleted", 60, |model: &Model| model.metadata.deletion_timestamp.is_some())
        .await;
    documented(&commands[1], &busy).await;
    let namespaces: Api<Namespace> = Api::all(space.world.client.clone());
    wait::until_gone(&namespaces, &busy.name, Duration::from_secs(LIMIT))
        .await
        .expect("the namespace is gone");

    operator.scale(1).await;
    assert!(space.import_next("letters", "next.onnx", SECOND).await.is(READY), "it is back");
}

/// The garbage collector of the cluster announces nothing.
async fn until_nothing_is_left_of(space: &Space, model: &str) {
    let limit = tokio::time::Instant::now() + Duration::from_secs(LIMIT);
    loop {
        let (runs, jobs) = (space.runs(model).await, space.jobs_of(model).await);
        if runs.is_empty() && jobs.is_empty() {
            return;
        }
        assert!(tokio::time::Instant::now() < limit, "left after {LIMIT} s: {jobs:?} {runs:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// A namespace goes with all that is in it.
pub async fn a_namespace_in_the_middle_of_everything_goes(space: Space) {
    let busy = space.another("busy").await;
    bring_into_every_phase(&busy).await;
    busy.delete().await.expect("it can be deleted");
    let namespaces: Api<Namespace> = Api::all(space.world.client.clone());
    if let Err(error) = wait::until_gone(&namespaces, &busy.name, Duration::from_secs(LIMIT)).await {
        panic!("{error}\nleft: {:?}", left(&busy).await);
    }
}
