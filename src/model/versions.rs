//! The versions of a Model: whose they are, which of them it resolves to, and by which keys each is found. In go ModelVersions;
//! out come some of them, and their stamps, numbers and keys. Pure.

use std::{borrow::Cow, sync::Arc};

use kube::ResourceExt as _;

use super::{snapshot::Snapshot, spec_hash::version_key};
use crate::api::{
    Model, ModelVersion,
    name::{
        APPLIED_HASH_ANNOTATION, MANAGED_BY, MANAGED_BY_LABEL, MODEL_LABEL, SELECTED_GENERATION_ANNOTATION,
        SPEC_HASHES_ANNOTATION, model_version,
    },
};

/// Hashes that one version remembers; the oldest are forgotten first.
const KEPT_HASHES: usize = 1000;

/// The version that the Model resolves to: the highest stamp, then the highest number.
pub fn current(model: &Model, snapshot: &Snapshot) -> Option<Arc<ModelVersion>> {
    own_versions(model, &snapshot.versions).into_iter().max_by_key(rank)
}

/// Its number. Where something of the Model does not parse, that may be the version with the highest stamp: the one that
/// was told stays.
pub fn current_version(model: &Model, snapshot: &Snapshot) -> Option<u64> {
    let told = model.status.as_ref().and_then(|status| status.current_version);
    let seen = current(model, snapshot).map(|version| version.spec.version);
    if snapshot.unreadable.is_empty() { seen } else { told.or(seen) }
}

/// The highest version number.
pub fn latest_version(model: &Model, snapshot: &Snapshot) -> Option<u64> {
    own_versions(model, &snapshot.versions).iter().map(|version| version.spec.version).max()
}

/// Versions that the Model controls, or that nobody does and that carry our labels.
pub(super) fn own_versions(model: &Model, versions: &[Arc<ModelVersion>]) -> Vec<Arc<ModelVersion>> {
    versions.iter().filter(|version| is_ours(version, model)).cloned().collect()
}

fn is_ours(version: &ModelVersion, model: &Model) -> bool {
    let metadata = &version.metadata;
    if metadata.deletion_timestamp.is_some() {
        return false;
    }
    let mut owners = metadata.owner_references.iter().flatten();
    if let Some(owner) = owners.find(|owner| owner.controller == Some(true)) {
        return Some(&owner.uid) == model.uid().as_ref();
    }
    let (labels, name) = (version.labels(), model.name_any());
    labels.get(MANAGED_BY_LABEL).is_some_and(|value| value == MANAGED_BY)
        && labels.get(MODEL_LABEL) == Some(&name)
        && version.annotations().get(APPLIED_HASH_ANNOTATION).is_some()
        && version.name_any() == model_version(&name, version.spec.version)
}

/// The one of this number.
pub(super) fn numbered(versions: &[Arc<ModelVersion>], number: u64) -> Option<&Arc<ModelVersion>> {
    versions.iter().find(|version| version.spec.version == number)
}

/// 1 + the highest number over versions, revisions and what the status remembers.
pub(super) fn next_number(model: &Model, versions: &[Arc<ModelVersion>], snapshot: &Snapshot) -> u64 {
    let remembered = model.status.as_ref().and_then(|status| status.latest_version).unwrap_or(0);
    let kept = versions.iter().map(|version| version.spec.version).max().unwrap_or(0);
    kept.max(snapshot.highest_revision).max(remembered).saturating_add(1)
}

fn stamp_of(version: &ModelVersion) -> i64 {
    version.annotations().get(SELECTED_GENERATION_ANNOTATION).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Order of versions: the one with the highest is current.
pub(super) fn rank(version: &Arc<ModelVersion>) -> (i64, u64) {
    (stamp_of(version), version.spec.version)
}

/// The highest stamp.
pub(super) fn highest_stamp(versions: &[Arc<ModelVersion>]) -> i64 {
    versions.iter().map(|version| stamp_of(version)).max().unwrap_or(0)
}

/// The stamp that makes `version` the highest, unless it is.
pub(super) fn missing_stamp(
    version: &ModelVersion,
    versions: &[Arc<ModelVersion>],
    generation: i64,
) -> Option<i64> {
    let others = versions
        .iter()
        .filter(|other| other.spec.version != version.spec.version)
        .map(|other| stamp_of(other))
        .max()
        .unwrap_or(0);
    (stamp_of(version) <= others).then(|| generation.max(others.saturating_add(1)))
}

/// Whether what a Model asks for, by its key, resolves to the version.
pub(super) fn carries(version: &ModelVersion, key: &str) -> bool {
    hashes(version).any(|hash| hash == key)
}

/// Every key that resolves to a version.
fn hashes(version: &ModelVersion) -> impl Iterator<Item = Cow<'_, str>> {
    let further = version.annotations().get(SPEC_HASHES_ANNOTATION).map_or("", String::as_str);
    let further = further.split(',').map(str::trim).filter(|hash| !hash.is_empty());
    let own = version_key(&version.spec.spec_hash, version.spec.optimize_hash.as_deref());
    std::iter::once(Cow::from(own)).chain(further.map(Cow::from))
}

/// All its further keys with one more, which is the last.
pub(super) fn with_hash(version: &ModelVersion, hash: &str) -> String {
    let mut all: Vec<_> = hashes(version).skip(1).filter(|known| *known != hash).collect();
    all.push(hash.into());
    let forgotten = all.len().saturating_sub(KEPT_HASHES);
    all.split_off(forgotten).join(",")
}
