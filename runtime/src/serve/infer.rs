//! A prediction over HTTP: admit → decode → run → encode. In goes a request; out comes the answer, counted.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use actix_web::{HttpRequest, HttpResponse, http::header::ContentType, web};

use super::{
    admit,
    decode::{self, InferRequest},
    encode::{self, EncodeError, Envelope},
    error::ApiError,
    metadata::check_address,
    state::{Served, State, left},
    worker::{Answer, Refused},
};
use crate::{
    session::{
        Cancellation, RunError,
        validate::{validate_inputs, validate_outputs},
    },
    tensor::Tensor,
};

/// Larger texts are read and written on other threads, so that health checks do not wait for them.
const SMALL: usize = 64 * 1024;
/// What is counted for a client that left before its answer.
const CLIENT_LEFT: u16 = 499;

/// Counts the answer when it is dropped.
struct Counted<'a> {
    state: &'a State,
    begun: Instant,
    code: u16,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.state.metrics.answered(self.code, self.begun.elapsed());
    }
}

/// Answers a request.
pub async fn infer(state: web::Data<State>, request: HttpRequest, payload: web::Payload) -> HttpResponse {
    let mut counted = Counted { state: &state, begun: Instant::now(), code: CLIENT_LEFT };
    let response = match answer(&state, &request, payload, counted.begun).await {
        Ok(text) => HttpResponse::Ok().content_type(ContentType::json()).body(text),
        Err(error) => {
            tracing::debug!(%error, "refused");
            HttpResponse::from_error(error)
        }
    };
    counted.code = response.status().as_u16();
    response
}

async fn answer(
    state: &State,
    request: &HttpRequest,
    payload: web::Payload,
    begun: Instant,
) -> Result<String, ApiError> {
    check_address(state, request)?;
    let served = state.served().map_err(ApiError::Unavailable)?;
    let limits = &state.settings.limits;
    let deadline = begun + Duration::from_millis(limits.timeout_milliseconds);
    let _place = admit::take_place(state)?;
    let body = admit::read_body(state, request, payload, deadline).await?;
    let (id, inference) = read(body, Arc::clone(&served)).await?;
    let missing = inference.missing;
    let answer = run(state, &served, inference, deadline).await?;
    state.metrics.computed(answer.queued, answer.computed);
    let outputs = answer.outputs.map_err(|error| run_error(&error))?;
    write(state, id, outputs, missing).await
}

async fn read(body: web::Bytes, served: Arc<Served>) -> Result<(Option<String>, InferRequest), ApiError> {
    offload(body.len(), move || {
        let bad = |error: &dyn std::fmt::Display| ApiError::BadRequest(error.to_string());
        let mut request = decode::decode(&body).map_err(|error| bad(&error))?;
        validate_inputs(&served.signature, &request.inputs).map_err(|error| bad(&error))?;
        validate_outputs(&served.signature, &request.outputs).map_err(|error| bad(&error))?;
        Ok((request.id.take(), request))
    })
    .await
}

async fn run(
    state: &State,
    served: &Served,
    inference: InferRequest,
    deadline: Instant,
) -> Result<Answer, ApiError> {
    let limits = &state.settings.limits;
    let cancellation = Cancellation::new().map_err(|error| run_error(&error))?;
    let ticket =
        served.worker.submit(inference, cancellation, deadline).map_err(|refused| match refused {
            Refused::Full => ApiError::Overloaded { queue: limits.queue },
            Refused::Closed => {
                ApiError::Failed("the model's thread has ended; see the server's log".to_owned())
            }
        })?;
    match tokio::time::timeout(left(deadline), ticket.answer()).await {
        Ok(Some(answer)) => Ok(answer),
        // dropped with time left: nothing is begun any more
        Ok(None) if Instant::now() < deadline => Err(stopping()),
        Ok(None) | Err(_) => Err(ApiError::Timeout { milliseconds: limits.timeout_milliseconds }),
    }
}

fn stopping() -> ApiError {
    ApiError::Unavailable("the server is stopping; send the request again".to_owned())
}

fn run_error(error: &RunError) -> ApiError {
    match error {
        RunError::Input(_) | RunError::Refused { .. } => ApiError::BadRequest(error.to_string()),
        // A client that left or ran out of time does not wait for this: the server stopped the run.
        RunError::Cancelled => stopping(),
        RunError::Failed { .. } | RunError::NoOutput { .. } | RunError::NotTensor { .. } => {
            tracing::warn!(outcome = "failed", %error);
            ApiError::Failed("the model failed on these inputs; the server's log says why".to_owned())
        }
    }
}

async fn write(
    state: &State,
    id: Option<String>,
    outputs: Vec<Tensor>,
    missing: bool,
) -> Result<String, ApiError> {
    let size = outputs.iter().map(|output| output.data.len()).sum();
    let (model, version) = (state.settings.model.clone(), state.settings.version);
    offload(size, move || {
        let envelope = Envelope { model: &model, version, id: id.as_deref() };
        encode::encode(envelope, &outputs).map_err(|error| match error {
            // The client's fault: it must not count as one of the version.
            EncodeError::NotFinite { .. } if missing => ApiError::BadRequest(format!(
                "{error}; the request has null for a missing number, which this model does not fill in"
            )),
            _ => ApiError::Failed(error.to_string()),
        })
    })
    .await
}

/// Does small work here and large work on a thread for it.
async fn offload<T: Send + 'static>(
    size: usize,
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    if size <= SMALL {
        return work();
    }
    web::block(work)
        .await
        .unwrap_or_else(|_| Err(ApiError::Failed("a thread of the server ended; see its log".to_owned())))
}
