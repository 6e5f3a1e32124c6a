//! What is running now, on whichever thread: each run can be stopped, by its deadline or by the end of the process. In go
//! cancellations; out comes whether a run may begin, and whether all have ended.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::session::Cancellation;

/// How often the end of the process looks whether runs have ended.
const LOOK: Duration = Duration::from_millis(5);

/// Every run of a process.
#[derive(Debug, Default)]
pub struct Runs {
    slots: Mutex<Vec<Arc<Slot>>>,
    free: Mutex<Vec<Arc<Slot>>>,
    halted: AtomicBool,
}

#[derive(Default)]
struct Slot(Mutex<Option<(Cancellation, Instant)>>);

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Slot")
    }
}

/// One run, until it is dropped.
#[derive(Debug)]
pub struct Run<'a> {
    runs: &'a Runs,
    slot: Arc<Slot>,
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        *lock(&self.slot.0) = None;
        lock(&self.runs.free).push(Arc::clone(&self.slot));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Runs {
    /// Begins a run; none if no run may begin any more.
    pub fn begin(&self, cancellation: &Cancellation, deadline: Instant) -> Option<Run<'_>> {
        let slot = lock(&self.free).pop().unwrap_or_else(|| {
            let slot = Arc::<Slot>::default();
            lock(&self.slots).push(Arc::clone(&slot));
            slot
        });
        let mut doing = lock(&slot.0);
        // Either this sees that all runs are halted, or `halt` sees this one.
        let may = !self.halted.load(Ordering::SeqCst);
        if may {
            *doing = Some((cancellation.clone(), deadline));
        }
        drop(doing);
        let run = Run { runs: self, slot };
        may.then_some(run)
    }

    /// Stops runs whose time is over.
    pub fn stop_late(&self, now: Instant) {
        for slot in lock(&self.slots).iter() {
            if let Some((cancellation, deadline)) = &*lock(&slot.0)
                && *deadline <= now
            {
                cancellation.cancel();
            }
        }
    }

    /// Stops all runs and begins no other. Gives whether they ended in time.
    pub fn halt(&self, patience: Duration) -> bool {
        self.halted.store(true, Ordering::SeqCst);
        let begun = Instant::now();
        loop {
            let mut running = false;
            for slot in lock(&self.slots).iter() {
                if let Some((cancellation, _)) = &*lock(&slot.0) {
                    cancellation.cancel();
                    running = true;
                }
            }
            if !running || begun.elapsed() >= patience {
                return !running;
            }
            std::thread::sleep(LOOK);
        }
    }
}
