//! Predictions over one call: requests come in as the client sends them, and each is answered in its place. In goes a
//! stream of messages; out comes a stream of answers.
//!
//! Each request has its own permit, deadline and count, and an error of one does not end the stream. No more than
//! [`IN_FLIGHT`] are taken before the first of them is answered, so a client that sends faster is held back by HTTP/2.
//!
//! A server that leaves service answers what it has taken, takes nothing more, and ends the stream: what was not answered
//! was not begun, and may be sent again elsewhere.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use tokio::sync::watch;
use tonic::Status;

use super::{
    answer::frame,
    message::{Messages, Unreadable},
    proto::{ModelInferResponse, ModelStreamInferResponse},
    service::Inference,
    status::{refuse, status},
};
use crate::{
    budget::{Permit, REQUEST},
    error::ApiError,
    metrics::Outcome,
    pipeline::{Counted, take_permit},
    state::{InFlight, State},
};

/// Requests of a stream that may be without an answer.
const IN_FLIGHT: usize = 64;
/// How long a stream that was opened during a drain is left without a request before it is ended.
const UNASKED: Duration = Duration::from_secs(1);

/// How long a stream may be without a request: as long as proxies commonly let it.
const IDLE: Duration = Duration::from_mins(5);

/// What a client is told whose stream ends since the server does.
const LEAVING: &str =
    "the server leaves service; open another stream, and send what was not answered again: it was not begun";

/// Answers the requests of a stream, each with its frame.
pub fn answer(
    inference: Inference,
    messages: Messages,
    timeout: Option<Duration>,
) -> impl Stream<Item = Result<Bytes, Status>> + Send + 'static {
    let end = timeout.map(|timeout| Instant::now() + timeout);
    let state = Arc::clone(inference.state());
    let reader = Reader { leaving: state.leaving(), messages, state, asked: false, ended: false };
    stream::unfold(reader, Reader::next)
        .map(move |next| {
            let inference = inference.clone();
            async move {
                match next {
                    Next::Request(message, own, taken) => {
                        predict(&inference, message, own, taken, end).await.map_err(|error| status(&error))
                    }
                    Next::Refused(refusal) => Err(refusal),
                }
            }
        })
        .buffered(IN_FLIGHT)
}

enum Next {
    Request(Bytes, Permit, Box<Taken>),
    Refused(Status),
}

/// A request that is counted from when it came, whether or not it is its turn.
struct Taken {
    counted: Counted,
    _in_flight: InFlight,
}

impl Taken {
    fn now(state: &Arc<State>) -> Self {
        Self { counted: Counted::begin(Arc::clone(state)), _in_flight: InFlight::begin(Arc::clone(state)) }
    }
}

struct Reader {
    state: Arc<State>,
    messages: Messages,
    leaving: watch::Receiver<bool>,
    asked: bool,
    ended: bool,
}

impl Reader {
    async fn next(mut self) -> Option<(Next, Self)> {
        if self.ended {
            return None;
        }
        let leave = async {
            // The sender lives as long as the state.
            let _ = self.leaving.wait_for(|leaving| *leaving).await;
            if !self.asked {
                tokio::time::sleep(UNASKED).await;
            }
        };
        // A message that has begun has its own time.
        let idle = IDLE + Duration::from_millis(self.state.settings.limits.timeout_milliseconds);
        let next = tokio::select! {
            // A client that never pauses does not keep the server.
            biased;
            () = leave => Next::Refused(Status::unavailable(LEAVING)),
            message = message(&self.state, &mut self.messages) => match message {
                Ok(None) | Err(Unreadable::Left) => return None,
                Ok(Some((message, own))) => Next::Request(message, own, Box::new(Taken::now(&self.state))),
                Err(unreadable) => {
                    let mut counted = Counted::begin(Arc::clone(&self.state));
                    Next::Refused(refuse(unreadable, &mut counted))
                }
            },
            () = tokio::time::sleep(idle), if !self.messages.is_begun() => {
                Next::Refused(Status::deadline_exceeded(format!("no request came within {IDLE:?}; open another stream")))
            }
        };
        self.asked = true;
        self.ended = matches!(next, Next::Refused(_));
        Some((next, self))
    }
}

/// The next message, and what its request takes at its start; none at the end.
async fn message(state: &State, messages: &mut Messages) -> Result<Option<(Bytes, Permit)>, Unreadable> {
    if !messages.begin().await? {
        return Ok(None);
    }
    let own = state.budget.take(REQUEST)?;
    let deadline = Instant::now() + Duration::from_millis(state.settings.limits.timeout_milliseconds);
    Ok(Some((messages.message(deadline).await?, own)))
}

async fn predict(
    inference: &Inference,
    message: Bytes,
    own: Permit,
    taken: Box<Taken>,
    end: Option<Instant>,
) -> Result<Bytes, ApiError> {
    let Taken { mut counted, _in_flight } = *taken;
    let limit = counted.deadline();
    let deadline = end.map_or(limit, |end| limit.min(end));
    let state = inference.state();
    let mut id = String::new();
    let answer = async {
        let _permit = take_permit(state)?;
        let (message, memory) = inference.read(message, deadline).await?;
        id.clone_from(&message.id);
        inference.predict(message, memory, deadline).await
    };
    let answer = tokio::time::timeout_at(deadline.into(), answer).await.unwrap_or_else(|_| {
        Err(ApiError::Timeout { milliseconds: state.settings.limits.timeout_milliseconds })
    });
    match answer {
        Ok((answer, _memory)) => {
            counted.outcome = Outcome::Predicted;
            let answer =
                ModelStreamInferResponse { error_message: String::new(), infer_response: Some(answer) };
            frame(state, own, &answer)
        }
        Err(error) => {
            tracing::debug!(%error, "refused");
            counted.outcome = error.outcome();
            let named = ModelInferResponse { id, ..ModelInferResponse::default() };
            let answer =
                ModelStreamInferResponse { error_message: error.to_string(), infer_response: Some(named) };
            frame(state, own, &answer)
        }
    }
}
