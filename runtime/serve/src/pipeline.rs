//! What every frontend does with a request, in order: a permit, the checks, the run. In goes a decoded request; out come
//! outputs, or the refusal. Knows neither HTTP nor gRPC.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::{Either, ready};
use modelwright_contract::signature::Signature;
use tokio::sync::oneshot;

use super::{
    budget::{Budget, Permit, SMALL as COVERED},
    classify,
    error::ApiError,
    request::InferRequest,
    state::{Served, State},
    worker::{Answer, Refused, batch},
};
use crate::metrics::{Outcome, Steps};
use modelwright_core::{
    session::{
        RunError,
        validate::{validate_inputs, validate_outputs},
    },
    tensor::{Datatype, LENGTH_PREFIX, Tensor, element_count},
};

/// What a string takes beside its bytes until its run has ended, as was measured: ONNX Runtime has an object for each, and
/// takes them from copies that end with a NUL.
const STRING: usize = 128;
/// Larger texts are read and written on other threads, so that health checks do not wait for them.
pub const SMALL: usize = 64 * 1024;

/// Counts the answer to a request when it is dropped.
pub struct Counted {
    state: Arc<State>,
    begun: Instant,
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

/// Takes one of the permits, of which there are as many as runs and places in the queue.
pub fn take_permit(state: &State) -> Result<Permit, ApiError> {
    state.permits.take(1).map_err(|_| ApiError::Overloaded { queue: state.settings.limits.queue })
}

fn validate(served: &Served, request: &InferRequest) -> Result<(), ApiError> {
    let bad = |error: &dyn std::fmt::Display| ApiError::BadRequest(error.to_string());
    validate_inputs(&served.signature, &request.inputs).map_err(|error| bad(&error))?;
    validate_outputs(&served.signature, &request.outputs).map_err(|error| bad(&error))?;
    served.bounds.check(&request.inputs).map_err(|error| bad(&error))
}

/// A request that was compared with the model's signature.
pub struct Decoded {
    /// Its inputs are taken by the run.
    pub request: InferRequest,
    pub took: Duration,
}

pub struct Outputs {
    /// In the order that was asked for.
    pub tensors: Vec<Tensor>,
    /// How long it took to take them out of those of all that shared the run.
    pub took: Duration,
}

/// Reads a request and compares it with the model's signature.
pub fn decode(
    budget: &Arc<Budget>,
    served: &Served,
    read: impl FnOnce() -> Result<InferRequest, ApiError>,
) -> Result<Decoded, ApiError> {
    let begun = Instant::now();
    let mut request = read()?;
    for input in &mut request.inputs {
        hold_strings(budget, input)?;
    }
    validate(served, &request)?;
    Ok(Decoded { request, took: begun.elapsed() })
}

/// Takes what the strings of an input become, before the first of them is looked at: four bytes of a body may be one.
fn hold_strings(budget: &Arc<Budget>, input: &mut Tensor) -> Result<(), ApiError> {
    if input.datatype != Datatype::Bytes {
        return Ok(());
    }
    // What is not as the shape says is refused after this.
    let strings = element_count(&input.shape).unwrap_or(usize::MAX).min(input.data.len() / LENGTH_PREFIX);
    if let Some(permit) = budget.take_large(strings.saturating_mul(STRING))? {
        input.data = permit.hold(std::mem::take(&mut input.data));
    }
    Ok(())
}

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
    if let Some(id) = &state.settings.panic_on_id {
        panic_at(id, request);
    }
    let inputs = std::mem::take(&mut request.inputs);
    let odd = uneven(&served.signature, &inputs).or_else(|| served.tied.odd(&inputs));
    let outputs = classify::outputs_to_run(&served.signature, request);
    let answer = served.worker.run(inputs, outputs, deadline).await.map_err(|refused| match refused {
        Refused::Full => ApiError::Overloaded { queue: limits.queue },
        Refused::Stopping => ApiError::Stopping,
        Refused::Late => ApiError::Timeout { milliseconds: limits.timeout_milliseconds },
    })?;
    let Answer { outputs, queued, batched, computed, split, requests, leads } = answer;
    if leads {
        state.metrics.ran(requests);
    }
    state.metrics.computed(Steps { input: decoded.took + batched, queue: queued, compute: computed });
    let outputs = outputs.map_err(|error| match error {
        RunError::Cancelled if Instant::now() >= deadline => {
            ApiError::Timeout { milliseconds: limits.timeout_milliseconds }
        }
        RunError::NoMemory { requested } => no_memory(requested, state.settings.max_run_bytes),
        // ONNX Runtime has other words for sizes that do not go together than for values that it refuses.
        RunError::Failed { .. } if odd.is_some() => ApiError::BadRequest(odd.unwrap_or_default()),
        error => run_error(&error),
    })?;
    let weight = classify::weight(request, &served.signature, &served.labels, &outputs);
    let held = state.budget.take_large(weight)?;
    let mut tensors = classify::classify(request, &served.signature, &served.labels, outputs)
        .map_err(|error| ApiError::BadRequest(error.to_string()))?;
    drop(held);
    // The inputs are gone by now.
    if tensors.iter().map(|tensor| tensor.data.len()).sum::<usize>() > COVERED {
        for tensor in &mut tensors {
            let data = std::mem::take(&mut tensor.data);
            let permit = state.budget.take(data.len())?;
            // A part of what others have, too, would keep all of it for as long as one of them does not take his.
            tensor.data = if requests > 1 { permit.hold(data.to_vec()) } else { permit.hold(data) };
        }
    }
    Ok(Outputs { tensors, took: split })
}

/// A fault of ours, as tests ask for it.
#[cold]
fn panic_at(id: &str, request: &InferRequest) {
    assert!(request.id.as_deref() != Some(id), "request {id} was to panic");
}

/// A run that asked for more than there is is its client's; one for which others left too little may be sent again.
fn no_memory(requested: u64, most: Option<u64>) -> ApiError {
    let most = most.unwrap_or(0);
    tracing::warn!(outcome = "no memory", requested, most);
    if requested > most {
        ApiError::BadRequest(format!(
            "the model asks for {requested} bytes at once for these inputs, and it and all runs have {most}; send less at \
             once, or raise resources.limits.memory, of which that is three quarters"
        ))
    } else {
        ApiError::NotReady(format!(
            "the model asks for {requested} bytes at once for these inputs, and other runs have left less than that of \
             {most}; try again, or raise resources.limits.memory"
        ))
    }
}

/// What is odd about inputs that have a row for each, and have not equally many. Some graphs take them: one row may be meant for
/// all others.
fn uneven(signature: &Signature, inputs: &[Tensor]) -> Option<String> {
    if inputs.len() < 2 || batch::rows(inputs).is_some() || !batch::has_rows(signature) {
        return None;
    }
    let told = inputs.iter().take(8).map(|input| {
        let name: String = input.name.chars().take(64).collect();
        format!("{name:?} {}", input.shape.first().copied().unwrap_or_default())
    });
    let told: Vec<String> = told.collect();
    Some(format!(
        "the inputs have different sizes on their first axis, which the model does not put together: {}; expected one row of \
         each input for every answer",
        told.join(", ")
    ))
}

fn run_error(error: &RunError) -> ApiError {
    match error {
        RunError::Input(_) | RunError::Refused { .. } => ApiError::BadRequest(error.to_string()),
        // A client that left or ran out of time does not wait for this: the server stopped the run.
        RunError::Cancelled => ApiError::Stopping,
        RunError::NoMemory { .. } | RunError::Failed { .. } | RunError::NotTensor { .. } => {
            tracing::warn!(outcome = "failed", %error);
            ApiError::Failed("the model failed on these inputs; the server's log says why".to_owned())
        }
    }
}

/// Until when a request is worked on, and the limit that an error tells.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    pub at: Instant,
    pub milliseconds: u64,
}

impl Deadline {
    /// By the server's limit and the client's.
    pub fn new(state: &State, deadline: Instant) -> Self {
        Self { at: deadline, milliseconds: state.settings.limits.timeout_milliseconds }
    }
}

/// Does small work at once, and large work on a thread for it, unless the client has left or its time is over before it is
/// its turn.
pub fn offload<T: Send + 'static>(
    size: usize,
    until: Deadline,
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> impl Future<Output = Result<T, ApiError>> {
    // No `async`, so that what small work needs is not kept in the future: a request's future is allocated.
    if size <= SMALL {
        return Either::Left(ready(work()));
    }
    let (reply, answer) = oneshot::channel();
    tokio::task::spawn_blocking(move || {
        if !reply.is_closed() {
            // Whoever waited may have left meanwhile.
            let _ = reply.send(work());
        }
    });
    Either::Right(Box::pin(async move {
        match tokio::time::timeout_at(until.at.into(), answer).await {
            Ok(Ok(done)) => done,
            Ok(Err(_)) => Err(ApiError::Failed("a thread of the server ended; see its log".to_owned())),
            Err(_) => Err(ApiError::Timeout { milliseconds: until.milliseconds }),
        }
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn large_work_of_a_client_that_left_or_is_too_late_is_not_done() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (lets, waits) = std::sync::mpsc::channel::<()>();
        let (tells, told) = std::sync::mpsc::channel();
        let in_time = |milliseconds| Deadline {
            at: Instant::now() + Duration::from_millis(milliseconds),
            milliseconds,
        };
        runtime.block_on(async {
            let first = offload(SMALL + 1, in_time(60_000), move || Ok(waits.recv().is_ok()));
            let work = |number: u8| {
                let tells = tells.clone();
                move || {
                    tells.send(number).unwrap();
                    Ok(())
                }
            };
            let left = offload(SMALL + 1, in_time(60_000), work(1));
            let late = offload(SMALL + 1, in_time(1), work(2));
            assert_eq!(late.await.unwrap_err(), ApiError::Timeout { milliseconds: 1 });
            drop(left);
            lets.send(()).unwrap();
            assert!(first.await.unwrap());
            offload(SMALL + 1, in_time(60_000), work(3)).await.unwrap();
            assert_eq!(told.recv().unwrap(), 3, "only who waits has his work done");
        });
    }
}
