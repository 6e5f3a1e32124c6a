//! Whole reconciles of a Model against a mock API server: which requests, in which order.

use std::sync::Arc;

use futures::future::BoxFuture;
use kube::ResourceExt as _;
use modelwright::{
    api::{Model, ModelDeployment, ModelDeploymentSpec, ModelStatus, name::MODEL_FINALIZER},
    context::Context,
    k8s::cache::Cache,
    model::{ModelError, reconcile},
};
use serde_json::{Value, json};

use crate::{
    fixtures::{NAMESPACE, failed_pod, finished, job, job_name, model, pod, succeeded_pod, version},
    scenario::{context, play},
};

const MODEL: &str = "/apis/modelwright.dev/v1alpha1/namespaces/space/models/digits";
pub const STATUS: &str = "/apis/modelwright.dev/v1alpha1/namespaces/space/models/digits/status";
pub const VERSIONS: &str = "/apis/modelwright.dev/v1alpha1/namespaces/space/modelversions";
pub const JOBS: &str = "/apis/batch/v1/namespaces/space/jobs";
pub const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/space/events";

pub fn reconciled(model: &Model, context: Context) -> BoxFuture<'static, Result<(), ModelError>> {
    let reconcile = reconcile(Arc::new(model.clone()), Arc::new(context));
    Box::pin(async { reconcile.await.map(drop) })
}

pub fn condition<'a>(status: &'a Value, type_: &str) -> &'a Value {
    let conditions = status["status"]["conditions"].as_array().unwrap();
    conditions.iter().find(|condition| condition["type"] == type_).unwrap_or(&Value::Null)
}

/// Has the run of `model` be over, with what it published.
fn has_run(context: &mut Context, model: &Model, digest: char) {
    let job = finished(job(model), "Complete", "CompletionsReached");
    context.caches.pods = Cache::fixed(vec![succeeded_pod(&job, digest)]);
    context.caches.jobs = Cache::fixed(vec![job]);
}

/// `model` with the status that a reconcile with these caches writes.
async fn settled(model: &Model, fill: impl Fn(&mut Context)) -> Model {
    let (mut context, mut server) = context();
    fill(&mut context);
    let mut settled = model.clone();
    let status = std::cell::RefCell::new(Value::Null);
    play(reconciled(model, context), async {
        let call = server.expect("PATCH", STATUS).await;
        *status.borrow_mut() = call.body["status"].clone();
        call.echo_model(model);
        server.expect("POST", EVENTS).await.echo();
    })
    .await
    .unwrap();
    settled.status = serde_json::from_value(status.into_inner()).unwrap();
    settled
}

#[tokio::test]
async fn a_new_model_gets_its_finalizer_then_a_job_then_a_status_then_an_event() {
    let (context, mut server) = context();
    let mut new = model("s3://b/a", 1);
    new.metadata.finalizers = None;
    play(reconciled(&new, context), async {
        let call = server.expect("PATCH", MODEL).await;
        assert_eq!(
            call.body,
            json!({"metadata": {"finalizers": [MODEL_FINALIZER], "uid": "uid-of-digits", "resourceVersion": "100"}})
        );
        let mut stored = model("s3://b/a", 1);
        stored.metadata.resource_version = Some("101".into());
        call.object(&stored);

        let call = server.expect("POST", JOBS).await;
        assert_eq!(call.body["metadata"]["name"], job_name(&new));
        assert_eq!(call.body["metadata"]["ownerReferences"][0]["uid"], "uid-of-digits");
        call.echo();

        let call = server.expect("PATCH", STATUS).await;
        assert_eq!(call.body["metadata"]["resourceVersion"], "101", "what the finalizer's write returned");
        assert_eq!(condition(&call.body, "Reconciling")["reason"], "Importing");
        assert_eq!(call.body["status"]["run"]["job"], job_name(&new));
        call.echo_model(&new);

        let call = server.expect("POST", EVENTS).await;
        assert_eq!(call.body["reason"], "RunStarted");
        call.echo();
        server.nothing_more().await;
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_settled_model_writes_nothing() {
    let model = model("s3://b/a", 1);
    let fill = |context: &mut Context| {
        context.caches.versions = Cache::fixed(vec![version(&model, 1, 'a', 1)]);
    };
    let settled = settled(&model, fill).await;
    let (mut context, server) = context();
    fill(&mut context);
    play(reconciled(&settled, context), server.nothing_more()).await.unwrap();
}

#[tokio::test]
async fn a_finished_run_becomes_a_version_before_the_status_says_so() {
    let (mut context, mut server) = context();
    let model = model("s3://b/a", 1);
    has_run(&mut context, &model, 'c');
    play(reconciled(&model, context), async {
        let call = server.expect("POST", VERSIONS).await;
        assert_eq!(call.body["metadata"]["name"], "digits-v1");
        assert_eq!(call.body["spec"]["modelDigest"], "c".repeat(64));
        call.echo();
        let call = server.expect("PATCH", STATUS).await;
        assert_eq!(call.body["status"]["currentVersion"], 1);
        assert_eq!(condition(&call.body, "Ready")["status"], "True");
        call.echo_model(&model);
        let call = server.expect("POST", EVENTS).await;
        assert_eq!(call.body["reason"], "VersionCreated");
        call.echo();
        server.nothing_more().await;
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_version_that_a_stale_cache_hides_is_not_made_twice() {
    let (mut context, mut server) = context();
    let model = model("s3://b/a", 1);
    has_run(&mut context, &model, 'a');
    play(reconciled(&model, context), async {
        server.expect("POST", VERSIONS).await.error(409, "AlreadyExists", "digits-v1 exists");
        server.expect("GET", &format!("{VERSIONS}/digits-v1")).await.object(&version(&model, 1, 'a', 1));
        let call = server.expect("PATCH", STATUS).await;
        assert_eq!(call.body["status"]["currentVersion"], 1);
        call.echo_model(&model);
        server.expect("POST", EVENTS).await.echo();
        server.nothing_more().await;
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_version_that_the_status_knows_and_the_cache_does_not_is_looked_for_and_not_made_twice() {
    let (mut context, mut server) = context();
    let mut here = model("s3://b/a", 1);
    here.status = Some(ModelStatus { latest_version: Some(1), ..ModelStatus::default() });
    has_run(&mut context, &here, 'a');
    play(reconciled(&here, context), async {
        let made = version(&here, 1, 'a', 1);
        let list = json!({"apiVersion": "modelwright.dev/v1alpha1", "kind": "ModelVersionList", "metadata": {}, "items": [made]});
        server.expect("GET", VERSIONS).await.object(&list);
        let call = server.expect("PATCH", STATUS).await;
        assert_eq!(call.body["status"]["currentVersion"], 1);
        call.echo_model(&here);
        server.expect("POST", EVENTS).await.echo();
        server.nothing_more().await;
    })
    .await
    .unwrap();
}

/// The version that the spec asks for may be the one that nobody can read.
#[tokio::test]
async fn no_version_is_made_beside_one_that_does_not_parse() {
    let (mut context, mut server) = context();
    let mut here = model("s3://b/a", 1);
    here.status = Some(ModelStatus { latest_version: Some(1), ..ModelStatus::default() });
    has_run(&mut context, &here, 'a');
    let outcome = play(reconciled(&here, context), async {
        let mut broken = json!(version(&here, 1, 'a', 1));
        broken["spec"]["version"] = json!("one");
        let list = json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": [broken]});
        server.expect("GET", VERSIONS).await.object(&list);
        server.nothing_more().await;
    })
    .await;
    let error = modelwright::k8s::controller::chain(&outcome.unwrap_err());
    assert!(error.contains("ModelVersion digits-v1 does not parse at spec.version"), "{error}");
}

#[tokio::test]
async fn another_version_under_the_number_is_a_requeue_and_no_status() {
    let (mut context, mut server) = context();
    let here = model("s3://b/a", 2);
    has_run(&mut context, &here, 'a');
    let error = play(reconciled(&here, context), async {
        server.expect("POST", VERSIONS).await.error(409, "AlreadyExists", "digits-v1 exists");
        let other = version(&model("s3://b/other", 1), 1, 'b', 1);
        server.expect("GET", &format!("{VERSIONS}/digits-v1")).await.object(&other);
        server.nothing_more().await;
    })
    .await
    .unwrap_err();
    assert_eq!(modelwright::k8s::controller::ReconcileError::label(&error), "stale");
}

#[tokio::test]
async fn a_stranger_with_the_jobs_name_is_a_condition_and_is_not_touched() {
    let (context, mut server) = context();
    let model = model("s3://b/a", 1);
    let error = play(reconciled(&model, context), async {
        server.expect("POST", JOBS).await.error(409, "AlreadyExists", "exists");
        let mut stranger = job(&model);
        stranger.metadata.owner_references = None;
        stranger.metadata.annotations = None;
        server.expect("GET", &format!("{JOBS}/{}", job_name(&model))).await.object(&stranger);
        let call = server.expect("PATCH", STATUS).await;
        assert_eq!(condition(&call.body, "Stalled")["reason"], "NameTaken");
        call.echo_model(&model);
        server.expect("POST", EVENTS).await.echo();
        server.nothing_more().await;
    })
    .await
    .unwrap_err();
    assert_eq!(modelwright::k8s::controller::ReconcileError::label(&error), "name_taken");
}

/// `kubectl replace --force`: the Job of the Model that was deleted is there until it is collected, or until its finalizer
/// is removed.
#[tokio::test]
async fn what_a_deleted_predecessor_left_is_told_and_waited_for_and_is_no_failure() {
    let model = model("s3://b/a", 1);
    let mut remains = serde_json::to_value(job(&model)).unwrap();
    remains["metadata"]["ownerReferences"][0]["uid"] = "uid-of-the-predecessor".into();
    let mut leaving = serde_json::to_value(job(&model)).unwrap();
    leaving["metadata"]["deletionTimestamp"] = "2026-11-24T10:00:00Z".into();
    for (found, reason, words) in [
        (remains, "PredecessorRemains", "garbage collection has not removed it yet"),
        (leaving, "Terminating", "look at its finalizers"),
    ] {
        let (context, mut server) = context();
        play(reconciled(&model, context), async {
            server.expect("POST", JOBS).await.error(409, "AlreadyExists", "exists");
            server.expect("GET", &format!("{JOBS}/{}", job_name(&model))).await.object(&found);
            let call = server.expect("PATCH", STATUS).await;
            let waits = condition(&call.body, "Reconciling");
            assert_eq!(
                (&waits["status"], &waits["reason"]),
                (&json!("True"), &json!(reason)),
                "{}",
                call.body
            );
            let message = waits["message"].as_str().unwrap();
            assert!(message.contains(&job_name(&model)) && message.contains(words), "{message}");
            call.echo_model(&model);
            // that it is gone announces itself: the reconcile has not failed
            server.nothing_more().await;
        })
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn an_invalid_spec_still_gets_a_status() {
    let (context, mut server) = context();
    let model = model("nonsense", 1);
    play(reconciled(&model, context), async {
        let call = server.expect("PATCH", STATUS).await;
        assert_eq!(condition(&call.body, "Stalled")["reason"], "InvalidSpec");
        call.echo_model(&model);
        let call = server.expect("POST", EVENTS).await;
        assert_eq!((&call.body["reason"], &call.body["type"]), (&json!("Blocked"), &json!("Warning")));
        call.echo();
        server.nothing_more().await;
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_failed_run_is_told_and_not_started_again() {
    let model = model("s3://b/a", 1);
    let job = finished(job(&model), "Failed", "PodFailurePolicy");
    let fill = |context: &mut Context| {
        let told = r#"{"failed":{"reason":"DigestMismatch","message":"expected aa, got bb"}}"#;
        context.caches.pods = Cache::fixed(vec![failed_pod(&job, 64, told)]);
        context.caches.jobs = Cache::fixed(vec![job.clone()]);
    };
    let settled = settled(&model, fill).await;
    let failure = settled.status.clone().unwrap().last_failure.unwrap();
    assert_eq!((failure.reason.as_str(), failure.phase.as_str()), ("DigestMismatch", "fetch"));
    let (mut context, server) = context();
    fill(&mut context);
    play(reconciled(&settled, context), server.nothing_more()).await.unwrap();
}

#[tokio::test]
async fn a_changed_spec_deletes_the_running_job_with_preconditions_and_starts_its_own() {
    let (mut context, mut server) = context();
    let (before, after) = (model("s3://b/a", 1), model("s3://b/b", 2));
    let old = job(&before);
    context.caches.jobs = Cache::fixed(vec![old.clone()]);
    context.caches.pods = Cache::fixed(vec![pod(&old, json!({"phase": "Running"}))]);
    play(reconciled(&after, context), async {
        let call = server.expect("DELETE", &format!("{JOBS}/{}", old.name_any())).await;
        assert_eq!(
            call.body["preconditions"],
            json!({"uid": old.metadata.uid, "resourceVersion": old.metadata.resource_version})
        );
        assert_eq!(call.body["propagationPolicy"], "Background");
        call.object(&old);
        server.expect("POST", JOBS).await.echo();
        server.expect("PATCH", STATUS).await.echo_model(&after);
        server.expect("POST", EVENTS).await.echo();
        server.nothing_more().await;
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_deleted_model_is_held_while_a_deployment_names_it_and_then_let_go() {
    let mut deleted = model("s3://b/a", 1);
    deleted.metadata.deletion_timestamp =
        Some(serde_json::from_value(json!("2026-11-24T10:00:00Z")).unwrap());
    deleted.metadata.finalizers = Some(vec!["other/finalizer".into(), MODEL_FINALIZER.into()]);

    let spec: ModelDeploymentSpec = serde_json::from_value(json!({"model": "digits"})).unwrap();
    let mut deployment = ModelDeployment::new("serving", spec);
    deployment.metadata.namespace = Some(NAMESPACE.into());
    let (mut holding, mut server) = context();
    holding.caches.model_deployments = Cache::fixed(vec![deployment]);
    play(reconciled(&deleted, holding), async {
        let call = server.expect("PATCH", STATUS).await;
        let reconciling = condition(&call.body, "Reconciling");
        assert_eq!(reconciling["reason"], "InUse");
        assert!(reconciling["message"].as_str().unwrap().contains("serving"));
        call.echo_model(&deleted);
        server.expect("POST", EVENTS).await.echo();
        server.nothing_more().await;
    })
    .await
    .unwrap();

    let (free, mut server) = context();
    play(reconciled(&deleted, free), async {
        let call = server.expect("PATCH", MODEL).await;
        assert_eq!(call.body["metadata"]["finalizers"], json!(["other/finalizer"]));
        call.object(&deleted);
        server.nothing_more().await;
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn nothing_is_written_once_the_lease_is_lost() {
    let (context, server) = context();
    server.leadership.resign();
    let error = play(reconciled(&model("s3://b/a", 1), context), server.nothing_more()).await.unwrap_err();
    assert_eq!(modelwright::k8s::controller::ReconcileError::label(&error), "not_leading");
}

#[tokio::test]
async fn a_restored_version_gets_its_owner_back() {
    let (mut context, mut server) = context();
    let model = model("s3://b/a", 1);
    let mut restored = version(&model, 1, 'a', 1);
    restored.metadata.owner_references = None;
    context.caches.versions = Cache::fixed(vec![restored]);
    play(reconciled(&model, context), async {
        server.owner_stays(&model).await;
        let call = server.expect("PATCH", &format!("{VERSIONS}/digits-v1")).await;
        assert_eq!(call.body["metadata"]["ownerReferences"][0]["uid"], "uid-of-digits");
        assert_eq!(call.body["metadata"]["resourceVersion"], "200");
        call.object(&version(&model, 1, 'a', 1));
        server.expect("PATCH", STATUS).await.echo_model(&model);
        server.expect("POST", EVENTS).await.echo();
        server.nothing_more().await;
    })
    .await
    .unwrap();
}

/// `kubectl delete --cascade=orphan` takes the owner off the versions before the Model goes, and the watch of versions may be
/// ahead of that of Models. A version that got its owner back then would be collected with it.
#[tokio::test]
async fn a_version_whose_model_is_on_its_way_out_does_not_get_it_back() {
    let model = model("s3://b/a", 1);
    let mut terminating = model.clone();
    terminating.metadata.deletion_timestamp = serde_json::from_value(json!("2026-11-24T10:00:00Z")).unwrap();
    let mut another = model.clone();
    another.metadata.uid = Some("another".into());
    for now in [Some(terminating), Some(another), None] {
        let (mut context, mut server) = context();
        let mut left = version(&model, 1, 'a', 1);
        left.metadata.owner_references = None;
        context.caches.versions = Cache::fixed(vec![left]);
        let outcome = play(reconciled(&model, context), async {
            let call = server.expect("GET", MODEL).await;
            match &now {
                Some(now) => call.object(now),
                None => call.error(404, "NotFound", "it is gone"),
            }
            server.nothing_more().await;
        })
        .await;
        assert!(outcome.is_err(), "it is looked at again");
    }
}
