//! What people are told of a ModelDeployment: each transition once, whatever comes of the reconcile that recorded it.

use std::collections::BTreeMap;

use modelwright::{
    api::ModelDeploymentStatus,
    k8s::{cache::Cache, events::Event},
    serving::{
        record::Record,
        rollout::Observed,
        status::{Blocked, Inputs, blocked, deployment_status, transition},
        version::Missing,
    },
};
use serde_json::json;

use crate::{
    deployment_fixtures::{data, deployment, observed, pod, revision},
    deployment_scenarios::{
        LooksAgain as _, World, around, fresh_look_without_the_set, made, one_version, path, paused,
        reconciled, recorded,
    },
    deployment_status::{Case, NEW, OLD, case, problem, quarantined, rolling, rollout, serving, stable},
    scenario::{ApiServer, context, play},
};

#[test]
fn every_outcome_is_an_event_once() {
    let reasons = |case: &Case| -> Vec<_> {
        let recorded = |inputs: &Inputs<'_>| {
            let told = inputs.decision.records.iter().filter_map(|(name, record)| {
                let before = inputs.observed.revisions.get(name).and_then(|revision| revision.record.outcome);
                transition(inputs.data, name, before, record)
            });
            told.map(|happening| (happening.reason, happening.warning)).collect()
        };
        case.snapshot(recorded)
    };
    let first = case(Some(OLD), 1, observed([(OLD, revision(Record::default(), 0, vec![]))]));
    assert_eq!(reasons(&first), [("RolloutStarted", false)]);
    let done = case(Some(OLD), 2, serving(rolling(90)));
    assert_eq!(reasons(&done), [("Promoted", false)]);
    let failed = case(Some(NEW), 2, rollout(rolling(-900), pod("c", false)));
    assert_eq!(reasons(&failed), [("RolledBack", true)]);
    let back = case(Some(OLD), 2, rollout(rolling(90), pod("c", false)));
    assert_eq!(reasons(&back), [("Superseded", false)]);
    let still = case(Some(OLD), 2, serving(stable()));
    assert_eq!(reasons(&still), []);
}

#[test]
fn an_event_names_the_version_and_the_revision() {
    let data = [(NEW.to_owned(), data(2))].into();
    let told = transition(&data, NEW, None, &rolling(90)).unwrap();
    assert_eq!(told.message, "version 2 (revision 0000000002) rolls out");
}

/// What a case is told to be blocked by, after a status.
fn told(case: &Case, before: ModelDeploymentStatus) -> Option<Event> {
    let mut deployment = deployment(json!({"model": "digits"}));
    deployment.status = Some(before);
    case.look_as(&deployment, &BTreeMap::new(), |inputs| blocked(inputs, &deployment_status(inputs)))
}

/// A quarantined target is Blocked only for who comes back to it: the end of its rollout was an event already.
#[test]
fn what_blocks_is_an_event_once_unless_it_is_the_end_of_a_rollout() {
    let case = case(Some(NEW), 2, rollout(quarantined(), pod("c", false)));
    let returned = told(&case, ModelDeploymentStatus::default()).unwrap().message;
    assert!(returned.starts_with("ProgressDeadlineExceeded: version 2 (revision 0000000002)"), "{returned}");
    let status = ModelDeploymentStatus { conditions: vec![], ..case.status() };
    assert_eq!(told(&case, status.clone()), None, "it was the target when its rollout ended");
    let invalid = case.with(Blocked::Invalid("spec.replicas is -1".into()));
    assert_eq!(told(&invalid, status).unwrap().message, "InvalidSpec: spec.replicas is -1");
    assert_eq!(told(&invalid, invalid.status()), None, "it is told once");
}

/// Both are applied at once, as in the quickstart: that the first version takes its time is no warning, that it does not
/// come is one.
#[test]
fn a_wait_for_a_version_is_an_event_only_once_it_is_in_vain() {
    let waits = |waits: bool| {
        case(None, 1, Observed::default())
            .with(Blocked::Missing(Missing { problem: problem("VersionNotReady"), waits }))
    };
    assert_eq!(told(&waits(true), ModelDeploymentStatus::default()), None);
    let in_vain = told(&waits(false), waits(true).status()).unwrap();
    assert_eq!((in_vain.warning, in_vain.message.as_str()), (true, "VersionNotReady: words"));
    assert_eq!(told(&waits(false), waits(false).status()), None);
}

/// Answers a reconcile up to the record of the promotion.
async fn up_to_the_promotion(server: &mut ApiServer, world: &World) {
    let revision = serde_json::to_value(&world.revision).unwrap();
    let traffic = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "digits-traffic"},
        "data": {"traffic.json": "{\"drain\":[]}"}});
    fresh_look_without_the_set(server, vec![revision], &traffic).await;
    let call = server.next().await;
    assert_eq!(recorded(&call.body).promoted, Some(1));
    call.object(&world.revision);
}

#[tokio::test]
async fn what_was_recorded_is_told_also_where_a_later_write_is_refused() {
    let object = paused();
    let (mut context, mut server) = context();
    let world = made(&object, &mut context, false);
    let outcome = play(reconciled(&object, context), async {
        up_to_the_promotion(&mut server, &world).await;
        let call = server.expect("POST", &path("apis/apps/v1", "replicasets", "")).await;
        call.error(403, "Forbidden", "exceeded quota");
        let call = server.next().await;
        assert!(call.path.ends_with("/status"), "{}", call.path);
        call.object(&object);
        for reason in ["Promoted", "Blocked"] {
            let call = server.next().await;
            assert_eq!(call.body["reason"], reason);
            call.echo();
        }
        server.nothing_more().await;
    })
    .await;
    assert!(outcome.is_err(), "it is tried again");
}

#[tokio::test]
async fn what_was_recorded_is_told_also_where_the_status_is_decided_anew() {
    let object = paused();
    let (mut context, mut server) = context();
    let world = made(&object, &mut context, false);
    play(reconciled(&object, context), async {
        up_to_the_promotion(&mut server, &world).await;
        server.expect("POST", &path("apis/apps/v1", "replicasets", "")).await.echo();
        let call = server.next().await;
        assert!(call.path.ends_with("/status"), "{}", call.path);
        call.error(409, "Conflict", "the object has been modified");
        let call = server.next().await;
        assert_eq!((&call.body["kind"], &call.body["reason"]), (&"Event".into(), &"Promoted".into()));
        call.echo();
        server.nothing_more().await;
    })
    .await
    .looks_again();
}

#[tokio::test]
async fn the_start_of_a_revision_is_told_also_where_the_next_write_is_decided_anew() {
    let object = deployment(json!({"model": "digits", "version": 1, "replicas": 1}));
    let (mut context, mut server) = context();
    context.caches.versions = Cache::fixed(vec![one_version()]);
    play(reconciled(&object, context), async {
        around(&mut server, &object, 1).await.echo();
        server.expect("POST", &path("apis/apps/v1", "replicasets", "")).await.echo();
        server.next().await.error(409, "Conflict", "the object has been modified");
        assert_eq!(server.next().await.body["reason"], "RolloutStarted");
        server.nothing_more().await;
    })
    .await
    .looks_again();
}
