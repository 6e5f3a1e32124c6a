//! What a run says of itself. In go its Job, its pods and the cluster's warnings about them; out comes a [`Run`]. Pure.

use std::sync::Arc;

use k8s_openapi::{
    api::{
        batch::v1::Job,
        core::v1::{ContainerStateTerminated, ContainerStatus, Pod},
    },
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::ResourceExt as _;
use modelwright_contract::report::{Failure, FetchReport, PublishReport, Report};

use super::{fetch::Observed, problem};
use crate::{
    api::{
        condition::timestamp,
        model::{RunFailure, RunStatus},
    },
    events::truncated,
};

/// Container that fetches.
pub const FETCH: &str = "fetch";
/// Container that publishes.
pub const PUBLISH: &str = "publish";
/// Longest message that the status takes, in bytes.
pub const MAX_MESSAGE: usize = 4096;

/// A run as far as it got.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Its place in the status.
    pub status: RunStatus,
    /// How far it is.
    pub state: RunState,
}

/// How far a run is.
#[derive(Clone, Debug, PartialEq)]
pub enum RunState {
    /// It goes on.
    Active {
        /// Whether a container of the present pod has started.
        started: bool,
        /// What it waits for, or what it is tried again after.
        problem: Option<Problem>,
    },
    /// It made an artifact.
    Succeeded(Box<Reports>),
    /// Its Job is done, and its pod has not been seen done yet.
    Settling,
    /// It succeeded, and nobody can tell what it made: its pod is gone.
    Lost,
    /// It failed for good.
    Failed(RunFailure),
}

/// Why a run does not go on, or is tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// One CamelCase word, for conditions.
    pub reason: String,
    /// For people.
    pub message: String,
}

/// What the containers of a successful run reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reports {
    /// Of `fetch`.
    pub fetch: FetchReport,
    /// Of `publish`.
    pub publish: PublishReport,
    /// When the Job started, RFC 3339.
    pub started_at: String,
    /// When the last container ended, RFC 3339.
    pub finished_at: String,
}

/// Reads a run.
pub fn read_run(job: &Job, observed: &Observed) -> Run {
    let uid = job.uid().unwrap_or_default();
    let mut pods: Vec<&Arc<Pod>> = observed
        .pods
        .iter()
        .filter(|pod| pod.owner_references().iter().any(|owner| owner.uid == uid))
        .collect();
    pods.sort_by_key(|pod| (pod.creation_timestamp().map(|time| time.0), pod.name_any()));
    let (state, phase) = read_state(job, &pods, observed);
    let status = job.status.clone().unwrap_or_default();
    let counted = [status.failed, status.active, status.succeeded].into_iter().flatten().sum::<i32>();
    let attempt =
        u32::try_from(counted).unwrap_or(0).max(u32::try_from(pods.len()).unwrap_or(u32::MAX)).max(1);
    Run { status: RunStatus { job: job.name_any(), attempt, phase: phase.into() }, state }
}

fn read_state(job: &Job, pods: &[&Arc<Pod>], observed: &Observed) -> (RunState, &'static str) {
    if let Some((reason, message, time)) = finished(job, "Failed") {
        let failure = pods
            .iter()
            .rev()
            .find_map(|pod| pod_failure(pod))
            .unwrap_or_else(|| job_failure(&reason, &message, time.as_ref(), pods, observed));
        return (RunState::Failed(failure), "Failed");
    }
    if let Some((_, _, time)) = finished(job, "Complete") {
        let Some(pod) = pods.iter().rev().find(|pod| phase_of(pod) == Some("Succeeded")) else {
            let state = if pods.is_empty() { RunState::Lost } else { RunState::Settling };
            return (state, "Publishing");
        };
        return match read_reports(job, pod, time.as_ref()) {
            Ok(reports) => (RunState::Succeeded(Box::new(reports)), "Succeeded"),
            Err(failure) => (RunState::Failed(failure), "Failed"),
        };
    }
    let Some(pod) = pods.last() else {
        let problem = problem::of_job(job, observed);
        return (RunState::Active { started: false, problem }, "Pending");
    };
    let fetching = terminated_or_running(pod, FETCH);
    let publishing = terminated_or_running(pod, PUBLISH);
    let phase = if publishing {
        "Publishing"
    } else if fetching {
        "Fetching"
    } else {
        "Pending"
    };
    // a pod that failed is followed by the next attempt; until it starts, the reason for it is told
    let problem = problem::of_pod(pod, observed).or_else(|| {
        let failed = pods.iter().rev().find_map(|pod| pod_failure(pod))?;
        Some(Problem {
            reason: "Retrying".into(),
            message: truncated(
                &format!("{} failed and is tried again: {}: {}", failed.phase, failed.reason, failed.message),
                MAX_MESSAGE,
            ),
        })
    });
    (RunState::Active { started: fetching || publishing, problem }, phase)
}

/// Reason, message and time of a Job's condition that is true.
fn finished(job: &Job, type_: &str) -> Option<(String, String, Option<Time>)> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let condition =
        conditions.iter().find(|condition| condition.type_ == type_ && condition.status == "True")?;
    Some((
        condition.reason.clone().unwrap_or_default(),
        condition.message.clone().unwrap_or_default(),
        condition.last_transition_time.clone(),
    ))
}

fn read_reports(job: &Job, pod: &Pod, completed: Option<&Time>) -> Result<Reports, RunFailure> {
    let started_at = job.status.as_ref().and_then(|status| status.start_time.as_ref());
    let (fetch, _) = report_of::<FetchReport>(pod, FETCH)?;
    let (publish, ended) = report_of::<PublishReport>(pod, PUBLISH)?;
    Ok(Reports {
        fetch,
        publish,
        started_at: started_at.map(time_of).unwrap_or_default(),
        finished_at: ended.as_ref().or(completed).map(time_of).unwrap_or_default(),
    })
}

fn report_of<T>(pod: &Pod, container: &str) -> Result<(T, Option<Time>), RunFailure>
where
    T: serde::Serialize + serde::de::DeserializeOwned,
{
    let terminated = terminated(pod, container);
    let message = terminated.and_then(|state| state.message.as_deref()).unwrap_or_default();
    let time = terminated.and_then(|state| state.finished_at.clone());
    let failure = |reason: &str, message: String| RunFailure {
        reason: reason.into(),
        message: truncated(&message, MAX_MESSAGE),
        phase: container.into(),
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

/// Why a pod failed, from the first container that did.
fn pod_failure(pod: &Pod) -> Option<RunFailure> {
    if phase_of(pod) != Some("Failed") {
        return None;
    }
    let (container, state) = [FETCH, PUBLISH].into_iter().find_map(|container| {
        let state = terminated(pod, container)?;
        (state.exit_code != 0).then_some((container, state))
    })?;
    let message = state.message.as_deref().unwrap_or_default();
    let failure = match Report::<serde_json::Value>::parse(message) {
        Ok(Report::Failed(failure)) => failure,
        _ => unreported(state, message),
    };
    Some(RunFailure {
        reason: truncated(&failure.reason, 128),
        message: truncated(&failure.message, MAX_MESSAGE),
        phase: container.into(),
        time: state.finished_at.as_ref().map(time_of).unwrap_or_default(),
    })
}

/// The failure of a container that could not report.
fn unreported(state: &ContainerStateTerminated, message: &str) -> Failure {
    if state.reason.as_deref() == Some("OOMKilled") {
        return Failure {
            reason: "OutOfMemory".into(),
            message: "the container was killed at its memory limit; the model is too large for it".into(),
        };
    }
    let tail = if message.trim().is_empty() { "it left no message" } else { message.trim() };
    Failure {
        reason: "ContainerFailed".into(),
        message: format!("the container ended with exit code {}: {tail}", state.exit_code),
    }
}

/// Why a Job failed whose pods tell nothing.
fn job_failure(
    reason: &str,
    message: &str,
    time: Option<&Time>,
    pods: &[&Arc<Pod>],
    observed: &Observed,
) -> RunFailure {
    let waiting = pods.last().and_then(|pod| problem::of_pod(pod, observed));
    let message = match waiting {
        Some(problem) => format!("{message}; the pod was waiting: {}", problem.message),
        None => message.to_owned(),
    };
    let phase = pods.last().is_some_and(|pod| terminated_or_running(pod, PUBLISH));
    RunFailure {
        reason: if reason.is_empty() { "JobFailed".into() } else { reason.into() },
        message: truncated(&message, MAX_MESSAGE),
        phase: if phase { PUBLISH } else { FETCH }.into(),
        time: time.map(time_of).unwrap_or_default(),
    }
}

/// Statuses of a pod's containers, those that run first at the front.
pub fn container_statuses(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    pod.status.iter().flat_map(|status| {
        let init = status.init_container_statuses.iter().flatten();
        init.chain(status.container_statuses.iter().flatten())
    })
}

fn terminated<'a>(pod: &'a Pod, container: &str) -> Option<&'a ContainerStateTerminated> {
    container_statuses(pod)
        .find(|status| status.name == container)
        .and_then(|status| status.state.as_ref()?.terminated.as_ref())
}

fn terminated_or_running(pod: &Pod, container: &str) -> bool {
    container_statuses(pod)
        .filter(|status| status.name == container)
        .filter_map(|status| status.state.as_ref())
        .any(|state| state.running.is_some() || state.terminated.is_some())
}

/// Phase of a pod.
pub fn phase_of(pod: &Pod) -> Option<&str> {
    pod.status.as_ref()?.phase.as_deref()
}

fn time_of(time: &Time) -> String {
    timestamp(time.0)
}
