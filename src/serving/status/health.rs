//! How a ModelDeployment is: whether it serves, what is under way or stands still, and why, in one word and for people. Pure.

use super::{Blocked, Inputs, describe, number, record, said_so};
use crate::{
    api::condition::{RECONCILING, STALLED},
    problem::Problem,
    serving::{
        record::Record,
        rollout::{
            self,
            outcome::{DEADLINE_EXCEEDED, overdue_message, problem},
        },
        version::Missing,
    },
};

/// Reason of a rollout that stands because of the cluster.
const WAITS_FOR_CLUSTER: &str = "WaitingForCluster";

/// How a ModelDeployment is, in the words of its conditions.
pub(super) struct Health {
    pub ready: bool,
    pub ready_word: Problem,
    /// Reconciling or Stalled, if any.
    pub further: Option<&'static str>,
    pub promoted: bool,
    pub phase: &'static str,
    /// Why, in one word and for people.
    pub word: Problem,
}

pub(super) fn health(inputs: &Inputs<'_>) -> Health {
    let (desired, observed, decision) = (inputs.desired, inputs.observed, inputs.decision);
    let stable = decision.stable.as_deref();
    let target = desired.target.as_deref();
    let serving = observed
        .revisions
        .values()
        .flat_map(|revision| &revision.pods)
        .filter(|pod| pod.in_service(&observed.draining))
        .count();
    let settles = target.is_some() && target == stable && inputs.blocked.is_none();
    let drains = number(draining(inputs));
    let promoted = settles && drains == 0;
    let serves = stable.is_some() && (serving > 0 || (desired.replicas == 0 && settles));
    let course = if target.is_some() && target == stable {
        if drains == 0 { settled(inputs, number(serving)) } else { giving_way(inputs, drains) }
    } else {
        under_way(inputs)
    };
    let (further, phase, word) = match inputs.blocked {
        None => course,
        Some(blocked) => {
            let (further, phase, mut word) = obstructed(blocked);
            // a write that did not succeed stops itself only: what else there is to say goes on
            if target.is_some() && matches!(blocked, Blocked::Refused(_) | Blocked::Unwritten(_)) {
                word.message = format!("{}; besides: {}", word.message, course.2.message);
            }
            (further, phase, word)
        }
    };
    let ready_word = match (serves, stable) {
        (true, Some(_)) if serving == 0 => {
            said_so("ScaledToZero", "spec.replicas is 0: nothing serves, as asked")
        }
        (true, Some(stable)) => {
            let revision = serving_revision(inputs, stable);
            said_so("Serving", &format!("{} serves", describe(inputs.data, revision)))
        }
        _ => word.clone(),
    };
    Health { ready: serves, ready_word, further, promoted, phase, word }
}

type Course = (Option<&'static str>, &'static str, Problem);

fn obstructed(blocked: &Blocked) -> Course {
    match blocked {
        Blocked::Invalid(message) => (Some(STALLED), "Degraded", said_so("InvalidSpec", message)),
        Blocked::Refused(problem) => (Some(STALLED), "Degraded", problem.clone()),
        Blocked::Missing(missing) if !missing.waits => (Some(STALLED), "Degraded", missing.problem.clone()),
        Blocked::Missing(Missing { problem, .. }) | Blocked::Unwritten(problem) => {
            (Some(RECONCILING), "Progressing", problem.clone())
        }
    }
}

/// The target is stable; pods may be missing.
fn settled(inputs: &Inputs<'_>, serving: u32) -> Course {
    let (desired, stable) = (inputs.desired, inputs.decision.stable.as_deref().unwrap_or_default());
    let count = format!("{serving} of {} pods take traffic", desired.replicas);
    if serving >= desired.replicas {
        return (
            None,
            "Healthy",
            said_so("Promoted", &format!("{} serves: {count}", describe(inputs.data, stable))),
        );
    }
    let why = problem(inputs.observed, stable);
    let reason = why.map_or("PodsNotReady", |why| &why.reason);
    let message = why.map_or(count.clone(), |why| format!("{count}: {}", why.message));
    (Some(RECONCILING), "Progressing", said_so(reason, &message))
}

/// Pods of other revisions than the stable one that a client may still reach.
fn draining(inputs: &Inputs<'_>) -> usize {
    let observed = inputs.observed;
    let others = observed
        .revisions
        .iter()
        .filter(|(name, _)| Some(name.as_str()) != inputs.decision.stable.as_deref());
    others
        .flat_map(|(_, revision)| {
            let left =
                |pod: &rollout::Pod| pod.removable(&observed.draining, revision.drain_timeout, inputs.now);
            revision.alive().filter(move |pod| pod.started && !left(pod))
        })
        .count()
}

/// The target is stable, as after a revert in the middle of a rollout, and pods of the other revision are leaving.
fn giving_way(inputs: &Inputs<'_>, drains: u32) -> Course {
    let stable = inputs.decision.stable.as_deref().unwrap_or_default();
    let message = format!(
        "{}; {drains} pods of other revisions leave as soon as their clients have left",
        stands(inputs, stable, "serves")
    );
    (Some(RECONCILING), "Progressing", said_so("Draining", &message))
}

/// The target is another than the stable revision.
fn under_way(inputs: &Inputs<'_>) -> Course {
    let (desired, observed, decision) = (inputs.desired, inputs.observed, inputs.decision);
    let Some(target) = desired.target.as_deref() else {
        return (
            Some(RECONCILING),
            "Progressing",
            said_so("Resolving", "the spec's revision is not known yet"),
        );
    };
    let empty = Record::default();
    let record = record(inputs, target).unwrap_or(&empty);
    let described = describe(inputs.data, target);
    let stable = decision.stable.as_deref();
    let stable =
        stable.map(|stable| format!("; {}", stands(inputs, stable, "serves on"))).unwrap_or_default();
    if let Some(reason) = &record.quarantine {
        let why = record.message.clone().unwrap_or_default();
        let message = format!(
            "{described} was rolled back: {why}{stable}; change the spec, or ask for a retry of revision {target}"
        );
        return (Some(STALLED), "Degraded", said_so(reason, &message));
    }
    let ready = observed.revisions.get(target).map_or(0, |revision| {
        revision.pods.iter().filter(|pod| pod.verified && pod.in_service(&observed.draining)).count()
    });
    let unreached = if observed.unreached { "; their Service does not answer yet" } else { "" };
    let count =
        format!("{ready} of {} pods of {described} take traffic{unreached}{stable}", desired.replicas);
    if desired.paused {
        return (Some(RECONCILING), "Paused", said_so("Paused", &format!("spec.paused is true: {count}")));
    }
    let why = problem(observed, target);
    if decision.overdue {
        let message = format!("{}; {count}", overdue_message(desired, observed, target));
        let reason = why.map_or(DEADLINE_EXCEEDED, |why| &why.reason);
        return (Some(STALLED), "Degraded", said_so(reason, &message));
    }
    if decision.waits_for_cluster {
        let message = format!(
            "{count}: the cluster's controllers have not done yet what they were asked for, and say nothing of why{}; the progress deadline waits for them",
            why.map_or(String::new(), |why| format!(" ({})", why.message))
        );
        return (Some(RECONCILING), "Progressing", said_so(WAITS_FOR_CLUSTER, &message));
    }
    let reason = why.map_or(if stable.is_empty() { "Starting" } else { "RollingOut" }, |why| &why.reason);
    let message = why.map_or(count.clone(), |why| format!("{count}: {}", why.message));
    (Some(RECONCILING), "Progressing", said_so(reason, &message))
}

/// Whether a pod of a revision takes traffic.
fn takes_traffic(inputs: &Inputs<'_>, revision: &str) -> bool {
    let observed = inputs.observed;
    let pods = observed.revisions.get(revision).into_iter().flat_map(|revision| &revision.pods);
    pods.into_iter().any(|pod| pod.in_service(&observed.draining))
}

/// Of the revisions whose pods take traffic, the one to name: `stable`, if it has any.
fn serving_revision<'a>(inputs: &Inputs<'a>, stable: &'a str) -> &'a str {
    let mut others = inputs.observed.revisions.keys().filter(|name| takes_traffic(inputs, name));
    if takes_traffic(inputs, stable) { stable } else { others.next_back().map_or(stable, String::as_str) }
}

/// What the stable revision does, in the words for one that takes traffic, or that none of its pods does.
fn stands(inputs: &Inputs<'_>, stable: &str, words: &str) -> String {
    let described = describe(inputs.data, stable);
    if takes_traffic(inputs, stable) {
        return format!("{described} {words}");
    }
    format!("no pod of {described}, which is the stable revision, takes traffic")
}
