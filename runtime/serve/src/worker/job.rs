//! A request to the model, and what came of it: what the frontends, the queue and the threads that run the model hand to each
//! other.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use modelwright_core::{
    session::{Cancellation, RunError},
    tensor::Tensor,
};

pub struct Job {
    pub inputs: Vec<Tensor>,
    /// Outputs that are asked for; none means all.
    pub outputs: Vec<String>,
    /// Stops its run when the client leaves.
    pub cancellation: Option<Cancellation>,
    pub queued_at: Instant,
    /// When its time is over.
    pub deadline: Instant,
    pub reply: oneshot::Sender<Answer>,
}

impl Job {
    /// Whether nobody waits for it any more.
    pub fn is_over(&self, now: Instant) -> bool {
        self.reply.is_closed() || now >= self.deadline
    }
}

#[derive(Debug)]
pub struct Answer {
    /// The outputs, or why there are none.
    pub outputs: Result<Vec<Tensor>, RunError>,
    pub queued: Duration,
    /// How long it took to put its inputs with those of others.
    pub batched: Duration,
    /// How long the model took.
    pub computed: Duration,
    /// How long it took to take its outputs out of those of all.
    pub split: Duration,
    /// Requests that shared the run.
    pub requests: usize,
    /// Whether this is the first of them that somebody waits for.
    pub leads: bool,
}

impl Answer {
    /// One request's, that took no time yet.
    pub(super) fn of_one(outputs: Result<Vec<Tensor>, RunError>) -> Self {
        let none = Duration::ZERO;
        let (requests, leads) = (1, true);
        Self { outputs, queued: none, batched: none, computed: none, split: none, requests, leads }
    }
}
