//! The API server as every reconcile has it: reading what is there now, and what writing needs. Needs a client.

use std::sync::Arc;

use k8s_openapi::NamespaceResourceScope;
use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::{ListParams, PatchParams, PostParams},
};
use serde::de::DeserializeOwned;

use super::{
    apply::Attempts,
    cache::{
        kind_name,
        raw::{Raw, Unparsable, Unreadable},
    },
    events::Events,
    expectations::{Expectations, OwnerOf},
};
use crate::metrics::Metrics;

/// Whose objects these are.
#[derive(Clone, Copy, Debug)]
pub struct Manager {
    /// Field manager of everything that is written.
    pub name: &'static str,
    /// Annotation with the hash of what was applied last: a difference, a removed field included, is seen without asking the
    /// API server.
    pub applied_hash: &'static str,
    /// Whose expectations a write is among.
    pub owner_of: OwnerOf,
}

/// The API server.
pub struct Cluster {
    /// Retries a bounded number of times, and writes only while the Lease is held.
    pub client: Client,
    /// Whose objects are written.
    pub manager: Manager,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Events for people.
    pub events: Events,
    /// Writes that the caches do not show yet.
    pub expectations: Expectations,
    /// Writes that were refused, and when each may be tried again.
    pub attempts: Attempts,
}

impl Cluster {
    /// The API server behind `client`, written to by the process `identity`.
    pub fn new(client: Client, manager: Manager, metrics: Arc<Metrics>, identity: &str) -> Self {
        Self {
            events: Events::new(client.clone(), manager.name, identity),
            expectations: Expectations::new(manager.owner_of),
            attempts: Attempts::default(),
            client,
            manager,
            metrics,
        }
    }

    /// The API of a kind in a namespace.
    pub fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// The API of a kind in a namespace, whose answers are not parsed: the client logs, whole, what it cannot parse.
    pub fn raw<K>(&self, namespace: &str) -> Api<Raw<K>>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// One object as the API server holds it now, if it is there; one that does not parse is an error.
    pub async fn get<K>(&self, namespace: &str, name: &str) -> Result<Option<K>, kube::Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned,
    {
        let raw = self.raw::<K>(namespace).get_opt(name).await?;
        raw.map(|raw| raw.read().map_err(|problem| missed(&raw, &problem))).transpose()
    }

    /// What the API server holds of a kind in a namespace now, each object parsed by itself.
    pub async fn list<K>(&self, namespace: &str, parameters: &ListParams) -> Result<Listed<K>, kube::Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned,
    {
        let mut listed = Listed { items: Vec::new(), unreadable: Vec::new() };
        for raw in self.raw::<K>(namespace).list(parameters).await?.items {
            match raw.read() {
                Ok(object) => listed.items.push(object),
                Err(problem) => listed.unreadable.push(Unreadable { raw, problem }),
            }
        }
        Ok(listed)
    }

    /// How a patch is sent.
    pub(super) fn patches(&self) -> PatchParams {
        PatchParams { field_manager: Some(self.manager.name.into()), ..PatchParams::default() }
    }

    /// How a server-side apply is sent.
    pub(super) fn applies(&self) -> PatchParams {
        PatchParams::apply(self.manager.name).force()
    }

    /// How a creation is sent.
    pub(super) fn creates(&self) -> PostParams {
        PostParams { field_manager: Some(self.manager.name.into()), ..PostParams::default() }
    }
}

/// Objects of a list.
pub struct Listed<K> {
    /// Those that parse.
    pub items: Vec<K>,
    /// Those that do not.
    pub unreadable: Vec<Unreadable<K>>,
}

impl<K: Resource<DynamicType = ()>> Listed<K> {
    /// All that there is, or an error: a decision on a part of it would take what is not seen for gone.
    pub fn all(self) -> Result<Vec<Arc<K>>, kube::Error> {
        match self.unreadable.first() {
            Some(first) => Err(missed(&first.raw, &first.problem)),
            None => Ok(self.items.into_iter().map(Arc::new).collect()),
        }
    }
}

/// An object of a fresh look that does not parse, as an error. It goes to the log, and so names the field alone.
fn missed<K: Resource<DynamicType = ()>>(raw: &Raw<K>, problem: &Unparsable) -> kube::Error {
    let (kind, name, field) = (kind_name::<K>(), raw.name_any(), &problem.field);
    kube::Error::Service(format!("{kind} {name} does not parse at {field}").into())
}
