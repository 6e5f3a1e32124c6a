//! A histogram that threads fill at the same time without a lock: two additions for each value. In go whole numbers, out
//! come Prometheus' buckets and the sum, in the metric's unit.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder, NoLabelSet},
    metrics::MetricType,
};

use super::Total;

/// Nanoseconds of a bucket: from the reading of a small request to a large model's run on a busy processor.
const NANOSECONDS: [u64; 19] = [
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    10_000_000_000,
    30_000_000_000,
];
const REQUESTS: [u64; 7] = [1, 2, 4, 8, 16, 32, 64];

/// A histogram; clones are the same one.
#[derive(Clone, Debug)]
pub(super) struct Histogram(Arc<Inside>);

#[derive(Debug)]
struct Inside {
    /// The largest value of each bucket but the last, which has no bound.
    bounds: &'static [u64],
    /// What is counted as one of the metric's unit.
    unit: f64,
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Histogram {
    pub fn of_durations() -> Self {
        Self::new(&NANOSECONDS, 1e9)
    }

    /// Of requests that shared a run.
    pub fn of_requests() -> Self {
        Self::new(&REQUESTS, 1.0)
    }

    fn new(bounds: &'static [u64], unit: f64) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self(Arc::new(Inside { bounds, unit, counts, sum: AtomicU64::new(0) }))
    }

    pub fn time(&self, duration: Duration) {
        self.count(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    pub fn count(&self, value: u64) {
        let bucket = self.0.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.0.counts.get(bucket) {
            count.fetch_add(1, Relaxed);
            self.0.sum.fetch_add(value, Relaxed);
        }
    }

    /// How many values, and their sum.
    pub fn total(&self) -> Total {
        let count = self.0.counts.iter().map(|count| count.load(Relaxed)).sum();
        Total { count, ns: self.0.sum.load(Relaxed) }
    }
}

/// Shows histograms with the same buckets as one.
#[derive(Debug)]
pub(super) struct Merged<const N: usize>(pub [Histogram; N]);

impl<const N: usize> EncodeMetric for Merged<N> {
    #[expect(clippy::cast_precision_loss, reason = "as Prometheus has it: numbers are floating-point")]
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(Histogram(first)) = self.0.first() else { return Ok(()) };
        let bounds = first.bounds.iter().map(|bound| *bound as f64 / first.unit).chain([f64::INFINITY]);
        let mut buckets: Vec<(f64, u64)> = bounds.map(|bound| (bound, 0)).collect();
        let mut sum = 0;
        for Histogram(one) in &self.0 {
            sum += one.sum.load(Relaxed);
            for ((_, all), count) in buckets.iter_mut().zip(&one.counts) {
                *all += count.load(Relaxed);
            }
        }
        let count = buckets.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<NoLabelSet>(sum as f64 / first.unit, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_counted_in_the_first_bucket_that_holds_it() {
        let histogram = Histogram::of_requests();
        for value in [1, 2, 3, 64, 65] {
            histogram.count(value);
        }
        let counts: Vec<u64> = histogram.0.counts.iter().map(|count| count.load(Relaxed)).collect();
        assert_eq!(counts, [1, 1, 1, 0, 0, 0, 1, 1]);
        assert_eq!(histogram.total(), Total { count: 5, ns: 135 });
    }

    #[test]
    fn threads_lose_no_value() {
        let histogram = Histogram::of_durations();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10_000).for_each(|_| histogram.time(Duration::from_micros(30))));
            }
        });
        assert_eq!(histogram.total(), Total { count: 40_000, ns: 1_200_000_000 });
    }
}
