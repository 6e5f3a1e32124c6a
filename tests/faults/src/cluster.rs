//! The rest of the cluster: each of its controllers looks at what there is and makes it a step more as it should be, as soon
//! as something changed or its time has come.

pub mod casts;
mod collector;
mod endpoints;
mod jobs;
pub mod kubelet;
pub mod reports;
mod sets;

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;

use crate::{
    kinds::Kind,
    server::Shared,
    store::{Author, Store, Version},
};

/// How soon a change is acted on.
const PROMPTLY: Duration = Duration::from_millis(40);

/// What the controllers and kubelets remember.
#[derive(Clone, Default)]
pub struct Cluster {
    pub(crate) lives: BTreeMap<String, kubelet::Life>,
    /// Reports in the artifact store, by the UID of the run's Job.
    pub(crate) published: BTreeMap<String, String>,
    pub(crate) counted: BTreeMap<String, jobs::Counted>,
    addresses: u64,
    /// When to look again.
    pub(crate) due: Option<Timestamp>,
    /// The last write that was looked at.
    looked_at: u64,
}

impl Cluster {
    /// One look of all of them.
    pub fn step(&mut self, store: &mut Store) {
        let from = store.log.partition_point(|version| version.number <= self.looked_at);
        let concerns = |version: &&Version| !matches!(version.key.kind, Kind::Lease | Kind::Event);
        let mut new = store.log[from..].iter().filter(concerns).peekable();
        if new.peek().is_none() && self.due.is_none_or(|due| due > store.now) {
            return;
        }
        let is_loss = new.any(|version| version.before.is_none() || version.after.is_none());
        self.looked_at = store.version();
        self.due = None;
        if is_loss {
            collector::step(store);
        }
        self.sets(store);
        self.jobs(store);
        self.kubelet(store);
        endpoints::step(store);
    }

    /// Looks again at a time.
    pub(crate) fn at(&mut self, time: Timestamp) {
        self.due = Some(self.due.map_or(time, |due| due.min(time)));
    }

    pub(crate) fn address(&mut self) -> String {
        self.addresses += 1;
        format!("10.0.{}.{}", self.addresses / 250, self.addresses % 250 + 1)
    }
}

/// Goes on until it is dropped. What it remembers stays with `cluster`.
pub async fn run(store: Shared, cluster: std::sync::Arc<std::sync::Mutex<Cluster>>) {
    let mut changes = store.lock().changes();
    loop {
        changes.mark_unchanged();
        let due = {
            let mut store = store.lock();
            let mut cluster = cluster.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            cluster.step(&mut store);
            cluster.due.map(|due| Duration::try_from(due.duration_since(store.now)).unwrap_or_default())
        };
        let wait = async {
            match due {
                // a time that is over must not keep the clock from going on
                Some(due) => tokio::time::sleep(due.max(Duration::from_millis(1))).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = changes.changed() => tokio::time::sleep(PROMPTLY).await,
            () = wait => {}
        }
    }
}

pub(crate) const BY: &Author = &Author::Cluster;
