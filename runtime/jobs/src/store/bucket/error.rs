//! What can go wrong with an object store, for people.

use std::time::Duration;

use crate::network::{Failure, NetworkError, credentials::CredentialsError};

/// An object store that did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    #[error("{uri} is no address in an object store: {why}")]
    InvalidAddress {
        /// As it was written.
        uri: String,
        why: String,
    },
    #[error("{uri}: there is no bucket `{bucket}` at {host}; create it, or correct the address")]
    BucketMissing {
        uri: String,
        bucket: String,
        /// Where it was asked for.
        host: String,
    },
    #[error("{uri}: there is no object `{key}` at {host}")]
    NotFound {
        uri: String,
        key: String,
        /// Where it was asked for.
        host: String,
    },
    #[error("{uri}: the store does not accept these credentials: {why}")]
    Unauthorized { uri: String, why: String },
    #[error("{uri} may not be read or written: {why}")]
    Forbidden {
        uri: String,
        /// What it says, and what to do.
        why: String,
    },
    /// Another status that a retry will not change.
    #[error("{uri}: the object store refuses the request: {why}")]
    Refused { uri: String, why: String },
    /// No answer, or one that may pass.
    #[error("{uri}: the object store cannot be reached: {why}")]
    Unreachable { uri: String, why: String },
    /// A local file that is written to the store.
    #[error("{path} cannot be read: {source}")]
    Io { path: std::path::PathBuf, source: std::io::Error },
    #[error(transparent)]
    Network(#[from] NetworkError),
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
}

impl BucketError {
    pub fn reason(&self) -> &'static str {
        match self {
            Self::InvalidAddress { .. } => "InvalidUri",
            Self::BucketMissing { .. } | Self::NotFound { .. } => "NotFound",
            Self::Unauthorized { .. } => "Unauthorized",
            Self::Forbidden { .. } => "Forbidden",
            Self::Refused { .. } => "StoreRefused",
            Self::Unreachable { .. } => "Unreachable",
            Self::Io { .. } => "DiskFailed",
            Self::Network(error) => error.reason(),
            Self::Credentials(error) => error.reason(),
        }
    }

    /// Whether the same request may work later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Io { .. } => true,
            Self::Network(error) => error.is_transient(),
            _ => false,
        }
    }
}

impl Failure for BucketError {
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
