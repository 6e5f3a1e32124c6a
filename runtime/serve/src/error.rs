//! Every answer other than 200: a status and `{"error": "..."}` for people, without the server's internals.

use actix_web::{HttpResponse, ResponseError, http::StatusCode, http::header};

use super::budget::{self, shown};
use crate::metrics::Outcome;

/// Seconds after which a client may try again.
const RETRY_AFTER: &str = "1";

/// A request that gets no prediction.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// 400: the body, or what is in it.
    #[error("{0}")]
    BadRequest(String),
    /// 404: another model, version or path.
    #[error("{0}")]
    NotFound(String),
    #[error("method {method} is not allowed here; expected {expected}")]
    MethodNotAllowed { method: String, expected: &'static str },
    /// 408: the body came too slowly.
    #[error(
        "the request's body did not arrive within {milliseconds} ms; send it faster, or set serving.timeout higher"
    )]
    SlowBody { milliseconds: u64 },
    /// 413: the body is too large.
    #[error(
        "the request's body is larger than {limit} bytes; send fewer rows, or set serving.maxRequestBytes higher"
    )]
    TooLarge { limit: u64 },
    /// 408: the body came at less than the least rate.
    #[error(
        "the request's body came at less than {rate} bytes a second; send it faster, or over a better line"
    )]
    SlowRate { rate: u64 },
    /// 413: what it takes is more than can ever be held.
    #[error(
        "the request and its answer take {bytes} bytes of memory, and no more than {} are held for all requests; send \
         fewer rows, or give the server more memory", shown(*.most)
    )]
    TooMuch { bytes: u64, most: u64 },
    /// 415: the body is compressed in another way.
    #[error("the request's body has Content-Encoding {encoding:?}; expected gzip, deflate or none")]
    Encoding { encoding: String },
    /// 500: the model failed.
    #[error("{0}")]
    Failed(String),
    /// 503: no room in the queue.
    #[error("all {queue} places in the queue are taken; try again in a second, or add replicas")]
    Overloaded { queue: u32 },
    /// 503: no memory for it now.
    #[error(
        "the memory for requests ({} bytes) is taken; try again in a second, send less at once, or add replicas",
        shown(*.most)
    )]
    MemoryFull { most: u64 },
    /// 503: not loaded, or refused.
    #[error("{0}")]
    NotReady(String),
    /// 503: the process ends before the run does.
    #[error("the server is stopping; send the request again")]
    Stopping,
    /// 504: no answer in time.
    #[error(
        "no answer within {milliseconds} ms; send fewer rows, add replicas, or set serving.timeout higher"
    )]
    Timeout { milliseconds: u64 },
}

impl ApiError {
    /// What a request counts as that ends so.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::BadRequest(_) => Outcome::Invalid,
            // Another method never comes as far as where requests are counted.
            Self::NotFound(_) | Self::MethodNotAllowed { .. } => Outcome::NotFound,
            Self::SlowBody { .. } | Self::SlowRate { .. } => Outcome::SlowBody,
            Self::TooLarge { .. } | Self::TooMuch { .. } => Outcome::TooLarge,
            Self::Encoding { .. } => Outcome::Encoding,
            Self::Failed(_) => Outcome::Failed,
            Self::Overloaded { .. } => Outcome::QueueFull,
            Self::MemoryFull { .. } => Outcome::MemoryFull,
            Self::NotReady(_) => Outcome::NotReady,
            Self::Stopping => Outcome::Stopping,
            Self::Timeout { .. } => Outcome::Deadline,
        }
    }
}

impl From<budget::Refused> for ApiError {
    fn from(refused: budget::Refused) -> Self {
        match refused {
            budget::Refused::Never { bytes, most } => {
                Self::TooMuch { bytes: bytes as u64, most: most as u64 }
            }
            budget::Refused::Now { most } => Self::MemoryFull { most: most as u64 },
        }
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::SlowBody { .. } | Self::SlowRate { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge { .. } | Self::TooMuch { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Encoding { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Overloaded { .. } | Self::MemoryFull { .. } | Self::NotReady(_) | Self::Stopping => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Timeout { .. } => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        if self.status_code() == StatusCode::SERVICE_UNAVAILABLE {
            response.insert_header((header::RETRY_AFTER, RETRY_AFTER));
        }
        if let Self::MethodNotAllowed { expected, .. } = self {
            response.insert_header((header::ALLOW, *expected));
        }
        response.json(serde_json::json!({ "error": self.to_string() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_counted_under_the_status_that_it_is_answered_with() {
        for error in [
            ApiError::BadRequest(String::new()),
            ApiError::NotFound(String::new()),
            ApiError::SlowBody { milliseconds: 1 },
            ApiError::SlowRate { rate: 1 },
            ApiError::TooLarge { limit: 1 },
            ApiError::TooMuch { bytes: 2, most: 1 },
            ApiError::MemoryFull { most: 1 },
            ApiError::Encoding { encoding: String::new() },
            ApiError::Failed(String::new()),
            ApiError::Overloaded { queue: 1 },
            ApiError::NotReady(String::new()),
            ApiError::Stopping,
            ApiError::Timeout { milliseconds: 1 },
        ] {
            assert_eq!(error.outcome().code(), error.status_code().as_u16(), "{error:?}");
        }
    }
}
