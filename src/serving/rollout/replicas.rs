//! How many pods each revision gets. In go what is asked for, what is observed, the goal, and which pods take traffic; out
//! come the replicas of each revision, and what goes with its last pod. Which pods take traffic is decided in
//! [`super::traffic`]. Pure.
//!
//! R4: replicas fall only for pods that have left. R9: while the goal is not promoted, the stable revision keeps a pod.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::jiff::Timestamp;

use super::{
    Decision, Desired, Observed, Pod, Revision, count,
    outcome::Transition,
    traffic::{Share, Traffic},
};

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
    let promoted = transition.is_stable(goal);
    let share = Share { name: goal, revision, stay: desired.replicas };
    let traffic = Traffic::plan(desired, observed, transition, share);

    let mut plan =
        ReplicaPlan { desired, observed, leaving: &traffic.leaving, now, replicas: BTreeMap::new() };
    for other in &traffic.others {
        let fallback = !promoted && transition.is_stable(other.name);
        plan.shrink(other, fallback && other.revision.alive().any(|pod| pod.started));
    }
    plan.shrink(&traffic.goal, false);
    if !promoted && let Some(stable) = traffic.others.iter().find(|other| transition.is_stable(other.name)) {
        plan.grow(stable);
    }
    if !transition.held {
        plan.grow(&traffic.goal);
    }
    decision.replicas = plan.replicas;
    decision.replicas.retain(|name, replicas| {
        observed.revisions.get(name).and_then(|r| r.scale).map(|s| s.replicas) != Some(*replicas)
    });
    if revision.scale.is_none() && !transition.held {
        decision.replicas.entry(goal.to_owned()).or_insert(0);
    }
    decision.remove = traffic
        .others
        .iter()
        .filter(|other| other.revision.scale.is_none() && !decision.replicas.contains_key(other.name))
        .flat_map(|other| other.revision.alive().map(move |pod| (pod, other.revision.drain_timeout)))
        .filter(|(pod, timeout)| pod.removable(&observed.draining, *timeout, now))
        .map(|(pod, _)| pod.name.clone())
        .collect();
    decision.retire = traffic
        .others
        .iter()
        .filter(|other| other.revision.scale.is_some_and(|scale| scale.replicas == 0))
        .filter(|other| other.revision.pods.is_empty() && !decision.replicas.contains_key(other.name))
        .map(|other| other.name.to_owned())
        .collect();
    traffic.write_down(&mut decision, observed, !promoted && !transition.held, now);
    decision
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

    /// Raises replicas towards what stays as far as all pods together stay within the surge.
    fn grow(&mut self, share: &Share<'_>) {
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
        let wanted = share.stay.min(room);
        if wanted > share.revision.asked() {
            self.replicas.insert(share.name.to_owned(), wanted);
        }
    }
}
