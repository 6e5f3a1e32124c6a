//! Pods as the state machine sees them. In go pods of the cluster and their own answers; out come readiness, traffic,
//! and what is wrong in words for people. Pure.

use k8s_openapi::{
    api::{
        apps::v1::ReplicaSet,
        core::v1::{ContainerStatus, Pod},
    },
    jiff::Timestamp,
};
use kube::ResourceExt as _;
use modelwright_contract::{report::Report, status::ServeStatus};

use super::{
    build::SERVE,
    revision::RevisionData,
    rollout::{self, Scale},
};
use crate::{
    api::name::{LEAVING_ANNOTATION, TRAFFIC_LABEL, TRAFFIC_SERVE},
    caches::kinds::REPLICA_FAILURE,
    k8s::events::truncated,
    pods::unstarted::{condition, container_statuses, unscheduled, waiting},
    problem::Problem,
};

/// Longest message of a problem, in bytes: it is kept in an annotation and in conditions.
const MAX_MESSAGE: usize = 1000;
/// Reason of a pod that is ready and not behind its Service.
pub const NO_ENDPOINT: &str = "NoEndpoint";
/// The kubelet's reason for a container that was killed at its memory limit.
const OUT_OF_MEMORY: &str = "OOMKilled";

/// What a pod said of itself, if it was asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Its own words.
    Said(ServeStatus),
    /// It did not answer.
    Silent(String),
}

/// A pod as the state machine sees it; `routed` says whether the Service has it.
pub fn observe_pod(
    pod: &Pod,
    data: Option<&RevisionData>,
    answer: Option<&Answer>,
    routed: bool,
) -> rollout::Pod {
    let serve = container_statuses(pod).find(|status| status.name == SERVE);
    let running = serve.is_some_and(|status| {
        status.started == Some(true) && status.state.as_ref().is_some_and(|state| state.running.is_some())
    });
    let ready = condition(pod, "Ready").is_some_and(|condition| condition.status == "True");
    let checked = match (answer, data) {
        // before its model is loaded a pod names no provider, which is no wrong answer
        (Some(Answer::Said(said)), Some(data)) if !said.execution_provider.is_empty() => {
            Some(data.check(&said.model_digest, &said.execution_provider))
        }
        _ => None,
    };
    let drained = match answer {
        Some(Answer::Said(said)) => said.draining && said.drained,
        _ => false,
    };
    let labelled = pod.labels().get(TRAFFIC_LABEL).is_some_and(|value| value == TRAFFIC_SERVE);
    let status = pod.status.as_ref();
    let annotation = |key: &str| pod.annotations().get(key);
    rollout::Pod {
        name: pod.name_any(),
        created: pod.metadata.creation_timestamp.as_ref().map(|time| time.0),
        terminating: pod.metadata.deletion_timestamp.is_some(),
        started: running,
        ready,
        taken_up: status.is_some_and(|status| status.start_time.is_some()),
        labelled,
        routed,
        leaving_since: annotation(LEAVING_ANNOTATION).and_then(|text| text.parse::<Timestamp>().ok()),
        verified: matches!(checked, Some(Ok(()))),
        drained,
        problem: match (checked, answer) {
            (Some(Err(message)), _) => Some(problem("WrongAnswer", message)),
            (_, Some(Answer::Silent(why))) if ready => Some(problem(
                "NoAnswer",
                format!(
                    "pod {} is ready but does not answer the operator on port 9090: {why}; check NetworkPolicies",
                    pod.name_any()
                ),
            )),
            (_, Some(Answer::Said(said))) if !ready => said
                .message
                .as_ref()
                .map(|message| problem("NotReproducible", format!("pod {}: {message}", pod.name_any())))
                .or_else(|| trouble(pod)),
            _ if ready && labelled && !routed => Some(problem(
                NO_ENDPOINT,
                format!(
                    "pod {} is ready, and no EndpointSlice of the Service names it yet: that is up to the cluster's controllers",
                    pod.name_any()
                ),
            )),
            _ if ready => None,
            _ => trouble(pod),
        },
    }
}

/// Replicas of a ReplicaSet, and whether its controller has acted on them.
pub fn observe_scale(set: &ReplicaSet) -> Scale {
    let replicas = set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let status = set.status.clone().unwrap_or_default();
    let seen = status.observed_generation >= set.metadata.generation;
    let replicas = u32::try_from(replicas).unwrap_or_default();
    let made = u32::try_from(status.replicas).unwrap_or_default();
    Scale { replicas, settled: seen && (made == replicas || refused(set).is_some()) }
}

/// Why the cluster makes no pods for a ReplicaSet: a quota, a policy, or that it is being deleted and cannot go.
pub fn refusal(set: &ReplicaSet) -> Option<Problem> {
    if set.metadata.deletion_timestamp.is_some() {
        return Some(problem(
            "ReplicaSetTerminating",
            format!(
                "ReplicaSet {} is being deleted, so it makes no pods, and no other can take its place before it is gone; its finalizers: {}",
                set.name_any(),
                set.finalizers().join(", ")
            ),
        ));
    }
    refused(set)
}

/// What the cluster says of pods that it refuses to make.
fn refused(set: &ReplicaSet) -> Option<Problem> {
    let conditions = set.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let failure = conditions
        .into_iter()
        // the same condition says that a pod could not be deleted
        .filter(|condition| condition.reason.as_deref() != Some("FailedDelete"))
        .find(|condition| condition.type_ == REPLICA_FAILURE && condition.status == "True")?;
    Some(problem(
        "PodsRefused",
        format!("no pod can be made: {}", failure.message.clone().unwrap_or_default()),
    ))
}

/// What keeps a pod from being ready, if more than time.
pub fn trouble(pod: &Pod) -> Option<Problem> {
    unscheduled(pod)
        .or_else(|| container_statuses(pod).find_map(|status| stopped(status).or_else(|| waiting(status))))
        .map(|found| problem(&found.reason, found.message))
}

/// A container that ended and is not yet, or again, at work: its last words.
fn stopped(status: &ContainerStatus) -> Option<Problem> {
    if status.state.as_ref().is_some_and(|state| state.running.is_some()) && status.restart_count == 0 {
        return None;
    }
    let ended = [status.state.as_ref(), status.last_state.as_ref()]
        .into_iter()
        .flatten()
        .find_map(|state| state.terminated.as_ref())
        .filter(|ended| ended.exit_code != 0)?;
    let words = ended.message.as_deref().unwrap_or_default();
    // the kubelet knows why; what the server said before it was killed is about other ends
    if ended.reason.as_deref() == Some(OUT_OF_MEMORY) {
        let advice = if status.name == SERVE {
            "; raise spec.resources.limits.memory, or lower spec.serving.maxElements"
        } else {
            ""
        };
        let (name, code) = (&status.name, ended.exit_code);
        let message = format!("container {name} was killed at its memory limit (exit code {code}){advice}");
        return Some(problem(OUT_OF_MEMORY, message));
    }
    if let Ok(Report::<serde_json::Value>::Failed(failure)) = Report::parse(words) {
        return Some(problem(&failure.reason, format!("container {}: {}", status.name, failure.message)));
    }
    let reason = ended.reason.clone().filter(|reason| !reason.is_empty()).unwrap_or_else(|| "Error".into());
    let last_line = words.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
    Some(problem(
        &reason,
        format!("container {} ended with exit code {}: {last_line}", status.name, ended.exit_code),
    ))
}

fn problem(reason: &str, message: String) -> Problem {
    Problem { reason: reason.into(), message: truncated(&message, MAX_MESSAGE) }
}
