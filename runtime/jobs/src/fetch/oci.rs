//! `oci://`: the files of an artifact. In goes an address; staged files come out, each checked against the manifest,
//! and the manifest's own digest.

use futures::TryStreamExt;
use modelwright_contract::fetch::FetchKind;
use sha2::{Digest, Sha256};

use super::{
    error::FetchError,
    staging::{MAX_FILES, Staging},
};
use crate::store::{
    Access, Reference, Registry, RegistryError,
    manifest::{self, Descriptor, Manifest},
};
use modelwright_core::digest::hex;

pub struct Wanted<'a> {
    pub reference: &'a Reference,
    /// What it is to be, for messages.
    pub kind: FetchKind,
    /// The digest that its manifest must have.
    pub expected: Option<&'a str>,
}

/// Fetches every layer that names a file; gives the digest of what the address names, which was compared with `expected`
/// before the first layer.
pub async fn fetch(
    Wanted { reference, kind, expected }: Wanted<'_>,
    access: Access<'_>,
    staging: &mut Staging,
) -> Result<String, FetchError> {
    let uri = reference.to_string();
    let registry = Registry::new(reference.clone(), access)?;
    let mut bytes = registry.manifest(&reference.manifest_name()).await?;
    let digest = hex(&Sha256::digest(&bytes));
    if let Some(expected) = expected.filter(|expected| *expected != digest) {
        return Err(FetchError::DigestMismatch { uri, expected: expected.to_owned(), actual: digest });
    }
    if let Some(only) = manifest::only_of_index(&bytes, &uri)? {
        bytes = registry.manifest(&only).await?;
    }
    let layers = named_layers(&bytes, kind, &uri)?;
    let total = layers.iter().fold(0_u64, |sum, (_, layer)| sum.saturating_add(layer.size));
    staging.expect_bytes(total)?;
    for (path, layer) in &layers {
        let pieces = registry.blob(&layer.digest, path).pieces().map_err(FetchError::from);
        let written = staging.write(path, Some(layer.size), pieces).await?;
        if Some(written.sha256.as_str()) != layer.sha256() || written.size != layer.size {
            return Err(FetchError::Registry(RegistryError::DigestMismatch {
                uri: uri.clone(),
                what: format!("the layer {path}"),
                expected: format!("{} with {} bytes", layer.digest, layer.size),
                actual: format!("{} with {} bytes", written.sha256, written.size),
            }));
        }
    }
    Ok(digest)
}

/// The layers that are files, by path. Archives are left out: nothing is unpacked.
fn named_layers(bytes: &[u8], kind: FetchKind, uri: &str) -> Result<Vec<(String, Descriptor)>, FetchError> {
    let invalid = |why: String| RegistryError::InvalidManifest { uri: uri.to_owned(), why };
    let manifest: Manifest = serde_json::from_slice(bytes)
        .map_err(|error| invalid(format!("its manifest cannot be read ({error})")))?;
    if manifest.layers.len() > MAX_FILES {
        return Err(FetchError::TooManyFiles { uri: uri.to_owned(), limit: MAX_FILES });
    }
    let mut layers = Vec::new();
    let mut archives = 0;
    for layer in manifest.layers {
        if layer.sha256().is_none() {
            return Err(invalid(format!(
                "it has a layer with the digest {:?}, and sha256 was expected",
                layer.digest
            ))
            .into());
        }
        if layer.is_archive() {
            archives += 1;
        } else if let Some(path) = layer.path() {
            layers.push((path.to_owned(), layer));
        }
    }
    if layers.is_empty() {
        let why = match archives {
            0 => "none of its layers names a file (annotations org.cncf.model.filepath or \
                  org.opencontainers.image.title)"
                .to_owned(),
            count => {
                format!("its {count} layers are archives, which are not unpacked; push the files themselves")
            }
        };
        return Err(FetchError::nothing(kind, uri, why));
    }
    Ok(layers)
}
