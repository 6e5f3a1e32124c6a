//! The operator of the small world: decides on an old snapshot, goes on where a write is refused,
//! and may die between two writes.

use crate::deployment::rollout::{Decision, Observed, decide};

use super::{Action, Object, Refused, Snapshot, World};

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
        let mut decision = decide(&seen.intent, &observed, self.time());
        self.check(&seen, &observed, &decision);
        let mut left = dies_after.unwrap_or(usize::MAX);
        let mut wrote = false;
        // whatever `apply` reports, the next reconcile begins with a new look
        let _ = self.apply(&seen, &observed, &mut decision, &mut left, &mut wrote);
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

    fn apply(
        &mut self,
        seen: &Snapshot,
        observed: &Observed,
        decision: &mut Decision,
        left: &mut usize,
        wrote: &mut bool,
    ) -> Option<()> {
        let mut spend = |wrote: &mut bool| {
            *left = left.checked_sub(1)?;
            *wrote = true;
            Some(())
        };
        let refusing = self.refused.clone();
        let is_refused = |what: Refused| refusing.contains(&what);
        if is_refused(Refused::Records) {
            decision.leave_unrecorded(&decision.records.keys().cloned().collect(), observed);
        }
        let decision = &*decision;
        for (name, record) in &decision.records {
            let known = seen.records.get(name).map(|object| object.version);
            if self.now.records.get(name).map(|object| object.version) != known {
                return None;
            }
            spend(wrote)?;
            let version = self.fresh();
            self.now.records.insert(name.clone(), Object { version, value: record.clone() });
            let asked = self.now.request.as_ref().is_some_and(|request| request.action == Action::Retry);
            if record.quarantine.is_some() && !asked {
                self.wanted_again.remove(name);
            }
        }
        if decision.request_done.is_some() && self.now.request == decision.request_done {
            spend(wrote)?;
            self.now.request = None;
        }
        if decision.draining != seen.list.value && !is_refused(Refused::List) {
            if self.now.list.version != seen.list.version {
                return None;
            }
            spend(wrote)?;
            self.now.list = Object { version: self.fresh(), value: decision.draining.clone() };
        }
        let time = self.time();
        let is_listed = decision.draining == seen.list.value || !is_refused(Refused::List);
        let told = decision.tell.iter().filter(|_| is_listed).map(|name| (name, true));
        let marked = told.chain(decision.recall.iter().map(|name| (name, false)));
        for (name, tell) in marked.filter(|_| !is_refused(Refused::Pods)) {
            let known = seen.pods.iter().find(|pod| pod.name == *name).map(|pod| pod.version);
            let version = self.fresh();
            let pod = self.now.pods.iter_mut().find(|pod| pod.name == *name)?;
            if Some(pod.version) != known {
                return None;
            }
            spend(wrote)?;
            pod.labelled = !tell;
            pod.leaving_since = tell.then_some(time);
            pod.version = version;
        }
        for (name, replicas) in decision.replicas.iter().filter(|_| !is_refused(Refused::Sets)) {
            let known = seen.sets.get(name).map(|object| object.version);
            if self.now.sets.get(name).map(|object| object.version) != known {
                return None;
            }
            spend(wrote)?;
            let version = self.fresh();
            self.now.sets.insert(name.clone(), Object { version, value: *replicas });
        }
        for name in decision.remove.iter().filter(|_| !is_refused(Refused::Pods)) {
            let known = seen.pods.iter().find(|pod| pod.name == *name).map(|pod| pod.version);
            let version = self.fresh();
            let pod = self.now.pods.iter_mut().find(|pod| pod.name == *name)?;
            if Some(pod.version) != known {
                return None;
            }
            spend(wrote)?;
            let pod = pod.clone();
            self.check_deletion(&pod);
            let pod = self.now.pods.iter_mut().find(|pod| pod.name == *name)?;
            (pod.terminating, pod.version) = (true, version);
        }
        for name in decision.retire.iter().filter(|_| !is_refused(Refused::Sets)) {
            if self.now.sets.get(name) != seen.sets.get(name) {
                return None;
            }
            spend(wrote)?;
            self.now.sets.remove(name);
        }
        for name in decision.forget.iter().filter(|_| !is_refused(Refused::Records)) {
            if self.now.records.get(name) != seen.records.get(name) {
                return None;
            }
            spend(wrote)?;
            self.now.records.remove(name);
        }
        Some(())
    }
}
