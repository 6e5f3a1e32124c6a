//! What Kueue says of a run in one of its queues. In goes the status of its Workload; out come words for people. Pure.

use serde::Deserialize;

use super::waits::problem;
use crate::problem::Problem;

/// Reason of an eviction, and of what the Model says of it: the pod was not Ready in time.
const PODS_READY_TIMEOUT: &str = "PodsReadyTimeout";

/// Status of a Workload, as far as it is read.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct Workload {
    conditions: Vec<Condition>,
    scheduling_stats: Statistics,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
struct Condition {
    #[serde(rename = "type")]
    type_: String,
    status: String,
    reason: String,
    message: String,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
struct Statistics {
    evictions: Vec<Evictions>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
struct Evictions {
    reason: String,
    count: u32,
}

impl Workload {
    fn condition(&self, type_: &str, status: &str) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.type_ == type_ && condition.status == status)
    }

    /// How often the run was stopped because its pod was not Ready in time.
    fn timeouts(&self) -> u32 {
        let all = self.scheduling_stats.evictions.iter();
        all.filter(|evictions| evictions.reason == PODS_READY_TIMEOUT).map(|evictions| evictions.count).sum()
    }
}

/// Why a run of a queue stands still.
pub fn of_suspended(queue: &str, workload: Option<&Workload>) -> Problem {
    let pending = workload.and_then(|workload| workload.condition("QuotaReserved", "False"));
    let evicted = workload.and_then(|workload| workload.condition("Evicted", "True"));
    // until Kueue has looked for a place again, the one repeats the other
    let pending =
        pending.map(|it| it.message.as_str()).filter(|it| evicted.is_none_or(|old| old.message != *it));
    let is_out = evicted.is_some_and(|evicted| evicted.reason.starts_with("Deactivated"));
    let next = if is_out {
        "until somebody sets spec.active of its Workload to true again, it stays out"
    } else {
        "it starts anew, or from its checkpoint, when it is admitted again"
    };
    let timeouts = workload.map_or(0, Workload::timeouts);
    let message = match (evicted, pending) {
        (Some(evicted), _) if evicted.reason == PODS_READY_TIMEOUT || (is_out && timeouts > 0) => {
            return timed_out(timeouts, next);
        }
        (Some(Condition { reason, message, .. }), pending) => format!(
            "Kueue took the run out of queue {queue}'s quota ({reason}: {message}); this is no failure of the run: {next}{}",
            pending.map(|why| format!("; now: {why}")).unwrap_or_default()
        ),
        (None, Some(why)) => format!("the run waits for quota in Kueue's queue {queue}: {why}"),
        (None, None) => format!(
            "the run waits in Kueue's queue {queue} until it is admitted; `kubectl describe workloads` says what it waits for"
        ),
    };
    problem("Suspended", message)
}

/// What a run that goes on must fear, because it happened to it before.
pub fn of_running(workload: &Workload) -> Option<Problem> {
    let again = "a run that takes longer is stopped again";
    Some(workload.timeouts()).filter(|times| *times > 0).map(|times| timed_out(times, again))
}

/// The work of a run is in init containers, so that its pod is Ready only in the moment when it publishes.
fn timed_out(times: u32, next: &str) -> Problem {
    problem(
        PODS_READY_TIMEOUT,
        format!(
            "Kueue stopped the run because its pod was not Ready within waitForPodsReady.timeout ({times} times so far), and a run's pod is not Ready before it publishes: \
             ask whoever administers Kueue for a timeout above spec.training.run.activeDeadlineSeconds; {next}"
        ),
    )
}
