//! What the operator watches. Needs a client.

pub mod kinds;

use std::sync::Arc;

use futures::future::join_all;
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::{ControllerRevision, ReplicaSet},
        batch::v1::Job,
        core::v1::{ConfigMap, Pod, Service, ServiceAccount},
        discovery::v1::EndpointSlice,
        policy::v1::PodDisruptionBudget,
    },
};
use kube::{Api, Client, api::ObjectMeta, runtime::watcher};

use crate::{
    api::{
        Model, ModelDeployment, ModelVersion,
        name::{MANAGED_BY, MANAGED_BY_LABEL, WORKLOAD_SERVICE_ACCOUNT},
    },
    k8s::{
        cache::{Cache, Driver, index::Watched},
        expectations::Shows,
    },
    metrics::Metrics,
};

/// Objects in one page of a list: what is in memory twice while a list is read.
const PAGE: u32 = 50;

/// The watched objects of one scope. Of the kinds that others use too, only what carries our label.
pub struct Caches {
    /// All Models.
    pub models: Cache<Model>,
    /// All ModelVersions.
    pub versions: Cache<ModelVersion>,
    /// All ModelDeployments.
    pub model_deployments: Cache<ModelDeployment>,
    /// Our Jobs.
    pub jobs: Cache<Job>,
    /// Our pods, without most of their specs.
    pub pods: Cache<Pod>,
    /// Our ControllerRevisions.
    pub revisions: Cache<ControllerRevision>,
    /// Our ReplicaSets, with what is read of their status.
    pub replica_sets: Cache<ReplicaSet>,
    /// Our Services.
    pub services: Cache<Service>,
    /// What is behind our Services.
    pub endpoint_slices: Cache<EndpointSlice>,
    /// Our PodDisruptionBudgets, without their status.
    pub disruption_budgets: Cache<PodDisruptionBudget>,
    /// Our ConfigMaps.
    pub config_maps: Cache<ConfigMap>,
    /// The ServiceAccounts that workloads use, where namespaces have one.
    pub service_accounts: Cache<ServiceAccount>,
}

impl Caches {
    /// The caches of a scope (`None`: all namespaces), and what fills them.
    pub fn new(client: &Client, namespace: Option<&str>, metrics: &Arc<Metrics>) -> (Self, Vec<Driver>) {
        let mut drivers = Vec::new();
        let all = watcher::Config::default().page_size(PAGE);
        let ours = all.clone().labels(&format!("{MANAGED_BY_LABEL}={MANAGED_BY}"));
        let workload = all.clone().fields(&format!("metadata.name={WORKLOAD_SERVICE_ACCOUNT}"));
        let mut scope = Scope { client, namespace, metrics, drivers: &mut drivers };
        let caches = Self {
            models: scope.cache(&all),
            versions: scope.cache(&all),
            model_deployments: scope.cache(&all),
            jobs: scope.cache(&ours),
            pods: scope.cache(&ours),
            revisions: scope.cache(&ours),
            replica_sets: scope.cache(&ours),
            services: scope.cache(&ours),
            endpoint_slices: scope.cache(&ours),
            disruption_budgets: scope.cache(&ours),
            config_maps: scope.cache(&ours),
            service_accounts: scope.cache(&workload),
        };
        (caches, drivers)
    }

    /// Waits until every first list is in.
    pub async fn synced(&self) {
        let waits: Vec<futures::future::BoxFuture<'_, ()>> = vec![
            Box::pin(self.models.synced()),
            Box::pin(self.versions.synced()),
            Box::pin(self.model_deployments.synced()),
            Box::pin(self.jobs.synced()),
            Box::pin(self.pods.synced()),
            Box::pin(self.revisions.synced()),
            Box::pin(self.replica_sets.synced()),
            Box::pin(self.services.synced()),
            Box::pin(self.endpoint_slices.synced()),
            Box::pin(self.disruption_budgets.synced()),
            Box::pin(self.config_maps.synced()),
            Box::pin(self.service_accounts.synced()),
        ];
        join_all(waits).await;
    }

    /// Whether the namespace has the ServiceAccount [`WORKLOAD_SERVICE_ACCOUNT`].
    pub fn has_workload_account(&self, namespace: &str) -> bool {
        self.service_accounts.get(namespace, WORKLOAD_SERVICE_ACCOUNT).is_some()
    }
}

impl Shows for Caches {
    fn shown(&self, kind: &str, namespace: &str, name: &str) -> Option<ObjectMeta> {
        match kind {
            "ConfigMap" => self.config_maps.metadata(namespace, name),
            "ControllerRevision" => self.revisions.metadata(namespace, name),
            "ReplicaSet" => self.replica_sets.metadata(namespace, name),
            "ModelDeployment" => self.model_deployments.metadata(namespace, name),
            "Pod" => self.pods.metadata(namespace, name),
            "PodDisruptionBudget" => self.disruption_budgets.metadata(namespace, name),
            "Service" => self.services.metadata(namespace, name),
            _ => None,
        }
    }
}

struct Scope<'a> {
    client: &'a Client,
    namespace: Option<&'a str>,
    metrics: &'a Arc<Metrics>,
    drivers: &'a mut Vec<Driver>,
}

impl Scope<'_> {
    fn cache<K>(&mut self, config: &watcher::Config) -> Cache<K>
    where
        K: Watched<Scope = NamespaceResourceScope>,
    {
        let api = match self.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        };
        let (cache, driver) = Cache::new(api, config.clone(), Arc::clone(self.metrics));
        self.drivers.push(driver);
        cache
    }
}
