//! The bounded queue between the fronts and the threads that run the model. In go jobs; out comes one, with others that
//! may share its run.

use std::{
    collections::VecDeque,
    sync::{
        Condvar, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use tokio::sync::oneshot;

use super::Answer;
use crate::{session::Cancellation, tensor::Tensor};

/// A request that waits.
pub struct Job {
    /// Validated inputs.
    pub inputs: Vec<Tensor>,
    /// Outputs that are asked for; none means all.
    pub outputs: Vec<String>,
    /// Stops its run when the client leaves.
    pub cancellation: Option<Cancellation>,
    /// Since when it waits.
    pub queued_at: Instant,
    /// When its time is over.
    pub deadline: Instant,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Answer>,
}

impl Job {
    /// Whether nobody waits for it any more.
    pub fn is_over(&self, now: Instant) -> bool {
        self.reply.is_closed() || now >= self.deadline
    }
}

/// The queue.
#[derive(Default)]
pub struct Queue {
    inside: Mutex<Inside>,
    news: Condvar,
    waiting: AtomicUsize,
    capacity: usize,
}

#[derive(Default)]
struct Inside {
    jobs: VecDeque<Job>,
    closed: bool,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("waiting", &self.waiting()).finish_non_exhaustive()
    }
}

impl Queue {
    /// A queue for so many jobs.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, ..Self::default() }
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Puts a job at the end; gives it back if there is no room.
    pub fn push(&self, job: Job) -> Result<(), Job> {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        if inside.jobs.len() >= self.capacity {
            // Those that nobody waits for any more take no place.
            let now = Instant::now();
            inside.jobs.retain(|waiting| !waiting.is_over(now));
        }
        if inside.closed || inside.jobs.len() >= self.capacity {
            return Err(job);
        }
        inside.jobs.push_back(job);
        self.waiting.store(inside.jobs.len(), Ordering::Relaxed);
        drop(inside);
        self.news.notify_one();
        Ok(())
    }

    /// Waits for a job; with it come those of the next ones that `joins` lets join it. None when the queue is closed.
    pub fn pop(&self, mut joins: impl FnMut(&[Job], &Job) -> bool) -> Option<Vec<Job>> {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if inside.closed {
                return None;
            }
            let now = Instant::now();
            while let Some(job) = inside.jobs.pop_front() {
                if job.is_over(now) {
                    continue;
                }
                let mut taken = vec![job];
                while inside.jobs.front().is_some_and(|next| next.is_over(now) || joins(&taken, next)) {
                    taken.extend(inside.jobs.pop_front().filter(|next| !next.is_over(now)));
                }
                self.waiting.store(inside.jobs.len(), Ordering::Relaxed);
                return Some(taken);
            }
            self.waiting.store(0, Ordering::Relaxed);
            inside = self.news.wait(inside).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets every thread that waits go, and takes nothing more.
    pub fn close(&self) {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.news.notify_all();
    }
}
