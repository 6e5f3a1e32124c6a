//! One HTTP client for every source and store: it connects only to addresses that [`super::address`] allows, follows
//! redirects itself, re-checking each, and sends credentials to their own host only. In goes a URL; out comes a
//! response that is a success, or an error. It uses no proxy: a proxy would resolve names out of sight of the check.

use std::{
    net::IpAddr,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use reqwest::{
    Certificate, Method, Request, Response, StatusCode,
    header::{AUTHORIZATION, HeaderMap, LOCATION},
};
use url::{Host, Url};

use super::{
    NetworkError, Timeouts,
    address::{AddressPolicy, GuardedResolver},
    credentials::Authorization,
    error::redacted,
    host::HostPort,
};

/// Most redirects that are followed.
const MAX_REDIRECTS: usize = 5;
/// Most bytes of an error's body that are read.
const MAX_ERROR_BYTES: usize = 4096;

/// The client.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    policy: AddressPolicy,
}

impl Client {
    /// Builds a client that trusts the system's certificates and those of `ca_certificate` (PEM).
    pub fn new(
        policy: AddressPolicy,
        timeouts: Timeouts,
        ca_certificate: Option<&str>,
    ) -> Result<Self, NetworkError> {
        let certificates =
            |error: reqwest::Error| NetworkError::Certificates { cause: super::error::chain(&error) };
        let extra = match ca_certificate {
            Some(pem) => Certificate::from_pem_bundle(pem.as_bytes()).map_err(certificates)?,
            None => Vec::new(),
        };
        if ca_certificate.is_some() && extra.is_empty() {
            return Err(NetworkError::Certificates { cause: "it holds no certificate".to_owned() });
        }
        let builder = || {
            reqwest::Client::builder()
                .dns_resolver(GuardedResolver::new(policy))
                .redirect(reqwest::redirect::Policy::none())
                .referer(false)
                .no_proxy()
                .connect_timeout(timeouts.connect)
                .read_timeout(timeouts.read)
                .user_agent(concat!("modelwright/", env!("CARGO_PKG_VERSION")))
        };
        // A machine without any system certificates can still speak plain HTTP, and TLS by the extra ones.
        let http = builder()
            .tls_certs_merge(extra.clone())
            .build()
            .or_else(|_| builder().tls_certs_only(extra).build())
            .map_err(certificates)?;
        Ok(Self { http, policy })
    }

    /// The client beneath, which resolves by the same guard and follows no redirect. It does not check literal
    /// addresses: call [`Self::check`] with every URL first.
    pub fn guarded(&self) -> &reqwest::Client {
        &self.http
    }

    /// Refuses a URL whose host is an address that may not be connected to; names are checked when they are resolved.
    pub fn check(&self, url: &Url) -> Result<(), NetworkError> {
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            _ => return Ok(()),
        };
        self.policy
            .check(url.host_str().unwrap_or_default(), address)
            .map_err(|refused| NetworkError::AddressRefused { url: redacted(url), refused })
    }

    /// Sends one request, as it is, following nothing.
    pub async fn send(&self, request: Request) -> Result<Response, NetworkError> {
        let url = request.url().clone();
        self.check(&url)?;
        self.http.execute(request).await.map_err(|error| NetworkError::from_reqwest(&url, error))
    }

    /// Gets a URL, following redirects, and gives the first answer that is none; credentials go to their host only.
    pub async fn get(
        &self,
        url: &Url,
        headers: &HeaderMap,
        authorization: Option<&Authorization>,
    ) -> Result<Response, NetworkError> {
        let mut url = url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let mut request = Request::new(Method::GET, url.clone());
            request.headers_mut().extend(headers.clone());
            if let Some(authorization) = authorization.filter(|authorization| may_see(authorization, &url)) {
                request.headers_mut().insert(AUTHORIZATION, authorization.header.clone());
            }
            let response = self.send(request).await?;
            if !is_redirect(response.status()) {
                return Ok(response);
            }
            url = redirect_target(&url, &response)?;
        }
        Err(NetworkError::RedirectRefused {
            url: redacted(&url),
            target: redacted(&url),
            why: "more than 5 redirects in a row were answered",
        })
    }
}

/// Whether credentials may be sent to a URL: it is their host, and either TLS or explicitly allowed without.
pub fn may_see(authorization: &Authorization, url: &Url) -> bool {
    let encrypted = url.scheme() == "https" || authorization.plain_http;
    encrypted && HostPort::of(url).is_some_and(|host| host.matches(&authorization.host))
}

/// Turns an answer that is no success into an error with its URL and status.
pub async fn expect_success(response: Response) -> Result<Response, NetworkError> {
    if response.status().is_success() {
        return Ok(response);
    }
    let (url, status) = (response.url().clone(), response.status());
    let mut body = Vec::new();
    let mut stream = Body::of(response);
    while let Some(Ok(chunk)) = stream.next().await {
        body.extend_from_slice(&chunk);
        if body.len() >= MAX_ERROR_BYTES {
            break;
        }
    }
    Err(NetworkError::from_status(&url, status, &String::from_utf8_lossy(&body)))
}

/// Reads a small body whole; one of more than `limit` bytes breaks off.
pub async fn read_small(response: Response, limit: usize) -> Result<Vec<u8>, NetworkError> {
    let url = redacted(response.url());
    let mut body = Vec::new();
    let mut stream = Body::of(response);
    while let Some(chunk) = stream.next().await {
        body.extend_from_slice(&chunk?);
        if body.len() > limit {
            return Err(NetworkError::UnexpectedStatus {
                url,
                status: StatusCode::OK,
                detail: format!(" with at most {limit} bytes"),
            });
        }
    }
    Ok(body)
}

/// A response's body, piece by piece.
pub struct Body {
    url: Url,
    stream: Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>,
}

impl Body {
    /// The body of a response.
    pub fn of(response: Response) -> Self {
        Self { url: response.url().clone(), stream: Box::pin(response.bytes_stream()) }
    }
}

impl Stream for Body {
    type Item = Result<Bytes, NetworkError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.stream.poll_next_unpin(context);
        next.map(|item| {
            item.map(|chunk| {
                chunk.map_err(|error| match NetworkError::from_reqwest(&self.url, error) {
                    NetworkError::Unreachable { url, cause } => NetworkError::Interrupted { url, cause },
                    other => other,
                })
            })
        })
    }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Where a redirect leads, if it may be followed.
fn redirect_target(from: &Url, response: &Response) -> Result<Url, NetworkError> {
    let refused = |target: String, why| NetworkError::RedirectRefused { url: redacted(from), target, why };
    let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    let target = location
        .and_then(|location| from.join(location).ok())
        .ok_or_else(|| refused("nowhere".to_owned(), "its Location header is no URL"))?;
    let shown = redacted(&target);
    match (from.scheme(), target.scheme()) {
        ("https", "http") => Err(refused(shown, "it leads from https to http")),
        (_, "http" | "https") if target.host().is_some() => Ok(target),
        _ => Err(refused(shown, "it leads to neither http nor https")),
    }
}
