//! Why a run does not start. In go a Job or pod and the cluster's warnings about it; out comes what a person has to know,
//! in the same words for as long as the cause is the same. Pure.

use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::ResourceExt as _;

use super::{
    containers::{MAX_MESSAGE, container_statuses, has_begun, phase_of},
    queue,
};
use crate::{
    api::name::{KUEUE_QUEUE_LABEL, SUSPENDED_ANNOTATION},
    k8s::events::truncated,
    model::observed::{Observed, Warning},
    problem::Problem,
};

/// What keeps a Job from having a pod.
pub fn of_job(job: &Job, observed: &Observed) -> Option<Problem> {
    let warning = last_warning(observed, job.uid()?.as_str(), |warning| warning.reason == "FailedCreate")?;
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
pub fn of_suspended(job: &Job, observed: &Observed) -> Problem {
    if let Some(queue) = job.labels().get(KUEUE_QUEUE_LABEL) {
        return queue::of_suspended(queue, observed.workload_of(job));
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
pub fn of_pod(pod: &Pod, observed: &Observed) -> Option<Problem> {
    if phase_of(pod) != Some("Pending") {
        return None;
    }
    unscheduled(pod)
        .or_else(|| {
            container_statuses(pod).find_map(|status| {
                waiting(status.state.as_ref()?.waiting.as_ref()?, &status.name, &status.image)
            })
        })
        .or_else(|| unmounted(pod, observed))
}

fn unscheduled(pod: &Pod) -> Option<Problem> {
    let condition = pod
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten())
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")?;
    let message = condition.message.clone().unwrap_or_default();
    if message.contains("persistentvolumeclaim") && message.contains("not found") {
        return Some(problem(
            "ClaimNotFound",
            format!("{message}; create the claim that the Model's uri names, and the run goes on"),
        ));
    }
    let reason = match condition.reason.as_deref() {
        None | Some("") => "Unschedulable",
        Some(reason) => reason,
    };
    Some(problem(reason, format!("no node takes the pod: {message}")))
}

fn waiting(
    state: &k8s_openapi::api::core::v1::ContainerStateWaiting,
    container: &str,
    image: &str,
) -> Option<Problem> {
    let message = state.message.clone().unwrap_or_default();
    match state.reason.as_deref()? {
        "ErrImagePull"
        | "ImagePullBackOff"
        | "InvalidImageName"
        | "ErrImageNeverPull"
        | "RegistryUnavailable" => Some(problem(
            "ImagePullFailed",
            format!("container {container} cannot pull {image}: {}", pull_detail(&message)),
        )),
        "ContainerCreating" | "PodInitializing" => None,
        reason => Some(problem(reason, format!("container {container} cannot start: {message}"))),
    }
}

/// The cause inside the kubelet's two messages about one failed pull, which take turns.
fn pull_detail(message: &str) -> &str {
    let cause = message.split_once(": ErrImagePull: ").map_or(message, |(_, cause)| cause);
    if cause.starts_with("Back-off pulling image") || cause.is_empty() {
        "the registry does not give it; check its name, the registry and scheduling.imagePullSecrets"
    } else {
        cause
    }
}

fn unmounted(pod: &Pod, observed: &Observed) -> Option<Problem> {
    // the warnings of what was mended since stay for an hour
    if has_begun(pod) {
        return None;
    }
    let warning = last_warning(observed, pod.uid()?.as_str(), |warning| {
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
    observed: &'a Observed,
    uid: &str,
    wanted: impl Fn(&Warning) -> bool,
) -> Option<&'a Warning> {
    observed.warnings.iter().rev().find(|warning| warning.uid == uid && wanted(warning))
}

pub(super) fn problem(reason: &str, message: String) -> Problem {
    Problem { reason: reason.into(), message: truncated(&message, MAX_MESSAGE) }
}
