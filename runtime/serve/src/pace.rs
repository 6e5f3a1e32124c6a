//! How slowly a client may send, and take its answer. In goes what is read; out comes it, or that it came too slowly.

use std::{
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// Least bytes a second of a body or an answer, over each [`WINDOW`].
pub const LEAST_RATE: u64 = 32 * 1024;
/// Over how long the rate is taken. Within it, a client may pause.
pub const WINDOW: Duration = Duration::from_secs(10);
/// What must have come, or gone, in a window.
pub const LEAST: u64 = LEAST_RATE * WINDOW.as_secs();

/// Why what was read did not come in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slow {
    Deadline,
    /// It came at less than [`LEAST_RATE`].
    Rate,
}

/// Waits for what is read until the deadline, and while `came` grows fast enough.
pub async fn in_time<T>(
    read: Pin<&mut impl Future<Output = T>>,
    came: &AtomicU64,
    deadline: Instant,
) -> Result<T, Slow> {
    within(read, came, deadline, WINDOW).await
}

async fn within<T>(
    mut read: Pin<&mut impl Future<Output = T>>,
    came: &AtomicU64,
    deadline: Instant,
    window: Duration,
) -> Result<T, Slow> {
    loop {
        let before = came.load(Relaxed);
        let until = deadline.min(Instant::now() + window);
        if let Ok(done) = tokio::time::timeout_at(until.into(), &mut read).await {
            return Ok(done);
        }
        if until == deadline {
            return Err(Slow::Deadline);
        }
        if came.load(Relaxed) - before < LEAST {
            return Err(Slow::Rate);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    /// Comes in pieces with pauses between them.
    async fn comes(came: &AtomicU64, pieces: u64, bytes: u64) {
        for _ in 0..pieces {
            tokio::time::sleep(Duration::from_millis(10)).await;
            came.fetch_add(bytes, Relaxed);
        }
    }

    #[tokio::test]
    async fn who_is_slower_than_the_least_rate_is_given_up_and_who_keeps_it_is_not() {
        let window = Duration::from_secs(1);
        let later = Instant::now() + Duration::from_mins(1);
        let came = AtomicU64::new(0);
        let dribbles = pin!(comes(&came, 10_000, 1));
        assert_eq!(within(dribbles, &came, later, window).await, Err(Slow::Rate));
        let came = AtomicU64::new(0);
        let keeps = pin!(comes(&came, 100, LEAST));
        assert_eq!(within(keeps, &came, later, window).await, Ok(()));
        let came = AtomicU64::new(0);
        let never = pin!(comes(&came, 10_000, LEAST));
        let soon = Instant::now() + Duration::from_millis(1500);
        assert_eq!(within(never, &came, soon, window).await, Err(Slow::Deadline));
    }
}
