//! What can go wrong with a registry, for people.

use std::{io, path::PathBuf, time::Duration};

use crate::network::{Failure, NetworkError, credentials::CredentialsError};

/// A registry that did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The network, or a status that is no success.
    #[error(transparent)]
    Network(#[from] NetworkError),
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// Other bytes than their address says.
    #[error(
        "{uri}: {what} has the SHA-256 {actual}, and its address says {expected}; the registry is damaged or lies"
    )]
    DigestMismatch { uri: String, what: String, expected: String, actual: String },
    /// A blob that the registry does not give although it says that it has it.
    #[error(
        "{uri}: the registry {}, and does not give it: {cause}; {}",
        if *sent { format!("took {what}") } else { format!("says that it has {what}") },
        if *sent { "it is damaged, or spreads blobs slowly" } else { "it is damaged, or answers for another repository" }
    )]
    BlobLost {
        uri: String,
        what: String,
        /// Whether it was just sent there.
        sent: bool,
        cause: String,
    },
    /// A manifest that is no manifest of a model.
    #[error("{uri} is no artifact that holds a model: {why}")]
    InvalidManifest { uri: String, why: String },
    /// A challenge that cannot be met.
    #[error("{uri} asks to log in by {challenge:?}, and {expected} was expected")]
    Challenge { uri: String, challenge: String, expected: &'static str },
    /// An upload that the registry does not let happen.
    #[error("{uri} does not accept an upload: {why}")]
    Upload { uri: String, why: String },
    /// A file that is pushed.
    #[error("{path} cannot be read: {source}")]
    Io { path: PathBuf, source: io::Error },
}

impl RegistryError {
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Network(error) => error.reason(),
            Self::Credentials(error) => error.reason(),
            Self::DigestMismatch { .. } => "DigestMismatch",
            Self::BlobLost { sent: true, .. } => "StoreFailed",
            Self::InvalidManifest { .. } => "InvalidArtifact",
            Self::Challenge { .. } => "Unauthorized",
            Self::BlobLost { .. } | Self::Upload { .. } => "StoreRefused",
            Self::Io { .. } => "DiskFailed",
        }
    }

    /// Whether the same request may work later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Network(error) => error.is_transient(),
            Self::BlobLost { sent, .. } => *sent,
            Self::Io { .. } => true,
            _ => false,
        }
    }
}

impl Failure for RegistryError {
    fn may_pass(&self) -> bool {
        self.is_transient()
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Network(error) => error.retry_after(),
            _ => None,
        }
    }
}
