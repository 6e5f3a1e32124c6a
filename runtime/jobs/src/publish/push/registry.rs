//! A registry as the store: blobs, each of which is read back, then the manifest, which is read back too.

use std::{fs, path::Path};

use sha2::{Digest, Sha256};

use super::task::{Stored, Task, written};
use crate::{
    network::RetryPolicy,
    publish::error::PublishError,
    store::{Access, Reference, Registry, RegistryError, pack::Packed},
};
use modelwright_core::digest::hex;

/// Pushes an artifact, and gives its address by digest.
pub async fn push(repository: &Reference, task: &Task<'_>) -> Result<Stored, PublishError> {
    let Task { folder, packed, .. } = task;
    let access = Access {
        secret: task.secret,
        plain_http: task.plain_http,
        policy: task.policy,
        timeouts: task.options.timeouts,
        retry: task.retry,
        chunk: task.options.chunk,
    };
    let registry = Registry::new(written(repository, task.host)?, access)?;
    // Not in the folder, where others may have laid out what a name leads to.
    let own = tempfile::tempdir().map_err(PublishError::io(std::env::temp_dir()))?;
    let config_file = own.path().join("config.json");
    fs::write(&config_file, &packed.config).map_err(PublishError::io(&config_file))?;
    for (path, file) in &packed.files {
        let blob =
            Blob { path: &folder.join("files").join(path), sha256: &file.sha256, size: file.size_bytes };
        push_blob(&registry, blob, path, task.retry).await?;
    }
    let size = packed.config.len() as u64;
    let config = Blob { path: &config_file, sha256: &packed.config_sha256, size };
    push_blob(&registry, config, "the configuration", task.retry).await?;
    push_manifest(&registry, packed, task.retry).await?;
    Ok(Stored { uri: repository.at_digest(&packed.sha256).to_string(), sha256: packed.sha256.clone() })
}

struct Blob<'a> {
    path: &'a Path,
    sha256: &'a str,
    size: u64,
}

/// Writes a blob and reads it back: what no manifest names yet, nobody takes for stored.
async fn push_blob(
    registry: &Registry,
    blob: Blob<'_>,
    what: &str,
    retry: RetryPolicy,
) -> Result<(), RegistryError> {
    let digest = format!("sha256:{}", blob.sha256);
    let sent = registry.push_blob(blob.path, &digest, blob.size).await?;
    // What the network does is tried again within; here, only a blob that takes its time to appear.
    let prove = || async {
        match registry.prove_blob(&digest, what, sent).await {
            Err(lost @ RegistryError::BlobLost { .. }) => Err(lost),
            outcome => Ok(outcome),
        }
    };
    retry.run(prove).await?
}

/// Writes the manifest and reads it back.
async fn push_manifest(
    registry: &Registry,
    packed: &Packed,
    retry: RetryPolicy,
) -> Result<(), RegistryError> {
    registry.push_manifest(&packed.tag(), &packed.manifest).await?;
    // By tag, so that what is compared went through the registry's own index.
    for name in [packed.tag(), format!("sha256:{}", packed.sha256)] {
        // As with a blob: one that spreads what it is sent may not have it yet at the place that is asked.
        let read = || async {
            match registry.manifest(&name).await {
                Err(RegistryError::Network(error)) if error.is_unknown() => {
                    Err(registry.lost("the manifest", true, &error))
                }
                outcome => Ok(outcome),
            }
        };
        let stored = retry.run(read).await??;
        if stored != packed.manifest {
            return Err(RegistryError::DigestMismatch {
                uri: name,
                what: "the manifest that was just written".to_owned(),
                expected: packed.sha256.clone(),
                actual: hex(&Sha256::digest(&stored)),
            });
        }
    }
    Ok(())
}
