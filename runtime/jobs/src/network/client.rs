//! One HTTP client for every source and store: it connects only to addresses that [`super::address`] allows, follows
//! redirects itself, re-checking each, and sends credentials to their own host only. In goes a URL; out comes a
//! response that is a success, or an error. It uses no proxy: a proxy would resolve names out of sight of the check.

use std::{
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use reqwest::{
    Certificate, Method, Request, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_LENGTH, DATE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER},
};
use tokio::time::Sleep;
use url::{Host, Url};

use super::{
    NetworkError, Timeouts,
    address::{AddressPolicy, GuardedResolver},
    credentials::Authorization,
    error::{Refusal, redacted},
    host::HostPort,
    payload::Payload,
    time::{Late, Sending},
};

/// Most redirects that are followed.
const MAX_REDIRECTS: usize = 5;
/// Most bytes of an error's body that are read.
const MAX_ERROR_BYTES: usize = 4096;

#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    policy: AddressPolicy,
    timeouts: Timeouts,
}

/// An answer, and what it answers.
#[derive(Debug)]
pub struct Answer {
    /// The method of the request.
    pub method: Method,
    pub response: Response,
    pub(super) timeouts: Timeouts,
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
                // The kernel's own patience with a peer that takes nothing, no shorter than ours.
                .tcp_user_timeout(timeouts.answer.max(timeouts.read))
                .user_agent(concat!("modelwright/", env!("CARGO_PKG_VERSION")))
        };
        // A machine without any system certificates can still speak plain HTTP, and TLS by the extra ones.
        let http = builder()
            .tls_certs_merge(extra.clone())
            .build()
            .or_else(|_| builder().tls_certs_only(extra).build())
            .map_err(certificates)?;
        Ok(Self { http, policy, timeouts })
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
    pub async fn send(&self, mut request: Request, payload: &Payload) -> Result<Answer, NetworkError> {
        let (url, method) = (request.url().clone(), request.method().clone());
        self.check(&url)?;
        let sending = Arc::new(Sending::start(payload.length() > 0));
        if payload.length() > 0 {
            request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(payload.length()));
            *request.body_mut() = Some(reqwest::Body::wrap_stream(payload.stream(sending.clone())));
        } else if matches!(method, Method::POST | Method::PUT | Method::PATCH) {
            request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        let response = tokio::select! {
            outcome = self.http.execute(request) => {
                outcome.map_err(|error| NetworkError::from_reqwest(&url, error))?
            }
            late = sending.late(self.timeouts) => return Err(NetworkError::late(&url, late)),
        };
        Ok(Answer { method, response, timeouts: self.timeouts })
    }

    /// Gets a URL, following redirects, and gives the first answer that is none; credentials go to their host only.
    pub async fn get(
        &self,
        url: &Url,
        headers: &HeaderMap,
        authorization: Option<&Authorization>,
    ) -> Result<Answer, NetworkError> {
        let call = Call { method: Method::GET, url, headers, payload: &Payload::Empty };
        self.call(call, authorization).await
    }

    /// Makes a request, following redirects, and gives the first answer that is none; credentials go to their host only.
    pub async fn call(
        &self,
        call: Call<'_>,
        authorization: Option<&Authorization>,
    ) -> Result<Answer, NetworkError> {
        let mut url = call.url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let mut request = Request::new(call.method.clone(), url.clone());
            request.headers_mut().extend(call.headers.clone());
            if let Some(authorization) = authorization.filter(|authorization| may_see(authorization, &url)) {
                request.headers_mut().insert(AUTHORIZATION, authorization.header.clone());
            }
            let answer = self.send(request, call.payload).await?;
            if !is_redirect(answer.response.status()) {
                return Ok(answer);
            }
            let target = redirect_target(&url, &answer.response)?;
            if call.writes() && !matches!(answer.response.status().as_u16(), 307 | 308) {
                return Err(NetworkError::RedirectRefused {
                    url: redacted(&url),
                    target: redacted(&target),
                    why: "what is written may be sent on by the statuses 307 and 308 only",
                });
            }
            url = target;
        }
        Err(NetworkError::RedirectRefused {
            url: redacted(&url),
            target: redacted(&url),
            why: "more than 5 redirects in a row were answered",
        })
    }
}

/// A request that may be made again, at another place too.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    pub method: Method,
    pub url: &'a Url,
    /// What else to say; no credentials.
    pub headers: &'a HeaderMap,
    pub payload: &'a Payload,
}

impl Call<'_> {
    /// Whether it changes something there.
    pub fn writes(&self) -> bool {
        !matches!(self.method, Method::GET | Method::HEAD)
    }
}

/// Whether credentials may be sent to a URL: it is their host, and either TLS or explicitly allowed without.
pub fn may_see(authorization: &Authorization, url: &Url) -> bool {
    let encrypted = url.scheme() == "https" || authorization.plain_http;
    encrypted && HostPort::of(url).is_some_and(|host| host.matches(&authorization.host))
}

/// Turns an answer that is no success into an error with its URL, its status and the server's words.
pub async fn expect_success(answer: Answer) -> Result<Answer, NetworkError> {
    if answer.response.status().is_success() { Ok(answer) } else { Err(refusal(answer).await) }
}

/// The error that an answer is.
pub async fn refusal(answer: Answer) -> NetworkError {
    let (url, status) = (answer.response.url().clone(), answer.response.status());
    let (method, retry_after) = (answer.method.clone(), retry_after(answer.response.headers()));
    let body = read_words(answer).await;
    NetworkError::from_status(Refusal { url: &url, method: &method, status, retry_after, body: &body })
}

/// The beginning of a body, for its words: what came of it within the time for an answer.
pub async fn read_words(answer: Answer) -> String {
    let mut body = Vec::new();
    let limit = answer.timeouts.answer;
    let mut stream = Body::of(answer);
    let read = async {
        while let Some(Ok(chunk)) = stream.next().await {
            body.extend_from_slice(&chunk);
            if body.len() >= MAX_ERROR_BYTES {
                break;
            }
        }
    };
    // Some words are better than none.
    let _ = Box::pin(tokio::time::timeout(limit, read)).await;
    String::from_utf8_lossy(&body).into_owned()
}

/// For how long a server asks to be left alone: seconds, or a time by its own clock.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let asked = text(RETRY_AFTER)?;
    if let Ok(seconds) = asked.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(asked).ok()?;
    let now = text(DATE).and_then(|date| httpdate::parse_http_date(date).ok());
    Some(until.duration_since(now.unwrap_or_else(SystemTime::now)).unwrap_or_default())
}

/// A response's body, piece by piece, each within its time.
pub struct Body {
    url: Url,
    stream: Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>,
    wait: Duration,
    deadline: Pin<Box<Sleep>>,
}

impl Body {
    /// The body of an answer.
    pub fn of(answer: Answer) -> Self {
        let wait = answer.timeouts.read;
        Self {
            url: answer.response.url().clone(),
            stream: Box::pin(answer.response.bytes_stream()),
            wait,
            deadline: Box::pin(tokio::time::sleep(wait)),
        }
    }
}

impl Stream for Body {
    type Item = Result<Bytes, NetworkError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Poll::Ready(next) = self.stream.poll_next_unpin(context) else {
            return self
                .deadline
                .as_mut()
                .poll(context)
                .map(|()| Some(Err(NetworkError::late(&self.url, Late::Reading(self.wait)))));
        };
        let deadline = tokio::time::Instant::now() + self.wait;
        self.deadline.as_mut().reset(deadline);
        Poll::Ready(next.map(|chunk| {
            chunk.map_err(|error| match NetworkError::from_reqwest(&self.url, error) {
                NetworkError::Unreachable { url, cause } => NetworkError::Interrupted { url, cause },
                other => other,
            })
        }))
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
