//! Retention: which ModelVersions are not kept any longer. In go the Model's versions and who uses them; out come those to
//! delete. Pure.
//!
//! The highest number is always among those that stay, so that no removal frees a number for another use.

use std::{cmp::Reverse, collections::BTreeSet, sync::Arc};

use k8s_openapi::api::apps::v1::ControllerRevision;
use kube::{Resource as _, ResourceExt as _};
use serde_json::Value;

use super::{
    kept,
    validate::ValidModel,
    versions::{carries, own_versions, rank},
};
use crate::api::{
    Model, ModelDeployment, ModelVersion,
    name::{KEEP_ANNOTATION, MODEL_LABEL, VERSION_LABEL},
};

/// Versions that are deleted at once: their disappearance asks for the next look, so that one reconcile ends soon.
pub const REMOVED_AT_ONCE: usize = 20;

/// Versions of one Model that ModelDeployments or their revisions use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InUse {
    /// By number.
    pub numbers: BTreeSet<u64>,
    /// By the digest of the model's files.
    pub digests: BTreeSet<String>,
    /// Whether something that may use versions could not be read: then all of them count as used.
    pub is_unknown: bool,
}

impl InUse {
    /// What the ModelDeployments and revisions of the namespace use of `model`: those that are being deleted too, because
    /// they serve until they are gone.
    pub fn read<'a>(
        model: &str,
        deployments: impl IntoIterator<Item = &'a ModelDeployment>,
        revisions: impl IntoIterator<Item = &'a ControllerRevision>,
    ) -> Self {
        let mut all = Self::default();
        for deployment in deployments {
            all.add_deployment(model, deployment);
        }
        for revision in revisions {
            all.add_revision(model, revision);
        }
        all
    }

    fn add_deployment(&mut self, model: &str, deployment: &ModelDeployment) {
        let names_it = deployment.spec.model == model;
        if names_it {
            self.numbers.extend(deployment.spec.version);
        }
        let status = deployment.status.iter();
        for served in status.flat_map(|status| status.stable.iter().chain(&status.target)) {
            // a ModelDeployment that was pointed to another Model serves this one's bytes until it has rolled over
            self.digests.insert(served.model_digest.clone());
            if names_it {
                self.numbers.insert(served.version);
            }
        }
    }

    fn add_revision(&mut self, model: &str, revision: &ControllerRevision) {
        let data = |name: &str| revision.data.as_ref().and_then(|data| data.0.get(name));
        let labelled = revision.labels().get(MODEL_LABEL).is_some_and(|label| label == model);
        if !labelled && data("model").and_then(Value::as_str) != Some(model) {
            return;
        }
        self.numbers.extend(revision.labels().get(VERSION_LABEL).and_then(|text| text.parse::<u64>().ok()));
        self.numbers.extend(data("version").and_then(Value::as_u64));
        self.digests.extend(data("modelDigest").and_then(Value::as_str).map(str::to_owned));
    }

    fn has(&self, version: &ModelVersion) -> bool {
        self.is_unknown
            || self.numbers.contains(&version.spec.version)
            || self.digests.contains(&version.spec.model_digest)
    }
}

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
