//! What the API server stores: objects, and the log of all that was written. In go writes, out come objects or why one was
//! refused. Needs no client.

mod rules;

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::watch;

use crate::{
    json::{is_terminating, items, number, object, text, without_nulls},
    kinds::Kind,
    monitors::Monitors,
};

/// Where an object is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub kind: Kind,
    pub namespace: String,
    pub name: String,
}

impl Key {
    pub fn new(kind: Kind, namespace: &str, name: &str) -> Self {
        Self { kind, namespace: namespace.into(), name: name.into() }
    }

    /// That of an object.
    pub fn of(kind: Kind, object: &Value) -> Self {
        Self::new(kind, text(object, "/metadata/namespace"), text(object, "/metadata/name"))
    }
}

/// Who wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Author {
    /// An operator, by its identity.
    Operator(String),
    /// The cluster's own controllers and kubelets.
    Cluster,
    /// A person, or what acts for one.
    Person,
}

/// One write.
#[derive(Clone, Debug)]
pub struct Version {
    pub number: u64,
    pub at: Timestamp,
    pub key: Key,
    pub before: Option<Arc<Value>>,
    pub after: Option<Arc<Value>>,
    pub by: Author,
    pub guard: Guard,
}

/// Why a write was refused, as the API server says it.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    pub code: u16,
    pub reason: &'static str,
    pub message: String,
}

impl Refusal {
    pub fn conflict(message: impl Into<String>) -> Self {
        Self { code: 409, reason: "Conflict", message: message.into() }
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self { code: 422, reason: "Invalid", message: message.into() }
    }

    pub fn not_found(key: &Key) -> Self {
        let message = format!("{} {} not found", key.kind.place().1, key.name);
        Self { code: 404, reason: "NotFound", message }
    }
}

/// Which part of an object is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Main,
    Status,
}

pub type Written = Result<Arc<Value>, Refusal>;

/// The first version.
pub const FIRST: u64 = 1000;

/// All objects and the log.
pub struct Store {
    objects: BTreeMap<Key, Arc<Value>>,
    pub log: Vec<Version>,
    /// What each manager applied last.
    pub(crate) applied: BTreeMap<(Key, String, Part), Value>,
    pub monitors: Monitors,
    uids: u64,
    addresses: u64,
    pub now: Timestamp,
    /// What the cluster makes of what is written.
    pub policy: Option<Policy>,
    /// On what condition the present request writes.
    pub guard: Guard,
    changed: watch::Sender<u64>,
}

/// A mutating policy.
pub type Policy = fn(Kind, &mut Value);

/// What a write named of the object that it means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    pub uid: bool,
    /// Its version, or what it holds.
    pub version: bool,
}

// by hand: nobody waits for a copy yet
impl Clone for Store {
    fn clone(&self) -> Self {
        Self {
            objects: self.objects.clone(),
            log: self.log.clone(),
            applied: self.applied.clone(),
            monitors: self.monitors.clone(),
            uids: self.uids,
            addresses: self.addresses,
            now: self.now,
            policy: self.policy,
            guard: Guard::default(),
            changed: watch::channel(self.version()).0,
        }
    }
}

impl Store {
    /// An empty one.
    pub fn new(now: Timestamp) -> Self {
        Self {
            objects: BTreeMap::new(),
            log: Vec::new(),
            applied: BTreeMap::new(),
            monitors: Monitors::default(),
            uids: 0,
            addresses: 0,
            now,
            policy: None,
            guard: Guard::default(),
            changed: watch::channel(FIRST).0,
        }
    }

    /// The number of the last write.
    pub fn version(&self) -> u64 {
        self.log.last().map_or(FIRST, |version| version.number)
    }

    /// Tells of writes.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub fn get(&self, key: &Key) -> Option<&Arc<Value>> {
        self.objects.get(key)
    }

    /// The objects of a kind.
    pub fn all(&self, kind: Kind) -> impl Iterator<Item = &Arc<Value>> {
        self.entries(kind).map(|(_, object)| object)
    }

    /// The same with their places.
    pub fn entries(&self, kind: Kind) -> impl Iterator<Item = (&Key, &Arc<Value>)> {
        let from = Key::new(kind, "", "");
        self.objects.range(from..).take_while(move |(key, _)| key.kind == kind)
    }

    /// The objects of a kind as they were at a version.
    pub fn all_at(&self, kind: Kind, version: u64) -> Vec<Arc<Value>> {
        if version >= self.version() {
            return self.all(kind).cloned().collect();
        }
        let mut objects: BTreeMap<Key, Arc<Value>> =
            self.entries(kind).map(|(key, object)| (key.clone(), Arc::clone(object))).collect();
        for later in self.log.iter().rev().take_while(|later| later.number > version) {
            if later.key.kind == kind {
                match &later.before {
                    Some(before) => _ = objects.insert(later.key.clone(), Arc::clone(before)),
                    None => _ = objects.remove(&later.key),
                }
            }
        }
        objects.into_values().collect()
    }

    /// Makes an object.
    pub fn create(&mut self, kind: Kind, namespace: &str, value: Value, by: &Author) -> Written {
        let mut value = without_nulls(value);
        if let Some(policy) = self.policy {
            policy(kind, &mut value);
        }
        let time = self.time();
        self.uids += 1;
        let suffix = format!("{:05x}", self.uids.wrapping_mul(0x9e37) & 0xf_ffff);
        let (uid, prefix) = (format!("uid-{}", self.uids), text(&value, "/metadata/generateName").to_owned());
        let metadata = object(&mut value, "metadata");
        metadata.insert("namespace".into(), namespace.into());
        if !prefix.is_empty() && !metadata.contains_key("name") {
            metadata.insert("name".into(), format!("{prefix}{suffix}").into());
        }
        for of_another in ["resourceVersion", "deletionTimestamp", "generation", "managedFields"] {
            metadata.remove(of_another);
        }
        metadata.insert("uid".into(), uid.into());
        metadata.insert("creationTimestamp".into(), time.into());
        if kind.has_generation() {
            metadata.insert("generation".into(), 1.into());
        }
        let key = Key::of(kind, &value);
        if self.objects.contains_key(&key) {
            let message = format!("{} \"{}\" already exists", kind.place().1, key.name);
            return Err(Refusal { code: 409, reason: "AlreadyExists", message });
        }
        if kind.has_status()
            && let Some(members) = value.as_object_mut()
        {
            members.remove("status");
        }
        (value["apiVersion"], value["kind"]) = (kind.place().0.into(), kind.to_string().into());
        self.addresses += u64::from(kind == Kind::Service);
        rules::fill_in(kind, &mut value, self.addresses);
        Ok(self.commit(key, Some(value), by))
    }

    /// Changes an object: `change` makes what is asked for of what there is.
    pub fn update(
        &mut self,
        key: &Key,
        part: Part,
        by: &Author,
        change: impl FnOnce(Value) -> Result<Value, Refusal>,
    ) -> Written {
        let Some(before) = self.objects.get(key).cloned() else { return Err(Refusal::not_found(key)) };
        let mut after = without_nulls(change(before.as_ref().clone())?);
        if let Some(policy) = self.policy.filter(|_| part == Part::Main) {
            policy(key.kind, &mut after);
        }
        rules::check_versions(key, &before, &after)?;
        rules::check_immutable(key, &before, &after)?;
        let kept: &[&str] = match part {
            // what belongs to nobody's part
            Part::Main if key.kind.has_status() => &["status"],
            Part::Main => &[],
            Part::Status => &["metadata", "spec", "data"],
        };
        for name in kept {
            match before.get(name) {
                Some(value) => after[*name] = value.clone(),
                None => _ = after.as_object_mut().and_then(|members| members.remove(*name)),
            }
        }
        for name in [
            "namespace",
            "name",
            "uid",
            "creationTimestamp",
            "generation",
            "deletionTimestamp",
            "resourceVersion",
        ] {
            let metadata = object(&mut after, "metadata");
            match before["metadata"].get(name) {
                Some(value) => _ = metadata.insert(name.into(), value.clone()),
                None => _ = metadata.remove(name),
            }
        }
        if after == *before {
            return Ok(before);
        }
        if key.kind.has_generation() && rules::asks_for_more(&before, &after) {
            after["metadata"]["generation"] = (number(&before, "/metadata/generation") + 1).into();
        }
        let is_done = is_terminating(&after)
            && items(&after, "/metadata/finalizers").next().is_none()
            && number(&after, "/metadata/deletionGracePeriodSeconds") == 0;
        let written = self.commit(key.clone(), Some(after), by);
        if is_done {
            self.commit(key.clone(), None, by);
        }
        Ok(written)
    }

    /// Replaces members of an object, unless they are so.
    pub fn set(&mut self, key: &Key, part: Part, members: Vec<(&str, Value)>, by: &Author) {
        let Some(live) = self.objects.get(key) else { return };
        let members: Vec<_> = members.into_iter().map(|(name, value)| (name, without_nulls(value))).collect();
        if members.iter().all(|(name, value)| live.get(*name).unwrap_or(&Value::Null) == value) {
            return;
        }
        let set = |mut live: Value| {
            for (name, value) in members {
                live[name] = value;
            }
            Ok(live)
        };
        let _ = self.update(key, part, by, set);
    }

    /// Deletes an object, or begins to: then it is given back.
    pub fn delete(
        &mut self,
        key: &Key,
        preconditions: &Value,
        by: &Author,
    ) -> Result<Option<Arc<Value>>, Refusal> {
        let Some(before) = self.objects.get(key).cloned() else { return Err(Refusal::not_found(key)) };
        for name in ["uid", "resourceVersion"] {
            let wanted = text(preconditions, &format!("/{name}"));
            if !wanted.is_empty() && wanted != text(&before, &format!("/metadata/{name}")) {
                return Err(Refusal::conflict(format!(
                    "Precondition failed: {name} in precondition: {wanted}"
                )));
            }
        }
        let runs = key.kind == Kind::Pod
            && !text(&before, "/spec/nodeName").is_empty()
            && !matches!(text(&before, "/status/phase"), "Succeeded" | "Failed");
        let is_held = items(&before, "/metadata/finalizers").next().is_some();
        if !runs && !is_held {
            self.commit(key.clone(), None, by);
            return Ok(None);
        }
        if is_terminating(&before) {
            return Ok(Some(before));
        }
        let mut after = before.as_ref().clone();
        after["metadata"]["deletionTimestamp"] = self.time().into();
        let grace =
            before.pointer("/spec/terminationGracePeriodSeconds").and_then(Value::as_i64).unwrap_or(30);
        after["metadata"]["deletionGracePeriodSeconds"] = if runs { grace.into() } else { 0.into() };
        if key.kind.has_generation() {
            after["metadata"]["generation"] = (number(&before, "/metadata/generation") + 1).into();
        }
        Ok(Some(self.commit(key.clone(), Some(after), by)))
    }

    /// Removes an object, whatever holds it: a kubelet that is done with a pod.
    pub fn remove(&mut self, key: &Key, by: &Author) {
        if self.objects.contains_key(key) {
            self.commit(key.clone(), None, by);
        }
    }

    fn commit(&mut self, key: Key, after: Option<Value>, by: &Author) -> Arc<Value> {
        let number = self.version() + 1;
        let before = self.objects.get(&key).cloned();
        let stamped = |mut object: Value| {
            object["metadata"]["resourceVersion"] = number.to_string().into();
            Arc::new(object)
        };
        let after = after.map(stamped);
        if let Some(after) = &after {
            self.objects.insert(key.clone(), Arc::clone(after));
        } else {
            self.objects.remove(&key);
            self.applied.retain(|(applied, ..), _| *applied != key);
        }
        let shown = after.clone().or_else(|| before.clone()).unwrap_or_default();
        let version = Version { number, at: self.now, key, before, after, by: by.clone(), guard: self.guard };
        let mut monitors = std::mem::take(&mut self.monitors);
        monitors.see(&version, self);
        self.monitors = monitors;
        self.log.push(version);
        self.changed.send_replace(number);
        shown
    }

    /// The time as objects say it.
    pub fn time(&self) -> String {
        Timestamp::from_second(self.now.as_second()).unwrap_or(self.now).to_string()
    }
}
