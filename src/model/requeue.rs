//! When a Model is looked at again though nothing changes. Pure.

use std::time::Duration;

use k8s_openapi::jiff::SignedDuration;
use kube::runtime::controller::Action;

use super::{
    plan::{Plan, Step},
    run::{RunState, phases::Phase},
    status::ModelState,
};

/// A look at everything, in case that something was missed.
pub(super) const RESYNC: Duration = Duration::from_mins(10);
/// A look at a run that waits: the reason may be in events, which are not watched.
pub(super) const WAITING: Duration = Duration::from_secs(5);
/// The same of one that has waited for minutes.
const WAITING_LONG: Duration = Duration::from_mins(1);
/// A look at how far a training is.
const TRAINING: Duration = Duration::from_secs(10);

/// When to look again; `waited` is how long the newest has waited of what was asked about.
pub(super) fn next_look(plan: Option<&Plan>, state: &ModelState, waited: Option<SignedDuration>) -> Action {
    if matches!(state, ModelState::Blocked(_)) {
        return Action::requeue(RESYNC);
    }
    let waited = waited.map(|waited| Duration::try_from(waited).unwrap_or_default());
    let run = plan.and_then(|plan| plan.run.as_ref());
    let phase = run.map_or("", |run| run.status.phase.as_str());
    let wait = match (plan.map(|plan| &plan.step), run.map(|run| &run.state)) {
        // of another Job that reads what a lost one made, nothing may be announced either
        (Some(Step::Start | Step::Recall { .. }), _) | (Some(Step::Follow { .. }), Some(RunState::Lost)) => {
            WAITING
        }
        (Some(Step::Wait { time, .. }), _) => *time,
        // a change of its Job tells when it goes on; what Kueue says of its place in a queue is not watched
        (_, Some(RunState::Active { .. })) if phase == "Suspended" => {
            waited.map_or(RESYNC, |waited| (waited / 4).clamp(WAITING, RESYNC))
        }
        // Each look asks for events: of what waits for hours, no twelve times a minute. What has no other reason than its
        // pod's own status tells is announced by that.
        (_, Some(RunState::Active { started: false, .. })) => {
            waited.map_or(RESYNC, |waited| (waited / 4).clamp(WAITING, WAITING_LONG))
        }
        (_, Some(RunState::Active { .. })) if Phase::tells_progress(phase) => TRAINING,
        // what a container tries again is announced by nothing
        (_, Some(RunState::Active { .. })) => WAITING,
        _ => RESYNC,
    };
    Action::requeue(wait)
}
