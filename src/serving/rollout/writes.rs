//! The writes of a decision, in the order in which they are made. Pure.
//!
//! A crash between any two is safe: what is recorded comes before what it justifies, and a pod is on the list before its label
//! comes off, and drained before it goes.

use std::collections::BTreeSet;

use super::{Decision, Observed, count, stable_of};
use crate::{api::model_deployment::ActionRequest, serving::record::Record};

/// One write of a decision. Pods and revisions go by their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// What is recorded on a revision.
    Record {
        /// The revision.
        revision: String,
        /// What is recorded on it from now on.
        record: Record,
    },
    /// A person's request is done with.
    RemoveRequest {
        /// The request.
        request: ActionRequest,
        /// Why it had no effect, if it had none.
        void: Option<String>,
    },
    /// The list of draining pods.
    List(BTreeSet<String>),
    /// A pod comes back into service.
    Undrain(String),
    /// A pod goes out of service.
    Drain(String),
    /// Replicas of a revision's ReplicaSet, which is made if there is none.
    Scale {
        /// The revision.
        revision: String,
        /// How many.
        replicas: u32,
    },
    /// A pod without a ReplicaSet goes.
    DeletePod(String),
    /// A revision's ReplicaSet goes.
    DeleteReplicaSet(String),
    /// A revision is forgotten.
    DeleteRevision(String),
}

impl Decision {
    /// All of its writes.
    pub fn writes(&self, observed: &Observed) -> Vec<Write> {
        let records = self
            .records
            .iter()
            .map(|(revision, record)| Write::Record { revision: revision.clone(), record: record.clone() });
        let request = self.request_done.clone();
        let request = request.map(|request| Write::RemoveRequest { request, void: self.void.clone() });
        let list = (self.draining != observed.draining).then(|| Write::List(self.draining.clone()));
        // what falls makes room for what rises: between the two there are not more than the surge allows
        let (falls, rises): (Vec<_>, Vec<_>) =
            self.replicas.iter().partition(|(revision, replicas)| observed.asked(revision) > **replicas);
        let scale = falls
            .into_iter()
            .chain(rises)
            .map(|(revision, replicas)| Write::Scale { revision: revision.clone(), replicas: *replicas });
        records
            .chain(request)
            .chain(list)
            .chain(self.undrain.iter().cloned().map(Write::Undrain))
            .chain(self.drain.iter().cloned().map(Write::Drain))
            .chain(scale)
            .chain(self.remove.iter().cloned().map(Write::DeletePod))
            .chain(self.retire.iter().cloned().map(Write::DeleteReplicaSet))
            .chain(self.forget.iter().cloned().map(Write::DeleteRevision))
            .collect()
    }

    /// Whether it asks for no write.
    pub fn is_settled(&self, observed: &Observed) -> bool {
        self.writes(observed).is_empty()
    }

    /// Whether it only starts pods where none was ever ready: there is nothing to lose if what it was made on is a moment
    /// old.
    pub fn is_first_start(&self, observed: &Observed) -> bool {
        let starts = |write: &Write| match write {
            Write::Record { .. } => true,
            Write::Scale { revision, replicas } => observed.asked(revision) <= *replicas,
            _ => false,
        };
        let never_served = observed
            .revisions
            .values()
            .all(|revision| revision.record.promoted.is_none() && revision.pods.iter().all(|pod| !pod.ready));
        never_served && self.stable.is_none() && self.writes(observed).iter().all(starts)
    }

    /// What it means where none of its records was written: nothing has ended, and what was promoted last is stable still.
    pub fn leave_unwritten(&mut self, observed: &Observed) {
        let before = observed.revisions.iter().map(|(name, revision)| (name, &revision.record));
        self.stable = stable_of(before).map(str::to_owned);
        self.records.clear();
    }

    /// Leaves out a write that was refused, and what only it justified.
    fn leave_out(&mut self, write: &Write, observed: &Observed) {
        match write {
            Write::Record { revision, .. } => self.leave_unrecorded(revision, observed),
            Write::RemoveRequest { .. } => self.request_done = None,
            // a pod hears from the list that it leaves, and that it stays
            Write::List(_) => {
                self.draining.clone_from(&observed.draining);
                self.drain.clear();
                self.undrain.clear();
            }
            Write::Undrain(pod) => _ = self.undrain.remove(pod),
            Write::Drain(pod) => _ = self.drain.remove(pod),
            Write::Scale { revision, replicas } => {
                self.replicas.remove(revision);
                self.give_room_back(revision, *replicas, observed);
            }
            Write::DeletePod(pod) => _ = self.remove.remove(pod),
            Write::DeleteReplicaSet(revision) => _ = self.retire.remove(revision),
            Write::DeleteRevision(revision) => _ = self.forget.remove(revision),
        }
    }

    /// A revision stays above these replicas: what rises has not got the room that it was given for that. What is to be made
    /// at no replicas is made all the same.
    fn give_room_back(&mut self, stays: &str, replicas: u32, observed: &Observed) {
        let alive = observed.revisions.get(stays).map_or(0, |revision| count(revision.alive().count()));
        let mut missing = observed.asked(stays).max(alive).saturating_sub(replicas.max(alive));
        for (revision, wanted) in &mut self.replicas {
            let less = wanted.saturating_sub(observed.asked(revision)).min(missing);
            (*wanted, missing) = (*wanted - less, missing - less);
        }
        self.replicas.retain(|revision, wanted| {
            let scale = observed.revisions.get(revision).and_then(|revision| revision.scale);
            scale.is_none_or(|scale| scale.replicas != *wanted)
        });
    }

    /// What is left of it where this record could not be written. What a rollout takes or gives up is decided again on
    /// the next look, and comes out the same; but what was not recorded as promoted replaces nothing for good: as long as
    /// that is so, no revision falls.
    fn leave_unrecorded(&mut self, unrecorded: &str, observed: &Observed) {
        // its effect is in a record, maybe in this one
        self.request_done = None;
        self.records.remove(unrecorded);
        let before = observed.revisions.iter().map(|(name, revision)| (name, &revision.record));
        let stable = stable_of(before);
        if self.stable.as_deref() == Some(unrecorded) && stable != Some(unrecorded) {
            self.stable = stable.map(str::to_owned);
            self.replicas.retain(|revision, replicas| observed.asked(revision) <= *replicas);
            self.remove.clear();
            self.retire.clear();
            self.forget.clear();
        }
    }
}

/// The writes that are left of a decision. One that is refused leaves the others, but for those that it justified.
pub struct Left<'a> {
    decision: &'a mut Decision,
    observed: &'a Observed,
    writes: Vec<Write>,
    made: usize,
}

impl<'a> Left<'a> {
    /// All of a decision's.
    pub fn of(decision: &'a mut Decision, observed: &'a Observed) -> Self {
        let writes = decision.writes(observed);
        Self { decision, observed, writes, made: 0 }
    }

    /// The next one, until it was made or refused.
    pub fn next(&self) -> Option<Write> {
        self.writes.get(self.made).cloned()
    }

    /// The next one was made.
    pub fn made(&mut self) {
        self.made += 1;
    }

    /// The next one was refused: the decision is now the one that is carried out.
    pub fn refused(&mut self) {
        if let Some(write) = self.next() {
            self.decision.leave_out(&write, self.observed);
            self.writes = self.decision.writes(self.observed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serving::rollout::{Pod, Revision, Scale};

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    /// All that is left of a decision where the writes that `refuses` names are refused.
    fn made(mut decision: Decision, refuses: impl Fn(&Write) -> bool) -> Vec<Write> {
        let observed = Observed::default();
        let mut left = Left::of(&mut decision, &observed);
        let mut made = Vec::new();
        while let Some(write) = left.next() {
            if refuses(&write) {
                left.refused();
            } else {
                left.made();
                made.push(write);
            }
        }
        assert_eq!(decision.writes(&observed), made, "the decision is what was carried out");
        made
    }

    fn decision() -> Decision {
        Decision {
            draining: names(&["old"]),
            drain: names(&["old"]),
            undrain: names(&["new"]),
            remove: names(&["stray"]),
            replicas: [("a".to_owned(), 1), ("b".to_owned(), 2)].into(),
            ..Decision::default()
        }
    }

    #[test]
    fn a_pod_leaves_and_stays_only_where_the_list_says_so() {
        let is_of_pods = |write: &Write| matches!(write, Write::Drain(_) | Write::Undrain(_));
        let all = made(decision(), |_| false);
        assert_eq!(all.iter().filter(|write| is_of_pods(write)).count(), 2);
        let others = made(decision(), |write| matches!(write, Write::List(_)));
        assert!(!others.iter().any(is_of_pods), "{others:?}");
        assert_eq!(others.len(), all.len() - 3, "{others:?}");
    }

    #[test]
    fn what_falls_makes_room_before_anything_rises() {
        let revision =
            |replicas| Revision { scale: Some(Scale { replicas, settled: true }), ..Revision::default() };
        let observed = Observed {
            revisions: [("b".to_owned(), revision(3)), ("c".to_owned(), revision(1))].into(),
            ..Observed::default()
        };
        let replicas = [("a".to_owned(), 1), ("b".to_owned(), 2), ("c".to_owned(), 2)].into();
        let decision = Decision { replicas, ..Decision::default() };
        let order: Vec<_> = decision
            .writes(&observed)
            .into_iter()
            .filter_map(|write| match write {
                Write::Scale { revision, .. } => Some(revision),
                _ => None,
            })
            .collect();
        assert_eq!(order, ["b", "a", "c"]);
    }

    #[test]
    fn what_does_not_fall_gives_no_room_to_what_rises() {
        // of three pods that were asked for a quota takes one, and one has left
        let alive = |count: usize| {
            let pod = |number| Pod { name: format!("p{number}"), ..super::super::tests::pod("p", false) };
            (0..count).map(pod).collect()
        };
        let scale = |replicas| Some(Scale { replicas, settled: true });
        let falling = |pods| Revision { scale: scale(3), pods: alive(pods), ..Revision::default() };
        for (pods, rises) in [(2, Some(1)), (1, None), (3, Some(2))] {
            let observed = Observed {
                revisions: [
                    ("a".to_owned(), falling(pods)),
                    ("b".to_owned(), Revision { scale: scale(0), ..Revision::default() }),
                ]
                .into(),
                ..Observed::default()
            };
            let replicas = [("a".to_owned(), 1), ("b".to_owned(), 2)].into();
            let mut decision = Decision { replicas, ..Decision::default() };
            let mut left = Left::of(&mut decision, &observed);
            assert_eq!(left.next(), Some(Write::Scale { revision: "a".into(), replicas: 1 }));
            left.refused();
            let rise = rises.map(|replicas| Write::Scale { revision: "b".into(), replicas });
            assert_eq!(left.next(), rise, "{pods} pods");
        }
    }

    #[test]
    fn what_was_not_recorded_is_not_stable() {
        let promoted = Record { promoted: Some(4), ..Record::default() };
        let observed = Observed {
            revisions: [
                ("a".to_owned(), Revision { record: promoted.clone(), ..Revision::default() }),
                ("b".to_owned(), Revision::default()),
            ]
            .into(),
            ..Observed::default()
        };
        let mut decision = Decision {
            records: [("b".to_owned(), Record { promoted: Some(5), ..promoted })].into(),
            stable: Some("b".to_owned()),
            ..Decision::default()
        };
        decision.leave_unwritten(&observed);
        assert_eq!((decision.stable.as_deref(), decision.records.len()), (Some("a"), 0));
    }

    #[test]
    fn a_write_that_is_refused_leaves_the_others() {
        let all = made(decision(), |_| false);
        for refused in all.iter().filter(|write| !matches!(write, Write::List(_))) {
            let rest: Vec<_> = all.iter().filter(|write| *write != refused).cloned().collect();
            assert_eq!(made(decision(), |write| write == refused), rest);
        }
    }
}
