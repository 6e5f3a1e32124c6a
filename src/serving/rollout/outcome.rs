//! What is recorded: which rollout starts, gets further, ends, and how. In go the intent, what is observed and the time;
//! out come the records as they should be, and what follows from them. Pure.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::jiff::Timestamp;

use super::{ASK_AGAIN, Desired, Observed, Pod, count, elapsed, stable_of};
use crate::{
    api::model_deployment::{Action, ActionRequest},
    problem::Problem,
    serving::record::{Outcome, Progress, Record},
};

/// Quarantine of a revision without progress within its deadline.
pub const DEADLINE_EXCEEDED: &str = "ProgressDeadlineExceeded";
/// Quarantine of a revision that a person stopped.
pub const ABORTED: &str = "Aborted";

/// How long after the last progress the cluster may take before the clock stands: what is done at once needs no record.
const PROMPTLY: Duration = Duration::from_secs(2);
/// How often the clock may stand between two steps of progress. Bounded, so that a revision whose pods are made anew for ever
/// is judged in the end.
const MOST_STOPS: u32 = 10;

/// The records as they should be, and what follows from them.
pub(super) struct Transition {
    pub records: BTreeMap<String, Record>,
    pub stable: Option<String>,
    pub goal: Option<String>,
    /// Whether the goal may not get further.
    pub held: bool,
    pub overdue: bool,
    pub waits_for_cluster: bool,
    pub deadline_in: Option<Duration>,
    /// Why a person's action had no effect, if it had none.
    pub void: Option<String>,
}

impl Transition {
    /// Whether this revision is the one that was promoted last.
    pub fn is_stable(&self, revision: &str) -> bool {
        self.stable.as_deref() == Some(revision)
    }
}

pub(super) fn transition(desired: &Desired, observed: &Observed, now: Timestamp) -> Transition {
    let mut records: BTreeMap<_, _> =
        observed.revisions.iter().map(|(name, revision)| (name.clone(), revision.record.clone())).collect();
    let stable = stable_of(&records).map(str::to_owned);
    let mut transition = Transition {
        goal: stable.clone(),
        stable,
        held: false,
        overdue: false,
        waits_for_cluster: false,
        deadline_in: None,
        void: None,
        records: BTreeMap::new(),
    };
    if let Some(target) = &desired.target {
        leave_others(&mut records, target, transition.stable.as_deref(), now);
        let stable = transition.stable.as_deref();
        transition.void = observed
            .request
            .as_ref()
            .and_then(|request| apply_request(&mut records, request, target, stable, now).err());
        judge_target(&mut records, desired, observed, target, &mut transition, now);
    } else if let Some((name, record)) = half_way(&mut records) {
        // what serves goes on serving, and what is half-way stays there
        record.progress = None;
        transition.goal = Some(name.clone());
        transition.held = true;
    }
    transition.records = records;
    transition
}

/// The revision whose rollout is under way.
fn half_way(records: &mut BTreeMap<String, Record>) -> Option<(&String, &mut Record)> {
    records
        .iter_mut()
        .filter(|(_, record)| record.outcome == Some(Outcome::Progressing))
        .max_by_key(|(_, record)| record.number)
}

/// The spec moved on: what it no longer asks for is superseded. What was refused stays so, also when the spec returns to it
/// (R5).
fn leave_others(records: &mut BTreeMap<String, Record>, target: &str, stable: Option<&str>, now: Timestamp) {
    for (name, record) in records.iter_mut().filter(|(name, _)| *name != target) {
        record.progress = None;
        if record.outcome == Some(Outcome::Progressing) && stable != Some(name) {
            record.outcome = Some(Outcome::Superseded);
            record.time = Some(now);
            record.message = Some("the spec changed before it was promoted".into());
        }
    }
}

/// A person's action on the present target; one that was done before, or means another revision, is void, and out comes why.
fn apply_request(
    records: &mut BTreeMap<String, Record>,
    request: &ActionRequest,
    target: &str,
    stable: Option<&str>,
    now: Timestamp,
) -> Result<(), String> {
    if request.revision != target {
        return Err(format!("the spec asks for revision {target} by now"));
    }
    let record = records.get_mut(target).ok_or("it has no rollout yet")?;
    let id = Some(request.id.clone());
    if record.request == id {
        return Err(format!("an action with the id {} has taken effect on it; give another id", request.id));
    }
    match (request.action, &record.quarantine) {
        (Action::Abort, Some(_)) => Err("its rollout has ended".into()),
        (Action::Abort, None) if stable.is_none() => Err("there is no stable revision to go back to".into()),
        (Action::Abort, None) if stable == Some(target) => {
            Err("it is stable: no rollout is under way".into())
        }
        (Action::Abort, None) => {
            *record = Record {
                outcome: Some(Outcome::Aborted),
                message: Some("a person stopped the rollout".into()),
                time: Some(now),
                quarantine: Some(ABORTED.into()),
                progress: None,
                request: id,
                ..record.clone()
            };
            Ok(())
        }
        (Action::Retry, Some(_)) => {
            record.quarantine = None;
            record.request = id;
            Ok(())
        }
        (Action::Retry, None) => Err("it is not refused: there is nothing to try again".into()),
    }
}

fn judge_target(
    records: &mut BTreeMap<String, Record>,
    desired: &Desired,
    observed: &Observed,
    target: &str,
    transition: &mut Transition,
    now: Timestamp,
) {
    let next_number = 1 + records.values().map(|record| record.number).max().unwrap_or_default();
    let next_promotion = 1 + records.values().filter_map(|record| record.promoted).max().unwrap_or_default();
    let record = records.entry(target.to_owned()).or_default();
    if record.number == 0 || record.number + 1 != next_number {
        record.number = next_number;
    }
    if transition.stable.as_deref() == Some(target) {
        record.progress = None;
        return;
    }
    if record.quarantine.is_some() {
        return;
    }
    transition.goal = Some(target.to_owned());
    if record.outcome != Some(Outcome::Progressing) {
        *record = Record {
            outcome: Some(Outcome::Progressing),
            message: None,
            time: Some(now),
            progress: None,
            ..record.clone()
        };
    }
    if desired.paused {
        record.progress = None;
        transition.held = true;
        return;
    }
    let serving = serving(observed, target);
    if observed.unreached && transition.stable.is_none() {
        transition.deadline_in = Some(ASK_AGAIN);
    } else if serving >= desired.replicas && others_left(observed, target, now) {
        *record = Record {
            outcome: Some(Outcome::Promoted),
            time: Some(now),
            promoted: Some(next_promotion),
            proven: record.proven || desired.replicas > 0,
            progress: None,
            ..record.clone()
        };
        transition.stable = Some(target.to_owned());
        return;
    }
    let asked = observed.revisions.get(target).map_or(0, super::Revision::asked);
    let progress = match record.progress {
        Some(old) if old.since > now => Progress { since: now, ..old },
        Some(old) if serving > old.ready || asked > old.wanted => {
            let (ready, wanted) = (old.ready.max(serving), old.wanted.max(asked));
            Progress { since: now, ready, wanted, stands: false, stood: 0 }
        }
        Some(old) => old,
        // nothing that serves is in the way of a first start, so all pods are asked for at once
        None if transition.stable.is_none() => {
            let wanted = asked.max(desired.replicas);
            Progress { since: now, ready: serving, wanted, stands: false, stood: 0 }
        }
        None => Progress { since: now, ready: serving, wanted: asked, stands: false, stood: 0 },
    };
    // a deadline is for the revision: while the cluster owes what it was asked for, nobody can say how the revision does
    let owes = cluster_owes(observed, target);
    // a first start is never given up, so it is soon enough to ask when it would be overdue
    let is_first = transition.stable.is_none();
    let late = if is_first { desired.progress_deadline } else { PROMPTLY.min(desired.progress_deadline / 2) };
    let is_late = elapsed(progress.since, now) >= late;
    let progress = match (owes, progress.stands) {
        (true, false) if is_late && progress.stood < MOST_STOPS => {
            Progress { stands: true, stood: progress.stood + 1, ..progress }
        }
        (false, true) => Progress { since: now, stands: false, ..progress },
        _ => progress,
    };
    record.progress = Some(progress);
    // all that was started is ready: the rollout waits for pods that drain, not for this revision
    if serving >= asked.max(1).min(desired.replicas) {
        return;
    }
    if progress.stands {
        transition.waits_for_cluster = true;
        return;
    }
    if owes && !is_late {
        transition.deadline_in = Some(late.saturating_sub(elapsed(progress.since, now)));
        return;
    }
    let elapsed = elapsed(progress.since, now);
    if elapsed < desired.progress_deadline {
        transition.deadline_in = Some(desired.progress_deadline.saturating_sub(elapsed));
    } else if desired.auto_rollback && transition.stable.is_some() {
        *record = Record {
            outcome: Some(Outcome::RolledBack),
            message: Some(overdue_message(desired, observed, target)),
            time: Some(now),
            quarantine: Some(DEADLINE_EXCEEDED.into()),
            progress: None,
            ..record.clone()
        };
        transition.goal.clone_from(&transition.stable);
    } else {
        transition.overdue = true;
    }
}

/// Whether the cluster has not done yet what it was asked for, and says nothing of why: a ReplicaSet that its controller has
/// not acted on, a pod that no scheduler or kubelet has begun with, a ready one that no endpoint names. What it refuses (a
/// quota, no node that fits) it says, and that is judged.
pub fn cluster_owes(observed: &Observed, target: &str) -> bool {
    let Some(revision) = observed.revisions.get(target) else { return true };
    let Some(scale) = revision.scale else { return true };
    let silent = |pod: &Pod| {
        (!pod.taken_up && pod.problem.is_none())
            || (pod.ready && pod.verified && !pod.routed && pod.stays(&observed.draining))
    };
    (!scale.settled && revision.problem.is_none()) || revision.alive().any(silent)
}

/// Pods of the target that take traffic and say themselves that they are what was asked for.
fn serving(observed: &Observed, target: &str) -> u32 {
    observed.revisions.get(target).map_or(0, |revision| {
        count(revision.pods.iter().filter(|pod| pod.verified && pod.in_service(&observed.draining)).count())
    })
}

/// Whether no pod of another revision has a client or can get one: the Service still sends connections to a pod for a
/// moment after it was told to leave, so its own word that it is drained counts.
fn others_left(observed: &Observed, target: &str, now: Timestamp) -> bool {
    observed.revisions.iter().filter(|(name, _)| *name != target).all(|(_, revision)| {
        revision.alive().all(|pod| pod.removable(&observed.draining, revision.drain_timeout, now))
    })
}

/// Why a rollout is overdue, in the words of its pods.
pub fn overdue_message(desired: &Desired, observed: &Observed, target: &str) -> String {
    let seconds = desired.progress_deadline.as_secs_f64();
    match problem(observed, target) {
        Some(problem) => {
            format!("no further pod became ready within {seconds} s: {}: {}", problem.reason, problem.message)
        }
        None => format!("no further pod became ready within {seconds} s"),
    }
}

/// What keeps a revision from serving: of its pods, the oldest first, or what keeps it from having pods.
pub fn problem<'a>(observed: &'a Observed, revision: &str) -> Option<&'a Problem> {
    let revision = observed.revisions.get(revision)?;
    let mut pods: Vec<_> = revision.alive().collect();
    pods.sort_by_key(|pod| (pod.created, &pod.name));
    pods.into_iter().find_map(|pod| pod.problem.as_ref()).or(revision.problem.as_ref())
}
