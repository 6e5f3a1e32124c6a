//! What a run says of itself. In go its Job, its pods and the cluster's warnings about them; out comes a [`Run`]. Pure.

pub mod containers;
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
    containers::{
        CONVERT, FETCH, MAX_MESSAGE, OPTIMIZE, PREPARE, PROVE, PUBLISH, TRAIN, TRAINING_PHASE, finished,
        has_started, is_suspended, phase_of,
    },
    report::{DEADLINE_EXCEEDED, Reports, pod_failure, read_reports, run_failure},
};
use super::{kept, observed::Observed};
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
    let progress = observed.progress.clone().filter(|_| phase == TRAINING_PHASE);
    let since = pods.last().and_then(|pod| words::running_since(pod));
    Run { status: RunStatus { job: job.name_any(), attempt, phase: phase.into(), progress }, state, since }
}

fn read_state(job: &Job, pods: &[&Arc<Pod>], observed: &Observed) -> (RunState, &'static str) {
    if let Some((reason, message, time)) = finished(job, "Failed") {
        // The Job ended by itself a pod that took too long.
        let last = pods.last().filter(|pod| reason != DEADLINE_EXCEEDED && is_to_end(pod));
        if let Some(pod) = last {
            return (RunState::Settling, last_phase(pod).unwrap_or("Pending"));
        }
        let failure = run_failure(job, (&reason, &message, time.as_ref()), pods, observed);
        // the pod that made it is gone, and the one after it found that in the store
        if failure.reason == MADE_BEFORE && failure.phase == FETCH {
            return (RunState::Lost, "Publishing");
        }
        return (RunState::Failed(kept::explained(job, failure)), "Failed");
    }
    if let Some((_, _, time)) = finished(job, "Complete") {
        let Some(pod) = pods.iter().rev().find(|pod| phase_of(pod) == Some("Succeeded")) else {
            // a pod that ended otherwise was an earlier attempt's: it does not become the one that succeeded
            let is_late = pods.iter().any(|pod| is_to_end(pod));
            let state = if is_late { RunState::Settling } else { RunState::Lost };
            return (state, "Publishing");
        };
        return match read_reports(job, pod, time.as_ref()) {
            Ok(reports) => (RunState::Succeeded(Box::new(reports)), "Succeeded"),
            Err(failure) => (RunState::Failed(failure), "Failed"),
        };
    }
    if is_suspended(job) {
        let problem = Some(waits::of_suspended(job, observed));
        return (RunState::Active { started: false, problem }, "Suspended");
    }
    let Some(pod) = pods.last() else {
        let problem = waits::of_job(job, observed);
        return (RunState::Active { started: false, problem }, "Pending");
    };
    let phase = last_phase(pod);
    // a pod that failed is followed by the next attempt; until it starts, the reason for it is told
    let retrying = observed.retrying.as_ref().filter(|retrying| Some(&retrying.pod) == pod.uid().as_ref());
    let problem = waits::of_pod(pod, observed).or_else(|| retrying.map(words::problem)).or_else(|| {
        let failed = pods.iter().rev().find_map(|pod| pod_failure(job, pod))?;
        Some(Problem {
            reason: "Retrying".into(),
            message: truncated(
                &format!("{} failed and is tried again: {}: {}", failed.phase, failed.reason, failed.message),
                MAX_MESSAGE,
            ),
        })
    });
    let problem = problem.or_else(|| observed.workload_of(job).and_then(queue::of_running));
    (RunState::Active { started: phase.is_some(), problem }, phase.unwrap_or("Pending"))
}

/// Whether a pod's end is still to be seen. One that is being deleted may have none: its node may be gone.
fn is_to_end(pod: &Pod) -> bool {
    !matches!(phase_of(pod), Some("Succeeded" | "Failed")) && pod.metadata.deletion_timestamp.is_none()
}

/// Phase of a run by the last container of its pod that has started.
fn last_phase(pod: &Pod) -> Option<&'static str> {
    let phases = [
        (PUBLISH, "Publishing"),
        (PROVE, "Proving"),
        (OPTIMIZE, "Optimizing"),
        (TRAIN, TRAINING_PHASE),
        (PREPARE, "Preparing"),
        (CONVERT, "Converting"),
        (FETCH, "Fetching"),
    ];
    phases.into_iter().find(|(container, _)| has_started(pod, container)).map(|(_, phase)| phase)
}
