//! One repository of one registry: reads and writes manifests and blobs. Every request obeys [`crate::network`];
//! every digest is checked against the bytes, never against a header.

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
};

use reqwest::{
    Method, Request, Response, StatusCode,
    header::{
        ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION,
        WWW_AUTHENTICATE,
    },
};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio_util::io::ReaderStream;
use url::Url;

use super::{Reference, RegistryError, challenge::Challenge, manifest};
use crate::network::{
    NetworkError, Timeouts,
    address::AddressPolicy,
    client::{self, Client, may_see},
    credentials::{Authorization, CredentialsError, Secret},
    hex,
    host::HostPort,
};

/// Most bytes of a manifest.
const MAX_MANIFEST_BYTES: usize = 4 * 1024 * 1024;
/// Most bytes of a token answer.
const MAX_TOKEN_BYTES: usize = 256 * 1024;
/// Bytes of a file that are read at once.
const CHUNK: usize = 256 * 1024;

/// How to speak to a registry.
#[derive(Clone, Copy)]
pub struct Access<'a> {
    /// Credentials, if there are any.
    pub secret: Option<&'a Secret>,
    /// Whether to speak plain HTTP when the Secret does not say so.
    pub plain_http: bool,
    /// Which addresses may be connected to.
    pub policy: AddressPolicy,
    /// How long to wait.
    pub timeouts: Timeouts,
}

/// One repository.
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
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
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
            reference,
            base,
            host,
            plain_http,
        })
    }

    /// Reads a manifest by tag or `sha256:` digest; the bytes are checked against a digest.
    pub async fn manifest(&self, name: &str) -> Result<Vec<u8>, RegistryError> {
        let url = self.url(&format!("manifests/{name}"))?;
        let mut headers = HeaderMap::new();
        for media_type in [manifest::MANIFEST, manifest::DOCKER_MANIFEST] {
            headers.append(ACCEPT, HeaderValue::from_static(media_type));
        }
        let bytes = client::read_small(self.get(&url, &headers).await?, MAX_MANIFEST_BYTES).await?;
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

    /// Starts to read a blob. The caller checks its digest while it streams.
    pub async fn blob(&self, digest: &str) -> Result<Response, RegistryError> {
        self.get(&self.url(&format!("blobs/{digest}"))?, &HeaderMap::new()).await
    }

    /// Whether the repository has a blob.
    async fn has_blob(&self, digest: &str) -> Result<bool, RegistryError> {
        let url = self.url(&format!("blobs/{digest}"))?;
        let response = self.send(|| Ok(Request::new(Method::HEAD, url.clone()))).await?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(false),
            // A redirect leads to where the blob is.
            status if status.is_success() || status.is_redirection() => Ok(true),
            _ => Err(client::expect_success(response).await.err().map_or_else(
                || self.upload_error("its answer to HEAD cannot be understood"),
                RegistryError::from,
            )),
        }
    }

    /// Writes a file as a blob, unless the repository has it.
    pub async fn push_blob(&self, path: &Path, digest: &str, size: u64) -> Result<(), RegistryError> {
        if self.has_blob(digest).await? {
            return Ok(());
        }
        let start = self.url("blobs/uploads/")?;
        let started = self.send(|| {
            let mut request = Request::new(Method::POST, start.clone());
            request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
            Ok(request)
        });
        let started = client::expect_success(started.await?).await?;
        let location = started.headers().get(LOCATION).and_then(|location| location.to_str().ok());
        let mut upload = location
            .and_then(|location| start.join(location).ok())
            .filter(|url| url.scheme() == "https" || (url.scheme() == "http" && self.plain_http))
            .ok_or_else(|| self.upload_error("it names no place to upload to"))?;
        upload.query_pairs_mut().append_pair("digest", digest);
        let io = |source| RegistryError::Io { path: path.to_owned(), source };
        let done = self.send(|| {
            let file = std::fs::File::open(path).map_err(io)?;
            let stream = ReaderStream::with_capacity(tokio::fs::File::from_std(file), CHUNK);
            let mut request = Request::new(Method::PUT, upload.clone());
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
            request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(size));
            *request.body_mut() = Some(reqwest::Body::wrap_stream(stream));
            Ok(request)
        });
        client::expect_success(done.await?).await?;
        Ok(())
    }

    /// Writes a manifest under a tag.
    pub async fn push_manifest(&self, tag: &str, bytes: &[u8]) -> Result<(), RegistryError> {
        let url = self.url(&format!("manifests/{tag}"))?;
        let done = self.send(|| {
            let mut request = Request::new(Method::PUT, url.clone());
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(manifest::MANIFEST));
            *request.body_mut() = Some(bytes.to_vec().into());
            Ok(request)
        });
        client::expect_success(done.await?).await?;
        Ok(())
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

    /// Gets a URL, following redirects; logs in when asked to.
    async fn get(&self, url: &Url, headers: &HeaderMap) -> Result<Response, RegistryError> {
        let response = self.client.get(url, headers, self.current().as_ref()).await?;
        let response = if response.status() == StatusCode::UNAUTHORIZED {
            self.log_in(&response).await?;
            self.client.get(url, headers, self.current().as_ref()).await?
        } else {
            response
        };
        Ok(client::expect_success(response).await?)
    }

    /// Sends a request, following nothing; logs in when asked to, and sends the request once more.
    async fn send(
        &self,
        request: impl Fn() -> Result<Request, RegistryError>,
    ) -> Result<Response, RegistryError> {
        let authorized = || {
            let mut request = request()?;
            if let Some(authorization) = self.current().filter(|current| may_see(current, request.url())) {
                request.headers_mut().insert(AUTHORIZATION, authorization.header);
            }
            Ok::<_, RegistryError>(request)
        };
        let response = self.client.send(authorized()?).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        self.log_in(&response).await?;
        Ok(self.client.send(authorized()?).await?)
    }

    fn current(&self) -> Option<Authorization> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Meets a challenge, or says why not.
    async fn log_in(&self, refused: &Response) -> Result<(), RegistryError> {
        let unauthorized = || NetworkError::Unauthorized { url: self.reference.to_string() };
        // Only the registry itself may ask: a host that it redirects to is a stranger.
        let asks = HostPort::of(refused.url()).is_some_and(|host| host.matches(&self.host));
        let header = refused.headers().get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
        let Some(header) = header.filter(|_| asks) else { return Err(unauthorized().into()) };
        let authorization = match Challenge::parse(header) {
            Some(Challenge::Basic) => self.basic.clone().ok_or_else(unauthorized)?,
            Some(Challenge::Bearer { realm, service, scope }) => self.token(&realm, service, scope).await?,
            None => return Err(self.challenge_error(header)),
        };
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(authorization);
        Ok(())
    }

    /// Gets a token, with the password only if the Secret trusts the host that hands it out.
    async fn token(
        &self,
        realm: &str,
        service: Option<String>,
        scope: Option<String>,
    ) -> Result<Authorization, RegistryError> {
        let mut url = Url::parse(realm)
            .ok()
            .filter(|url| url.scheme() == "https" || (url.scheme() == "http" && self.plain_http))
            .ok_or_else(|| self.challenge_error(realm))?;
        let realm_host = HostPort::of(&url).ok_or_else(|| self.challenge_error(realm))?;
        for (key, value) in [("service", service), ("scope", scope)] {
            if let Some(value) = value {
                url.query_pairs_mut().append_pair(key, &value);
            }
        }
        let basic = match (&self.basic, &self.secret) {
            (Some(basic), Some(secret)) => {
                let token_host = secret.token_host()?;
                let trusted = realm_host.matches(&basic.host)
                    || token_host.is_some_and(|token_host| token_host.matches(&realm_host));
                if !trusted {
                    return Err(CredentialsError::TokenHostMismatch {
                        secret: secret.label().to_owned(),
                        secret_host: basic.host.to_string(),
                        realm_host: realm_host.to_string(),
                    }
                    .into());
                }
                Some(Authorization { host: realm_host, ..basic.clone() })
            }
            _ => None,
        };
        let response = self.client.get(&url, &HeaderMap::new(), basic.as_ref()).await?;
        let response = client::expect_success(response).await?;
        let body = client::read_small(response, MAX_TOKEN_BYTES).await?;
        let answer: Option<Token> = serde_json::from_slice(&body).ok();
        let header = answer
            .and_then(|answer| answer.token.or(answer.access_token))
            .and_then(|token| HeaderValue::from_str(&format!("Bearer {token}")).ok());
        let mut header = header.ok_or_else(|| self.challenge_error(realm))?;
        header.set_sensitive(true);
        Ok(Authorization { header, host: self.host.clone(), plain_http: self.plain_http })
    }

    fn challenge_error(&self, challenge: &str) -> RegistryError {
        RegistryError::Challenge {
            uri: self.reference.to_string(),
            challenge: challenge.chars().take(200).collect(),
        }
    }
}
