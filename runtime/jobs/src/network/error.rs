//! What can go wrong on the network, for people: which URL, what was expected, what to do.

use std::{error::Error, time::Duration};

use reqwest::{Method, StatusCode};
use url::Url;

use super::{address::AddressRefused, retry::Failure, time::Late, words};

/// A request that did not work out.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The host is at an address that may not be connected to.
    #[error("{url} may not be fetched: {refused}")]
    AddressRefused {
        /// What was asked for, without secrets.
        url: String,
        #[source]
        refused: AddressRefused,
    },
    /// A redirect that is not followed.
    #[error("{url} answered with a redirect to {target}, which is not followed: {why}")]
    RedirectRefused {
        /// What was asked for, without secrets.
        url: String,
        /// Where it pointed to, without secrets.
        target: String,
        why: &'static str,
    },
    #[error(
        "{url} answered 401 Unauthorized: it wants credentials or does not accept those it got; name a Secret with \
         the right keys (docs/sources.md) in `credentialsSecret`{words}"
    )]
    Unauthorized {
        /// What was asked for, without secrets.
        url: String,
        /// The server's own words, if it had any.
        words: String,
    },
    #[error(
        "{url} answered 403 Forbidden: these credentials (or none) may not {verb} it; give them the right to, or \
         correct the address{words}"
    )]
    Forbidden {
        /// What was asked for, without secrets.
        url: String,
        /// What was tried: to read or to write.
        verb: &'static str,
        /// The server's own words, if it had any.
        words: String,
    },
    #[error("{url} answered {status}: nothing is there; check the address for a typing error{words}")]
    NotFound {
        /// What was asked for, without secrets.
        url: String,
        status: StatusCode,
        /// The server's own words, if it had any.
        words: String,
    },
    /// A status that a retry will not change.
    #[error("{url} answered {status}, where {expected} was expected{words}")]
    UnexpectedStatus {
        /// What was asked for, without secrets.
        url: String,
        status: StatusCode,
        expected: &'static str,
        /// The server's own words, if it had any.
        words: String,
    },
    /// An answer that is no file, whatever its status says.
    #[error("{url} answered with what is not the file: {why}")]
    NoContent {
        /// What was asked for, without secrets.
        url: String,
        /// What came instead, and what to do.
        why: String,
    },
    /// Another file than the one whose beginning came before.
    #[error("{url} changed while it was read: {why}")]
    Changed {
        /// What was asked for, without secrets.
        url: String,
        why: String,
    },
    /// A status that may pass: 202, 408, 425, 429, 5xx.
    #[error(
        "{url} answered {status}; this may pass, and was tried for as long as is allowed{}{words}",
        asked(*.retry_after)
    )]
    Server {
        /// What was asked for, without secrets.
        url: String,
        status: StatusCode,
        /// For how long the server asks to be left alone.
        retry_after: Option<Duration>,
        /// The server's own words, if it had any.
        words: String,
    },
    /// The peer's certificate is not trusted.
    #[error(
        "{url}: the server's certificate is not trusted ({cause}); if it is signed by an authority of your own, put \
         its certificate into the Secret under the key `ca.crt`"
    )]
    Certificate {
        /// What was asked for, without secrets.
        url: String,
        /// What the TLS library says.
        cause: String,
    },
    #[error("{url} cannot be reached: {cause}")]
    Unreachable {
        /// What was asked for, without secrets.
        url: String,
        cause: String,
    },
    #[error("the answer of {url} broke off: {cause}")]
    Interrupted {
        /// What was asked for, without secrets.
        url: String,
        cause: String,
    },
    /// The client cannot be built.
    #[error("the certificates under the key `ca.crt` cannot be read as PEM: {cause}")]
    Certificates { cause: String },
}

impl NetworkError {
    pub fn reason(&self) -> &'static str {
        match self {
            Self::AddressRefused { .. } => "AddressRefused",
            Self::RedirectRefused { .. } => "RedirectRefused",
            Self::Unauthorized { .. } => "Unauthorized",
            Self::Forbidden { .. } => "Forbidden",
            Self::NotFound { .. } => "NotFound",
            Self::UnexpectedStatus { .. } => "UnexpectedStatus",
            Self::NoContent { .. } => "NoContent",
            Self::Certificate { .. } | Self::Certificates { .. } => "CertificateRefused",
            Self::Server { .. }
            | Self::Unreachable { .. }
            | Self::Interrupted { .. }
            | Self::Changed { .. } => "Unreachable",
        }
    }

    /// Whether the same request may work later.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Server { .. } | Self::Unreachable { .. } | Self::Interrupted { .. } | Self::Changed { .. }
        )
    }

    /// Whether a server with this refusal says that it has no such thing, or knows no such request: 4xx but for
    /// credentials and rights, and 501.
    pub fn is_unknown(&self) -> bool {
        match self {
            Self::NotFound { .. } => true,
            Self::UnexpectedStatus { status, .. } => status.is_client_error(),
            Self::Server { status, .. } => *status == StatusCode::NOT_IMPLEMENTED,
            _ => false,
        }
    }

    /// Whether it is a matter of rights.
    pub fn is_forbidden(&self) -> bool {
        matches!(self, Self::Forbidden { .. })
    }

    pub(super) fn late(url: &Url, late: Late) -> Self {
        let (url, cause) = (redacted(url), late.to_string());
        match late {
            Late::Reading(_) | Late::Whole(_) => Self::Interrupted { url, cause },
            Late::Sending(_) | Late::Answer(_) => Self::Unreachable { url, cause },
        }
    }

    /// Sorts what the HTTP client reports.
    pub(super) fn from_reqwest(url: &Url, error: reqwest::Error) -> Self {
        let cut_off = error.is_body() || error.is_decode();
        let error = error.without_url();
        let url = redacted(url);
        if let Some(refused) = find::<AddressRefused>(&error) {
            return Self::AddressRefused { url, refused: refused.clone() };
        }
        let cause = chain(&error);
        if cause.contains("certificate") {
            return Self::Certificate { url, cause };
        }
        let cause = if url.starts_with("https") && speaks_plain_http(&cause) {
            format!(
                "{cause}: what answers there does not speak TLS; if it is to be spoken to by plain HTTP, say so \
                 (`plainHttp: \"true\"` in the Secret, the chart's `store.plainHttp`, or http:// in the address)"
            )
        } else {
            cause
        };
        if cut_off { Self::Interrupted { url, cause } } else { Self::Unreachable { url, cause } }
    }

    /// Sorts a status that is no success.
    pub fn from_status(refusal: Refusal<'_>) -> Self {
        let Refusal { url, method, status, retry_after, body } = refusal;
        let (plain, url, words) = (url.scheme() == "http", redacted(url), words::said(body));
        match status.as_u16() {
            401 => Self::Unauthorized { url, words },
            403 => Self::Forbidden { url, verb: verb(method), words },
            404 | 410 => Self::NotFound { url, status, words },
            202 | 408 | 425 | 429 | 500..=599 => Self::Server { url, status, retry_after, words },
            _ if plain && words.to_ascii_lowercase().contains("https") => Self::UnexpectedStatus {
                url,
                status,
                expected: "an answer to plain HTTP (its address says http, or `plainHttp` does)",
                words,
            },
            _ => Self::UnexpectedStatus { url, status, expected: "200", words },
        }
    }
}

impl Failure for NetworkError {
    fn may_pass(&self) -> bool {
        self.is_transient()
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Server { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// An answer whose status is no success.
#[derive(Clone, Copy, Debug)]
pub struct Refusal<'a> {
    pub url: &'a Url,
    pub method: &'a Method,
    pub status: StatusCode,
    pub retry_after: Option<Duration>,
    /// The beginning of the body.
    pub body: &'a str,
}

fn verb(method: &Method) -> &'static str {
    match *method {
        Method::GET | Method::HEAD => "read",
        _ => "write to",
    }
}

fn asked(retry_after: Option<Duration>) -> String {
    retry_after
        .map_or_else(String::new, |asked| format!("; it asks to be left alone for {} s", asked.as_secs()))
}

/// What the TLS library says about bytes that are no TLS.
fn speaks_plain_http(cause: &str) -> bool {
    cause.contains("InvalidContentType") || cause.contains("corrupt message")
}

/// The first error of a type in a chain.
pub(crate) fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// The innermost words of a chain, which say more than the outermost.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut words = vec![error.to_string()];
    let mut next = error.source();
    while let Some(error) = next {
        let text = error.to_string();
        if !words.iter().any(|word| word.contains(&text)) {
            words.push(text);
        }
        next = error.source();
    }
    words.join(": ")
}

/// A URL as it may be shown: without user, password, query and fragment.
pub fn redacted(url: &Url) -> String {
    let mut shown = url.clone();
    let had_query = shown.query().is_some();
    shown.set_query(None);
    shown.set_fragment(None);
    // Only URLs that cannot have a user at all refuse this, and those have none to hide.
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    if had_query { format!("{shown}?…") } else { shown.to_string() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_shown_url_holds_neither_password_nor_query() {
        let url = Url::parse("https://user:secret@example.com/model.onnx?X-Amz-Signature=abc#part").unwrap();
        assert_eq!(redacted(&url), "https://example.com/model.onnx?…");
    }

    #[test]
    fn statuses_are_sorted_into_those_that_may_pass_and_those_that_will_not() {
        let url = Url::parse("https://example.com/x").unwrap();
        for (status, reason, transient) in [
            (401, "Unauthorized", false),
            (403, "Forbidden", false),
            (404, "NotFound", false),
            (410, "NotFound", false),
            (206, "UnexpectedStatus", false),
            (400, "UnexpectedStatus", false),
            (202, "Unreachable", true),
            (429, "Unreachable", true),
            (500, "Unreachable", true),
            (503, "Unreachable", true),
        ] {
            let error = NetworkError::from_status(Refusal {
                url: &url,
                method: &Method::GET,
                status: StatusCode::from_u16(status).unwrap(),
                retry_after: None,
                body: "its own words",
            });
            assert_eq!((error.reason(), error.is_transient()), (reason, transient), "{status}");
            assert!(error.to_string().contains("https://example.com/x"));
            assert!(error.to_string().contains("its own words"), "{error}");
        }
    }
}
