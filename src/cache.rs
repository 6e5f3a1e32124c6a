//! Watched objects, kept in memory. In goes an `Api`; out come the objects as they were last seen, and a stream of
//! those that changed, vanished ones included. Needs a client.

pub mod follow;
pub mod handle;
pub mod index;
pub mod kept;
pub mod objects;
pub mod text;
pub mod trim;

use std::{
    pin::pin,
    sync::{Arc, Mutex, PoisonError, RwLockReadGuard},
};

use futures::{FutureExt as _, Stream, StreamExt as _, channel::mpsc, future::BoxFuture};
use kube::{
    Api, Resource,
    api::ObjectMeta,
    runtime::{WatchStreamExt as _, reflector::Store, watcher},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::watch;

use self::{
    follow::{Change, Follower, Shared},
    handle::Handle,
    index::{Key, Keyed},
    kept::Kept,
    objects::Objects,
    text::Dictionary,
};
use crate::metrics::Metrics;

/// The last seen state of one kind in one scope; a clone sees the same.
#[derive(Clone)]
pub struct Cache<K: Resource<DynamicType = ()> + Clone + 'static> {
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

impl<K> Cache<K>
where
    K: Keyed + Clone + Serialize + DeserializeOwned + std::fmt::Debug + Send + Sync + 'static,
{
    /// A cache of what `api` lists under `config`, and what fills it. `reduce` drops what nobody reads.
    pub fn new(
        api: Api<K>,
        config: watcher::Config,
        reduce: fn(&mut K),
        metrics: Arc<Metrics>,
    ) -> (Self, Driver) {
        let (mut follower, objects, handles) = Follower::new();
        let subscribers = Arc::new(Mutex::new(Vec::new()));
        let (fill, filled) = watch::channel(false);
        let cache = Self { objects, handles, subscribers: Arc::clone(&subscribers), filled };
        let kind: &'static str = kind_name::<K>();
        metrics.watches(kind);
        let driver = async move {
            let dictionary = Dictionary::default();
            let events = watcher::watcher(api, config)
                .modify(move |object| {
                    trim::trim(object.meta_mut());
                    reduce(object);
                })
                .default_backoff();
            let mut events = pin!(events);
            while let Some(event) = events.next().await {
                match event {
                    Ok(event) => {
                        let is_whole = matches!(event, watcher::Event::InitDone);
                        let changed = follower.follow(kept(event, &dictionary));
                        if is_whole {
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
        let (mut follower, objects, handles) = Follower::new();
        let dictionary = Dictionary::default();
        let all = content.into_iter().map(|object| watcher::Event::InitApply(Kept::new(object, &dictionary)));
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

    /// One object.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        Some(self.kept(namespace, name)?.open())
    }

    /// Name, namespace, UID and resourceVersion of one object.
    pub fn metadata(&self, namespace: &str, name: &str) -> Option<ObjectMeta> {
        Some(self.kept(namespace, name)?.metadata())
    }

    /// The objects of a namespace that belong to something, by name.
    pub fn of(&self, namespace: &str, key: &Key) -> Vec<Arc<K>> {
        let names = self.names(namespace, key);
        names.iter().filter_map(|name| self.get(namespace, name)).collect()
    }

    /// The names of the objects of a namespace that belong to something, sorted.
    pub fn names(&self, namespace: &str, key: &Key) -> Vec<Box<str>> {
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
fn kept<K>(event: watcher::Event<K>, dictionary: &Dictionary) -> watcher::Event<Kept<K>>
where
    K: Keyed + Serialize + DeserializeOwned,
{
    match event {
        watcher::Event::Apply(object) => watcher::Event::Apply(Kept::new(object, dictionary)),
        watcher::Event::Delete(object) => watcher::Event::Delete(Kept::new(object, dictionary)),
        watcher::Event::Init => watcher::Event::Init,
        watcher::Event::InitApply(object) => watcher::Event::InitApply(Kept::new(object, dictionary)),
        watcher::Event::InitDone => watcher::Event::InitDone,
    }
}

/// The kind's name, as a static string for labels.
pub fn kind_name<K: Resource<DynamicType = ()>>() -> &'static str {
    match K::kind(&()) {
        std::borrow::Cow::Borrowed(name) => name,
        std::borrow::Cow::Owned(_) => "Other",
    }
}

fn announce<K>(subscribers: &Mutex<Vec<mpsc::UnboundedSender<Change<K>>>>, changed: Vec<Change<K>>) {
    let mut subscribers = subscribers.lock().unwrap_or_else(PoisonError::into_inner);
    for change in changed {
        subscribers.retain(|subscriber| subscriber.unbounded_send(change.clone()).is_ok());
    }
}
