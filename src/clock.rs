//! The time of day. In a test it may go with tokio's clock, which can stand still. Needs no client.

use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

/// Where the time of day comes from; by default, from the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    /// A time of day and the instant of tokio's clock at which it was so.
    follows: Option<(Timestamp, Instant)>,
}

impl Clock {
    /// One that says `now` now, and goes with tokio's clock from here on.
    pub fn following(now: Timestamp) -> Self {
        Self { follows: Some((now, Instant::now())) }
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        let Some((then, since)) = self.follows else { return Timestamp::now() };
        then.checked_add(since.elapsed()).unwrap_or(Timestamp::MAX)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_follows_goes_with_tokios_alone() {
        let start: Timestamp = "2026-11-24T10:00:00Z".parse().unwrap();
        let clock = Clock::following(start);
        assert_eq!(clock.now(), start);
        tokio::time::advance(Duration::from_millis(90_500)).await;
        assert_eq!(clock.now().to_string(), "2026-11-24T10:01:30.5Z");
        assert!(Clock::default().now() > start, "by default it is the machine's");
    }
}
