//! Watched objects, kept in memory. In goes an `Api`; out come the objects as they were last seen, and a stream of
//! those that changed, vanished ones included. Needs a client.

pub mod fold;
pub mod index;

use std::{
    pin::pin,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use futures::{FutureExt as _, Stream, StreamExt as _, channel::mpsc, future::BoxFuture};
use kube::{
    Api, Resource,
    runtime::{
        WatchStreamExt as _,
        reflector::{ObjectRef, Store, store},
        watcher,
    },
};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use self::index::{Index, Key, Keyed};
use crate::metrics::Metrics;

/// The last seen state of one kind in one scope; a clone sees the same.
#[derive(Clone)]
pub struct Cache<K: Resource<DynamicType = ()> + Clone + 'static> {
    store: Store<K>,
    index: Arc<RwLock<Index>>,
    subscribers: Arc<Mutex<Vec<mpsc::UnboundedSender<Arc<K>>>>>,
    // the store's own `wait_until_ready` wakes only the last of several waiters
    filled: watch::Receiver<bool>,
}

/// The code of an ordinary end of a watch: its resource version is too old.
const GONE: u16 = 410;

/// What keeps a cache up to date; poll it until shutdown.
pub type Driver = BoxFuture<'static, ()>;

impl<K> Cache<K>
where
    K: Keyed + Clone + DeserializeOwned + std::fmt::Debug + Send + Sync + 'static,
{
    /// A cache of what `api` lists under `config`, and what fills it. `reduce` drops what nobody reads.
    pub fn new(
        api: Api<K>,
        config: watcher::Config,
        reduce: fn(&mut K),
        metrics: Arc<Metrics>,
    ) -> (Self, Driver) {
        let (store, mut writer) = store();
        let subscribers = Arc::new(Mutex::new(Vec::new()));
        let (fill, filled) = watch::channel(false);
        let index: Arc<RwLock<Index>> = Arc::default();
        let cache = Self {
            store: store.clone(),
            index: Arc::clone(&index),
            subscribers: Arc::clone(&subscribers),
            filled,
        };
        let kind: &'static str = kind_name::<K>();
        metrics.watches(kind);
        let driver = async move {
            let events = watcher::watcher(api, config)
                .modify(move |object| {
                    fold::trim(object.meta_mut());
                    reduce(object);
                })
                .default_backoff();
            let mut events = pin!(events);
            let mut before_list = Vec::new();
            while let Some(event) = events.next().await {
                match event {
                    Ok(event) => {
                        if matches!(event, watcher::Event::Init) {
                            before_list = store.state();
                        }
                        keep_index(&index, &store, &event);
                        writer.apply_watcher_event(&event);
                        let changed = match event {
                            watcher::Event::Init | watcher::Event::InitApply(_) => Vec::new(),
                            watcher::Event::Apply(object) | watcher::Event::Delete(object) => {
                                vec![Arc::new(object)]
                            }
                            // what vanished while the watch was interrupted has no event of its own
                            watcher::Event::InitDone => {
                                let mut changed = std::mem::take(&mut before_list);
                                changed.retain(|old| store.get(&ObjectRef::from_obj(old.as_ref())).is_none());
                                changed.extend(store.state());
                                let all = Index::of(store.state().iter().map(AsRef::as_ref));
                                *index.write().unwrap_or_else(PoisonError::into_inner) = all;
                                fill.send_replace(true);
                                changed
                            }
                        };
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
    pub fn fixed(objects: Vec<K>) -> Self {
        let (store, mut writer) = store();
        let index = Arc::new(RwLock::new(Index::of(&objects)));
        writer.apply_watcher_event(&watcher::Event::Init);
        for object in objects {
            writer.apply_watcher_event(&watcher::Event::InitApply(object));
        }
        writer.apply_watcher_event(&watcher::Event::InitDone);
        Self { store, index, subscribers: Arc::default(), filled: watch::channel(true).1 }
    }

    /// The objects that change from now on; subscribe before the driver is polled to see all of them.
    pub fn changes(&self) -> impl Stream<Item = Arc<K>> + Send + use<K> {
        let (sender, receiver) = mpsc::unbounded();
        self.subscribers.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        receiver
    }

    /// The store behind the cache.
    pub fn store(&self) -> Store<K> {
        self.store.clone()
    }

    /// One object.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.store.get(&ObjectRef::new(name).within(namespace))
    }

    /// The objects of a namespace that belong to something, by name.
    pub fn of(&self, namespace: &str, key: Key) -> Vec<Arc<K>> {
        let names = self.index.read().unwrap_or_else(PoisonError::into_inner).names(namespace, key);
        names.iter().filter_map(|name| self.get(namespace, name)).collect()
    }

    /// All objects of a namespace. It walks through those of every other one too.
    pub fn all(&self, namespace: &str) -> Vec<Arc<K>> {
        self.store.state_filter(|object| object.meta().namespace.as_deref() == Some(namespace))
    }

    /// Waits for the first list.
    pub async fn synced(&self) {
        // an error before that means that the driver was dropped: the process is shutting down
        if self.filled.clone().wait_for(|filled| *filled).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Follows an event of one object; after a list, all is indexed anew.
fn keep_index<K>(index: &RwLock<Index>, store: &Store<K>, event: &watcher::Event<K>)
where
    K: Keyed + Clone + 'static,
{
    let (watcher::Event::Apply(object) | watcher::Event::Delete(object)) = event else { return };
    let mut index = index.write().unwrap_or_else(PoisonError::into_inner);
    if let Some(before) = store.get(&ObjectRef::from_obj(object)) {
        index.remove(before.as_ref());
    }
    if matches!(event, watcher::Event::Apply(_)) {
        index.add(object);
    }
}

/// The kind's name, as a static string for labels.
pub fn kind_name<K: Resource<DynamicType = ()>>() -> &'static str {
    match K::kind(&()) {
        std::borrow::Cow::Borrowed(name) => name,
        std::borrow::Cow::Owned(_) => "Other",
    }
}

fn announce<K>(subscribers: &Mutex<Vec<mpsc::UnboundedSender<Arc<K>>>>, changed: Vec<Arc<K>>) {
    let mut subscribers = subscribers.lock().unwrap_or_else(PoisonError::into_inner);
    for object in changed {
        subscribers.retain(|subscriber| subscriber.unbounded_send(Arc::clone(&object)).is_ok());
    }
}
