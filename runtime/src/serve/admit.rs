//! Lets a request in: a place, and its body within the limits of size and time. In go a request's head and its stream;
//! out come the bytes, or the refusal.

use std::{sync::Arc, time::Instant};

use actix_web::{
    HttpRequest,
    http::header::{CONTENT_ENCODING, CONTENT_LENGTH},
    web::{Bytes, BytesMut, Payload},
};
use futures::StreamExt;
use tokio::sync::OwnedSemaphorePermit;

use super::{
    error::ApiError,
    state::{State, left},
};

/// Header of the binary tensor extension.
const BINARY_HEADER: &str = "inference-header-content-length";

/// Takes a place; it is free again when the permit is dropped.
pub fn take_place(state: &State) -> Result<OwnedSemaphorePermit, ApiError> {
    Arc::clone(&state.places)
        .try_acquire_owned()
        .map_err(|_| ApiError::Overloaded { queue: state.settings.limits.queue })
}

/// Reads the body.
pub async fn read_body(
    state: &State,
    request: &HttpRequest,
    payload: Payload,
    deadline: Instant,
) -> Result<Bytes, ApiError> {
    let limits = &state.settings.limits;
    refuse_head(request, limits.max_request_bytes)?;
    let limit = usize::try_from(limits.max_request_bytes).unwrap_or(usize::MAX);
    tokio::time::timeout(left(deadline), collect(payload, limit, limits.max_request_bytes))
        .await
        .unwrap_or(Err(ApiError::SlowBody { milliseconds: limits.timeout_milliseconds }))
}

fn refuse_head(request: &HttpRequest, limit: u64) -> Result<(), ApiError> {
    let header = |name| request.headers().get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
    if let Some(encoding) = header(CONTENT_ENCODING).filter(|encoding| encoding != "identity") {
        return Err(ApiError::Encoding { encoding: encoding.chars().take(40).collect() });
    }
    if request.headers().contains_key(BINARY_HEADER) {
        return Err(ApiError::BadRequest(
            "the binary tensor extension is not served here; send and ask for JSON data (binary_data: false)"
                .to_owned(),
        ));
    }
    let length: Option<u64> = header(CONTENT_LENGTH).and_then(|length| length.parse().ok());
    if length.is_some_and(|length| length > limit) {
        return Err(ApiError::TooLarge { limit });
    }
    Ok(())
}

async fn collect(mut payload: Payload, limit: usize, shown: u64) -> Result<Bytes, ApiError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk
            .map_err(|error| ApiError::BadRequest(format!("the request's body ended early: {error}")))?;
        if body.len().saturating_add(chunk.len()) > limit {
            return Err(ApiError::TooLarge { limit: shown });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}
