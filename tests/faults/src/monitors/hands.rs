//! R2, R7, R11 and R13: whose hands are on what. A write means exactly what was read, changes nothing that nobody asked to
//! change, and stays with the objects and the namespaces of who makes it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::traffic::{DEPLOYMENT, DEPLOYMENT_UID, REVISION};
use crate::{
    json::{controller, is_terminating, is_true, items, label, promoted, recorded, text},
    kinds::Kind,
    store::{Author, Store, Version},
    world::Release,
};

#[derive(Clone, Default)]
pub(super) struct Hands {
    /// ModelDeployments by UID that a person asked to abort nothing, with their names.
    idle: BTreeMap<String, String>,
}

impl Hands {
    pub(super) fn see(
        &mut self,
        version: &Version,
        store: &Store,
        release: Option<&Release>,
        broken: &mut Vec<String>,
    ) {
        self.notice_idle_aborts(version);
        if !matches!(version.by, Author::Operator(_)) || matches!(version.key.kind, Kind::Lease | Kind::Event)
        {
            return;
        }
        self.changes_nothing(version, broken);
        means_what_it_read(version, broken);
        runs_once(version, store, broken);
        remembers(version, store, broken);
        tells_of_void_requests(version, store, broken);
        stays_with_its_own(version, store, release, broken);
    }

    /// An abort of nothing lasts until somebody asks for something else.
    fn notice_idle_aborts(&mut self, version: &Version) {
        if version.by != Author::Person {
            return;
        }
        let (Kind::ModelDeployment, Some(before), Some(after)) =
            (version.key.kind, &version.before, &version.after)
        else {
            self.idle.clear();
            return;
        };
        let uid = text(after, "/metadata/uid");
        self.idle.remove(uid);
        let is_done = text(after, "/status/phase") == "Healthy" && is_true(after, "Promoted");
        let asks = text(after, "/status/request/action") == "Abort" && before["status"]["request"].is_null();
        if is_done && asks && before["spec"] == after["spec"] {
            self.idle.insert(uid.to_owned(), version.key.name.clone());
        }
    }

    /// R2: an abort without a rollout changes nothing.
    fn changes_nothing(&self, version: &Version, broken: &mut Vec<String>) {
        let object = version.after.as_ref().or(version.before.as_ref());
        let name = object.map(|object| label(object, DEPLOYMENT)).unwrap_or_default();
        if !name.is_empty() && self.idle.values().any(|idle| idle == name) {
            broken.push("R2: an abort without a rollout changed something".into());
        }
    }
}

/// R7: a write of what is there names what was read, so that it is refused where that has changed.
fn means_what_it_read(version: &Version, broken: &mut Vec<String>) {
    if version.before.is_none() {
        return;
    }
    let is_of_version = match version.key.kind {
        // applied whole, as it is rendered; or a record of what the API server made of a template
        Kind::Service | Kind::PodDisruptionBudget | Kind::ControllerRevision => version.after.is_none(),
        _ => true,
    };
    if !(version.guard.version || (version.guard.uid && !is_of_version)) {
        broken.push("R7: it was written whatever it had become since it was read".into());
    }
}

/// R7: a cache that is behind makes no second Job.
fn runs_once(version: &Version, store: &Store, broken: &mut Vec<String>) {
    let (Kind::Job, None, Some(made)) = (version.key.kind, &version.before, &version.after) else { return };
    let others = store.all(Kind::Job).filter(|other| {
        controller(other) == controller(made)
            && text(other, "/metadata/uid") != text(made, "/metadata/uid")
            && !is_terminating(other)
    });
    for other in others {
        if !is_true(other, "Complete") && !is_true(other, "Failed") {
            broken.push("R7: a second Job was made beside one that runs".into());
        }
    }
}

/// What a person asked for is removed once its effect is recorded, or once it was told that it has none.
fn tells_of_void_requests(version: &Version, store: &Store, broken: &mut Vec<String>) {
    let (Kind::ModelDeployment, Some(before), Some(after)) =
        (version.key.kind, &version.before, &version.after)
    else {
        return;
    };
    let request = &before["status"]["request"];
    if request.is_null() || !after["status"]["request"].is_null() {
        return;
    }
    let uid = Some(text(after, "/metadata/uid"));
    let mut ours = store.all(Kind::ControllerRevision).filter(|revision| controller(revision) == uid);
    let took_effect = ours.any(|revision| recorded(revision)["request"] == request["id"]);
    let mut told = store.all(Kind::Event).filter(|event| event["reason"] == "RequestVoid");
    if !took_effect && !told.any(|event| text(event, "/regarding/name") == version.key.name) {
        broken.push("a request without effect was removed, and nobody was told".into());
    }
}

/// R11: what is recorded is not forgotten, and what a status says of it is that.
fn remembers(version: &Version, store: &Store, broken: &mut Vec<String>) {
    let (Some(before), Some(after)) = (&version.before, &version.after) else { return };
    match version.key.kind {
        Kind::ControllerRevision if promoted(after) < promoted(before) => {
            broken.push("R11: a promotion was forgotten".into());
        }
        Kind::ModelDeployment => {
            let uid = text(after, "/metadata/uid");
            let ours =
                store.all(Kind::ControllerRevision).filter(|revision| controller(revision) == Some(uid));
            let stable =
                ours.filter(|revision| promoted(revision) > 0).max_by_key(|revision| promoted(revision));
            let told = text(after, "/status/stable/revision");
            if let Some(stable) = stable.map(|stable| label(stable, REVISION))
                && !told.is_empty()
                && told != stable
                && told != text(before, "/status/stable/revision")
            {
                broken.push(format!(
                    "R11: the status says that {told} is stable, and {stable} was promoted last"
                ));
            }
        }
        _ => {}
    }
}

/// R13: a release leaves the namespaces of others alone, and an object stays with whom it belongs to.
fn stays_with_its_own(version: &Version, store: &Store, release: Option<&Release>, broken: &mut Vec<String>) {
    let namespace = version.key.namespace.as_str();
    if release
        .is_some_and(|release| !release.namespaces.is_empty() && !release.namespaces.contains(&namespace))
    {
        broken.push("R13: a release wrote in a namespace that it was not given".into());
    }
    let (Some(before), Some(after)) = (&version.before, &version.after) else { return };
    let was_of = label(before, DEPLOYMENT_UID);
    let lives = |uid: &str| store.all(Kind::ModelDeployment).any(|owner| text(owner, "/metadata/uid") == uid);
    if !was_of.is_empty() && label(after, DEPLOYMENT_UID) != was_of && lives(was_of) {
        broken.push("R13: an object was taken from the ModelDeployment that it belongs to".into());
    }
}

/// R6, of a world at rest: nothing is left of a rollout that was rolled back, however many were.
pub(super) fn leaves_nothing(store: &Store, broken: &mut Vec<String>) {
    for (key, deployment) in store.entries(Kind::ModelDeployment) {
        if is_terminating(deployment) {
            continue;
        }
        let name = key.name.as_str();
        let ours = |kind: Kind| {
            let here = store.entries(kind).filter(|(other, _)| other.namespace == key.namespace);
            here.map(|(_, object)| object).filter(|object| label(object, DEPLOYMENT) == name)
        };
        let services: Vec<_> = ours(Kind::Service).map(|service| text(service, "/metadata/name")).collect();
        if services != [name] {
            broken.push(format!("R6: {name} has the Services {services:?}"));
        }
        let is_at_rest = matches!(text(deployment, "/status/phase"), "Healthy" | "Degraded");
        let stable = text(deployment, "/status/stable/revision");
        if is_at_rest && !stable.is_empty() {
            for pod in ours(Kind::Pod).filter(|pod| label(pod, REVISION) != stable) {
                broken.push(format!("R6: {} is left, and serves nothing", text(pod, "/metadata/name")));
            }
            for set in ours(Kind::ReplicaSet).filter(|set| label(set, REVISION) != stable) {
                broken.push(format!("R6: {} is left, and has no pods", text(set, "/metadata/name")));
            }
        }
        let names: Vec<_> = ours(Kind::Pod).map(|pod| text(pod, "/metadata/name")).collect();
        for list in ours(Kind::ConfigMap) {
            let traffic: Value = serde_json::from_str(text(list, "/data/traffic.json")).unwrap_or_default();
            for listed in items(&traffic, "/drain").filter_map(Value::as_str) {
                if !names.contains(&listed) {
                    broken.push(format!("R6: {listed} is gone, and still on the list of those that leave"));
                }
            }
        }
    }
}
