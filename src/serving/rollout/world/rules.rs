//! The rules that every decision in the small world must keep, whatever came before.

use std::collections::BTreeMap;

use super::{Action, DRAIN, Nature, SimPod, Snapshot, World};
use crate::serving::{
    record::Outcome,
    rollout::{Decision, Observed, decide, stable_of},
};

impl World {
    /// The rules that a single decision must keep.
    pub(super) fn check(&mut self, seen: &Snapshot, observed: &Observed, decision: &Decision) {
        let desired = &seen.desired;
        let replicas = desired.replicas as usize;
        let serving = |told: bool| {
            seen.pods
                .iter()
                .filter(|pod| Self::serves(seen, pod) && !(told && decision.draining.contains(&pod.name)))
                .count()
        };
        let (before, after) = (serving(false), serving(true));
        if after < before.min(replicas) {
            self.fail("R3", format!("{before} pods in service became {after} of {replicas}"));
        }
        let stable_before =
            stable_of(seen.records.iter().map(|(name, record)| (name, &record.value))).map(str::to_owned);
        if let (Some(stable), Some(goal)) = (stable_before.as_deref(), decision.goal.as_deref())
            && stable != goal
        {
            if !seen.alive(goal).any(|pod| Self::serves(seen, pod)) {
                let untold =
                    seen.alive(stable).filter(|pod| pod.labelled && !seen.list.value.contains(&pod.name));
                let spare = untold.clone().count().saturating_sub(replicas);
                let others = seen
                    .pods
                    .iter()
                    .any(|pod| (pod.revision != stable || pod.stray) && Self::may_serve(seen, pod));
                let told = untold.filter(|pod| decision.draining.contains(&pod.name)).count();
                if told > spare && !others {
                    self.fail(
                        "R8",
                        format!("{told} pods of {stable} give way to {goal}, which never served"),
                    );
                }
            }
            let asked = seen.sets.get(stable).map_or(0, |object| object.value);
            let left = decision.replicas.get(stable).copied().unwrap_or(asked);
            let promoted = decision.stable.as_deref() == Some(goal);
            let alive = seen.alive(stable).any(|pod| pod.started);
            if asked > 0 && left == 0 && alive && !promoted {
                self.fail("R9", format!("the last pod of {stable} goes before {goal} is promoted"));
            }
        }
        if let Some(stable) = decision.stable.as_deref()
            && stable_before.as_deref() != Some(stable)
        {
            let good = seen
                .alive(stable)
                .filter(|pod| Self::serves(seen, pod) && self.nature(&pod.revision) != Nature::Impostor)
                .count();
            let strays = seen.pods.iter().any(|pod| {
                (pod.revision != stable || pod.stray) && !pod.terminating && !self.has_left(seen, pod)
            });
            if good < replicas || strays || desired.target.as_deref() != Some(stable) || desired.paused {
                self.fail(
                    "R4",
                    format!("{stable} is promoted with {good} of {replicas} pods, strays: {strays}"),
                );
            }
        }
        for (name, object) in &seen.records {
            let asked = seen.sets.get(name).map_or(0, |set| set.value);
            let record = decision.records.get(name).unwrap_or(&object.value);
            let raised = decision.replicas.get(name).is_some_and(|replicas| *replicas > asked);
            if record.quarantine.is_some() && raised {
                self.fail("R5", format!("{name} is quarantined and grows"));
            }
            let lifted = object.value.quarantine.is_some() && record.quarantine.is_none();
            if lifted && !self.wanted_again.contains(name) {
                self.fail("R5", format!("{name} left its quarantine by itself"));
            }
        }
        self.check_clock(seen, decision);
        self.check_replicas(seen, decision);
        for name in &decision.forget {
            let needed =
                [decision.stable.as_deref(), desired.target.as_deref()].contains(&Some(name.as_str()));
            if needed
                || seen.pods.iter().any(|pod| pod.revision == *name && !pod.stray)
                || seen.sets.contains_key(name)
            {
                self.fail("R1", format!("{name} is needed and forgotten"));
            }
        }
        if let Some(request) = observed.request.as_ref().filter(|request| request.action == Action::Abort)
            && desired.target == stable_before
        {
            let without = decide(desired, &Observed { request: None, ..observed.clone() }, self.time());
            let with = Decision { request_done: None, void: None, ..decision.clone() };
            let quarantined =
                seen.records.get(&request.revision).is_some_and(|r| r.value.quarantine.is_some());
            if without != with && !quarantined {
                self.fail("R2", "an abort without a rollout changes something");
            }
        }
    }

    /// A deadline judges the revision: never while the cluster owes it something, nor at the first look after that.
    fn check_clock(&mut self, seen: &Snapshot, decision: &Decision) {
        for (name, record) in &decision.records {
            let before = seen.records.get(name).and_then(|object| object.value.progress);
            let (Some(before), Some(Outcome::RolledBack)) = (before, record.outcome) else { continue };
            let made = seen.sets.get(name).is_some_and(|set| self.is_made(seen, name, set.value));
            // of one that says itself that it is another, nothing is awaited
            let is_itself = |pod: &SimPod| self.nature(&pod.revision) != Nature::Impostor;
            let unrouted =
                |pod: &SimPod| is_itself(pod) && Self::may_serve(seen, pod) && !Self::serves(seen, pod);
            let silent = |pod: &SimPod| !pod.taken_up || unrouted(pod);
            let owes = !made || seen.alive(name).any(silent);
            if (owes && before.stood < 10) || before.stands {
                self.fail(
                    "clock",
                    format!("{name} is rolled back while the cluster owes it something: {before:?}"),
                );
            }
        }
    }

    /// Whether a pod was told to leave, and has no client any more.
    pub(super) fn has_left(&self, seen: &Snapshot, pod: &SimPod) -> bool {
        let told = !pod.labelled && seen.list.value.contains(&pod.name);
        let waited = pod.leaving_since.is_some_and(|since| self.time() >= since + DRAIN);
        let drained = pod.drained && !seen.endpoints.contains(&pod.name);
        told && (drained || !pod.started || waited)
    }

    /// What was raised stays within the surge by what was really made to fall, refused or not.
    pub(super) fn check_surge(
        &mut self,
        seen: &Snapshot,
        asked: &BTreeMap<String, u32>,
        (raised, before): (&str, u32),
    ) {
        let alive = |name: &str| u32::try_from(seen.counted(name).count()).unwrap_or(u32::MAX);
        let all: u32 = asked
            .iter()
            .map(|(name, asked)| if name == raised { *asked } else { (*asked).max(alive(name)) })
            .sum();
        let most = seen.desired.replicas + seen.desired.max_surge;
        if asked.get(raised).is_some_and(|asked| *asked > before) && all > most {
            self.fail(
                "surge",
                format!("{raised} was raised, and {all} pods are asked for of {most}: {asked:?}"),
            );
        }
    }

    /// Replicas fall by what has left service, and rise within the surge.
    fn check_replicas(&mut self, seen: &Snapshot, decision: &Decision) {
        let desired = &seen.desired;
        let asked = |name: &String| seen.sets.get(name).map_or(0, |set| set.value);
        for (name, replicas) in &decision.replicas {
            if *replicas < asked(name) {
                let gone = |pod: &&SimPod| self.has_left(seen, pod);
                let (alive, gone) = (seen.counted(name).count(), seen.counted(name).filter(gone).count());
                if alive.saturating_sub(*replicas as usize) > gone {
                    self.fail(
                        "R4",
                        format!("{name} falls to {replicas} of {alive} pods, and {gone} have left"),
                    );
                }
            } else {
                let others: u32 = seen
                    .sets
                    .keys()
                    .filter(|other| *other != name)
                    .map(|other| {
                        let wanted = decision.replicas.get(other).copied().unwrap_or(asked(other));
                        wanted.max(u32::try_from(seen.counted(other).count()).unwrap_or(u32::MAX))
                    })
                    .sum();
                if *replicas > asked(name) && replicas + others > desired.replicas + desired.max_surge {
                    self.fail("surge", format!("{name} grows to {replicas} beside {others} others"));
                }
            }
        }
    }
}
