//! Writes an artifact to the store and reads it back. In goes a packed folder; out comes the artifact's address. A store
//! that does not answer is tried again for as long as the config says; what it already has is not sent twice.
//!
//! [`registry`] makes an OCI artifact. [`bucket`] and [`claim`] keep the same files in a folder that is named after the
//! digest of all of them, so that whoever fetches it by that digest cannot take a part for the whole; and `model.onnx`
//! comes last, so that without any digest a part is no model.

mod bucket;
mod claim;
mod registry;
pub mod run;

use std::{path::Path, time::Duration};

use modelwright_contract::{
    artifact::MODEL_FILE,
    publish::{PublishConfig, Store},
};

use super::{PublishOptions, error::PublishError};
use crate::{
    fetch::Source,
    network::{
        RetryPolicy,
        address::AddressPolicy,
        credentials::{CredentialsError, Secret},
    },
    store::{Reference, pack::Packed},
};
use modelwright_core::digest::FileDigest;

/// How messages call the Secret of the store.
const SECRET: &str = "the store's Secret (modelwright-store)";
/// How they call the token for the chart's own store.
const TOKEN: &str = "the pod's token for the store";

/// Where a config's artifacts go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A repository of a registry.
    Registry(Reference),
    /// A prefix of an object store's bucket.
    Bucket {
        uri: String,
        bucket: String,
        /// The prefix, of this Model.
        prefix: String,
    },
    /// A folder of a mounted claim.
    Claim {
        uri: String,
        /// The folder within the claim, of this Model.
        folder: String,
    },
}

/// Where an artifact is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub uri: String,
    /// What it is fetched by: the digest of the manifest, or of the list of all files.
    pub sha256: String,
}

/// What is written, and how.
struct Task<'a> {
    folder: &'a Path,
    packed: &'a Packed,
    options: &'a PublishOptions,
    secret: Option<&'a Secret>,
    plain_http: bool,
    policy: AddressPolicy,
    retry: RetryPolicy,
    /// Where a registry is written to, if that is elsewhere than it is read.
    host: Option<&'a str>,
}

impl Task<'_> {
    /// The files with their digests, `model.onnx` last.
    fn files(&self) -> impl Iterator<Item = (&String, &FileDigest)> {
        let files = &self.packed.files;
        let others = files.iter().filter(|(path, _)| *path != MODEL_FILE);
        others.chain(files.get_key_value(MODEL_FILE))
    }

    /// Where a file lies that is written.
    fn path(&self, file: &str) -> std::path::PathBuf {
        self.folder.join("files").join(file)
    }
}

impl Destination {
    /// Reads the store's address.
    pub fn parse(config: &PublishConfig) -> Result<Self, PublishError> {
        let store = &config.store.uri;
        let invalid = |why: &str| PublishError::InvalidStore { uri: store.clone(), why: why.to_owned() };
        let (scheme, rest) = store.split_once("://").ok_or_else(|| invalid("it has no scheme"))?;
        let rest = rest.trim_end_matches('/');
        if rest.contains(['@', '?', '#', '%']) {
            return Err(invalid("it has a digest, a query or an escaped character"));
        }
        let address = format!("{rest}/{}/{}", config.namespace, config.model);
        if scheme == "oci" {
            if address.matches(':').count() > 1 {
                return Err(invalid("it has a tag"));
            }
            return Reference::parse(&address).map(Self::Registry).map_err(|why| invalid(&why));
        }
        if matches!(scheme, "s3" | "pvc") && !rest.contains('/') {
            return Err(invalid("it has no prefix"));
        }
        if rest.split('/').any(str::is_empty) || rest.contains(char::is_whitespace) {
            return Err(invalid("it has an empty part or a space"));
        }
        let uri = format!("{scheme}://{address}");
        match Source::parse(&format!("{uri}/")) {
            Ok(Source::S3 { bucket, key, .. }) => Ok(Self::Bucket { uri, bucket, prefix: key }),
            Ok(Source::Claim { path, .. }) => Ok(Self::Claim { uri, folder: path }),
            Ok(Source::Oci(_) | Source::Http(_)) => Err(invalid("its scheme is another one")),
            Err(error) => Err(invalid(&error.to_string())),
        }
    }
}

/// By what the store is written to.
fn secret(store: &Store) -> Result<Option<Secret>, CredentialsError> {
    match &store.push {
        Some(push) => Ok(Some(Secret::of_token(&push.host, Path::new(&push.token_file), TOKEN))),
        None => Secret::read(store.credentials_directory.as_deref(), SECRET),
    }
}

/// Where a repository is written to.
fn written(repository: &Reference, host: Option<&str>) -> Result<Reference, PublishError> {
    let Some(host) = host else { return Ok(repository.clone()) };
    let invalid = |why| PublishError::InvalidConfig { field: "store.push.host", why };
    repository.at_host(host).map_err(invalid)
}

/// Pushes an artifact, and gives its address by digest.
pub async fn push(
    config: &PublishConfig,
    destination: &Destination,
    options: &PublishOptions,
    folder: &Path,
    packed: &Packed,
) -> Result<Stored, PublishError> {
    let secret = secret(&config.store)?;
    let task = Task {
        folder,
        packed,
        options,
        secret: secret.as_ref(),
        plain_http: config.store.plain_http,
        // Whoever installed Modelwright chose the store, and it is in their own network as a rule.
        policy: AddressPolicy { allow_private: true, allow_loopback: options.allow_loopback },
        retry: RetryPolicy::for_duration(Duration::from_secs(config.store_retry_seconds.into())),
        host: config.store.push.as_ref().map(|push| push.host.as_str()),
    };
    match destination {
        Destination::Registry(repository) => registry::push(repository, &task).await,
        Destination::Bucket { uri, bucket, prefix } => Ok(bucket::push([uri, bucket, prefix], &task).await?),
        Destination::Claim { uri, folder } => Ok(claim::push(uri, folder, &task).await?),
    }
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
            proof: None,
            recall: None,
            keep_evaluation: false,
            directory: String::new(),
            store: Store { uri: uri.to_owned(), plain_http: false, credentials_directory: None, push: None },
            golden_samples: 1,
            golden_seed: 1,
            store_retry_seconds: 1,
            judgement: None,
            evaluation: None,
            variants: Vec::new(),
            tolerate_crash_inputs: Vec::new(),
            waits: modelwright_contract::fetch::Waits::default(),
        };
        let destination = Destination::parse(&config).map_err(|error| error.reason())?;
        Ok(match destination {
            Destination::Registry(reference) => reference.to_string(),
            Destination::Bucket { uri, .. } | Destination::Claim { uri, .. } => uri,
        })
    }

    #[test]
    fn namespace_and_model_are_part_of_the_address() {
        assert_eq!(address("oci://store:5000/models").unwrap(), "oci://store:5000/models/team/digits");
        assert_eq!(address("oci://store/a/b/").unwrap(), "oci://store/a/b/team/digits");
        assert_eq!(address("oci://store").unwrap(), "oci://store/team/digits");
        assert_eq!(address("s3://bucket/models/").unwrap(), "s3://bucket/models/team/digits");
        assert_eq!(address("pvc://claim/a/b").unwrap(), "pvc://claim/a/b/team/digits");
    }

    #[test]
    fn what_is_no_store_is_refused() {
        for uri in [
            "",
            "https://store/models",
            "oci://",
            "oci://store/models:v1",
            "oci://store/models@sha256:00",
            "s3://bucket",
            "s3://bucket/",
            "s3://UPPER/models",
            "s3://bucket/../models",
            "s3://bucket/a//models",
            "s3://bucket/my models",
            "s3://bucket/models?x",
            "pvc://claim",
            "pvc:///models",
            "pvc://claim/../models",
            "pvc://claim/a//b",
        ] {
            assert_eq!(address(uri), Err("InvalidStore"), "{uri}");
        }
    }
}
