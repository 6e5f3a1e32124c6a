//! What a user sees of a Model, and which events.

use modelwright::{
    api::{ConditionStatus, Model, ModelStatus, model::RunFailure},
    model::{
        plan::plan_model,
        status::{Inputs, ModelState, events, model_status},
    },
    problem::Problem,
};

use crate::fixtures::{model, snapshot, valid};

pub fn failure() -> RunFailure {
    RunFailure {
        reason: "DigestMismatch".into(),
        message: "expected aa, got bb".into(),
        phase: "fetch".into(),
        time: "2026-11-24T10:00:20Z".into(),
    }
}

pub fn status(model: &Model, state: &ModelState, current: Option<u64>, second: i8) -> ModelStatus {
    let plan = plan_model(model, &valid(model), &snapshot(vec![], vec![], vec![]));
    model_status(&Inputs {
        model,
        plan: Some(&plan),
        state,
        refused: None,
        current_version: current,
        score: None,
        latest_version: current,
        now: format!("2026-11-24T10:00:{second:02}Z").parse().unwrap(),
    })
}

fn table(status: &ModelStatus) -> Vec<(&str, ConditionStatus, &str)> {
    status
        .conditions
        .iter()
        .map(|condition| (condition.type_.as_str(), condition.status, condition.reason.as_str()))
        .collect()
}

#[test]
fn the_health_table_of_the_design_holds() {
    use ConditionStatus::{False, True};
    let running = ModelState::Running { problem: None, started: None };
    let problem = Problem { reason: "SecretNotFound".into(), message: "Secret x".into() };
    let waiting = ModelState::Running { problem: Some(problem.clone()), started: None };
    for (state, current, expected) in [
        (running.clone(), None, vec![("Ready", False, "Importing"), ("Reconciling", True, "Importing")]),
        (running, Some(1), vec![("Ready", True, "Importing"), ("Reconciling", True, "Importing")]),
        (waiting, None, vec![("Ready", False, "SecretNotFound"), ("Reconciling", True, "SecretNotFound")]),
        (
            ModelState::Resolved { version: 2, made: true, score: None },
            Some(1),
            vec![("Ready", True, "VersionReady")],
        ),
        (
            ModelState::Failed(failure()),
            Some(1),
            vec![("Ready", True, "DigestMismatch"), ("Stalled", True, "DigestMismatch")],
        ),
        (
            ModelState::Failed(failure()),
            None,
            vec![("Ready", False, "DigestMismatch"), ("Stalled", True, "DigestMismatch")],
        ),
        (
            ModelState::Blocked(problem),
            None,
            vec![("Ready", False, "SecretNotFound"), ("Stalled", True, "SecretNotFound")],
        ),
    ] {
        assert_eq!(table(&status(&model("s3://b/a", 3), &state, current, 0)), expected, "{state:?}");
    }
}

#[test]
fn the_same_outcome_gives_the_same_status_at_any_time() {
    let mut model = model("s3://b/a", 3);
    let state = ModelState::Failed(failure());
    let first = status(&model, &state, Some(1), 0);
    model.status = Some(first.clone());
    assert_eq!(status(&model, &state, Some(1), 30), first);
    assert!(events(&first, &first, &state).is_empty());
}

#[test]
fn a_new_version_is_current_and_latest_at_once_and_clears_the_failure() {
    let mut model = model("s3://b/a", 3);
    model.status = Some(status(&model, &ModelState::Failed(failure()), Some(1), 0));
    let next = status(&model, &ModelState::Resolved { version: 2, made: true, score: None }, Some(1), 1);
    assert_eq!(
        (next.current_version, next.latest_version, next.last_failure.clone()),
        (Some(2), Some(2), None)
    );
    assert_eq!(next.observed_generation, Some(3));
    let events = events(
        &model.status.clone().unwrap(),
        &next,
        &ModelState::Resolved { version: 2, made: true, score: None },
    );
    assert_eq!(events.iter().map(|event| event.reason).collect::<Vec<_>>(), ["VersionCreated"]);
}

#[test]
fn a_reverted_spec_keeps_the_highest_number_as_latest() {
    let next = status(
        &model("s3://b/a", 3),
        &ModelState::Resolved { version: 1, made: false, score: None },
        Some(2),
        1,
    );
    assert_eq!((next.current_version, next.latest_version), (Some(1), Some(2)));
}

#[test]
fn a_failure_keeps_its_detail_when_its_pods_are_gone() {
    let mut model = model("s3://b/a", 3);
    model.status = Some(status(&model, &ModelState::Failed(failure()), None, 0));
    let blank = RunFailure { reason: "PodFailurePolicy".into(), message: "exit code 64".into(), ..failure() };
    let next = status(&model, &ModelState::Failed(blank), None, 9);
    assert_eq!(next, model.status.unwrap());
}

#[test]
fn a_failure_says_what_to_do_next() {
    let next = status(&model("s3://b/a", 3), &ModelState::Failed(failure()), None, 0);
    let message = &next.conditions[1].message;
    assert!(message.contains("expected aa, got bb") && message.contains("spec.rerun"), "{message}");
}

#[test]
fn events_tell_transitions_only() {
    let model = model("s3://b/a", 3);
    let started = ModelState::Running { problem: None, started: Some("digits-1".into()) };
    let first = status(&model, &started, None, 0);
    let reasons = |previous: &ModelStatus, next: &ModelStatus, state: &ModelState| {
        events(previous, next, state).iter().map(|event| event.reason).collect::<Vec<_>>()
    };
    assert_eq!(reasons(&ModelStatus::default(), &first, &started), ["RunStarted"]);
    let waiting = ModelState::Running {
        problem: Some(Problem { reason: "ImagePullFailed".into(), message: "m".into() }),
        started: None,
    };
    let second = status(&model, &waiting, None, 1);
    assert_eq!(reasons(&first, &second, &waiting), ["RunWaiting"]);
    let again = ModelState::Running {
        problem: Some(Problem { reason: "ImagePullFailed".into(), message: "other words".into() }),
        started: None,
    };
    let third = status(&model, &again, None, 2);
    assert!(reasons(&second, &third, &again).is_empty(), "the same reason in other words is no event");
    let failed = ModelState::Failed(failure());
    assert_eq!(reasons(&third, &status(&model, &failed, None, 3), &failed), ["RunFailed"]);
}
