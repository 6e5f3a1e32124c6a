//! What every front does with a request, in order: a place, the checks, the run. In goes a decoded request; out come
//! outputs, or the refusal. Knows neither HTTP nor gRPC.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{
    FutureExt,
    future::{Either, ready},
};

use super::{
    budget::{Permit, SMALL as COVERED},
    classify,
    error::ApiError,
    request::InferRequest,
    state::{Served, State},
    worker::{Answer, Refused},
};
use crate::{
    metrics::{Outcome, Steps},
    session::{
        RunError,
        validate::{validate_inputs, validate_outputs},
    },
    tensor::Tensor,
};

/// Larger texts are read and written on other threads, so that health checks do not wait for them.
pub const SMALL: usize = 64 * 1024;

/// Counts the answer to a request when it is dropped.
pub struct Counted {
    state: Arc<State>,
    begun: Instant,
    /// How it ends.
    pub outcome: Outcome,
}

impl Counted {
    /// A request that begins now.
    pub fn begin(state: Arc<State>) -> Self {
        Self { state, begun: Instant::now(), outcome: Outcome::ClientLeft }
    }

    /// When its time is over by the server's own limit.
    pub fn deadline(&self) -> Instant {
        self.begun + Duration::from_millis(self.state.settings.limits.timeout_milliseconds)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.state.metrics.ended(self.outcome, self.begun.elapsed());
    }
}

/// Takes a place; it is free again when the permit is dropped.
pub fn take_place(state: &State) -> Result<Permit, ApiError> {
    state.places.take(1).map_err(|_| ApiError::Overloaded { queue: state.settings.limits.queue })
}

fn validate(served: &Served, request: &InferRequest) -> Result<(), ApiError> {
    let bad = |error: &dyn std::fmt::Display| ApiError::BadRequest(error.to_string());
    validate_inputs(&served.signature, &request.inputs).map_err(|error| bad(&error))?;
    validate_outputs(&served.signature, &request.outputs).map_err(|error| bad(&error))
}

/// A request that was compared with the model's signature.
pub struct Decoded {
    /// Its inputs are taken by the run.
    pub request: InferRequest,
    /// How long that took.
    pub took: Duration,
}

/// What the model answered.
pub struct Outputs {
    /// In the order that was asked for.
    pub tensors: Vec<Tensor>,
    /// How long it took to take them out of those of all that shared the run.
    pub took: Duration,
}

/// Reads a request and compares it with the model's signature.
pub fn decode(
    served: &Served,
    read: impl FnOnce() -> Result<InferRequest, ApiError>,
) -> Result<Decoded, ApiError> {
    let begun = Instant::now();
    let request = read()?;
    validate(served, &request)?;
    Ok(Decoded { request, took: begun.elapsed() })
}

/// Writes an answer.
pub fn encode<T>(
    state: &State,
    outputs: Outputs,
    write: impl FnOnce(Vec<Tensor>) -> Result<T, ApiError>,
) -> Result<T, ApiError> {
    let begun = Instant::now();
    let written = write(outputs.tensors)?;
    state.metrics.encoded(outputs.took + begun.elapsed());
    Ok(written)
}

/// Runs the model on a request and takes its inputs.
pub async fn run(
    state: &State,
    served: &Served,
    decoded: &mut Decoded,
    deadline: Instant,
) -> Result<Outputs, ApiError> {
    let limits = &state.settings.limits;
    let request = &mut decoded.request;
    let inputs = std::mem::take(&mut request.inputs);
    let outputs = classify::outputs_to_run(&served.signature, request);
    let answer = served.worker.run(inputs, outputs, deadline).await.map_err(|refused| match refused {
        Refused::Full => ApiError::Overloaded { queue: limits.queue },
        Refused::Stopping => ApiError::Stopping,
        Refused::Late => ApiError::Timeout { milliseconds: limits.timeout_milliseconds },
    })?;
    let Answer { outputs, queued, gathered, computed, taken_apart, requests, leads } = answer;
    if leads {
        state.metrics.ran(requests);
    }
    state.metrics.computed(Steps { input: decoded.took + gathered, queue: queued, compute: computed });
    let outputs = outputs.map_err(|error| match error {
        RunError::Cancelled if Instant::now() >= deadline => {
            ApiError::Timeout { milliseconds: limits.timeout_milliseconds }
        }
        error => run_error(&error),
    })?;
    let mut tensors = classify::classify(request, &served.labels, outputs)
        .map_err(|error| ApiError::BadRequest(error.to_string()))?;
    // The inputs are gone by now.
    if tensors.iter().map(|tensor| tensor.data.len()).sum::<usize>() > COVERED {
        for tensor in &mut tensors {
            let data = std::mem::take(&mut tensor.data);
            tensor.data = state.budget.take(data.len())?.hold(data);
        }
    }
    Ok(Outputs { tensors, took: taken_apart })
}

fn run_error(error: &RunError) -> ApiError {
    match error {
        RunError::Input(_) | RunError::Refused { .. } => ApiError::BadRequest(error.to_string()),
        // A client that left or ran out of time does not wait for this: the server stopped the run.
        RunError::Cancelled => ApiError::Stopping,
        RunError::Failed { .. } | RunError::NotTensor { .. } => {
            tracing::warn!(outcome = "failed", %error);
            ApiError::Failed("the model failed on these inputs; the server's log says why".to_owned())
        }
    }
}

/// Does small work at once, and large work on a thread for it.
pub fn offload<T: Send + 'static>(
    size: usize,
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> impl Future<Output = Result<T, ApiError>> {
    // No `async`, so that what small work needs is not kept in the future: a request's future is allocated.
    if size <= SMALL {
        return Either::Left(ready(work()));
    }
    let done = tokio::task::spawn_blocking(work);
    Either::Right(done.map(|done| {
        done.unwrap_or_else(|_| Err(ApiError::Failed("a thread of the server ended; see its log".to_owned())))
    }))
}
