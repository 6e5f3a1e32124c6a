//! Which pods take traffic: who stays, who is told to leave, who is called back. In go what is asked for, what is observed and
//! the goal; out comes a [`Traffic`]. How many pods there are is decided in [`super::replicas`]. Pure.
//!
//! R3: a pod in service is told to leave only where `replicas` others are in service. R8: pods of other revisions are
//! given up one for one as pods of the goal take traffic.

use std::{cmp::Reverse, collections::BTreeSet};

use k8s_openapi::jiff::Timestamp;

use super::{Decision, Desired, Observed, POLL, Pod, Revision, count, outcome::Transition};

/// How many pods of a revision stay, besides those that drain.
pub(super) struct Share<'a> {
    pub name: &'a str,
    pub revision: &'a Revision,
    pub stay: u32,
}

/// What becomes of the pods.
pub(super) struct Traffic<'a> {
    /// The goal's share, and those of all others, the stable revision's first.
    pub goal: Share<'a>,
    pub others: Vec<Share<'a>>,
    /// Pods that are told to leave.
    pub leaving: BTreeSet<&'a str>,
    /// Pods that were told so, and are called back.
    recalled: BTreeSet<&'a str>,
}

impl<'a> Traffic<'a> {
    /// Decides.
    pub fn plan(
        desired: &Desired,
        observed: &'a Observed,
        transition: &'a Transition,
        goal: Share<'a>,
    ) -> Self {
        let draining = &observed.draining;
        let (mut leaving, mut recalled) = (BTreeSet::new(), BTreeSet::new());
        let kept = keep_goal(desired, draining, goal.revision, &mut leaving, &mut recalled);
        let promoted = transition.is_stable(goal.name);
        // the stable revision has proven itself; any other goal must say itself that it is what was asked for
        let serving =
            kept.iter().filter(|pod| pod.in_service(draining) && (promoted || pod.verified)).count();
        let others = keep_others(desired, observed, transition, count(serving), &mut leaving, &mut recalled);
        Self { goal, others, leaving, recalled }
    }

    /// The list of draining pods, the labels that differ from it, and when to look at them again; `asks` says whether pods of
    /// the goal have to prove themselves yet.
    pub fn write_down(&self, decision: &mut Decision, observed: &Observed, asks: bool, now: Timestamp) {
        let Self { leaving, recalled, .. } = self;
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
    let is_stable = |name: &str| transition.is_stable(name);
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
        let goal_pods = goal.and_then(|goal| observed.revisions.get(goal)).map_or(0, Revision::occupied);
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
