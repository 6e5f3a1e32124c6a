//! Runs the reconciles of one kind in one scope: triggers in, outcomes counted and logged, failures tried again with
//! backoff. Needs no client of its own.

use std::{
    collections::{HashMap, HashSet},
    future::Future,
    hash::Hash,
    panic::AssertUnwindSafe,
    sync::Arc,
    sync::Mutex,
    sync::PoisonError,
    time::Duration,
};

use futures::{FutureExt as _, Stream, StreamExt as _, stream};
use kube::{
    ResourceExt as _,
    runtime::{
        controller::{Action, Config, Error as ControllerError, applier},
        reflector::ObjectRef,
    },
};
use prometheus_client::metrics::gauge::Gauge;
use tokio::{sync::watch, time::Instant};

use super::cache::{Cache, handle::Handle, index::Watched, kind_name, raw::Unreadable};
use crate::{metrics::Metrics, telemetry::loggable};

/// Reconciles of one kind at the same time.
const CONCURRENCY: u16 = 16;
/// How long an object must be left alone before it is looked at: what changes at once is looked at once.
const DEBOUNCE: Duration = Duration::from_millis(50);
/// Longest that one reconcile may take.
const RECONCILE_TIMEOUT: Duration = Duration::from_mins(1);
/// First and last wait of a failing object.
pub(crate) const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_mins(5));
/// The same where what was read is not what is there: a watch is about to tell, unless something changes it for ever.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));

/// Label of a reconcile that saw less than the API server knows.
pub const STALE: &str = "stale";
/// Labels of those that did not end.
const TIMEOUT: &str = "timeout";
const PANIC: &str = "panic";

/// Why a reconcile failed.
pub trait ReconcileError: std::error::Error + Send + Sync + 'static {
    /// The static label for metrics.
    fn label(&self) -> &'static str;

    /// How long it may be before it is tried again, where something else than its end has to be looked at before that.
    fn longest_wait(&self) -> Option<Duration> {
        None
    }
}

/// What reconciles are run with.
pub trait Environment: Send + Sync + 'static {
    /// Counters.
    fn metrics(&self) -> &Arc<Metrics>;

    /// Waits until all that is decided on is there.
    fn synced(&self) -> impl Future<Output = ()> + Send;
}

/// A failed reconcile, on its way to the backoff.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("{words}")]
    Error { words: String, label: &'static str, longest_wait: Option<Duration> },
    #[error("the reconcile took longer than {RECONCILE_TIMEOUT:?}")]
    Timeout,
    #[error("the reconcile panicked, which is a fault of the operator; its log says where: please report it")]
    Panicked,
}

/// Reconciles everything in `cache` once all caches of the environment are filled, then what `triggers` names, until
/// `shutdown` says so; the running ones are finished. What does not parse is reconciled by `reconcile_unreadable`. Nothing is
/// decided from caches that are filled in part.
pub async fn run<C, K, F, G, E>(
    context: Arc<C>,
    cache: Cache<K>,
    triggers: impl Stream<Item = ObjectRef<Handle<K>>> + Send + 'static,
    mut shutdown: watch::Receiver<bool>,
    reconcile: impl Fn(Arc<K>, Arc<C>) -> F,
    reconcile_unreadable: impl Fn(Unreadable<K>, Arc<C>) -> G,
) where
    C: Environment,
    K: Watched,
    F: Future<Output = Result<Action, E>> + Send + 'static,
    G: Future<Output = Result<Action, E>> + Send + 'static,
    E: ReconcileError,
{
    let kind = kind_name::<K>();
    let metrics = Arc::clone(context.metrics());
    metrics.reconciles(kind);
    // a list that never comes must not keep the process from stopping
    let mut early = shutdown.clone();
    tokio::select! {
        _ = early.wait_for(|stop| *stop) => return,
        () = context.synced() => {}
    }
    let failures = Arc::new(Failures::default());
    let waiting = Arc::new(Waiting { keys: Mutex::default(), depth: metrics.queue(kind) });
    let present = cache.clone();
    let stop = async move {
        // an error means that the sender is gone, which is a shutdown too
        let _ = shutdown.wait_for(|stop| *stop).await;
    };
    let store = cache.handles();
    let all = store.clone();
    let first = async move {
        stream::iter(all.state().into_iter().map(|object| ObjectRef::from_obj(object.as_ref())))
    };
    let announced = Arc::clone(&waiting);
    let queue = stream::once(first).flatten().chain(triggers).map(move |key| {
        announced.add(&key);
        Ok::<_, std::convert::Infallible>(key)
    });
    let (queue, begun) = (queue.take_until(stop), Arc::clone(&waiting));
    let counts = Arc::clone(&failures);
    let outcomes = applier(
        move |object: Arc<Handle<K>>, context: Arc<C>| {
            let metrics = Arc::clone(context.metrics());
            let started = Instant::now();
            let key = ObjectRef::from_obj(object.as_ref());
            begun.remove(&key);
            let (name, namespace) = (object.name_any(), object.namespace().unwrap_or_default());
            // between its trigger and its turn it may have gone
            let work = match (cache.get(&namespace, &name), cache.unreadable(&namespace, &name)) {
                (Some(object), _) => Some(reconcile(object, context).left_future()),
                (None, Some(object)) => Some(reconcile_unreadable(object, context).right_future()),
                (None, None) => None,
            };
            let counts = Arc::clone(&counts);
            Box::pin(async move {
                let Some(work) = work else { return Ok(Action::await_change()) };
                // One object that is too much for us stops no other. What is shared is changed behind locks that are
                // taken again all the same.
                let work = AssertUnwindSafe(work).catch_unwind();
                let result = tokio::time::timeout(RECONCILE_TIMEOUT, work).await;
                let (outcome, label) = match result {
                    Ok(Ok(Ok(action))) => (Ok(action), None),
                    Ok(Ok(Err(error))) => {
                        let (words, longest_wait) = (loggable(&chain(&error)), error.longest_wait());
                        let label = error.label();
                        (Err(Failed::Error { words, label, longest_wait }), Some(label))
                    }
                    Ok(Err(_)) => (Err(Failed::Panicked), Some(PANIC)),
                    Err(_) => (Err(Failed::Timeout), Some(TIMEOUT)),
                };
                metrics.reconciled(kind, started.elapsed(), label);
                if outcome.is_ok() {
                    counts.forget(&key);
                }
                log(kind, &namespace, &name, label, &outcome);
                outcome
            })
        },
        move |object: Arc<Handle<K>>, failed: &Failed, _| {
            let uid = |key: &ObjectRef<Handle<K>>| {
                present.metadata(key.namespace.as_deref().unwrap_or_default(), &key.name)?.uid
            };
            let (label, longest) = match failed {
                Failed::Error { label, longest_wait, .. } => (*label, *longest_wait),
                Failed::Timeout => (TIMEOUT, None),
                Failed::Panicked => (PANIC, None),
            };
            let wait = failures.wait(ObjectRef::from_obj(object.as_ref()), label, Instant::now(), uid);
            Action::requeue(longest.map_or(wait, |longest| wait.min(longest)))
        },
        context,
        store,
        queue,
        Config::default().concurrency(CONCURRENCY).debounce(DEBOUNCE),
    );
    outcomes
        .for_each(|outcome| async {
            // reconciler errors are logged above
            match outcome {
                Err(error @ (ControllerError::QueueError(_) | ControllerError::RunnerError(_))) => {
                    tracing::error!(kind, %error, "the controller stumbled");
                }
                Err(ControllerError::ObjectNotFound(gone)) => {
                    let namespace = gone.namespace.as_deref().unwrap_or_default();
                    waiting.remove(&ObjectRef::new(&gone.name).within(namespace));
                    metrics.gone(kind, namespace, &gone.name);
                }
                _ => {}
            }
        })
        .await;
}

/// Objects of which something was announced, and that were not looked at since.
struct Waiting<K> {
    keys: Mutex<HashSet<K>>,
    /// How many there are, of all scopes.
    depth: Gauge,
}

impl<K: Clone + Eq + Hash> Waiting<K> {
    fn add(&self, key: &K) {
        if self.keys.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone()) {
            self.depth.inc();
        }
    }

    fn remove(&self, key: &K) {
        if self.keys.lock().unwrap_or_else(PoisonError::into_inner).remove(key) {
            self.depth.dec();
        }
    }
}

/// Logs how a reconcile ended.
fn log(kind: &str, namespace: &str, name: &str, label: Option<&str>, outcome: &Result<Action, Failed>) {
    match outcome {
        Ok(_) => tracing::debug!(kind, namespace, name, "reconciled"),
        // the watch is about to tell what changed
        Err(error) if label == Some(STALE) => {
            tracing::debug!(kind, namespace, name, %error, "the cache was behind");
        }
        Err(error) => tracing::warn!(kind, namespace, name, %error, label, "not reconciled"),
    }
}

/// An error with its causes, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        // some errors repeat their cause in their own text
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        source = cause.source();
    }
    text
}

pub(crate) fn backoff((first, last): (Duration, Duration), failures: u32) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(failures)).min(last)
}

/// How often in a row objects failed, each in each way: what is refused for an hour says nothing of how soon the cache
/// catches up. An object is the one with its UID: the next of its name begins anew.
struct Failures<K>(Mutex<HashMap<K, Counted>>);

/// The failures of one object, by label.
#[derive(Default)]
struct Counted {
    uid: Option<String>,
    ways: HashMap<&'static str, (u32, Instant)>,
}

impl<K> Default for Failures<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash> Failures<K> {
    /// Counts a failure, and says how long to wait. One that comes before the last wait of its kind is over, because
    /// something else was looked at, is not another: it waits for the rest. What is gone is forgotten; `uid` says who is
    /// there.
    fn wait(
        &self,
        key: K,
        label: &'static str,
        now: Instant,
        uid: impl Fn(&K) -> Option<String>,
    ) -> Duration {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failures.retain(|key, counted| uid(key) == counted.uid);
        let present = uid(&key);
        let counted =
            failures.entry(key).or_insert_with(|| Counted { uid: present, ways: HashMap::default() });
        if label != STALE {
            // it saw all that there is
            counted.ways.remove(STALE);
        }
        let between = if label == STALE { LOOK_AGAIN } else { BACKOFF };
        let (count, due) = counted.ways.entry(label).or_insert((0, now));
        if now >= *due {
            *due = now + backoff(between, *count);
            *count = count.saturating_add(1);
        }
        due.saturating_duration_since(now)
    }

    fn forget(&self, key: &K) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backoff_doubles_up_to_five_minutes() {
        assert_eq!(backoff(BACKOFF, 0), Duration::from_millis(500));
        assert_eq!(backoff(BACKOFF, 3), Duration::from_secs(4));
        assert_eq!(backoff(BACKOFF, u32::MAX), Duration::from_mins(5));
    }

    const REFUSED: &str = "refused";

    fn millis(wait: Duration) -> u128 {
        wait.as_millis()
    }

    #[test]
    fn failures_are_forgotten_with_their_object_and_the_next_of_its_name_begins_anew() {
        let failures = Failures::default();
        let mut now = Instant::now();
        let present = |all: &'static [(&'static str, &'static str)]| {
            move |name: &&str| all.iter().find(|(known, _)| known == name).map(|(_, uid)| (*uid).to_owned())
        };
        let both = present(&[("a", "1"), ("b", "1")]);
        let mut wait = |name, uids: &dyn Fn(&&'static str) -> Option<String>| {
            now += Duration::from_mins(10);
            millis(failures.wait(name, REFUSED, now, uids))
        };
        assert_eq!([wait("a", &both), wait("a", &both), wait("b", &both)], [500, 1000, 500]);
        // `kubectl replace --force`
        assert_eq!(wait("a", &present(&[("a", "2"), ("b", "1")])), 500);
        let known = || failures.0.lock().unwrap_or_else(PoisonError::into_inner).len();
        assert_eq!(known(), 2);
        assert_eq!(wait("b", &present(&[("b", "1")])), 1000);
        assert_eq!(known(), 1, "what is gone is forgotten");
        failures.forget(&"b");
        assert_eq!(wait("b", &present(&[("b", "1")])), 500, "and what succeeded");
    }

    #[test]
    fn each_way_to_fail_has_its_own_count() {
        let failures = Failures::default();
        let mut now = Instant::now();
        let mut wait = |label| {
            now += Duration::from_mins(10);
            millis(failures.wait("a", label, now, |_| Some("1".into())))
        };
        for _ in 0..12 {
            wait(REFUSED);
        }
        assert_eq!(wait(REFUSED), 300_000);
        // a cache that is behind catches up as soon as ever
        assert_eq!([wait(STALE), wait(STALE), wait("api")], [250, 500, 500]);
        assert_eq!(wait(REFUSED), 300_000, "nothing was said of what is refused");
        assert_eq!(wait(STALE), 250, "a look that ended otherwise saw all that there is");
    }

    #[test]
    fn a_failure_that_is_seen_again_while_something_else_is_polled_is_one() {
        let failures = Failures::default();
        let start = Instant::now();
        let mut counted = 0;
        let mut due = 0;
        // a pod is looked at every second for ten minutes
        for second in 0..600_u32 {
            let now = start + Duration::from_secs(second.into());
            let wait = millis(failures.wait("a", REFUSED, now, |_| Some("1".into())));
            let next = u128::from(second) * 1000 + wait;
            assert!(next >= due, "{second}: {next} is before {due}");
            if next > due {
                (due, counted) = (next, counted + 1);
            }
        }
        assert!((8..=12).contains(&counted), "{counted}");
    }
}
