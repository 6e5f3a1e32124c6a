//! Names of labels, annotations and derived objects.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

/// Field manager of everything that the operator applies, and name of its Lease unless another is asked for.
pub const FIELD_MANAGER: &str = "modelwright";
/// Annotation with the hash of what was applied last.
pub const APPLIED_HASH_ANNOTATION: &str = "modelwright.dev/applied-hash";
/// Label on every object that the operator makes; it watches only what carries it.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// Value of [`MANAGED_BY_LABEL`].
pub const MANAGED_BY: &str = "modelwright";
/// Label with the name of the Model that an object belongs to.
pub const MODEL_LABEL: &str = "modelwright.dev/model";
/// Label with the version number of a ModelVersion.
pub const VERSION_LABEL: &str = "modelwright.dev/version";
/// Label with the first 16 hex digits of a specHash (label values end at 63 characters).
pub const SPEC_HASH_LABEL: &str = "modelwright.dev/spec-hash";
/// Annotation of a ModelVersion: further specHashes that resolve to it, comma separated.
pub const SPEC_HASHES_ANNOTATION: &str = "modelwright.dev/spec-hashes";
/// Annotation of a Job: the whole specHash that it makes a version for.
pub const SPEC_HASH_ANNOTATION: &str = "modelwright.dev/spec-hash";
/// Annotation of a Job: the Model's generation that started it.
pub const GENERATION_ANNOTATION: &str = "modelwright.dev/generation";
/// Annotation of a Job that reads a run's report from the store: the UID of the run's Job.
pub const RECALLS_ANNOTATION: &str = "modelwright.dev/recalls";
/// Annotation of a Job that takes over the model of a version and makes its variants anew: the version's number.
pub const MADE_FROM_ANNOTATION: &str = "modelwright.dev/made-from";
/// Annotation of a Job: hash of the scheduling that its pods were rendered with.
pub const SCHEDULING_HASH_ANNOTATION: &str = "modelwright.dev/scheduling-hash";
/// Annotation of a Job: the operator suspended it, and so the operator resumes it.
pub const SUSPENDED_ANNOTATION: &str = "modelwright.dev/suspended";
/// Label of a Job: the queue of Kueue that admits it.
pub const KUEUE_QUEUE_LABEL: &str = "kueue.x-k8s.io/queue-name";
/// Label of Kueue's Workload: the UID of its Job.
pub const KUEUE_JOB_LABEL: &str = "kueue.x-k8s.io/job-uid";
/// Label of a Job: its priority in Kueue.
pub const KUEUE_PRIORITY_LABEL: &str = "kueue.x-k8s.io/priority-class";
/// Finalizer of a Model: it stays while a ModelDeployment names it.
pub const MODEL_FINALIZER: &str = "modelwright.dev/protection";
/// Annotation of a ModelVersion: the Model's generation that selected it last.
pub const SELECTED_GENERATION_ANNOTATION: &str = "modelwright.dev/selected-generation";
/// Annotation of a ModelVersion that a person sets: `true` keeps it, however old it is. The operator never writes it.
pub const KEEP_ANNOTATION: &str = "modelwright.dev/keep";
/// Label with the name of the ModelDeployment that an object belongs to.
pub const DEPLOYMENT_LABEL: &str = "modelwright.dev/deployment";
/// Label with the revision that an object belongs to, as [`short_revision`] says.
pub const REVISION_LABEL: &str = "modelwright.dev/revision";
/// Label of serving pods: `serve` while the Service may select the pod. The operator takes it off before a pod leaves.
pub const TRAFFIC_LABEL: &str = "modelwright.dev/traffic";
/// Value of [`TRAFFIC_LABEL`].
pub const TRAFFIC_SERVE: &str = "serve";

/// Keys of `scheduling.podLabels` that nobody may set start with one of these.
pub const REFUSED_LABEL_PREFIXES: &[&str] =
    &["modelwright.dev/", "app.kubernetes.io/", "argocd.argoproj.io/"];
/// Keys of `scheduling.podAnnotations` that nobody may set start with one of these.
pub const REFUSED_ANNOTATION_PREFIXES: &[&str] = &["modelwright.dev/", "argocd.argoproj.io/"];

/// ServiceAccount that the pods of runs and of serving use where the namespace has it (for workload identity); otherwise
/// they use `default`. No token is mounted either way.
pub const WORKLOAD_SERVICE_ACCOUNT: &str = "modelwright-workload";
/// Secret with the credentials of the artifact store, in the user's namespace.
pub const STORE_SECRET: &str = "modelwright-store";

/// Annotation of a ControllerRevision: the whole hash of what the user asked for.
pub const REVISION_HASH_ANNOTATION: &str = "modelwright.dev/revision-hash";
/// Annotation of a serving pod: since when it leaves service, RFC 3339.
pub const LEAVING_ANNOTATION: &str = "modelwright.dev/leaving-since";
/// Label of serving pods: the UID of the ModelDeployment that their ReplicaSet was made for. Selectors carry it, so that pods
/// of one that was deleted are never taken for those of the next with its name.
pub const DEPLOYMENT_UID_LABEL: &str = "modelwright.dev/deployment-uid";
/// Annotation of a ControllerRevision: the template of its ReplicaSet, as JSON, where the API server admitted another one
/// than was asked for.
pub const ADMITTED_ANNOTATION: &str = "modelwright.dev/admitted-template";
/// Annotation of a ReplicaSet whose template was put back: what is recorded of that, as JSON. Its pods carry the mark.
pub const REPAIR_ANNOTATION: &str = "modelwright.dev/repair";
/// Annotation of a pod that was born of a template which somebody had changed: the revision that it is no pod of.
pub const SET_ASIDE_ANNOTATION: &str = "modelwright.dev/set-aside-from";
/// Annotation of a pod: the ReplicaSet deletes the lowest first.
pub const DELETION_COST_ANNOTATION: &str = "controller.kubernetes.io/pod-deletion-cost";

/// Longest name of a Model or ModelDeployment: derived names and label values must fit into 63 characters.
pub const MAX_NAME_LENGTH: usize = 40;

/// `<model>-v<N>`, the name of a ModelVersion.
pub fn model_version(model: &str, version: u64) -> String {
    format!("{model}-v{version}")
}

/// `<model>-<first 10 hex digits of the specHash>`, the name of a run's Job.
pub fn run_job(model: &str, spec_hash: &str) -> String {
    format!("{model}-{}", crate::hash::short(spec_hash, 10))
}

/// Name of the Job that reads from the store what the run of a spec reported.
pub fn recall_job(model: &str, spec_hash: &str) -> String {
    format!("{}-read", run_job(model, spec_hash))
}

/// The first 10 hex digits of a revision's hash: how labels, names and the status call it.
pub fn short_revision(hash: &str) -> &str {
    crate::hash::short(hash, 10)
}

/// `<deployment>-<short revision>`, the name of a revision's ControllerRevision and ReplicaSet.
pub fn revision(deployment: &str, hash: &str) -> String {
    format!("{deployment}-{}", short_revision(hash))
}

/// `<deployment>-traffic`, the name of the traffic ConfigMap.
pub fn traffic(deployment: &str) -> String {
    format!("{deployment}-traffic")
}

/// Metadata of an object that `owner` controls: labels with [`MANAGED_BY_LABEL`] added.
pub fn owned_metadata(
    name: String,
    namespace: &str,
    owner: Option<OwnerReference>,
    labels: impl IntoIterator<Item = (&'static str, String)>,
) -> ObjectMeta {
    let mut all: BTreeMap<String, String> =
        labels.into_iter().map(|(label, value)| (label.to_owned(), value)).collect();
    all.insert(MANAGED_BY_LABEL.into(), MANAGED_BY.into());
    ObjectMeta {
        name: Some(name),
        namespace: Some(namespace.to_owned()),
        labels: Some(all),
        owner_references: owner.map(|owner| vec![owner]),
        ..ObjectMeta::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_name_leaves_room_for_every_suffix() {
        let longest = "a".repeat(MAX_NAME_LENGTH);
        for name in [
            model_version(&longest, u64::from(u32::MAX)),
            revision(&longest, &"f".repeat(64)),
            run_job(&longest, &"f".repeat(64)),
            recall_job(&longest, &"f".repeat(64)),
            traffic(&longest),
        ] {
            // a ReplicaSet's pods get `-<5>` behind the name
            assert!(name.len() + 6 <= 63, "{name}");
        }
    }
}
