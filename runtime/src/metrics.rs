//! What is counted while serving, in Prometheus' conventions. In go outcomes; out comes the text of `/metrics`. Each
//! counter is touched in one place.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

/// From a small forest's run to a large model's on a busy processor.
const SECONDS: [f64; 16] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

/// Labels of a counted request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    code: u16,
}

/// The metrics of one serving process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    /// That of `requests` for 200, once there is one: most requests need no search for it.
    good: OnceLock<Counter>,
    answered: AtomicU64,
    last: AtomicU64,
    executions: AtomicU64,
    success: Sum,
    fail: Sum,
    queue: Sum,
    compute: Sum,
    request_duration: Histogram,
    queue_duration: Histogram,
    compute_duration: Histogram,
    in_flight: Gauge,
    connections: Gauge,
    ready: Gauge,
    draining: Gauge,
}

impl Metrics {
    /// Metrics that carry the model's name and version as labels.
    pub fn new(model: &str, version: u64) -> Self {
        let labels =
            [("model".into(), model.to_owned().into()), ("version".into(), version.to_string().into())];
        let mut registry = Registry::with_prefix_and_labels("modelwright", labels.into_iter());
        let histogram = || Histogram::new(SECONDS);
        let metrics = Self {
            requests: Family::default(),
            good: OnceLock::new(),
            answered: AtomicU64::new(0),
            last: AtomicU64::new(0),
            executions: AtomicU64::new(0),
            success: Sum::default(),
            fail: Sum::default(),
            queue: Sum::default(),
            compute: Sum::default(),
            request_duration: histogram(),
            queue_duration: histogram(),
            compute_duration: histogram(),
            in_flight: Gauge::default(),
            connections: Gauge::default(),
            ready: Gauge::default(),
            draining: Gauge::default(),
            registry: Registry::default(),
        };
        registry.register("requests", "Inference requests by HTTP status", metrics.requests.clone());
        registry.register_with_unit(
            "request_duration",
            "Time from the head of an inference request to its answer",
            Unit::Seconds,
            metrics.request_duration.clone(),
        );
        registry.register_with_unit(
            "queue_duration",
            "Time that inference requests waited for the model",
            Unit::Seconds,
            metrics.queue_duration.clone(),
        );
        registry.register_with_unit(
            "compute_duration",
            "Time that the model took",
            Unit::Seconds,
            metrics.compute_duration.clone(),
        );
        registry.register(
            "requests_in_flight",
            "Inference requests without an answer",
            metrics.in_flight.clone(),
        );
        registry.register("connections_open", "Open client connections", metrics.connections.clone());
        registry.register("ready", "1 if requests are taken", metrics.ready.clone());
        registry.register("draining", "1 if clients are told to leave", metrics.draining.clone());
        Self { registry, ..metrics }
    }

    /// Counts an answer.
    pub fn answered(&self, code: u16, duration: Duration) {
        let labels = RequestLabels { code };
        if code == 200 {
            self.good.get_or_init(|| self.requests.get_or_create_owned(&labels)).inc();
        } else {
            self.requests.get_or_create(&labels).inc();
        }
        self.answered.fetch_add(1, Relaxed);
        self.request_duration.observe(duration.as_secs_f64());
        if code == 200 { &self.success } else { &self.fail }.add(duration);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.last.store(u64::try_from(now.as_millis()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Notes how long a request waited and its run took, and whether the run is to be counted: once for those that shared
    /// it.
    pub fn computed(&self, queued: Duration, computed: Duration, counts: bool) {
        self.queue.add(queued);
        self.compute.add(computed);
        self.executions.fetch_add(u64::from(counts), Relaxed);
        self.queue_duration.observe(queued.as_secs_f64());
        self.compute_duration.observe(computed.as_secs_f64());
    }

    /// Predictions so far.
    pub fn answers(&self) -> u64 {
        self.success.total().count
    }

    /// Answers so far, refusals too.
    pub fn requests(&self) -> u64 {
        self.answered.load(Relaxed)
    }

    /// What was counted so far, in the words of the protocol's statistics.
    pub fn statistics(&self) -> Statistics {
        Statistics {
            last_inference: self.last.load(Relaxed),
            inference_count: self.success.total().count,
            execution_count: self.executions.load(Relaxed),
            success: self.success.total(),
            fail: self.fail.total(),
            queue: self.queue.total(),
            compute_infer: self.compute.total(),
        }
    }

    /// The text of `/metrics`, with the gauges as they are now.
    #[expect(clippy::missing_panics_doc, reason = "it cannot")]
    pub fn render(&self, gauges: Gauges) -> String {
        self.in_flight.set(gauges.in_flight);
        self.connections.set(gauges.connections);
        self.ready.set(i64::from(gauges.ready));
        self.draining.set(i64::from(gauges.draining));
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a String takes all that is written to it");
        text
    }
}

/// How often something was done, and how long it took in all.
#[derive(Debug, Default)]
struct Sum {
    count: AtomicU64,
    nanoseconds: AtomicU64,
}

impl Sum {
    fn add(&self, duration: Duration) {
        self.count.fetch_add(1, Relaxed);
        self.nanoseconds.fetch_add(u64::try_from(duration.as_nanos()).unwrap_or(0), Relaxed);
    }

    fn total(&self) -> Total {
        Total { count: self.count.load(Relaxed), ns: self.nanoseconds.load(Relaxed) }
    }
}

/// How often something was done, and how long it took in all, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Total {
    /// How often.
    pub count: u64,
    /// How long.
    pub ns: u64,
}

/// The protocol's statistics of a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// When the last request was answered, in milliseconds since 1970.
    pub last_inference: u64,
    /// Predictions that were made.
    pub inference_count: u64,
    /// Runs of the model that they took.
    pub execution_count: u64,
    /// Requests that got a prediction, from their head to their answer.
    pub success: Total,
    /// Those that got none.
    pub fail: Total,
    /// Waiting for the model.
    pub queue: Total,
    /// The model's runs.
    pub compute_infer: Total,
}

/// What is measured when it is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Gauges {
    /// Inference requests without an answer.
    pub in_flight: i64,
    /// Open client connections.
    pub connections: i64,
    /// Whether requests are taken.
    pub ready: bool,
    /// Whether clients are told to leave.
    pub draining: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_labels_are_those_that_dashboards_use() {
        let metrics = Metrics::new("digits", 3);
        metrics.answered(200, Duration::from_millis(3));
        metrics.answered(503, Duration::from_millis(1));
        metrics.computed(Duration::from_millis(1), Duration::from_millis(2), true);
        let text = metrics.render(Gauges { in_flight: 2, connections: 4, ready: true, draining: false });
        for line in [
            "modelwright_requests_total{model=\"digits\",version=\"3\",code=\"200\"} 1",
            "modelwright_requests_total{model=\"digits\",version=\"3\",code=\"503\"} 1",
            "modelwright_request_duration_seconds_count{model=\"digits\",version=\"3\"} 2",
            "modelwright_queue_duration_seconds_bucket{model=\"digits\",version=\"3\",le=\"0.001\"} 1",
            "modelwright_compute_duration_seconds_sum{model=\"digits\",version=\"3\"} 0.002",
            "modelwright_requests_in_flight{model=\"digits\",version=\"3\"} 2",
            "modelwright_connections_open{model=\"digits\",version=\"3\"} 4",
            "modelwright_ready{model=\"digits\",version=\"3\"} 1",
            "modelwright_draining{model=\"digits\",version=\"3\"} 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
        assert_eq!(metrics.requests(), 2);
        let statistics = metrics.statistics();
        assert_eq!(statistics.success, Total { count: 1, ns: 3_000_000 });
        assert_eq!((statistics.fail.count, statistics.execution_count), (1, 1));
    }
}
