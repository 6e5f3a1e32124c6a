//! A5: a new version takes over without losing a request, and so does the old one again.

use std::time::Instant;

use kube::ResourceExt as _;
use modelwright::api::{
    condition::{ConditionStatus, PROMOTED, READY, RECONCILING, STALLED},
    model::Model,
    model_deployment::{ModelDeployment, RevisionStatus},
};
use serde_json::json;

use crate::harness::{
    Space,
    kubectl::kubectl,
    load::Load,
    onnx::Affine,
    resources::{Health, HealthOf as _, Observed as _, deployment, model},
};

const FIRST: Affine = Affine { factor: 2.0, summand: 1.0 };
const SECOND: Affine = Affine { factor: -1.0, summand: 0.5 };

fn stable(md: &ModelDeployment) -> RevisionStatus {
    md.status.as_ref().and_then(|status| status.stable.clone()).expect("it has a stable revision")
}

/// Forward and back, under load.
pub async fn a_new_version_and_its_revert_lose_no_request(space: Space) {
    space.import("digits", FIRST).await;
    let before = space.serve("digits", "digits", json!({"replicas": 2})).await;
    before.assert_health(Health::TARGET_IS_STABLE);
    let first = stable(&before);
    let endpoint = space.endpoint(&before).await;
    let mut load = Load::start(&endpoint);
    load.answers_of(1, 100).await;

    space.import_next("digits", "second.onnx", SECOND).await;
    let second = space.promoted_version("digits", 2).await;
    load.answers_of(2, 100).await;
    assert_ne!(stable(&second).revision, first.revision);
    space.predict(&second, SECOND).await;
    let jobs = space.jobs().await;
    let revisions = space.revisions().await;
    assert_eq!((jobs.len(), revisions.len()), (2, 2), "{jobs:?} {revisions:?}");

    let reverted_at = Instant::now();
    let uri = format!("http://{}/files/{}/digits.onnx", space.world.fixtures.http_host(), space.name);
    space.patch::<Model>("digits", json!({"spec": {"source": {"uri": uri}}})).await;
    let back = space.promoted_version("digits", 1).await;
    let took = reverted_at.elapsed();
    load.answers_of(1, 100).await;
    let seen = load.stop().await;

    assert_eq!(stable(&back).revision, first.revision, "the same revision serves again");
    assert_eq!(space.revisions().await, revisions, "no revision was made");
    assert_eq!(space.jobs().await, jobs, "no Job was started");
    assert!(took.as_secs() < 60, "going back took {took:?}");
    space.predict(&back, FIRST).await;
    seen.assert_nothing_lost(300);
    assert_eq!(seen.versions.keys().copied().collect::<Vec<_>>(), [1, 2]);
    let events = space.events().await;
    for happened in ["RolloutStarted: version 2 (", "Promoted: version 2 ("] {
        assert_eq!(events.matches(happened).count(), 1, "{happened}: {events}");
    }
    println!("reverted in {took:?} under {} requests", seen.answered);
}

/// A version is pinned, then followed again.
pub async fn a_pinned_version_stays_until_the_pin_is_removed(space: Space) {
    space.import("digits", FIRST).await;
    space.import_next("digits", "second.onnx", SECOND).await;
    let pinned = space.serve("digits", "digits", json!({"version": 1})).await;
    assert_eq!(stable(&pinned).version, 1);
    space.predict(&pinned, FIRST).await;
    space.patch::<ModelDeployment>("digits", json!({"spec": {"version": null}})).await;
    let following = space.promoted_version("digits", 2).await;
    space.predict(&following, SECOND).await;
    space.patch::<ModelDeployment>("digits", json!({"spec": {"version": 1}})).await;
    let rolled_back = space.promoted_version("digits", 1).await;
    assert_eq!(stable(&rolled_back).revision, stable(&pinned).revision, "pinning is a rollback");
    space.predict(&rolled_back, FIRST).await;
    assert_eq!(space.revisions().await.len(), 2);
}

/// A rollout stands still while it is paused.
pub async fn a_paused_deployment_rolls_out_when_it_is_resumed(space: Space) {
    space.import("digits", FIRST).await;
    space.serve("digits", "digits", json!({})).await;
    space.patch::<ModelDeployment>("digits", json!({"spec": {"paused": true}})).await;
    space.import_next("digits", "second.onnx", SECOND).await;
    let paused = space
        .until("digits", "paused with a new target", 60, |md: &ModelDeployment| {
            let status = md.status.clone().unwrap_or_default();
            status.phase.as_deref() == Some("Paused")
                && status.target.is_some_and(|target| target.version == 2)
                && md.is(READY)
        })
        .await;
    assert_eq!(stable(&paused).version, 1);
    assert!(!paused.is(PROMOTED));
    space.predict(&paused, FIRST).await;
    space.patch::<ModelDeployment>("digits", json!({"spec": {"paused": false}})).await;
    let resumed = space.promoted_version("digits", 2).await;
    space.predict(&resumed, SECOND).await;
}

/// More and fewer pods under load.
pub async fn scaling_up_and_down_loses_no_request(space: Space) {
    space.import("digits", FIRST).await;
    let md = space.serve("digits", "digits", json!({})).await;
    let revision = stable(&md).revision;
    let mut load = Load::start(&space.endpoint(&md).await);
    for replicas in [3_u32, 1] {
        let argument = format!("--replicas={replicas}");
        kubectl(&["scale", "md/digits", &argument, "--namespace", &space.name]).await.expect_success();
        let scaled = space
            .until("digits", "scaled", 90, |md: &ModelDeployment| {
                md.is(PROMOTED)
                    && md.status.as_ref().is_some_and(|status| {
                        status.replicas == Some(replicas) && status.ready_replicas == Some(replicas)
                    })
            })
            .await;
        assert_eq!(stable(&scaled).revision, revision, "scaling makes no revision");
        load.answers(150).await;
        assert_eq!(
            space.pods("digits").await.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).count(),
            replicas as usize
        );
    }
    load.stop().await.assert_nothing_lost(300);
}

/// The rows of the health table that a first start goes through.
pub async fn a_deployment_made_before_its_model_starts_when_the_model_is_there(space: Space) {
    space.create_object::<ModelDeployment>(deployment("digits", "digits", json!({}))).await;
    let waiting = space
        .until("digits", "waiting for its Model", 30, |md: &ModelDeployment| {
            md.has(READY, ConditionStatus::False) && md.is(RECONCILING)
        })
        .await;
    assert!(!waiting.is(PROMOTED) && !waiting.is(STALLED));
    assert!(waiting.says(READY).contains("digits"), "{}", waiting.says(READY));
    let uri = space.serve_file("digits.onnx", FIRST).await;
    space.create_object::<Model>(model("digits", &uri, json!({}))).await;
    let starting = space
        .until("digits", "starting its first revision", 60, |md: &ModelDeployment| {
            md.status.as_ref().is_some_and(|status| status.target.is_some())
        })
        .await;
    if !starting.is(PROMOTED) {
        starting.assert_health(Health::FIRST_START);
    }
    space.promoted("digits").await.assert_health(Health::TARGET_IS_STABLE);
}

/// Deleting takes everything along, and a Model in use stays until then.
pub async fn a_model_in_use_is_kept_until_its_deployment_goes(space: Space) {
    space.import("digits", FIRST).await;
    space.serve("digits", "digits", json!({})).await;
    let models = space.api::<Model>();
    models.delete("digits", &kube::api::DeleteParams::default()).await.expect("it can be asked for");
    let held = space
        .until("digits", "held", 30, |model: &Model| {
            model.metadata.deletion_timestamp.is_some() && model.says(RECONCILING).starts_with("InUse")
        })
        .await;
    assert!(held.says(RECONCILING).contains("digits"), "{}", held.says(RECONCILING));
    let md = space.deployment("digits").await;
    space.predict(&md, FIRST).await;
    let pods = space.pods("digits").await;
    space
        .api::<ModelDeployment>()
        .delete("digits", &kube::api::DeleteParams::default())
        .await
        .expect("it can be deleted");
    space.until_gone::<Model>("digits", 60).await;
    for pod in pods {
        space.until_gone::<k8s_openapi::api::core::v1::Pod>(&pod.name_any(), 60).await;
    }
    space.until_gone::<modelwright::api::ModelVersion>("digits-v1", 60).await;
}
