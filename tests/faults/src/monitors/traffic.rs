//! R1, R3, R4, R8, R9 and what a promotion rests on: no healthy version loses its traffic, and nothing is promoted unproven.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    cluster::{casts, kubelet},
    json::{annotation, controller, is_terminating, is_true, items, label, number, promoted, text},
    kinds::Kind,
    store::{Author, Key, Store, Version},
};

pub(super) const DEPLOYMENT: &str = "modelwright.dev/deployment";
pub(super) const DEPLOYMENT_UID: &str = "modelwright.dev/deployment-uid";
pub(super) const REVISION: &str = "modelwright.dev/revision";
const TRAFFIC: &str = "modelwright.dev/traffic";

#[derive(Clone, Default)]
pub(super) struct Traffic {
    /// By the UID of a ModelDeployment: most pods that served, as far as it still asks for so many.
    reached: BTreeMap<String, usize>,
    /// What it asked for before its last change.
    asked: BTreeMap<String, (i64, i64)>,
    /// Since when a pod is on the list of those that drain, by the list's namespace and name.
    listed: BTreeMap<(String, String), BTreeMap<String, Timestamp>>,
}

impl Traffic {
    pub(super) fn see(&mut self, version: &Version, store: &Store, broken: &mut Vec<String>) {
        match version.key.kind {
            Kind::Pod => {
                self.leaves_first(version, store, broken);
                self.evicts_nothing(version, store, broken);
            }
            Kind::ReplicaSet => {
                self.keeps_a_way_back(version, store, broken);
                self.keeps_to_the_surge(version, store, broken);
            }
            Kind::ControllerRevision => {
                self.is_proven(version, store, broken);
                is_unused(version, store, broken);
            }
            Kind::ConfigMap => self.reads_the_list(version),
            Kind::EndpointSlice | Kind::ModelDeployment => {}
            _ => return,
        }
        for deployment in store.all(Kind::ModelDeployment) {
            self.serves(deployment, store, broken);
        }
    }

    fn reads_the_list(&mut self, version: &Version) {
        let key = (version.key.namespace.clone(), version.key.name.clone());
        let list = version.after.as_deref().map(|after| text(after, "/data/traffic.json"));
        let list: Value = list.and_then(|list| serde_json::from_str(list).ok()).unwrap_or_default();
        let before = self.listed.remove(&key).unwrap_or_default();
        let names = items(&list, "/drain").filter_map(Value::as_str);
        let since = |name: &str| before.get(name).copied().unwrap_or(version.at);
        self.listed.insert(key, names.map(|name| (name.to_owned(), since(name))).collect());
    }

    /// R4: a pod is out of service before it goes.
    fn leaves_first(&self, version: &Version, store: &Store, broken: &mut Vec<String>) {
        let Some(before) = &version.before else { return };
        let begins = !is_terminating(before) && version.after.as_deref().is_none_or(is_terminating);
        let name = label(before, DEPLOYMENT);
        if !begins || name.is_empty() || version.by == Author::Person {
            return;
        }
        // one that goes with its ModelDeployment need not
        let Some(deployment) = store.get(&Key::new(Kind::ModelDeployment, &version.key.namespace, name))
        else {
            return;
        };
        if label(before, DEPLOYMENT_UID) != text(deployment, "/metadata/uid") {
            return;
        }
        if is_true(before, "Ready") && label(before, TRAFFIC) == "serve" {
            broken.push("R4: a pod went that was in service".into());
        }
        // what has served has clients until it has drained
        let has_served = items(before, "/status/containerStatuses").any(|status| status["started"] == true);
        let since = self.listed.values().find_map(|listed| listed.get(&version.key.name));
        let is_over = |since: &Timestamp| *since + kubelet::LEAVING <= version.at;
        let is_told = !annotation(before, "modelwright.dev/leaving-since").is_empty();
        if has_served && since.map_or(is_told, |since| !is_over(since)) {
            broken.push("R4: a pod went that had clients".into());
        }
    }

    /// R3: as many pods serve as did before, as long as so many are asked for.
    fn serves(&mut self, deployment: &Value, store: &Store, broken: &mut Vec<String>) {
        let uid = text(deployment, "/metadata/uid").to_owned();
        let replicas = deployment.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1);
        let asked = self.asked.entry(uid.clone()).or_insert((replicas, replicas));
        if asked.1 != replicas {
            *asked = (asked.1, replicas);
        }
        let asked = usize::try_from(replicas).unwrap_or_default();
        let serving = serving(deployment, store).count();
        let reached = self.reached.entry(uid).or_default();
        let floor = (*reached).min(asked);
        if serving < floor {
            broken.push(format!(
                "R3: {serving} pods of {} serve, and {floor} did",
                text(deployment, "/metadata/name")
            ));
            // each loss is told once
            *reached = serving;
        }
        *reached = serving.max(*reached).min(asked.max(serving));
        if serving > asked {
            *reached = asked;
        }
    }

    /// R8: a pod is told to leave only where enough others serve, and what is not promoted counts only as far as it says
    /// itself that it serves its model.
    fn evicts_nothing(&self, version: &Version, store: &Store, broken: &mut Vec<String>) {
        let (Some(before), Some(after)) = (&version.before, &version.after) else { return };
        let is_told = label(before, TRAFFIC) == "serve" && label(after, TRAFFIC) != "serve";
        if !is_told || !matches!(version.by, Author::Operator(_)) || !is_true(before, "Ready") {
            return;
        }
        let Some(deployment) = owner(version, after, store) else { return };
        let stable = stable(deployment, store);
        let counts = |pod: &&Value| {
            let is_stable = Some(label(pod, REVISION)) == stable;
            label(pod, TRAFFIC) == "serve"
                && (is_stable || served(pod) == kubelet::serving(pod).map(|config| config.model_digest))
        };
        let left = serving(deployment, store).filter(counts).count();
        if Some(label(after, REVISION)) == stable && left < self.asked(deployment) {
            broken.push(format!("R8: a pod that serves was told to leave, and {left} others serve"));
        }
    }

    /// R9: as long as nothing else is promoted, the stable revision keeps a pod.
    fn keeps_a_way_back(&self, version: &Version, store: &Store, broken: &mut Vec<String>) {
        let Some(before) = &version.before else { return };
        let left = version.after.as_ref().map_or(0, |after| number(after, "/spec/replicas"));
        let falls = number(before, "/spec/replicas") > 0 && left == 0;
        if !falls || !matches!(version.by, Author::Operator(_)) {
            return;
        }
        let Some(deployment) = owner(version, before, store) else { return };
        if stable(deployment, store) == Some(label(before, REVISION)) && self.asked(deployment) > 0 {
            broken.push("R9: the stable revision lost its last pod".into());
        }
    }

    /// No more pods are asked for than are wanted, and one more.
    fn keeps_to_the_surge(&self, version: &Version, store: &Store, broken: &mut Vec<String>) {
        let Some(after) = &version.after else { return };
        let asked = |set: &Value| number(set, "/spec/replicas");
        let grows = asked(after) > version.before.as_deref().map_or(0, asked);
        if !grows || !matches!(version.by, Author::Operator(_)) {
            return;
        }
        let Some(deployment) = owner(version, after, store) else { return };
        let uid = text(deployment, "/metadata/uid");
        let all: i64 = store
            .all(Kind::ReplicaSet)
            .filter(|set| controller(set) == Some(uid))
            .map(|set| asked(set))
            .sum();
        let most = self.asked.get(uid).map_or(1, |(before, now)| *before.max(now)) + 1;
        if all > most {
            broken.push(format!("{all} pods are asked for, and {most} are the most"));
        }
    }

    /// The least that a ModelDeployment asks for, or did before its last change.
    fn asked(&self, deployment: &Value) -> usize {
        let asked =
            self.asked.get(text(deployment, "/metadata/uid")).map_or(1, |(before, now)| *before.min(now));
        usize::try_from(asked).unwrap_or_default()
    }

    /// Nothing is promoted that does not serve what it was made for.
    fn is_proven(&self, version: &Version, store: &Store, broken: &mut Vec<String>) {
        let Some(after) = &version.after else { return };
        let before = version.before.as_deref().map_or(0, promoted);
        if promoted(after) <= before || !matches!(version.by, Author::Operator(_)) {
            return;
        }
        let name = label(after, DEPLOYMENT);
        let Some(deployment) = store.get(&Key::new(Kind::ModelDeployment, &version.key.namespace, name))
        else {
            return;
        };
        let digest = text(after, "/data/modelDigest");
        let proven = serving(deployment, store)
            .filter(|pod| label(pod, REVISION) == label(after, REVISION))
            .filter(|pod| served(pod).as_deref() == Some(digest))
            .count();
        let asked = self.asked(deployment);
        if proven < asked {
            broken
                .push(format!("a revision was promoted with {proven} of {asked} pods that serve its model"));
        }
    }
}

/// The ModelDeployment that an object is of, if it still is there.
fn owner<'a>(version: &Version, object: &Value, store: &'a Store) -> Option<&'a Value> {
    let name = label(object, DEPLOYMENT);
    let key = Key::new(Kind::ModelDeployment, &version.key.namespace, name);
    store.get(&key).map(AsRef::as_ref).filter(|found| !is_terminating(found))
}

/// The revision of a ModelDeployment that was promoted last.
fn stable<'a>(deployment: &Value, store: &'a Store) -> Option<&'a str> {
    let uid = text(deployment, "/metadata/uid");
    let ours = store.all(Kind::ControllerRevision).filter(|revision| controller(revision) == Some(uid));
    let promoted = ours.filter(|revision| promoted(revision) > 0).max_by_key(|revision| promoted(revision));
    promoted.map(|revision| label(revision, REVISION))
}

/// Pods of a ModelDeployment that clients reach.
fn serving<'a>(deployment: &'a Value, store: &'a Store) -> impl Iterator<Item = &'a Value> {
    let (namespace, name) = (text(deployment, "/metadata/namespace"), text(deployment, "/metadata/name"));
    let uid = text(deployment, "/metadata/uid");
    let slice = store.get(&Key::new(Kind::EndpointSlice, namespace, &format!("{name}-slice")));
    let endpoints = slice.into_iter().flat_map(|slice| items(slice, "/endpoints"));
    endpoints.filter(|endpoint| endpoint["conditions"]["ready"] == true).filter_map(move |endpoint| {
        let pod = store.get(&Key::new(Kind::Pod, namespace, text(endpoint, "/targetRef/name")))?;
        // those of one that was deleted, and had the same name, go
        let is_ours = label(pod, DEPLOYMENT_UID) == uid;
        (is_ours && is_true(pod, "Ready") && !is_terminating(pod)).then_some(pod.as_ref())
    })
}

fn served(pod: &Value) -> Option<String> {
    casts::served(&kubelet::serving(pod)?.model_digest)
}

/// R1: a revision that serves is not forgotten.
fn is_unused(version: &Version, store: &Store, broken: &mut Vec<String>) {
    let (Some(before), None) = (&version.before, &version.after) else { return };
    if !matches!(version.by, Author::Operator(_)) {
        return;
    }
    let key = Key::new(Kind::ReplicaSet, &version.key.namespace, &version.key.name);
    let has_pods = store.get(&key).is_some_and(|set| number(set, "/spec/replicas") > 0);
    let name = label(before, DEPLOYMENT);
    let others = store.all(Kind::ControllerRevision).filter(|other| label(other, DEPLOYMENT) == name);
    let is_stable =
        promoted(before) > 0 && others.map(|other| promoted(other)).all(|other| other < promoted(before));
    if has_pods || is_stable {
        broken.push("R1: a revision that is in use was deleted".into());
    }
}
