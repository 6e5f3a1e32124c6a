//! Who serves, who leaves, who is started. In go the intent, what is observed, and the verdict on the goal; out come the
//! pods to tell and the replicas of each revision. Pure.
//!
//! R3: a pod in service is told to leave only where `replicas` others are in service. R8: pods of other revisions are
//! given up one for one as pods of the goal take traffic. R9: while the goal is not promoted, the stable revision keeps a
//! pod.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use k8s_openapi::jiff::Timestamp;

use super::{Decision, Desired, Observed, POLL, Pod, Revision, count, outcome::Transition};

/// How many pods of a revision stay, besides those that drain.
struct Share<'a> {
    name: &'a str,
    revision: &'a Revision,
    stay: u32,
}

pub(super) fn plan_replicas(
    desired: &Desired,
    observed: &Observed,
    transition: &Transition,
    now: Timestamp,
) -> Decision {
    let mut decision = Decision::default();
    let Some(goal) = transition.goal.as_deref() else {
        decision.draining.clone_from(&observed.draining);
        return decision;
    };
    let unseen = Revision::default();
    let revision = observed.revisions.get(goal).unwrap_or(&unseen);
    let promoted = transition.stable.as_deref() == Some(goal);
    let draining = &observed.draining;

    let mut leaving = BTreeSet::new();
    let mut recalled = BTreeSet::new();
    let kept = keep_goal(desired, draining, revision, &mut leaving, &mut recalled);
    // the stable revision has proven itself; any other goal must say itself that it is what was asked for
    let serving = kept.iter().filter(|pod| pod.in_service(draining) && (promoted || pod.verified)).count();
    let others = keep_others(desired, observed, transition, count(serving), &mut leaving, &mut recalled);

    let mut plan = ReplicaPlan { desired, observed, leaving: &leaving, now, replicas: BTreeMap::new() };
    for other in &others {
        let fallback = !promoted && transition.stable.as_deref() == Some(other.name);
        plan.shrink(other, fallback && other.revision.alive().any(|pod| pod.started));
    }
    plan.shrink(&Share { name: goal, revision, stay: desired.replicas }, false);
    if !promoted
        && let Some(stable) = others.iter().find(|other| transition.stable.as_deref() == Some(other.name))
    {
        plan.grow(stable, stable.stay);
    }
    if !transition.held {
        plan.grow(&Share { name: goal, revision, stay: desired.replicas }, desired.replicas);
    }
    decision.replicas = plan.replicas;
    decision.replicas.retain(|name, replicas| {
        observed.revisions.get(name).and_then(|r| r.scale).map(|s| s.replicas) != Some(*replicas)
    });
    if revision.scale.is_none() && !transition.held {
        decision.replicas.entry(goal.to_owned()).or_insert(0);
    }
    decision.remove = others
        .iter()
        .filter(|other| other.revision.scale.is_none() && !decision.replicas.contains_key(other.name))
        .flat_map(|other| other.revision.alive().map(move |pod| (pod, other.revision.drain_timeout)))
        .filter(|(pod, timeout)| pod.removable(draining, *timeout, now))
        .map(|(pod, _)| pod.name.clone())
        .collect();
    decision.retire = others
        .iter()
        .filter(|other| other.revision.scale.is_some_and(|scale| scale.replicas == 0))
        .filter(|other| other.revision.pods.is_empty() && !decision.replicas.contains_key(other.name))
        .map(|other| other.name.to_owned())
        .collect();
    write_down(&mut decision, observed, &leaving, &recalled, !promoted && !transition.held, now);
    decision
}

/// Pods of the goal that stay: all up to `replicas`, those that serve first.
fn keep_goal<'a>(
    desired: &Desired,
    draining: &BTreeSet<String>,
    revision: &'a Revision,
    leaving: &mut BTreeSet<&'a str>,
    recalled: &mut BTreeSet<&'a str>,
) -> Vec<&'a Pod> {
    let mut kept: Vec<_> = revision.alive().filter(|pod| pod.stays(draining)).collect();
    kept.sort_by_key(|pod| (!pod.in_service(draining), !pod.verified, pod.created, &pod.name));
    let room = desired.replicas as usize;
    leaving.extend(kept.iter().skip(room).map(|pod| pod.name.as_str()));
    kept.truncate(room);
    recall(revision, draining, room - kept.len(), &|_| true, recalled);
    kept
}

/// Pods of other revisions that stay until the goal has taken over, the stable revision's first.
fn keep_others<'a>(
    desired: &Desired,
    observed: &'a Observed,
    transition: &'a Transition,
    serving: u32,
    leaving: &mut BTreeSet<&'a str>,
    recalled: &mut BTreeSet<&'a str>,
) -> Vec<Share<'a>> {
    let draining = &observed.draining;
    let goal = transition.goal.as_deref();
    let is_stable = |name: &str| transition.stable.as_deref() == Some(name);
    let mut others: Vec<_> = observed
        .revisions
        .iter()
        .filter(|(name, _)| Some(name.as_str()) != goal)
        .map(|(name, revision)| Share { name, revision, stay: 0 })
        .collect();
    others.sort_by_key(|other| {
        (other.revision.is_aside, !is_stable(other.name), Reverse(other.revision.record.number))
    });
    let mut needed = desired.replicas.saturating_sub(serving) as usize;
    if transition.held {
        // a rollout that stands still gives up only what `replicas` no longer allows
        let revisions = others.iter().map(|other| other.revision).filter(|revision| !revision.is_aside);
        let present = revisions.flat_map(Revision::alive).filter(|pod| pod.stays(draining));
        let goal_pods = goal.and_then(|goal| observed.revisions.get(goal)).map_or(0, occupied);
        let room = (desired.replicas + desired.max_surge).saturating_sub(goal_pods) as usize;
        needed = needed.max(present.count().min(room));
    }
    let mut kept = Kept { draining, pods: BTreeSet::new(), missing: needed };
    // the way back serves among the others: kept beside them, it would take the place of the surge for good
    if let Some(stable) = others.first_mut().filter(|other| is_stable(other.name) && needed > 0) {
        kept.take(stable, needed, &|pod| pod.ready);
        if stable.stay == 0 {
            kept.take(stable, 1, &|pod| pod.started);
        }
        if !stable.revision.alive().any(|pod| pod.stays(draining)) {
            kept.recall(stable, 1, &|pod| pod.started, recalled);
        }
    }
    for other in &mut others {
        kept.take(other, needed, &|pod| pod.ready);
    }
    // a pod that is not ready may be again; one that never was counts only in the stable revision
    for other in &mut others {
        let stable = is_stable(other.name);
        kept.take(other, needed, &|pod| stable || pod.started);
    }
    // one that is ready and that the Service has not got yet takes the place of none that it has
    let pods = others.iter().flat_map(|other| other.revision.alive());
    let serving = pods.filter(|pod| kept.pods.contains(pod.name.as_str()) && pod.in_service(draining));
    let mut lacking = needed.saturating_sub(serving.count());
    for other in &mut others {
        let mut pods: Vec<_> = other.revision.alive().filter(|pod| pod.in_service(draining)).collect();
        pods.sort_by_key(|pod| (pod.created, &pod.name));
        for pod in pods {
            if lacking > 0 && kept.pods.insert(pod.name.as_str()) {
                lacking -= 1;
                other.stay += 1;
            }
        }
    }
    for other in &mut others {
        let stable = is_stable(other.name);
        kept.recall(other, kept.missing, &|pod| stable || pod.started, recalled);
    }
    // what the stable revision lacks is started again
    if let Some(stable) = others.iter_mut().find(|other| is_stable(other.name)) {
        stable.stay += count(kept.missing);
    }
    for other in &others {
        let untold = other.revision.alive().filter(|pod| pod.stays(draining));
        leaving.extend(untold.map(|pod| pod.name.as_str()).filter(|name| !kept.pods.contains(name)));
    }
    others
}

/// Pods of other revisions that stay, and how many are still missing.
struct Kept<'a> {
    draining: &'a BTreeSet<String>,
    pods: BTreeSet<&'a str>,
    missing: usize,
}

impl<'a> Kept<'a> {
    /// Keeps up to `most` pods of a revision that were not told to leave, the oldest first.
    fn take(&mut self, share: &mut Share<'a>, most: usize, wanted: &dyn Fn(&Pod) -> bool) {
        let is_free =
            |pod: &&Pod| pod.stays(self.draining) && wanted(pod) && !self.pods.contains(pod.name.as_str());
        let mut pods: Vec<_> = share.revision.alive().filter(is_free).collect();
        pods.sort_by_key(|pod| (pod.created, &pod.name));
        pods.truncate(most.min(self.missing));
        self.missing -= pods.len();
        share.stay += count(pods.len());
        self.pods.extend(pods.into_iter().map(|pod| pod.name.as_str()));
    }

    /// Takes up to `most` pods of a revision that were told to leave back into service.
    fn recall(
        &mut self,
        share: &mut Share<'a>,
        most: usize,
        wanted: &dyn Fn(&Pod) -> bool,
        recalled: &mut BTreeSet<&'a str>,
    ) {
        let back = recall(share.revision, self.draining, most.min(self.missing), wanted, recalled);
        self.missing -= back;
        share.stay += count(back);
    }
}

/// Takes up to `room` pods that were told to leave back into service, unless the ReplicaSet may be deleting them.
fn recall<'a>(
    revision: &'a Revision,
    draining: &BTreeSet<String>,
    room: usize,
    wanted: &dyn Fn(&Pod) -> bool,
    recalled: &mut BTreeSet<&'a str>,
) -> usize {
    let alive = revision.alive().count();
    if !revision.scale.is_some_and(|scale| scale.settled && alive <= scale.replicas as usize) {
        return 0;
    }
    let mut told: Vec<_> = revision.alive().filter(|pod| !pod.stays(draining) && wanted(pod)).collect();
    told.sort_by_key(|pod| (!pod.started, Reverse(pod.leaving_since), &pod.name));
    let before = recalled.len();
    recalled.extend(told.into_iter().take(room).map(|pod| pod.name.as_str()));
    recalled.len() - before
}

/// Replicas of the revisions, kept within `replicas + max_surge` where they grow.
struct ReplicaPlan<'a> {
    desired: &'a Desired,
    observed: &'a Observed,
    leaving: &'a BTreeSet<&'a str>,
    now: Timestamp,
    replicas: BTreeMap<String, u32>,
}

impl ReplicaPlan<'_> {
    /// Lowers replicas to what stays and what still drains; a `fallback` keeps its last pod. Pods that are being made are
    /// waited for: the ReplicaSet could delete another in their place.
    fn shrink(&mut self, share: &Share<'_>, fallback: bool) {
        let (asked, revision) = (share.revision.asked(), share.revision);
        if !revision.scale.is_some_and(|scale| scale.settled) {
            return;
        }
        let draining = &self.observed.draining;
        let alive = count(revision.alive().count());
        let told = |pod: &&Pod| !pod.stays(draining) || self.leaving.contains(pod.name.as_str());
        let removable_pods = self.removable(revision);
        let held = count(revision.alive().filter(told).count()) - removable_pods;
        let mut needed = (share.stay + held).max(alive - removable_pods);
        if needed == 0 && fallback {
            needed = 1;
        }
        if needed < asked {
            self.replicas.insert(share.name.to_owned(), needed);
        }
    }

    /// How many pods the ReplicaSet may delete: it takes what was told first, so one that has clients, or comes to life
    /// again, holds those that were told with it or later.
    fn removable(&self, revision: &Revision) -> u32 {
        let draining = &self.observed.draining;
        let told_at = |pod: &Pod| pod.leaving_since.map(Timestamp::as_second);
        let (removable, held): (Vec<_>, Vec<_>) = revision
            .alive()
            .filter(|pod| !pod.stays(draining))
            .partition(|pod| pod.removable(draining, revision.drain_timeout, self.now));
        let first_held = held.into_iter().map(told_at).min();
        count(removable.into_iter().filter(|pod| first_held.is_none_or(|held| told_at(pod) < held)).count())
    }

    /// Raises replicas towards `wanted` as far as all pods together stay within the surge.
    fn grow(&mut self, share: &Share<'_>, wanted: u32) {
        let others: u32 = self
            .observed
            .revisions
            .iter()
            .filter(|(name, revision)| *name != share.name && !revision.is_aside)
            .map(|(name, revision)| {
                let asked = self.replicas.get(name).copied().unwrap_or(revision.asked());
                asked.max(count(revision.alive().count()))
            })
            .sum();
        let room = (self.desired.replicas + self.desired.max_surge).saturating_sub(others);
        let wanted = wanted.min(room);
        if wanted > share.revision.asked() {
            self.replicas.insert(share.name.to_owned(), wanted);
        }
    }
}

fn occupied(revision: &Revision) -> u32 {
    revision.asked().max(count(revision.alive().count()))
}

/// The list of draining pods, the labels that differ from it, and when to look at them again.
fn write_down(
    decision: &mut Decision,
    observed: &Observed,
    leaving: &BTreeSet<&str>,
    recalled: &BTreeSet<&str>,
    asks: bool,
    now: Timestamp,
) {
    for pod in observed.revisions.values().flat_map(|revision| &revision.pods) {
        let name = pod.name.as_str();
        let told = !pod.stays(&observed.draining) && !pod.terminating && !recalled.contains(name);
        let listed = observed.draining.contains(name) || !pod.labelled;
        if leaving.contains(name) || told || (pod.terminating && listed) {
            decision.draining.insert(pod.name.clone());
        }
        if pod.terminating {
            continue;
        }
        // a time to come is left from a step of the clock: the drain starts again
        let unsure = pod.labelled || pod.leaving_since.is_none_or(|since| since > now);
        if (leaving.contains(name) || told) && unsure {
            decision.drain.insert(pod.name.clone());
        } else if recalled.contains(name) && !pod.labelled {
            decision.undrain.insert(pod.name.clone());
        }
        let unverified = asks && pod.ready && !pod.verified;
        if leaving.contains(name) || told || unverified {
            decision.again = Some(POLL);
        }
    }
}
