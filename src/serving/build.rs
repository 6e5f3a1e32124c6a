//! Build: the objects of a ModelDeployment. In go what is asked, a version's facts and settings; out come a
//! ControllerRevision, and, made from its data alone, a ReplicaSet; a Service, a PodDisruptionBudget and the traffic
//! ConfigMap. Pure.

mod around;
mod pod;
mod revision;

pub use around::{build_disruption_budget, build_service, build_traffic, traffic_text};
pub use pod::{FETCH, SERVE};
pub use revision::{build_replica_set, build_revision, revision_labels};

/// What the objects of one ModelDeployment have in common.
#[derive(Clone, Debug)]
pub struct Owner<'a> {
    /// Name of the ModelDeployment.
    pub name: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// Reference to it.
    pub reference: &'a k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference,
}
