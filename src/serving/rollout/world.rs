//! A small world for the property tests: ReplicaSets and their choice of victims, pods that start, crash and
//! drain, a kubelet and a kube-proxy that lag, a clock that steps, users, and an operator that reads old snapshots,
//! writes under resourceVersions, and dies between two writes.

mod controllers;
mod operator;
mod rules;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use k8s_openapi::jiff::Timestamp;

use super::{Desired, Observed, Pod, Revision, SET_ASIDE, Scale, stable_of};
use crate::{
    api::model_deployment::{Action, ActionRequest},
    problem::Problem,
    serving::record::Record,
};

pub const DRAIN: Duration = Duration::from_secs(30);

/// How the pods of a revision turn out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nature {
    Good,
    /// Its server never starts.
    Broken,
    /// It starts, but its own answer names another digest.
    Impostor,
}

#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, and all combinations occur")]
#[derive(Clone, Debug, PartialEq)]
pub struct SimPod {
    pub name: String,
    pub revision: String,
    pub version: u64,
    pub created: i64,
    /// Whether a kubelet has begun with it.
    pub taken_up: bool,
    pub started: bool,
    pub ready: bool,
    pub terminating: bool,
    pub labelled: bool,
    pub leaving_since: Option<Timestamp>,
    /// What its ReplicaSet deletes by.
    pub cost: i64,
    /// Whether it was born of a template that somebody had changed.
    pub stray: bool,
    /// Whether the operator took it from its ReplicaSet.
    pub aside: bool,
    /// What the kubelet has delivered to the pod.
    pub heard: bool,
    pub drained: bool,
    /// Whether the Service ever sent it connections in this life.
    pub has_served: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Object<T> {
    pub version: u64,
    pub value: T,
}

/// What the operator can read, at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub sets: BTreeMap<String, Object<u32>>,
    /// ReplicaSets whose template somebody changed.
    pub changed: BTreeSet<String>,
    pub records: BTreeMap<String, Object<Record>>,
    pub list: Object<BTreeSet<String>>,
    pub pods: Vec<SimPod>,
    /// Names of the pods that the Service has among its endpoints.
    pub endpoints: BTreeSet<String>,
    pub desired: Desired,
    pub request: Option<ActionRequest>,
}

impl Snapshot {
    fn alive<'a>(&'a self, revision: &'a str) -> impl Iterator<Item = &'a SimPod> + Clone {
        self.pods.iter().filter(move |pod| pod.revision == revision && !pod.terminating && !pod.stray)
    }

    /// What a ReplicaSet counts.
    fn counted<'a>(&'a self, revision: &'a str) -> impl Iterator<Item = &'a SimPod> + Clone {
        self.pods.iter().filter(move |pod| pod.revision == revision && !pod.terminating && !pod.aside)
    }
}

#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, and all combinations occur")]
#[derive(Clone, Debug)]
pub struct World {
    pub now: Snapshot,
    pub clock: i64,
    /// Names that kube-proxy sends connections to.
    pub proxy: BTreeSet<String>,
    pub natures: BTreeMap<String, Nature>,
    pub store_up: bool,
    /// Whether the cluster's controllers and schedulers are away.
    pub controllers_away: bool,
    /// Whether a quota lets no further pod be made.
    pub quota: bool,
    /// Writes that the API server refuses.
    pub refused: BTreeSet<Refused>,
    /// Snapshots since the operator's last write.
    pub past: Vec<Snapshot>,
    next: u64,
    /// Whether nobody can say any more how long ago a pod was told.
    clock_stepped: bool,
    pub broken: Option<String>,
    /// Revisions that a person asked for since they were quarantined.
    pub wanted_again: BTreeSet<String>,
}

/// What the API server may refuse to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refused {
    Records,
    List,
    Pods,
    Sets,
    /// A third of all, by a seed.
    Some(u8),
    /// The ReplicaSet of this revision.
    Set(&'static str),
}

/// Something that happens.
#[derive(Clone, Debug)]
pub enum Step {
    ControllersAway(bool),
    Quota(bool),
    Refuse(Refused, bool),
    Endpoints,
    Reconcile { age: usize, dies_after: Option<usize> },
    ReplicaSets,
    Pods,
    Kubelet,
    Proxy,
    Crash(usize),
    NodeLoss(usize),
    Pass(u16),
    ClockSteps(i32),
    Target(usize),
    NoTarget,
    Replicas(u32),
    Surge(u32),
    Pause(bool),
    Ask(Action),
    StatusDeleted,
    Nature(usize, Nature),
    Store(bool),
    UserScales(usize, u32),
    UserDeletesPod(usize),
    UserDeletesReplicaSet(usize),
    UserChangesTemplate(usize),
}

pub const REVISIONS: [&str; 4] = ["a", "b", "c", "d"];

impl World {
    pub fn new(replicas: u32) -> Self {
        let now = Snapshot {
            sets: BTreeMap::new(),
            changed: BTreeSet::new(),
            records: BTreeMap::new(),
            list: Object { version: 0, value: BTreeSet::new() },
            pods: Vec::new(),
            endpoints: BTreeSet::new(),
            desired: Desired {
                target: Some("a".into()),
                replicas,
                max_surge: 1,
                progress_deadline: Duration::from_mins(10),
                auto_rollback: true,
                paused: false,
                keep: 1,
            },
            request: None,
        };
        Self {
            past: vec![now.clone()],
            now,
            clock: 1_800_000_000,
            proxy: BTreeSet::new(),
            natures: REVISIONS.iter().map(|name| ((*name).to_owned(), Nature::Good)).collect(),
            store_up: true,
            controllers_away: false,
            quota: false,
            refused: BTreeSet::new(),
            next: 1,
            clock_stepped: false,
            broken: None,
            wanted_again: BTreeSet::new(),
        }
    }

    pub fn time(&self) -> Timestamp {
        Timestamp::from_second(self.clock).unwrap_or_default()
    }

    fn fail(&mut self, rule: &str, what: impl std::fmt::Display) {
        self.broken.get_or_insert_with(|| format!("{rule}: {what}"));
    }

    fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub fn observe(&self, snapshot: &Snapshot) -> Observed {
        let mut revisions: BTreeMap<String, Revision> = BTreeMap::new();
        for (name, record) in &snapshot.records {
            revisions.entry(name.clone()).or_default().record = record.value.clone();
        }
        for (name, replicas) in &snapshot.sets {
            let revision = revisions.entry(name.clone()).or_default();
            revision.scale = Some(Scale {
                replicas: replicas.value,
                settled: self.is_made(snapshot, name, replicas.value),
            });
            revision.problem = (self.quota && snapshot.counted(name).count() < replicas.value as usize)
                .then(|| Problem { reason: "PodsRefused".into(), message: "a quota".into() });
        }
        for pod in &snapshot.pods {
            let name = if pod.stray { SET_ASIDE } else { &pod.revision };
            let revision = revisions.entry(name.to_owned()).or_default();
            revision.is_aside = pod.stray;
            revision.pods.push(self.reported(snapshot, pod));
        }
        for revision in revisions.values_mut() {
            revision.drain_timeout = DRAIN;
        }
        Observed {
            revisions,
            draining: snapshot.list.value.clone(),
            request: snapshot.request.clone(),
            unreached: false,
        }
    }

    fn reported(&self, snapshot: &Snapshot, pod: &SimPod) -> Pod {
        Pod {
            name: pod.name.clone(),
            created: Timestamp::from_second(pod.created).ok(),
            terminating: pod.terminating,
            started: pod.started,
            ready: pod.ready,
            taken_up: pod.taken_up,
            labelled: pod.labelled,
            routed: snapshot.endpoints.contains(&pod.name),
            leaving_since: pod.leaving_since,
            verified: pod.ready && self.nature(&pod.revision) != Nature::Impostor,
            drained: pod.drained,
            problem: (!pod.ready && pod.taken_up)
                .then(|| Problem { reason: "Unready".into(), message: "not yet".into() }),
        }
    }

    /// Whether the ReplicaSet has the pods that it is asked for, or says that it may not make them.
    fn is_made(&self, snapshot: &Snapshot, name: &str, replicas: u32) -> bool {
        let (made, asked) = (snapshot.counted(name).count(), replicas as usize);
        made == asked || (self.quota && made < asked)
    }

    fn nature(&self, revision: &str) -> Nature {
        self.natures.get(revision).copied().unwrap_or(Nature::Good)
    }

    /// Whether the Service may send it connections, now or in a moment.
    fn may_serve(snapshot: &Snapshot, pod: &SimPod) -> bool {
        pod.ready && pod.labelled && !pod.terminating && !snapshot.list.value.contains(&pod.name)
    }

    fn serves(snapshot: &Snapshot, pod: &SimPod) -> bool {
        Self::may_serve(snapshot, pod) && snapshot.endpoints.contains(&pod.name)
    }

    pub fn serving_of(&self, revision: &str) -> usize {
        let serves = |pod: &&SimPod| pod.revision == revision && !pod.stray && Self::serves(&self.now, pod);
        self.now.pods.iter().filter(serves).count()
    }

    pub fn stable(&self) -> Option<String> {
        stable_of(self.now.records.iter().map(|(name, record)| (name, &record.value))).map(str::to_owned)
    }

    pub fn step(&mut self, step: &Step) {
        match step {
            Step::Reconcile { age, dies_after } => self.reconcile(*age, *dies_after),
            Step::ReplicaSets | Step::Endpoints if self.controllers_away => {}
            Step::ReplicaSets => self.replica_sets(),
            Step::Pods => self.pods(),
            Step::Kubelet => self.kubelet(),
            Step::Endpoints => {
                let pods = self.now.pods.iter();
                let served = pods.filter(|pod| pod.ready && pod.labelled && !pod.terminating);
                self.now.endpoints = served.map(|pod| pod.name.clone()).collect();
            }
            Step::Proxy => {
                self.proxy.clone_from(&self.now.endpoints);
                for pod in self.now.pods.iter_mut().filter(|pod| self.proxy.contains(&pod.name)) {
                    (pod.drained, pod.has_served) = (false, pod.ready);
                }
            }
            Step::ControllersAway(away) => self.controllers_away = *away,
            Step::Quota(is_used_up) => self.quota = *is_used_up,
            Step::Refuse(what, true) => _ = self.refused.insert(*what),
            Step::Refuse(what, false) => _ = self.refused.remove(what),
            Step::Crash(index) => self.change_pod(*index, |pod| {
                (pod.ready, pod.started, pod.has_served) = (false, false, false);
                true
            }),
            Step::NodeLoss(index) | Step::UserDeletesPod(index) => self.change_pod(*index, |_| false),
            Step::Pass(seconds) => self.clock += i64::from(*seconds),
            Step::ClockSteps(seconds) => {
                self.clock += i64::from(*seconds);
                self.clock_stepped = true;
            }
            Step::Target(index) => {
                self.now.desired.target = Some(REVISIONS[index % REVISIONS.len()].to_owned());
            }
            Step::NoTarget => self.now.desired.target = None,
            Step::Replicas(replicas) => self.now.desired.replicas = *replicas,
            Step::Surge(surge) => self.now.desired.max_surge = *surge,
            Step::Pause(paused) => self.now.desired.paused = *paused,
            Step::Ask(action) => {
                let id = self.fresh().to_string();
                if let Some(revision) = self.now.desired.target.clone() {
                    if *action == Action::Retry {
                        self.wanted_again.insert(revision.clone());
                    }
                    self.now.request = Some(ActionRequest { id, action: *action, revision });
                }
            }
            Step::StatusDeleted => self.now.request = None,
            Step::Nature(index, nature) => {
                self.natures.insert(REVISIONS[index % REVISIONS.len()].to_owned(), *nature);
            }
            Step::Store(up) => self.store_up = *up,
            Step::UserScales(index, replicas) => {
                let version = self.fresh();
                if let Some(found) = self.now.sets.values_mut().nth(*index) {
                    *found = Object { version, value: *replicas };
                }
            }
            Step::UserDeletesReplicaSet(index) => {
                if let Some(name) = self.now.sets.keys().nth(*index).cloned() {
                    self.now.sets.remove(&name);
                    self.now.changed.remove(&name);
                    self.now.pods.retain(|pod| pod.aside || pod.revision != name);
                }
            }
            Step::UserChangesTemplate(index) => {
                let version = self.fresh();
                let count = self.now.sets.len().max(1);
                if let Some((name, set)) = self.now.sets.iter_mut().nth(index % count) {
                    self.now.changed.insert(name.clone());
                    set.version = version;
                }
            }
        }
        self.sets_notice();
        self.past.push(self.now.clone());
    }

    fn change_pod(&mut self, index: usize, change: impl Fn(&mut SimPod) -> bool) {
        if self.now.pods.is_empty() {
            return;
        }
        let index = index % self.now.pods.len();
        let version = self.fresh();
        let mut pod = self.now.pods.remove(index);
        if change(&mut pod) {
            pod.version = version;
            self.now.pods.insert(index, pod);
        }
    }

    /// Everything works from now on: the operator and the machinery take turns, until nothing changes even after the
    /// deadline. Out comes the number of rounds.
    pub fn settle(&mut self) -> Option<usize> {
        let deadline = self.now.desired.progress_deadline;
        if self.now.desired.target.as_deref().is_some_and(|target| self.nature(target) == Nature::Good) {
            // of one that is good, nothing may be in the way but for a while
            self.now.desired.progress_deadline = Duration::from_hours(1_000);
        }
        let rounds = self.settles();
        self.now.desired.progress_deadline = deadline;
        rounds
    }

    fn settles(&mut self) -> Option<usize> {
        self.store_up = true;
        (self.controllers_away, self.quota) = (false, false);
        self.refused.clear();
        self.now.desired.paused = false;
        self.now.request = None;
        self.past = vec![self.now.clone()];
        let mut quiet = 0;
        for round in 0..400 {
            let before = self.now.clone();
            self.step(&Step::Reconcile { age: 0, dies_after: None });
            for step in [
                Step::ReplicaSets,
                Step::Endpoints,
                Step::Proxy,
                Step::Kubelet,
                Step::Pods,
                Step::Pods,
                Step::Endpoints,
                Step::Proxy,
            ] {
                self.step(&step);
            }
            let same = before.sets == self.now.sets
                && before.list == self.now.list
                && before.endpoints == self.now.endpoints
                && before.pods.len() == self.now.pods.len()
                && before.changed == self.now.changed
                && before.records.len() == self.now.records.len();
            quiet = if same { quiet + 1 } else { 0 };
            if quiet == 4 {
                return Some(round);
            }
            self.clock += if same { 700 } else { 20 };
        }
        None
    }
}
