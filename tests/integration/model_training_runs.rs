//! What a training's run says of itself and what is done next: phases, failures, suspension, progress.

use kube::ResourceExt as _;
use modelwright::{
    api::{
        Model, ModelStatus,
        model::{RunFailure, RunProgress},
        name::{KUEUE_QUEUE_LABEL, SUSPENDED_ANNOTATION},
    },
    model::{
        plan::{Plan, Step, plan_model},
        run::{RunState, read_run, report::Reports},
        snapshot::Snapshot,
        status::{Inputs, ModelState, Score, events, model_status},
    },
};
use modelwright_contract::signature::Classes;
use serde_json::{Value, json};

use crate::fixtures::{
    ended, finished, job, model, pod, publish_report, runs, snapshot, train_report, trained_model,
    trained_pod, training_reports, valid, version, waits,
};

fn training() -> Model {
    trained_model(json!({}), 1)
}

fn plan(model: &Model, snapshot: &Snapshot) -> Plan {
    plan_model(model, &valid(model), snapshot)
}

fn phase(init: &[Value], main: &[Value]) -> String {
    let job = job(&training());
    let status = json!({"phase": "Pending", "initContainerStatuses": init, "containerStatuses": main});
    read_run(&job, &snapshot(vec![], vec![job.clone()], vec![pod(&job, status)])).status.phase
}

#[test]
fn the_phase_follows_the_four_containers() {
    let waiting = waits("train", "PodInitializing", "");
    assert_eq!(phase(&[runs("fetch"), waiting.clone()], &[]), "Fetching");
    assert_eq!(
        phase(&[ended("fetch", 0, ""), waiting], &[]),
        "Fetching",
        "until the trainer's image is there"
    );
    assert_eq!(phase(&[ended("fetch", 0, ""), runs("train")], &[]), "Training");
    let trained = [ended("fetch", 0, ""), ended("train", 0, "")];
    assert_eq!(phase(&[trained.as_slice(), &[runs("prove")]].concat(), &[]), "Proving");
    let proven = [trained.as_slice(), &[ended("prove", 0, "")]].concat();
    assert_eq!(phase(&proven, &[runs("publish")]), "Publishing");
}

/// The kubelet says so, whatever the container said of itself before.
#[test]
fn memory_that_runs_out_is_told_with_the_container_its_limit_and_the_field() {
    let of_a_child =
        r#"{"failed":{"reason":"OutOfMemory","message":"the model was killed while it loaded"}}"#;
    for (container, told, part) in [
        ("train", "", "300Mi; raise spec.training.resources.limits.memory"),
        (
            "prove",
            "",
            "300Mi; the model does not load and run in so little; raise spec.run.prove.limits.memory",
        ),
        ("prove", of_a_child, "300Mi; the model does not load and run in so little; raise"),
    ] {
        let mut killed = ended(container, if told.is_empty() { 137 } else { 64 }, told);
        killed["state"]["terminated"]["reason"] = "OOMKilled".into();
        let spec = json!({"resources": {"limits": {"memory": "300Mi"}}});
        let failure = failed(spec, killed, "BackoffLimitExceeded");
        assert_eq!((failure.reason.as_str(), failure.phase.as_str()), ("OutOfMemory", container));
        assert!(failure.message.contains(part), "{part}: {}", failure.message);
    }
}

#[test]
fn what_prove_says_of_a_model_is_passed_on() {
    let told = r#"{"failed":{"reason":"CrashesOnInput","message":"input \"step\" (INT64) filled with 0"}}"#;
    let failure = failed(json!({}), ended("prove", 64, told), "PodFailurePolicy");
    assert_eq!((failure.reason.as_str(), failure.phase.as_str()), ("CrashesOnInput", "prove"));
    assert_eq!(failure.message, "input \"step\" (INT64) filled with 0");
}

/// The failure of a Job whose `train` ended so.
fn failed(spec: Value, ended_so: Value, reason: &str) -> RunFailure {
    let job = finished(job(&trained_model(spec, 1)), "Failed", reason);
    let status = json!({"phase": "Failed", "initContainerStatuses": [ended("fetch", 0, ""), ended_so]});
    let run = read_run(&job, &snapshot(vec![], vec![job.clone()], vec![pod(&job, status)]));
    let RunState::Failed(failure) = run.state else { panic!("{run:?}") };
    failure
}

#[test]
fn a_killed_trainer_says_which_limit_to_raise() {
    for (spec, limit) in [(json!({}), "2Gi"), (json!({"resources": {"limits": {"memory": "8Gi"}}}), "8Gi")] {
        let mut killed = ended("train", 137, "");
        killed["state"]["terminated"]["reason"] = "OOMKilled".into();
        let failure = failed(spec, killed, "BackoffLimitExceeded");
        assert_eq!((failure.reason.as_str(), failure.phase.as_str()), ("OutOfMemory", "train"));
        assert!(
            failure.message.contains(limit)
                && failure.message.contains("spec.training.resources.limits.memory"),
            "{}",
            failure.message
        );
    }
}

#[test]
fn code_that_breaks_off_is_told_by_its_last_line() {
    let log = "Traceback (most recent call last):\n  File \"x\"\nValueError: y contains NaN\n";
    let failure = failed(json!({}), ended("train", 1, log), "BackoffLimitExceeded");
    assert_eq!((failure.reason.as_str(), failure.phase.as_str()), ("TrainFailed", "train"));
    assert!(
        failure.message.contains("exit code 1")
            && failure.message.contains("is: ValueError: y contains NaN;"),
        "{}",
        failure.message
    );
    assert!(!failure.message.contains("Traceback") && failure.message.contains("kubectl logs job/digits-"));
}

#[test]
fn a_report_of_the_trainer_is_passed_on() {
    let told = r#"{"failed":{"reason":"LabelMissing","message":"no column `digit`"}}"#;
    let failure = failed(json!({}), ended("train", 64, told), "PodFailurePolicy");
    assert_eq!((failure.reason.as_str(), failure.message.as_str()), ("LabelMissing", "no column `digit`"));
}

#[test]
fn a_full_disk_is_told_in_the_kubelets_words() {
    let words = "Usage of EmptyDir volume \"work\" exceeds the limit \"21Gi\". ";
    let job = finished(job(&training()), "Failed", "BackoffLimitExceeded");
    let status = json!({"phase": "Failed", "reason": "Evicted", "message": words,
        "initContainerStatuses": [ended("fetch", 0, ""), ended("train", 137, "")]});
    let run = read_run(&job, &snapshot(vec![], vec![job.clone()], vec![pod(&job, status)]));
    let RunState::Failed(failure) = run.state else { panic!("{run:?}") };
    assert_eq!((failure.reason.as_str(), failure.phase.as_str()), ("Evicted", "train"));
    assert!(failure.message.starts_with(words.trim_end_matches(['.', ' '])), "{}", failure.message);
    assert!(
        failure.message.contains("spec.run.volumeSize for its files, which is 4Gi,"),
        "{}",
        failure.message
    );
}

#[test]
fn a_run_out_of_time_says_which_field_to_raise_and_what_failed_before() {
    let spec = json!({"run": {"activeDeadlineSeconds": 60}});
    let failure = failed(spec, ended("train", 1, "boom"), "DeadlineExceeded");
    assert_eq!(failure.reason, "DeadlineExceeded");
    for part in [
        "spec.training.run.activeDeadlineSeconds, which is 60",
        "raise it",
        "train failed: TrainFailed",
        "boom",
    ] {
        assert!(failure.message.contains(part), "{part}: {}", failure.message);
    }
}

#[test]
fn a_success_carries_three_reports_and_an_own_image_may_leave_none() {
    let told = serde_json::to_string(&json!({"succeeded": train_report()})).unwrap();
    for (message, expected) in
        [(told.as_str(), Some(train_report())), ("", None), ("done", None), ("{\"succeeded\":{}}", None)]
    {
        let job = finished(job(&training()), "Complete", "CompletionsReached");
        let run = read_run(&job, &snapshot(vec![], vec![job.clone()], vec![trained_pod(&job, 'c', message)]));
        let RunState::Succeeded(reports) = run.state else { panic!("{run:?}") };
        assert_eq!(
            (reports.train.clone(), reports.publish.clone()),
            (expected, training_reports('c').publish)
        );
    }
}

#[test]
fn a_missed_gate_makes_no_version_and_the_present_one_stays() {
    let model = training();
    let job = finished(job(&model), "Failed", "PodFailurePolicy");
    let told = r#"{"failed":{"reason":"GateMissed","message":"Accuracy is 0.91; the gate needs 0.95: 0.04 are missing"}}"#;
    let status = json!({"phase": "Failed",
        "initContainerStatuses": [ended("fetch", 0, ""), ended("train", 0, "")],
        "containerStatuses": [ended("publish", 64, told)]});
    let older = version(&crate::fixtures::model("s3://b/a", 1), 1, 'a', 1);
    let snapshot = snapshot(vec![older], vec![job.clone()], vec![pod(&job, status)]);
    let plan = plan(&model, &snapshot);
    let Step::GiveUp(failure) = plan.step.clone() else { panic!("{:?}", plan.step) };
    let next = status_of(&model, Some(&plan), &ModelState::Failed(failure), 0);
    let told: Vec<_> = next.conditions.iter().map(|one| (one.type_.as_str(), one.reason.as_str())).collect();
    assert_eq!(told, [("Ready", "GateMissed"), ("Stalled", "GateMissed")]);
    let message = &next.conditions[1].message;
    assert!(message.contains("0.04 are missing") && message.contains("for the same training"), "{message}");
    assert_eq!(next.current_version, Some(1));
}

#[test]
fn a_training_with_the_bytes_of_a_kept_version_links_to_it() {
    let model = training();
    let job = finished(job(&model), "Complete", "CompletionsReached");
    let kept = version(&crate::fixtures::model("s3://b/a", 1), 2, 'c', 1);
    let snapshot = snapshot(vec![kept], vec![job.clone()], vec![trained_pod(&job, 'c', "")]);
    assert!(matches!(plan(&model, &snapshot).step, Step::Link { .. }));
    assert_eq!(publish_report('c').model_digest, training_reports('c').publish.model_digest);
}

#[test]
fn suspension_is_the_operators_only_where_nobody_elses() {
    let (plain, suspended) = (training(), trained_model(json!({"run": {"suspend": true}}), 2));
    let queued = trained_model(json!({"run": {"queueName": "team-a"}}), 2);
    let (running, halted) = (job(&plain), job(&suspended));
    assert_eq!(
        (running.spec.as_ref().unwrap().suspend, halted.spec.as_ref().unwrap().suspend),
        (None, Some(true))
    );
    let step = |model: &Model, job: &k8s_openapi::api::batch::v1::Job| {
        let active = pod(job, json!({"phase": "Pending", "initContainerStatuses": [runs("fetch")]}));
        plan(model, &snapshot(vec![], vec![job.clone()], vec![active])).step
    };
    assert!(matches!(step(&suspended, &running), Step::Suspend { suspend: true, .. }));
    assert!(matches!(step(&plain, &halted), Step::Suspend { suspend: false, .. }));
    assert!(matches!(step(&suspended, &halted), Step::Follow { problem: Some(_) }));
    assert!(matches!(step(&plain, &running), Step::Follow { problem: None }));
    let mut by_hand = halted.clone();
    by_hand.annotations_mut().remove(SUSPENDED_ANNOTATION);
    let Step::Follow { problem: Some(problem) } = step(&plain, &by_hand) else { panic!() };
    assert!(problem.reason == "Suspended" && problem.message.contains("somebody else"), "{problem:?}");
    let mut in_queue = job(&queued);
    assert_eq!(in_queue.labels()[KUEUE_QUEUE_LABEL], "team-a");
    in_queue.spec.as_mut().unwrap().suspend = Some(true);
    let Step::Follow { problem: Some(problem) } = step(&queued, &in_queue) else { panic!() };
    assert!(problem.message.contains("Kueue's queue team-a"), "{problem:?}");
    in_queue.spec.as_mut().unwrap().suspend = Some(false);
    assert!(
        matches!(step(&queued, &in_queue), Step::Follow { problem: None }),
        "admitted: Kueue's own doing"
    );
}

#[test]
fn a_suspended_run_says_so_in_phase_and_reason_and_by_no_warning() {
    let model = trained_model(json!({"run": {"suspend": true}}), 1);
    let job = job(&model);
    let plan = plan(&model, &snapshot(vec![], vec![job], vec![]));
    let Step::Follow { problem } = plan.step.clone() else { panic!("{:?}", plan.step) };
    let state = ModelState::Running { problem, started: None };
    let next = status_of(&model, Some(&plan), &state, 0);
    assert_eq!(next.run.as_ref().unwrap().phase, "Suspended");
    assert_eq!(
        (next.conditions[1].type_.as_str(), next.conditions[1].reason.as_str()),
        ("Reconciling", "Suspended")
    );
    let told = events(&ModelStatus::default(), &next, &state);
    assert_eq!((told.len(), told[0].reason, told[0].warning), (1, "RunSuspended", false));
}

#[test]
fn other_resources_replace_a_run_that_waits_and_other_memory_tries_a_failed_one_again() {
    let (before, after) = (training(), trained_model(json!({"resources": {"limits": {"memory": "8Gi"}}}), 2));
    assert_eq!(valid(&before).spec_hash, valid(&after).spec_hash);
    let job = job(&before);
    let waiting = pod(&job, json!({"phase": "Pending"}));
    assert!(matches!(
        plan(&after, &snapshot(vec![], vec![job.clone()], vec![waiting])).step,
        Step::Restart { .. }
    ));
    let failed = finished(job, "Failed", "BackoffLimitExceeded");
    assert!(matches!(
        plan(&after, &snapshot(vec![], vec![failed.clone()], vec![])).step,
        Step::Restart { .. }
    ));
    assert!(matches!(plan(&before, &snapshot(vec![], vec![failed], vec![])).step, Step::GiveUp(_)));
}

fn status_of(model: &Model, plan: Option<&Plan>, state: &ModelState, second: i8) -> ModelStatus {
    let current = plan.and(Some(1));
    model_status(&Inputs {
        model,
        plan,
        state,
        refused: None,
        current_version: current,
        score: None,
        latest_version: current,
        now: format!("2026-11-24T10:00:{second:02}Z").parse().unwrap(),
    })
}

#[test]
fn a_run_is_told_as_the_training_or_import_that_it_is() {
    for (model, reason, words) in [
        (training(), "Training", "the model is being trained"),
        (model("s3://b/a", 1), "Importing", "the model is being imported"),
    ] {
        let state = ModelState::Running { problem: None, started: Some("digits-1".into()) };
        let next = status_of(&model, None, &state, 0);
        assert_eq!(
            (next.conditions[1].reason.as_str(), next.conditions[1].message.as_str()),
            (reason, words)
        );
        let told = events(&ModelStatus::default(), &next, &state);
        assert!(told[0].message.contains("digits-1") && told[0].message.contains(words), "{told:?}");
    }
}

#[test]
fn the_score_is_that_of_the_metric_that_selected_the_version() {
    let model = training();
    let trained =
        modelwright::model::build::build_version(&valid(&model), 3, &training_reports('c'), &job(&model), 1);
    let evaluation = trained.spec.evaluation.clone().unwrap();
    assert_eq!((evaluation.chosen.as_deref(), evaluation.candidates.len()), (Some("mlp"), 3));
    let score = Score::of(&trained);
    assert_eq!(score, Some(Score { metric: "F1Macro".into(), value: Some("0.9301".into()) }));
    let next = status_of(&model, None, &ModelState::Resolved { version: 3, made: true, score }, 0);
    assert_eq!((next.metric.as_deref(), next.score.as_deref()), (Some("F1Macro"), Some("0.9301")));
    let imported = version(&crate::fixtures::model("s3://b/a", 1), 1, 'a', 1);
    assert_eq!(Score::of(&imported), None);
}

#[test]
fn a_version_has_the_names_of_dimensions_and_classes_within_what_its_object_takes() {
    let model = training();
    let mut reports = training_reports('c');
    let output = &mut reports.publish.signature.outputs[0];
    output.dimensions = vec!["rows".to_owned(), String::new()];
    output.classes = Some(Classes::of((0..300).map(|label| format!("label {label}"))));
    let built = |reports: &Reports| {
        modelwright::model::build::build_version(&valid(&model), 3, reports, &job(&model), 1)
    };
    let tensor = built(&reports).spec.signature.outputs[0].clone();
    assert_eq!(tensor.dimensions, ["rows", ""]);
    let classes = tensor.classes.unwrap();
    assert_eq!((classes.count, classes.labels.len(), classes.labels[0].as_str()), (300, 20, "label 0"));
    // What an earlier release reported names nothing, and what it stored stays as it is.
    let earlier = built(&training_reports('c'));
    let text = serde_json::to_string(&earlier.spec.signature).unwrap();
    assert!(!text.contains("dimensions") && !text.contains("classes"), "{text}");
}

fn progress(done: u64, second: i8) -> RunProgress {
    RunProgress {
        activity: "mlp".into(),
        done,
        total: 3,
        metric: Some("F1Macro".into()),
        best: Some("0.9".into()),
        epoch: None,
        epochs: None,
        loss: None,
        seconds_left: None,
        summary: None,
        time: format!("2026-11-24T10:00:{second:02}Z"),
    }
}

#[test]
fn progress_alone_moves_the_status_at_most_every_ten_seconds() {
    let mut model = training();
    let job = job(&model);
    let at = |model: &Model, read: Option<RunProgress>, second: i8, container: &str| {
        let status = json!({"phase": "Pending", "initContainerStatuses": [runs(container)]});
        let mut snapshot = snapshot(vec![], vec![job.clone()], vec![pod(&job, status)]);
        snapshot.progress = read;
        let plan = plan(model, &snapshot);
        status_of(model, Some(&plan), &ModelState::Running { problem: None, started: None }, second)
    };
    let told = |status: &ModelStatus| {
        let told = status.run.clone().unwrap().progress?;
        assert!(
            told.summary.as_ref().is_some_and(|words| words.contains("of 3 done, F1Macro 0.9")),
            "{told:?}"
        );
        Some(RunProgress { summary: None, ..told })
    };
    let first = at(&model, Some(progress(0, 0)), 0, "train");
    assert_eq!(told(&first), Some(progress(0, 0)));
    model.status = Some(first.clone());
    assert_eq!(at(&model, Some(progress(1, 9)), 9, "train"), first, "too soon");
    assert_eq!(at(&model, None, 30, "train"), first, "no answer");
    assert_eq!(at(&model, Some(progress(0, 30)), 30, "train"), first, "nothing new");
    assert_eq!(told(&at(&model, Some(progress(1, 10)), 10, "train")), Some(progress(1, 10)));
    assert_eq!(told(&at(&model, Some(progress(1, 10)), 10, "publish")), None, "it trains no more");
    let epoch = |epoch: u64, second: i8| RunProgress {
        epoch: Some(epoch),
        epochs: Some(9),
        loss: Some("0.25".into()),
        ..progress(0, second)
    };
    model.status = Some(at(&model, Some(epoch(1, 10)), 10, "train"));
    let next = at(&model, Some(epoch(5, 30)), 30, "train").run.unwrap().progress.unwrap();
    assert_eq!(
        next.summary.as_deref(),
        Some("mlp, 0 of 3 done, epoch 5/9, loss 0.25, F1Macro 0.9, 20s left")
    );
}

#[test]
fn a_failure_of_the_trainer_stays_told_when_its_pods_are_gone() {
    let mut model = training();
    let killed = failed(json!({}), ended("train", 1, "boom"), "BackoffLimitExceeded");
    let done = finished(job(&model), "Failed", "BackoffLimitExceeded");
    let gone = plan(&model, &snapshot(vec![], vec![done], vec![]));
    model.status = Some(status_of(&model, Some(&gone), &ModelState::Failed(killed.clone()), 0));
    let Step::GiveUp(blank) = gone.step.clone() else { panic!() };
    let next = status_of(&model, Some(&gone), &ModelState::Failed(blank), 9);
    assert_eq!(next.last_failure, Some(killed));
    assert_eq!(model.status, Some(next));
}
