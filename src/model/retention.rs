//! Retention: which ModelVersions are not kept any longer. In go the Model's versions and who uses them; out come those to
//! delete. Pure.
//!
//! The highest number is always among those that stay, so that no removal frees a number for another use.

use std::{cmp::Reverse, sync::Arc};

use kube::{Resource as _, ResourceExt as _};

use super::{
    kept,
    validate::ValidModel,
    versions::{carries, own_versions, rank},
};
use crate::{
    api::{
        Model, ModelVersion,
        name::{KEEP_ANNOTATION, MODEL_LABEL},
    },
    model::in_use::InUse,
};

/// Versions that are deleted at once: their disappearance asks for the next look, so that one reconcile ends soon.
pub const REMOVED_AT_ONCE: usize = 20;

/// The versions to delete, the oldest first, at most [`REMOVED_AT_ONCE`]: all beyond the newest `spec.history.keep` that
/// nothing holds.
pub fn plan_removal(
    model: &Model,
    valid: &ValidModel,
    versions: &[Arc<ModelVersion>],
    in_use: &InUse,
) -> Vec<Arc<ModelVersion>> {
    let mut own = own_versions(model, versions);
    own.sort_by_key(|version| Reverse(version.spec.version));
    let current = own.iter().max_by_key(|version| rank(version)).map(|version| version.spec.version);
    // ModelDeployments follow what the status says, which may be behind the stamps
    let told = model.status.as_ref().and_then(|status| status.current_version);
    // a run for the spec, which may be about to start, takes its model over
    let is_made = own.iter().any(|version| carries(version, &valid.key()));
    let needed = kept::find(valid, &own).filter(|_| !is_made).map(|version| version.spec.version);
    let is_held = |version: &ModelVersion| {
        [current, told, needed].contains(&Some(version.spec.version))
            || carries(version, &valid.key())
            || in_use.has(version)
            || is_kept_by_a_person(version)
    };
    let surplus =
        own.iter().skip(valid.keep).filter(|version| is_ours_alone(version, valid) && !is_held(version));
    surplus.rev().take(REMOVED_AT_ONCE).cloned().collect()
}

fn is_kept_by_a_person(version: &ModelVersion) -> bool {
    version.annotations().get(KEEP_ANNOTATION).is_some_and(|value| value == "true")
}

/// Whether the Model controls it and nobody else owns it too.
fn is_ours_alone(version: &ModelVersion, valid: &ValidModel) -> bool {
    let owners = version.owner_references();
    owners.iter().any(|owner| owner.controller == Some(true))
        && owners.iter().all(|owner| owner.uid == valid.uid)
        && version.meta().deletion_timestamp.is_none()
        && version.labels().get(MODEL_LABEL) == Some(&valid.name)
}
