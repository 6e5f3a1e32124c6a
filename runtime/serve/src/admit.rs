//! Lets a request's body in, within the limits of size and time. In go a request's head and its stream; out come the
//! bytes, or the refusal.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::Poll,
    time::Instant,
};

use actix_web::{
    HttpRequest,
    http::header::{CONTENT_ENCODING, CONTENT_LENGTH},
    web::{Bytes, Payload},
};
use futures::StreamExt;

use super::{
    budget::{Room, SMALL},
    compress::{self, Encoding, InflateError},
    error::ApiError,
    pace::{LEAST_RATE, Slow, in_time},
    pipeline::{Deadline, offload},
    spare::Buffer,
    state::State,
};

/// Header of the binary tensor extension: the length of the JSON in front of the data.
pub const BINARY_HEADER: &str = "inference-header-content-length";
/// Binary data are laid so that elements of any datatype, and a processor's widest loads, find them aligned.
const ALIGNMENT: usize = 64;
/// Most bytes that are reserved on a header's word.
const MAX_RESERVED: u64 = 1024 * 1024 * 1024;

#[derive(Clone, Debug)]
pub struct Body {
    pub bytes: Bytes,
    /// Length of the JSON if binary data stand behind it.
    pub json_length: Option<usize>,
}

pub async fn read_body(
    state: &State,
    request: &HttpRequest,
    payload: Payload,
    deadline: Instant,
) -> Result<Body, ApiError> {
    let limits = &state.settings.limits;
    let limit = limits.max_request_bytes;
    let head = read_head(request, limit)?;
    // Who is refused before he sends, sends nothing in vain.
    if let Some(length) = head.length.filter(|length| *length > SMALL as u64) {
        state.budget.expect(usize::try_from(length).unwrap_or(usize::MAX))?;
    }
    let came = AtomicU64::new(0);
    let mut body = pin!(collect(state, payload, &head, &came));
    // Most bodies come with their head, and need no timer.
    let bytes = match futures::poll!(&mut body) {
        Poll::Ready(bytes) => bytes?,
        Poll::Pending => match Box::pin(in_time(body, &came, deadline)).await {
            Ok(bytes) => bytes?,
            Err(Slow::Deadline) => {
                return Err(ApiError::SlowBody { milliseconds: limits.timeout_milliseconds });
            }
            Err(Slow::Rate) => return Err(ApiError::SlowRate { rate: LEAST_RATE }),
        },
    };
    let bytes = match head.encoding {
        None => bytes,
        Some(encoding) => Box::pin(inflate(state, encoding, bytes, head.json_length, deadline)).await?,
    };
    Ok(Body { bytes, json_length: head.json_length })
}

async fn inflate(
    state: &State,
    encoding: Encoding,
    body: Bytes,
    json_length: Option<usize>,
    deadline: Instant,
) -> Result<Bytes, ApiError> {
    let limit = state.settings.limits.max_request_bytes;
    let budget = Arc::clone(&state.budget);
    // Inflating takes about ten times as long as reading.
    offload(body.len().saturating_mul(10), Deadline::new(state, deadline), move || {
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let room = Room::new(&budget, most.saturating_add(ALIGNMENT + 1));
        match compress::inflate(encoding, &body, most, room, |address| padding(address, json_length)) {
            Ok(inflated) => Ok(inflated),
            Err(InflateError::TooLarge { .. }) => Err(ApiError::TooLarge { limit }),
            Err(InflateError::Memory(refused)) => Err(refused.into()),
            Err(InflateError::Broken(error)) => Err(ApiError::BadRequest(format!(
                "the request's body is no whole {}, as its Content-Encoding says: {error}",
                encoding.name()
            ))),
        }
    })
    .await
}

/// Zeros to put before a body so that what stands behind its JSON is aligned.
fn padding(address: usize, json_length: Option<usize>) -> usize {
    json_length.map_or(0, |json| address.wrapping_add(json).wrapping_neg() % ALIGNMENT)
}

/// What the head says of the body.
#[derive(Clone, Copy, Debug)]
struct Head {
    length: Option<u64>,
    json_length: Option<usize>,
    encoding: Option<Encoding>,
}

fn read_head(request: &HttpRequest, limit: u64) -> Result<Head, ApiError> {
    let headers = request.headers();
    let encoding = match headers.get(CONTENT_ENCODING) {
        None => None,
        Some(name) if name == "identity" => None,
        Some(name) => Some(name.to_str().ok().and_then(Encoding::parse).ok_or_else(|| {
            let encoding = String::from_utf8_lossy(name.as_bytes()).chars().take(40).collect();
            ApiError::Encoding { encoding }
        })?),
    };
    let json_length = match headers.get(BINARY_HEADER) {
        None => None,
        Some(value) => Some(value.to_str().ok().and_then(|value| value.parse().ok()).ok_or_else(|| {
            ApiError::BadRequest(format!(
                "{BINARY_HEADER} is {value:?}, expected the length of the request's JSON in bytes"
            ))
        })?),
    };
    let length = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok())
        .and_then(|text| text.parse().ok());
    if length.is_some_and(|length| length > limit) {
        return Err(ApiError::TooLarge { limit });
    }
    Ok(Head { length, json_length, encoding })
}

/// Puts the pieces of a body together: one piece stays where it is; several are copied once, to a place where binary data
/// lie aligned.
async fn collect(
    state: &State,
    mut payload: Payload,
    head: &Head,
    came: &AtomicU64,
) -> Result<Bytes, ApiError> {
    let limit = state.settings.limits.max_request_bytes;
    let broken = |error| ApiError::BadRequest(format!("the request's body ended early: {error}"));
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let Some(first) = payload.next().await else { return Ok(Bytes::new()) };
    let first = first.map_err(broken)?;
    if head.length == Some(first.len() as u64) && head.json_length.is_none_or(|json| is_aligned(&first, json))
    {
        return Ok(match state.budget.take_large(first.len())? {
            Some(permit) => permit.hold(first),
            None => first,
        });
    }
    let reserved = usize::try_from(head.length.unwrap_or(first.len() as u64).min(MAX_RESERVED)).unwrap_or(0);
    let mut room = Room::new(&state.budget, head.length.map_or(most, |_| reserved.max(first.len())));
    // Memory that nothing is written to takes none.
    let mut body = Buffer::new(reserved.saturating_add(ALIGNMENT));
    let padding = padding(body.as_ptr() as usize, head.json_length);
    body.resize(padding, 0);
    let mut next = Some(first);
    while let Some(chunk) = next {
        let length = (body.len() - padding).saturating_add(chunk.len());
        if length > most {
            return Err(ApiError::TooLarge { limit });
        }
        let has_room_for = room.make(length)?;
        if length + padding > body.capacity() {
            let more = has_room_for + padding - body.len();
            body.reserve_exact(more);
        }
        came.fetch_add(chunk.len() as u64, Relaxed);
        body.extend_from_slice(&chunk);
        // Its buffer is read into again, while it is in the processor's cache.
        drop(chunk);
        next = payload.next().await.transpose().map_err(broken)?;
    }
    let permit = room.close(body.capacity());
    Ok(match permit {
        Some(permit) => permit.hold(body),
        None => body.share(),
    }
    .slice(padding..))
}

/// Whether elements of eight bytes may be read behind the JSON.
fn is_aligned(body: &Bytes, json: usize) -> bool {
    (body.as_ptr() as usize).wrapping_add(json).is_multiple_of(size_of::<u64>())
}
