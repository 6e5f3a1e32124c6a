//! What exists around a Model, as it was read. Types alone.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::{
    api::{batch::v1::Job, core::v1::Pod},
    jiff::{SignedDuration, Timestamp},
};

use crate::{
    api::{ModelVersion, model::RunProgress},
    model::{in_use::InUse, run::queue::Workload},
};

/// What exists around a Model.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// ModelVersions that carry its label.
    pub versions: Vec<Arc<ModelVersion>>,
    /// Jobs that carry its label.
    pub jobs: Vec<Arc<Job>>,
    /// Pods of its Jobs.
    pub pods: Vec<Arc<Pod>>,
    /// Highest version number that a revision of a ModelDeployment serves, 0 if none.
    pub highest_revision: u64,
    /// ModelDeployments that name it and are not being deleted.
    pub holders: Vec<String>,
    /// Versions that ModelDeployments or their revisions use.
    pub in_use: InUse,
    /// Whether the namespace has the ServiceAccount of workloads.
    pub workload_account: bool,
    /// Whether the store takes nothing without a token.
    pub store_wants_tokens: bool,
    /// How far the pod that trains is, as it says.
    pub progress: Option<RunProgress>,
    /// What the present container of its run tries again, as it says.
    pub retrying: Option<Retrying>,
    /// What belongs to it and does not parse, by kind, name and field.
    pub unreadable: Vec<String>,
    /// What Kueue says of its Jobs that are in a queue and have not ended, by their UIDs.
    pub workloads: BTreeMap<String, Workload>,
    /// Warnings about Jobs without pods and pods that wait, newest last.
    pub warnings: Vec<Warning>,
    /// How long what was asked about in these has waited, the newest of it.
    pub waited: Option<SignedDuration>,
    /// When this was so.
    pub now: Timestamp,
}

impl Snapshot {
    /// What Kueue says of a Job, if that was read.
    pub fn workload_of(&self, job: &Job) -> Option<&Workload> {
        self.workloads.get(job.metadata.uid.as_ref()?)
    }
}

/// An event that the cluster recorded about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// UID of the object.
    pub uid: String,
    /// One CamelCase word.
    pub reason: String,
    /// For people.
    pub message: String,
}

/// What the present container of a run tries again: it has not ended, so the kubelet knows nothing of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retrying {
    /// UID of the pod.
    pub pod: String,
    /// The container.
    pub container: String,
    /// Since when it fails.
    pub since: Timestamp,
    /// Why it failed last.
    pub message: String,
    /// Why the store that it needs is not up, where that is known.
    pub store: Option<String>,
}
