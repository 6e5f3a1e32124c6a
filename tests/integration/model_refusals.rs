//! One write of a Model that is refused stops itself, and what it justifies: the others are made, and the status tells it.

use kube::ResourceExt as _;
use modelwright::{context::Context, k8s::cache::Cache};
use serde_json::{Value, json};

use crate::{
    fixtures::{finished, job, job_name, model, pod, version},
    model_scenarios::{EVENTS, JOBS, STATUS, VERSIONS, condition, reconciled},
    scenario::{ApiServer, context, play},
};

const MODEL: &str = "/apis/modelwright.dev/v1alpha1/namespaces/space/models/digits";

/// A run of another spec that is under way.
fn runs_for_another_spec(context: &mut Context) -> String {
    let old = job(&model("s3://b/other", 1));
    context.caches.pods = Cache::fixed(vec![pod(&old, json!({"phase": "Running"}))]);
    context.caches.jobs = Cache::fixed(vec![old.clone()]);
    format!("{JOBS}/{}", old.name_any())
}

async fn expect_refused(server: &mut ApiServer, method: &str, path: &str) {
    server.expect(method, path).await.error(403, "Forbidden", "a policy says no");
}

/// Of the condition of this type: whether it holds, and its reason, where it tells of the refusal.
fn told(body: &Value, type_: &str) -> (String, String) {
    let condition = condition(body, type_);
    assert!(condition["message"].as_str().unwrap().contains("a policy says no"), "{body}");
    let text = |name: &str| condition[name].as_str().unwrap().to_owned();
    (text("status"), text("reason"))
}

fn is(status: &str, reason: &str) -> (String, String) {
    (status.to_owned(), reason.to_owned())
}

/// A spec that returns to a version is the way back, whatever becomes of the run that it no longer asks for.
#[tokio::test]
async fn a_version_is_used_though_the_run_of_another_spec_cannot_be_deleted() {
    let (mut context, mut server) = context();
    let back = model("s3://b/a", 3);
    let path = runs_for_another_spec(&mut context);
    context.caches.versions =
        Cache::fixed(vec![version(&back, 1, 'a', 1), { version(&model("s3://b/b", 2), 2, 'b', 2) }]);
    play(reconciled(&back, context), async {
        expect_refused(&mut server, "DELETE", &path).await;
        let call = server.expect("PATCH", &format!("{VERSIONS}/digits-v1")).await;
        assert_eq!(call.body["metadata"]["annotations"]["modelwright.dev/selected-generation"], "3");
        call.object(&version(&back, 1, 'a', 3));
        let call = server.expect("PATCH", STATUS).await;
        assert_eq!(call.body["status"]["currentVersion"], 1);
        assert_eq!(told(&call.body, "Ready"), is("True", "VersionReady"));
        call.echo_model(&back);
        assert_eq!(server.expect("POST", EVENTS).await.body["reason"], "VersionSelected");
    })
    .await
    .unwrap_err();
}

/// Two runs at once are worse than one that waits (R7).
#[tokio::test]
async fn no_run_is_started_beside_one_that_cannot_be_deleted() {
    let (mut context, mut server) = context();
    let after = model("s3://b/b", 2);
    let path = runs_for_another_spec(&mut context);
    play(reconciled(&after, context), async {
        expect_refused(&mut server, "DELETE", &path).await;
        let call = server.expect("PATCH", STATUS).await;
        assert_eq!(told(&call.body, "Stalled"), is("True", "Refused"));
        call.echo_model(&after);
        server.expect("POST", EVENTS).await.echo();
        server.nothing_more().await;
    })
    .await
    .unwrap_err();
}

#[tokio::test]
async fn a_run_is_started_though_an_old_job_or_a_restored_version_is_refused() {
    let after = model("s3://b/new", 9);
    let ended = |number: u32| {
        let mut old = finished(job(&model(&format!("s3://b/{number}"), 1)), "Failed", "BackoffLimitExceeded");
        let made = format!("2026-11-24T10:0{number}:00Z");
        old.metadata.creation_timestamp = serde_json::from_value(json!(made)).unwrap();
        old
    };
    let mut restored = version(&model("s3://b/a", 1), 1, 'a', 1);
    restored.metadata.owner_references = None;
    for is_restored in [false, true] {
        let (mut context, mut server) = context();
        if is_restored {
            context.caches.versions = Cache::fixed(vec![restored.clone()]);
        } else {
            context.caches.jobs = Cache::fixed((0..4).map(ended).collect());
        }
        play(reconciled(&after, context), async {
            if is_restored {
                server.owner_stays(&after).await;
                expect_refused(&mut server, "PATCH", &format!("{VERSIONS}/digits-v1")).await;
            } else {
                let path = format!("{JOBS}/{}", ended(0).name_any());
                expect_refused(&mut server, "DELETE", &path).await;
            }
            let call = server.expect("POST", JOBS).await;
            assert_eq!(call.body["metadata"]["name"], job_name(&after));
            call.echo();
            let call = server.expect("PATCH", STATUS).await;
            assert_eq!(told(&call.body, "Reconciling"), is("True", "Importing"));
            call.echo_model(&after);
            assert_eq!(server.expect("POST", EVENTS).await.body["reason"], "RunStarted");
        })
        .await
        .unwrap_err();
    }
}

/// To put it on, and to take it off.
#[tokio::test]
async fn a_finalizer_that_is_refused_is_told() {
    let mut new = model("s3://b/a", 1);
    new.metadata.finalizers = None;
    let mut deleted = model("s3://b/a", 1);
    deleted.metadata.deletion_timestamp = serde_json::from_value(json!("2026-11-24T10:00:00Z")).unwrap();
    for model in [new, deleted] {
        let (context, mut server) = context();
        play(reconciled(&model, context), async {
            expect_refused(&mut server, "PATCH", MODEL).await;
            let call = server.expect("PATCH", STATUS).await;
            assert_eq!(told(&call.body, "Stalled"), is("True", "Refused"));
            call.echo_model(&model);
            server.expect("POST", EVENTS).await.echo();
            server.nothing_more().await;
        })
        .await
        .unwrap_err();
    }
}
