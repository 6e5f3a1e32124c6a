//! What a manifest says, in the words of the OCI image specification and of CNCF ModelPack.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::error::RegistryError;

/// Media type of an OCI manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Media type that Docker gave the same thing.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Media type of a list of manifests.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Media type that Docker gave the same thing.
pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Artifact type of a model.
pub const MODEL_ARTIFACT: &str = "application/vnd.cncf.model.manifest.v1+json";
/// Media type of a model's configuration.
pub const MODEL_CONFIG: &str = "application/vnd.cncf.model.config.v1+json";
/// Media type of a file with weights, as it is.
pub const WEIGHT: &str = "application/vnd.cncf.model.weight.v1.raw";
/// Media type of a file about the model, as it is.
pub const DOCUMENT: &str = "application/vnd.cncf.model.doc.v1.raw";
/// Annotation of a layer with its path in the model's folder.
pub const FILE_PATH: &str = "org.cncf.model.filepath";
/// Annotation of a layer with its file name, as `oras` writes and reads it.
pub const TITLE: &str = "org.opencontainers.image.title";
/// Annotation of a manifest with the model digest.
pub const MODEL_DIGEST: &str = "dev.modelwright.model-digest";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    pub schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// [`MODEL_ARTIFACT`] for a model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    pub config: Descriptor,
    pub layers: Vec<Descriptor>,
    /// What else there is to say.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    pub media_type: String,
    /// `sha256:` and 64 hex digits.
    pub digest: String,
    pub size: u64,
    /// What else there is to say.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Descriptor {
    /// Its path in the model's folder, if it says one.
    pub fn path(&self) -> Option<&str> {
        self.annotations.get(FILE_PATH).or_else(|| self.annotations.get(TITLE)).map(String::as_str)
    }

    /// Its digest in hex, if it is a SHA-256.
    pub fn sha256(&self) -> Option<&str> {
        self.digest.strip_prefix("sha256:").filter(|hex| super::reference::is_sha256(hex))
    }

    /// Whether it is a packed archive instead of a file.
    pub fn is_archive(&self) -> bool {
        self.media_type.contains("tar")
            || self.media_type.ends_with("+gzip")
            || self.media_type.ends_with("+zstd")
    }
}

/// The configuration blob of a model.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelConfig {
    /// Empty: it has no name or time of its own, so that equal bytes give equal artifacts.
    pub descriptor: BTreeMap<String, String>,
    pub config: ModelFormat,
    pub modelfs: ModelFiles,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelFormat {
    pub format: String,
}

/// The digests of a model's files.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelFiles {
    #[serde(rename = "type")]
    pub kind: String,
    /// `sha256:…` of each unpacked layer, in order.
    pub diff_ids: Vec<String>,
}

/// A list of manifests, as far as it is read.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    media_type: Option<String>,
    manifests: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    digest: String,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    platform: Option<Platform>,
}

#[derive(Debug, Deserialize)]
struct Platform {
    architecture: String,
    os: String,
}

impl Entry {
    /// Whether it only says something about another one, as build tools add: it is for no platform.
    fn is_attestation(&self) -> bool {
        self.annotations.contains_key("vnd.docker.reference.digest")
            || self
                .platform
                .as_ref()
                .is_some_and(|platform| platform.os == "unknown" && platform.architecture == "unknown")
    }
}

/// The digest of the manifest that an index is about; none if it is no index.
pub fn only_of_index(bytes: &[u8], uri: &str) -> Result<Option<String>, RegistryError> {
    let Ok(index) = serde_json::from_slice::<Index>(bytes) else { return Ok(None) };
    let invalid = |why: String| RegistryError::InvalidManifest { uri: uri.to_owned(), why };
    if index.media_type.is_some_and(|media_type| media_type != INDEX && media_type != DOCKER_INDEX) {
        return Ok(None);
    }
    let manifests: Vec<_> = index.manifests.iter().filter(|entry| !entry.is_attestation()).collect();
    match manifests.as_slice() {
        [only] => {
            let hex = only.digest.strip_prefix("sha256:").filter(|hex| super::reference::is_sha256(hex));
            let hex = hex
                .ok_or_else(|| invalid(format!("its index names {:?}, which is no SHA-256", only.digest)))?;
            Ok(Some(format!("sha256:{hex}")))
        }
        [] => Err(invalid("it is an index without any manifest of a model".to_owned())),
        several => {
            let digests: Vec<_> = several.iter().take(5).map(|entry| entry.digest.as_str()).collect();
            Err(invalid(format!(
                "it is an index of {} manifests ({}), and one was expected; name one of them by its digest",
                several.len(),
                digests.join(", ")
            )))
        }
    }
}
