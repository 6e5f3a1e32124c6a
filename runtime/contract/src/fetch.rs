//! What the `fetch` container is told.

use serde::{Deserialize, Serialize};

use crate::training::RunConfig;

/// Fetch one thing into one folder, and prove its digest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FetchConfig {
    /// Whether a user's source is imported, or a published artifact is fetched to be served.
    pub kind: FetchKind,
    /// `oci://`, `s3://`, `https://`, `http://` or `pvc://claim/path`. A trailing `/` on `s3` and `pvc` means every file
    /// below it.
    pub uri: String,
    /// The expected SHA-256, 64 lower-case hex digits: of the single file, of the OCI manifest, or, for several files,
    /// of the sorted list that [`crate::artifact::digest_line`] describes. Mandatory for [`FetchKind::Artifact`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The folder to fill; it appears complete or not at all.
    pub destination: String,
    /// Folder with the credentials, one file a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_directory: Option<String>,
    /// Name of the Secret in it, if the user named one; for messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret: Option<String>,
    /// Most bytes to accept, over all files.
    pub max_bytes: u64,
    /// Whether addresses in private ranges may be connected to. Link-local and loopback addresses never may.
    pub allow_private_networks: bool,
    /// Whether an `oci` host is spoken to by plain HTTP when no Secret says so (the bundled store).
    #[serde(default)]
    pub plain_http: bool,
    /// With [`FetchKind::Data`]: what is written to [`crate::training::RUN_FILE`] for `train`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Box<RunConfig>>,
    /// How long to wait for servers, where the usual times are too short.
    #[serde(default, skip_serializing_if = "Waits::are_usual")]
    pub waits: Waits,
    /// Where the claim of a `pvc` address is mounted; absent: [`crate::names::CLAIM_DIRECTORY`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim_directory: Option<String>,
    /// What else is needed, each in a folder of its own. With [`FetchKind::Data`], what else `train` is given, all there before
    /// `run` is; [`Self::max_bytes`] holds for all data together. With a model, the data that it is measured on. None of them
    /// has anything further.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further: Vec<FetchConfig>,
}

/// How long to wait for a server that may be slow. None of it bounds a whole transfer: one that moves goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Waits {
    /// Seconds for the next piece of a request to be taken, and for its answer to begin; 300 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_seconds: Option<u32>,
    /// Seconds for the next piece of an answer; 60 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_seconds: Option<u32>,
}

impl Waits {
    /// Whether nothing is said.
    pub fn are_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// What is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FetchKind {
    /// A user's source: any ONNX model, or an artifact that Modelwright made.
    Source,
    /// An artifact of the store, by digest.
    Artifact,
    /// Training data: any files, kept by the names that they have at the source.
    Data,
}
