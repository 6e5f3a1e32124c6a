//! One repository of one registry: reads and writes manifests and blobs. Every request obeys [`crate::network`];
//! every digest is checked against the bytes, never against a header.

mod login;
mod upload;

use std::{
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use reqwest::{
    Method, StatusCode,
    header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue},
};
use sha2::{Digest, Sha256};
use url::Url;

use super::{error::RegistryError, manifest, reference::Reference};
use crate::network::{
    NetworkError, RetryPolicy, Timeouts,
    address::AddressPolicy,
    client::{self, Answer, Call, Client},
    content::{self, Wanted},
    credentials::{Authorization, Secret},
    download::{Download, Piece},
    host::HostPort,
    payload::Payload,
};
use modelwright_core::digest::hex;

/// Most bytes of a manifest.
const MAX_MANIFEST_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of a blob that are sent by one request.
pub const DEFAULT_CHUNK: u64 = 16 * 1024 * 1024;

/// How to speak to a registry.
#[derive(Clone, Copy)]
pub struct Access<'a> {
    /// Credentials, if there are any.
    pub secret: Option<&'a Secret>,
    /// Whether to speak plain HTTP when the Secret does not say so.
    pub plain_http: bool,
    /// Which addresses may be connected to.
    pub policy: AddressPolicy,
    pub timeouts: Timeouts,
    pub retry: RetryPolicy,
    /// Larger blobs are sent in parts of this size.
    pub chunk: u64,
}

pub struct Registry {
    client: Client,
    reference: Reference,
    base: Url,
    host: HostPort,
    plain_http: bool,
    basic: Option<Authorization>,
    secret: Option<Secret>,
    /// What the last challenge led to.
    current: Mutex<Option<Authorization>>,
    retry: RetryPolicy,
    chunk: u64,
    /// Set once the registry has turned out to know no parts of blobs.
    whole_only: AtomicBool,
}

impl Registry {
    /// Prepares to speak to the registry of an address; sends nothing yet.
    pub fn new(reference: Reference, access: Access<'_>) -> Result<Self, RegistryError> {
        let plain_http = access.plain_http || access.secret.is_some_and(Secret::plain_http);
        let (scheme, default_port) = if plain_http { ("http", 80) } else { ("https", 443) };
        let invalid = || RegistryError::InvalidManifest {
            uri: reference.to_string(),
            why: "its host is none".to_owned(),
        };
        let host = HostPort::parse(reference.host(), default_port).ok_or_else(invalid)?;
        let base = Url::parse(&format!("{scheme}://{}/v2/{}/", host.authority(), reference.repository()))
            .map_err(|_| invalid())?;
        let basic = match access.secret {
            Some(secret) => secret.authorization(secret.require_host(&host, default_port)?)?,
            None => None,
        };
        Ok(Self {
            client: Client::new(
                access.policy,
                access.timeouts,
                access.secret.and_then(Secret::ca_certificate),
            )?,
            basic: basic.map(|basic| Authorization { plain_http, ..basic }),
            secret: access.secret.cloned(),
            current: Mutex::new(None),
            retry: access.retry,
            chunk: access.chunk.max(1),
            whole_only: AtomicBool::new(false),
            reference,
            base,
            host,
            plain_http,
        })
    }

    /// Reads a manifest by tag or `sha256:` digest; the bytes are checked against a digest.
    pub async fn manifest(&self, name: &str) -> Result<Vec<u8>, RegistryError> {
        let url = self.url(&format!("manifests/{name}"))?;
        let mut headers = Wanted::Whole.headers();
        for media_type in
            [manifest::MANIFEST, manifest::DOCKER_MANIFEST, manifest::INDEX, manifest::DOCKER_INDEX]
        {
            headers.append(ACCEPT, HeaderValue::from_static(media_type));
        }
        let read = || async {
            let call = Call { method: Method::GET, url: &url, headers: &headers, payload: &Payload::Empty };
            Ok::<_, RegistryError>(content::small(self.call(call).await?, MAX_MANIFEST_BYTES).await?)
        };
        let bytes = self.retry.run(read).await?;
        if let Some(expected) = name.strip_prefix("sha256:") {
            let actual = hex(&Sha256::digest(&bytes));
            if actual != expected {
                return Err(RegistryError::DigestMismatch {
                    uri: self.reference.to_string(),
                    what: "the manifest".to_owned(),
                    expected: expected.to_owned(),
                    actual,
                });
            }
        }
        Ok(bytes)
    }

    /// Reads a blob. The caller checks its digest while it streams. `name` is the file's, for messages.
    pub fn blob(
        &self,
        digest: &str,
        name: &str,
    ) -> Download<impl AsyncFn(HeaderMap) -> Result<Answer, RegistryError>> {
        let path = format!("blobs/{digest}");
        let open = async move |headers: HeaderMap| {
            let url = self.url(&path)?;
            let call = Call { method: Method::GET, url: &url, headers: &headers, payload: &Payload::Empty };
            self.call(call).await
        };
        Download::new(open, name, self.retry).pinned(true)
    }

    /// Reads a blob back for its digest: what a registry says that it has is not what it gives. `sent` tells whether it was
    /// just sent there.
    pub async fn prove_blob(&self, digest: &str, what: &str, sent: bool) -> Result<(), RegistryError> {
        let mut blob = self.blob(digest, what);
        let (mut hash, mut size) = (Sha256::new(), 0_u64);
        loop {
            match blob.next().await {
                Ok(Some(Piece::Start(_))) => (hash, size) = (Sha256::new(), 0),
                Ok(Some(Piece::Bytes(bytes))) => {
                    hash.update(&bytes);
                    size += bytes.len() as u64;
                }
                Ok(None) => break,
                Err(RegistryError::Network(error)) if error.is_unknown() => {
                    return Err(self.lost(what, sent, &error));
                }
                Err(error) => return Err(error),
            }
        }
        let actual = format!("sha256:{}", hex(&hash.finalize()));
        if actual == digest {
            return Ok(());
        }
        Err(RegistryError::DigestMismatch {
            uri: self.reference.to_string(),
            what: format!("{what}, read back from the registry,"),
            expected: digest.to_owned(),
            actual: format!("{actual} with {size} bytes"),
        })
    }

    /// The error of a registry that does not give what it should have.
    pub fn lost(&self, what: &str, sent: bool, cause: &NetworkError) -> RegistryError {
        let (uri, what) = (self.reference.to_string(), what.to_owned());
        RegistryError::BlobLost { uri, what, sent, cause: cause.to_string() }
    }

    /// Whether the repository says that it has a blob. A registry that refuses the question is sent the blob.
    async fn says_to_have(&self, digest: &str) -> Result<bool, RegistryError> {
        let url = self.url(&format!("blobs/{digest}"))?;
        let headers = HeaderMap::new();
        let call = || Call { method: Method::HEAD, url: &url, headers: &headers, payload: &Payload::Empty };
        let ask = || async {
            let answer = self.call(call()).await?;
            match answer.response.status() {
                StatusCode::OK => Ok(true),
                status if status.is_success() || status.is_client_error() => Ok(false),
                _ => Err(RegistryError::from(client::refusal(answer).await)),
            }
        };
        match self.retry.run(ask).await {
            Err(RegistryError::Network(error)) if error.is_unknown() => Ok(false),
            outcome => outcome,
        }
    }

    /// Writes a file as a blob, unless the repository says to have it, and tells whether it was sent. What is there now is
    /// proven by [`Self::prove_blob`].
    pub async fn push_blob(&self, path: &Path, digest: &str, size: u64) -> Result<bool, RegistryError> {
        if self.says_to_have(digest).await? {
            return Ok(false);
        }
        self.upload(path, digest, size).await?;
        Ok(true)
    }

    /// Writes a manifest under a tag.
    pub async fn push_manifest(&self, tag: &str, bytes: &[u8]) -> Result<(), RegistryError> {
        let url = self.url(&format!("manifests/{tag}"))?;
        let payload = Payload::Bytes(Bytes::copy_from_slice(bytes));
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(manifest::MANIFEST));
        let write = || async {
            let call = Call { method: Method::PUT, url: &url, headers: &headers, payload: &payload };
            let answer = self.call(call).await?;
            Ok::<_, RegistryError>(client::expect_success(answer).await?)
        };
        self.retry.run(write).await.map(drop)
    }

    fn url(&self, path: &str) -> Result<Url, RegistryError> {
        self.base.join(path).map_err(|error| RegistryError::InvalidManifest {
            uri: self.reference.to_string(),
            why: format!("{path:?} cannot stand in a URL: {error}"),
        })
    }

    fn upload_error(&self, why: &str) -> RegistryError {
        RegistryError::Upload { uri: self.reference.to_string(), why: why.to_owned() }
    }

    /// Makes a request, following redirects; logs in when asked to, and makes the request once more.
    async fn call(&self, call: Call<'_>) -> Result<Answer, RegistryError> {
        let answer = self.client.call(call.clone(), self.current().as_ref()).await?;
        if answer.response.status() != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        self.log_in(answer, call.writes()).await?;
        let answer = self.client.call(call, self.current().as_ref()).await?;
        if answer.response.status() == StatusCode::UNAUTHORIZED {
            let refusal = client::refusal(answer).await;
            return Err(match refusal {
                // the next token may be taken, or the one that checks it may know its key by then
                NetworkError::Unauthorized { url, words } if self.is_renewed() => {
                    let status = StatusCode::UNAUTHORIZED;
                    NetworkError::Server { url, status, retry_after: None, words }
                }
                other => other,
            }
            .into());
        }
        Ok(answer)
    }

    fn is_renewed(&self) -> bool {
        self.secret.as_ref().is_some_and(Secret::is_renewed)
    }

    fn current(&self) -> Option<Authorization> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
