//! How far the Job, the pods and the containers of a run are. Pure.

use k8s_openapi::{
    api::{
        batch::v1::Job,
        core::v1::{Container, ContainerStatus, Pod},
    },
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::ResourceExt as _;

use super::phases::Phase;
use crate::{api::name::MADE_FROM_ANNOTATION, pods::unstarted::container_statuses};

/// Longest message that the status takes, in bytes.
pub const MAX_MESSAGE: usize = 4096;

/// The containers of a run's pods, in the order in which they run.
pub fn containers(job: &Job) -> impl Iterator<Item = &Container> {
    let pod = job.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    pod.into_iter().flat_map(|pod| pod.init_containers.iter().flatten().chain(&pod.containers))
}

/// The number of the version whose model a run takes over.
pub fn taken_over(job: &Job) -> Option<u64> {
    job.annotations().get(MADE_FROM_ANNOTATION)?.parse().ok()
}

/// Whether a Job stands still.
pub fn is_suspended(job: &Job) -> bool {
    job.spec.as_ref().and_then(|spec| spec.suspend) == Some(true)
}

/// Reason, message and time of a Job's condition that is true.
pub fn finished(job: &Job, type_: &str) -> Option<(String, String, Option<Time>)> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let condition =
        conditions.iter().find(|condition| condition.type_ == type_ && condition.status == "True")?;
    Some((
        condition.reason.clone().unwrap_or_default(),
        condition.message.clone().unwrap_or_default(),
        condition.last_transition_time.clone(),
    ))
}

/// The last phase of a pod whose container runs, or has ended.
pub fn last_phase(pod: &Pod) -> Option<Phase> {
    let has_started = |phase: &Phase| {
        container_statuses(pod).any(|status| status.name == phase.container() && is_started(status))
    };
    Phase::ALL.into_iter().rev().find(has_started)
}

/// Whether any container of a pod runs, or has ended: then its volumes were mounted. A pod is `Pending` until the last of its init
/// containers has ended, and most of a run is in these.
pub fn has_begun(pod: &Pod) -> bool {
    container_statuses(pod).any(is_started)
}

fn is_started(status: &ContainerStatus) -> bool {
    status.state.as_ref().is_some_and(|state| state.running.is_some() || state.terminated.is_some())
}

/// What the kubelet says of a pod as a whole.
pub fn pod_phase(pod: &Pod) -> Option<&str> {
    pod.status.as_ref()?.phase.as_deref()
}
