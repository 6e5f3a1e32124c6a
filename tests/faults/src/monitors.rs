//! What must hold at every write, whatever goes wrong. In goes each write as it is made; out come those that break an
//! invariant of the design.

mod hands;
mod runs;
mod traffic;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{
    json::{promoted, recorded, text},
    kinds::Kind,
    store::{Author, Key, Store, Version},
    world::Release,
};

/// The invariants, and what they remember.
#[derive(Clone, Default)]
pub struct Monitors {
    /// What was broken, in words.
    pub broken: Vec<String>,
    /// Writes that were looked at.
    pub seen: usize,
    traffic: traffic::Traffic,
    runs: runs::Runs,
    hands: hands::Hands,
    /// Which operators there are, by identity.
    pub releases: BTreeMap<&'static str, Release>,
    /// Revisions that a person let be tried again.
    retried: BTreeSet<String>,
    leaders: BTreeMap<String, usize>,
}

impl Monitors {
    /// Looks at a write; `store` is as it is after it.
    pub fn see(&mut self, version: &Version, store: &Store) {
        self.seen += 1;
        let mut broken = Vec::new();
        self.traffic.see(version, store, &mut broken);
        self.runs.see(version, store, &mut broken);
        let release = match &version.by {
            Author::Operator(identity) => self.releases.get(identity.as_str()),
            _ => None,
        };
        self.hands.see(version, store, release, &mut broken);
        self.quarantine(version, store, &mut broken);
        self.only_the_leader_writes(version, store, &mut broken);
        only_the_persons_own_spec(version, &mut broken);
        for words in broken {
            let name = &version.key.name;
            self.broken.push(format!(
                "{} at {} ({} {name}, by {:?})",
                words, version.at, version.key.kind, version.by
            ));
        }
    }

    /// Looks at a world at rest.
    pub fn see_at_rest(store: &Store) -> Vec<String> {
        let mut broken = Vec::new();
        hands::leaves_nothing(store, &mut broken);
        broken
    }

    /// R5: what was refused is not tried again, but by a person's word.
    fn quarantine(&mut self, version: &Version, store: &Store, broken: &mut Vec<String>) {
        if version.key.kind == Kind::ModelDeployment
            && let Some(after) = &version.after
            && text(after, "/status/request/action") == "Retry"
        {
            self.retried.insert(text(after, "/status/request/revision").to_owned());
        }
        let (Some(before), Some(after)) = (&version.before, &version.after) else { return };
        let short = version.key.name.rsplit('-').next().unwrap_or_default().to_owned();
        match version.key.kind {
            Kind::ControllerRevision => {
                let was = &recorded(before)["quarantine"];
                if !was.is_null() && recorded(after)["quarantine"] != *was && !self.retried.remove(&short) {
                    broken.push("R5: a quarantine was lifted that nobody asked to lift".into());
                }
            }
            Kind::ReplicaSet if matches!(version.by, Author::Operator(_)) => {
                let replicas = |set: &Value| crate::json::number(set, "/spec/replicas");
                let key = Key::new(Kind::ControllerRevision, &version.key.namespace, &version.key.name);
                let Some(revision) = store.get(&key) else { return };
                let is_refused = !recorded(revision)["quarantine"].is_null();
                if replicas(after) > replicas(before) && is_refused && promoted(revision) == 0 {
                    broken.push("R5: a quarantined revision was given more pods".into());
                }
            }
            _ => {}
        }
    }

    /// Writes are made by who holds the Lease, and by nobody else.
    fn only_the_leader_writes(&mut self, version: &Version, store: &Store, broken: &mut Vec<String>) {
        let Author::Operator(identity) = &version.by else { return };
        if matches!(version.key.kind, Kind::Lease | Kind::Event) {
            return;
        }
        *self.leaders.entry(identity.clone()).or_default() += 1;
        let of = self.releases.get(identity.as_str()).map(|release| release.lease);
        let mut leases = store.entries(Kind::Lease).filter(|(key, _)| of.is_none_or(|name| key.name == name));
        if !leases.any(|(_, lease)| text(lease, "/spec/holderIdentity") == identity) {
            broken.push(format!("R7: {identity} wrote and does not hold the Lease"));
        }
    }
}

/// The operator leaves what a person asks for as it is.
fn only_the_persons_own_spec(version: &Version, broken: &mut Vec<String>) {
    if !matches!(version.key.kind, Kind::Model | Kind::ModelDeployment)
        || !matches!(version.by, Author::Operator(_))
    {
        return;
    }
    let asks = |object: &Value| (object["spec"].clone(), object["metadata"]["labels"].clone());
    if let (Some(before), Some(after)) = (&version.before, &version.after)
        && asks(before) != asks(after)
    {
        broken.push("the operator changed a spec".into());
    }
}
