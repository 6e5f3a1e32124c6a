//! How often, and for how long, what may pass is tried again: one rule for every source and store. The clock runs from
//! the last progress, so that a transfer that moves is never given up for being long; a server that names a time
//! (`Retry-After`) is not asked within it, and not at all if that is longer than the patience that is left.

use std::{fmt, time::Duration};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::time::Instant;

use crate::retry::Trying;

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

    pub fn attempts(self) -> Attempts {
        Attempts { policy: self, delays: self.delays(), since: Instant::now(), trying: Trying::start() }
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
    trying: Trying,
}

impl Attempts {
    /// Notes that there was progress: what fails from now on has the whole patience again.
    pub fn progressed(&mut self) {
        *self = self.policy.attempts();
    }

    /// Waits before the next try, or gives the failure back when there is to be none.
    pub async fn pause<E: Failure>(&mut self, failure: E) -> Result<(), E> {
        let Some(delay) = self.plan_delay(&failure, self.since.elapsed()) else { return Err(failure) };
        self.trying.failed(&failure);
        tracing::warn!(error = %failure, ?delay, "trying again");
        tokio::time::sleep(delay).await;
        Ok(())
    }

    /// How long to wait after a failure, `elapsed` after the last progress; nothing if there is to be no more try.
    fn plan_delay(&mut self, failure: &impl Failure, elapsed: Duration) -> Option<Duration> {
        let left =
            self.policy.limit.checked_sub(elapsed).filter(|left| failure.may_pass() && !left.is_zero())?;
        match failure.retry_after() {
            // To come back sooner than asked is what such a server counts against its client.
            Some(asked) => (asked <= left).then(|| asked.max(self.policy.first_delay)),
            None => self.delays.next().map(|delay| delay.min(left)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    struct Broken {
        may_pass: bool,
        asks: Option<u64>,
    }

    impl fmt::Display for Broken {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("broken")
        }
    }

    impl Failure for Broken {
        fn may_pass(&self) -> bool {
            self.may_pass
        }

        fn retry_after(&self) -> Option<Duration> {
            self.asks.map(Duration::from_secs)
        }
    }

    /// The whole seconds at which something is tried that always fails, and the server asks for some each time.
    fn tries(policy: RetryPolicy, asks: Option<u64>) -> Vec<u64> {
        let (mut attempts, mut now, mut seen) = (policy.attempts(), Duration::ZERO, Vec::new());
        loop {
            seen.push(now.as_secs());
            match attempts.plan_delay(&Broken { may_pass: true, asks }, now) {
                Some(delay) => now += delay,
                None => return seen,
            }
        }
    }

    #[test]
    fn a_server_that_names_a_time_is_not_asked_within_it_and_as_long_as_the_patience_lasts() {
        assert_eq!(tries(RetryPolicy::default(), Some(30)), [0, 30, 60, 90, 120]);
        assert_eq!(tries(RetryPolicy::default(), Some(10)).len(), 13);
        // A time beyond the patience is not waited for.
        assert_eq!(tries(RetryPolicy::default(), Some(121)), [0]);
        // One that names no time at all is not asked without a pause.
        assert!(tries(RetryPolicy::default(), Some(0)).len() <= 241);
    }

    #[test]
    fn what_may_pass_is_tried_a_few_times_or_for_a_time_and_all_else_once() {
        assert_eq!(tries(RetryPolicy::default(), None).len(), 6);
        assert_eq!(tries(RetryPolicy::for_duration(Duration::ZERO), None), [0]);
        let seen = tries(RetryPolicy::for_duration(Duration::from_mins(15)), None);
        assert!(seen.len() > 15 && seen.last() == Some(&900), "{seen:?}");
        let never = RetryPolicy::default()
            .attempts()
            .plan_delay(&Broken { may_pass: false, asks: Some(1) }, Duration::ZERO);
        assert_eq!(never, None);
    }

    #[tokio::test]
    async fn with_progress_the_patience_begins_anew() {
        let policy =
            RetryPolicy { first_delay: Duration::from_millis(1), retries: 2, ..RetryPolicy::default() };
        let broken = || Broken { may_pass: true, asks: None };
        let mut attempts = policy.attempts();
        for _ in 0..20 {
            attempts.pause(broken()).await.ok().unwrap();
            attempts.progressed();
        }
        attempts.pause(broken()).await.ok().unwrap();
        attempts.pause(broken()).await.ok().unwrap();
        attempts.pause(broken()).await.err().unwrap();
    }
}
