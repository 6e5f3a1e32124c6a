//! The operator of the small world: decides on an old snapshot, goes on where a write is refused,
//! and may die between two writes.

use std::collections::BTreeMap;

use super::{Action, Object, Refused, SimPod, Snapshot, World};
use crate::serving::rollout::{
    decide,
    writes::{Left, Write},
};

impl World {
    /// The operator decides on a snapshot and writes until a conflict or its death.
    pub(super) fn reconcile(&mut self, age: usize, dies_after: Option<usize>) {
        // what is not as it was made is put right first, and then everything is looked at anew
        if self.repair() {
            self.past = vec![self.now.clone()];
        }
        let index = self.past.len().saturating_sub(1 + age);
        let Some(seen) = self.past.get(index).cloned() else { return };
        let observed = self.observe(&seen);
        let mut decision = decide(&seen.desired, &observed, self.time());
        self.check(&seen, &observed, &decision);
        let mut lives = dies_after.unwrap_or(usize::MAX);
        let mut wrote = false;
        let mut asked: BTreeMap<_, _> =
            seen.sets.iter().map(|(name, set)| (name.clone(), set.value)).collect();
        let mut left = Left::of(&mut decision, &observed);
        while let Some(write) = left.next() {
            if self.refuses(&write) {
                left.refused();
                continue;
            }
            // after a conflict, as after a death, the next reconcile begins with a new look
            if lives == 0 || self.execute(&seen, &write).is_none() {
                break;
            }
            (lives, wrote) = (lives - 1, true);
            if let Write::Scale { revision, replicas } = &write {
                let before = asked.insert(revision.clone(), *replicas).unwrap_or_default();
                self.check_surge(&seen, &asked, (revision, before));
            }
            left.made();
        }
        if wrote {
            self.past = vec![self.now.clone()];
        }
    }

    /// Puts templates back, and takes the pods that came of them from their ReplicaSets.
    fn repair(&mut self) -> bool {
        let changed = std::mem::take(&mut self.now.changed);
        for name in &changed {
            let version = self.fresh();
            if let Some(set) = self.now.sets.get_mut(name) {
                set.version = version;
            }
        }
        let version = self.fresh();
        let mut is_any = !changed.is_empty();
        for pod in self.now.pods.iter_mut().filter(|pod| pod.stray && !pod.aside && !pod.terminating) {
            (pod.aside, pod.version, is_any) = (true, version, true);
        }
        is_any
    }

    fn refuses(&self, write: &Write) -> bool {
        let is_of_set = |name: &str| match write {
            Write::Scale { revision, .. } | Write::DeleteReplicaSet(revision) => revision == name,
            _ => false,
        };
        let is_one_in_three = |seed: u8| {
            let words = format!("{write:?}");
            words.bytes().fold(usize::from(seed), |sum, letter| sum + usize::from(letter)).is_multiple_of(3)
        };
        let is_meant = |refused: &Refused| match (refused, write) {
            (_, Write::RemoveRequest { .. }) => false,
            (Refused::Some(seed), _) => is_one_in_three(*seed),
            (Refused::Set(name), _) => is_of_set(name),
            (Refused::Records, Write::Record { .. } | Write::DeleteRevision(_))
            | (Refused::List, Write::List(_))
            | (Refused::Pods, Write::Undrain(_) | Write::Drain(_) | Write::DeletePod(_))
            | (Refused::Sets, Write::Scale { .. } | Write::DeleteReplicaSet(_)) => true,
            _ => false,
        };
        self.refused.iter().any(is_meant)
    }

    /// Makes a write, unless what it is of has changed since it was seen.
    fn execute(&mut self, seen: &Snapshot, write: &Write) -> Option<()> {
        let version = self.fresh();
        let time = self.time();
        match write {
            Write::Record { revision, record } => {
                let known = seen.records.get(revision).map(|object| object.version);
                (self.now.records.get(revision).map(|object| object.version) == known).then_some(())?;
                self.now.records.insert(revision.clone(), Object { version, value: record.clone() });
                let asked = self.now.request.as_ref().is_some_and(|request| request.action == Action::Retry);
                if record.quarantine.is_some() && !asked {
                    self.wanted_again.remove(revision);
                }
            }
            Write::RemoveRequest { request, .. } => {
                self.now.request.take_if(|asked| asked == request);
            }
            Write::List(value) => {
                (self.now.list.version == seen.list.version).then_some(())?;
                self.now.list = Object { version, value: value.clone() };
            }
            Write::Undrain(name) | Write::Drain(name) => {
                let drains = matches!(write, Write::Drain(_));
                let pod = self.unchanged(seen, name)?;
                let told =
                    seen.pods.iter().filter(|other| other.revision == pod.revision && other.cost < i64::MAX);
                let next = told.map(|other| other.cost + 1).max().unwrap_or_default();
                pod.cost = if drains { time.as_second().max(next) } else { i64::MAX };
                (pod.labelled, pod.leaving_since, pod.version) = (!drains, drains.then_some(time), version);
            }
            Write::Scale { revision, replicas } => {
                let known = seen.sets.get(revision).map(|object| object.version);
                (self.now.sets.get(revision).map(|object| object.version) == known).then_some(())?;
                self.now.sets.insert(revision.clone(), Object { version, value: *replicas });
            }
            Write::DeletePod(name) => {
                let pod = self.unchanged(seen, name)?.clone();
                self.check_deletion(&pod);
                let pod = self.unchanged(seen, name)?;
                (pod.terminating, pod.version) = (true, version);
            }
            Write::DeleteReplicaSet(revision) => {
                (self.now.sets.get(revision) == seen.sets.get(revision)).then_some(())?;
                self.now.sets.remove(revision);
            }
            Write::DeleteRevision(revision) => {
                (self.now.records.get(revision) == seen.records.get(revision)).then_some(())?;
                self.now.records.remove(revision);
            }
        }
        Some(())
    }

    /// A pod, unless it has changed since it was seen.
    fn unchanged(&mut self, seen: &Snapshot, name: &str) -> Option<&mut SimPod> {
        let known = seen.pods.iter().find(|pod| pod.name == name)?.version;
        self.now.pods.iter_mut().find(|pod| pod.name == name && pod.version == known)
    }
}
