//! What a run says of itself. In go its Job, its pods and the cluster's warnings about them; out comes a [`Run`]. Pure.

pub mod containers;
pub mod phases;
pub mod progress;
pub mod queue;
pub mod recall;
pub mod report;
pub mod waits;
pub mod words;

use std::sync::Arc;

use k8s_openapi::{
    api::{batch::v1::Job, core::v1::Pod},
    jiff::Timestamp,
};
use kube::ResourceExt as _;
use modelwright_contract::report::MADE_BEFORE;

use self::{
    containers::{MAX_MESSAGE, finished, is_suspended, last_phase, pod_phase},
    phases::Phase,
    report::{DEADLINE_EXCEEDED, Reports, explained, pod_failure, read_reports, run_failure},
};
use super::snapshot::Snapshot;
use crate::{
    api::model::{RunFailure, RunStatus},
    k8s::events::truncated,
    problem::Problem,
};

/// A run as far as it got.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Its place in the status.
    pub status: RunStatus,
    /// How far it is.
    pub state: RunState,
    /// Since when its present container runs.
    pub since: Option<Timestamp>,
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
    /// Its Job is done, and its pod has not been seen done yet: each kind of object is told of by itself.
    Settling,
    /// It succeeded, or an attempt of it did, and that pod is gone: what it made is in the store.
    Lost,
    /// It failed for good.
    Failed(RunFailure),
}

/// Reads a run.
pub fn read_run(job: &Job, snapshot: &Snapshot) -> Run {
    let uid = job.uid().unwrap_or_default();
    let mut pods: Vec<&Arc<Pod>> = snapshot
        .pods
        .iter()
        .filter(|pod| pod.owner_references().iter().any(|owner| owner.uid == uid))
        .collect();
    pods.sort_by_key(|pod| (pod.creation_timestamp().map(|time| time.0), pod.name_any()));
    let (state, phase) = read_state(job, &pods, snapshot);
    let status = job.status.clone().unwrap_or_default();
    let counted = [status.failed, status.active, status.succeeded].into_iter().flatten().sum::<i32>();
    let attempt =
        u32::try_from(counted).unwrap_or(0).max(u32::try_from(pods.len()).unwrap_or(u32::MAX)).max(1);
    let progress = snapshot.progress.clone().filter(|_| Phase::tells_progress(phase));
    let since = pods.last().and_then(|pod| words::running_since(pod));
    Run { status: RunStatus { job: job.name_any(), attempt, phase: phase.into(), progress }, state, since }
}

fn read_state(job: &Job, pods: &[&Arc<Pod>], snapshot: &Snapshot) -> (RunState, &'static str) {
    if let Some((reason, message, time)) = finished(job, "Failed") {
        // The Job ended by itself a pod that took too long.
        let last = pods.last().filter(|pod| reason != DEADLINE_EXCEEDED && is_to_end(pod));
        if let Some(pod) = last {
            return (RunState::Settling, word(last_phase(pod)));
        }
        let failure = run_failure(job, (&reason, &message, time.as_ref()), pods, snapshot);
        // the pod that made it is gone, and the one after it found that in the store
        let finds_earlier = |phase: Phase| phase.container() == failure.phase && phase.data().finds_earlier;
        if failure.reason == MADE_BEFORE && Phase::ALL.into_iter().any(finds_earlier) {
            return (RunState::Lost, Phase::Publish.word());
        }
        return (RunState::Failed(explained(job, failure)), "Failed");
    }
    if let Some((_, _, time)) = finished(job, "Complete") {
        let Some(pod) = pods.iter().rev().find(|pod| pod_phase(pod) == Some("Succeeded")) else {
            // a pod that ended otherwise was an earlier attempt's: it does not become the one that succeeded
            let is_late = pods.iter().any(|pod| is_to_end(pod));
            let state = if is_late { RunState::Settling } else { RunState::Lost };
            return (state, Phase::Publish.word());
        };
        return match read_reports(job, pod, time.as_ref()) {
            Ok(reports) => (RunState::Succeeded(Box::new(reports)), "Succeeded"),
            Err(failure) => (RunState::Failed(failure), "Failed"),
        };
    }
    if is_suspended(job) {
        let problem = Some(waits::of_suspended(job, snapshot));
        return (RunState::Active { started: false, problem }, "Suspended");
    }
    let Some(pod) = pods.last() else {
        let problem = waits::of_job(job, snapshot);
        return (RunState::Active { started: false, problem }, "Pending");
    };
    let phase = last_phase(pod);
    // a pod that failed is followed by the next attempt; until it starts, the reason for it is told
    let retrying = snapshot.retrying.as_ref().filter(|retrying| Some(&retrying.pod) == pod.uid().as_ref());
    let problem = waits::of_pod(pod, snapshot).or_else(|| retrying.map(words::problem)).or_else(|| {
        let failed = pods.iter().rev().find_map(|pod| pod_failure(job, pod))?;
        Some(Problem {
            reason: "Retrying".into(),
            message: truncated(
                &format!("{} failed and is tried again: {}: {}", failed.phase, failed.reason, failed.message),
                MAX_MESSAGE,
            ),
        })
    });
    let problem = problem.or_else(|| snapshot.workload_of(job).and_then(queue::of_running));
    (RunState::Active { started: phase.is_some(), problem }, word(phase))
}

/// What the status calls a phase, if the pod is in one.
fn word(phase: Option<Phase>) -> &'static str {
    phase.map_or("Pending", Phase::word)
}

/// Whether a pod's end is still to be seen. One that is being deleted may have none: its node may be gone.
fn is_to_end(pod: &Pod) -> bool {
    !matches!(pod_phase(pod), Some("Succeeded" | "Failed")) && pod.metadata.deletion_timestamp.is_none()
}
