//! Objects of every state with the health that Argo CD should see in them, as `tests/chart/health` reads them. Their status
//! is the operator's own, so a check that no longer fits it fails there.

use kube::{Resource, ResourceExt as _};
use modelwright::{
    api::{Model, ModelStatus},
    model::status::ModelState,
    problem::Problem,
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    deployment_fixtures::deployment,
    deployment_status::health_table,
    fixtures::{model, version},
    golden::compare,
    model_status,
};

#[derive(Serialize)]
struct Example {
    state: String,
    health: String,
    object: Value,
}

fn example<K>(state: &str, health: &str, object: &K) -> Example
where
    K: Resource<DynamicType = ()> + Serialize,
{
    Example { state: state.into(), health: health.into(), object: serde_json::to_value(object).unwrap() }
}

fn deployments() -> Vec<Example> {
    let new = deployment(json!({"model": "digits"}));
    let mut examples = vec![example("just made", "Progressing", &new)];
    for (state, case, _, phase, _) in health_table() {
        let mut object = new.clone();
        object.status = Some(case.status());
        let health = if phase == "Paused" { "Suspended" } else { phase };
        examples.push(example(state, health, &object));
        // what is said of an earlier generation may be over
        if state == "rolled back" {
            object.metadata.generation = Some(3);
            examples.push(example("rolled back, and changed since", "Progressing", &object));
        }
    }
    examples
}

fn models() -> Vec<Example> {
    let problem = |reason: &str| Problem { reason: reason.into(), message: "words".into() };
    let running = |reason: Option<&str>| ModelState::Running { problem: reason.map(problem), started: None };
    let new = model("s3://b/a", 3);
    let cases: [(&str, &str, ModelState, Option<u64>); 9] = [
        ("imported", "Healthy", ModelState::Resolved { version: 2, made: true, score: None }, None),
        ("is being imported", "Progressing", running(None), None),
        ("is being imported, a version is current", "Progressing", running(None), Some(1)),
        ("suspended", "Suspended", running(Some("Suspended")), None),
        ("waits for a Secret", "Progressing", running(Some("SecretNotFound")), None),
        ("failed", "Degraded", ModelState::Failed(model_status::failure()), None),
        ("failed, a version stays current", "Degraded", ModelState::Failed(model_status::failure()), Some(1)),
        ("somebody must act", "Degraded", ModelState::Blocked(problem("InvalidSpec")), None),
        ("a write that is tried again", "Progressing", ModelState::Unwritten(problem("Unwritten")), Some(1)),
    ];
    let with = |status: ModelStatus| Model { status: Some(status), ..new.clone() };
    let mut examples = vec![example("just made", "Progressing", &new)];
    examples.extend(cases.map(|(name, health, state, current)| {
        example(name, health, &with(model_status::status(&new, &state, current, 0)))
    }));
    examples
}

#[test]
fn golden_objects_of_every_state_are_what_argo_cd_is_asked_about() {
    let version = version(&model("s3://b/a", 1), 1, 'a', 1);
    assert_eq!(version.name_any(), "digits-v1");
    let mut examples = deployments();
    examples.extend(models());
    examples.push(example("made", "Healthy", &version));
    compare("argocd-health", &examples);
}
