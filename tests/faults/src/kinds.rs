//! The kinds of objects that the operator reads and writes, and where each is found. Pure.

use std::fmt;

/// A kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Model,
    ModelVersion,
    ModelDeployment,
    Job,
    Pod,
    ConfigMap,
    Service,
    ServiceAccount,
    ControllerRevision,
    ReplicaSet,
    EndpointSlice,
    PodDisruptionBudget,
    Lease,
    Event,
}

use Kind::{
    ConfigMap, ControllerRevision, EndpointSlice, Event, Job, Lease, Model, ModelDeployment, ModelVersion,
    Pod, PodDisruptionBudget, ReplicaSet, Service, ServiceAccount,
};

/// The kinds that the operator watches.
pub const WATCHED: [Kind; 12] = [
    Model,
    ModelVersion,
    ModelDeployment,
    Job,
    Pod,
    ConfigMap,
    Service,
    ServiceAccount,
    ControllerRevision,
    ReplicaSet,
    EndpointSlice,
    PodDisruptionBudget,
];

impl Kind {
    /// Group and version, and the plural in paths.
    pub fn place(self) -> (&'static str, &'static str) {
        match self {
            Model => ("modelwright.dev/v1alpha1", "models"),
            ModelVersion => ("modelwright.dev/v1alpha1", "modelversions"),
            ModelDeployment => ("modelwright.dev/v1alpha1", "modeldeployments"),
            Job => ("batch/v1", "jobs"),
            Pod => ("v1", "pods"),
            ConfigMap => ("v1", "configmaps"),
            Service => ("v1", "services"),
            ServiceAccount => ("v1", "serviceaccounts"),
            ControllerRevision => ("apps/v1", "controllerrevisions"),
            ReplicaSet => ("apps/v1", "replicasets"),
            EndpointSlice => ("discovery.k8s.io/v1", "endpointslices"),
            PodDisruptionBudget => ("policy/v1", "poddisruptionbudgets"),
            Lease => ("coordination.k8s.io/v1", "leases"),
            Event => ("events.k8s.io/v1", "events"),
        }
    }

    /// The kind at a group, version and plural.
    pub fn at(api_version: &str, plural: &str) -> Option<Self> {
        // the same objects, in older words
        if (api_version, plural) == ("v1", "events") {
            return Some(Event);
        }
        WATCHED.into_iter().chain([Lease, Event]).find(|kind| kind.place() == (api_version, plural))
    }

    /// Whether its status is written by itself.
    pub fn has_status(self) -> bool {
        matches!(
            self,
            Model | ModelVersion | ModelDeployment | Job | Pod | ReplicaSet | Service | PodDisruptionBudget
        )
    }

    /// Whether it counts changes of what is asked for.
    pub fn has_generation(self) -> bool {
        matches!(self, Model | ModelVersion | ModelDeployment | Job | ReplicaSet | PodDisruptionBudget)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}
