//! A run that succeeded and whose pod is gone: what it made is read from the store, and nothing is trained again.

use std::time::Duration;

use k8s_openapi::{
    api::{batch::v1::Job, core::v1::Pod},
    jiff::SignedDuration,
};
use kube::ResourceExt as _;
use modelwright::{
    api::{Model, name::RECALLS_ANNOTATION},
    context::Settings,
    model::{
        build::{build_job, build_recall},
        plan::{Plan, Step, plan_model},
        run::{RunState, report::Reports},
        snapshot::Snapshot,
    },
};
use modelwright_contract::{
    names::{
        CLAIM_DIRECTORY, EARLIER_ENV, FETCHED_DIRECTORY, JOB_UID_LABEL, RUN_ENV, STORE_CREDENTIALS_DIRECTORY,
    },
    publish::PublishConfig,
    report::{MADE_BEFORE, NO_REPORT, Report, RunReport},
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::fixtures::{
    ended, failed_pod, fetch_report, finished, job, model, pod, settings, snapshot, succeeded_pod,
    train_report, trained_model, training_reports, valid, version,
};
pub fn imported() -> Model {
    model("s3://b/a", 1)
}

pub fn training() -> Model {
    trained_model(json!({}), 1)
}

/// The Job of a run that succeeded.
pub fn lost(model: &Model) -> Job {
    finished(job(model), "Complete", "CompletionsReached")
}

pub fn recall(model: &Model, lost: &Job) -> Job {
    let mut recall = build_recall(&valid(model), &settings(), false, lost);
    recall.metadata.uid = Some("uid-of-recall".into());
    recall.metadata.resource_version = Some("301".into());
    recall
}

/// A pod of the Job that recalls, which ended so.
fn ended_pod(recall: &Job, phase: &str, exit_code: i32, told: &str) -> Pod {
    let mut pod =
        pod(recall, json!({"phase": phase, "containerStatuses": [ended("publish", exit_code, told)]}));
    pod.metadata.name = Some("recall-pod".into());
    pod
}

fn told(lost: &Job) -> String {
    serde_json::to_string(&Report::Succeeded(RunReport {
        run: lost.metadata.uid.clone().unwrap(),
        fetch: fetch_report(),
        train: Some(train_report()),
        publish: training_reports('c').publish,
    }))
    .unwrap()
}

fn plan(model: &Model, jobs: Vec<Job>, pods: Vec<Pod>) -> Plan {
    plan_model(model, &valid(model), &snapshot(vec![], jobs, pods))
}

#[test]
fn a_run_whose_pod_is_gone_is_recalled_and_becomes_a_version_without_another_run() {
    let model = training();
    let lost = lost(&model);
    let planned = plan(&model, vec![lost.clone()], vec![]);
    let Step::Recall { job } = planned.step else { panic!("{:?}", planned.step) };
    assert_eq!(job.metadata.uid, lost.metadata.uid);

    let recall = recall(&model, &lost);
    let planned = plan(&model, vec![lost.clone(), recall.clone()], vec![]);
    let Step::Follow { problem: Some(problem) } = planned.step else { panic!("{:?}", planned.step) };
    assert_eq!(problem.reason, "Recalling");
    assert!(planned.delete.is_empty(), "it is no run of another spec");

    let recalled = finished(recall, "Complete", "CompletionsReached");
    let told = ended_pod(&recalled, "Succeeded", 0, &told(&lost));
    let planned = plan(&model, vec![lost.clone(), recalled], vec![told]);
    let Step::Record { number, reports, job, .. } = planned.step else { panic!("{:?}", planned.step) };
    let expected = Reports {
        started_at: "2026-11-24T10:00:00Z".into(),
        finished_at: "2026-11-24T10:00:21Z".into(),
        ..training_reports('c')
    };
    assert_eq!(
        (number, *reports, &job.metadata.uid),
        (1, expected, &lost.metadata.uid),
        "as of the run itself"
    );
}

/// R16: the pod of an attempt that published is lost before anybody saw its end. The one after it finds that in the store.
#[test]
fn a_run_whose_earlier_attempt_published_is_recalled_and_not_trained_again() {
    let model = training();
    let ended_so = |container: &str| {
        let failed = finished(job(&model), "Failed", "PodFailurePolicy");
        let told = json!({"failed": {"reason": MADE_BEFORE, "message": "it is there"}}).to_string();
        let after = |name: &str| name > container;
        let init = ["fetch", "train"].into_iter().filter(|name| !after(name));
        let init: Vec<_> =
            init.map(|name| ended(name, if name == container { 64 } else { 0 }, &told)).collect();
        let pod = pod(&failed, json!({"phase": "Failed", "initContainerStatuses": init}));
        (failed, pod)
    };
    let (failed, pod) = ended_so("fetch");
    let planned = plan(&model, vec![failed.clone()], vec![pod.clone()]);
    let Step::Recall { job } = planned.step else { panic!("{:?}", planned.step) };
    assert_eq!(job.metadata.uid, failed.metadata.uid);
    let recalled = finished(recall(&model, &failed), "Complete", "CompletionsReached");
    let told = ended_pod(&recalled, "Succeeded", 0, &told(&failed));
    let planned = plan(&model, vec![failed.clone(), recalled], vec![pod, told]);
    let Step::Record { reports, job, .. } = planned.step else { panic!("{:?}", planned.step) };
    assert_eq!((&job.metadata.uid, reports.publish), (&failed.metadata.uid, training_reports('c').publish));
    assert!(!reports.finished_at.is_empty(), "it has a time, although its Job did not complete");
    // A container that any image may be is not believed, or it would be recalled and made again for ever.
    let (failed, pod) = ended_so("train");
    let planned = plan(&model, vec![failed], vec![pod]);
    assert!(matches!(planned.step, Step::GiveUp(_)), "{:?}", planned.step);
}

#[test]
fn a_training_looks_for_what_an_earlier_attempt_left_and_an_import_does_not() {
    let fetch = |model: &Model, store: &str| {
        let settings = Settings { store_uri: store.into(), ..settings() };
        let pod = build_job(&valid(model), &settings, false).spec.unwrap().template.spec.unwrap();
        let fetch =
            pod.init_containers.unwrap().into_iter().find(|container| container.name == "fetch").unwrap();
        let told = fetch.env.clone().unwrap().into_iter().find(|variable| variable.name == EARLIER_ENV);
        let told = told.map(|told| serde_json::from_str::<PublishConfig>(&told.value.unwrap()).unwrap());
        let mounts: Vec<_> = fetch.volume_mounts.unwrap().into_iter().map(|mount| mount.mount_path).collect();
        let volumes: Vec<_> = pod.volumes.unwrap().into_iter().map(|volume| volume.name).collect();
        (told, mounts, volumes)
    };
    for store in ["oci://store.example/models", "pvc://artifacts/models"] {
        let (told, mounts, volumes) = fetch(&training(), store);
        let told = told.unwrap();
        assert_eq!((told.store.uri.as_str(), told.recall.as_deref(), told.proof), (store, Some(""), None));
        assert!(told.store_retry_seconds <= 10, "a store that is down delays a first attempt no longer");
        let place = if store.starts_with("oci") { STORE_CREDENTIALS_DIRECTORY } else { CLAIM_DIRECTORY };
        assert_eq!(mounts.iter().filter(|path| *path == place).count(), 1, "{mounts:?} {volumes:?}");
        assert!(fetch(&imported(), store).0.is_none(), "another fetch costs less than to ask");
    }
    // its own claim is mounted in that place
    let model = trained_model(json!({"data": {"uri": "pvc://rows/a.csv", "format": "CSV", "label": "y"}}), 1);
    let (told, mounts, _) = fetch(&model, "pvc://artifacts/models");
    assert_eq!(mounts.iter().filter(|path| *path == CLAIM_DIRECTORY).count(), 1);
    assert!(told.is_none());
    let (told, ..) = fetch(&model, "pvc://rows/models");
    assert!(told.is_some(), "one claim for both");
}

#[test]
fn an_earlier_attempt_that_failed_is_not_waited_for_for_ever() {
    let model = training();
    let lost = lost(&model);
    let failed = failed_pod(&lost, 75, r#"{"failed":{"reason":"Unreachable","message":"no route"}}"#);
    let planned = plan(&model, vec![lost.clone()], vec![failed.clone()]);
    assert!(matches!(planned.step, Step::Recall { .. }), "{:?}", planned.step);
    let mut late = pod(&lost, json!({"phase": "Running"}));
    late.metadata.name = Some("z-the-last".into());
    let planned = plan(&model, vec![lost], vec![failed, late]);
    assert_eq!(planned.step, Step::Follow { problem: None }, "the pod's cache is behind the Job's");
}

#[test]
fn a_store_without_the_report_has_the_run_made_again_and_a_store_that_fails_is_told() {
    let model = training();
    let lost = lost(&model);
    let recall = finished(recall(&model, &lost), "Failed", "PodFailurePolicy");
    let failed = |reason: &str| {
        let told = json!({"failed": {"reason": reason, "message": "so it is"}}).to_string();
        let pod = ended_pod(&recall, "Failed", 64, &told);
        plan(&model, vec![lost.clone(), recall.clone()], vec![pod]).step
    };
    let Step::Restart { job, why } = failed(NO_REPORT) else { panic!() };
    assert_eq!(job.metadata.uid, lost.metadata.uid, "{why}");
    let Step::GiveUp(failure) = failed("Forbidden") else { panic!() };
    assert_eq!((failure.reason.as_str(), failure.phase.as_str()), ("Forbidden", "publish"));
    // A change of the spec that decides no version tries again.
    let mut changed = model.clone();
    changed.metadata.generation = Some(2);
    let pod = ended_pod(&recall, "Failed", 64, r#"{"failed":{"reason":"Forbidden","message":"x"}}"#);
    let planned = plan(&changed, vec![lost.clone(), recall.clone()], vec![pod]);
    let Step::Restart { job, .. } = planned.step else { panic!("{:?}", planned.step) };
    assert_eq!(job.name_any(), recall.name_any());
}

#[test]
fn a_recall_that_meets_a_long_outage_is_tried_again_and_again() {
    let model = training();
    let lost = lost(&model);
    // made at 10:00:21, and known no more since; `after` it failed, and it is now so long after that
    let next_of =
        |lost: &Job, left: &[Pod], (reason, pod): (&str, Option<(i32, &str)>), after: i64, now: i64| {
            let mut recall = finished(recall(&model, lost), "Failed", reason);
            let conditions = recall.status.as_mut().unwrap().conditions.as_mut().unwrap();
            let failed_at = conditions[0].last_transition_time.as_mut().unwrap();
            failed_at.0 += SignedDuration::from_secs(after);
            let now = failed_at.0 + SignedDuration::from_secs(now);
            let told =
                |reason: &str| json!({"failed": {"reason": reason, "message": "no route"}}).to_string();
            let pods = pod.map(|(code, reason)| ended_pod(&recall, "Failed", code, &told(reason)));
            let pods = pods.into_iter().chain(left.iter().cloned()).collect();
            let seen = snapshot(vec![], vec![lost.clone(), recall], pods);
            plan_model(&model, &valid(&model), &Snapshot { now, ..seen }).step
        };
    let next = |reason: &str, pod: Option<(i32, &str)>, after: i64, now: i64| {
        next_of(&lost, &[], (reason, pod), after, now)
    };
    for (reason, pod) in [
        ("BackoffLimitExceeded", Some((75, "Unreachable"))),
        ("BackoffLimitExceeded", Some((75, "StoreFailed"))),
        ("BackoffLimitExceeded", Some((137, "DiskFailed"))),
        ("BackoffLimitExceeded", None),
        ("DeadlineExceeded", Some((143, "Unreachable"))),
        ("DeadlineExceeded", None),
        // its pod is gone, and with it what it said
        ("PodFailurePolicy", None),
    ] {
        let Step::Wait { problem, time } = next(reason, pod, 100, 5) else {
            panic!("{reason} {pod:?}: {:?}", next(reason, pod, 100, 5))
        };
        assert_eq!((problem.reason.as_str(), time), ("Recalling", Duration::from_secs(95)));
        assert!(problem.message.contains("is tried again: "), "{}", problem.message);
        let Step::Restart { job, .. } = next(reason, pod, 100, 100) else { panic!("{reason} {pod:?}") };
        assert!(job.name_any().ends_with("-read"), "never the run itself: {}", job.name_any());
    }
    let unreachable = Some((75, "Unreachable"));
    // as well of one that an earlier attempt made: that Job has failed
    let failed = finished(job(&model), "Failed", "PodFailurePolicy");
    let told = json!({"failed": {"reason": MADE_BEFORE, "message": "it is there"}}).to_string();
    let made_before =
        pod(&failed, json!({"phase": "Failed", "initContainerStatuses": [ended("fetch", 64, &told)]}));
    for (lost, left) in [(&lost, vec![]), (&failed, vec![made_before])] {
        let waits = [1, 60, 300, 3600, 90_000].map(|after| {
            match next_of(lost, &left, ("BackoffLimitExceeded", unreachable), after, 0) {
                Step::Wait { time, .. } => time.as_secs(),
                step => panic!("{step:?}"),
            }
        });
        assert_eq!(waits, [60, 60, 300, 600, 600], "they grow, up to a bound");
    }
    let Step::Wait { time, .. } = next("BackoffLimitExceeded", unreachable, 90, -90_000) else { panic!() };
    assert_eq!(time.as_secs(), 600, "a clock that is behind");
    let Step::GiveUp(failure) = next("PodFailurePolicy", Some((64, "Forbidden")), 100, 90_000) else {
        panic!("what publish itself says cannot be mended is not tried again")
    };
    assert_eq!(failure.reason, "Forbidden");
}

#[test]
fn what_was_read_for_an_earlier_job_of_the_same_spec_is_not_this_ones() {
    let model = training();
    let lost = lost(&model);
    let mut earlier = lost.clone();
    earlier.metadata.uid = Some("uid-of-an-earlier-one".into());
    let recall = finished(recall(&model, &earlier), "Complete", "CompletionsReached");
    let told = ended_pod(&recall, "Succeeded", 0, &told(&earlier));
    let name = recall.name_any();
    let planned = plan(&model, vec![lost, recall], vec![told]);
    assert!(matches!(planned.step, Step::Recall { .. }), "{:?}", planned.step);
    // The one that reads for this one has its name.
    assert_eq!(planned.delete.iter().map(|job| job.name_any()).collect::<Vec<_>>(), [name]);
}

#[test]
fn the_job_that_recalls_has_publish_alone_and_each_run_says_what_it_is_known_by() {
    let model = training();
    let lost = lost(&model);
    let recall = recall(&model, &lost);
    assert_eq!(recall.annotations().get(RECALLS_ANNOTATION), lost.metadata.uid.as_ref());
    let pod = recall.spec.unwrap().template.spec.unwrap();
    assert_eq!((pod.init_containers, pod.containers.len()), (None, 1));
    let told = pod.containers[0].env.as_ref().unwrap()[0].value.clone().unwrap();
    let told: PublishConfig = serde_json::from_str(&told).unwrap();
    assert_eq!((told.recall, told.proof), (lost.metadata.uid.clone(), None));
    let run = lost.spec.unwrap().template.spec.unwrap();
    let variables = run.containers[0].env.clone().unwrap();
    let known = variables.iter().find(|variable| variable.name == RUN_ENV).unwrap();
    let path = known.value_from.as_ref().unwrap().field_ref.as_ref().unwrap().field_path.clone();
    assert_eq!(path, format!("metadata.labels['{JOB_UID_LABEL}']"));
}

#[test]
fn what_fetch_says_to_publish_no_other_container_can_write() {
    let pod = job(&training()).spec.unwrap().template.spec.unwrap();
    let containers: Vec<_> = pod.init_containers.unwrap().into_iter().chain(pod.containers).collect();
    let mounts_of = |name: &str| {
        let container = containers.iter().find(|container| container.name == name).unwrap();
        container.volume_mounts.clone().unwrap()
    };
    let noted = |name: &str| mounts_of(name).into_iter().find(|mount| mount.mount_path == FETCHED_DIRECTORY);
    let (written, read) = (noted("fetch").unwrap(), noted("publish").unwrap());
    assert_eq!((&written.name, read.read_only), (&read.name, Some(true)));
    for name in ["train", "prove"] {
        assert!(mounts_of(name).iter().all(|mount| mount.name != written.name), "{name} has it too");
    }
    let volumes = pod.volumes.unwrap();
    let volume = volumes.iter().find(|volume| volume.name == written.name).unwrap();
    assert!(volume.empty_dir.as_ref().unwrap().size_limit.is_some(), "{volume:?}");
}

fn any_pod() -> impl Strategy<Value = Option<(&'static str, i32, Value)>> {
    let message = prop_oneof![
        Just(Value::Null),
        Just(json!({"failed": {"reason": "NoReport", "message": "x"}})),
        Just(json!({"failed": {"reason": "Unreachable", "message": "x"}})),
        Just(json!({"succeeded": {}})),
    ];
    let phase = prop_oneof![Just("Pending"), Just("Running"), Just("Succeeded"), Just("Failed")];
    prop::option::of((phase, prop_oneof![Just(0), Just(64), Just(75), Just(137)], message))
}

proptest! {
    /// Whatever is seen of a run that succeeded, something follows: a wait only while a pod or a Job is still to end.
    #[test]
    fn nothing_settles_for_ever(
        of_run in any_pod(),
        of_recall in any_pod(),
        ends in 0..4_u8,
        why in prop_oneof![Just("BackoffLimitExceeded"), Just("DeadlineExceeded"), Just("PodFailurePolicy")],
    ) {
        let model = training();
        let lost = lost(&model);
        let recalling = recall(&model, &lost);
        let recalling = match ends {
            0 => None,
            1 => Some(recalling),
            2 => Some(finished(recalling, "Complete", "CompletionsReached")),
            _ => Some(finished(recalling, "Failed", why)),
        };
        let mut pods = Vec::new();
        let mut to_end = ends == 1;
        if let Some((phase, code, message)) = &of_run {
            to_end |= ["Pending", "Running"].contains(phase);
            pods.push(pod(&lost, json!({"phase": phase,
                "initContainerStatuses": [ended("fetch", 0, "")],
                "containerStatuses": [ended("publish", *code, &message.to_string())]})));
        }
        if let (Some((phase, code, message)), Some(recalling)) = (&of_recall, &recalling) {
            to_end |= ["Pending", "Running"].contains(phase);
            pods.push(ended_pod(recalling, phase, *code, &message.to_string()));
        }
        let planned = plan(&model, std::iter::once(lost).chain(recalling).collect(), pods);
        let waits = matches!(planned.step, Step::Follow { .. });
        prop_assert!(!waits || to_end, "{:?}", planned.step);
        prop_assert!(!matches!(planned.step, Step::Start), "no second run beside the first");
        // The end of it is only what a container said, or what nobody can read.
        if let Step::GiveUp(failure) = &planned.step {
            let of_a_container = why == "PodFailurePolicy" && failure.reason != why;
            prop_assert!(ends < 3 || of_a_container || failure.reason == "ReportUnreadable", "{failure:?}");
        }
    }
}

#[test]
fn a_version_that_is_there_asks_for_no_recall() {
    let model = training();
    let lost = lost(&model);
    let seen = snapshot(vec![version(&model, 1, 'c', 1)], vec![lost.clone()], vec![]);
    assert!(matches!(plan_model(&model, &valid(&model), &seen).step, Step::Use { .. }));
    // and a pod that is still there is read itself
    let model = crate::fixtures::model("s3://bucket/a.onnx", 1);
    let done = finished(job(&model), "Complete", "CompletionsReached");
    let seen = snapshot(vec![], vec![done.clone()], vec![succeeded_pod(&done, 'c')]);
    let plan = plan_model(&model, &valid(&model), &seen);
    assert!(matches!(plan.run.unwrap().state, RunState::Succeeded(_)));
    assert!(matches!(plan.step, Step::Record { .. }));
}
