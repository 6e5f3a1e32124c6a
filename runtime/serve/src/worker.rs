//! Runs the model: at once on the thread that asks, or on threads of its own behind a bounded queue. In go validated
//! inputs; out come outputs. A request whose client left, or whose time is over, is dropped before it is run; one whose
//! client leaves during its run is stopped.
//!
//! A hand-over to another thread, and the waking of it, cost as much as a small model's run, so such a model is run where
//! the request is. A longer run there would keep other connections waiting. Requests that wait together, in the queue or on
//! the thread that reads them ([`gather`]), are run together where the graph shows that it changes no
//! answer ([`modelwright_core::rows`]) and a [`trial`] confirms it.

pub mod batch;
mod cost;
mod gather;
mod job;
mod queue;
mod runs;
pub mod trial;

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

pub use self::job::Answer;
use self::{cost::Cost, gather::Gathering, job::Job, queue::Queue, runs::Runs};
use modelwright_core::{
    session::{Cancellation, RunError, Session},
    tensor::Tensor,
};

/// Longest run in microseconds, on average, that is made where the request is, unless another is asked for. Of a run that
/// requests share, each has its share.
pub const QUICK_MICROSECONDS: u64 = 100;
pub const QUICK: Duration = Duration::from_micros(QUICK_MICROSECONDS);
/// Largest inputs of such a run: larger ones take longer than the average says.
const QUICK_BYTES: usize = 1024 * 1024;
/// Largest inputs that others are waited for: larger ones would leave the processor's cache meanwhile.
const GATHERED_BYTES: usize = 64 * 1024;
/// How often runs are looked at whose time may be over.
const LOOK: Duration = Duration::from_millis(100);

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    Full,
    /// No run begins any more.
    Stopping,
    Late,
}

/// How a model is run.
#[derive(Clone, Copy, Debug)]
pub struct WorkerOptions {
    pub queue: u32,
    /// Threads that run the model.
    pub threads: usize,
    /// Whether requests that wait together may be run together.
    pub batches: bool,
    /// Most rows of such a run.
    pub max_rows: u32,
    /// How long a request waits for others to share its run, as Triton's `max_queue_delay_microseconds`.
    pub max_delay: Duration,
    /// Longest run, on average, that is made where the request is.
    pub quick: Duration,
    /// Whether a run keeps to the thread that makes it.
    pub one_thread: bool,
}

/// The way to the model. Its threads end when the last handle is dropped.
#[derive(Clone, Debug)]
pub struct Worker {
    shared: Arc<Shared>,
    _end: Arc<End>,
}

#[derive(Debug)]
struct Shared {
    session: Arc<Session>,
    queue: Queue,
    runs: Runs,
    gathering: Gathering,
    batches: bool,
    max_rows: i64,
    max_delay: Duration,
    cost: Cost,
}

#[derive(Debug)]
struct End(Arc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.queue.close();
    }
}

/// What bounds a run, and for how many it is made.
struct Terms<'a> {
    /// Stops it, beside its deadline and the end of the process.
    cancellation: Option<&'a Cancellation>,
    deadline: Instant,
    requests: usize,
}

/// A request on its way; dropping it stops its run.
struct Pending {
    answer: oneshot::Receiver<Answer>,
    cancellation: Cancellation,
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.cancellation.cancel();
    }
}

impl Worker {
    pub fn start(session: Arc<Session>, options: WorkerOptions) -> io::Result<Self> {
        let threads = options.threads.max(1);
        let shared = Arc::new(Shared {
            batches: options.batches,
            max_rows: i64::from(options.max_rows),
            max_delay: options.max_delay,
            session,
            // As many more as threads that have not taken them yet.
            queue: Queue::new((options.queue as usize).saturating_add(threads)),
            runs: Runs::default(),
            gathering: Gathering::default(),
            cost: Cost::new(options.quick, options.one_thread),
        });
        let end = Arc::new(End(Arc::clone(&shared)));
        for number in 0..threads {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new().name(format!("model-{number}")).spawn(move || shared.work())?;
        }
        let watched = Arc::downgrade(&end);
        std::thread::Builder::new().name("deadlines".to_owned()).spawn(move || {
            while let Some(end) = watched.upgrade() {
                end.0.runs.stop_late(Instant::now());
                drop(end);
                std::thread::sleep(LOOK);
            }
        })?;
        Ok(Self { shared, _end: end })
    }

    /// Stops the present runs and begins no other, since a process must not end while ONNX Runtime computes: its library
    /// is taken down under the run. Gives whether the runs ended in time.
    pub fn halt(&self, patience: Duration) -> bool {
        self.shared.runs.halt(patience)
    }

    /// Runs the model. Dropping the future stops the run, if it is on another thread.
    pub async fn run(
        &self,
        inputs: Vec<Tensor>,
        outputs: Vec<String>,
        deadline: Instant,
    ) -> Result<Answer, Refused> {
        let bytes = inputs.iter().map(|input| input.data.len()).sum::<usize>();
        let is_quick = bytes <= QUICK_BYTES && self.shared.cost.is_quick();
        let gathers = is_quick && self.shared.batches && bytes <= GATHERED_BYTES;
        let here = gathers.then(|| self.shared.gathering.here());
        let here = here.filter(|here| here.is_promising());
        if is_quick && here.is_none() {
            let terms = Terms { cancellation: None, deadline, requests: 1 };
            return self.shared.compute(&inputs, &outputs, &terms).ok_or(Refused::Stopping);
        }
        let (reply, answer) = oneshot::channel();
        let queued_at = Instant::now();
        let job = Job { inputs, outputs, cancellation: None, queued_at, deadline, reply };
        match here {
            Some(here) => {
                here.leave(job);
                self.shared.run_all(here.gather().await);
                answer.await.map_err(|_| why_dropped(deadline))
            }
            // Apart, so that those who are answered at once do not hold room for a timer.
            None => Box::pin(self.run_queued(job, answer)).await,
        }
    }

    async fn run_queued(&self, mut job: Job, answer: oneshot::Receiver<Answer>) -> Result<Answer, Refused> {
        let deadline = job.deadline;
        let cancellation = match Cancellation::new() {
            Ok(cancellation) => cancellation,
            Err(error) => return Ok(Answer::of_one(Err(error))),
        };
        job.cancellation = Some(cancellation.clone());
        let mut pending = Pending { answer, cancellation };
        self.shared.queue.push(job).map_err(|_| Refused::Full)?;
        match tokio::time::timeout_at(deadline.into(), &mut pending.answer).await {
            // its end was seen before that of the time that it had
            Ok(Ok(Answer { outputs: Err(RunError::Cancelled), .. })) if Instant::now() >= deadline => {
                Err(Refused::Late)
            }
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(why_dropped(deadline)),
            Err(_) => Err(Refused::Late),
        }
    }
}

/// Has a panic end the jobs that it came of, and not the thread: nobody would take its place. Whoever waited for them is
/// told that they are gone.
fn contained(work: impl FnOnce()) {
    if std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err() {
        tracing::error!(outcome = "panicked", "a thread that runs the model goes on with the next request");
    }
}

/// Why a job was dropped: with time left, it was because nothing is begun any more.
fn why_dropped(deadline: Instant) -> Refused {
    if Instant::now() < deadline { Refused::Stopping } else { Refused::Late }
}

impl Shared {
    /// Runs the model on this thread; none if no run may begin any more.
    fn compute(&self, inputs: &[Tensor], outputs: &[String], terms: &Terms<'_>) -> Option<Answer> {
        let running = match self.runs.begin(terms.cancellation, terms.deadline) {
            Ok(running) => running?,
            Err(error) => return Some(Answer::of_one(Err(error))),
        };
        let begun = Instant::now();
        let measured = self.cost.begin(begun);
        let outputs = self.session.run_validated(inputs, outputs, &running.cancellation);
        let ended = Instant::now();
        if let Some(measured) = measured {
            self.cost.end(&measured, ended, terms.requests);
        }
        Some(Answer { computed: ended - begun, requests: terms.requests, ..Answer::of_one(outputs) })
    }

    /// Whether a job may share the run of others.
    fn joins(&self, taken: &[Job], next: &Job) -> bool {
        let so_far: Vec<&[Tensor]> = taken.iter().map(|job| job.inputs.as_slice()).collect();
        // What is given another value than the stored one is no row.
        let has_rows_only = next.inputs.len() == self.session.signature().inputs.len();
        self.batches
            && has_rows_only
            && taken.first().is_some_and(|first| first.outputs == next.outputs)
            && batch::joins(&so_far, &next.inputs, self.max_rows)
    }

    /// How long jobs wait for another one to share their run. None waits whose time would be over by then.
    fn patience(&self, taken: &[Job]) -> Option<Duration> {
        let rows = taken.iter().map(|job| batch::rows(&job.inputs)).sum::<Option<i64>>()?;
        let until = taken.iter().map(|job| job.queued_at + self.max_delay).min()?;
        let in_time = rows < self.max_rows && taken.iter().all(|job| until < job.deadline);
        let left = until.checked_duration_since(Instant::now())?;
        (in_time && !left.is_zero()).then_some(left)
    }

    fn work(&self) {
        let joins = |taken: &[Job], next: &Job| self.joins(taken, next);
        while let Some(jobs) = self.queue.pop(joins, |taken| self.patience(taken)) {
            contained(|| self.run(jobs));
        }
    }

    /// Runs jobs, together as far as they may share runs.
    fn run_all(&self, jobs: Vec<Job>) {
        let mut group: Vec<Job> = Vec::with_capacity(jobs.len());
        for job in jobs {
            if !group.is_empty() && !self.joins(&group, &job) {
                self.run(std::mem::take(&mut group));
            }
            group.push(job);
        }
        self.run(group);
    }

    /// Runs jobs that share a run.
    fn run(&self, mut jobs: Vec<Job>) {
        let now = Instant::now();
        jobs.retain(|job| !job.is_over(now));
        let jobs = if jobs.len() > 1 { self.run_together(jobs) } else { jobs };
        for job in jobs {
            self.run_alone(job);
        }
    }

    fn run_alone(&self, job: Job) {
        let begun = Instant::now();
        if job.is_over(begun) {
            return;
        }
        let terms = Terms { cancellation: job.cancellation.as_ref(), deadline: job.deadline, requests: 1 };
        let Some(answer) = self.compute(&job.inputs, &job.outputs, &terms) else { return };
        let answer = Answer { queued: begun - job.queued_at, ..answer };
        let Job { inputs, reply, .. } = job;
        // Their memory is free before that of the outputs is asked for.
        drop(inputs);
        // Whoever waited may have left meanwhile.
        let _ = reply.send(answer);
    }

    /// Runs jobs together and answers them. Gives back those that must be run alone, since something is wrong with one of
    /// them.
    fn run_together(&self, jobs: Vec<Job>) -> Vec<Job> {
        let begun = Instant::now();
        let inputs: Vec<&[Tensor]> = jobs.iter().map(|job| job.inputs.as_slice()).collect();
        let counts: Option<Vec<i64>> = inputs.iter().map(|inputs| batch::rows(inputs)).collect();
        let outputs = jobs.first().map(|job| job.outputs.clone()).unwrap_or_default();
        let (Some(counts), Some(deadline)) = (counts, jobs.iter().map(|job| job.deadline).max()) else {
            return jobs;
        };
        let inputs = batch::join(&inputs);
        let batched = begun.elapsed();
        let terms = Terms { cancellation: None, deadline, requests: jobs.len() };
        let Some(answer) = self.compute(&inputs, &outputs, &terms) else { return Vec::new() };
        let ended = Instant::now();
        let Some(parts) = answer.outputs.ok().and_then(|outputs| batch::split(&outputs, &counts)) else {
            return jobs;
        };
        let split = ended.elapsed();
        let (requests, mut leads) = (jobs.len(), true);
        for (job, outputs) in jobs.into_iter().zip(parts) {
            let Job { inputs, reply, queued_at, .. } = job;
            drop(inputs);
            let answer = Answer {
                outputs: Ok(outputs),
                queued: begun - queued_at,
                batched,
                computed: answer.computed,
                split,
                requests,
                leads,
            };
            // Whoever waited may have left meanwhile.
            leads &= reply.send(answer).is_err();
        }
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::panic, reason = "it is what is contained")]
    fn a_thread_goes_on_behind_a_panic() {
        contained(|| panic!("a fault of ours"));
        let mut went_on = false;
        contained(|| went_on = true);
        assert!(went_on);
    }
}
