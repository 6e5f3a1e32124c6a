//! What is written to a store, and where. In goes a config; out come a store's address and the Secret for it.

use std::path::Path;

use modelwright_contract::{
    artifact::MODEL_FILE,
    publish::{PublishConfig, Store},
};

use crate::{
    fetch::Source,
    network::{
        RetryPolicy,
        address::AddressPolicy,
        credentials::{CredentialsError, Secret},
    },
    publish::{error::PublishError, options::PublishOptions},
    store::{Reference, pack::Packed},
};
use modelwright_core::digest::FileDigest;

/// How messages call the Secret of the store.
pub const SECRET: &str = "the store's Secret (modelwright-store)";
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

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub uri: String,
    /// What it is fetched by: the digest of the manifest, or of the list of all files.
    pub sha256: String,
}

/// What is written, and how.
pub struct Task<'a> {
    pub folder: &'a Path,
    pub packed: &'a Packed,
    pub options: &'a PublishOptions,
    pub secret: Option<&'a Secret>,
    pub plain_http: bool,
    pub policy: AddressPolicy,
    pub retry: RetryPolicy,
    /// Where a registry is written to, if that is elsewhere than it is read.
    pub host: Option<&'a str>,
}

impl Task<'_> {
    /// The files with their digests, `model.onnx` last.
    pub fn files(&self) -> impl Iterator<Item = (&String, &FileDigest)> {
        let files = &self.packed.files;
        let others = files.iter().filter(|(path, _)| *path != MODEL_FILE);
        others.chain(files.get_key_value(MODEL_FILE))
    }

    /// Where a file lies that is written.
    pub fn path(&self, file: &str) -> std::path::PathBuf {
        self.folder.join("files").join(file)
    }
}

impl Destination {
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
pub fn secret(store: &Store) -> Result<Option<Secret>, CredentialsError> {
    match &store.push {
        Some(push) => Ok(Some(Secret::of_token(&push.host, Path::new(&push.token_file), TOKEN))),
        None => Secret::read(store.credentials_directory.as_deref(), SECRET),
    }
}

/// Where a repository is written to.
pub fn written(repository: &Reference, host: Option<&str>) -> Result<Reference, PublishError> {
    let Some(host) = host else { return Ok(repository.clone()) };
    let invalid = |why| PublishError::InvalidConfig { field: "store.push.host", why };
    repository.at_host(host).map_err(invalid)
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
