//! What every front does with a request, in order: a place, the checks, the run. In goes a decoded request; out come
//! outputs, or the refusal. Knows neither HTTP nor gRPC.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::OwnedSemaphorePermit;

use super::{
    classify,
    error::ApiError,
    request::InferRequest,
    state::{Served, State},
    worker::Refused,
};
use crate::{
    session::{
        Cancellation, RunError,
        validate::{validate_inputs, validate_outputs},
    },
    tensor::Tensor,
};

/// Larger texts are read and written on other threads, so that health checks do not wait for them.
pub const SMALL: usize = 64 * 1024;
/// What is counted for a client that left before its answer.
const CLIENT_LEFT: u16 = 499;

/// Counts the answer to a request when it is dropped.
pub struct Counted {
    state: Arc<State>,
    begun: Instant,
    /// The HTTP status that it gets, or that stands for what it gets.
    pub code: u16,
}

impl Counted {
    /// A request that begins now.
    pub fn begin(state: Arc<State>) -> Self {
        Self { state, begun: Instant::now(), code: CLIENT_LEFT }
    }

    /// When its time is over by the server's own limit.
    pub fn deadline(&self) -> Instant {
        self.begun + Duration::from_millis(self.state.settings.limits.timeout_milliseconds)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.state.metrics.answered(self.code, self.begun.elapsed());
    }
}

/// Takes a place; it is free again when the permit is dropped.
pub fn take_place(state: &State) -> Result<OwnedSemaphorePermit, ApiError> {
    Arc::clone(&state.places)
        .try_acquire_owned()
        .map_err(|_| ApiError::Overloaded { queue: state.settings.limits.queue })
}

/// Compares a request with the model's signature.
pub fn validate(served: &Served, request: &InferRequest) -> Result<(), ApiError> {
    let bad = |error: &dyn std::fmt::Display| ApiError::BadRequest(error.to_string());
    validate_inputs(&served.signature, &request.inputs).map_err(|error| bad(&error))?;
    validate_outputs(&served.signature, &request.outputs).map_err(|error| bad(&error))
}

/// Runs the model on a request that was compared with its signature, and takes its inputs.
pub async fn run(
    state: &State,
    served: &Served,
    request: &mut InferRequest,
    deadline: Instant,
) -> Result<Vec<Tensor>, ApiError> {
    let limits = &state.settings.limits;
    let cancellation = Cancellation::new().map_err(|error| run_error(&error))?;
    let inputs = std::mem::take(&mut request.inputs);
    let outputs = classify::outputs_to_run(&served.signature, request);
    let answer =
        served.worker.run(inputs, outputs, cancellation, deadline).await.map_err(
            |refused| match refused {
                Refused::Full => ApiError::Overloaded { queue: limits.queue },
                Refused::Stopping => stopping(),
                Refused::Late => ApiError::Timeout { milliseconds: limits.timeout_milliseconds },
            },
        )?;
    state.metrics.computed(answer.queued, answer.computed, answer.leads);
    let outputs = answer.outputs.map_err(|error| match error {
        RunError::Cancelled if Instant::now() >= deadline => {
            ApiError::Timeout { milliseconds: limits.timeout_milliseconds }
        }
        error => run_error(&error),
    })?;
    classify::classify(request, &served.labels, outputs)
        .map_err(|error| ApiError::BadRequest(error.to_string()))
}

fn stopping() -> ApiError {
    ApiError::Unavailable("the server is stopping; send the request again".to_owned())
}

fn run_error(error: &RunError) -> ApiError {
    match error {
        RunError::Input(_) | RunError::Refused { .. } => ApiError::BadRequest(error.to_string()),
        // A client that left or ran out of time does not wait for this: the server stopped the run.
        RunError::Cancelled => stopping(),
        RunError::Failed { .. } | RunError::NotTensor { .. } => {
            tracing::warn!(outcome = "failed", %error);
            ApiError::Failed("the model failed on these inputs; the server's log says why".to_owned())
        }
    }
}

/// Does small work here and large work on a thread for it.
pub async fn offload<T: Send + 'static>(
    size: usize,
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    if size <= SMALL {
        return work();
    }
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|_| Err(ApiError::Failed("a thread of the server ended; see its log".to_owned())))
}
