//! What can go wrong while publishing, for people.

use std::{io, path::PathBuf};

use modelwright_contract::report::{MADE_BEFORE, NO_REPORT};

use crate::{
    fetch::FetchError,
    network::credentials::CredentialsError,
    store::{FolderError, RegistryError},
};
use modelwright_core::{digest::DigestError, onnx::OnnxError};

/// A model that was not published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The file is refused before it is loaded.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    /// A config that no model can satisfy.
    #[error("`{field}` is wrong: {why}")]
    InvalidConfig {
        field: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The file is refused by ONNX Runtime, by its own golden samples, or by its judge.
    #[error("{message}")]
    Refused { reason: Refusal, message: String },
    /// The artifact's metadata does not belong to its model.
    #[error(
        "the artifact's {file} does not belong to its model: {why}; somebody changed one without the other. Publish \
         it again from where it was trained, or import the bare .onnx file"
    )]
    Inconsistent { file: &'static str, why: String },
    /// What `prove` left is not what was proven.
    #[error(
        "what was proven at {} cannot be stored: {why}. Only `prove` writes there, before `publish` begins: set spec.rerun to \
         another value to run both again",
        path.display()
    )]
    Unproven {
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The store has no report of a run.
    #[error(
        "the store has no report of the run {run}: it ended before it was left, or another store was used then; the run is made \
         again"
    )]
    NoReport {
        /// What the run is known by.
        run: String,
    },
    /// Another attempt of the run published, and nobody heard of it.
    #[error(
        "an earlier attempt of the run {run} published its model, and its pod was lost before that was known: what it \
         reported is read from the store, and nothing is made again"
    )]
    MadeBefore {
        /// What the run is known by.
        run: String,
    },
    /// What is left of a run's report cannot be read from the store.
    #[error("the report of the run cannot be read from the artifact store: {0}")]
    Recall(#[from] FetchError),
    /// The store's address is none.
    #[error(
        "{uri:?} is no artifact store: {why}; expected oci://HOST[:PORT]/PREFIX, s3://BUCKET/PREFIX or pvc://CLAIM/PREFIX \
         (chart value `store.uri`)"
    )]
    InvalidStore {
        uri: String,
        /// What is wrong with it.
        why: String,
    },
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    #[error("the artifact store does not take the model: {0}")]
    Store(#[from] RegistryError),
    /// The store, an object store or a claim.
    #[error("the artifact store does not take the model: {0}")]
    Folder(#[from] FolderError),
    #[error("{path} cannot be written or read: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// The child process that loads the model.
    #[error("the process that loads the model cannot be started: {source}")]
    Prover { source: io::Error },
}

/// Why ONNX Runtime, or the model's own past, speaks against a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Refusal {
    LoadFailed,
    /// It wants a newer ONNX Runtime.
    UnsupportedOperatorSet,
    /// Its inputs or outputs are of a kind that no request can carry.
    UnsupportedSignature,
    /// It loads and then fails.
    RunFailed,
    /// It does not answer what it answered when it was recorded.
    GoldenMismatch,
    LimitExceeded,
    /// It took more memory than there is.
    OutOfMemory,
    NoModel,
    /// Training left no test part that fits the model.
    InvalidEvaluation,
    /// Its outputs are no answers to the task.
    InvalidOutputs,
    /// It does not answer what it answered in training.
    NotReproducible,
    /// It is not as good as was asked for.
    GateMissed,
    /// A value of an input ends the process.
    CrashesOnInput,
    /// A variant is not as good, small or fast as was asked for.
    VariantRefused,
}

impl Refusal {
    pub fn reason(self) -> &'static str {
        match self {
            Self::LoadFailed => "LoadFailed",
            Self::UnsupportedOperatorSet => "UnsupportedOperatorSet",
            Self::UnsupportedSignature => "UnsupportedSignature",
            Self::RunFailed => "RunFailed",
            Self::GoldenMismatch => "GoldenMismatch",
            Self::LimitExceeded => "LimitExceeded",
            Self::OutOfMemory => "OutOfMemory",
            Self::NoModel => "NoModel",
            Self::InvalidEvaluation => "InvalidEvaluation",
            Self::InvalidOutputs => "InvalidOutputs",
            Self::NotReproducible => "NotReproducible",
            Self::GateMissed => "GateMissed",
            Self::CrashesOnInput => "CrashesOnInput",
            Self::VariantRefused => "VariantRefused",
        }
    }
}

impl PublishError {
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Onnx(error) => error.reason(),
            Self::InvalidConfig { .. } => "InvalidConfig",
            Self::Refused { reason, .. } => reason.reason(),
            Self::Inconsistent { .. } => "InconsistentArtifact",
            Self::Unproven { .. } => "Unproven",
            Self::NoReport { .. } => NO_REPORT,
            Self::MadeBefore { .. } => MADE_BEFORE,
            Self::Recall(error) => error.reason(),
            Self::InvalidStore { .. } => "InvalidStore",
            Self::Credentials(error) => error.reason(),
            Self::Store(error) if error.is_transient() => "StoreFailed",
            Self::Store(error) => error.reason(),
            Self::Folder(error) if error.is_transient() => "StoreFailed",
            Self::Folder(error) => error.reason(),
            Self::Io { .. } | Self::Digest(_) => "DiskFailed",
            Self::Prover { .. } => "ProverFailed",
        }
    }

    /// Whether publishing the same model may work later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Onnx(error) => error.is_transient(),
            Self::Store(error) => error.is_transient(),
            Self::Folder(error) => error.is_transient(),
            Self::Recall(error) => error.is_transient(),
            Self::Io { .. } | Self::Digest(_) | Self::Prover { .. } => true,
            _ => false,
        }
    }

    pub(super) fn refused(reason: Refusal, message: impl Into<String>) -> Self {
        Self::Refused { reason, message: message.into() }
    }

    pub(super) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}
