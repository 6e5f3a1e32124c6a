//! What a run is made of: its Job, the containers of its pods, and how far each is. Pure.

use k8s_openapi::{
    api::{
        batch::v1::Job,
        core::v1::{Container, ContainerStatus, Pod},
    },
    apimachinery::pkg::apis::meta::v1::Time,
};

/// Container that fetches.
pub const FETCH: &str = "fetch";
/// Container that makes ONNX of what was fetched.
pub const CONVERT: &str = "convert";
/// Container that makes what a training leaves beside its model, where nothing is trained.
pub const PREPARE: &str = "prepare";
/// Container that trains.
pub const TRAIN: &str = "train";
/// Container that makes variants.
pub const OPTIMIZE: &str = "optimize";
/// Container that proves the model.
pub const PROVE: &str = "prove";
/// Container that publishes.
pub const PUBLISH: &str = "publish";
/// All of them, in their order.
pub const CONTAINERS: [&str; 7] = [FETCH, CONVERT, PREPARE, TRAIN, OPTIMIZE, PROVE, PUBLISH];
/// Phase of a run that trains.
pub const TRAINING_PHASE: &str = "Training";
/// Longest message that the status takes, in bytes.
pub const MAX_MESSAGE: usize = 4096;

/// The containers of a run's pods, in the order in which they run.
pub fn containers(job: &Job) -> impl Iterator<Item = &Container> {
    let pod = job.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    pod.into_iter().flat_map(|pod| pod.init_containers.iter().flatten().chain(&pod.containers))
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

/// Statuses of a pod's containers, those that run first at the front.
pub fn container_statuses(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    pod.status.iter().flat_map(|status| {
        let init = status.init_container_statuses.iter().flatten();
        init.chain(status.container_statuses.iter().flatten())
    })
}

/// Whether a container of a pod runs, or has ended.
pub fn has_started(pod: &Pod, container: &str) -> bool {
    container_statuses(pod).any(|status| status.name == container && is_started(status))
}

/// Whether any container of a pod runs, or has ended: then its volumes were mounted. A pod is `Pending` until the last of its init
/// containers has ended, and most of a run is in these.
pub fn has_begun(pod: &Pod) -> bool {
    container_statuses(pod).any(is_started)
}

fn is_started(status: &ContainerStatus) -> bool {
    status.state.as_ref().is_some_and(|state| state.running.is_some() || state.terminated.is_some())
}

/// Phase of a pod.
pub fn phase_of(pod: &Pod) -> Option<&str> {
    pod.status.as_ref()?.phase.as_deref()
}
