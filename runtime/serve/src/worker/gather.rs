//! Puts requests together that one thread has read, so that they share a run without a hand-over to another thread. In go
//! jobs; out come all that wait, to one of those who brought them.
//!
//! Whoever brings a job steps back once: the thread goes through whatever else is ready first, and that may bring more.
//! Then the first to come back runs what has batched, and the others find their answers. Nobody waits for requests that
//! are not there. Where stepping back brought nobody again and again, it is done only now and then.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU32, Ordering},
};

use thread_local::ThreadLocal;

use super::job::Job;

/// Nobody else came so many times in a row.
const LONELY: u32 = 8;
/// Then one in so many steps back.
const NOW_AND_THEN: u32 = 32;

/// What gathers on each thread.
#[derive(Debug, Default)]
pub struct Gathering(ThreadLocal<Here>);

/// What gathers on one thread. Others reach it where a runtime moves a task to another thread meanwhile.
#[derive(Default)]
pub struct Here {
    jobs: Mutex<Vec<Job>>,
    /// How often in a row a job was alone, or was not made to wait since it would have been.
    alone: AtomicU32,
}

impl std::fmt::Debug for Here {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Here").field("alone", &self.alone).finish_non_exhaustive()
    }
}

impl Gathering {
    pub fn here(&self) -> &Here {
        self.0.get_or_default()
    }
}

impl Here {
    fn jobs(&self) -> MutexGuard<'_, Vec<Job>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is worth a try to step back: somebody waits already, others came lately, or it was not tried for a while.
    pub fn is_promising(&self) -> bool {
        let alone = self.alone.load(Ordering::Relaxed);
        if alone < LONELY || !self.jobs().is_empty() {
            return true;
        }
        self.alone.store(alone.wrapping_add(1).max(LONELY), Ordering::Relaxed);
        alone.is_multiple_of(NOW_AND_THEN)
    }

    pub fn leave(&self, job: Job) {
        self.jobs().push(job);
    }

    /// Steps back, and gives what has batched: nothing if another took it.
    pub async fn gather(&self) -> Vec<Job> {
        tokio::task::yield_now().await;
        let jobs = std::mem::take(&mut *self.jobs());
        match jobs.len() {
            0 => {}
            1 => {
                self.alone.fetch_add(1, Ordering::Relaxed);
            }
            _ => self.alone.store(0, Ordering::Relaxed),
        }
        jobs
    }
}
