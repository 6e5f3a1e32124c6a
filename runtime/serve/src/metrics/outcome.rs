//! How an inference request ends, and how often each end came. Every number of requests is shown from here.

use prometheus_client::metrics::{counter::Counter, family::Family};

/// How an inference request ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Predicted,
    ClientLeft,
    /// The model or the server failed.
    Failed,
    /// The request is none for this model.
    Invalid,
    /// Another model, version or path.
    NotFound,
    /// The body came too slowly.
    SlowBody,
    /// The body is too large.
    TooLarge,
    /// The body is compressed in another way.
    Encoding,
    QueueFull,
    /// The memory for requests is taken.
    MemoryFull,
    /// The model is not loaded, or refused.
    NotReady,
    Stopping,
    Deadline,
}

impl Outcome {
    pub const ALL: [Self; 13] = [
        Self::Predicted,
        Self::ClientLeft,
        Self::Failed,
        Self::Invalid,
        Self::NotFound,
        Self::SlowBody,
        Self::TooLarge,
        Self::Encoding,
        Self::QueueFull,
        Self::MemoryFull,
        Self::NotReady,
        Self::Stopping,
        Self::Deadline,
    ];

    /// The HTTP status that it has, or that stands for it; 499 is nginx' for a client that left.
    pub fn code(self) -> u16 {
        match self {
            Self::Predicted => 200,
            Self::Invalid => 400,
            Self::NotFound => 404,
            Self::SlowBody => 408,
            Self::TooLarge => 413,
            Self::Encoding => 415,
            Self::ClientLeft => 499,
            Self::Failed => 500,
            Self::QueueFull | Self::MemoryFull | Self::NotReady | Self::Stopping => 503,
            Self::Deadline => 504,
        }
    }

    /// Why the request was rejected, if it was.
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Self::Predicted | Self::ClientLeft | Self::Failed => None,
            Self::Invalid => Some("invalid"),
            Self::NotFound => Some("not_found"),
            Self::SlowBody => Some("slow_body"),
            Self::TooLarge => Some("too_large"),
            Self::Encoding => Some("encoding"),
            Self::QueueFull => Some("queue_full"),
            Self::MemoryFull => Some("memory_full"),
            Self::NotReady => Some("not_ready"),
            Self::Stopping => Some("stopping"),
            Self::Deadline => Some("deadline"),
        }
    }
}

/// How often each came, by HTTP status and, of those that were refused, by reason. All are there from the start.
#[derive(Debug)]
pub(super) struct Outcomes {
    pub by_code: Family<[(&'static str, u16); 1], Counter>,
    pub by_reason: Family<[(&'static str, &'static str); 1], Counter>,
    /// Those of each outcome, which are not looked up for every request.
    each: [(Counter, Option<Counter>); Outcome::ALL.len()],
}

impl Default for Outcomes {
    fn default() -> Self {
        let (by_code, by_reason) = (Family::default(), Family::default());
        let each = Outcome::ALL.map(|outcome| {
            let reason = outcome.reason().map(|reason| by_reason.get_or_create_owned(&[("reason", reason)]));
            (by_code.get_or_create_owned(&[("code", outcome.code())]), reason)
        });
        Self { by_code, by_reason, each }
    }
}

impl Outcomes {
    pub fn count(&self, outcome: Outcome) {
        if let Some((code, reason)) = self.each.get(outcome as usize) {
            code.inc();
            if let Some(reason) = reason {
                reason.inc();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_is_counted_under_its_status_and_its_reason() {
        let outcomes = Outcomes::default();
        for (place, outcome) in Outcome::ALL.into_iter().enumerate() {
            (0..1_u64 << place).for_each(|_| outcomes.count(outcome));
        }
        for code in Outcome::ALL.map(Outcome::code) {
            let of = |(place, outcome): (usize, Outcome)| u64::from(outcome.code() == code) << place;
            let expected: u64 = Outcome::ALL.into_iter().enumerate().map(of).sum();
            assert_eq!(outcomes.by_code.get_or_create(&[("code", code)]).get(), expected, "{code}");
        }
        for (place, outcome) in Outcome::ALL.into_iter().enumerate() {
            let Some(reason) = outcome.reason() else { continue };
            assert_eq!(outcomes.by_reason.get_or_create(&[("reason", reason)]).get(), 1 << place, "{reason}");
        }
    }
}
