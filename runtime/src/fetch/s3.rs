//! `s3://`: one object, or all objects below a prefix, of AWS or of any store that speaks S3. In goes a bucket with a
//! key; staged files come out. The requests go through the guarded client of [`crate::network`], so that the check of
//! addresses holds for an object store as for a web server; redirects are not followed.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt};
use object_store::{
    ClientOptions, ObjectStore, ObjectStoreExt, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder},
    client::{HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService},
    path::Path,
};
use url::Url;

use super::{
    FetchOptions,
    error::FetchError,
    staging::{MAX_FILES, Staging},
};
use crate::network::{
    NetworkError,
    address::{AddressPolicy, AddressRefused},
    chain,
    client::Client,
    credentials::Secret,
    find,
};

/// Where AWS is without a Secret.
const DEFAULT_REGION: &str = "us-east-1";

/// What to fetch.
pub struct Objects<'a> {
    /// The bucket.
    pub bucket: &'a str,
    /// The key, or the prefix.
    pub key: &'a str,
    /// Whether every object below the prefix is meant.
    pub all: bool,
    /// For messages.
    pub uri: &'a str,
}

/// Fetches one object (under the last part of its key) or every object below a prefix.
pub async fn fetch(
    objects: Objects<'_>,
    secret: Option<&Secret>,
    policy: AddressPolicy,
    options: &FetchOptions,
    staging: &mut Staging,
) -> Result<(), FetchError> {
    let Objects { bucket, key, all, uri } = objects;
    let (endpoint, region) = endpoint(secret)?;
    let client = Client::new(policy, options.timeouts, secret.and_then(Secret::ca_certificate))?;
    client.check(&endpoint)?;
    let observed = Arc::new(Observed::default());
    let connector = Connector { client, observed: observed.clone() };
    let store = build(bucket, &endpoint, &region, secret, connector)
        .map_err(|error| FetchError::InvalidUri { uri: uri.to_owned(), why: chain(&error) })?;
    let bucket = Bucket { store, observed, uri, endpoint };
    let path = |text: &str| {
        Path::parse(text)
            .map_err(|error| FetchError::InvalidUri { uri: uri.to_owned(), why: error.to_string() })
    };
    if !all {
        let name = key.rsplit('/').next().unwrap_or(key);
        return bucket.copy(&path(key)?, name, options, staging).await;
    }
    let prefix = path(key)?;
    let keys = options.retry.run(|| bucket.list(&prefix), FetchError::is_transient).await?;
    let total = keys.iter().fold(0_u64, |sum, (_, size)| sum.saturating_add(*size));
    staging.expect_bytes(total)?;
    for (key, _) in keys {
        let name = key
            .prefix_match(&prefix)
            .map(|parts| parts.map(|part| part.as_ref().to_owned()).collect::<Vec<_>>().join("/"));
        bucket.copy(&key, &name.unwrap_or_default(), options, staging).await?;
    }
    Ok(())
}

/// The endpoint's address and region.
fn endpoint(secret: Option<&Secret>) -> Result<(Url, String), FetchError> {
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
        .map_err(|error| FetchError::InvalidUri { uri: text.clone(), why: error.to_string() })?;
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

struct Bucket<'a> {
    store: AmazonS3,
    observed: Arc<Observed>,
    uri: &'a str,
    endpoint: Url,
}

impl Bucket<'_> {
    /// Every object below a prefix with its size, in the order of keys.
    async fn list(&self, prefix: &Path) -> Result<Vec<(Path, u64)>, FetchError> {
        let prefix = (!prefix.as_ref().is_empty()).then_some(prefix);
        let mut keys = Vec::new();
        let mut listing = self.store.list(prefix);
        while let Some(object) = listing.try_next().await.map_err(|error| self.sort(&error))? {
            // Consoles make an empty object for a folder; its key is the folder's.
            if object.size == 0 && prefix.is_some_and(|prefix| object.location == *prefix) {
                continue;
            }
            keys.push((object.location, object.size));
            if keys.len() > MAX_FILES {
                return Err(FetchError::TooManyFiles { uri: self.uri.to_owned(), limit: MAX_FILES });
            }
        }
        if keys.is_empty() {
            return Err(FetchError::NotFound { uri: self.uri.to_owned(), hint: self.hint() });
        }
        keys.sort();
        Ok(keys)
    }

    async fn copy(
        &self,
        key: &Path,
        name: &str,
        options: &FetchOptions,
        staging: &mut Staging,
    ) -> Result<(), FetchError> {
        let staging = tokio::sync::Mutex::new(staging);
        let attempt = || async {
            let object = self.store.get(key).await.map_err(|error| self.sort(&error))?;
            let size = object.meta.size;
            let content = object.into_stream().map(|chunk| chunk.map_err(|error| self.sort_body(&error)));
            let written = staging.lock().await.write(name, Some(size), Box::pin(content)).await?;
            if written.size != size {
                let why = format!("the object has {} bytes, and {size} were announced", written.size);
                return Err(FetchError::ObjectStore { uri: self.uri.to_owned(), why });
            }
            Ok(())
        };
        options.retry.run(attempt, FetchError::is_transient).await
    }

    /// What a failed request means.
    fn sort(&self, error: &object_store::Error) -> FetchError {
        let uri = self.uri.to_owned();
        if let Some(refused) = self.observed.refused(error) {
            return NetworkError::AddressRefused { url: self.endpoint.to_string(), refused }.into();
        }
        let why = format!("{} says: {}", self.endpoint.host_str().unwrap_or_default(), short(error));
        match self.observed.status() {
            404 => FetchError::NotFound { uri, hint: self.hint() },
            401 => FetchError::Unauthorized { uri, why },
            403 => FetchError::Forbidden {
                uri,
                why: format!(
                    "{why}; check the Secret's keys and their rights (without the right to list a bucket, a missing \
                     object looks like this too)"
                ),
            },
            300..=399 => FetchError::ObjectStore {
                uri,
                why: "it answers with a redirect, which is not followed; if the bucket is in another region, give a \
                      Secret with `host` and `region` of that region"
                    .to_owned(),
            },
            status @ 400..=499 if status != 408 && status != 429 => FetchError::ObjectStore { uri, why },
            _ if short(error).contains("certificate") => {
                NetworkError::Certificate { url: self.endpoint.to_string(), cause: short(error) }.into()
            }
            _ => FetchError::ObjectStoreUnreachable { uri, why },
        }
    }

    /// What a body that breaks off means: the status before it was a success.
    fn sort_body(&self, error: &object_store::Error) -> FetchError {
        FetchError::ObjectStoreUnreachable { uri: self.uri.to_owned(), why: short(error) }
    }

    fn hint(&self) -> String {
        format!(" (asked at {}; a prefix wants a trailing `/`)", self.endpoint.host_str().unwrap_or_default())
    }
}

fn short(error: &object_store::Error) -> String {
    chain(error).chars().filter(|c| !c.is_control()).take(400).collect()
}

/// What the last request came to. Only one request runs at a time.
#[derive(Debug, Default)]
struct Observed {
    status: AtomicU16,
    refused: Mutex<Option<AddressRefused>>,
}

impl Observed {
    fn status(&self) -> u16 {
        self.status.load(Ordering::Relaxed)
    }

    fn refused(&self, error: &object_store::Error) -> Option<AddressRefused> {
        let noted = self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone();
        noted.or_else(|| find::<AddressRefused>(error).cloned())
    }
}

/// Hands the guarded client to the object store's library, and notes what came back.
#[derive(Clone, Debug)]
struct Connector {
    client: Client,
    observed: Arc<Observed>,
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Connector {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.observed.status.store(0, Ordering::Relaxed);
        let url = Url::parse(&request.uri().to_string())
            .map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
        self.client.check(&url).map_err(|error| {
            if let NetworkError::AddressRefused { refused, .. } = &error {
                *self.observed.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(refused.clone());
            }
            HttpError::new(HttpErrorKind::Unknown, error)
        })?;
        let response = HttpService::call(self.client.guarded(), request).await?;
        self.observed.status.store(response.status().as_u16(), Ordering::Relaxed);
        Ok(response)
    }
}
