//! How bytes cross the network, for `fetch` and `publish` alike: which addresses may be connected to
//! ([`address`]), whose credentials go where ([`credentials`]), and one HTTP client that obeys both
//! ([`client`]). In goes a URL; out comes a response or an error that says whether a retry may help.

pub mod address;
pub mod client;
pub mod credentials;
mod error;
pub mod host;

use std::time::{Duration, Instant};

use backon::{ExponentialBuilder, Retryable};

pub use error::NetworkError;
pub(crate) use error::{chain, find};

/// How long to wait for an answer.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// Between two pieces of an answer.
    pub read: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), read: Duration::from_mins(1) }
    }
}

/// How often, and for how long, a failure that may pass is tried again.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// Wait before the second try; doubled each time.
    pub first_delay: Duration,
    /// Longest wait between two tries.
    pub longest_delay: Duration,
    /// Most tries after the first.
    pub retries: usize,
    /// No try starts after this time.
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

    /// Runs `operation` until it succeeds, fails for good, or the policy gives up.
    pub async fn run<T, E, F, Fut>(&self, operation: F, is_transient: impl Fn(&E) -> bool) -> Result<T, E>
    where
        E: std::fmt::Display,
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let started = Instant::now();
        let backoff = ExponentialBuilder::default()
            .with_min_delay(self.first_delay)
            .with_max_delay(self.longest_delay)
            .with_max_times(self.retries)
            .with_jitter();
        let outcome = operation
            .retry(backoff)
            .when(|error| is_transient(error) && started.elapsed() < self.limit)
            .notify(|error, delay| {
                crate::retry::failed(error);
                tracing::warn!(%error, ?delay, "trying again");
            })
            .await;
        crate::retry::over();
        outcome
    }
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
