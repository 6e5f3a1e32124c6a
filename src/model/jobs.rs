//! The Jobs of a Model: which one is of the present spec, which one reads for it, and which ones go. Pure.

use std::{cmp::Reverse, sync::Arc};

use k8s_openapi::api::batch::v1::Job;
use kube::{Resource, ResourceExt as _};

use super::{run::containers::finished, snapshot::Snapshot, validate::ValidModel};
use crate::api::name::{RECALLS_ANNOTATION, SPEC_HASH_ANNOTATION, recall_job, run_job};

/// Finished Jobs that are kept for people to look at.
const KEPT_JOBS: usize = 3;

/// The Job of the present spec.
pub(super) fn current_job(valid: &ValidModel, snapshot: &Snapshot) -> Option<Arc<Job>> {
    let name = run_job(&valid.name, &valid.key());
    snapshot
        .jobs
        .iter()
        .find(|job| {
            job.name_any() == name
                && controlled_by(job, &valid.uid)
                && job.metadata.deletion_timestamp.is_none()
                && annotation(job.as_ref(), SPEC_HASH_ANNOTATION) == Some(&valid.key())
        })
        .cloned()
}

/// The Job that reads what `lost` reported.
pub(super) fn recall_of(valid: &ValidModel, snapshot: &Snapshot, lost: &Job) -> Option<Arc<Job>> {
    let name = recall_job(&valid.name, &valid.key());
    let is_of = |job: &&Arc<Job>| {
        job.name_any() == name
            && controlled_by(job, &valid.uid)
            && job.metadata.deletion_timestamp.is_none()
            && annotation(job.as_ref(), RECALLS_ANNOTATION) == lost.metadata.uid.as_ref()
    };
    snapshot.jobs.iter().find(is_of).cloned()
}

/// Our Jobs of other specs that still run, and all but the newest that ended.
pub(super) fn superseded_jobs(
    valid: &ValidModel,
    snapshot: &Snapshot,
    current: Option<&Arc<Job>>,
) -> Vec<Arc<Job>> {
    let others = snapshot.jobs.iter().filter(|job| {
        controlled_by(job, &valid.uid)
            && job.metadata.deletion_timestamp.is_none()
            && current.is_none_or(|current| {
                // what reads for it lives as long as it does
                current.uid() != job.uid()
                    && annotation(job.as_ref(), RECALLS_ANNOTATION) != current.metadata.uid.as_ref()
            })
    });
    let (mut ended, mut delete): (Vec<_>, Vec<_>) = others.cloned().partition(|job| may_stay(job));
    ended.sort_by_key(|job| Reverse((job.creation_timestamp().map(|time| time.0), job.name_any())));
    let keep = KEPT_JOBS - usize::from(current.is_some_and(|job| has_ended(job)));
    delete.extend(ended.into_iter().skip(keep));
    delete
}

/// Whether a Job of another spec is in nobody's way: it has ended. One that reads for a run that is not the present one is, since
/// the next to read has its name.
pub(super) fn may_stay(job: &Job) -> bool {
    has_ended(job) && annotation(job, RECALLS_ANNOTATION).is_none()
}

fn controlled_by(job: &Job, uid: &str) -> bool {
    job.owner_references().iter().any(|owner| owner.controller == Some(true) && owner.uid == uid)
}

fn has_ended(job: &Job) -> bool {
    ["Complete", "Failed"].into_iter().any(|condition| finished(job, condition).is_some())
}

/// An annotation of an object.
pub(super) fn annotation<'a, K: Resource>(object: &'a K, name: &str) -> Option<&'a String> {
    object.annotations().get(name)
}
