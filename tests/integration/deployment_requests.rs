//! What a person asks of a rollout: removed once it is done with, and told where it had no effect.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::runtime::controller::Action as Next;
use modelwright::{
    api::{
        ModelDeployment,
        model_deployment::{Action, ActionRequest},
    },
    serving::{
        record::Record,
        rollout::{self, Observed},
    },
};
use serde_json::{Value, json};

use crate::{
    deployment_fixtures::{desired, observed, pod, revision},
    deployment_scenarios::{fresh_look_without_the_set, made, path, paused, reconciled},
    deployment_status::{NEW, OLD, quarantined, rolling, rollout, serving, stable},
    scenario::{ApiServer, context, play},
};

const STATUS: &str = "/apis/modelwright.dev/v1alpha1/namespaces/space/modeldeployments/digits/status";

#[test]
fn why_a_request_had_no_effect_is_said_in_words() {
    let first = || observed([(OLD, revision(Record::default(), 1, vec![pod("a", false)]))]);
    let asked_before = || rollout(Record { request: Some("id".into()), ..quarantined() }, pod("c", false));
    let why = |action, revision: &str, target: &str, observed: Observed| {
        let request = ActionRequest { id: "id".into(), action, revision: revision.into() };
        let observed = Observed { request: Some(request.clone()), ..observed };
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let decision = rollout::decide(&desired(Some(target), 2), &observed, now);
        assert_eq!(decision.request_done, Some(request));
        decision.void
    };
    for (action, revision, target, observed, words) in [
        (Action::Abort, OLD, NEW, rollout(rolling(90), pod("c", false)), Some("0000000002 by now")),
        (Action::Abort, OLD, OLD, serving(stable()), Some("it is stable: no rollout is under way")),
        (Action::Abort, OLD, OLD, first(), Some("there is no stable revision to go back to")),
        (Action::Abort, NEW, NEW, rollout(quarantined(), pod("c", false)), Some("its rollout has ended")),
        (Action::Retry, NEW, NEW, rollout(rolling(90), pod("c", false)), Some("it is not refused")),
        (Action::Retry, NEW, NEW, asked_before(), Some("with the id id has taken effect")),
        (Action::Abort, NEW, NEW, rollout(rolling(90), pod("c", false)), None),
        (Action::Retry, NEW, NEW, rollout(quarantined(), pod("c", false)), None),
    ] {
        let told = why(action, revision, target, observed);
        let is_so = words.map_or(told.is_none(), |words| told.iter().any(|told| told.contains(words)));
        assert!(is_so, "{action:?} of {revision}: {told:?}, not {words:?}");
    }
}

/// A settled ModelDeployment whose rollout a person wants to stop: there is none.
fn asked() -> ModelDeployment {
    let mut object = paused();
    let request = json!({"id": "one", "action": "Abort", "revision": "another"});
    object.status = serde_json::from_value(json!({"request": request})).unwrap();
    object
}

/// Lets it be told that the request had no effect, and then be removed; what comes next is the status.
async fn expect_removal(server: &mut ApiServer, revision: Value, words: &str) {
    let traffic = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "digits-traffic"}, "data": {"traffic.json": "{\"drain\":[]}"}});
    fresh_look_without_the_set(server, vec![revision], &traffic).await;
    let call = server.next().await;
    assert_eq!(call.body["reason"], "RequestVoid");
    assert!(call.body["note"].as_str().unwrap().starts_with(words), "{}", call.body);
    call.echo();
    let call = server.expect("PATCH", STATUS).await;
    assert_eq!(call.body[0]["op"], "test");
    assert_eq!(call.body[1], json!({"op": "remove", "path": "/status/request"}));
    call.object(&paused());
    server.expect("POST", &path("apis/apps/v1", "replicasets", "")).await.echo();
}

#[tokio::test]
async fn a_request_that_had_no_effect_is_removed_and_told() {
    let object = asked();
    let (mut context, mut server) = context();
    let world = made(&object, &mut context, true);
    let action = play(reconciled(&object, context), async {
        let words =
            format!("Abort of revision another had no effect: the spec asks for revision {}", world.short);
        expect_removal(&mut server, serde_json::to_value(&world.revision).unwrap(), &words).await;
        // the removal moved the resourceVersion
        server.expect("PATCH", STATUS).await.error(409, "Conflict", "the object has been modified");
        server.nothing_more().await;
    })
    .await
    .unwrap();
    assert_eq!(action, Next::requeue(Duration::from_millis(250)));
}

/// Nothing tells when a policy or an API server that is away will take a status: that is tried with backoff, request or not.
#[tokio::test]
async fn a_status_that_is_refused_beside_a_request_is_a_failure() {
    let object = asked();
    let (mut context, mut server) = context();
    let world = made(&object, &mut context, true);
    let outcome = play(reconciled(&object, context), async {
        expect_removal(&mut server, serde_json::to_value(&world.revision).unwrap(), "Abort of").await;
        server.expect("PATCH", STATUS).await.error(403, "Forbidden", "a policy says no");
        server.nothing_more().await;
    })
    .await;
    assert!(outcome.unwrap_err().to_string().contains("a policy says no"));
}
