//! The kinds that are watched: what their objects belong to, and what of them nobody reads. Pure.

use k8s_openapi::api::{
    apps::v1::{ControllerRevision, ReplicaSet, ReplicaSetStatus},
    batch::v1::Job,
    core::v1::{ConfigMap, Pod, PodSpec, Service, ServiceAccount},
    discovery::v1::EndpointSlice,
    policy::v1::PodDisruptionBudget,
};
use kube::{Resource, ResourceExt as _, api::ObjectMeta};

use crate::{
    api::{
        Model, ModelDeployment, ModelVersion,
        name::{DEPLOYMENT_LABEL, MODEL_LABEL},
    },
    k8s::cache::{index::Watched, raw::Raw},
};

/// Condition of a ReplicaSet whose pods are refused; the only one that is read.
pub const REPLICA_FAILURE: &str = "ReplicaFailure";

/// What an object belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// The Model of this name.
    Model(String),
    /// The ModelDeployment of this name.
    Deployment(String),
    /// What serves the model files of this digest.
    Digest(String),
}

/// What an object belongs to by its labels.
fn labelled(metadata: &ObjectMeta) -> Vec<Key> {
    let label = |name: &str| metadata.labels.as_ref()?.get(name).cloned();
    let (model, deployment) = (label(MODEL_LABEL), label(DEPLOYMENT_LABEL));
    model.map(Key::Model).into_iter().chain(deployment.map(Key::Deployment)).collect()
}

/// The Model that the spec of an object names that does not parse.
fn named<K>(raw: &Raw<K>) -> Option<Key> {
    raw.at(&["spec", "model"]).as_str().map(|name| Key::Model(name.to_owned()))
}

/// Makes a kind one that is watched, whose objects belong to what their labels say, and reduces it.
macro_rules! watched_by_labels {
    ($($kind:ty: $reduce:expr;)*) => {$(
        impl Watched for $kind {
            type Key = Key;

            fn keys(&self) -> Vec<Key> {
                labelled(self.meta())
            }

            fn raw_keys(raw: &Raw<Self>) -> Vec<Key> {
                labelled(raw.meta())
            }

            fn reduce(&mut self) {
                let reduce: fn(&mut Self) = $reduce;
                reduce(self);
            }
        }
    )*};
}

watched_by_labels! {
    ConfigMap: |_| {};
    ControllerRevision: |_| {};
    // Kubernetes gives it the labels of its Service
    EndpointSlice: reduce_endpoints;
    Job: |_| {};
    Pod: reduce_pod;
    // nothing is decided on its status
    PodDisruptionBudget: |budget| budget.status = None;
    Service: |_| {};
    ServiceAccount: |_| {};
}

/// Keeps which pods are behind which ports.
fn reduce_endpoints(slice: &mut EndpointSlice) {
    for endpoint in &mut slice.endpoints {
        endpoint.hints = None;
        endpoint.node_name = None;
        endpoint.zone = None;
    }
}

/// Keeps of the spec only where it runs.
fn reduce_pod(pod: &mut Pod) {
    if let Some(spec) = pod.spec.take() {
        pod.spec = Some(PodSpec { node_name: spec.node_name, ..PodSpec::default() });
    }
}

impl Watched for ReplicaSet {
    type Key = Key;

    /// By its owner, too: pods are told apart by the ReplicaSets that made them, so one whose labels somebody took off must
    /// not be lost.
    fn keys(&self) -> Vec<Key> {
        let label = |name: &str| self.labels().get(name).cloned();
        let mut owners = self.owner_references().iter();
        let owner =
            owners.find(|owner| owner.controller == Some(true) && owner.kind == ModelDeployment::kind(&()));
        let deployment = owner.map(|owner| owner.name.clone()).or_else(|| label(DEPLOYMENT_LABEL));
        label(MODEL_LABEL).map(Key::Model).into_iter().chain(deployment.map(Key::Deployment)).collect()
    }

    fn raw_keys(raw: &Raw<Self>) -> Vec<Key> {
        labelled(raw.meta())
    }

    /// Keeps of the status how many pods were made for which generation, and why none can be.
    fn reduce(&mut self) {
        let Some(status) = self.status.take() else { return };
        let mut conditions = status.conditions.unwrap_or_default();
        conditions.retain(|condition| condition.type_ == REPLICA_FAILURE);
        for condition in &mut conditions {
            condition.last_transition_time = None;
        }
        self.status = Some(ReplicaSetStatus {
            observed_generation: status.observed_generation,
            replicas: status.replicas,
            conditions: (!conditions.is_empty()).then_some(conditions),
            ..ReplicaSetStatus::default()
        });
    }
}

impl Watched for Model {
    type Key = Key;

    const IS_RECONCILED: bool = true;

    fn keys(&self) -> Vec<Key> {
        vec![Key::Model(self.name_any())]
    }

    fn raw_keys(raw: &Raw<Self>) -> Vec<Key> {
        vec![Key::Model(raw.name_any())]
    }
}

impl Watched for ModelVersion {
    type Key = Key;

    fn keys(&self) -> Vec<Key> {
        vec![Key::Model(self.spec.model.clone())]
    }

    /// By its spec, its label and its name: what may be a version of a Model counts as one.
    fn raw_keys(raw: &Raw<Self>) -> Vec<Key> {
        let name = raw.name_any();
        let model = name.rsplit_once("-v").map(|(model, _)| Key::Model(model.to_owned()));
        let mut keys: Vec<_> = named(raw).into_iter().chain(labelled(raw.meta())).chain(model).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }
}

impl Watched for ModelDeployment {
    type Key = Key;

    const IS_RECONCILED: bool = true;

    fn keys(&self) -> Vec<Key> {
        let served = self.status.iter().flat_map(|status| status.stable.iter().chain(&status.target));
        let digests = served.map(|served| Key::Digest(served.model_digest.clone()));
        [Key::Model(self.spec.model.clone())].into_iter().chain(digests).collect()
    }

    fn raw_keys(raw: &Raw<Self>) -> Vec<Key> {
        named(raw).into_iter().collect()
    }
}
