//! How an inference request ends, and how often each end came. Every number of requests is shown from here.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder, NoLabelSet},
    metrics::MetricType,
};

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

/// How often each came; clones are the same counters.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcomes(Arc<[AtomicU64; Outcome::ALL.len()]>);

impl Outcomes {
    pub fn count(&self, outcome: Outcome) {
        if let Some(count) = self.0.get(outcome as usize) {
            count.fetch_add(1, Relaxed);
        }
    }

    fn each(&self) -> impl Iterator<Item = (Outcome, u64)> {
        Outcome::ALL.into_iter().zip(self.0.iter().map(|count| count.load(Relaxed)))
    }
}

/// Shows requests by HTTP status.
#[derive(Debug)]
pub(super) struct ByCode(pub Outcomes);

#[derive(Debug)]
pub(super) struct ByReason(pub Outcomes);

impl EncodeMetric for ByCode {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        let mut codes = BTreeMap::<u16, u64>::new();
        for (outcome, count) in self.0.each() {
            *codes.entry(outcome.code()).or_default() += count;
        }
        codes.into_iter().try_for_each(|(code, count)| {
            encoder.encode_family(&[("code", code)])?.encode_counter::<NoLabelSet, _, u64>(&count, None)
        })
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}

impl EncodeMetric for ByReason {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        self.0.each().filter_map(|(outcome, count)| Some((outcome.reason()?, count))).try_for_each(
            |(reason, count)| {
                encoder
                    .encode_family(&[("reason", reason)])?
                    .encode_counter::<NoLabelSet, _, u64>(&count, None)
            },
        )
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_its_own_counter() {
        let outcomes = Outcomes::default();
        for (more, outcome) in Outcome::ALL.into_iter().enumerate() {
            (0..=more).for_each(|_| outcomes.count(outcome));
        }
        let counts: Vec<u64> = outcomes.each().map(|(_, count)| count).collect();
        assert_eq!(counts, (1..=13).collect::<Vec<u64>>());
    }
}
