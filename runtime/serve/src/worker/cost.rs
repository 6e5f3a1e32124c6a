//! What a request's share of a run costs, on average. In go runs; out comes whether the next one is quick.
//!
//! Counted is the processor's time, where a run keeps to one thread: by the clock, a thread that had to wait for its core in
//! the midst of a short run would pass for one with a long run, and the busier the machine is, the more do.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use nix::time::{ClockId, clock_gettime};

/// Part of the average that a new run is: one in so many.
const WEIGHT: u64 = 8;
/// Before anything was run.
const UNKNOWN: u64 = 1_000_000;
/// One in so many runs is measured, once they are known to be quick: asking for the time of a thread takes a call of the
/// system.
const SAMPLE: u64 = 8;

#[derive(Debug)]
pub struct Cost {
    nanoseconds: AtomicU64,
    runs: AtomicU64,
    one_thread: bool,
    quick: Duration,
}

/// A run that is measured.
#[derive(Debug)]
pub struct Measured {
    clock: Instant,
    processor: Option<Duration>,
}

impl Cost {
    /// Of a model whose runs keep to one thread each, or do not; `quick` is the longest one that is quick.
    pub fn new(quick: Duration, one_thread: bool) -> Self {
        Self { nanoseconds: AtomicU64::new(UNKNOWN), runs: AtomicU64::new(0), one_thread, quick }
    }

    /// Whether a request is expected to be run quickly.
    pub fn is_quick(&self) -> bool {
        u128::from(self.nanoseconds.load(Ordering::Relaxed)) < self.quick.as_nanos()
    }

    /// Begins a run on this thread.
    pub fn begin(&self, clock: Instant) -> Option<Measured> {
        let is_due = self.runs.fetch_add(1, Ordering::Relaxed).is_multiple_of(SAMPLE);
        (is_due || !self.is_quick()).then(|| Measured { clock, processor: self.one_thread.then(processor) })
    }

    /// Ends it, on the same thread; so many requests shared it.
    pub fn end(&self, measured: &Measured, now: Instant, requests: usize) {
        let took = match measured.processor {
            Some(begun) => processor().saturating_sub(begun),
            None => now.saturating_duration_since(measured.clock),
        };
        let share = took.as_nanos() / requests.max(1) as u128;
        let share = u64::try_from(share).unwrap_or(u64::MAX / WEIGHT);
        let average = self.nanoseconds.load(Ordering::Relaxed);
        // Runs that end at the same time may overwrite each other's share, which an average can bear.
        self.nanoseconds.store(average - average / WEIGHT + share / WEIGHT, Ordering::Relaxed);
    }
}

/// The processor's time that this thread took; none if the system does not say.
fn processor() -> Duration {
    // By the C library: rustix reads the kernel's own pages for it, which valgrind does not map.
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spin(time: Duration) {
        let begun = processor();
        while processor().saturating_sub(begun) < time {
            std::hint::spin_loop();
        }
    }

    fn runs(cost: &Cost, count: u64, requests: usize, run: impl Fn()) {
        for _ in 0..count {
            let measured = cost.begin(Instant::now());
            run();
            if let Some(measured) = measured {
                cost.end(&measured, Instant::now(), requests);
            }
        }
    }

    #[test]
    fn a_thread_that_waits_for_its_core_is_no_long_run_and_a_long_run_is_one() {
        let limit = Duration::from_millis(1);
        let waits = || std::thread::sleep(2 * limit);
        let cost = Cost::new(limit, true);
        assert!(!cost.is_quick(), "nothing is known");
        runs(&cost, 20, 1, waits);
        assert!(cost.is_quick(), "{cost:?}");
        runs(&cost, 40 * SAMPLE, 1, || spin(limit / 5));
        assert!(cost.is_quick(), "{cost:?}");
        runs(&cost, 10 * SAMPLE, 1, || spin(2 * limit));
        assert!(!cost.is_quick(), "{cost:?}");
        runs(&cost, 40, 8, || spin(2 * limit));
        assert!(cost.is_quick(), "eight shared each: {cost:?}");
        let clock = Cost::new(limit, false);
        runs(&clock, 40, 1, waits);
        assert!(
            !clock.is_quick(),
            "a run that waits for its other threads takes as long as they do: {clock:?}"
        );
    }
}
