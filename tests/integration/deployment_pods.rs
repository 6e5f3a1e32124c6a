//! What a serving pod looks like to a rollout, and what is wrong with it in words for people.

use k8s_openapi::api::{apps::v1::ReplicaSet, core::v1::Pod};
use modelwright::{
    api::name::{LEAVING_ANNOTATION, TRAFFIC_LABEL, TRAFFIC_SERVE},
    serving::pods::{Answer, observe_pod, observe_scale, refusal},
};
use serde_json::{Value, json};

use crate::{
    deployment_fixtures::{data, said, time},
    fixtures::waits,
};

fn pod(status: Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "p", "uid": "u", "labels": {TRAFFIC_LABEL: TRAFFIC_SERVE}}, "status": status,
    }))
    .unwrap()
}

fn running(ready: bool, started: bool) -> Value {
    json!({
        "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}],
        "containerStatuses": [{"name": "serve", "image": "i", "imageID": "", "ready": ready, "restartCount": 0,
            "started": started, "state": {"running": {}}}],
    })
}

fn crashed(container: &str, exit_code: i32, message: &str) -> Value {
    json!({"name": container, "image": "i", "imageID": "", "ready": false, "restartCount": 3,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}},
        "lastState": {"terminated": {"exitCode": exit_code, "reason": "Error", "message": message}}})
}

#[test]
fn what_keeps_a_pod_from_serving_is_told_in_its_own_words() {
    let unscheduled = json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
        "message": "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."}]});
    let report = r#"{"failed":{"reason":"GoldenMismatch","message":"sample 3 differs by 0.2"}}"#;
    let same_pull =
        ["Back-off pulling image \"i\": ErrImagePull: not found", "rpc error: ErrImagePull: not found"];
    // what the server left for an end without words is not about this one
    let forewarned = r#"{"failed":{"reason":"ModelCrashed","message":"ended by a signal"}}"#;
    let mut killed = crashed("serve", 137, forewarned);
    killed["lastState"]["terminated"]["reason"] = "OOMKilled".into();
    for (status, reason, part) in [
        (json!({"containerStatuses": [killed]}), "OOMKilled", "raise spec.resources.limits.memory"),
        (json!({"containerStatuses": [crashed("serve", 136, forewarned)]}), "ModelCrashed", "by a signal"),
        (unscheduled, "Unschedulable", "Insufficient nvidia.com/gpu"),
        (
            json!({"initContainerStatuses": [crashed("fetch", 64, r#"{"failed":{"reason":"DigestMismatch","message":"expected aa, got bb"}}"#)]}),
            "DigestMismatch",
            "container fetch: expected aa, got bb",
        ),
        (json!({"containerStatuses": [crashed("serve", 64, report)]}), "GoldenMismatch", "sample 3 differs"),
        (
            json!({"containerStatuses": [crashed("serve", 101, "line one\nthread panicked\n")]}),
            "Error",
            "exit code 101: thread panicked",
        ),
        (
            json!({"containerStatuses": [waits("serve", "ImagePullBackOff", same_pull[0])]}),
            "ImagePullFailed",
            "cannot pull image: not found",
        ),
        (
            json!({"containerStatuses": [waits("serve", "ErrImagePull", same_pull[1])]}),
            "ImagePullFailed",
            "cannot pull image: not found",
        ),
        (
            json!({"containerStatuses": [waits("serve", "CreateContainerConfigError", "secret missing")]}),
            "CreateContainerConfigError",
            "secret missing",
        ),
    ] {
        let problem = observe_pod(&pod(status.clone()), None, None, true).problem.unwrap();
        assert_eq!(problem.reason, reason, "{status}");
        assert!(problem.message.contains(part), "{}", problem.message);
    }
}

#[test]
fn a_pod_that_only_needs_time_has_no_problem() {
    for status in [
        json!({}),
        json!({"containerStatuses": [waits("serve", "PodInitializing", "")]}),
        json!({"containerStatuses": [waits("serve", "ContainerCreating", "")]}),
        running(false, false),
        running(true, true),
    ] {
        assert_eq!(observe_pod(&pod(status.clone()), None, None, true).problem, None, "{status}");
    }
}

#[test]
fn only_a_pod_that_names_the_digest_and_the_provider_is_verified() {
    let data = data(1);
    let digest = &data.version.model_digest;
    let check = |answers: Option<&Answer>| {
        let pod = observe_pod(&pod(running(true, true)), Some(&data), answers, true);
        (pod.verified, pod.problem.map(|problem| problem.reason))
    };
    assert_eq!(check(said("p", digest, "CPU").get("p")), (true, None));
    assert_eq!(check(said("p", &"d".repeat(64), "CPU").get("p")), (false, Some("WrongAnswer".into())));
    assert_eq!(check(said("p", digest, "CUDA").get("p")), (false, Some("WrongAnswer".into())));
    assert_eq!(check(said("p", digest, "").get("p")), (false, None), "its model is not loaded yet");
    assert_eq!(check(Some(&Answer::Silent("no route".into()))), (false, Some("NoAnswer".into())));
    assert_eq!(check(None), (false, None));
}

#[test]
fn a_fallback_is_verified_only_where_the_spec_allows_it() {
    let mut data = data(1);
    let digest = data.version.model_digest.clone();
    data.execution_providers = vec![modelwright_contract::serving::ExecutionProvider::Cuda];
    assert!(data.check(&digest, "CPU").unwrap_err().contains("allowFallback"));
    data.allow_fallback = true;
    assert_eq!(data.check(&digest, "CPU"), Ok(()));
}

#[test]
fn a_pod_that_was_told_to_leave_says_since_when_and_whether_it_is_drained() {
    let mut leaving = pod(running(false, true));
    leaving.metadata.labels = None;
    leaving.metadata.annotations = Some([(LEAVING_ANNOTATION.to_owned(), time(7).to_string())].into());
    let mut answers = said("p", "d", "CPU");
    if let Some(Answer::Said(said)) = answers.get_mut("p") {
        (said.draining, said.drained) = (true, true);
    }
    let observed = observe_pod(&leaving, None, answers.get("p"), true);
    assert!(!observed.labelled && observed.started && observed.drained);
    assert_eq!(observed.leaving_since, Some(time(7)));
    leaving.metadata.annotations = Some([(LEAVING_ANNOTATION.to_owned(), "yesterday".to_owned())].into());
    assert_eq!(observe_pod(&leaving, None, None, true).leaving_since, None);
}

#[test]
fn a_replica_set_is_settled_when_its_controller_did_what_it_asks_or_cannot() {
    let scale_for = |generation: i64, seen: i64, made: i32, reason: Option<&str>| {
        let refused = |reason| json!({"type": "ReplicaFailure", "status": "True", "reason": reason, "message": "exceeded quota"});
        let conditions: Vec<_> = reason.map(refused).into_iter().collect();
        let set: ReplicaSet = serde_json::from_value(json!({
            "metadata": {"name": "d", "generation": generation},
            "spec": {"replicas": 3, "selector": {}, "template": {}},
            "status": {"observedGeneration": seen, "replicas": made, "conditions": conditions},
        }))
        .unwrap();
        (observe_scale(&set).settled, refusal(&set).map(|problem| problem.message))
    };
    let scale = |generation, seen, made, refused: bool| {
        scale_for(generation, seen, made, refused.then_some("FailedCreate"))
    };
    assert_eq!(scale(2, 2, 3, false), (true, None));
    assert_eq!(scale(2, 1, 3, false), (false, None));
    assert_eq!(scale(2, 2, 2, false), (false, None));
    assert_eq!(scale(2, 2, 0, true), (true, Some("no pod can be made: exceeded quota".into())));
    assert_eq!(scale_for(2, 2, 4, Some("FailedDelete")), (false, None), "one too many, for now");
}
