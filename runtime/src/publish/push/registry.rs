//! A registry as the store: blobs, then the manifest, then both are read back.

use std::{fs, path::Path};

use sha2::{Digest, Sha256};

use super::{super::pack::Packed, Stored, Task};
use crate::{
    network::hex,
    publish::PublishError,
    store::{Access, Reference, Registry, RegistryError},
};

/// Pushes an artifact, and gives its address by digest.
pub async fn push(repository: &Reference, task: &Task<'_>) -> Result<Stored, PublishError> {
    let Task { folder, packed, .. } = task;
    let access = Access {
        secret: task.secret,
        plain_http: task.plain_http,
        policy: task.policy,
        timeouts: task.options.timeouts,
    };
    let registry = Registry::new(repository.clone(), access)?;
    let config_file = folder.join("config.json");
    fs::write(&config_file, &packed.config).map_err(PublishError::io(&config_file))?;
    task.retry.run(|| push_all(&registry, folder, &config_file, packed), RegistryError::is_transient).await?;
    Ok(Stored { uri: repository.at_digest(&packed.sha256).to_string(), sha256: packed.sha256.clone() })
}

async fn push_all(
    registry: &Registry,
    folder: &Path,
    config_file: &Path,
    packed: &Packed,
) -> Result<(), RegistryError> {
    for (path, file) in &packed.files {
        let digest = format!("sha256:{}", file.sha256);
        registry.push_blob(&folder.join("files").join(path), &digest, file.size_bytes).await?;
    }
    let config_digest = format!("sha256:{}", packed.config_sha256);
    registry.push_blob(config_file, &config_digest, packed.config.len() as u64).await?;
    registry.push_manifest(&packed.tag(), &packed.manifest).await?;
    // By tag, so that what is compared went through the registry's own index.
    let stored = registry.manifest(&packed.tag()).await?;
    if stored != packed.manifest {
        return Err(RegistryError::DigestMismatch {
            uri: packed.tag(),
            what: "the manifest that was just written".to_owned(),
            expected: packed.sha256.clone(),
            actual: hex(&Sha256::digest(&stored)),
        });
    }
    registry.manifest(&format!("sha256:{}", packed.sha256)).await?;
    Ok(())
}
