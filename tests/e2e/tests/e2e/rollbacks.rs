//! A5: a revision that does not become ready is rolled back, said so, and left alone until a person acts.

use k8s_openapi::api::core::v1::Pod;
use kube::{
    ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use modelwright::api::{
    condition::{PROMOTED, READY, STALLED},
    model_deployment::{ModelDeployment, ModelDeploymentStatus, RevisionStatus},
    name,
};
use serde_json::{Value, json};

use crate::harness::{
    Space,
    images::copy_image,
    load::Load,
    onnx::Affine,
    resources::{Health, HealthOf as _, Observed as _, deployment},
};

const AFFINE: Affine = Affine { factor: 2.0, summand: 1.0 };

fn stable(md: &ModelDeployment) -> RevisionStatus {
    md.status.as_ref().and_then(|status| status.stable.clone()).expect("it has a stable revision")
}

fn target(md: &ModelDeployment) -> RevisionStatus {
    md.status.as_ref().and_then(|status| status.target.clone()).expect("it has a target revision")
}

/// A patch to a runtime image, with a short deadline.
fn runtime(image: &str, deadline: &str) -> Value {
    json!({"spec": {
        "serving": {"runtime": image},
        "strategy": {"rollingUpdate": {"progressDeadline": deadline}},
    }})
}

/// A patch to the deadline: what can start gets all the time that it needs on a busy machine.
fn deadline(deadline: &str) -> Value {
    json!({"spec": {"strategy": {"rollingUpdate": {"progressDeadline": deadline}}}})
}

/// Writes `status.request`, as the plugin does.
async fn ask(space: &Space, action: &str, revision: &str) {
    let request = json!({"status": {"request": {"id": "e2e", "action": action, "revision": revision}}});
    space
        .api::<ModelDeployment>()
        .patch_status("digits", &PatchParams::default(), &Patch::Merge(request))
        .await
        .expect("a person may write a request");
}

/// An image that cannot be pulled is rolled back, and tried again only when a person asks.
pub async fn a_revision_without_an_image_is_rolled_back_and_retried_on_request_only(space: Space) {
    space.import("digits", AFFINE).await;
    let before = space.serve("digits", "digits", json!({})).await;
    let mut load = Load::start(&space.endpoint(&before).await);
    let image = format!("{}-{}", space.world.images.runtime, space.name);
    space.patch::<ModelDeployment>("digits", runtime(&image, "12s")).await;
    let rolling = space
        .until("digits", "rolling", 30, |md: &ModelDeployment| {
            md.status.as_ref().is_some_and(|status| {
                status.target.as_ref().is_some_and(|target| target.revision != stable(&before).revision)
            })
        })
        .await;
    rolling.assert_health(Health::ROLLING);
    let bad = target(&rolling).revision;

    let back = space.until("digits", "rolled back", 60, |md: &ModelDeployment| md.is(STALLED)).await;
    back.assert_health(Health::ROLLED_BACK);
    assert_eq!(stable(&back), RevisionStatus { ..stable(&before) });
    let said = back.says(STALLED);
    assert!(said.contains("ImagePull") || said.contains(&image), "the cause is told: {said}");
    let history = back.status.clone().unwrap_or_default().history;
    let entry = history.iter().find(|entry| entry.revision == bad).expect("the history has it");
    assert_eq!(entry.outcome, "RolledBack");
    load.answers(50).await;
    space.predict(&back, AFFINE).await;
    until_no_pods(&space, &bad).await;

    // A change that does not concern the revision does not bring it back.
    space.patch::<ModelDeployment>("digits", json!({"spec": {"replicas": 2}})).await;
    let scaled = space
        .until("digits", "scaled", 60, |md: &ModelDeployment| {
            md.is(STALLED) && md.status.as_ref().is_some_and(|status| status.ready_replicas == Some(2))
        })
        .await;
    scaled.assert_health(Health::ROLLED_BACK);
    until_no_pods(&space, &bad).await;

    // The image appears, and a person asks.
    copy_image(&space.world.images.runtime, &image).await;
    space.patch::<ModelDeployment>("digits", deadline("2m")).await;
    ask(&space, "Retry", &bad).await;
    let promoted = space
        .until("digits", "promoted on request", 120, |md: &ModelDeployment| {
            md.is(PROMOTED) && stable(md).revision == bad
        })
        .await;
    promoted.assert_health(Health::TARGET_IS_STABLE);
    assert_eq!(promoted.status.as_ref().and_then(|status| status.request.clone()), None, "it is taken off");
    load.answers(50).await;
    load.stop().await.assert_nothing_lost(100);
}

/// Waits until the pods of a revision are gone.
async fn until_no_pods(space: &Space, revision: &str) {
    for pod in pods_of(space, revision).await {
        space.until_gone::<Pod>(&pod, 60).await;
    }
    let left = pods_of(space, revision).await;
    assert!(left.is_empty(), "pods of a refused revision are made again: {left:?}");
}

async fn pods_of(space: &Space, revision: &str) -> Vec<String> {
    let pods = space.pods("digits").await;
    let ours =
        |pod: &&Pod| pod.labels().get(name::REVISION_LABEL).is_some_and(|label| revision.starts_with(label));
    pods.iter().filter(ours).map(ResourceExt::name_any).collect()
}

/// A spec that returns to what serves is healthy at once; the bad one is still known when it comes again.
pub async fn a_spec_reverted_after_a_rollback_is_healthy_and_the_bad_one_stays_refused(space: Space) {
    space.import("digits", AFFINE).await;
    let before = space.serve("digits", "digits", json!({})).await;
    let image = format!("{}-{}", space.world.images.runtime, space.name);
    space.patch::<ModelDeployment>("digits", runtime(&image, "5s")).await;
    let back = space.until("digits", "rolled back", 60, |md: &ModelDeployment| md.is(STALLED)).await;
    let bad = target(&back).revision;
    assert_ne!(bad, stable(&before).revision);
    space.patch::<ModelDeployment>("digits", json!({"spec": {"serving": {"runtime": null}}})).await;
    let reverted = space.promoted("digits").await;
    reverted.assert_health(Health::TARGET_IS_STABLE);
    assert_eq!(stable(&reverted).revision, stable(&before).revision);
    until_no_pods(&space, &bad).await;
    // Were it tried again, it would be under way for ten minutes.
    space.patch::<ModelDeployment>("digits", runtime(&image, "10m")).await;
    let refused = space.until("digits", "refused", 20, |md: &ModelDeployment| md.is(STALLED)).await;
    refused.assert_health(Health::ROLLED_BACK);
    assert_eq!(target(&refused).revision, bad);
    assert!(refused.says(STALLED).starts_with("ProgressDeadlineExceeded"), "{}", refused.says(STALLED));
    assert_eq!(space.revisions().await.len(), 2);
    let made = pods_of(&space, &bad).await;
    assert!(made.is_empty(), "pods of a refused revision are made again: {made:?}");
    let events = space.events().await;
    let started = format!("(revision {bad}) rolls out");
    assert_eq!(events.matches(&started).count(), 1, "it was tried once: {events}");
}

/// The first revision of all cannot start.
pub async fn a_first_revision_that_cannot_start_is_degraded_and_a_better_spec_mends_it(space: Space) {
    space.import("digits", AFFINE).await;
    let image = format!("{}-{}", space.world.images.runtime, space.name);
    let spec = json!({
        "serving": {"runtime": image}, "strategy": {"rollingUpdate": {"progressDeadline": "6s"}},
    });
    space.create_object::<ModelDeployment>(deployment("digits", "digits", spec)).await;
    let stalled = space.until("digits", "stalled", 60, |md: &ModelDeployment| md.is(STALLED)).await;
    stalled.assert_health(Health::NOTHING_SERVES);
    space.patch::<ModelDeployment>("digits", deadline("2m")).await;
    space.patch::<ModelDeployment>("digits", json!({"spec": {"serving": {"runtime": null}}})).await;
    let mended = space.promoted("digits").await;
    space.predict(&mended, AFFINE).await;
}

/// A person ends a rollout that is under way.
pub async fn an_aborted_rollout_goes_back_and_is_not_tried_again(space: Space) {
    space.import("digits", AFFINE).await;
    let before = space.serve("digits", "digits", json!({})).await;
    let image = format!("{}-{}", space.world.images.runtime, space.name);
    space.patch::<ModelDeployment>("digits", runtime(&image, "10m")).await;
    let rolling = space
        .until("digits", "rolling", 30, |md: &ModelDeployment| {
            md.status.as_ref().is_some_and(|status| {
                status.target.as_ref().is_some_and(|target| target.revision != stable(&before).revision)
            })
        })
        .await;
    // A request for another revision than the present target is void, and the event says so.
    ask(&space, "Abort", &stable(&before).revision).await;
    let done = |md: &ModelDeployment| md.status.as_ref().is_some_and(|status| status.request.is_none());
    let on = space.until("digits", "done with the void request", 30, done).await;
    assert!(!on.is(STALLED), "the rollout goes on");
    ask(&space, "Abort", &target(&rolling).revision).await;
    let aborted = space.until("digits", "aborted", 60, |md: &ModelDeployment| md.is(STALLED)).await;
    aborted.assert_health(Health::ROLLED_BACK);
    let history = aborted.status.clone().unwrap_or_default().history;
    assert!(history.iter().any(|entry| entry.outcome == "Aborted"), "{history:?}");
    space.until("digits", "done with the request", 30, done).await;
    assert_eq!(stable(&aborted).revision, stable(&before).revision);
    space.predict(&aborted, AFFINE).await;
    let events = space.events().await;
    let void = format!("RequestVoid: Abort of revision {} had no effect", stable(&before).revision);
    for (happened, times) in [("Aborted: version 1 (", 1), ("Blocked: Aborted", 0), (void.as_str(), 1)] {
        assert_eq!(events.matches(happened).count(), times, "{happened}: {events}");
    }
}

/// R11: the status is a mirror, not the truth.
pub async fn a_status_deleted_in_the_middle_of_a_rollout_promotes_nothing(space: Space) {
    space.import("digits", AFFINE).await;
    let before = space.serve("digits", "digits", json!({})).await;
    let mut load = Load::start(&space.endpoint(&before).await);
    let image = format!("{}-{}", space.world.images.runtime, space.name);
    space.patch::<ModelDeployment>("digits", runtime(&image, "10m")).await;
    let rolling = space
        .until("digits", "rolling", 30, |md: &ModelDeployment| {
            md.is(READY)
                && md.status.as_ref().is_some_and(|status| {
                    status.target.as_ref().is_some_and(|target| target.revision != stable(&before).revision)
                })
        })
        .await;

    let deployments = space.api::<ModelDeployment>();
    let mut emptied = None;
    for _ in 0..10 {
        let mut bare = space.deployment("digits").await;
        bare.status = None;
        // The operator may write in between; then this is tried on its newer state.
        if let Ok(done) = deployments.replace_status("digits", &PostParams::default(), &bare).await {
            emptied = Some(done);
            break;
        }
    }
    let emptied = emptied.expect("the status can be deleted");
    assert!(emptied.status.is_none_or(|status| status == ModelDeploymentStatus::default()));
    let restored = space
        .until("digits", "described again", 30, |md: &ModelDeployment| {
            md.status.as_ref().is_some_and(|status| status.target.is_some() && status.stable.is_some())
        })
        .await;
    restored.assert_health(Health::ROLLING);
    assert_eq!(stable(&restored).revision, stable(&before).revision, "the same revision is stable");
    assert_eq!(target(&restored).revision, target(&rolling).revision);
    load.answers(100).await;

    copy_image(&space.world.images.runtime, &image).await;
    for pod in pods_of(&space, &target(&rolling).revision).await {
        // The kubelet would try the image again only minutes later.
        let now = DeleteParams::default();
        space.api::<Pod>().delete(&pod, &now).await.expect("it can be deleted");
    }
    let promoted = space
        .until("digits", "promoted", 120, |md: &ModelDeployment| {
            md.is(PROMOTED) && stable(md).revision == target(&rolling).revision
        })
        .await;
    promoted.assert_health(Health::TARGET_IS_STABLE);
    load.stop().await.assert_nothing_lost(100);
}
