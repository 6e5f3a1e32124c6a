//! What nobody reads of an object, dropped before it is kept: neither memory nor a reconcile is spent on it. Pure.

use k8s_openapi::api::{
    apps::v1::{ReplicaSet, ReplicaSetStatus},
    core::v1::{Pod, PodSpec},
    discovery::v1::EndpointSlice,
    policy::v1::PodDisruptionBudget,
};
use kube::api::ObjectMeta;

/// Condition of a ReplicaSet whose pods are refused; the only one that is read.
pub const REPLICA_FAILURE: &str = "ReplicaFailure";

/// Drops what nobody reads of any object.
pub fn trim(metadata: &mut ObjectMeta) {
    metadata.managed_fields = None;
}

/// Keeps of a pod's spec only where it runs.
pub fn trim_pod(pod: &mut Pod) {
    if let Some(spec) = pod.spec.take() {
        pod.spec = Some(PodSpec { node_name: spec.node_name, ..PodSpec::default() });
    }
}

/// Keeps of a ReplicaSet's status how many pods were made for which generation, and why none can be.
pub fn trim_replica_set(set: &mut ReplicaSet) {
    let Some(status) = set.status.take() else { return };
    let mut conditions = status.conditions.unwrap_or_default();
    conditions.retain(|condition| condition.type_ == REPLICA_FAILURE);
    for condition in &mut conditions {
        condition.last_transition_time = None;
    }
    set.status = Some(ReplicaSetStatus {
        observed_generation: status.observed_generation,
        replicas: status.replicas,
        conditions: (!conditions.is_empty()).then_some(conditions),
        ..ReplicaSetStatus::default()
    });
}

/// Keeps of an EndpointSlice which pods are behind which ports.
pub fn trim_endpoints(slice: &mut EndpointSlice) {
    for endpoint in &mut slice.endpoints {
        endpoint.hints = None;
        endpoint.node_name = None;
        endpoint.zone = None;
    }
}

/// Drops the status of a budget: nothing is decided on it.
pub fn trim_budget(budget: &mut PodDisruptionBudget) {
    budget.status = None;
}
