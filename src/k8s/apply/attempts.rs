//! Writes that were answered with a no, and when each may be tried again. Whatever else an object is looked at for, a write
//! that is refused is sent at its own pace: what polls for a pod would send it every second. Needs no client.
//!
//! A change of what is asked for, or of the object that stands in the way, lets it be tried at once.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::OwnerReference, jiff::Timestamp};
use kube::api::ObjectMeta;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::ApplyError;
use crate::{
    hash,
    k8s::controller::{BACKOFF, backoff},
};

/// First and last wait of a refused write. The last is shorter than that of a reconcile: where something else has an object
/// looked at, a person who has mended what the status names waits for a minute.
const PACE: (Duration, Duration) = (BACKOFF.0, Duration::from_mins(1));
/// What was due for so long is forgotten: what asked for it asks no more.
const KEPT: Duration = Duration::from_hours(1);

/// A write, by what it would make of which object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Attempt {
    kind: String,
    namespace: String,
    name: String,
    what: String,
}

impl Attempt {
    /// That of a rendered object.
    pub(super) fn of_object(kind: &str, namespace: &str, name: &str, value: &Value) -> Self {
        Self::new(kind, namespace, name, hash::canonical(value))
    }

    /// That of a change to some fields. What carries the time is another at every try, and the same attempt.
    pub(super) fn of_patch(kind: &str, namespace: &str, name: &str, patch: &Value) -> Self {
        Self::new(kind, namespace, name, hash::canonical(&without_times(patch)))
    }

    /// A deletion.
    pub(super) fn of_deletion(kind: &str, namespace: &str, name: &str) -> Self {
        Self::new(kind, namespace, name, "delete".into())
    }

    fn new(kind: &str, namespace: &str, name: &str, what: String) -> Self {
        Self { kind: kind.into(), namespace: namespace.into(), name: name.into(), what }
    }
}

/// A patch without the version that it was made on, and without times, in words or in seconds.
fn without_times(patch: &Value) -> Value {
    let is_time = |text: &str| text.parse::<i64>().is_ok() || text.parse::<Timestamp>().is_ok();
    match patch {
        Value::Object(members) => {
            let kept = members.iter().filter(|(key, _)| *key != "resourceVersion");
            kept.map(|(key, value)| (key.clone(), without_times(value))).collect()
        }
        Value::Array(items) => items.iter().map(without_times).collect(),
        Value::String(text) if is_time(text) => Value::Bool(true),
        value => value.clone(),
    }
}

/// What of an object may be why a write is refused: not its status, nor who wrote which field.
pub(super) fn state(observed: &Value) -> String {
    let part = |path: &str| observed.pointer(path).cloned().unwrap_or_default();
    hash::canonical(&json!([
        part("/metadata/uid"),
        part("/metadata/labels"),
        part("/metadata/annotations"),
        part("/metadata/ownerReferences"),
        part("/spec"),
        part("/data"),
    ]))
}

/// The object that a write is made for: a change of that lets it be tried at once.
pub(super) fn asked_by(metadata: &ObjectMeta) -> String {
    let is_controller = |owner: &&OwnerReference| owner.controller == Some(true);
    let owner = metadata.owner_references.iter().flatten().find(is_controller).map(|owner| owner.uid.clone());
    owner.or_else(|| metadata.uid.clone()).unwrap_or_default()
}

/// Writes that were answered with a no.
#[derive(Debug, Default)]
pub struct Attempts(Mutex<Refused>);

#[derive(Debug, Default)]
struct Refused {
    writes: HashMap<Attempt, No>,
    /// Of who asks, what was asked for last, and when it was looked at.
    generations: HashMap<String, (i64, Instant)>,
    swept: Option<Instant>,
}

#[derive(Debug)]
struct No {
    asked_by: String,
    state: String,
    error: ApplyError,
    count: u32,
    due: Instant,
}

impl Attempts {
    /// Says what the object with this UID asks for now: of another generation, whatever was refused is tried at once.
    pub fn asks(&self, metadata: &ObjectMeta) {
        let (Some(uid), Some(generation)) = (&metadata.uid, metadata.generation) else { return };
        let now = Instant::now();
        let mut refused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now - *refused.swept.get_or_insert(now) >= KEPT {
            refused.swept = Some(now);
            refused.generations.retain(|_, (_, seen)| now - *seen < KEPT);
        }
        let before = refused.generations.insert(uid.clone(), (generation, now));
        if before.is_some_and(|(before, _)| before != generation) {
            refused.writes.retain(|_, no| no.asked_by != *uid);
        }
    }

    /// Makes a write, unless it was refused and is not due yet: then it is refused in the same words. `state` is that of the
    /// object that is there.
    pub(super) async fn make<T>(
        &self,
        attempt: Attempt,
        asked_by: String,
        state: String,
        write: impl Future<Output = Result<T, ApplyError>>,
    ) -> Result<T, ApplyError> {
        if let Some(error) = self.held(&attempt, &state) {
            return Err(error);
        }
        let outcome = write.await;
        self.learn(attempt, asked_by, state, outcome.as_ref().err());
        outcome
    }

    fn held(&self, attempt: &Attempt, state: &str) -> Option<ApplyError> {
        let refused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let no = refused.writes.get(attempt).filter(|no| Instant::now() < no.due)?;
        // what a policy changes at every write may be another object after each
        let is_left = matches!(&no.error, ApplyError::Overruled { left, .. } if left == state);
        let is_same = is_left || no.state == state;
        is_same.then(|| no.error.clone())
    }

    fn learn(&self, attempt: Attempt, asked_by: String, state: String, error: Option<&ApplyError>) {
        let mut refused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // what only waits for something to go is announced by that
        let no = error.filter(|error| error.concerns_one_write() && !error.waits());
        let Some(error) = no else {
            // of what is away or has changed nothing is known
            if error.is_none() {
                refused.writes.remove(&attempt);
            }
            return;
        };
        let now = Instant::now();
        refused.writes.retain(|_, no| now < no.due + KEPT);
        let count = refused.writes.get(&attempt).map_or(0, |no| no.count.saturating_add(1));
        let due = now + backoff(PACE, count);
        refused.writes.insert(attempt, No { asked_by, state, error: error.clone(), count, due });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn refused() -> ApplyError {
        ApplyError::Refused { kind: "Service".into(), name: "digits".into(), message: "no".into() }
    }

    fn overruled(left: &str) -> ApplyError {
        let (kind, name) = ("Service".into(), "digits".into());
        ApplyError::Overruled { kind, name, fields: "spec".into(), left: left.into() }
    }

    struct Sent<'a>(&'a Attempts, AtomicU32);

    impl Sent<'_> {
        async fn send(&self, value: &Value, state: &str, answer: Result<(), ApplyError>) -> bool {
            let before = self.1.load(Ordering::Relaxed);
            let attempt = Attempt::of_object("Service", "space", "digits", value);
            let write = async {
                self.1.fetch_add(1, Ordering::Relaxed);
                answer.clone()
            };
            let outcome = self.0.make(attempt, "uid".into(), state.into(), write).await;
            assert_eq!(outcome.is_ok(), answer.is_ok(), "what is not sent is refused all the same");
            self.1.load(Ordering::Relaxed) > before
        }
    }

    /// A second's poll for an hour, over which a write is refused, or comes to something else each time.
    #[tokio::test(start_paused = true)]
    async fn a_write_that_is_refused_keeps_its_own_pace_whatever_polls() {
        for is_overruled in [false, true] {
            let attempts = Attempts::default();
            let sent = Sent(&attempts, AtomicU32::default());
            let mut state = "0".to_owned();
            for second in 1..=3600 {
                let left = second.to_string();
                let error = if is_overruled { overruled(&left) } else { refused() };
                if sent.send(&json!({"a": 1}), &state, Err(error)).await && is_overruled {
                    // as a policy does that writes the time into what it changes
                    state = left;
                }
                tokio::time::advance(Duration::from_secs(1)).await;
            }
            let count = sent.1.load(Ordering::Relaxed);
            assert!((55..=75).contains(&count), "{count}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn another_content_another_obstacle_or_another_spec_is_tried_at_once() {
        let attempts = Attempts::default();
        let sent = Sent(&attempts, AtomicU32::default());
        let asks = |generation| {
            let uid = Some("uid".to_owned());
            attempts.asks(&ObjectMeta { uid, generation: Some(generation), ..ObjectMeta::default() });
        };
        let (one, other) = (json!({"a": 1}), json!({"a": 2}));
        asks(3);
        assert!(sent.send(&one, "a", Err(refused())).await);
        assert!(!sent.send(&one, "a", Err(refused())).await);
        assert!(sent.send(&other, "a", Err(refused())).await, "another content");
        assert!(sent.send(&one, "b", Err(refused())).await, "somebody changed what is there");
        asks(3);
        assert!(!sent.send(&one, "b", Err(refused())).await, "that was the spec before, too");
        asks(4);
        assert!(sent.send(&one, "b", Err(refused())).await, "another spec");
        tokio::time::advance(PACE.0).await;
        assert!(sent.send(&one, "b", Ok(())).await);
        assert!(sent.send(&one, "b", Ok(())).await, "what succeeded is not held");
        assert!(
            !attempts
                .0
                .lock()
                .unwrap()
                .writes
                .contains_key(&Attempt::of_object("Service", "space", "digits", &one))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_or_was_stale_is_not_held_and_what_is_old_is_forgotten() {
        let attempts = Attempts::default();
        let sent = Sent(&attempts, AtomicU32::default());
        let (kind, name) = ("Service".to_owned(), "digits".to_owned());
        let stale = ApplyError::Stale { kind: kind.clone(), name: name.clone() };
        for error in [stale, ApplyError::Terminating { kind, name }] {
            assert!(sent.send(&json!({}), "a", Err(error.clone())).await);
            assert!(sent.send(&json!({}), "a", Err(error)).await);
        }
        assert!(sent.send(&json!({"gone": 1}), "a", Err(refused())).await);
        tokio::time::advance(KEPT * 2).await;
        assert!(sent.send(&json!({"next": 1}), "a", Err(refused())).await);
        assert_eq!(attempts.0.lock().unwrap().writes.len(), 1);
        for uid in ["gone", "there"] {
            let uid = Some(uid.to_owned());
            attempts.asks(&ObjectMeta { uid, generation: Some(1), ..ObjectMeta::default() });
            tokio::time::advance(KEPT * 2).await;
        }
        assert_eq!(attempts.0.lock().unwrap().generations.len(), 1);
    }

    #[test]
    fn a_patch_is_known_by_what_it_makes_and_not_by_the_time_or_the_version_in_it() {
        let of = |patch: Value| Attempt::of_patch("Pod", "space", "pod", &patch);
        let tell = |time: &str, version: &str, cost: &str| {
            of(json!({"metadata": {"resourceVersion": version, "labels": {"traffic": null},
                "annotations": {"at": time, "cost": cost}}}))
        };
        let one = tell("2026-11-24T10:00:00Z", "7", "-2");
        assert_eq!(one, tell("2026-11-24T10:00:01Z", "8", "-1"));
        assert_ne!(
            one,
            of(json!({"metadata": {"labels": {"traffic": "serve"}, "annotations": {"at": null}}}))
        );
        let scale = |replicas: u32| of(json!({"spec": {"replicas": replicas}}));
        assert_ne!(scale(10), scale(0), "a rollback waits for nothing that was refused of its rollout");
        let moved = |version: &str, path: &str| {
            of(json!([{"op": "replace", "path": "/metadata/resourceVersion", "value": version},
                {"op": "add", "path": path, "value": {}}]))
        };
        assert_eq!(moved("7", "/a"), moved("8", "/a"));
        assert_ne!(moved("7", "/a"), moved("7", "/b"));
    }
}
