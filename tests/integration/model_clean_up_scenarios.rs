//! Whole reconciles of a Model that removes old versions, or is being deleted: which requests, in which order.

use kube::ResourceExt as _;
use modelwright::{
    api::{Model, ModelDeployment, ModelVersion},
    context::Context,
    k8s::cache::Cache,
};
use serde_json::{Value, json};

use crate::{
    fixtures::{job, model},
    model_retention::{deployment, keeping, numbered, revision},
    model_scenarios::{EVENTS, STATUS, VERSIONS, condition, reconciled},
    scenario::{ApiServer, Call, context, play},
};

const MODEL: &str = "/apis/modelwright.dev/v1alpha1/namespaces/space/models/digits";
const DEPLOYMENTS: &str = "/apis/modelwright.dev/v1alpha1/namespaces/space/modeldeployments";
const REVISIONS: &str = "/apis/apps/v1/namespaces/space/controllerrevisions";

/// Versions 1 to 4 are in the caches.
fn four_versions(context: &mut Context) {
    context.caches.versions = Cache::fixed((1..=4).map(numbered).collect());
}

fn listed(items: &impl serde::Serialize) -> Value {
    json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "9"}, "items": items})
}

/// Answers the fresh look, whose three lists come at the same time.
async fn answer_look(
    server: &mut ApiServer,
    versions: &[ModelVersion],
    deployments: Value,
    revisions: Value,
) {
    let call = server.expect("GET", VERSIONS).await;
    assert!(call.query.contains("modelwright.dev%2Fmodel%3Ddigits"), "{}", call.query);
    call.object(&listed(&versions));
    server.expect("GET", DEPLOYMENTS).await.object(&listed(&deployments));
    let call = server.expect("GET", REVISIONS).await;
    assert!(call.query.contains("modelwright.dev%2Fmodel%3Ddigits"), "{}", call.query);
    call.object(&listed(&revisions));
}

async fn expect_removal(server: &mut ApiServer, number: u64) -> Call {
    let call = server.expect("DELETE", &format!("{VERSIONS}/digits-v{number}")).await;
    assert_eq!(
        call.body["preconditions"],
        json!({"uid": format!("uid-of-v{number}"), "resourceVersion": "200"})
    );
    call
}

/// `model` with the status that it has once nothing is left to do.
async fn settled(model: &Model) -> Model {
    let (mut context, mut server) = context();
    context.caches.versions = Cache::fixed((3..=4).map(numbered).collect());
    let mut settled = model.clone();
    let mut status = Value::Null;
    play(reconciled(model, context), async {
        let call = server.expect("PATCH", STATUS).await;
        status = call.body["status"].clone();
        call.echo_model(model);
        server.expect("POST", EVENTS).await.echo();
        server.nothing_more().await;
    })
    .await
    .unwrap();
    settled.status = serde_json::from_value(status).unwrap();
    settled
}

#[tokio::test]
async fn old_versions_are_deleted_after_a_fresh_look_with_preconditions_and_an_event() {
    let model = settled(&keeping(2, 4)).await;
    let (mut context, mut server) = context();
    four_versions(&mut context);
    play(reconciled(&model, context), async {
        answer_look(&mut server, &[1, 2, 3, 4].map(numbered), json!([]), json!([])).await;
        for number in [1, 2] {
            expect_removal(&mut server, number).await.object(&numbered(number));
        }
        let call = server.expect("POST", EVENTS).await;
        assert_eq!((&call.body["reason"], &call.body["type"]), (&json!("VersionRemoved"), &json!("Normal")));
        assert!(call.body["note"].as_str().unwrap().starts_with("versions 1, 2 were removed"));
        call.echo();
        server.nothing_more().await;
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn what_the_caches_say_is_in_use_is_not_even_looked_at() {
    let model = settled(&keeping(2, 4)).await;
    let (mut context, server) = context();
    four_versions(&mut context);
    let pinned = deployment("pinned", json!({"model": "digits", "version": 1}), json!({}));
    context.caches.model_deployments = Cache::fixed(vec![pinned]);
    let labels = json!({"modelwright.dev/model": "digits", "modelwright.dev/version": "2"});
    context.caches.revisions = Cache::fixed(vec![revision("serving-2", labels, json!({"version": 2}))]);
    play(reconciled(&model, context), server.nothing_more()).await.unwrap();
}

#[tokio::test]
async fn what_somebody_uses_since_the_caches_were_filled_is_not_deleted() {
    let model = settled(&keeping(2, 4)).await;
    let (mut context, mut server) = context();
    four_versions(&mut context);
    play(reconciled(&model, context), async {
        let pinned = deployment("pinned", json!({"model": "digits", "version": 1}), json!({}));
        let labels = json!({"modelwright.dev/model": "digits", "modelwright.dev/version": "2"});
        let serving = revision("serving-2", labels, json!({"version": 2}));
        answer_look(&mut server, &[1, 2, 3, 4].map(numbered), json!([pinned]), json!([serving])).await;
        server.nothing_more().await;
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_version_that_changed_since_is_left_and_the_others_go() {
    let model = settled(&keeping(2, 4)).await;
    let (mut context, mut server) = context();
    four_versions(&mut context);
    play(reconciled(&model, context), async {
        answer_look(&mut server, &[1, 2, 3, 4].map(numbered), json!([]), json!([])).await;
        expect_removal(&mut server, 1).await.error(409, "Conflict", "the resourceVersion is another by now");
        expect_removal(&mut server, 2).await.object(&numbered(2));
        let call = server.expect("POST", EVENTS).await;
        assert!(call.body["note"].as_str().unwrap().starts_with("version 2 was removed"));
        call.echo();
        server.nothing_more().await;
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_version_whose_removal_is_refused_is_told_and_the_others_go() {
    let model = settled(&keeping(2, 4)).await;
    let (mut context, mut server) = context();
    four_versions(&mut context);
    play(reconciled(&model, context), async {
        answer_look(&mut server, &[1, 2, 3, 4].map(numbered), json!([]), json!([])).await;
        expect_removal(&mut server, 1).await.error(403, "Forbidden", "a policy says no");
        expect_removal(&mut server, 2).await.object(&numbered(2));
        let call = server.expect("PATCH", STATUS).await;
        let ready = condition(&call.body, "Ready");
        assert_eq!((&ready["status"], &ready["reason"]), (&json!("True"), &json!("VersionReady")));
        assert!(ready["message"].as_str().unwrap().contains("a policy says no"), "{ready}");
        call.echo_model(&model);
        let call = server.expect("POST", EVENTS).await;
        assert!(call.body["note"].as_str().unwrap().starts_with("version 2 was removed"));
        call.echo();
        server.nothing_more().await;
    })
    .await
    .unwrap_err();
}

#[tokio::test]
async fn a_fresh_look_that_fails_deletes_nothing_and_spoils_no_condition() {
    let model = keeping(2, 4);
    let (mut context, mut server) = context();
    four_versions(&mut context);
    let error = play(reconciled(&model, context), async {
        server.expect("GET", VERSIONS).await.error(500, "InternalError", "etcd is away");
        let call = loop {
            let call = server.next().await;
            if call.method == "PATCH" {
                break call;
            }
        };
        assert_eq!(condition(&call.body, "Ready")["reason"], "VersionReady");
        assert_eq!(condition(&call.body, "Stalled"), &Value::Null);
        call.echo_model(&model);
        server.expect("POST", EVENTS).await.echo();
        server.nothing_more().await;
    })
    .await
    .unwrap_err();
    assert_eq!(modelwright::k8s::controller::ReconcileError::label(&error), "fetch");
}

#[tokio::test]
async fn a_spec_that_returns_to_a_removed_version_runs_again() {
    let (mut context, mut server) = context();
    context.caches.versions = Cache::fixed((3..=4).map(numbered).collect());
    let returned = keeping(2, 1);
    play(reconciled(&returned, context), async {
        let call = server.expect("POST", "/apis/batch/v1/namespaces/space/jobs").await;
        assert_eq!(call.body["metadata"]["name"], job(&returned).name_any());
        call.echo();
        let call = server.expect("PATCH", STATUS).await;
        assert_eq!(call.body["status"]["currentVersion"], 4);
        call.echo_model(&returned);
        server.expect("POST", EVENTS).await.echo();
        server.nothing_more().await;
    })
    .await
    .unwrap();
}

fn deleted(mut object: ModelDeployment) -> ModelDeployment {
    object.metadata.deletion_timestamp = Some(serde_json::from_value(json!("2026-11-24T10:00:00Z")).unwrap());
    object
}

fn deleted_model() -> Model {
    let mut model = model("s3://b/a", 1);
    model.metadata.deletion_timestamp = Some(serde_json::from_value(json!("2026-11-24T10:00:00Z")).unwrap());
    model
}

/// The one request that lets the Model go.
async fn expect_release(mut server: ApiServer) {
    let call = server.expect("PATCH", MODEL).await;
    assert_eq!(
        call.body,
        json!({"metadata": {"finalizers": [], "uid": "uid-of-digits", "resourceVersion": "100"}})
    );
    call.object(&deleted_model());
    server.nothing_more().await;
}

#[tokio::test]
async fn deployments_that_are_being_deleted_or_mean_something_else_hold_no_model() {
    let named = |name: &str, model: &str| deployment(name, json!({"model": model}), json!({}));
    let mut elsewhere = named("elsewhere", "digits");
    elsewhere.metadata.namespace = Some("another".into());
    let (mut context, server) = context();
    context.caches.model_deployments =
        Cache::fixed(vec![deleted(named("leaving", "digits")), named("other", "letters"), elsewhere]);
    play(reconciled(&deleted_model(), context), expect_release(server)).await.unwrap();
}

/// The namespace controller deletes kind by kind, in any order; it may come to the Models first.
#[tokio::test]
async fn in_a_namespace_that_goes_away_a_model_goes_with_its_last_deployment() {
    let serving = deployment("serving", json!({"model": "digits", "version": 1}), json!({}));
    let (mut first, mut server) = context();
    first.caches.model_deployments = Cache::fixed(vec![serving.clone()]);
    four_versions(&mut first);
    play(reconciled(&deleted_model(), first), async {
        let call = server.expect("PATCH", STATUS).await;
        assert_eq!(condition(&call.body, "Reconciling")["reason"], "InUse");
        call.echo_model(&deleted_model());
        // nothing may be created there any more, an event neither
        let told = "namespace space is being terminated";
        server.expect("POST", EVENTS).await.error(403, "Forbidden", told);
        server.nothing_more().await;
    })
    .await
    .unwrap();

    for left in [vec![deleted(serving)], vec![]] {
        let (mut next, server) = context();
        next.caches.model_deployments = Cache::fixed(left);
        four_versions(&mut next);
        play(reconciled(&deleted_model(), next), expect_release(server)).await.unwrap();
    }
}

#[tokio::test]
async fn a_deleted_model_whose_spec_is_invalid_or_whose_run_is_under_way_goes_too() {
    let mut invalid = deleted_model();
    invalid.spec = model("nonsense", 1).spec;
    let (context_, server) = context();
    play(reconciled(&invalid, context_), expect_release(server)).await.unwrap();

    let (mut running, server) = context();
    running.caches.jobs = Cache::fixed(vec![job(&model("s3://b/a", 1))]);
    play(reconciled(&deleted_model(), running), async {
        let mut server = server;
        // a Job without a pod: its warnings are read, nothing is written
        server.expect("GET", "/api/v1/namespaces/space/events").await.object(&listed(&json!([])));
        expect_release(server).await;
    })
    .await
    .unwrap();
}
