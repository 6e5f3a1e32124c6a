//! What is running now, on whichever thread: each run can be stopped, by its deadline or by the end of the process. In go
//! deadlines; out comes whether a run may begin, what stops it, and whether all have ended.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use thread_local::ThreadLocal;

use modelwright_core::session::{Cancellation, RunError};

/// How often the end of the process looks whether runs have ended.
const LOOK: Duration = Duration::from_millis(5);

/// Every run of a process.
#[derive(Debug, Default)]
pub struct Runs {
    /// A thread makes one run at a time.
    here: ThreadLocal<Arc<Slot>>,
    slots: Mutex<Vec<Arc<Slot>>>,
    halted: AtomicBool,
}

#[derive(Debug, Default)]
struct Slot(Mutex<Doing>);

#[derive(Debug, Default)]
struct Doing {
    run: Option<(Cancellation, Instant)>,
    /// For the runs that nobody else can stop, one after another, until it is used.
    spare: Option<Cancellation>,
}

/// One run of this thread, until it is dropped.
#[derive(Debug)]
pub struct Run<'a> {
    slot: &'a Slot,
    pub cancellation: Cancellation,
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        self.slot.lock().run = None;
    }
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, Doing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Doing {
    /// Stops the run, if there is one and its time is over by `now`.
    fn stop(&mut self, now: Option<Instant>) -> bool {
        let Some((cancellation, deadline)) = &self.run else { return false };
        if now.is_some_and(|now| *deadline > now) {
            return false;
        }
        cancellation.cancel();
        self.spare = None;
        true
    }
}

impl Runs {
    /// Begins a run of this thread, which `given` stops too; none if no run may begin any more.
    pub fn begin(
        &self,
        given: Option<&Cancellation>,
        deadline: Instant,
    ) -> Result<Option<Run<'_>>, RunError> {
        let slot = self.here.get_or(|| {
            let slot = Arc::<Slot>::default();
            self.slots().push(Arc::clone(&slot));
            slot
        });
        let mut doing = slot.lock();
        // Either this sees that all runs are halted, or `halt` sees this one.
        if self.halted.load(Ordering::SeqCst) {
            return Ok(None);
        }
        let cancellation = match (given, &doing.spare) {
            (Some(given), _) => given.clone(),
            (None, Some(spare)) => spare.clone(),
            (None, None) => doing.spare.insert(Cancellation::new()?).clone(),
        };
        doing.run = Some((cancellation.clone(), deadline));
        Ok(Some(Run { slot, cancellation }))
    }

    fn slots(&self) -> MutexGuard<'_, Vec<Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops runs whose time is over.
    pub fn stop_late(&self, now: Instant) {
        for slot in self.slots().iter() {
            slot.lock().stop(Some(now));
        }
    }

    /// Stops all runs and begins no other. Gives whether they ended in time.
    pub fn halt(&self, patience: Duration) -> bool {
        self.halted.store(true, Ordering::SeqCst);
        let begun = Instant::now();
        loop {
            // Each is stopped, so none may be passed over.
            let running = self.slots().iter().filter(|slot| slot.lock().stop(None)).count();
            if running == 0 || begun.elapsed() >= patience {
                return running == 0;
            }
            std::thread::sleep(LOOK);
        }
    }
}
