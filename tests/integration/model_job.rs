//! What a Model's run says of itself, from Jobs, pods and warnings.

use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use serde_json::{Value, json};

use crate::fixtures::{ended, failed_pod, finished, job, model, pod, runs, snapshot, succeeded_pod, waits};
use modelwright::{
    model::{
        run::{Run, RunState, read_run},
        snapshot::{Snapshot, Warning},
    },
    problem::Problem,
};

fn run(status: Value, warnings: &[(&str, &str, &str)]) -> Run {
    let job = job(&model("s3://bucket/a.onnx", 1));
    let mut snapshot = snapshot(vec![], vec![job.clone()], vec![pod(&job, status)]);
    warn(&mut snapshot, warnings);
    read_run(&job, &snapshot)
}

fn warn(snapshot: &mut Snapshot, warnings: &[(&str, &str, &str)]) {
    snapshot.warnings = warnings
        .iter()
        .map(|(uid, reason, message)| Warning {
            uid: (*uid).into(),
            reason: (*reason).into(),
            message: (*message).into(),
        })
        .collect();
}

fn problem_of(run: &Run) -> Problem {
    match &run.state {
        RunState::Active { problem: Some(problem), .. } => problem.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_failed_pull_is_told_in_the_same_words_while_the_kubelet_tries_and_backs_off() {
    let cause = "failed to resolve image: not found";
    let trying =
        json!({"phase": "Pending", "initContainerStatuses": [waits("fetch", "ErrImagePull", cause)]});
    let message = format!("Back-off pulling image \"image\": ErrImagePull: {cause}");
    let backing_off =
        json!({"phase": "Pending", "initContainerStatuses": [waits("fetch", "ImagePullBackOff", &message)]});
    let problem = problem_of(&run(trying, &[]));
    assert_eq!(problem, problem_of(&run(backing_off, &[])));
    assert_eq!(problem.reason, "ImagePullFailed");
    assert!(problem.message.contains("container fetch") && problem.message.contains(cause), "{problem:?}");
}

#[test]
fn an_unschedulable_pod_passes_the_schedulers_words_on() {
    let words = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.";
    let status = json!({"phase": "Pending", "conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": words}]});
    let problem = problem_of(&run(status, &[]));
    assert_eq!(problem.reason, "Unschedulable");
    assert!(problem.message.contains(words));
}

#[test]
fn a_missing_claim_is_told_by_name() {
    let status = json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False",
        "reason": "Unschedulable", "message": "0/1 nodes are available: persistentvolumeclaim \"models\" not found."}]});
    let problem = problem_of(&run(status, &[]));
    assert_eq!(problem.reason, "ClaimNotFound");
    assert!(problem.message.contains("models"));
}

#[test]
fn a_missing_secret_is_told_by_name_from_the_kubelets_warning() {
    let status =
        json!({"phase": "Pending", "initContainerStatuses": [waits("fetch", "PodInitializing", "")]});
    let message = "MountVolume.SetUp failed for volume \"credentials\" : secret \"modelwright-s3\" not found";
    let problem = problem_of(&run(status.clone(), &[("uid-of-pod", "FailedMount", message)]));
    assert_eq!(problem.reason, "SecretNotFound");
    assert!(problem.message.contains("Secret modelwright-s3"), "{problem:?}");
    let other = run(status, &[("another", "FailedMount", message)]);
    assert_eq!(other.state, RunState::Active { started: false, problem: None });
}

/// A run is `Pending` for as long as its init containers are at work, and the API server keeps warnings for an hour.
#[test]
fn what_was_mended_before_a_container_started_is_not_told() {
    let message = "MountVolume.SetUp failed for volume \"credentials\" : secret \"modelwright-s3\" not found";
    for containers in
        [json!([runs("fetch")]), json!([ended("fetch", 0, ""), waits("train", "PodInitializing", "")])]
    {
        let status = json!({"phase": "Pending", "initContainerStatuses": containers});
        let run = run(status, &[("uid-of-pod", "FailedMount", message)]);
        assert_eq!(run.state, RunState::Active { started: true, problem: None });
    }
}

#[test]
fn a_container_that_cannot_start_is_told_with_the_kubelets_reason() {
    let status = json!({"phase": "Pending", "initContainerStatuses": [waits("fetch", "CreateContainerConfigError", "why")]});
    assert_eq!(problem_of(&run(status, &[])).reason, "CreateContainerConfigError");
}

#[test]
fn a_job_whose_pods_are_refused_says_why() {
    let job = job(&model("s3://bucket/a.onnx", 1));
    let mut snapshot = snapshot(vec![], vec![job.clone()], vec![]);
    let uid = job.metadata.uid.clone().unwrap();
    warn(&mut snapshot, &[(&uid, "FailedCreate", "exceeded quota: pods")]);
    let problem = problem_of(&read_run(&job, &snapshot));
    assert_eq!(problem.reason, "PodsRefused");
    assert!(problem.message.contains("exceeded quota"));
}

#[test]
fn a_retry_says_what_it_is_a_retry_of() {
    let job = job(&model("s3://bucket/a.onnx", 1));
    let failed =
        failed_pod(&job, 75, r#"{"failed":{"reason":"Unreachable","message":"store: connection refused"}}"#);
    let run = read_run(&job, &snapshot(vec![], vec![job.clone()], vec![failed]));
    let problem = problem_of(&run);
    assert_eq!(problem.reason, "Retrying");
    assert!(problem.message.contains("store: connection refused"), "{problem:?}");
}

#[test]
fn the_phase_follows_the_containers() {
    let running = |name: &str| json!({"name": name, "image": "i", "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {}}});
    let fetching = run(json!({"phase": "Pending", "initContainerStatuses": [running("fetch")]}), &[]);
    assert_eq!(fetching.status.phase, "Fetching");
    let publishing = run(
        json!({"phase": "Running", "initContainerStatuses": [crate::fixtures::ended("fetch", 0, "")],
            "containerStatuses": [running("publish")]}),
        &[],
    );
    assert_eq!(publishing.status.phase, "Publishing");
    assert_eq!(run(json!({"phase": "Pending"}), &[]).status.phase, "Pending");
}

#[test]
fn a_success_carries_both_reports() {
    let job = finished(job(&model("s3://bucket/a.onnx", 1)), "Complete", "CompletionsReached");
    let run = read_run(&job, &snapshot(vec![], vec![job.clone()], vec![succeeded_pod(&job, 'c')]));
    let RunState::Succeeded(reports) = run.state else { panic!("{run:?}") };
    assert_eq!(*reports, crate::fixtures::reports('c'));
}

#[test]
fn a_failure_without_a_report_is_told_from_the_exit_code_and_the_log() {
    for (exit_code, message, reason) in [
        (1, "thread 'main' panicked", "ContainerFailed"),
        (64, r#"{"failed":{"reason":"NotOnnx","message":"no"}}"#, "NotOnnx"),
        (64, r#"{"succeeded":{}}"#, "ContainerFailed"),
    ] {
        let job = finished(job(&model("s3://bucket/a.onnx", 1)), "Failed", "PodFailurePolicy");
        let pods = vec![failed_pod(&job, exit_code, message)];
        let run = read_run(&job, &snapshot(vec![], vec![job.clone()], pods));
        let RunState::Failed(failure) = run.state else { panic!("{run:?}") };
        assert_eq!((failure.reason.as_str(), failure.phase.as_str()), (reason, "fetch"), "{message}");
    }
}

#[test]
fn a_failure_waits_for_the_words_of_its_pod() {
    let job = finished(job(&model("s3://bucket/a.onnx", 1)), "Failed", "PodFailurePolicy");
    let before = failed_pod(&job, 75, r#"{"failed":{"reason":"Unreachable","message":"no route"}}"#);
    let mut late = pod(&job, json!({"phase": "Running"}));
    late.metadata.name = Some("z-the-last".into());
    let with = |late: &Pod| {
        read_run(&job, &snapshot(vec![], vec![job.clone()], vec![before.clone(), late.clone()])).state
    };
    assert_eq!(with(&late), RunState::Settling, "the pod's cache is behind the Job's");
    late.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
    assert!(matches!(with(&late), RunState::Failed(_)), "it may be gone with its node");
    let late_job = finished(job.clone(), "Failed", "DeadlineExceeded");
    let running = pod(&late_job, json!({"phase": "Running"}));
    let run = read_run(&late_job, &snapshot(vec![], vec![late_job.clone()], vec![running]));
    assert!(matches!(run.state, RunState::Failed(_)), "the Job ended it: {run:?}");
}

#[test]
fn an_eviction_has_the_time_of_the_job_until_the_containers_have_theirs() {
    let job = finished(job(&model("s3://bucket/a.onnx", 1)), "Failed", "BackoffLimitExceeded");
    let evicted = pod(&job, json!({"phase": "Failed", "reason": "Evicted", "message": "the disk is full."}));
    let run = read_run(&job, &snapshot(vec![], vec![job.clone()], vec![evicted]));
    let RunState::Failed(failure) = run.state else { panic!("{run:?}") };
    assert_eq!((failure.reason.as_str(), failure.time.as_str()), ("Evicted", "2026-11-24T10:00:21Z"));
}

#[test]
fn an_unreadable_success_report_is_a_failure_and_no_loop() {
    let job = finished(job(&model("s3://bucket/a.onnx", 1)), "Complete", "CompletionsReached");
    let odd = pod(
        &job,
        json!({"phase": "Succeeded",
        "initContainerStatuses": [crate::fixtures::ended("fetch", 0, "done")],
        "containerStatuses": [crate::fixtures::ended("publish", 0, "done")]}),
    );
    let run = read_run(&job, &snapshot(vec![], vec![job.clone()], vec![odd]));
    let RunState::Failed(failure) = run.state else { panic!("{run:?}") };
    assert_eq!(failure.reason, "ReportUnreadable");
}

#[test]
fn a_deadline_is_told_with_the_jobs_words_when_no_pod_tells_more() {
    let job = finished(job(&model("s3://bucket/a.onnx", 1)), "Failed", "DeadlineExceeded");
    let run = read_run(&job, &snapshot(vec![], vec![job.clone()], vec![]));
    let RunState::Failed(failure) = run.state else { panic!("{run:?}") };
    assert_eq!(
        (failure.reason.as_str(), failure.time.as_str()),
        ("DeadlineExceeded", "2026-11-24T10:00:21Z")
    );
}
