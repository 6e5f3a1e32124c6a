//! Writes an artifact to the store and reads it back. In goes a packed folder; out comes the artifact's address. A store
//! that does not answer is tried again for as long as the config says; what it already has is not sent twice.

use std::{fs, path::Path, time::Duration};

use modelwright_contract::publish::PublishConfig;
use sha2::{Digest, Sha256};

use super::{PublishOptions, error::PublishError, pack::Packed};
use crate::{
    network::{RetryPolicy, address::AddressPolicy, credentials::Secret, hex},
    store::{Access, Reference, Registry, RegistryError},
};

/// Where a config's artifacts go.
pub fn repository(config: &PublishConfig) -> Result<Reference, PublishError> {
    let invalid =
        |why: &str| PublishError::InvalidStore { uri: config.store.uri.clone(), why: why.to_owned() };
    let rest = config.store.uri.strip_prefix("oci://").ok_or_else(|| invalid("its scheme is another one"))?;
    let address = format!("{}/{}/{}", rest.trim_end_matches('/'), config.namespace, config.model);
    if rest.contains(['@', '?', '#']) || address.matches(':').count() > 1 {
        return Err(invalid("it has a tag, a digest or a query"));
    }
    Reference::parse(&address).map_err(|why| invalid(&why))
}

/// Pushes an artifact, and gives its address by digest.
pub async fn push(
    config: &PublishConfig,
    options: &PublishOptions,
    folder: &Path,
    packed: &Packed,
) -> Result<Reference, PublishError> {
    let repository = repository(config)?;
    let secret = Secret::read(
        config.store.credentials_directory.as_deref(),
        "the store's Secret (modelwright-store)",
    )?;
    // Whoever installed Modelwright chose the store, and it is in their own network as a rule.
    let policy = AddressPolicy { allow_private: true, allow_loopback: options.allow_loopback };
    let access = Access {
        secret: secret.as_ref(),
        plain_http: config.store.plain_http,
        policy,
        timeouts: options.timeouts,
    };
    let registry = Registry::new(repository.clone(), access)?;
    let config_file = folder.join("config.json");
    fs::write(&config_file, &packed.config).map_err(PublishError::io(&config_file))?;
    let retry = RetryPolicy::for_duration(Duration::from_secs(config.store_retry_seconds.into()));
    retry.run(|| push_all(&registry, folder, &config_file, packed), RegistryError::is_transient).await?;
    Ok(repository.at_digest(&packed.sha256))
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use modelwright_contract::publish::Store;

    use super::*;

    fn address(uri: &str) -> Result<String, &'static str> {
        let config = PublishConfig {
            namespace: "team".to_owned(),
            model: "digits".to_owned(),
            directory: String::new(),
            store: Store { uri: uri.to_owned(), plain_http: false, credentials_directory: None },
            golden_samples: 1,
            golden_seed: 1,
            store_retry_seconds: 1,
            judgement: None,
        };
        repository(&config).map(|reference| reference.to_string()).map_err(|error| error.reason())
    }

    #[test]
    fn namespace_and_model_are_part_of_the_address() {
        assert_eq!(address("oci://store:5000/models").unwrap(), "oci://store:5000/models/team/digits");
        assert_eq!(address("oci://store/a/b/").unwrap(), "oci://store/a/b/team/digits");
        assert_eq!(address("oci://store").unwrap(), "oci://store/team/digits");
    }

    #[test]
    fn what_is_no_store_is_refused() {
        for uri in
            ["", "https://store/models", "oci://", "oci://store/models:v1", "oci://store/models@sha256:00"]
        {
            assert_eq!(address(uri), Err("InvalidStore"), "{uri}");
        }
    }
}
