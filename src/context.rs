//! What every reconcile needs: the client, the caches of its scope, settings, metrics, events.

use std::{fmt::Debug, sync::Arc};

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
use kube::{Api, Client, Resource, api::ListParams, runtime::watcher};
use modelwright_contract::{fetch::Waits, serving::ExecutionProvider};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    api::{
        Model, ModelDeployment, ModelVersion,
        name::{MANAGED_BY, MANAGED_BY_LABEL, WORKLOAD_SERVICE_ACCOUNT},
    },
    bundled_store::BundledStore,
    cli::RunArguments,
    clock::Clock,
    k8s::{
        apply::Attempts,
        cache::{
            Cache, Driver,
            index::Keyed,
            raw::{Raw, Unreadable},
            trim,
        },
        events::Events,
        expectations::Expectations,
        unreadable,
    },
    metrics::Metrics,
    pods::{http::PodClient, silent::SilentPods},
};

/// Objects in one page of a list: what is in memory twice while a list is read.
const PAGE: u32 = 50;

/// What the operator was started with, as far as rendering needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Image of the runtime.
    pub runtime_image: String,
    /// Image of the runtime with CUDA, if there is one.
    pub runtime_gpu_image: Option<String>,
    /// Image of the built-in trainer.
    pub trainer_image: String,
    /// Image of the built-in trainer with Keras, if there is one.
    pub trainer_keras_image: Option<String>,
    /// The same with CUDA, if there is one.
    pub trainer_keras_gpu_image: Option<String>,
    /// Artifact store: `oci://host[:port]/prefix`, `s3://bucket/prefix` or `pvc://claim/prefix`.
    pub store_uri: String,
    /// Whether an `oci` store is spoken to by plain HTTP.
    pub store_plain_http: bool,
    /// Where an `oci` store is written to with a token of the run's pod, if that is elsewhere than it is read.
    pub store_push_host: Option<String>,
    /// Whether imports may connect to private addresses.
    pub allow_private_networks: bool,
    /// How long imports and trainings wait for servers, where the usual times are too short.
    pub waits: Waits,
    /// DNS domain of the cluster.
    pub cluster_domain: String,
}

impl Settings {
    /// Host and port of the store; none for a claim.
    pub fn store_host(&self) -> Option<&str> {
        let (scheme, rest) = self.store_uri.split_once("://")?;
        rest.split('/').next().filter(|host| scheme != "pvc" && !host.is_empty())
    }

    /// Image of the runtime that has these execution providers.
    pub fn runtime_image_with(&self, providers: &[ExecutionProvider]) -> &str {
        let gpu = self.runtime_gpu_image.as_deref().filter(|_| providers.contains(&ExecutionProvider::Cuda));
        gpu.unwrap_or(&self.runtime_image)
    }
}

impl From<&RunArguments> for Settings {
    fn from(arguments: &RunArguments) -> Self {
        Self {
            runtime_image: arguments.runtime_image.clone(),
            runtime_gpu_image: arguments.runtime_gpu_image.clone().filter(|image| !image.is_empty()),
            trainer_image: arguments.trainer_image.clone(),
            trainer_keras_image: arguments.trainer_keras_image.clone().filter(|image| !image.is_empty()),
            trainer_keras_gpu_image: arguments
                .trainer_keras_gpu_image
                .clone()
                .filter(|image| !image.is_empty()),
            store_uri: arguments.store_uri.clone(),
            store_plain_http: arguments.store_plain_http,
            store_push_host: arguments.store_push_host.clone().filter(|host| !host.is_empty()),
            allow_private_networks: arguments.allow_private_networks,
            waits: Waits { answer_seconds: arguments.answer_seconds, read_seconds: arguments.read_seconds },
            cluster_domain: arguments.cluster_domain.clone(),
        }
    }
}

/// What every reconcile of one scope (a namespace, or all) needs.
pub struct Context {
    /// Retries a bounded number of times, and writes only while the Lease is held.
    pub client: Client,
    /// Watched objects.
    pub caches: Caches,
    /// What the operator was started with.
    pub settings: Settings,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Events for people.
    pub events: Events,
    /// Asks pods.
    pub pods: PodClient,
    /// Those of them that do not answer.
    pub silent: SilentPods,
    /// The time of day.
    pub clock: Clock,
    /// Writes that the caches do not show yet.
    pub expectations: Expectations,
    /// Writes that were refused, and when each may be tried again.
    pub attempts: Attempts,
    /// Whether the chart's own store is up.
    pub bundled_store: BundledStore,
}

impl Context {
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
            Some(first) => Err(unreadable::missed(&first.raw, &first.problem)),
            None => Ok(self.items.into_iter().map(Arc::new).collect()),
        }
    }
}

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
            models: scope.cache(&all, keep),
            versions: scope.cache(&all, keep),
            model_deployments: scope.cache(&all, keep),
            jobs: scope.cache(&ours, keep),
            pods: scope.cache(&ours, trim::trim_pod),
            revisions: scope.cache(&ours, keep),
            replica_sets: scope.cache(&ours, trim::trim_replica_set),
            services: scope.cache(&ours, keep),
            endpoint_slices: scope.cache(&ours, trim::trim_endpoints),
            disruption_budgets: scope.cache(&ours, trim::trim_budget),
            config_maps: scope.cache(&ours, keep),
            service_accounts: scope.cache(&workload, keep),
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

struct Scope<'a> {
    client: &'a Client,
    namespace: Option<&'a str>,
    metrics: &'a Arc<Metrics>,
    drivers: &'a mut Vec<Driver>,
}

impl Scope<'_> {
    fn cache<K>(&mut self, config: &watcher::Config, reduce: fn(&mut K)) -> Cache<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Keyed
            + Clone
            + Serialize
            + DeserializeOwned
            + Debug
            + Send
            + Sync
            + 'static,
    {
        let api = match self.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        };
        let (cache, driver) = Cache::new(api, config.clone(), reduce, Arc::clone(self.metrics));
        self.drivers.push(driver);
        cache
    }
}

fn keep<K>(_: &mut K) {}
