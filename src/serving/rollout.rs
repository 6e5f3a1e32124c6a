//! The state machine of a rollout: in go what the spec asks for, what is observed, and the time; out comes what to write
//! next. Pure: no client, no clock, no randomness, no memory, so a restart at any point decides the same again.
//!
//! The writes of a [`Decision`] are in [`writes`], in the order in which they are made.
//!
//! A pod leaves in three steps, never fewer: it is told (its name on the list, its traffic label off), it drains, and only
//! then the replicas of its revision fall. So whatever the ReplicaSet deletes was out of service before.

pub mod outcome;
mod replicas;
#[cfg(test)]
mod tests;
mod traffic;
#[cfg(test)]
mod world;
pub mod writes;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use k8s_openapi::jiff::Timestamp;

use super::record::Record;
use crate::{api::model_deployment::ActionRequest, problem::Problem};

/// Stands among the revisions for the pods that are of none: they were born of a template that somebody had changed.
pub const SET_ASIDE: &str = "set-aside";

/// How soon a draining or unverified pod is looked at again.
const POLL: Duration = Duration::from_secs(1);

/// How soon a Service that does not answer yet is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(250);

/// What the spec asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// The revision that the spec resolves to; `None` while it resolves to none.
    pub target: Option<String>,
    /// Pods that take traffic.
    pub replicas: u32,
    /// Pods above `replicas` during a rollout.
    pub max_surge: u32,
    /// How long a rollout may go without a further ready pod.
    pub progress_deadline: Duration,
    /// Whether a rollout past its deadline goes back.
    pub auto_rollback: bool,
    /// Whether the rollout stands still.
    pub paused: bool,
    /// Revisions without pods to keep.
    pub keep: usize,
}

/// What there is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Revisions by name (the digits of their hash that names carry).
    pub revisions: BTreeMap<String, Revision>,
    /// Names on the list of draining pods.
    pub draining: BTreeSet<String>,
    /// A person's action.
    pub request: Option<ActionRequest>,
    /// Whether the Service of a first start has not answered yet, though pods take traffic.
    pub unreached: bool,
}

/// One revision with what runs of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Revision {
    /// What is recorded on it.
    pub record: Record,
    /// Its ReplicaSet, if it has one.
    pub scale: Option<Scale>,
    /// How long its pods may drain.
    pub drain_timeout: Duration,
    /// Its pods.
    pub pods: Vec<Pod>,
    /// What keeps it from having pods.
    pub problem: Option<Problem>,
    /// Whether it is no revision, but what stands for the pods of none: they give way, and take no place of the surge.
    pub is_aside: bool,
}

/// Replicas of a ReplicaSet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// Asked for.
    pub replicas: u32,
    /// Whether its controller has acted on it.
    pub settled: bool,
}

/// One pod.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, and all combinations occur")]
#[derive(Clone, Debug, PartialEq)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// Whether it is being deleted.
    pub terminating: bool,
    /// Whether its server passed its start once in this life.
    pub started: bool,
    /// Whether it is ready.
    pub ready: bool,
    /// Whether a kubelet has begun with it.
    pub taken_up: bool,
    /// Whether the Service has it among its endpoints, as far as the cluster's controllers have told.
    pub routed: bool,
    /// Whether it carries the traffic label.
    pub labelled: bool,
    /// When it was told to leave.
    pub leaving_since: Option<Timestamp>,
    /// Whether its own answer names the digest and a provider that were asked for.
    pub verified: bool,
    /// Whether its own answer says that no client is left.
    pub drained: bool,
    /// What keeps it from being ready.
    pub problem: Option<Problem>,
}

/// What to write next. Everything in it differs from what was observed, but for `draining`, `stable` and `goal`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Records to write.
    pub records: BTreeMap<String, Record>,
    /// The action that is done with.
    pub request_done: Option<ActionRequest>,
    /// Why that had no effect, if it had none.
    pub void: Option<String>,
    /// The list of draining pods as it should be.
    pub draining: BTreeSet<String>,
    /// Pods whose traffic label comes off.
    pub drain: BTreeSet<String>,
    /// Pods whose traffic label comes back.
    pub undrain: BTreeSet<String>,
    /// Replicas of ReplicaSets; one that is not there is made.
    pub replicas: BTreeMap<String, u32>,
    /// Pods without a ReplicaSet that are no longer needed.
    pub remove: BTreeSet<String>,
    /// Revisions whose ReplicaSet goes.
    pub retire: BTreeSet<String>,
    /// Revisions that are forgotten.
    pub forget: BTreeSet<String>,
    /// The stable revision, after `records`.
    pub stable: Option<String>,
    /// The revision that pods are moved to.
    pub goal: Option<String>,
    /// Whether the rollout is past its deadline and goes on trying.
    pub overdue: bool,
    /// Whether the rollout waits for what the cluster has not done yet, and its clock stands.
    pub waits_for_cluster: bool,
    /// When to look again, if nothing happens before.
    pub again: Option<Duration>,
}

/// The revision that was promoted last.
pub fn stable_of<'a>(records: impl IntoIterator<Item = (&'a String, &'a Record)>) -> Option<&'a str> {
    records
        .into_iter()
        .filter_map(|(name, record)| Some((record.promoted?, name.as_str())))
        .max()
        .map(|(_, name)| name)
}

/// What to write next.
pub fn decide(desired: &Desired, observed: &Observed, now: Timestamp) -> Decision {
    let transition = outcome::transition(desired, observed, now);
    let mut decision = replicas::plan_replicas(desired, observed, &transition, now);
    for (name, record) in &transition.records {
        let is_new = |revision: &Revision| revision.record != *record;
        if observed.revisions.get(name).is_none_or(is_new) {
            decision.records.insert(name.clone(), record.clone());
        }
    }
    // while the spec means no revision, nobody can say whether the request means it
    decision.request_done = observed.request.clone().filter(|_| desired.target.is_some());
    decision.overdue = transition.overdue;
    decision.waits_for_cluster = transition.waits_for_cluster;
    decision.forget = forgettable(desired, observed, &transition);
    decision.again = [decision.again, transition.deadline_in].into_iter().flatten().min();
    decision.stable = transition.stable;
    decision.goal = transition.goal;
    decision.void = transition.void;
    decision
}

/// R1: a revision that serves, that the spec asks for, or that has pods, is never forgotten.
fn forgettable(desired: &Desired, observed: &Observed, transition: &outcome::Transition) -> BTreeSet<String> {
    let mut idle: Vec<_> = observed
        .revisions
        .iter()
        .filter(|(name, revision)| {
            let needed = [&desired.target, &transition.stable, &transition.goal];
            !needed.contains(&&Some((*name).clone())) && revision.scale.is_none() && revision.pods.is_empty()
        })
        .map(|(name, revision)| (std::cmp::Reverse(revision.record.number), name))
        .collect();
    idle.sort();
    idle.into_iter().skip(desired.keep).map(|(_, name)| name.clone()).collect()
}

impl Observed {
    /// Replicas asked for of a revision; none without a ReplicaSet.
    fn asked(&self, revision: &str) -> u32 {
        self.revisions.get(revision).map_or(0, Revision::asked)
    }
}

impl Revision {
    /// Replicas asked for; none without a ReplicaSet.
    fn asked(&self) -> u32 {
        self.scale.map_or(0, |scale| scale.replicas)
    }

    /// Pods that there are, or that are asked for.
    fn occupied(&self) -> u32 {
        self.asked().max(count(self.alive().count()))
    }

    /// Its pods that are not being deleted.
    pub fn alive(&self) -> impl Iterator<Item = &Pod> {
        self.pods.iter().filter(|pod| !pod.terminating)
    }
}

impl Pod {
    /// Whether the Service may send it new connections, now or as soon as it is ready.
    fn stays(&self, draining: &BTreeSet<String>) -> bool {
        !self.terminating && self.labelled && !draining.contains(&self.name)
    }

    /// Whether it takes traffic.
    pub fn in_service(&self, draining: &BTreeSet<String>) -> bool {
        self.ready && self.routed && self.stays(draining)
    }

    /// Whether it was told in full, and nobody needs it any more.
    pub fn removable(&self, draining: &BTreeSet<String>, timeout: Duration, now: Timestamp) -> bool {
        let told = !self.labelled && draining.contains(&self.name);
        let Some(since) = self.leaving_since else { return false };
        // as long as an endpoint names it, a client may come that it does not know of
        told && ((self.drained && !self.routed) || !self.started || elapsed(since, now) >= timeout)
    }
}

/// Time since; none for a time to come, after a step of the clock.
fn elapsed(since: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since)).unwrap_or_default()
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
