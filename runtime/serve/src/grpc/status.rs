//! What gRPC says of a call beside its messages: how long its client waits, and why it is refused. In go headers and
//! errors; out come durations and statuses.

use std::time::Duration;

use hyper::header::HeaderMap;
use tonic::{
    Code, Status,
    metadata::{MetadataMap, MetadataValue},
};

use super::message::Unreadable;
use crate::metrics::Outcome;
use crate::{error::ApiError, pipeline::Counted};

/// Milliseconds after which a client may send again what was refused for want of memory.
const RETRY: &str = "1000";
/// A client that reads this does not send again by itself: <https://github.com/grpc/proposal/blob/master/A6-client-retries.md>.
const NO_RETRY: &str = "-1";

/// The status of a call whose message cannot be read, and what it counts as.
pub fn refuse(unreadable: Unreadable, counted: &mut Counted) -> Status {
    match unreadable {
        // Counted as a client that left.
        Unreadable::Left => Status::cancelled("the client left"),
        Unreadable::Encoding(status) => {
            counted.outcome = Outcome::Encoding;
            status
        }
        Unreadable::Refused(error) => {
            tracing::debug!(%error, "refused");
            counted.outcome = error.outcome();
            status(&error)
        }
    }
}

/// How long the client waits: up to eight digits and a unit.
pub fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = digits.parse().ok().filter(|_| digits.len() <= 8)?;
    Some(match unit {
        "H" => Duration::from_hours(number),
        "M" => Duration::from_mins(number),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

/// An error in gRPC's words.
pub fn status(error: &ApiError) -> Status {
    let code = match error {
        ApiError::BadRequest(_) => Code::InvalidArgument,
        ApiError::NotFound(_) => Code::NotFound,
        ApiError::MethodNotAllowed { .. } | ApiError::Encoding { .. } => Code::Unimplemented,
        ApiError::SlowBody { .. } | ApiError::SlowRate { .. } | ApiError::Timeout { .. } => {
            Code::DeadlineExceeded
        }
        ApiError::TooLarge { .. } | ApiError::TooMuch { .. } | ApiError::MemoryFull { .. } => {
            Code::ResourceExhausted
        }
        ApiError::Failed(_) => Code::Internal,
        // The code that clients and meshes send again after.
        ApiError::Overloaded { .. } | ApiError::NotReady(_) | ApiError::Stopping => Code::Unavailable,
    };
    let retry = match error {
        ApiError::MemoryFull { .. } => RETRY,
        // It would be refused again.
        ApiError::TooLarge { .. } | ApiError::TooMuch { .. } => NO_RETRY,
        _ => return Status::new(code, error.to_string()),
    };
    let mut metadata = MetadataMap::new();
    metadata.insert("grpc-retry-pushback-ms", MetadataValue::from_static(retry));
    Status::with_metadata(code, error.to_string(), metadata)
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn a_clients_patience_is_read_in_every_unit() {
        for (text, timeout) in [
            ("2S", Some(Duration::from_secs(2))),
            ("90m", Some(Duration::from_millis(90))),
            ("7u", Some(Duration::from_micros(7))),
            ("99999999H", Some(Duration::from_hours(99_999_999))),
            ("100000000S", None),
            ("S", None),
            ("", None),
            ("5x", None),
            ("-1S", None),
        ] {
            let headers = HeaderMap::from_iter([(
                HeaderName::from_static("grpc-timeout"),
                HeaderValue::from_static(text),
            )]);
            assert_eq!(super::timeout(&headers), timeout, "{text}");
        }
    }
}
