//! What is counted while serving, in Prometheus' conventions. In go outcomes; out comes the text of `/metrics`. Each
//! counter is touched in one place.

use std::{sync::atomic::AtomicU64, time::Duration};

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
    answered: AtomicU64,
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
            answered: AtomicU64::new(0),
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
        self.requests.get_or_create(&RequestLabels { code }).inc();
        self.answered.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.request_duration.observe(duration.as_secs_f64());
    }

    /// Notes how long a run waited and took.
    pub fn computed(&self, queued: Duration, computed: Duration) {
        self.queue_duration.observe(queued.as_secs_f64());
        self.compute_duration.observe(computed.as_secs_f64());
    }

    /// Answers so far.
    pub fn requests(&self) -> u64 {
        self.answered.load(std::sync::atomic::Ordering::Relaxed)
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
        metrics.computed(Duration::from_millis(1), Duration::from_millis(2));
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
    }
}
