//! Whole reconciles of a Model whose run's pod is gone, or seems to be, against a mock API server.

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use modelwright::k8s::cache::Cache;
use serde_json::{Value, json};

use crate::{
    fixtures::{finished, job, pod, succeeded_pod, trained_model},
    model_recall::{imported, lost, recall, training},
    model_scenarios::{EVENTS, JOBS, STATUS, VERSIONS, condition, reconciled},
    scenario::{context, play},
};

const PODS: &str = "/api/v1/namespaces/space/pods";

#[tokio::test]
async fn the_operator_makes_that_job_and_the_condition_says_what_it_does() {
    let (mut context, mut server) = context();
    let model = training();
    context.caches.jobs = Cache::fixed(vec![lost(&model)]);
    play(reconciled(&model, context), async {
        server.expect("GET", PODS).await.object(&listed(&[]));
        let call = server.expect("POST", JOBS).await;
        assert!(
            call.body["metadata"]["name"].as_str().unwrap().ends_with("-read"),
            "{}",
            call.body["metadata"]
        );
        call.echo();
        let call = server.expect("PATCH", STATUS).await;
        assert_eq!(condition(&call.body, "Reconciling")["reason"], "Recalling");
        call.echo_model(&model);
        server.expect("POST", EVENTS).await.echo();
        server.nothing_more().await;
    })
    .await
    .unwrap();
}

/// A watch of pods that is behind the one of Jobs shows a Job that is complete and none of its pods.
#[tokio::test]
async fn a_pod_that_the_cache_does_not_show_is_not_taken_for_lost() {
    let (mut context, mut server) = context();
    let model = imported();
    let job = lost(&model);
    context.caches.jobs = Cache::fixed(vec![job.clone()]);
    play(reconciled(&model, context), async {
        let call = server.expect("GET", PODS).await;
        assert_eq!(
            call.query,
            "&labelSelector=app.kubernetes.io%2Fmanaged-by%3Dmodelwright%2Cmodelwright.dev%2Fmodel%3Ddigits%2C%21modelwright.dev%2Fdeployment"
        );
        call.object(&listed(&[json!(succeeded_pod(&job, 'c'))]));
        let call = server.expect("POST", VERSIONS).await;
        assert_eq!(
            call.body["metadata"]["name"], "digits-v1",
            "what it reported is a version, without a Job"
        );
        call.echo();
        server.expect("PATCH", STATUS).await.echo_model(&model);
        server.expect("POST", EVENTS).await.echo();
        server.nothing_more().await;
    })
    .await
    .unwrap();
}

/// Nor one that nobody can read, as long as the cache does not hold everything because of it.
#[tokio::test]
async fn a_pod_that_does_not_parse_is_not_taken_for_lost() {
    let (mut context, mut server) = context();
    let model = imported();
    let job = lost(&model);
    context.caches.jobs = Cache::fixed(vec![job.clone()]);
    let mut broken = json!(succeeded_pod(&job, 'c'));
    broken["status"]["phase"] = json!(5);
    let outcome = play(reconciled(&model, context), async {
        server.expect("GET", PODS).await.object(&listed(&[broken]));
        server.nothing_more().await;
    })
    .await;
    let error = modelwright::k8s::controller::chain(&outcome.unwrap_err());
    assert!(error.contains("-pod does not parse at status.phase"), "{error}");
}

/// What it trained since would be lost.
#[tokio::test]
async fn a_run_that_has_started_is_not_started_anew_because_its_pod_is_not_seen() {
    let (mut context, mut server) = context();
    let mut job = job(&training());
    job.metadata.creation_timestamp = Some(Time(Timestamp::now()));
    context.caches.jobs = Cache::fixed(vec![job.clone()]);
    let changed = trained_model(json!({"run": {"activeDeadlineSeconds": 60}}), 2);
    let fetch = json!({"name": "fetch", "image": "", "imageID": "", "ready": true, "restartCount": 0,
        "state": {"running": {}}});
    let started = pod(&job, json!({"phase": "Pending", "initContainerStatuses": [fetch]}));
    play(reconciled(&changed, context), async {
        server.expect("GET", PODS).await.object(&listed(&[json!(started)]));
        let call = server.expect("PATCH", STATUS).await;
        assert_eq!(call.body["status"]["run"]["phase"], "Fetching", "{}", call.body);
        call.echo_model(&changed);
        server.nothing_more().await;
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn the_condition_says_that_a_recall_is_tried_again_and_why() {
    let (mut context, mut server) = context();
    let model = training();
    let lost = lost(&model);
    let mut recall = finished(recall(&model, &lost), "Failed", "BackoffLimitExceeded");
    let conditions = recall.status.as_mut().unwrap().conditions.as_mut().unwrap();
    conditions[0].last_transition_time = Some(Time(Timestamp::now()));
    context.caches.jobs = Cache::fixed(vec![lost, recall]);
    play(reconciled(&model, context), async {
        let call = server.expect("PATCH", STATUS).await;
        let condition = condition(&call.body, "Reconciling");
        assert_eq!(condition["reason"], "Recalling", "{condition}");
        assert!(condition["message"].as_str().unwrap().contains("BackoffLimitExceeded"), "{condition}");
        call.echo_model(&model);
        server.expect("POST", EVENTS).await.echo();
        server.nothing_more().await;
    })
    .await
    .unwrap();
}

fn listed(pods: &[Value]) -> Value {
    json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": pods})
}
