//! What this process wrote and its caches do not show yet. A decision on a look that lacks one's own last write would make
//! that write again, so whoever decides from the caches asks here first (R7). Needs no client.
//!
//! Resource versions are compared as numbers, as Kubernetes allows since 1.35.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use kube::api::ObjectMeta;
use tokio::time::Instant;

/// How long a cache may be behind before the API server is asked instead.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often what nobody asked for is forgotten, and how old it then is: its owner is gone, since any other is looked at
/// more often.
const SWEEP: Duration = Duration::from_hours(1);

/// What the caches show of an owner's objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// All that was written.
    Satisfied,
    /// Less than that; an event is on its way.
    Pending,
    /// Less than that, for too long: another write came in between, or a watch stands still.
    Expired,
}

/// The name of what a write of an object, by its kind and its metadata, was made for, within its namespace; nothing is
/// expected of what was made for nothing.
pub type OwnerOf = fn(&str, &ObjectMeta) -> Option<String>;

/// What shows objects, maybe late.
pub trait Shows {
    /// An object of a kind, by its namespace and name.
    fn shown(&self, kind: &str, namespace: &str, name: &str) -> Option<ObjectMeta>;
}

/// Writes that are waited for, by namespace and name of what they were made for.
#[derive(Debug)]
pub struct Expectations {
    owner_of: OwnerOf,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    writes: HashMap<(String, String), Vec<Expected>>,
    swept: Option<Instant>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Expected {
    kind: String,
    name: String,
    state: State,
    since: Instant,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// It is there, at this version or a later one.
    Present(u64),
    /// It is not there, or another took its place.
    Gone(String),
}

impl Expectations {
    /// None yet.
    pub fn new(owner_of: OwnerOf) -> Self {
        Self { owner_of, waiting: Mutex::default() }
    }

    /// An object as the API server gave it back.
    pub fn present(&self, kind: &str, metadata: &ObjectMeta) {
        if let Some(version) = version(metadata) {
            self.expect(kind, metadata, State::Present(version));
        }
    }

    /// An object that was deleted.
    pub fn gone(&self, kind: &str, metadata: &ObjectMeta) {
        if let Some(uid) = &metadata.uid {
            self.expect(kind, metadata, State::Gone(uid.clone()));
        }
    }

    fn expect(&self, kind: &str, metadata: &ObjectMeta, state: State) {
        let Some(name) = metadata.name.clone() else { return };
        let Some(owner) = (self.owner_of)(kind, metadata) else { return };
        let place = (metadata.namespace.clone().unwrap_or_default(), owner);
        let expected = Expected { kind: kind.to_owned(), name, state, since: Instant::now() };
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.sweep(expected.since);
        let writes = waiting.writes.entry(place).or_default();
        writes.retain(|write| write.kind != expected.kind || write.name != expected.name);
        writes.push(expected);
    }

    /// What the caches show of what was made for `name`. What is overdue is not waited for again.
    pub fn state(&self, caches: &impl Shows, namespace: &str, name: &str) -> Expectation {
        let place = (namespace.to_owned(), name.to_owned());
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(writes) = waiting.writes.get_mut(&place) else { return Expectation::Satisfied };
        writes.retain(|write| {
            !write.state.is_shown(caches.shown(&write.kind, namespace, &write.name).as_ref())
        });
        let state = match writes.iter().map(|write| write.since.elapsed()).max() {
            None => Expectation::Satisfied,
            Some(age) if age < PATIENCE => return Expectation::Pending,
            Some(_) => Expectation::Expired,
        };
        waiting.writes.remove(&place);
        state
    }
}

impl Waiting {
    fn sweep(&mut self, now: Instant) {
        if now - *self.swept.get_or_insert(now) >= SWEEP {
            self.swept = Some(now);
            self.writes.retain(|_, writes| writes.iter().any(|write| now - write.since < SWEEP));
        }
    }
}

impl State {
    fn is_shown(&self, cached: Option<&ObjectMeta>) -> bool {
        match self {
            Self::Present(written) => cached.and_then(version).is_some_and(|cached| cached >= *written),
            Self::Gone(uid) => cached.is_none_or(|cached| cached.uid.as_ref() != Some(uid)),
        }
    }
}

fn version(metadata: &ObjectMeta) -> Option<u64> {
    metadata.resource_version.as_ref()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(owner: &str) -> ObjectMeta {
        ObjectMeta {
            name: Some("map".into()),
            labels: Some([("owner".to_owned(), owner.to_owned())].into()),
            resource_version: Some("1".into()),
            ..ObjectMeta::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn writes_for_what_is_gone_are_forgotten_in_time() {
        let written = Expectations::new(|_, metadata| metadata.labels.as_ref()?.get("owner").cloned());
        let known = || written.waiting.lock().unwrap_or_else(PoisonError::into_inner).writes.len();
        written.present("ConfigMap", &map("gone"));
        tokio::time::advance(SWEEP / 2).await;
        written.present("ConfigMap", &map("young"));
        assert_eq!(known(), 2);
        tokio::time::advance(SWEEP / 2).await;
        written.present("ConfigMap", &map("new"));
        assert_eq!(known(), 2, "the oldest is forgotten");
    }
}
