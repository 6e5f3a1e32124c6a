//! What is counted while serving, in Prometheus' conventions. In go outcomes and durations; out come the text of
//! `/metrics` and the protocol's statistics. Each is touched in one place, and without an allocation, since every request does.

mod outcome;

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

pub use self::outcome::Outcome;
use self::outcome::Outcomes;

/// Seconds of a bucket: from the reading of a small request to a large model's run on a busy processor.
const SECONDS: [f64; 19] = [
    1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0,
    2.5, 10.0, 30.0,
];
/// Requests of a run.
const REQUESTS: [f64; 7] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];

/// A histogram, and the total for the protocol's statistics, which the library's histogram does not give.
#[derive(Debug)]
struct Timer {
    histogram: Histogram,
    count: AtomicU64,
    ns: AtomicU64,
}

impl Timer {
    /// A timer of its own total, whose histogram may be that of others, too.
    fn of(histogram: &Histogram) -> Self {
        Self { histogram: histogram.clone(), count: AtomicU64::new(0), ns: AtomicU64::new(0) }
    }

    fn time(&self, duration: Duration) {
        self.histogram.observe(duration.as_secs_f64());
        self.count.fetch_add(1, Relaxed);
        self.ns.fetch_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    fn total(&self) -> Total {
        Total { count: self.count.load(Relaxed), ns: self.ns.load(Relaxed) }
    }
}

/// The metrics of one serving process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    outcomes: Outcomes,
    last: AtomicU64,
    success: Timer,
    fail: Timer,
    queue: Timer,
    input: Timer,
    compute: Timer,
    output: Timer,
    batches: Histogram,
    runs: AtomicU64,
    in_flight: Gauge,
    connections: Gauge,
    ready: Gauge,
    draining: Gauge,
    memory_held: Gauge<u64, AtomicU64>,
    memory_budget: Gauge<u64, AtomicU64>,
    memory_refusals: Counter,
}

/// How long the steps before a prediction's answer took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// Making tensors of what was received, and putting those of several requests together.
    pub input: Duration,
    pub queue: Duration,
    /// The model's run; that of all for each of those that shared it.
    pub compute: Duration,
}

impl Metrics {
    /// Metrics that carry the model's name and version as labels. Each is there from the start, at zero: what first shows
    /// at one has no rate.
    pub fn new(model: &str, version: u64) -> Self {
        let labels =
            [("model".into(), model.to_owned().into()), ("version".into(), version.to_string().into())];
        let request = Histogram::new(SECONDS);
        let timer = || Timer::of(&Histogram::new(SECONDS));
        let mut registry = Registry::with_prefix_and_labels("modelwright", labels.into_iter());
        let metrics = Self {
            outcomes: Outcomes::default(),
            last: AtomicU64::new(0),
            success: Timer::of(&request),
            fail: Timer::of(&request),
            queue: timer(),
            input: timer(),
            compute: timer(),
            output: timer(),
            batches: Histogram::new(REQUESTS),
            runs: AtomicU64::new(0),
            in_flight: Gauge::default(),
            connections: Gauge::default(),
            ready: Gauge::default(),
            draining: Gauge::default(),
            memory_held: Gauge::default(),
            memory_budget: Gauge::default(),
            memory_refusals: Counter::default(),
            registry: Registry::default(),
        };
        registry.register("requests", "Inference requests by HTTP status", metrics.outcomes.by_code.clone());
        registry.register(
            "rejections",
            "Inference requests that were refused, by reason",
            metrics.outcomes.by_reason.clone(),
        );
        let help = "Time from the head of an inference request to its answer";
        registry.register_with_unit("request_duration", help, Unit::Seconds, request);
        for (name, help, timer) in [
            ("queue_duration", "Time that inference requests waited for the model", &metrics.queue),
            (
                "compute_input_duration",
                "Time to make the model's inputs of inference requests",
                &metrics.input,
            ),
            ("compute_duration", "Time that the model took", &metrics.compute),
            ("compute_output_duration", "Time to make answers of the model's outputs", &metrics.output),
        ] {
            registry.register_with_unit(name, help, Unit::Seconds, timer.histogram.clone());
        }
        registry.register("batch_size", "Requests that shared a run", metrics.batches.clone());
        registry.register(
            "requests_in_flight",
            "Inference requests without an answer",
            metrics.in_flight.clone(),
        );
        registry.register("connections_open", "Open client connections", metrics.connections.clone());
        registry.register("ready", "1 if requests are taken", metrics.ready.clone());
        registry.register("draining", "1 if clients are told to leave", metrics.draining.clone());
        registry.register_with_unit(
            "memory_held",
            "Memory that is held for clients",
            Unit::Bytes,
            metrics.memory_held.clone(),
        );
        registry.register_with_unit(
            "memory_budget",
            "Memory that may be held for clients",
            Unit::Bytes,
            metrics.memory_budget.clone(),
        );
        registry.register(
            "memory_refusals",
            "How often memory that was asked for a client was not given",
            metrics.memory_refusals.clone(),
        );
        Self { registry, ..metrics }
    }

    /// Counts the end of a request.
    pub fn ended(&self, outcome: Outcome, duration: Duration) {
        self.outcomes.count(outcome);
        if outcome == Outcome::Predicted { &self.success } else { &self.fail }.time(duration);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.last.store(u64::try_from(now.as_millis()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Notes the steps of a request up to the model's outputs.
    pub fn computed(&self, steps: Steps) {
        self.input.time(steps.input);
        self.queue.time(steps.queue);
        self.compute.time(steps.compute);
    }

    /// Notes how long the answer of a request took to be made of the model's outputs.
    pub fn encoded(&self, duration: Duration) {
        self.output.time(duration);
    }

    /// Counts a run of the model, and how many requests shared it.
    #[expect(clippy::cast_precision_loss, reason = "no run has so many requests")]
    pub fn ran(&self, requests: usize) {
        self.batches.observe(requests as f64);
        self.runs.fetch_add(1, Relaxed);
    }

    pub fn answers(&self) -> u64 {
        self.success.total().count
    }

    /// Answers so far, refusals too.
    pub fn requests(&self) -> u64 {
        self.success.total().count + self.fail.total().count
    }

    /// What was counted so far, in the words of the protocol's statistics.
    pub fn statistics(&self) -> Statistics {
        Statistics {
            last_inference: self.last.load(Relaxed),
            inference_count: self.success.total().count,
            execution_count: self.runs.load(Relaxed),
            inference_stats: Durations {
                success: self.success.total(),
                fail: self.fail.total(),
                queue: self.queue.total(),
                compute_input: self.input.total(),
                compute_infer: self.compute.total(),
                compute_output: self.output.total(),
            },
        }
    }

    /// The text of `/metrics`, with the gauges as they are now.
    #[expect(clippy::missing_panics_doc, reason = "it cannot")]
    pub fn render(&self, gauges: Gauges) -> String {
        self.in_flight.set(gauges.in_flight);
        self.connections.set(gauges.connections);
        self.ready.set(i64::from(gauges.ready));
        self.draining.set(i64::from(gauges.draining));
        self.memory_held.set(gauges.memory_held);
        self.memory_budget.set(gauges.memory_budget);
        self.memory_refusals.inner().store(gauges.memory_refusals, Relaxed);
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a String takes all that is written to it");
        text
    }
}

/// How often something was done, and how long it took in all, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Total {
    pub count: u64,
    pub ns: u64,
}

/// The protocol's statistics of a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Statistics {
    /// When the last request was answered, in milliseconds since 1970.
    pub last_inference: u64,
    pub inference_count: u64,
    /// Runs of the model that they took.
    pub execution_count: u64,
    /// How long it all took.
    pub inference_stats: Durations,
}

/// The durations of the protocol's statistics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Durations {
    /// Requests that got a prediction, from their head to their answer.
    pub success: Total,
    pub fail: Total,
    pub queue: Total,
    pub compute_input: Total,
    pub compute_infer: Total,
    /// Making answers of the model's outputs.
    pub compute_output: Total,
}

/// What is measured when it is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Gauges {
    /// Inference requests without an answer.
    pub in_flight: i64,
    pub connections: i64,
    pub ready: bool,
    /// Whether clients are told to leave.
    pub draining: bool,
    /// Bytes that are held for clients.
    pub memory_held: u64,
    /// Bytes that may be held for them.
    pub memory_budget: u64,
    /// How often bytes were not given.
    pub memory_refusals: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Gauges = Gauges {
        in_flight: 0,
        connections: 0,
        ready: true,
        draining: false,
        memory_held: 0,
        memory_budget: 0,
        memory_refusals: 0,
    };

    #[test]
    fn names_and_labels_are_those_that_dashboards_use() {
        let metrics = Metrics::new("digits", 3);
        metrics.ended(Outcome::Predicted, Duration::from_millis(3));
        metrics.ended(Outcome::QueueFull, Duration::from_millis(1));
        let steps = Steps {
            input: Duration::from_micros(20),
            queue: Duration::from_millis(1),
            compute: Duration::from_millis(2),
        };
        metrics.computed(steps);
        metrics.encoded(Duration::from_micros(30));
        metrics.ran(3);
        let gauges = Gauges { in_flight: 2, connections: 4, memory_held: 5, memory_budget: 6, ..IDLE };
        let text = metrics.render(Gauges { memory_refusals: 7, ..gauges });
        for line in [
            "modelwright_requests_total{model=\"digits\",version=\"3\",code=\"200\"} 1",
            "modelwright_requests_total{model=\"digits\",version=\"3\",code=\"503\"} 1",
            "modelwright_rejections_total{model=\"digits\",version=\"3\",reason=\"queue_full\"} 1",
            "modelwright_request_duration_seconds_count{model=\"digits\",version=\"3\"} 2",
            "modelwright_request_duration_seconds_sum{model=\"digits\",version=\"3\"} 0.004",
            "modelwright_queue_duration_seconds_bucket{model=\"digits\",version=\"3\",le=\"0.0005\"} 0",
            "modelwright_queue_duration_seconds_bucket{model=\"digits\",version=\"3\",le=\"0.001\"} 1",
            "modelwright_queue_duration_seconds_bucket{model=\"digits\",version=\"3\",le=\"+Inf\"} 1",
            "modelwright_compute_input_duration_seconds_sum{model=\"digits\",version=\"3\"} 0.00002",
            "modelwright_compute_duration_seconds_sum{model=\"digits\",version=\"3\"} 0.002",
            "modelwright_compute_output_duration_seconds_sum{model=\"digits\",version=\"3\"} 0.00003",
            "modelwright_batch_size_bucket{model=\"digits\",version=\"3\",le=\"2.0\"} 0",
            "modelwright_batch_size_bucket{model=\"digits\",version=\"3\",le=\"4.0\"} 1",
            "modelwright_batch_size_sum{model=\"digits\",version=\"3\"} 3.0",
            "modelwright_requests_in_flight{model=\"digits\",version=\"3\"} 2",
            "modelwright_connections_open{model=\"digits\",version=\"3\"} 4",
            "modelwright_ready{model=\"digits\",version=\"3\"} 1",
            "modelwright_draining{model=\"digits\",version=\"3\"} 0",
            "modelwright_memory_held_bytes{model=\"digits\",version=\"3\"} 5",
            "modelwright_memory_budget_bytes{model=\"digits\",version=\"3\"} 6",
            "modelwright_memory_refusals_total{model=\"digits\",version=\"3\"} 7",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
        let total =
            |count, duration: Duration| Total { count, ns: duration.as_nanos().try_into().unwrap_or(0) };
        assert_eq!(
            metrics.statistics().inference_stats,
            Durations {
                success: total(1, Duration::from_millis(3)),
                fail: total(1, Duration::from_millis(1)),
                queue: total(1, steps.queue),
                compute_input: total(1, steps.input),
                compute_infer: total(1, steps.compute),
                compute_output: total(1, Duration::from_micros(30)),
            }
        );
        assert_eq!((metrics.requests(), metrics.answers(), metrics.statistics().execution_count), (2, 1, 1));
    }

    #[test]
    fn threads_lose_no_duration() {
        let timer = Timer::of(&Histogram::new(SECONDS));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10_000).for_each(|_| timer.time(Duration::from_micros(30))));
            }
        });
        assert_eq!(timer.total(), Total { count: 40_000, ns: 1_200_000_000 });
    }

    #[test]
    fn every_metric_is_there_before_anything_was_counted() {
        let text = Metrics::new("digits", 3).render(IDLE);
        for outcome in Outcome::ALL {
            let code = format!(
                "modelwright_requests_total{{model=\"digits\",version=\"3\",code=\"{}\"}} 0\n",
                outcome.code()
            );
            assert!(text.contains(&code), "{code} is missing in\n{text}");
            if let Some(reason) = outcome.reason() {
                let line = format!(
                    "modelwright_rejections_total{{model=\"digits\",version=\"3\",reason=\"{reason}\"}} 0\n"
                );
                assert!(text.contains(&line), "{line} is missing in\n{text}");
            }
        }
        for name in ["request_duration_seconds", "compute_input_duration_seconds", "batch_size"] {
            assert!(
                text.contains(&format!("modelwright_{name}_count{{model=\"digits\",version=\"3\"}} 0\n")),
                "{text}"
            );
        }
    }
}
