//! What can go wrong with a store that keeps an artifact as a folder, for people.

use std::{io, path::PathBuf};

use super::bucket::BucketError;
use crate::network::{Failure, credentials::CredentialsError};

/// A folder that was not stored.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error(transparent)]
    Bucket(#[from] BucketError),
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// Other bytes than were written.
    #[error(
        "{uri}: the file `{file}` has the SHA-256 {actual} right after {expected} was written to it; the store is damaged, \
         or something else writes there"
    )]
    DigestMismatch { uri: String, file: String, expected: String, actual: String },
    /// A file that is no part of the artifact.
    #[error(
        "{uri} holds `{file}`, which is no part of the artifact of this address; remove it: nothing but the artifact may \
         lie there"
    )]
    Foreign { uri: String, file: String },
    /// A file that is gone again.
    #[error("{uri} lacks `{file}` right after it was written; something else removes files there")]
    Gone { uri: String, file: String },
    /// A claim that may not be written to.
    #[error(
        "{uri} cannot be written: {cause}. A store wants a claim that can be mounted for writing (ReadWriteMany, or \
         ReadWriteOnce on a single node) and whose files the group 65532 may write"
    )]
    ReadOnly {
        uri: String,
        /// What the file system says.
        cause: io::Error,
    },
    /// A claim without room.
    #[error("{uri} cannot be written: {cause}. Enlarge the claim, or remove what it holds besides models")]
    Full {
        uri: String,
        /// What the file system says.
        cause: io::Error,
    },
    /// A folder of the store that is something else.
    #[error(
        "{uri} cannot be written: `{part}` in the claim is a file or a symbolic link, and a folder was expected"
    )]
    NoFolder { uri: String, part: String },
    #[error("{path} cannot be written or read: {source}")]
    Io { path: PathBuf, source: io::Error },
}

impl FolderError {
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Bucket(error) => error.reason(),
            Self::Credentials(error) => error.reason(),
            Self::DigestMismatch { .. } => "DigestMismatch",
            Self::Foreign { .. } | Self::ReadOnly { .. } | Self::NoFolder { .. } => "StoreRefused",
            Self::Gone { .. } | Self::Full { .. } | Self::Io { .. } => "StoreFailed",
        }
    }

    /// Whether the same publishing may work later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Bucket(error) => error.is_transient(),
            Self::Gone { .. } | Self::Full { .. } | Self::Io { .. } => true,
            _ => false,
        }
    }

    /// Whether it may pass by itself, within minutes. Nobody makes room that soon, and everybody should hear of it.
    pub fn is_brief(&self) -> bool {
        self.is_transient() && !matches!(self, Self::Full { .. })
    }
}

impl Failure for FolderError {
    fn may_pass(&self) -> bool {
        self.is_brief()
    }
}
