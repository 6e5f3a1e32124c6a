//! Why a run does not start. In go a Job or pod and the cluster's warnings about it; out comes what a person has to know,
//! in the same words for as long as the cause is the same. Pure.

use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::ResourceExt as _;

use super::{
    containers::{MAX_MESSAGE, has_begun, pod_phase},
    queue,
};
use crate::{
    api::name::{KUEUE_QUEUE_LABEL, SUSPENDED_ANNOTATION},
    k8s::events::truncated,
    model::snapshot::{Snapshot, Warning},
    pods::unstarted::{self, container_statuses, waiting},
    problem::Problem,
};

/// What keeps a Job from having a pod.
pub fn of_job(job: &Job, snapshot: &Snapshot) -> Option<Problem> {
    let warning = last_warning(snapshot, job.uid()?.as_str(), |warning| warning.reason == "FailedCreate")?;
    Some(problem(
        "PodsRefused",
        format!(
            "no pod can be made for Job {}: {}; it is tried again until that is mended",
            job.name_any(),
            warning.message
        ),
    ))
}

/// Who makes a suspended Job wait.
pub fn of_suspended(job: &Job, snapshot: &Snapshot) -> Problem {
    if let Some(queue) = job.labels().get(KUEUE_QUEUE_LABEL) {
        return queue::of_suspended(queue, snapshot.workload_of(job));
    }
    if job.annotations().contains_key(SUSPENDED_ANNOTATION) {
        return suspended_by_spec();
    }
    problem(
        "Suspended",
        format!(
            "Job {} was suspended by somebody else than the operator; set its spec.suspend to false, and the run goes on",
            job.name_any()
        ),
    )
}

/// The spec makes the run wait.
pub fn suspended_by_spec() -> Problem {
    problem(
        "Suspended",
        "spec.training.run.suspend is true; set it to false or remove it, and the run starts from its beginning"
            .into(),
    )
}

/// What keeps a pod from running.
pub fn of_pod(pod: &Pod, snapshot: &Snapshot) -> Option<Problem> {
    if pod_phase(pod) != Some("Pending") {
        return None;
    }
    unscheduled(pod)
        .or_else(|| container_statuses(pod).find_map(waiting))
        .or_else(|| unmounted(pod, snapshot))
        .map(|found| problem(&found.reason, found.message))
}

/// Why no node takes a pod; a claim is named where the Model's uri names it.
fn unscheduled(pod: &Pod) -> Option<Problem> {
    let problem = unstarted::unscheduled(pod)?;
    let is_of_claim =
        problem.message.contains("persistentvolumeclaim") && problem.message.contains("not found");
    if !is_of_claim {
        return Some(problem);
    }
    let message = unstarted::condition(pod, "PodScheduled")?.message.as_deref().unwrap_or_default();
    Some(Problem {
        reason: "ClaimNotFound".into(),
        message: format!("{message}; create the claim that the Model's uri names, and the run goes on"),
    })
}

fn unmounted(pod: &Pod, snapshot: &Snapshot) -> Option<Problem> {
    // the warnings of what was mended since stay for an hour
    if has_begun(pod) {
        return None;
    }
    let warning = last_warning(snapshot, pod.uid()?.as_str(), |warning| {
        ["FailedMount", "FailedAttachVolume"].contains(&warning.reason.as_str())
    })?;
    let message = &warning.message;
    if let Some(secret) = quoted_before(message, "secret ", " not found") {
        return Some(problem(
            "SecretNotFound",
            format!(
                "Secret {secret} does not exist in namespace {}; create it with the keys that its scheme needs, and the run goes on by itself",
                pod.namespace().unwrap_or_default()
            ),
        ));
    }
    for (before, after) in
        [("configmap ", " not found"), ("configmap references non-existent config key: ", "")]
    {
        if message.contains(before) && message.contains(after) {
            return Some(problem(
                "ConfigMapNotFound",
                format!(
                    "{message}; create the ConfigMap with the key that spec.training.trainer.python.configMap names in namespace {}, and the run goes on by itself",
                    pod.namespace().unwrap_or_default()
                ),
            ));
        }
    }
    Some(problem("VolumeNotMounted", message.clone()))
}

/// The name in quotes between `before` and `after`.
fn quoted_before<'a>(message: &'a str, before: &str, after: &str) -> Option<&'a str> {
    message.split(before).skip(1).find_map(|rest| {
        let (name, tail) = rest.strip_prefix('"')?.split_once('"')?;
        tail.starts_with(after).then_some(name)
    })
}

fn last_warning<'a>(
    snapshot: &'a Snapshot,
    uid: &str,
    wanted: impl Fn(&Warning) -> bool,
) -> Option<&'a Warning> {
    snapshot.warnings.iter().rev().find(|warning| warning.uid == uid && wanted(warning))
}

pub(super) fn problem(reason: &str, message: String) -> Problem {
    Problem { reason: reason.into(), message: truncated(&message, MAX_MESSAGE) }
}
