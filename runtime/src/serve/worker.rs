//! The thread that owns the model: requests wait for it in a bounded queue, and are run one after the other. In go
//! validated requests; out come outputs. A request whose client left, or whose time is over, is dropped before it is run;
//! one whose client leaves during its run is stopped.

use std::{
    io,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::decode::InferRequest;
use crate::{
    session::{Cancellation, RunError, Session},
    tensor::Tensor,
};

/// A run's outcome.
#[derive(Debug)]
pub struct Answer {
    /// The outputs, or why there are none.
    pub outputs: Result<Vec<Tensor>, RunError>,
    /// How long it waited.
    pub queued: Duration,
    /// How long the model took.
    pub computed: Duration,
}

/// The queue is full, or the thread is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// No place is left.
    Full,
    /// Nobody takes requests any more.
    Closed,
}

struct Job {
    request: InferRequest,
    cancellation: Cancellation,
    queued_at: Instant,
    deadline: Instant,
    reply: oneshot::Sender<Answer>,
}

/// The way into the queue.
#[derive(Clone, Debug)]
pub struct Worker {
    queue: SyncSender<Job>,
    run: Arc<CurrentRun>,
}

/// What the thread is doing.
#[derive(Debug, Default)]
struct CurrentRun {
    doing: Mutex<Doing>,
    done: Condvar,
}

#[derive(Default)]
enum Doing {
    #[default]
    Nothing,
    Running(Cancellation),
    Halted,
}

impl std::fmt::Debug for Doing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Nothing => "Nothing",
            Self::Running(_) => "Running",
            Self::Halted => "Halted",
        })
    }
}

impl CurrentRun {
    /// Whether a run may begin.
    fn begin(&self, cancellation: &Cancellation) -> bool {
        let mut doing = self.doing.lock().unwrap_or_else(PoisonError::into_inner);
        let may = !matches!(*doing, Doing::Halted);
        if may {
            *doing = Doing::Running(cancellation.clone());
        }
        may
    }

    fn end(&self) {
        *self.doing.lock().unwrap_or_else(PoisonError::into_inner) = Doing::Nothing;
        self.done.notify_all();
    }

    fn halt(&self, patience: Duration) -> bool {
        let mut doing = self.doing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Doing::Running(cancellation) = &*doing {
            cancellation.cancel();
            let runs = |doing: &mut Doing| matches!(doing, Doing::Running(_));
            (doing, _) =
                self.done.wait_timeout_while(doing, patience, runs).unwrap_or_else(PoisonError::into_inner);
        }
        let halted = !matches!(*doing, Doing::Running(_));
        *doing = Doing::Halted;
        halted
    }
}

/// A request on its way; dropping it stops the run.
pub struct Ticket {
    answer: oneshot::Receiver<Answer>,
    cancellation: Cancellation,
}

impl Ticket {
    /// Waits for the answer; none if the request was dropped because its time was over.
    pub async fn answer(mut self) -> Option<Answer> {
        (&mut self.answer).await.ok()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.cancellation.cancel();
    }
}

impl Worker {
    /// Starts the thread. It ends when the last handle is dropped.
    pub fn start(session: Arc<Session>, queue: u32) -> io::Result<Self> {
        // One more, for the request that is to be run but that the thread has not taken yet.
        let (sender, receiver) = sync_channel((queue as usize).saturating_add(1));
        let run = Arc::<CurrentRun>::default();
        let of_thread = Arc::clone(&run);
        std::thread::Builder::new()
            .name("model".to_owned())
            .spawn(move || work(&session, &receiver, &of_thread))?;
        Ok(Self { queue: sender, run })
    }

    /// Stops the present run and begins no other, since a process must not end while ONNX Runtime computes: its library
    /// is taken down under the run. Gives whether the run ended in time.
    pub fn halt(&self, patience: Duration) -> bool {
        self.run.halt(patience)
    }

    /// Puts a request into the queue.
    pub fn submit(
        &self,
        request: InferRequest,
        cancellation: Cancellation,
        deadline: Instant,
    ) -> Result<Ticket, Refused> {
        let (reply, answer) = oneshot::channel();
        let job =
            Job { request, cancellation: cancellation.clone(), queued_at: Instant::now(), deadline, reply };
        match self.queue.try_send(job) {
            Ok(()) => Ok(Ticket { answer, cancellation }),
            Err(TrySendError::Full(_)) => Err(Refused::Full),
            Err(TrySendError::Disconnected(_)) => Err(Refused::Closed),
        }
    }
}

fn work(session: &Session, queue: &Receiver<Job>, run: &CurrentRun) {
    while let Ok(job) = queue.recv() {
        let begun = Instant::now();
        if job.reply.is_closed() || begun >= job.deadline || !run.begin(&job.cancellation) {
            continue;
        }
        let outputs = session.run_cancellable(&job.request.inputs, &job.request.outputs, &job.cancellation);
        run.end();
        let answer = Answer { outputs, queued: begun - job.queued_at, computed: begun.elapsed() };
        // Whoever waited may have left meanwhile.
        let _ = job.reply.send(answer);
    }
}
