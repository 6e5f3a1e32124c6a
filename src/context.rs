//! What every reconcile needs: the API server, the caches of its scope, settings, the pods' network.

use std::{ops::Deref, sync::Arc};

use kube::{Resource as _, api::ObjectMeta};
use modelwright_contract::{fetch::Waits, serving::ExecutionProvider};

use crate::{
    api::{
        ModelDeployment,
        name::{APPLIED_HASH_ANNOTATION, DEPLOYMENT_LABEL, FIELD_MANAGER},
    },
    bundled_store::BundledStore,
    caches::Caches,
    cli::RunArguments,
    clock::Clock,
    k8s::{
        cluster::{Cluster, Manager},
        controller::Environment,
    },
    metrics::Metrics,
    pods::{http::PodClient, silent::SilentPods},
};

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
    /// The API server; what it has, a context has.
    pub cluster: Cluster,
    /// Watched objects.
    pub caches: Caches,
    /// What the operator was started with.
    pub settings: Settings,
    /// Asks pods.
    pub pods: PodClient,
    /// Those of them that do not answer.
    pub silent: SilentPods,
    /// The time of day.
    pub clock: Clock,
    /// Whether the chart's own store is up.
    pub bundled_store: BundledStore,
}

impl Deref for Context {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.cluster
    }
}

impl Environment for Context {
    fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    fn synced(&self) -> impl Future<Output = ()> + Send {
        self.caches.synced()
    }
}

/// The operator, as its objects know it.
pub const MANAGER: Manager =
    Manager { name: FIELD_MANAGER, applied_hash: APPLIED_HASH_ANNOTATION, owner_of: deployment_of };

/// The ModelDeployment that a write was made for; a Model's writes are looked for by its own driver.
fn deployment_of(kind: &str, metadata: &ObjectMeta) -> Option<String> {
    if kind == ModelDeployment::kind(&()) {
        return metadata.name.clone();
    }
    metadata.labels.as_ref()?.get(DEPLOYMENT_LABEL).cloned()
}
