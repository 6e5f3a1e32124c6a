//! What can go wrong on the network, for people: which URL, what was expected, what to do.

use std::error::Error;

use reqwest::StatusCode;
use url::Url;

use super::address::AddressRefused;

/// A request that did not work out.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The host is at an address that may not be connected to.
    #[error("{url} may not be fetched: {refused}")]
    AddressRefused {
        /// What was asked for, without secrets.
        url: String,
        /// Which address, and why.
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
        /// Which rule it breaks.
        why: &'static str,
    },
    /// 401.
    #[error(
        "{url} answered 401 Unauthorized: it wants credentials or does not accept those it got; name a Secret with \
         the right keys (docs/sources.md) in `credentialsSecret`"
    )]
    Unauthorized {
        /// What was asked for, without secrets.
        url: String,
    },
    /// 403.
    #[error(
        "{url} answered 403 Forbidden: these credentials (or none) may not read it; give them the right to, or \
         correct the address"
    )]
    Forbidden {
        /// What was asked for, without secrets.
        url: String,
    },
    /// 404 or 410.
    #[error("{url} answered {status}: nothing is there; check the address for a typing error")]
    NotFound {
        /// What was asked for, without secrets.
        url: String,
        /// The status.
        status: StatusCode,
    },
    /// A status that a retry will not change.
    #[error("{url} answered {status}, where 200 was expected{detail}")]
    UnexpectedStatus {
        /// What was asked for, without secrets.
        url: String,
        /// The status.
        status: StatusCode,
        /// The server's own words, if it had any.
        detail: String,
    },
    /// A status that may pass: 408, 429, 5xx.
    #[error("{url} answered {status}; this may pass, and was tried several times")]
    Server {
        /// What was asked for, without secrets.
        url: String,
        /// The status.
        status: StatusCode,
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
    /// No connection.
    #[error("{url} cannot be reached: {cause}")]
    Unreachable {
        /// What was asked for, without secrets.
        url: String,
        /// Why.
        cause: String,
    },
    /// The answer broke off.
    #[error("the answer of {url} broke off: {cause}")]
    Interrupted {
        /// What was asked for, without secrets.
        url: String,
        /// Why.
        cause: String,
    },
    /// The client cannot be built.
    #[error("the certificates under the key `ca.crt` cannot be read as PEM: {cause}")]
    Certificates {
        /// Why.
        cause: String,
    },
}

impl NetworkError {
    /// One word for conditions.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::AddressRefused { .. } => "AddressRefused",
            Self::RedirectRefused { .. } => "RedirectRefused",
            Self::Unauthorized { .. } => "Unauthorized",
            Self::Forbidden { .. } => "Forbidden",
            Self::NotFound { .. } => "NotFound",
            Self::UnexpectedStatus { .. } => "UnexpectedStatus",
            Self::Certificate { .. } | Self::Certificates { .. } => "CertificateRefused",
            Self::Server { .. } | Self::Unreachable { .. } | Self::Interrupted { .. } => "Unreachable",
        }
    }

    /// Whether the same request may work later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Server { .. } | Self::Unreachable { .. } | Self::Interrupted { .. })
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
        if cut_off { Self::Interrupted { url, cause } } else { Self::Unreachable { url, cause } }
    }

    /// Sorts a status that is no success.
    pub fn from_status(url: &Url, status: StatusCode, body: &str) -> Self {
        let url = redacted(url);
        match status.as_u16() {
            401 => Self::Unauthorized { url },
            403 => Self::Forbidden { url },
            404 | 410 => Self::NotFound { url, status },
            408 | 425 | 429 | 500..=599 => Self::Server { url, status },
            _ => Self::UnexpectedStatus { url, status, detail: detail(body) },
        }
    }
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

fn detail(body: &str) -> String {
    let words: String = body.chars().filter(|c| !c.is_control()).take(200).collect();
    if words.trim().is_empty() { String::new() } else { format!(": {}", words.trim()) }
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
            (400, "UnexpectedStatus", false),
            (429, "Unreachable", true),
            (500, "Unreachable", true),
            (503, "Unreachable", true),
        ] {
            let error = NetworkError::from_status(&url, StatusCode::from_u16(status).unwrap(), "");
            assert_eq!((error.reason(), error.is_transient()), (reason, transient), "{status}");
            assert!(error.to_string().contains("https://example.com/x"));
        }
    }
}
