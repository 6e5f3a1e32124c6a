//! A Model whose spec makes sense: its types. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use modelwright_contract::{training::Metric, variants::Variant};

use super::{evaluation::ValidEvaluation, run::ValidSizes, source::ValidSource, training::ValidTraining};
use crate::{
    api::{Scheduling, SourceFormat, model_version::Artifact},
    model::spec_hash::version_key,
};

/// A Model whose spec makes sense.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidModel {
    /// Name.
    pub name: String,
    /// Namespace.
    pub namespace: String,
    /// UID.
    pub uid: String,
    /// Generation of the spec.
    pub generation: i64,
    /// Reference for what it owns.
    pub owner: OwnerReference,
    /// What a run does.
    pub work: Work,
    /// How an import is measured, if it is.
    pub evaluation: Option<Box<ValidEvaluation>>,
    /// How large a run is.
    pub sizes: ValidSizes,
    /// Whether the test part goes along with the model.
    pub keep_evaluation: bool,
    /// Where pods may run.
    pub scheduling: Scheduling,
    /// Versions to keep, at least 1.
    pub keep: usize,
    /// Variants beside the model.
    pub variants: Vec<Variant>,
    /// The version whose model a run takes over, once that is known.
    pub kept: Option<Kept>,
    /// What decides a version, but for its variants.
    pub spec_hash: String,
    /// What decides its variants, where there are any.
    pub optimize_hash: Option<String>,
    /// What decides how a run's pods are scheduled.
    pub scheduling_hash: String,
}

/// What a run does.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    /// It imports an ONNX model.
    Import(ValidSource),
    /// It trains one from data.
    Train(Box<ValidTraining>),
}

/// A version whose model a run takes over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its number.
    pub version: u64,
    /// Its bytes.
    pub artifact: Artifact,
}

impl ValidModel {
    /// What a run fetches: the model, or the data.
    pub fn source(&self) -> &ValidSource {
        match &self.work {
            Work::Import(source) => source,
            Work::Train(training) => &training.source,
        }
    }

    /// Whether ONNX is made of what is fetched.
    pub fn is_converted(&self) -> bool {
        matches!(&self.work, Work::Import(source) if source.format == SourceFormat::Keras)
    }

    /// What a version is found by, and its run.
    pub fn key(&self) -> String {
        version_key(&self.spec_hash, self.optimize_hash.as_deref())
    }

    /// The metric that the version is shown with.
    pub fn metric(&self) -> Option<Metric> {
        let trained = self.training().map(|training| training.config.selection.metric);
        trained.or_else(|| Some(self.evaluation.as_ref()?.metric))
    }

    /// What is trained, if this is no import.
    pub fn training(&self) -> Option<&ValidTraining> {
        match &self.work {
            Work::Import(_) => None,
            Work::Train(training) => Some(training),
        }
    }
}
