//! One bucket of AWS or of any store that speaks S3: lists, reads and writes objects. The requests go through the
//! guarded client of [`crate::network`], so that the check of addresses holds for an object store as for a web server;
//! redirects are not followed, and nothing is retried here.

mod connector;
mod error;

use std::{fs::File, io::Read, sync::Arc, time::Duration};

use futures::{Stream, StreamExt, TryStreamExt};
use object_store::{
    MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder},
    path::Path,
};
use sha2::{Digest, Sha256};
use url::Url;

pub use error::BucketError;

use self::connector::{Connector, Observed};
use crate::network::{
    NetworkError, Timeouts, address::AddressPolicy, chain, client::Client, credentials::Secret, hex,
};

/// Where AWS is without a Secret.
const DEFAULT_REGION: &str = "us-east-1";
/// Larger files are sent in parts of this size. S3 takes 5 MiB to 5 GiB a part, and 10,000 parts.
const PART: u64 = 8 * 1024 * 1024;

/// How to speak to an object store.
#[derive(Clone, Copy)]
pub struct BucketAccess<'a> {
    /// Credentials, and where the store is; without them, AWS without a signature.
    pub secret: Option<&'a Secret>,
    /// Which addresses may be connected to.
    pub policy: AddressPolicy,
    /// How long to wait.
    pub timeouts: Timeouts,
}

/// One bucket.
pub struct Bucket {
    store: AmazonS3,
    observed: Arc<Observed>,
    name: String,
    uri: String,
    endpoint: Url,
    secret: String,
}

impl Bucket {
    /// Prepares to speak to a bucket; sends nothing yet. `uri` is for messages.
    pub fn open(name: &str, uri: &str, access: BucketAccess<'_>) -> Result<Self, BucketError> {
        let secret = access.secret;
        let (endpoint, region) = endpoint(secret)?;
        let client = Client::new(access.policy, access.timeouts, secret.and_then(Secret::ca_certificate))?;
        client.check(&endpoint)?;
        let observed = Arc::new(Observed::default());
        let connector = Connector { client, observed: observed.clone() };
        let store = build(name, &endpoint, &region, secret, connector)
            .map_err(|error| BucketError::InvalidAddress { uri: uri.to_owned(), why: chain(&error) })?;
        let secret = secret.map_or_else(|| "a Secret".to_owned(), |secret| secret.label().to_owned());
        Ok(Self { store, observed, name: name.to_owned(), uri: uri.to_owned(), endpoint, secret })
    }

    /// An object's key.
    pub fn key(&self, text: &str) -> Result<Path, BucketError> {
        Path::parse(text)
            .map_err(|error| BucketError::InvalidAddress { uri: self.uri.clone(), why: error.to_string() })
    }

    /// Where the store is.
    pub fn host(&self) -> &str {
        self.endpoint.host_str().unwrap_or_default()
    }

    /// Objects below a prefix with their sizes, in the order of keys, and no more than one over `limit`.
    pub async fn list(&self, prefix: &Path, limit: usize) -> Result<Vec<(Path, u64)>, BucketError> {
        let prefix = (!prefix.as_ref().is_empty()).then_some(prefix);
        let mut keys = Vec::new();
        let mut listing = self.store.list(prefix);
        while let Some(object) = listing.try_next().await.map_err(|error| self.sort(&error, None))? {
            // Consoles make an empty object for a folder; its key is the folder's.
            if object.size == 0 && prefix.is_some_and(|prefix| object.location == *prefix) {
                continue;
            }
            keys.push((object.location, object.size));
            if keys.len() > limit {
                break;
            }
        }
        keys.sort();
        Ok(keys)
    }

    /// Starts to read an object: its size, and its bytes.
    pub async fn get(
        &self,
        key: &Path,
    ) -> Result<(u64, impl Stream<Item = Result<bytes::Bytes, BucketError>> + Unpin), BucketError> {
        let object = self.store.get(key).await.map_err(|error| self.sort(&error, Some(key)))?;
        let size = object.meta.size;
        // The status before a body that breaks off was a success.
        let content = object.into_stream().map(|chunk| {
            chunk.map_err(|error| BucketError::Unreachable { uri: self.uri.clone(), why: short(&error) })
        });
        Ok((size, Box::pin(content)))
    }

    /// Reads an object whole for its SHA-256, in hex.
    pub async fn sha256(&self, key: &Path) -> Result<String, BucketError> {
        let (_, mut content) = self.get(key).await?;
        let mut hash = Sha256::new();
        while let Some(chunk) = content.next().await {
            hash.update(&chunk?);
        }
        Ok(hex(&hash.finalize()))
    }

    /// Writes a file to an object, which appears whole or not at all.
    pub async fn put(&self, key: &Path, path: &std::path::Path) -> Result<(), BucketError> {
        let io = |source| BucketError::Io { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(io)?;
        let size = file.metadata().map_err(io)?.len();
        if size <= PART {
            let content = next_part(&mut file).map_err(io)?;
            return self.store.put(key, content).await.map(drop).map_err(|error| self.sort(&error, None));
        }
        let mut upload = self.store.put_multipart(key).await.map_err(|error| self.sort(&error, None))?;
        match self.put_parts(&mut *upload, &mut file, size, path).await {
            Ok(()) => Ok(()),
            Err(error) => {
                // A store that does not take this either drops the parts by its own rules.
                let _ = upload.abort().await;
                Err(error)
            }
        }
    }

    async fn put_parts(
        &self,
        upload: &mut dyn MultipartUpload,
        file: &mut File,
        size: u64,
        path: &std::path::Path,
    ) -> Result<(), BucketError> {
        for _ in 0..size.div_ceil(PART) {
            let content =
                next_part(file).map_err(|source| BucketError::Io { path: path.to_owned(), source })?;
            upload.put_part(content).await.map_err(|error| self.sort(&error, None))?;
        }
        upload.complete().await.map(drop).map_err(|error| self.sort(&error, None))
    }

    /// What a failed request means: one for the object `key`, or one that any bucket answers.
    fn sort(&self, error: &object_store::Error, key: Option<&Path>) -> BucketError {
        let uri = self.uri.clone();
        if let Some(refused) = self.observed.refused(error) {
            return NetworkError::AddressRefused { url: self.endpoint.to_string(), refused }.into();
        }
        let host = self.host().to_owned();
        let why = format!("{host} says: {}", short(error));
        match (self.observed.status(), key) {
            (404, Some(key)) => BucketError::NotFound { uri, key: key.to_string(), host },
            (404, None) => BucketError::BucketMissing { uri, bucket: self.name.clone(), host },
            (401, _) => BucketError::Unauthorized { uri, why },
            (403, _) => BucketError::Forbidden {
                uri,
                why: format!(
                    "{why}; check the keys `accessKeyId` and `secretAccessKey` of {} and their rights (without the right \
                     to list a bucket, a missing object looks like this too)",
                    self.secret
                ),
            },
            (300..=399, _) => BucketError::Refused {
                uri,
                why: "it answers with a redirect, which is not followed; if the bucket is in another region, give a \
                      Secret with `host` and `region` of that region"
                    .to_owned(),
            },
            (status @ 400..=499, _) if status != 408 && status != 429 => BucketError::Refused { uri, why },
            _ if short(error).contains("certificate") => {
                NetworkError::Certificate { url: self.endpoint.to_string(), cause: short(error) }.into()
            }
            _ => BucketError::Unreachable { uri, why },
        }
    }
}

/// The endpoint's address and region.
fn endpoint(secret: Option<&Secret>) -> Result<(Url, String), BucketError> {
    let region =
        secret.and_then(|secret| secret.s3().region.clone()).unwrap_or_else(|| DEFAULT_REGION.to_owned());
    let aws = format!("s3.{region}.amazonaws.com");
    let text = match secret {
        None => format!("https://{aws}"),
        Some(secret) => {
            let (scheme, port) = if secret.plain_http() { ("http", 80) } else { ("https", 443) };
            format!("{scheme}://{}", secret.host_or(&aws, port)?.authority())
        }
    };
    let url = Url::parse(&text)
        .map_err(|error| BucketError::InvalidAddress { uri: text.clone(), why: error.to_string() })?;
    Ok((url, region))
}

fn build(
    bucket: &str,
    endpoint: &Url,
    region: &str,
    secret: Option<&Secret>,
    connector: Connector,
) -> object_store::Result<AmazonS3> {
    // `new` reads no environment variables, and a key pair or no signature at all keeps it from asking the metadata
    // service of the cloud for credentials of the node.
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_endpoint(endpoint.as_str().trim_end_matches('/'))
        .with_region(region)
        .with_virtual_hosted_style_request(false)
        .with_allow_http(endpoint.scheme() == "http")
        .with_retry(RetryConfig {
            max_retries: 0,
            retry_timeout: Duration::from_secs(1),
            ..RetryConfig::default()
        })
        .with_http_connector(connector);
    builder = match secret.and_then(|secret| secret.s3().access.clone()) {
        Some((id, key)) => builder.with_access_key_id(id).with_secret_access_key(key),
        None => builder.with_skip_signature(true),
    };
    if let Some(token) = secret.and_then(|secret| secret.s3().session_token.clone()) {
        builder = builder.with_token(token);
    }
    builder.build()
}

fn next_part(file: &mut File) -> std::io::Result<PutPayload> {
    let mut content = Vec::new();
    file.take(PART).read_to_end(&mut content)?;
    Ok(content.into())
}

fn short(error: &object_store::Error) -> String {
    chain(error).chars().filter(|c| !c.is_control()).take(400).collect()
}
