//! Messages of a call, as the client sends them. In goes the connection's body; out come whole messages, inflated, with
//! their memory taken from the budget as they come; or why one cannot be read.
//!
//! What is announced and does not come takes nothing, what comes too slowly is given up, and what is too large is refused
//! by its head, before the rest of it is read.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::Poll,
    time::Instant,
};

use bytes::{Buf, Bytes};
use hyper::{
    body::{Body, Incoming},
    header::HeaderMap,
};
use tonic::{
    Code, Status,
    metadata::{MetadataMap, MetadataValue},
};

use crate::{
    budget::{Refused, Room, SMALL},
    compress::{self, Encoding, InflateError},
    error::ApiError,
    pace::{LEAST_RATE, Slow, in_time},
    pipeline::{Deadline, offload},
    spare::Buffer,
    state::State,
};

/// What a message is told that is none.
pub const NO_MESSAGE: &str =
    "the message is no ModelInferRequest of the Open Inference Protocol, or it ended early";
/// Before each message: whether it is compressed, and its length.
pub const HEAD: usize = 5;
const ENCODINGS: &str = "identity,gzip,deflate";

/// Why a message cannot be read.
#[derive(Debug)]
pub enum Unreadable {
    /// The client left, or sent the call to a server that had said that it takes no more, and sends it elsewhere. That is
    /// no mistake in the message.
    Left,
    /// It is compressed in another way.
    Encoding(Status),
    Refused(ApiError),
}

impl From<ApiError> for Unreadable {
    fn from(error: ApiError) -> Self {
        Self::Refused(error)
    }
}

impl From<Refused> for Unreadable {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused.into())
    }
}

/// A message that is none.
fn broken() -> Unreadable {
    Unreadable::Refused(ApiError::BadRequest(NO_MESSAGE.to_owned()))
}

/// The messages of a call.
#[derive(Debug)]
pub struct Messages {
    state: Arc<State>,
    body: Incoming,
    /// Of what came, that of which nothing was read.
    rest: Bytes,
    encoding: Option<Encoding>,
}

impl Messages {
    /// Of a call with these headers.
    pub fn new(state: Arc<State>, headers: &HeaderMap, body: Incoming) -> Result<Self, Unreadable> {
        let encoding = match headers.get("grpc-encoding") {
            None => None,
            Some(name) if name == "identity" => None,
            Some(name) => Some(name.to_str().ok().and_then(Encoding::parse).ok_or_else(|| {
                let mut metadata = MetadataMap::new();
                metadata.insert("grpc-accept-encoding", MetadataValue::from_static(ENCODINGS));
                let problem = format!("the message has grpc-encoding {name:?}; expected one of {ENCODINGS}");
                Unreadable::Encoding(Status::with_metadata(Code::Unimplemented, problem, metadata))
            })?),
        };
        Ok(Self { state, body, rest: Bytes::new(), encoding })
    }

    /// Waits for the start of a message; false at the end of the call. May be dropped and asked again.
    pub async fn begin(&mut self) -> Result<bool, Unreadable> {
        fill(&mut self.body, &mut self.rest).await
    }

    /// Whether something of a message is there, so that the rest of it is to come.
    pub fn is_begun(&self) -> bool {
        !self.rest.is_empty()
    }

    /// Waits for the end of the call, behind its only message.
    pub async fn end(&mut self) -> Result<(), Unreadable> {
        if self.begin().await? {
            let problem = "the call has more than one message; expected one, or ModelStreamInfer".to_owned();
            return Err(Unreadable::Refused(ApiError::BadRequest(problem)));
        }
        Ok(())
    }

    pub async fn message(&mut self, deadline: Instant) -> Result<Bytes, Unreadable> {
        let limits = &self.state.settings.limits;
        let came = AtomicU64::new(0);
        let (is_compressed, message) = {
            let mut reading = pin!(read(&self.state, &mut self.body, &mut self.rest, &came));
            // Most messages are there at once, and need no timer.
            match futures::poll!(&mut reading) {
                Poll::Ready(read) => read?,
                Poll::Pending => match Box::pin(in_time(reading, &came, deadline)).await {
                    Ok(read) => read?,
                    Err(Slow::Deadline) => {
                        let milliseconds = limits.timeout_milliseconds;
                        return Err(ApiError::SlowBody { milliseconds }.into());
                    }
                    Err(Slow::Rate) => return Err(ApiError::SlowRate { rate: LEAST_RATE }.into()),
                },
            }
        };
        match (is_compressed, self.encoding) {
            (false, _) => Ok(message),
            (true, Some(encoding)) => Ok(Box::pin(inflate(&self.state, encoding, message, deadline)).await?),
            (true, None) => Err(Unreadable::Refused(ApiError::BadRequest(
                "the message says that it is compressed, and the call has no grpc-encoding".to_owned(),
            ))),
        }
    }
}

/// Waits until something is there that was not read; false at the end.
async fn fill(body: &mut Incoming, rest: &mut Bytes) -> Result<bool, Unreadable> {
    while rest.is_empty() {
        match poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await {
            // Trailers are no data.
            Some(Ok(frame)) => *rest = frame.into_data().unwrap_or_default(),
            Some(Err(_)) => return Err(Unreadable::Left),
            None => return Ok(false),
        }
    }
    Ok(true)
}

/// Reads a message as it was sent, and whether it is compressed.
async fn read(
    state: &State,
    body: &mut Incoming,
    rest: &mut Bytes,
    came: &AtomicU64,
) -> Result<(bool, Bytes), Unreadable> {
    let limit = state.settings.limits.max_request_bytes;
    let mut head = [0; HEAD];
    for byte in &mut head {
        if !fill(body, rest).await? {
            return Err(broken());
        }
        *byte = rest.get_u8();
    }
    let [compressed, length @ ..] = head;
    let length = u32::from_be_bytes(length);
    if compressed > 1 {
        return Err(broken());
    }
    if u64::from(length) > limit {
        return Err(ApiError::TooLarge { limit }.into());
    }
    let length = length as usize;
    // Who is refused before he sends, sends nothing in vain.
    if length > SMALL {
        state.budget.expect(length)?;
    }
    let mut room = Room::new(&state.budget, length);
    // Memory that nothing is written to takes none.
    let mut message = Buffer::new(length);
    while message.len() < length {
        if !fill(body, rest).await? {
            return Err(broken());
        }
        let piece = rest.split_to(rest.len().min(length - message.len()));
        room.make(message.len() + piece.len())?;
        came.fetch_add(piece.len() as u64, Relaxed);
        message.extend_from_slice(&piece);
    }
    let message = match room.close(length) {
        Some(permit) => permit.hold(message),
        None => message.share(),
    };
    Ok((compressed == 1, message))
}

async fn inflate(
    state: &State,
    encoding: Encoding,
    message: Bytes,
    deadline: Instant,
) -> Result<Bytes, ApiError> {
    let limit = state.settings.limits.max_request_bytes;
    let budget = Arc::clone(&state.budget);
    // Inflating takes about ten times as long as reading.
    offload(message.len().saturating_mul(10), Deadline::new(state, deadline), move || {
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let room = Room::new(&budget, most.saturating_add(1));
        compress::inflate(encoding, &message, most, room, |_| 0).map_err(|error| match error {
            InflateError::TooLarge { .. } => ApiError::TooLarge { limit },
            InflateError::Memory(refused) => refused.into(),
            InflateError::Broken(error) => {
                let name = encoding.name();
                ApiError::BadRequest(format!(
                    "the message is no whole {name}, as its grpc-encoding says: {error}"
                ))
            }
        })
    })
    .await
}
