//! The bounded queue between the frontends and the threads that run the model. In go jobs; out comes one, with others that
//! may share its run.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use super::job::Job;

/// The queue.
///
/// Of the threads that wait, the one that came last is woken first. What a run needs is near it then: in the processor's
/// caches, and on a GPU a stream and the libraries' handles, which belong to a thread. Taken in turn, threads answer a lone
/// client of a small model on an H100 in 0.23 ms, and the one that came last in 0.17 ms.
#[derive(Default)]
pub struct Queue {
    inside: Mutex<Inside>,
    waiting: AtomicUsize,
    capacity: usize,
}

#[derive(Default)]
struct Inside {
    jobs: VecDeque<Job>,
    /// Where each thread that waits is woken, in the order in which they came.
    idle: Vec<Arc<Condvar>>,
    closed: bool,
}

thread_local! {
    /// Where this thread is woken.
    static OWN: Arc<Condvar> = Arc::default();
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
        let last = inside.idle.pop();
        drop(inside);
        if let Some(last) = last {
            last.notify_one();
        }
        Ok(())
    }

    /// Waits for a job; with it come those of the next ones that `joins` lets join it, and those that come within the time
    /// that `patience` gives them each time. None when the queue is closed.
    pub fn pop(
        &self,
        mut joins: impl FnMut(&[Job], &Job) -> bool,
        mut patience: impl FnMut(&[Job]) -> Option<Duration>,
    ) -> Option<Vec<Job>> {
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
                loop {
                    while inside.jobs.front().is_some_and(|next| next.is_over(now) || joins(&taken, next)) {
                        taken.extend(inside.jobs.pop_front().filter(|next| !next.is_over(now)));
                    }
                    self.waiting.store(inside.jobs.len(), Ordering::Relaxed);
                    if !inside.jobs.is_empty() || inside.closed {
                        // This thread may be the one that was woken for what it does not take.
                        if let Some(other) = inside.idle.pop() {
                            other.notify_one();
                        }
                        return Some(taken);
                    }
                    let Some(wait) = patience(&taken) else { return Some(taken) };
                    inside = wait_for_news(inside, Some(wait));
                }
            }
            self.waiting.store(0, Ordering::Relaxed);
            inside = wait_for_news(inside, None);
        }
    }

    /// Lets every thread that waits go, and takes nothing more.
    pub fn close(&self) {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        inside.closed = true;
        for idle in inside.idle.drain(..) {
            idle.notify_one();
        }
    }
}

/// Has this thread wait, at most for so long.
fn wait_for_news(mut inside: MutexGuard<'_, Inside>, longest: Option<Duration>) -> MutexGuard<'_, Inside> {
    let own = OWN.with(Arc::clone);
    inside.idle.push(Arc::clone(&own));
    let mut inside = match longest {
        Some(longest) => own.wait_timeout(inside, longest).unwrap_or_else(PoisonError::into_inner).0,
        None => own.wait(inside).unwrap_or_else(PoisonError::into_inner),
    };
    // It may have been woken by the time, or by nothing.
    inside.idle.retain(|other| !Arc::ptr_eq(other, &own));
    inside
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::sync::oneshot;

    use super::{super::job::Answer, *};

    const MINUTE: Duration = Duration::from_mins(1);

    fn job() -> (Job, oneshot::Receiver<Answer>) {
        let (reply, answer) = oneshot::channel();
        let queued_at = Instant::now();
        let deadline = queued_at + MINUTE;
        (
            Job { inputs: Vec::new(), outputs: Vec::new(), cancellation: None, queued_at, deadline, reply },
            answer,
        )
    }

    #[test]
    fn those_who_come_within_the_patience_for_them_are_taken_too() {
        let queue = Queue::new(8);
        let (waits, waiting) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let taken = scope.spawn(|| {
                queue.pop(
                    |_, _| true,
                    |taken| {
                        waits.send(taken.len()).unwrap();
                        (taken.len() < 3).then_some(MINUTE)
                    },
                )
            });
            let mut answers = Vec::new();
            for number in 1..=3 {
                let (job, answer) = job();
                assert!(queue.push(job).is_ok());
                answers.push(answer);
                // It waits for the next one before that comes.
                while waiting.recv().unwrap() < number {}
            }
            assert_eq!(taken.join().unwrap().unwrap().len(), 3);
        });
    }

    /// Lets the threads of a test go when it ends, however it ends.
    struct Closes<'a>(&'a Queue);

    impl Drop for Closes<'_> {
        fn drop(&mut self) {
            self.0.close();
        }
    }

    /// Waits until so many threads wait.
    fn idle(queue: &Queue, count: usize) {
        let until = Instant::now() + MINUTE;
        while queue.inside.lock().unwrap().idle.len() != count {
            assert!(Instant::now() < until, "{count} threads never waited");
            std::thread::yield_now();
        }
    }

    #[test]
    fn the_thread_that_came_last_is_woken_first() {
        let queue = &Queue::new(8);
        let (tells, taken) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let _closes = Closes(queue);
            // One after another, so that the last one is known. Each comes back when it is let.
            let back: Vec<_> = (0..3)
                .map(|number| {
                    let (lets, back) = std::sync::mpsc::channel();
                    let tells = tells.clone();
                    scope.spawn(move || {
                        while queue.pop(|_, _| false, |_| None).is_some() {
                            if tells.send(number).is_err() || back.recv().is_err() {
                                break;
                            }
                        }
                    });
                    idle(queue, number + 1);
                    lets
                })
                .collect();
            let goes_to = |number: usize| {
                let (job, _answer) = job();
                assert!(queue.push(job).is_ok());
                assert_eq!(taken.recv_timeout(MINUTE), Ok(number));
            };
            for _ in 0..20 {
                goes_to(2);
                back[2].send(()).unwrap();
                idle(queue, 3);
            }
            // While the last one is away, it is the one before it; and so on.
            for number in [2, 1, 0] {
                goes_to(number);
            }
            // The order is that in which they come back.
            for (waiting, number) in [1, 2, 0].into_iter().enumerate() {
                back[number].send(()).unwrap();
                idle(queue, waiting + 1);
            }
            for number in [0, 2, 1] {
                goes_to(number);
            }
        });
    }

    #[test]
    fn nobody_waits_for_others_while_one_that_cannot_join_does_nor_at_the_end() {
        let queue = Queue::new(8);
        let (first, _one) = job();
        let (second, _two) = job();
        assert!(queue.push(first).is_ok() && queue.push(second).is_ok());
        let taken = queue.pop(|_, _| false, |_| Some(MINUTE)).unwrap();
        assert_eq!((taken.len(), queue.waiting()), (1, 1));
        let mut asked = 0;
        let patience = |_: &[Job]| {
            asked += 1;
            (asked == 1).then_some(Duration::from_millis(1))
        };
        assert_eq!(queue.pop(|_, _| true, patience).unwrap().len(), 1);
        assert_eq!(asked, 2, "asked again when the time was over");
    }
}
