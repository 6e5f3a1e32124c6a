//! A revision: everything that its pods were rendered from, immutable, in the data of a ControllerRevision. Pure.

use k8s_openapi::api::{apps::v1::ControllerRevision, core::v1::PodTemplateSpec};
use modelwright_contract::serving::ExecutionProvider;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::model_version::{Artifact, Signature, Size};

/// What a revision serves and how its pods are made. A missing ModelVersion or a newer operator changes nothing of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RevisionData {
    /// What it serves.
    #[serde(flatten)]
    pub version: VersionReference,
    /// Execution providers, in order of preference.
    pub execution_providers: Vec<ExecutionProvider>,
    /// Whether another provider than the first may serve.
    pub allow_fallback: bool,
    /// How long a pod may drain.
    pub drain_timeout_milliseconds: u64,
    /// The pods, whole.
    pub pod_template: PodTemplateSpec,
    /// What the user asked for, as it is hashed, so that the name of the revision can be checked; absent from one that an
    /// earlier operator made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Value>,
}

/// One version of a Model, as far as serving it needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VersionReference {
    /// Name of the Model.
    pub model: String,
    /// Number of the version.
    pub version: u64,
    /// Digest of the files that are served: the model's, or the variant's.
    pub model_digest: String,
    /// Name of the variant that is served, if not the model itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Where the bytes are.
    pub artifact: Artifact,
    /// What the model takes and gives.
    pub signature: Signature,
    /// What it takes to load and to run, where that was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
}

/// The data of a ControllerRevision; `None` where somebody else wrote it.
pub fn read(revision: &ControllerRevision) -> Option<RevisionData> {
    RevisionData::deserialize(&revision.data.as_ref()?.0).ok()
}

impl RevisionData {
    /// Whether a pod's own answer is what was asked for; if not, why.
    pub fn check(&self, digest: &str, provider: &str) -> Result<(), String> {
        if digest != self.version.model_digest {
            return Err(format!(
                "the pod says that it serves the digest {digest}, expected {}",
                self.version.model_digest
            ));
        }
        let first = self.execution_providers.first().map(ToString::to_string).unwrap_or_default();
        if !self.allow_fallback && provider != first {
            return Err(format!(
                "the pod says that it runs on {provider}, expected {first}; set spec.accelerator.allowFallback to allow that"
            ));
        }
        Ok(())
    }
}
