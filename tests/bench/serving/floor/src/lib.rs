//! What the programs of the floor share: they repeat a piece of work and print what it took, as a line of JSON.

use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use serde::Serialize;

/// Errors are read by the person who runs the benchmark.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// What repeated work took.
#[derive(Debug, Serialize)]
pub struct Taken {
    /// How often it was done.
    pub runs: u64,
    /// From the first to the last, in seconds.
    pub seconds: f64,
    /// Of this process's processor time, in seconds.
    pub processor_seconds: f64,
}

/// When repeated work is enough.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// For so many seconds.
    Seconds(f64),
    /// So many times.
    Runs(u64),
}

impl Until {
    /// Whether it is enough, after so many runs since then.
    pub fn is_over(self, runs: u64, since: Instant) -> bool {
        match self {
            Self::Seconds(wanted) => since.elapsed() >= Duration::from_secs_f64(wanted),
            Self::Runs(wanted) => runs >= wanted,
        }
    }
}

/// Measures work that counts its own runs.
pub fn measure(work: impl FnOnce(Instant) -> Outcome<u64>) -> Outcome<Taken> {
    let processor = processor_seconds()?;
    let begun = Instant::now();
    let runs = work(begun)?;
    let seconds = begun.elapsed().as_secs_f64();
    Ok(Taken { runs, seconds, processor_seconds: processor_seconds()? - processor })
}

/// Of all threads of this process, since its start.
fn processor_seconds() -> Outcome<f64> {
    Ok(Duration::from(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?).as_secs_f64())
}
