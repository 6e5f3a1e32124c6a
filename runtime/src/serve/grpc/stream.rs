//! Predictions over one call: requests come in as the client sends them, and each is answered in its place. In goes a
//! stream of messages; out comes a stream of answers.
//!
//! Each request has its own place, deadline and count, and an error of one does not end the stream. No more than
//! [`IN_FLIGHT`] are taken before the first of them is answered, so a client that sends faster is held back by HTTP/2.
//!
//! A server that leaves service answers what it has taken, takes nothing more, and ends the stream: what was not answered
//! was not begun, and may be sent again elsewhere.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{Stream, StreamExt, stream};
use tokio::sync::watch;
use tonic::{Request, Status, Streaming};

use super::{
    front::{self, status},
    message::Broken,
    proto::{ModelInferRequest, ModelInferResponse, ModelStreamInferResponse},
    service::Inference,
};
use crate::{
    metrics::Outcome,
    serve::{
        error::ApiError,
        pipeline::{Counted, take_place},
        state::{InFlight, State},
    },
};

/// Requests of a stream that may be without an answer.
const IN_FLIGHT: usize = 64;
/// How long a stream that was opened during a drain is left without a request before it is ended.
const UNASKED: Duration = Duration::from_secs(1);

/// What a client is told whose stream ends since the server does.
const LEAVING: &str =
    "the server leaves service; open another stream, and send what was not answered again: it was not begun";

type Answer = Result<ModelStreamInferResponse, Status>;

/// Answers the requests of a stream.
pub fn answer(
    inference: Inference,
    request: Request<Streaming<ModelInferRequest>>,
) -> impl Stream<Item = Answer> + Send + 'static {
    let patience = front::patience(&request.metadata().clone().into_headers());
    let end = patience.map(|patience| Instant::now() + patience);
    let broken = request.extensions().get::<Broken>().cloned().unwrap_or_default();
    let state = Arc::clone(inference.state());
    let reader = Reader {
        leaving: state.leaving(),
        messages: request.into_inner(),
        state,
        broken,
        asked: false,
        ended: false,
    };
    stream::unfold(reader, Reader::next)
        .map(move |next| {
            let inference = inference.clone();
            async move {
                match next {
                    Next::Request(message, taken) => Ok(predict(&inference, *message, taken, end).await),
                    Next::Refused(refusal) => Err(refusal),
                }
            }
        })
        .buffered(IN_FLIGHT)
}

/// What a stream brings.
enum Next {
    Request(Box<ModelInferRequest>, Taken),
    /// Nothing more is taken.
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
    messages: Streaming<ModelInferRequest>,
    leaving: watch::Receiver<bool>,
    broken: Broken,
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
        let next = tokio::select! {
            // A client that never pauses does not keep the server.
            biased;
            () = leave => Next::Refused(Status::unavailable(LEAVING)),
            message = self.messages.message() => match message {
                Ok(message) => Next::Request(Box::new(message?), Taken::now(&self.state)),
                // The client left, and reads nothing.
                Err(_) if self.broken.is_so() => return None,
                Err(refusal) => Next::Refused(refuse(&self.state, refusal)),
            },
        };
        self.asked = true;
        self.ended = matches!(next, Next::Refused(_));
        Some((next, self))
    }
}

async fn predict(
    inference: &Inference,
    message: ModelInferRequest,
    Taken { mut counted, _in_flight }: Taken,
    end: Option<Instant>,
) -> ModelStreamInferResponse {
    let limit = counted.deadline();
    let deadline = end.map_or(limit, |end| limit.min(end));
    let id = message.id.clone();
    let state = inference.state();
    let answer = async {
        let _place = take_place(state)?;
        tokio::time::timeout_at(deadline.into(), inference.predict(message, deadline)).await.unwrap_or_else(
            |_| Err(ApiError::Timeout { milliseconds: state.settings.limits.timeout_milliseconds }),
        )
    };
    match answer.await {
        Ok(answer) => {
            counted.outcome = Outcome::Predicted;
            ModelStreamInferResponse { error_message: String::new(), infer_response: Some(answer) }
        }
        Err(error) => {
            tracing::debug!(%error, "refused");
            counted.outcome = error.outcome();
            let named = ModelInferResponse { id, ..ModelInferResponse::default() };
            ModelStreamInferResponse { error_message: error.to_string(), infer_response: Some(named) }
        }
    }
}

/// A message that cannot be read, and so none behind it.
fn refuse(state: &Arc<State>, refusal: Status) -> Status {
    let mut counted = Counted::begin(Arc::clone(state));
    let Some(error) = front::unreadable(state, refusal.code()) else {
        counted.outcome = Outcome::Encoding;
        return refusal;
    };
    counted.outcome = error.outcome();
    status(&error)
}
