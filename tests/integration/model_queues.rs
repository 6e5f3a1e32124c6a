//! Runs in queues of Kueue: what Kueue says of them is told in the Model's status, and how often it is asked.

use std::{sync::Arc, time::Duration};

use k8s_openapi::{
    api::batch::v1::Job,
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::{SignedDuration, Timestamp},
};
use kube::{ResourceExt as _, runtime::controller::Action};
use modelwright::{
    api::Model,
    clock::Clock,
    k8s::cache::Cache,
    model::{
        plan::{Step, plan_model},
        reconcile,
        snapshot::Snapshot,
    },
    problem::Problem,
};
use serde_json::{Value, json};

use crate::{
    fixtures::{finished, job, pod, runs, snapshot, trained_model, valid},
    model_scenarios::{EVENTS, STATUS, condition},
    scenario::{context, play},
};

const WORKLOADS: &str = "/apis/kueue.x-k8s.io/v1beta2/namespaces/space/workloads";
const SHORT: &str = "couldn't assign flavors to pod set main: insufficient unused quota for pods in flavor cpu, 1 more needed";
const PREEMPTED: &str =
    "Preempted to accommodate a workload (UID: 1) due to prioritization in the ClusterQueue";
const TOO_LATE: &str = "Exceeded the PodsReady timeout space/job-digits";

fn queued() -> (Model, Job) {
    let model = trained_model(json!({"run": {"queueName": "team-a"}}), 1);
    let mut job = job(&model);
    job.spec.as_mut().unwrap().suspend = Some(true);
    (model, job)
}

fn status(conditions: &[(&str, &str, &str, &str)], timeouts: u32) -> Value {
    let condition = |(type_, status, reason, message): &(&str, &str, &str, &str)| json!({"type": type_, "status": status, "reason": reason, "message": message, "observedGeneration": 1});
    let stopped = json!({"reason": "PodsReadyTimeout", "underlyingCause": "WaitForStart", "count": timeouts});
    let other = json!({"reason": "Preempted", "underlyingCause": "", "count": 7});
    let evictions = if timeouts > 0 { json!([other, stopped]) } else { json!([other]) };
    json!({"conditions": conditions.iter().map(condition).collect::<Vec<_>>(), "schedulingStats": {"evictions": evictions}})
}

fn told(model: &Model, snapshot: &Snapshot) -> Option<Problem> {
    match plan_model(model, &valid(model), snapshot).step {
        Step::Follow { problem } => problem,
        step => panic!("{step:?}"),
    }
}

#[test]
fn what_kueue_says_of_a_run_is_told_in_words_for_people() {
    let (model, job) = queued();
    let pending = ("QuotaReserved", "False", "Pending", SHORT);
    let preempted = ("Evicted", "True", "Preempted", PREEMPTED);
    let late = ("Evicted", "True", "PodsReadyTimeout", TOO_LATE);
    let before = ("Evicted", "False", "QuotaReserved", "Previously: whatever");
    for (conditions, timeouts, reason, parts, not) in [
        (vec![], 0, "Suspended", vec!["Kueue's queue team-a", "kubectl describe workloads"], "quota"),
        (vec![pending], 0, "Suspended", vec!["waits for quota in Kueue's queue team-a", SHORT], "failure"),
        (vec![pending, before], 0, "Suspended", vec!["waits for quota"], "whatever"),
        (
            vec![preempted, ("QuotaReserved", "False", "Pending", PREEMPTED)],
            0,
            "Suspended",
            vec!["queue team-a", PREEMPTED, "no failure"],
            "; now:",
        ),
        (
            vec![preempted, pending],
            0,
            "Suspended",
            vec![PREEMPTED, "; now: couldn't assign flavors"],
            "waits for",
        ),
        (
            vec![late, pending],
            3,
            "PodsReadyTimeout",
            vec!["waitForPodsReady.timeout", "3 times", "spec.training.run.activeDeadlineSeconds"],
            "no failure",
        ),
        (
            vec![
                (
                    "Evicted",
                    "True",
                    "DeactivatedDueToRequeuingLimitExceeded",
                    "The workload exceeded the limit",
                ),
                pending,
            ],
            3,
            "PodsReadyTimeout",
            vec!["3 times", "spec.active"],
            "admitted again",
        ),
        (
            vec![("Evicted", "True", "Deactivated", "The workload is deactivated")],
            0,
            "Suspended",
            vec!["Deactivated: The workload is deactivated", "spec.active"],
            "admitted again",
        ),
    ] {
        let mut snapshot = snapshot(vec![], vec![job.clone()], vec![]);
        let workload = serde_json::from_value(status(&conditions, timeouts)).unwrap();
        snapshot.workloads = [(job.uid().unwrap(), workload)].into();
        let problem = told(&model, &snapshot).unwrap();
        assert_eq!(problem.reason, reason);
        for part in parts {
            assert!(problem.message.contains(part), "{part} is missing in: {}", problem.message);
        }
        assert!(!problem.message.contains(not), "{}", problem.message);
    }
}

#[test]
fn a_run_that_was_stopped_for_its_pod_warns_also_while_it_runs_again() {
    let (model, mut job) = queued();
    job.spec.as_mut().unwrap().suspend = Some(false);
    let active = pod(&job, json!({"phase": "Pending", "initContainerStatuses": [runs("train")]}));
    for (timeouts, warned) in [(0, false), (2, true)] {
        let mut snapshot = snapshot(vec![], vec![job.clone()], vec![active.clone()]);
        let workload = status(&[("QuotaReserved", "True", "QuotaReserved", "in cq")], timeouts);
        snapshot.workloads = [(job.uid().unwrap(), serde_json::from_value(workload).unwrap())].into();
        let problem = told(&model, &snapshot);
        assert_eq!(problem.is_some_and(|problem| problem.reason == "PodsReadyTimeout"), warned);
    }
}

/// Kueue is asked of the one Job, less and less often; without it, or the right to ask, the run is told of all the same.
#[tokio::test(start_paused = true)]
async fn kueue_is_asked_of_a_queued_job_less_and_less() {
    let now: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
    for (waited, is_there, seconds) in [(10, true, 5), (400, true, 100), (20_000, false, 600)] {
        let (mut context, mut server) = context();
        context.clock = Clock::following(now);
        let (model, job) = queued();
        let mut job = finished(job, "Suspended", "JobSuspended");
        for condition in job.status.as_mut().unwrap().conditions.as_mut().unwrap() {
            condition.last_transition_time = Some(Time(now - SignedDuration::from_secs(waited)));
        }
        let uid = job.uid().unwrap();
        context.caches.jobs = Cache::fixed(vec![job]);
        let reconcile = Box::pin(reconcile(Arc::new(model.clone()), Arc::new(context)));
        let action = play(reconcile, async {
            let call = server.expect("GET", WORKLOADS).await;
            assert!(call.query.contains(&format!("kueue.x-k8s.io%2Fjob-uid%3D{uid}")), "{}", call.query);
            if is_there {
                let workload = json!({
                    "apiVersion": "kueue.x-k8s.io/v1beta2", "kind": "Workload", "metadata": {"name": "job-digits"},
                    "status": status(&[("QuotaReserved", "False", "Pending", SHORT)], 0),
                });
                call.object(&json!({
                    "apiVersion": "kueue.x-k8s.io/v1beta2", "kind": "WorkloadList", "metadata": {}, "items": [workload],
                }));
            } else {
                call.error(404, "NotFound", "the server could not find the requested resource");
            }
            let call = server.expect("PATCH", STATUS).await;
            let waiting = condition(&call.body, "Reconciling");
            assert_eq!(waiting["reason"], "Suspended");
            let message = waiting["message"].as_str().unwrap();
            assert!(message.contains("Kueue's queue team-a") && message.contains(SHORT) == is_there, "{message}");
            call.echo_model(&model);
            server.expect("POST", EVENTS).await.echo();
            server.nothing_more().await;
        })
        .await
        .unwrap();
        assert_eq!(action, Action::requeue(Duration::from_secs(seconds)), "after {waited} s");
    }
}
