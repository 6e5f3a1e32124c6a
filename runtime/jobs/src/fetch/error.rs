//! What can go wrong while fetching, for people: which URI, what was expected, what to do.

use std::{io, path::PathBuf};

use modelwright_contract::fetch::FetchKind;

use crate::{
    network::{Failure, NetworkError, credentials::CredentialsError},
    store::{BucketError, RegistryError},
};

/// A fetch that did not work out; nothing is left at its destination.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// A config that contradicts itself.
    #[error("`{field}` of the fetch is wrong: {why}; this is a fault of the operator, not of the spec")]
    InvalidConfig {
        field: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The URI is no source.
    #[error("{uri} is no source: {why}")]
    InvalidUri {
        /// As it was written, without secrets.
        uri: String,
        why: String,
    },
    /// An expected digest that is none.
    #[error("sha256 {value:?} is no digest: expected 64 lower-case hex digits")]
    InvalidDigest {
        /// As it was written.
        value: String,
    },
    /// An artifact of the store without a digest.
    #[error("{uri} is an artifact, and artifacts are fetched by digest only; sha256 is missing")]
    DigestMissing {
        /// As it was written.
        uri: String,
    },
    #[error(
        "{uri} has the SHA-256 {actual}, and {expected} was expected: the bytes are not those that were pinned; if \
         the change is meant, correct `sha256`, and otherwise find out who changed them"
    )]
    DigestMismatch { uri: String, expected: String, actual: String },
    #[error(
        "{uri} has {found}, and at most {limit} bytes are accepted; name something smaller, or one file \
         instead of a folder, or raise the Model's spec.run.volumeSize"
    )]
    TooLarge {
        uri: String,
        /// How much there is, as far as known.
        found: String,
        limit: u64,
    },
    #[error("{uri} has more than {limit} files; name a folder that holds only what is needed")]
    TooManyFiles { uri: String, limit: usize },
    /// A file name that would leave the folder, or cannot be a file name.
    #[error("{uri} holds a file named {path:?}, which is refused: {why}")]
    UnsafePath { uri: String, path: String, why: &'static str },
    /// A file that is something else, as can be seen.
    #[error("{uri} does not hold what was asked for in `{path}`: {why}")]
    NoFile {
        uri: String,
        path: String,
        /// What it is, and what to do.
        why: String,
    },
    #[error("{uri} holds no ONNX model: {why}")]
    NoModel { uri: String, why: String },
    #[error("{uri} holds no data: {why}; expected at least one file with something in it")]
    NoData { uri: String, why: String },
    #[error(
        "{uri} holds several ONNX models ({names}), and one was expected; name one file, or a folder with one"
    )]
    SeveralModels { uri: String, names: String },
    /// Nothing at a path of a claim or bucket.
    #[error("{uri}: nothing is there; check the path for a typing error{hint}")]
    NotFound {
        uri: String,
        /// What else to look at.
        hint: String,
    },
    /// No right to read it.
    #[error("{uri} may not be read: {why}")]
    Forbidden {
        uri: String,
        /// What the server or the file system says, and what to do.
        why: String,
    },
    /// The credentials are not accepted.
    #[error("{uri}: the store does not accept these credentials: {why}")]
    Unauthorized { uri: String, why: String },
    /// A path that leads out of the claim.
    #[error("{uri} leads out of its claim, by `..` or a symbolic link; name a path within it")]
    Escapes { uri: String },
    /// The object store refuses the request for another reason.
    #[error("{uri}: the object store refuses the request: {why}")]
    ObjectStore { uri: String, why: String },
    /// The object store does not answer.
    #[error("{uri}: the object store cannot be reached: {why}")]
    ObjectStoreUnreachable { uri: String, why: String },
    #[error("{path} cannot be written or read: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Network(#[from] NetworkError),
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

impl FetchError {
    pub fn reason(&self) -> &'static str {
        match self {
            Self::InvalidConfig { .. } => "InvalidConfig",
            Self::InvalidUri { .. } => "InvalidUri",
            Self::InvalidDigest { .. } | Self::DigestMissing { .. } => "InvalidDigest",
            Self::DigestMismatch { .. } => "DigestMismatch",
            Self::TooLarge { .. } => "TooLarge",
            Self::TooManyFiles { .. } => "TooManyFiles",
            Self::UnsafePath { .. } => "UnsafePath",
            Self::NoFile { .. } => "NoContent",
            Self::NoModel { .. } => "NoModel",
            Self::NoData { .. } => "NoData",
            Self::SeveralModels { .. } => "SeveralModels",
            Self::NotFound { .. } => "NotFound",
            Self::Forbidden { .. } | Self::Escapes { .. } => "Forbidden",
            Self::Unauthorized { .. } => "Unauthorized",
            Self::ObjectStore { .. } => "StoreRefused",
            Self::ObjectStoreUnreachable { .. } => "Unreachable",
            Self::Io { .. } => "DiskFailed",
            Self::Network(error) => error.reason(),
            Self::Credentials(error) => error.reason(),
            Self::Registry(error) => error.reason(),
        }
    }

    /// Whether the same fetch may work later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::ObjectStoreUnreachable { .. } | Self::Io { .. } => true,
            Self::Network(error) => error.is_transient(),
            Self::Registry(error) => error.is_transient(),
            _ => false,
        }
    }

    /// A source without a file that could be what was asked for.
    pub(super) fn nothing(kind: FetchKind, uri: &str, why: String) -> Self {
        let uri = uri.to_owned();
        match kind {
            FetchKind::Data => Self::NoData { uri, why },
            FetchKind::Source | FetchKind::Artifact => Self::NoModel { uri, why },
        }
    }

    /// An object store without anything at an address.
    pub(super) fn not_in_store(uri: &str, place: &str) -> Self {
        let escaped = if uri.contains('%') {
            "; a key is taken as it is written, so write a space as a space"
        } else {
            ""
        };
        Self::NotFound {
            uri: uri.to_owned(),
            hint: format!(" (asked at {place}; a prefix wants a trailing `/`{escaped})"),
        }
    }

    pub(super) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}

impl Failure for FetchError {
    fn may_pass(&self) -> bool {
        self.is_transient()
    }
}

impl From<BucketError> for FetchError {
    fn from(error: BucketError) -> Self {
        match error {
            BucketError::InvalidAddress { uri, why } => Self::InvalidUri { uri, why },
            BucketError::BucketMissing { uri, host, .. } | BucketError::NotFound { uri, host, .. } => {
                Self::not_in_store(&uri, &host)
            }
            BucketError::Unauthorized { uri, why } => Self::Unauthorized { uri, why },
            BucketError::Forbidden { uri, why } => Self::Forbidden { uri, why },
            BucketError::Unreachable { uri, why } => Self::ObjectStoreUnreachable { uri, why },
            BucketError::Io { path, source } => Self::Io { path, source },
            BucketError::Network(error) => error.into(),
            BucketError::Credentials(error) => error.into(),
            BucketError::Refused { uri, why } => Self::ObjectStore { uri, why },
        }
    }
}
