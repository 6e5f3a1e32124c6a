//! Which versions of a Model are in use. In go ModelDeployments and their revisions; out come numbers and digests. Pure.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::ControllerRevision;
use kube::ResourceExt as _;
use serde_json::Value;

use crate::api::{
    ModelDeployment, ModelVersion,
    name::{MODEL_LABEL, VERSION_LABEL},
};

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

    /// Whether something uses this one.
    pub fn has(&self, version: &ModelVersion) -> bool {
        self.is_unknown
            || self.numbers.contains(&version.spec.version)
            || self.digests.contains(&version.spec.model_digest)
    }
}
