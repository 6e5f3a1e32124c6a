//! Why a pod does not start, as the scheduler and the kubelet say it. In goes a pod; out comes what a person has to know, in the
//! same words for as long as the cause is the same. Pure.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition};

use crate::problem::Problem;

/// Statuses of a pod's containers, those that run first at the front.
pub fn container_statuses(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    pod.status.iter().flat_map(|status| {
        let init = status.init_container_statuses.iter().flatten();
        init.chain(status.container_statuses.iter().flatten())
    })
}

/// A condition of a pod.
pub fn condition<'a>(pod: &'a Pod, type_: &str) -> Option<&'a PodCondition> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Why no node takes a pod.
pub fn unscheduled(pod: &Pod) -> Option<Problem> {
    let condition = condition(pod, "PodScheduled").filter(|condition| condition.status == "False")?;
    let reason = condition.reason.clone().filter(|reason| !reason.is_empty());
    Some(Problem {
        reason: reason.unwrap_or_else(|| "Unschedulable".into()),
        message: format!("no node takes the pod: {}", condition.message.as_deref().unwrap_or_default()),
    })
}

/// Why a container waits, unless that is over in a moment.
pub fn waiting(status: &ContainerStatus) -> Option<Problem> {
    let waiting = status.state.as_ref()?.waiting.as_ref()?;
    let (name, message) = (&status.name, waiting.message.as_deref().unwrap_or_default());
    let (reason, message) = match waiting.reason.as_deref()? {
        "ContainerCreating" | "PodInitializing" => return None,
        "ErrImagePull"
        | "ImagePullBackOff"
        | "InvalidImageName"
        | "ErrImageNeverPull"
        | "RegistryUnavailable" => {
            let cause = pull_detail(message);
            ("ImagePullFailed", format!("container {name} cannot pull {}: {cause}", status.image))
        }
        reason => (reason, format!("container {name} cannot start: {message}")),
    };
    Some(Problem { reason: reason.into(), message })
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
