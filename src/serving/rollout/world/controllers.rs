//! What the cluster does by itself: ReplicaSets make and delete pods, which start, hear that they are to drain, and end.

use std::cmp::Ordering;

use super::{Nature, SimPod, Snapshot, World};

impl World {
    /// The status of a ReplicaSet counts its pods, so its resourceVersion moves with them.
    pub(super) fn sets_notice(&mut self) {
        let counts = |snapshot: &Snapshot, name: &str| {
            let ready = snapshot.counted(name).filter(|pod| pod.ready).count();
            (snapshot.counted(name).count(), ready)
        };
        let Some(before) = self.past.last().cloned() else { return };
        for name in before.sets.keys() {
            let version = self.fresh();
            if counts(&before, name) != counts(&self.now, name)
                && let Some(set) = self.now.sets.get_mut(name)
            {
                set.version = version;
            }
        }
    }

    /// Every ReplicaSet makes or deletes pods until it has what it is asked for.
    pub(super) fn replica_sets(&mut self) {
        for (revision, replicas) in self.now.sets.clone() {
            loop {
                let alive: Vec<_> = self
                    .now
                    .pods
                    .iter()
                    .filter(|pod| pod.revision == revision && !pod.terminating && !pod.aside)
                    .cloned()
                    .collect();
                match alive.len().cmp(&(replicas.value as usize)) {
                    Ordering::Less if self.quota => break,
                    Ordering::Less => self.make_pod(&revision),
                    Ordering::Greater => self.delete_pod(&alive),
                    Ordering::Equal => break,
                }
            }
        }
        // garbage collection of what has no ReplicaSet
        let sets = &self.now.sets;
        self.now.pods.retain(|pod| pod.aside || sets.contains_key(&pod.revision));
    }

    fn make_pod(&mut self, revision: &str) {
        let version = self.fresh();
        self.now.pods.push(SimPod {
            name: format!("{revision}-{version}"),
            revision: revision.to_owned(),
            version,
            created: self.clock,
            taken_up: false,
            started: false,
            ready: false,
            terminating: false,
            labelled: true,
            leaving_since: None,
            cost: i64::MAX,
            stray: self.now.changed.contains(revision),
            aside: false,
            heard: false,
            drained: false,
            has_served: false,
        });
    }

    /// Pending before started, unready before ready, then by deletion cost, then the youngest.
    fn delete_pod(&mut self, alive: &[SimPod]) {
        let order = |pod: &&SimPod| (pod.started, pod.ready, pod.cost, std::cmp::Reverse(pod.version));
        let Some(victim) = alive.iter().min_by_key(order) else { return };
        self.check_deletion(victim);
        let version = self.fresh();
        for pod in self.now.pods.iter_mut().filter(|pod| pod.name == victim.name) {
            (pod.terminating, pod.version) = (true, version);
        }
    }

    pub(super) fn check_deletion(&mut self, victim: &SimPod) {
        if Self::may_serve(&self.now, victim) {
            self.fail("R4", format!("{} was deleted while it took traffic", victim.name));
        }
        if victim.has_served && !self.clock_stepped && !self.has_left(&self.now.clone(), victim) {
            self.fail("R4", format!("{} was deleted while it had clients", victim.name));
        }
        if victim.drained && self.proxy.contains(&victim.name) {
            self.fail("R4", format!("{} was deleted while kube-proxy knew it", victim.name));
        }
    }

    /// Pods start, finish their drain, and end.
    pub(super) fn pods(&mut self) {
        let version = self.fresh();
        let listed = self.now.list.value.clone();
        let (natures, store_up, proxy) = (self.natures.clone(), self.store_up, self.proxy.clone());
        for pod in self.now.pods.iter_mut().filter(|pod| !pod.terminating) {
            let nature = natures.get(&pod.revision).copied().unwrap_or(Nature::Good);
            let before = pod.clone();
            pod.taken_up |= !self.controllers_away;
            if pod.started {
                pod.ready = !pod.heard;
                pod.drained = pod.heard && !proxy.contains(&pod.name);
            } else if nature != Nature::Broken && store_up && pod.taken_up {
                // the write that told it made its kubelet look at the list
                pod.heard |= !pod.labelled && listed.contains(&pod.name);
                (pod.started, pod.ready) = (true, !pod.heard);
            }
            if *pod != before {
                pod.version = version;
            }
        }
        self.now.pods.retain(|pod| !pod.terminating || proxy.contains(&pod.name));
    }

    /// The list of draining pods reaches the pods.
    pub(super) fn kubelet(&mut self) {
        let list = &self.now.list.value;
        for pod in &mut self.now.pods {
            pod.heard = list.contains(&pod.name);
            pod.drained = pod.drained && pod.heard;
        }
    }
}
