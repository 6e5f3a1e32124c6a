//! How often, and for how long, what may pass is tried again: one rule for every source and store. The clock runs from
//! the last progress, so that a transfer that moves is never given up for being long; a server that names a time
//! (`Retry-After`) is not asked within it, and not at all if that is longer than the patience that is left.

use std::{fmt, time::Duration};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::time::Instant;

/// Something that failed.
pub trait Failure: fmt::Display {
    /// Whether the same may work later.
    fn may_pass(&self) -> bool;

    /// For how long the server asks to be left alone.
    fn retry_after(&self) -> Option<Duration> {
        None
    }
}

/// How often, and for how long, a failure that may pass is tried again.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// Wait before the second try; doubled each time.
    pub first_delay: Duration,
    /// Longest wait between two tries, unless the server asks for more.
    pub longest_delay: Duration,
    /// Most tries after the first without any progress; those that the server set a time for are not counted.
    pub retries: usize,
    /// The patience: no try starts later than this after the last progress.
    pub limit: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            first_delay: Duration::from_millis(500),
            longest_delay: Duration::from_secs(8),
            retries: 5,
            limit: Duration::from_mins(2),
        }
    }
}

impl RetryPolicy {
    /// Tries until `limit` is over, however often that is.
    pub fn for_duration(limit: Duration) -> Self {
        Self { longest_delay: Duration::from_secs(30), retries: usize::MAX, limit, ..Self::default() }
    }

    /// Starts to count tries.
    pub fn attempts(self) -> Attempts {
        Attempts { policy: self, delays: self.delays(), since: Instant::now() }
    }

    /// Runs `operation` until it succeeds, fails for good, or the policy gives up.
    pub async fn run<T, E, F, Fut>(self, mut operation: F) -> Result<T, E>
    where
        E: Failure,
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let mut attempts = self.attempts();
        loop {
            match operation().await {
                Ok(done) => return Ok(done),
                Err(error) => attempts.pause(error).await?,
            }
        }
    }

    fn delays(self) -> ExponentialBackoff {
        ExponentialBuilder::default()
            .with_min_delay(self.first_delay)
            .with_max_delay(self.longest_delay)
            .with_max_times(self.retries)
            .with_jitter()
            .build()
    }
}

/// The tries of one thing.
#[derive(Debug)]
pub struct Attempts {
    policy: RetryPolicy,
    delays: ExponentialBackoff,
    since: Instant,
}

impl Attempts {
    /// Notes that there was progress: what fails from now on has the whole patience again.
    pub fn progressed(&mut self) {
        *self = self.policy.attempts();
    }

    /// Waits before the next try, or gives the failure back when there is to be none.
    pub async fn pause<E: Failure>(&mut self, failure: E) -> Result<(), E> {
        if !failure.may_pass() {
            return Err(failure);
        }
        let Some(left) = self.policy.limit.checked_sub(self.since.elapsed()) else { return Err(failure) };
        let delay = match failure.retry_after() {
            // To come back sooner than asked is what such a server counts against its client.
            Some(asked) if asked <= left => asked.max(self.policy.first_delay),
            Some(_) => return Err(failure),
            None => match self.delays.next() {
                Some(delay) if !left.is_zero() => delay.min(left),
                _ => return Err(failure),
            },
        };
        tracing::warn!(error = %failure, ?delay, "trying again");
        tokio::time::sleep(delay).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::cell::RefCell;

    use super::*;

    #[derive(Debug, Clone, Copy)]
    struct Broken(Option<u64>);

    impl fmt::Display for Broken {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("broken")
        }
    }

    impl Failure for Broken {
        fn may_pass(&self) -> bool {
            true
        }

        fn retry_after(&self) -> Option<Duration> {
            self.0.map(Duration::from_secs)
        }
    }

    /// The seconds at which an operation was tried that works after `works_after` seconds.
    async fn tries(policy: RetryPolicy, works_after: u64, asks: Option<u64>) -> (Vec<u64>, bool) {
        let (started, seen) = (Instant::now(), RefCell::new(Vec::new()));
        let outcome = policy
            .run(|| async {
                let now = started.elapsed().as_secs();
                seen.borrow_mut().push(now);
                if now >= works_after { Ok(()) } else { Err(Broken(asks)) }
            })
            .await;
        (seen.into_inner(), outcome.is_ok())
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_names_a_time_is_not_asked_within_it() {
        assert_eq!(tries(RetryPolicy::default(), 30, Some(30)).await, (vec![0, 30], true));
        // However often it does, within the patience.
        let (seen, done) = tries(RetryPolicy::default(), 100, Some(10)).await;
        assert_eq!((seen.len(), done), (11, true), "{seen:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_time_beyond_the_patience_is_not_waited_for() {
        assert_eq!(tries(RetryPolicy::default(), 500, Some(121)).await, (vec![0], false));
        let (seen, done) = tries(RetryPolicy::for_duration(Duration::ZERO), 1, None).await;
        assert_eq!((seen, done), (vec![0], false));
    }

    #[tokio::test(start_paused = true)]
    async fn the_patience_counts_from_the_last_progress() {
        let mut attempts = RetryPolicy { retries: 2, ..RetryPolicy::default() }.attempts();
        for _ in 0..50 {
            tokio::time::sleep(Duration::from_mins(3)).await;
            attempts.progressed();
            attempts.pause(Broken(None)).await.unwrap();
        }
        attempts.pause(Broken(None)).await.unwrap();
        attempts.pause(Broken(None)).await.unwrap_err();
    }
}
