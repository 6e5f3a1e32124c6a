//! What is done next for a Model: every branch of the plan.

use std::sync::Arc;

use kube::ResourceExt as _;
use modelwright::{
    api::{
        Model, ModelStatus, Scheduling,
        name::{GENERATION_ANNOTATION, SELECTED_GENERATION_ANNOTATION, SPEC_HASHES_ANNOTATION},
    },
    context::Settings,
    model::{
        build::build_job,
        plan::{Plan, Step, plan_model},
        snapshot::Snapshot,
        versions::current_version,
    },
};
use proptest::prelude::*;
use serde_json::json;

use crate::fixtures::{
    ended, failed_pod, finished, job, job_name, model, pod, settings, snapshot, succeeded_pod, valid, version,
};

const A: &str = "s3://bucket/a.onnx";
const B: &str = "s3://bucket/b.onnx";

fn plan(model: &Model, snapshot: &Snapshot) -> Plan {
    plan_model(model, &valid(model), snapshot)
}

#[test]
fn a_new_spec_starts_a_run() {
    assert_eq!(plan(&model(A, 1), &Snapshot::default()).step, Step::Start);
}

#[test]
fn a_kept_version_of_the_spec_is_used_without_a_job() {
    let model = model(A, 1);
    let plan = plan(&model, &snapshot(vec![version(&model, 1, 'a', 1)], vec![], vec![]));
    let Step::Use { version, stamp } = plan.step else { panic!("{:?}", plan.step) };
    assert_eq!((version.spec.version, stamp), (1, None));
}

#[test]
fn a_reverted_spec_selects_the_version_that_it_had() {
    let (reverted, other) = (model(A, 3), model(B, 2));
    let snapshot = snapshot(vec![version(&reverted, 1, 'a', 1), version(&other, 2, 'b', 2)], vec![], vec![]);
    assert_eq!(current_version(&reverted, &snapshot), Some(2));
    let plan = plan(&reverted, &snapshot);
    let Step::Use { version, stamp } = plan.step else { panic!("{:?}", plan.step) };
    assert_eq!((version.spec.version, stamp), (1, Some(3)));
}

#[test]
fn a_stamp_is_above_all_others_after_a_restore_that_reset_the_generation() {
    let (reverted, other) = (model(A, 1), model(B, 1));
    let snapshot = snapshot(vec![version(&reverted, 1, 'a', 5), version(&other, 2, 'b', 9)], vec![], vec![]);
    let Step::Use { stamp, .. } = plan(&reverted, &snapshot).step else { panic!() };
    assert_eq!(stamp, Some(10));
}

#[test]
fn an_annotated_hash_resolves_too() {
    let (here, there) = (model(A, 2), model(B, 1));
    let mut version = version(&there, 1, 'a', 1);
    version
        .annotations_mut()
        .insert(SPEC_HASHES_ANNOTATION.into(), format!("v1-x,{}", valid(&here).spec_hash));
    let plan = plan(&here, &snapshot(vec![version], vec![], vec![]));
    assert!(matches!(plan.step, Step::Use { .. }), "{:?}", plan.step);
}

#[test]
fn a_version_of_somebody_else_is_not_used() {
    let model = model(A, 1);
    let mut foreign = version(&model, 1, 'a', 1);
    foreign.metadata.owner_references.as_mut().unwrap()[0].uid = "another".into();
    let mut handmade = version(&model, 2, 'a', 1);
    handmade.metadata.owner_references = None;
    handmade.metadata.labels = None;
    let snapshot = snapshot(vec![foreign, handmade], vec![], vec![]);
    let plan = plan(&model, &snapshot);
    assert_eq!((plan.step, plan.adopt.len()), (Step::Start, 0));
    assert_eq!(current_version(&model, &snapshot), None);
}

#[test]
fn a_restored_version_without_an_owner_is_adopted_and_used() {
    let model = model(A, 1);
    let mut restored = version(&model, 1, 'a', 1);
    restored.metadata.owner_references = None;
    let plan = plan(&model, &snapshot(vec![restored], vec![], vec![]));
    assert!(matches!(plan.step, Step::Use { .. }));
    assert_eq!(plan.adopt.len(), 1);
}

#[test]
fn a_running_job_is_followed() {
    let model = model(A, 1);
    let plan = plan(&model, &snapshot(vec![], vec![job(&model)], vec![]));
    assert_eq!(plan.step, Step::Follow { problem: None });
    assert_eq!(plan.run.unwrap().status.job, job_name(&model));
    assert!(plan.delete.is_empty());
}

#[test]
fn a_success_with_new_bytes_makes_the_next_version() {
    let model = model(A, 4);
    let job = finished(job(&model), "Complete", "CompletionsReached");
    let pod = succeeded_pod(&job, 'c');
    let mut snapshot =
        snapshot(vec![version(&crate::fixtures::model(B, 1), 2, 'b', 3)], vec![job], vec![pod]);
    let Step::Record { number, stamp, .. } = plan(&model, &snapshot).step else { panic!() };
    assert_eq!((number, stamp), (3, 4));
    snapshot.highest_revision = 7;
    let Step::Record { number, .. } = plan(&model, &snapshot).step else { panic!() };
    assert_eq!(number, 8, "a number that a revision serves is not used again");
    let mut remembering = model.clone();
    remembering.status = Some(ModelStatus { latest_version: Some(11), ..ModelStatus::default() });
    let Step::Record { number, .. } = plan(&remembering, &snapshot).step else { panic!() };
    assert_eq!(number, 12, "nor one that the status remembers");
}

#[test]
fn a_success_with_the_bytes_of_a_kept_version_links_to_it() {
    let model = model(A, 4);
    let job = finished(job(&model), "Complete", "CompletionsReached");
    let pod = succeeded_pod(&job, 'b');
    let plan = plan(
        &model,
        &snapshot(vec![version(&crate::fixtures::model(B, 1), 2, 'b', 6)], vec![job], vec![pod]),
    );
    let Step::Link { version, hashes, stamp } = plan.step else { panic!("{:?}", plan.step) };
    assert_eq!((version.spec.version, hashes, stamp), (2, valid(&model).spec_hash, 7));
}

#[test]
fn a_failure_is_final_until_the_spec_changes() {
    let model = model(A, 2);
    let job = finished(job(&model), "Failed", "PodFailurePolicy");
    let pod =
        failed_pod(&job, 64, r#"{"failed":{"reason":"DigestMismatch","message":"expected aa, got bb"}}"#);
    let snapshot = snapshot(vec![], vec![job], vec![pod]);
    let Step::GiveUp(failure) = plan(&model, &snapshot).step else { panic!() };
    assert_eq!((failure.reason.as_str(), failure.phase.as_str()), ("DigestMismatch", "fetch"));
    let mut edited = model.clone();
    edited.metadata.generation = Some(3);
    assert!(matches!(plan(&edited, &snapshot).step, Step::Restart { .. }), "it came back to this spec");
}

/// A training of hours that an upgrade of the chart overtakes: its pod knows the store by the address that is read only now.
#[test]
fn a_run_from_before_the_store_asked_for_a_token_is_made_again_once() {
    let model = model(A, 2);
    let refused = |job: &k8s_openapi::api::batch::v1::Job, words: &str| {
        let told = json!({"failed": {"reason": "UnexpectedStatus", "message": words}}).to_string();
        pod(job, json!({"phase": "Failed", "containerStatuses": [ended("publish", 64, &told)]}))
    };
    let next = |job: k8s_openapi::api::batch::v1::Job, words: &str, store_wants_tokens: bool| {
        let job = finished(job, "Failed", "PodFailurePolicy");
        let pod = refused(&job, words);
        plan(&model, &Snapshot { store_wants_tokens, ..snapshot(vec![], vec![job], vec![pod]) }).step
    };
    let words =
        "http://store/v2/a/blobs/uploads/ answered 405 Method Not Allowed, where success was expected";
    let step = next(job(&model), words, true);
    let Step::Restart { why, .. } = step else { panic!("{step:?}") };
    assert!(why.contains("token"), "{why}");
    let gives_up = |step: Step| assert!(matches!(step, Step::GiveUp(_)), "{step:?}");
    gives_up(next(job(&model), words, false));
    gives_up(next(job(&model), "the proof is none", true));
    let settings = Settings { store_push_host: Some("store:5001".into()), ..settings() };
    let mut with_token = build_job(&valid(&model), &settings, false);
    with_token.metadata.uid = job(&model).metadata.uid;
    gives_up(next(with_token, words, true));
}

#[test]
fn new_scheduling_replaces_a_run_that_waits_and_leaves_one_that_started() {
    let before = model(A, 1);
    let mut after = model(A, 2);
    after.spec.scheduling =
        Some(Scheduling { priority_class_name: Some("high".into()), ..Scheduling::default() });
    let job = job(&before);
    let waiting = pod(&job, json!({"phase": "Pending"}));
    let running = pod(
        &job,
        json!({"phase": "Pending", "initContainerStatuses": [
        {"name": "fetch", "image": "image", "imageID": "", "ready": false, "restartCount": 0, "state": {"running": {}}}]}),
    );
    assert!(matches!(
        plan(&after, &snapshot(vec![], vec![job.clone()], vec![waiting])).step,
        Step::Restart { .. }
    ));
    assert!(matches!(plan(&after, &snapshot(vec![], vec![job], vec![running])).step, Step::Follow { .. }));
}

#[test]
fn a_running_job_of_another_spec_is_deleted_and_three_finished_ones_stay() {
    let present = model(A, 9);
    let mut jobs = vec![job(&model(B, 8))];
    for number in 0..5 {
        let mut old =
            finished(job(&model(&format!("s3://bucket/{number}"), 1)), "Complete", "CompletionsReached");
        old.metadata.creation_timestamp =
            Some(serde_json::from_value(json!(format!("2026-11-2{number}T00:00:00Z"))).unwrap());
        jobs.push(old);
    }
    let running = jobs[0].name_any();
    let oldest = [jobs[1].name_any(), jobs[2].name_any()];
    let mut deleted: Vec<_> =
        plan(&present, &snapshot(vec![], jobs, vec![])).delete.iter().map(|job| job.name_any()).collect();
    let mut expected = vec![running, oldest[0].clone(), oldest[1].clone()];
    deleted.sort();
    expected.sort();
    assert_eq!(deleted, expected);
}

#[test]
fn a_job_of_somebody_else_is_neither_followed_nor_deleted() {
    let model = model(A, 1);
    let mut foreign = job(&model);
    foreign.metadata.owner_references.as_mut().unwrap()[0].uid = "another".into();
    let plan = plan(&model, &snapshot(vec![], vec![foreign], vec![]));
    assert_eq!(
        (plan.step, plan.delete.len()),
        (Step::Start, 0),
        "creating it will say that the name is taken"
    );
}

proptest! {
    /// Whatever happened before, a spec that a kept version carries never starts a run, and the version that is used
    /// has the highest stamp after it was stamped.
    #[test]
    fn a_kept_spec_never_runs_again(
        stamps in proptest::collection::vec(0_i64..20, 1..6), wanted in 0_usize..6, generation in 1_i64..20,
        with_job: bool, failed: bool, tried in 1_i64..20,
    ) {
        let uri = |number: usize| format!("s3://bucket/{number}.onnx");
        let wanted = wanted % stamps.len();
        let present = model(&uri(wanted), generation);
        let versions: Vec<_> = stamps.iter().enumerate().map(|(number, stamp)| {
            let digest = char::from_digit(u32::try_from(number).unwrap(), 16).unwrap();
            version(&model(&uri(number), 1), number as u64 + 1, digest, *stamp)
        }).collect();
        let mut jobs = Vec::new();
        if with_job {
            let mut job = job(&present);
            job.annotations_mut().insert(GENERATION_ANNOTATION.into(), tried.to_string());
            jobs.push(if failed { finished(job, "Failed", "BackoffLimitExceeded") } else { job });
        }
        let mut snapshot = snapshot(versions, jobs, vec![]);
        let Step::Use { version, stamp } = plan(&present, &snapshot).step else { panic!("a run") };
        prop_assert_eq!(version.spec.version, wanted as u64 + 1);
        if let Some(stamp) = stamp {
            let stamped = Arc::make_mut(&mut snapshot.versions[wanted]);
            stamped.annotations_mut().insert(SELECTED_GENERATION_ANNOTATION.into(), stamp.to_string());
        }
        prop_assert_eq!(current_version(&present, &snapshot), Some(wanted as u64 + 1));
        let again = plan(&present, &snapshot).step;
        let settled = matches!(again, Step::Use { stamp: None, .. });
        prop_assert!(settled, "{:?}", again);
    }
}
