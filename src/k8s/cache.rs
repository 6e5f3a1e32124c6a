//! Watched objects, kept in memory. In goes an `Api`; out come the objects as they were last seen, and a stream of
//! those that changed, vanished ones included. Needs a client.

#[macro_use]
mod kind;

pub mod follow;
pub mod handle;
pub mod index;
pub mod kept;
pub mod objects;
pub mod raw;
pub mod text;

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{Arc, Mutex, PoisonError, RwLockReadGuard},
};

use futures::{FutureExt as _, Stream, StreamExt as _, channel::mpsc, future::BoxFuture};
use kube::{
    Api, Resource,
    api::ObjectMeta,
    runtime::{WatchStreamExt as _, reflector::Store, watcher},
};
use tokio::sync::watch;

use self::{
    follow::{Change, Follower, Shared},
    handle::Handle,
    index::Watched,
    kept::Kept,
    objects::Objects,
    raw::{Raw, Unreadable},
    text::Dictionary,
};
use crate::metrics::Metrics;

/// The last seen state of one kind in one scope; a clone sees the same.
#[derive(Clone)]
pub struct Cache<K: Watched> {
    objects: Shared<K>,
    handles: Store<Handle<K>>,
    subscribers: Arc<Mutex<Vec<mpsc::UnboundedSender<Change<K>>>>>,
    // the store's own `wait_until_ready` wakes only the last of several waiters
    filled: watch::Receiver<bool>,
}

/// The code of an ordinary end of a watch: its resource version is too old.
const GONE: u16 = 410;

/// What keeps a cache up to date; poll it until shutdown.
pub type Driver = BoxFuture<'static, ()>;

impl<K: Watched> Cache<K> {
    /// A cache of what `api` lists under `config`, and what fills it. Each object is parsed by itself: one that does not
    /// parse is told of, and the others are there.
    pub fn new(api: Api<Raw<K>>, config: watcher::Config, metrics: Arc<Metrics>) -> (Self, Driver) {
        let (mut follower, objects, handles) = Follower::new();
        let subscribers = Arc::new(Mutex::new(Vec::new()));
        let (fill, filled) = watch::channel(false);
        let cache = Self { objects, handles, subscribers: Arc::clone(&subscribers), filled };
        let kind: &'static str = kind_name::<K>();
        let place = api.resource_url().to_owned();
        metrics.watches(kind, &place);
        let driver = async move {
            let dictionary = Dictionary::default();
            let events = watcher::watcher(api, config).default_backoff();
            let mut events = pin!(events);
            let mut unreadable = Told::new(kind, Arc::clone(&metrics));
            while let Some(event) = events.next().await {
                match event {
                    Ok(event) => {
                        let is_whole = matches!(event, watcher::Event::InitDone);
                        let changed = follower.follow(kept(event, &dictionary));
                        unreadable.tell(&follower.read());
                        if is_whole {
                            metrics.heard(&place);
                            fill.send_replace(true);
                        }
                        announce(&subscribers, changed);
                    }
                    Err(watcher::Error::WatchError(status)) if status.code == GONE => {
                        tracing::debug!(kind, "the watch is too old and starts again from a list");
                    }
                    Err(error) => {
                        metrics.watch_failed(kind);
                        tracing::warn!(kind, %error, "the watch broke and starts again");
                    }
                }
            }
        };
        (cache, driver.boxed())
    }

    /// A cache with fixed content, for tests.
    pub fn fixed(content: Vec<K>) -> Self {
        let dictionary = Dictionary::default();
        Self::filled(content.into_iter().map(|object| Kept::new(object, &dictionary)))
    }

    /// A cache with fixed content as the API server would send it, for tests.
    pub fn fixed_raw(content: &[Raw<K>]) -> Self {
        let dictionary = Dictionary::default();
        Self::filled(content.iter().map(|raw| Kept::read(raw, &dictionary)))
    }

    fn filled(content: impl Iterator<Item = Kept<K>>) -> Self {
        let (mut follower, objects, handles) = Follower::new();
        let all = content.map(watcher::Event::InitApply);
        for event in [watcher::Event::Init].into_iter().chain(all).chain([watcher::Event::InitDone]) {
            follower.follow(event);
        }
        Self { objects, handles, subscribers: Arc::default(), filled: watch::channel(true).1 }
    }

    /// The objects that change from now on; subscribe before the driver is polled to see all of them.
    pub fn changes(&self) -> impl Stream<Item = Change<K>> + Send + use<K> {
        let (sender, receiver) = mpsc::unbounded();
        self.subscribers.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        receiver
    }

    /// The names of the objects, in what a controller runs reconciles with.
    pub fn handles(&self) -> Store<Handle<K>> {
        const { assert!(K::IS_RECONCILED, "the names of this kind are not kept apart") };
        self.handles.clone()
    }

    /// One object, if it is there and parses.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.kept(namespace, name)?.open()
    }

    /// One object, if it is there and does not parse.
    pub fn unreadable(&self, namespace: &str, name: &str) -> Option<Unreadable<K>> {
        self.kept(namespace, name)?.unreadable()
    }

    /// The objects of a namespace that do not parse.
    pub fn all_unreadable(&self, namespace: &str) -> Vec<Arc<Kept<K>>> {
        let objects = self.read();
        objects.unreadable().filter(|object| object.namespace() == namespace).cloned().collect()
    }

    /// The objects of a namespace that belong to something and do not parse.
    pub fn unreadable_of(&self, namespace: &str, key: &K::Key) -> Vec<Arc<Kept<K>>> {
        let mut all = self.all_unreadable(namespace);
        all.retain(|object| object.keys().contains(key));
        all
    }

    /// Name, namespace, UID and resourceVersion of one object.
    pub fn metadata(&self, namespace: &str, name: &str) -> Option<ObjectMeta> {
        Some(self.kept(namespace, name)?.metadata())
    }

    /// The objects of a namespace that belong to something and parse, by name.
    pub fn of(&self, namespace: &str, key: &K::Key) -> Vec<Arc<K>> {
        let names = self.names(namespace, key);
        names.iter().filter_map(|name| self.get(namespace, name)).collect()
    }

    /// The names of the objects of a namespace that belong to something, sorted.
    pub fn names(&self, namespace: &str, key: &K::Key) -> Vec<Box<str>> {
        self.read().names(namespace, key).to_vec()
    }

    fn kept(&self, namespace: &str, name: &str) -> Option<Arc<Kept<K>>> {
        self.read().get(namespace, name).cloned()
    }

    fn read(&self) -> RwLockReadGuard<'_, Objects<K>> {
        self.objects.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the first list.
    pub async fn synced(&self) {
        // an error before that means that the driver was dropped: the process is shutting down
        if self.filled.clone().wait_for(|filled| *filled).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// The event with its object as it is kept.
fn kept<K: Watched>(event: watcher::Event<Raw<K>>, dictionary: &Dictionary) -> watcher::Event<Kept<K>> {
    let kept = |raw: Raw<K>| Kept::read(&raw, dictionary);
    match event {
        watcher::Event::Apply(raw) => watcher::Event::Apply(kept(raw)),
        watcher::Event::Delete(raw) => watcher::Event::Delete(kept(raw)),
        watcher::Event::Init => watcher::Event::Init,
        watcher::Event::InitApply(raw) => watcher::Event::InitApply(kept(raw)),
        watcher::Event::InitDone => watcher::Event::InitDone,
    }
}

/// What was told of the objects that do not parse: each once, by its name and its field. The value is its user's own.
struct Told {
    kind: &'static str,
    metrics: Arc<Metrics>,
    fields: BTreeMap<(String, String), String>,
}

impl Told {
    fn new(kind: &'static str, metrics: Arc<Metrics>) -> Self {
        Self { kind, metrics, fields: BTreeMap::new() }
    }

    fn tell<K: Watched>(&mut self, objects: &Objects<K>) {
        let now: BTreeMap<_, _> = objects
            .unreadable()
            .filter_map(|object| {
                let place = (object.namespace().to_owned(), object.name().to_owned());
                Some((place, object.problem()?.field.clone()))
            })
            .collect();
        let kind = self.kind;
        for ((namespace, name), field) in
            now.iter().filter(|(place, field)| self.fields.get(*place) != Some(*field))
        {
            tracing::warn!(kind, namespace, name, field, "an object does not parse and is left as it is");
        }
        for (namespace, name) in self.fields.keys().filter(|place| !now.contains_key(*place)) {
            tracing::info!(kind, namespace, name, "an object that did not parse does, or is gone");
        }
        let (before, after) = (self.fields.len(), now.len());
        self.metrics.unreadable(kind, before, after);
        self.fields = now;
    }
}

/// The kind's name, as a static string for labels.
pub fn kind_name<K: Resource<DynamicType = ()>>() -> &'static str {
    match K::kind(&()) {
        std::borrow::Cow::Borrowed(name) => name,
        std::borrow::Cow::Owned(_) => "Other",
    }
}

fn announce<K: Watched>(subscribers: &Mutex<Vec<mpsc::UnboundedSender<Change<K>>>>, changed: Vec<Change<K>>) {
    let mut subscribers = subscribers.lock().unwrap_or_else(PoisonError::into_inner);
    for change in changed {
        subscribers.retain(|subscriber| subscriber.unbounded_send(change.clone()).is_ok());
    }
}
