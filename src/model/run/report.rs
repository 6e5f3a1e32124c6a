//! How a run ended, in its containers' own words. In go a finished Job and its pods; out come the reports of a success, or
//! why it failed. Pure.

use std::sync::Arc;

use k8s_openapi::{
    api::{
        batch::v1::Job,
        core::v1::{Container, ContainerStateTerminated, Pod},
    },
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::ResourceExt as _;
use modelwright_contract::{
    evaluation::EVALUATION_ENV,
    report::{Failure, FetchReport, PublishReport, Report, RunReport},
    training::TrainReport,
};

use super::{
    containers::{MAX_MESSAGE, containers, finished, last_phase, pod_phase, taken_over},
    phases::Phase,
    waits,
};
use crate::{
    api::{condition::timestamp, model::RunFailure, name::RECALLS_ANNOTATION},
    k8s::events::truncated,
    model::snapshot::Snapshot,
    pods::unstarted::container_statuses,
};

/// A Job's own reason for a run that took too long.
pub const DEADLINE_EXCEEDED: &str = "DeadlineExceeded";

/// Reason of a container that was killed at its memory limit.
const OUT_OF_MEMORY: &str = "OutOfMemory";

/// What makes another model, and is asked for by nothing else.
pub const ANEW: &str = "set spec.rerun to another value, which makes the model anew";

/// What the containers of a successful run reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reports {
    /// Of `fetch`.
    pub fetch: FetchReport,
    /// Of `train`, where there is one and it says something.
    pub train: Option<TrainReport>,
    /// Of `publish`.
    pub publish: PublishReport,
    /// When the Job started, RFC 3339.
    pub started_at: String,
    /// When the last container ended, RFC 3339.
    pub finished_at: String,
}

/// The reports of a pod that succeeded.
pub fn read_reports(job: &Job, pod: &Pod, completed: Option<&Time>) -> Result<Reports, RunFailure> {
    let started_at = job.status.as_ref().and_then(|status| status.start_time.as_ref());
    if job.annotations().contains_key(RECALLS_ANNOTATION) {
        let (run, _) = report_of::<RunReport>(pod, Phase::Publish)?;
        return Ok(Reports {
            fetch: run.fetch,
            train: run.train,
            publish: run.publish,
            started_at: String::new(),
            finished_at: String::new(),
        });
    }
    let (fetch, _) = report_of::<FetchReport>(pod, Phase::Fetch)?;
    let (publish, ended) = report_of::<PublishReport>(pod, Phase::Publish)?;
    Ok(Reports {
        fetch,
        train: report_of::<TrainReport>(pod, Phase::Train).ok().map(|(train, _)| train),
        publish,
        started_at: started_at.map(time_of).unwrap_or_default(),
        finished_at: ended.as_ref().or(completed).map(time_of).unwrap_or_default(),
    })
}

impl Reports {
    /// Those of a run that were recalled, with the times that its Job has.
    #[must_use]
    pub fn of_lost(&self, lost: &Job) -> Self {
        let status = lost.status.as_ref();
        let started_at = status.and_then(|status| status.start_time.as_ref());
        let completed = status.and_then(|status| status.completion_time.clone());
        // one whose earlier attempt made it has failed
        let finished_at = completed.or_else(|| finished(lost, "Failed")?.2);
        Self {
            started_at: started_at.map(time_of).unwrap_or_default(),
            finished_at: finished_at.as_ref().map(time_of).unwrap_or_default(),
            ..self.clone()
        }
    }
}

fn report_of<T>(pod: &Pod, phase: Phase) -> Result<(T, Option<Time>), RunFailure>
where
    T: serde::Serialize + serde::de::DeserializeOwned,
{
    let terminated = terminated(pod, phase);
    let message = terminated.and_then(|state| state.message.as_deref()).unwrap_or_default();
    let time = terminated.and_then(|state| state.finished_at.clone());
    let failure = |reason: &str, message: String| RunFailure {
        reason: reason.into(),
        message: truncated(&message, MAX_MESSAGE),
        phase: phase.container().into(),
        time: time.as_ref().map(time_of).unwrap_or_default(),
    };
    match Report::<T>::parse(message) {
        Ok(Report::Succeeded(report)) => Ok((report, time)),
        Ok(Report::Failed(told)) => Err(failure(&told.reason, told.message)),
        Err(error) => Err(failure(
            "ReportUnreadable",
            format!(
                "{error}; the runtime image and the operator are probably of different releases: set the operator's runtime image to its own release, then change spec.rerun"
            ),
        )),
    }
}

/// Why a Job failed for good: in the words of its last pod, unless it is the Job that ran out of time.
pub fn run_failure(
    job: &Job,
    (reason, message, time): (&str, &str, Option<&Time>),
    pods: &[&Arc<Pod>],
    snapshot: &Snapshot,
) -> RunFailure {
    let of_a_pod = pods.iter().rev().find_map(|pod| pod_failure(job, pod)).map(|failure| {
        // The kubelet says that it evicted a pod before it says when its containers ended.
        let time = if failure.time.is_empty() { time.map(time_of).unwrap_or_default() } else { failure.time };
        RunFailure { time, ..failure }
    });
    match of_a_pod {
        Some(failure) if reason != DEADLINE_EXCEEDED => failure,
        of_a_pod => job_failure(job, (reason, message, time), pods, snapshot, of_a_pod.as_ref()),
    }
}

/// A failure of a run, with what to do where it could not have what it takes over.
pub fn explained(job: &Job, failure: RunFailure) -> RunFailure {
    let is_of_fetch = failure.phase == Phase::Fetch.container();
    let Some(number) = taken_over(job).filter(|_| is_of_fetch) else { return failure };
    let message = format!(
        "{}; only variants of version {number} were to be made anew, from its artifact and the very data that it was made of: bring these back, or {ANEW}",
        failure.message
    );
    RunFailure { message, ..failure }
}

/// Why a pod failed, from the first container that did.
pub fn pod_failure(job: &Job, pod: &Pod) -> Option<RunFailure> {
    if pod_phase(pod) != Some("Failed") {
        return None;
    }
    if let Some(failure) = evicted(job, pod) {
        return Some(failure);
    }
    let (phase, state) = Phase::ALL.into_iter().find_map(|phase| {
        let state = terminated(pod, phase)?;
        (state.exit_code != 0).then_some((phase, state))
    })?;
    let message = state.message.as_deref().unwrap_or_default();
    let failure = match Report::<serde_json::Value>::parse(message) {
        // where the kernel ended one process of the container, the others told it without its limit
        Ok(Report::Failed(failure)) if !(failure.reason == OUT_OF_MEMORY && was_killed(state)) => failure,
        _ => unreported(job, phase, state, message),
    };
    Some(RunFailure {
        reason: truncated(&failure.reason, 128),
        message: truncated(&failure.message, MAX_MESSAGE),
        phase: phase.container().into(),
        time: state.finished_at.as_ref().map(time_of).unwrap_or_default(),
    })
}

/// Why the kubelet stopped a pod: a full volume, or a node short of something.
fn evicted(job: &Job, pod: &Pod) -> Option<RunFailure> {
    let status = pod.status.as_ref().filter(|status| status.reason.as_deref() == Some("Evicted"))?;
    let last = last_phase(pod).unwrap_or(Phase::Fetch);
    let ended = terminated(pod, last).and_then(|state| state.finished_at.as_ref());
    let message =
        status.message.as_deref().unwrap_or("the kubelet does not say why").trim_end_matches(['.', ' ']);
    Some(RunFailure {
        reason: "Evicted".into(),
        message: truncated(
            &format!(
                "{message}; a run has spec.run.volumeSize for its files{} and 1Gi in /tmp, and the node's own memory and disk: raise it, make the data smaller, or free the node",
                volume_size(job).map(|size| format!(", which is {size},")).unwrap_or_default()
            ),
            MAX_MESSAGE,
        ),
        phase: last.container().into(),
        time: ended.map(time_of).unwrap_or_default(),
    })
}

/// Whether the kernel ended the container, or a process of it, at its memory limit, as the kubelet says.
fn was_killed(state: &ContainerStateTerminated) -> bool {
    state.reason.as_deref() == Some("OOMKilled")
}

/// The failure of a container that could not report.
fn unreported(job: &Job, phase: Phase, state: &ContainerStateTerminated, message: &str) -> Failure {
    if was_killed(state) {
        let (field, what) = phase.data().resources[usize::from(!is_of_import(job))];
        let message = format!(
            "the container was killed at its memory limit, {}{what}; raise {field}.limits.memory",
            memory_limit(job, phase).unwrap_or_else(|| "which the namespace sets".to_owned())
        );
        return Failure { reason: OUT_OF_MEMORY.into(), message };
    }
    let tail = if message.trim().is_empty() { "it left no message" } else { message.trim() };
    if phase.data().is_of_users {
        let last = tail.lines().last().unwrap_or(tail).trim();
        return Failure {
            reason: "TrainFailed".into(),
            message: format!(
                "the container ended with exit code {}, and its last line is: {last}; `kubectl logs job/{} --container {}` has the others",
                state.exit_code,
                job.name_any(),
                phase.container()
            ),
        };
    }
    Failure {
        reason: "ContainerFailed".into(),
        message: format!("the container ended with exit code {}: {tail}", state.exit_code),
    }
}

fn memory_limit(job: &Job, phase: Phase) -> Option<String> {
    let container = container_of(job, phase)?;
    Some(container.resources.as_ref()?.limits.as_ref()?.get("memory")?.0.clone())
}

/// Room that the run's files have.
fn volume_size(job: &Job) -> Option<String> {
    let volumes = job.spec.as_ref()?.template.spec.as_ref()?.volumes.as_ref()?;
    let work = volumes.iter().find(|volume| volume.name == "work")?;
    Some(work.empty_dir.as_ref()?.size_limit.as_ref()?.0.clone())
}

/// The container of a phase, if the run has it.
fn container_of(job: &Job, phase: Phase) -> Option<&Container> {
    containers(job).find(|container| container.name == phase.container())
}

/// Whether what the Job prepares is measured, and was not trained.
fn is_of_import(job: &Job) -> bool {
    let prepare = container_of(job, Phase::Prepare);
    let told = prepare.into_iter().flat_map(|container| container.env.iter().flatten());
    told.into_iter().any(|variable| variable.name == EVALUATION_ENV)
}

/// Why a Job failed that stopped its pods itself, or whose pods tell nothing.
fn job_failure(
    job: &Job,
    (reason, message, time): (&str, &str, Option<&Time>),
    pods: &[&Arc<Pod>],
    snapshot: &Snapshot,
    before: Option<&RunFailure>,
) -> RunFailure {
    let mut message = message.to_owned();
    if reason == DEADLINE_EXCEEDED
        && let (Some(_), Some(seconds)) =
            (container_of(job, Phase::Train), job.spec.as_ref().and_then(|spec| spec.active_deadline_seconds))
    {
        message = format!(
            "the run took longer than spec.training.run.activeDeadlineSeconds, which is {seconds}; raise it, or train on less"
        );
    }
    if let Some(problem) = pods.last().and_then(|pod| waits::of_pod(pod, snapshot)) {
        message = format!("{message}; the pod was waiting: {}", problem.message);
    }
    if let Some(before) = before {
        message =
            format!("{message}; before that, {} failed: {}: {}", before.phase, before.reason, before.message);
    }
    let last = pods.last().and_then(|pod| last_phase(pod));
    RunFailure {
        reason: if reason.is_empty() { "JobFailed".into() } else { reason.into() },
        message: truncated(&message, MAX_MESSAGE),
        phase: last.unwrap_or(Phase::Fetch).container().into(),
        time: time.map(time_of).unwrap_or_default(),
    }
}

fn terminated(pod: &Pod, phase: Phase) -> Option<&ContainerStateTerminated> {
    container_statuses(pod)
        .find(|status| status.name == phase.container())
        .and_then(|status| status.state.as_ref()?.terminated.as_ref())
}

fn time_of(time: &Time) -> String {
    timestamp(time.0)
}
