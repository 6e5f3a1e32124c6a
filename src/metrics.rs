//! The operator's own counters, in the OpenMetrics text format at `/metrics`. No client.

use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64},
    },
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use tokio::time::Instant;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReconcileLabels {
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabels {
    kind: &'static str,
    error: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WriteLabels {
    kind: String,
    verb: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PhaseLabels {
    phase: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

/// Every counter of the operator; each is touched in one place.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    reconciles: Family<ReconcileLabels, Counter>,
    durations: Family<KindLabels, Histogram>,
    errors: Family<ErrorLabels, Counter>,
    writes: Family<WriteLabels, Counter>,
    watch_errors: Family<KindLabels, Counter>,
    unreadable: Family<KindLabels, Gauge<i64, AtomicI64>>,
    queues: Family<KindLabels, Gauge>,
    ages: Family<KindLabels, Gauge<f64, AtomicU64>>,
    leading: Gauge<i64, AtomicI64>,
    bundled_store: Family<Vec<(String, String)>, Gauge<i64, AtomicI64>>,
    phases: Family<PhaseLabels, Gauge<i64, AtomicI64>>,
    rollouts: Family<OutcomeLabels, Histogram>,
    /// Phase of each ModelDeployment, by namespace and name.
    told: Mutex<HashMap<(String, String), String>>,
    /// Kind of each watch, and when something was last heard of it, by the place that it watches.
    heard: Mutex<HashMap<String, (&'static str, Instant)>>,
}

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self {
            registry: Registry::with_prefix("modelwright"),
            reconciles: Family::default(),
            durations: Family::new_with_constructor(|| {
                Histogram::new([0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0])
            }),
            errors: Family::default(),
            writes: Family::default(),
            watch_errors: Family::default(),
            unreadable: Family::default(),
            queues: Family::default(),
            ages: Family::default(),
            leading: Gauge::default(),
            bundled_store: Family::default(),
            phases: Family::default(),
            rollouts: Family::new_with_constructor(|| {
                Histogram::new([5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0])
            }),
            told: Mutex::default(),
            heard: Mutex::default(),
        };
        metrics.registered()
    }
}

impl Metrics {
    fn registered(mut self) -> Self {
        let registry = &mut self.registry;
        registry.register("reconcile", "Reconciles by kind and outcome", self.reconciles.clone());
        registry.register(
            "reconcile_duration_seconds",
            "Time of a reconcile by kind",
            self.durations.clone(),
        );
        registry.register("reconcile_errors", "Failed reconciles by kind and error", self.errors.clone());
        registry.register("writes", "Writes to the API server by kind and verb", self.writes.clone());
        registry.register("watch_errors", "Interrupted watches by kind", self.watch_errors.clone());
        registry.register(
            "unreadable_objects",
            "Objects by kind that do not parse and are left as they are",
            self.unreadable.clone(),
        );
        registry.register(
            "queue_depth",
            "Objects by kind of which a change was announced and that wait for their turn",
            self.queues.clone(),
        );
        registry.register(
            "cache_age_seconds",
            "Time since the API server last sent something of what is watched, a list, an event or a bookmark",
            self.ages.clone(),
        );
        registry.register("leading", "1 while this process holds the Lease", self.leading.clone());
        registry.register(
            "bundled_store_up",
            "1 while the store that the chart brings along has a pod that is ready",
            self.bundled_store.clone(),
        );
        registry.register("model_deployments", "ModelDeployments by phase", self.phases.clone());
        registry.register(
            "rollout_duration_seconds",
            "Time from the start of a rollout to its end, by how it ended",
            self.rollouts.clone(),
        );
        self
    }

    /// Objects of a kind are going to be reconciled: what may be counted of them is there from the start, at zero, since
    /// a rate over a counter that appears with its first event misses that event.
    pub fn reconciles(&self, kind: &'static str) {
        for outcome in ["ok", "error"] {
            drop(self.reconciles.get_or_create(&ReconcileLabels { kind, outcome }));
        }
        drop(self.errors.get_or_create(&ErrorLabels { kind, error: "api" }));
    }

    /// How many objects of a kind wait for their turn.
    pub fn queue(&self, kind: &'static str) -> Gauge {
        self.queues.get_or_create_owned(&KindLabels { kind })
    }

    /// Something came of a watch.
    pub fn heard(&self, place: &str) {
        if let Some((_, heard)) = self.heard.lock().unwrap_or_else(PoisonError::into_inner).get_mut(place) {
            *heard = Instant::now();
        }
    }

    /// A kind is going to be watched at a place of the API server.
    pub fn watches(&self, kind: &'static str, place: &str) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.insert(place.to_owned(), (kind, Instant::now()));
        drop(self.watch_errors.get_or_create(&KindLabels { kind }));
        drop(self.unreadable.get_or_create(&KindLabels { kind }));
    }

    /// A reconcile ended: `error` is its static label where it failed.
    pub fn reconciled(&self, kind: &'static str, duration: Duration, error: Option<&'static str>) {
        let outcome = if error.is_some() { "error" } else { "ok" };
        self.reconciles.get_or_create(&ReconcileLabels { kind, outcome }).inc();
        self.durations.get_or_create(&KindLabels { kind }).observe(duration.as_secs_f64());
        if let Some(error) = error {
            self.errors.get_or_create(&ErrorLabels { kind, error }).inc();
        }
    }

    /// A write succeeded.
    pub fn wrote(&self, kind: &str, verb: &'static str) {
        self.writes.get_or_create(&WriteLabels { kind: kind.to_owned(), verb }).inc();
    }

    /// A watch broke and starts again.
    pub fn watch_failed(&self, kind: &'static str) {
        self.watch_errors.get_or_create(&KindLabels { kind }).inc();
    }

    /// So many objects of a scope do not parse, where there were so many before.
    pub fn unreadable(&self, kind: &'static str, before: usize, after: usize) {
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        if before != after {
            self.unreadable.get_or_create(&KindLabels { kind }).inc_by(count(after) - count(before));
        }
    }

    /// Whether this process holds the Lease.
    pub fn set_leading(&self, leading: bool) {
        self.leading.set(i64::from(leading));
    }

    /// Whether the chart's store is up; nothing is told where there is none.
    pub fn set_bundled_store_up(&self, up: bool) {
        self.bundled_store.get_or_create(&Vec::new()).set(i64::from(up));
    }

    /// The phase of a ModelDeployment as its status has it; none once it is gone.
    pub fn set_phase(&self, namespace: &str, name: &str, phase: Option<&str>) {
        let key = (namespace.to_owned(), name.to_owned());
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match phase {
            Some(phase) => told.insert(key, phase.to_owned()),
            None => told.remove(&key),
        };
        let count = |phase: &str| self.phases.get_or_create_owned(&PhaseLabels { phase: phase.to_owned() });
        if let Some(before) = before {
            count(&before).dec();
        }
        if let Some(phase) = phase {
            count(phase).inc();
        }
    }

    /// An object is gone.
    pub fn gone(&self, kind: &str, namespace: &str, name: &str) {
        if kind == "ModelDeployment" {
            self.set_phase(namespace, name, None);
        }
    }

    /// A rollout ended this way after so long.
    pub fn rollout_ended(&self, outcome: &'static str, duration: Duration) {
        self.rollouts.get_or_create(&OutcomeLabels { outcome }).observe(duration.as_secs_f64());
    }

    /// The text of `/metrics`.
    pub fn render(&self) -> Result<String, std::fmt::Error> {
        let mut ages: HashMap<_, f64> = HashMap::new();
        for (kind, heard) in self.heard.lock().unwrap_or_else(PoisonError::into_inner).values() {
            let oldest = ages.entry(*kind).or_default();
            *oldest = oldest.max(heard.elapsed().as_secs_f64());
        }
        for (kind, age) in ages {
            self.ages.get_or_create(&KindLabels { kind }).set(age);
        }
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn every_counter_appears_under_its_documented_name() {
        let metrics = Metrics::default();
        metrics.reconciled("Model", Duration::from_millis(3), None);
        metrics.reconciled("Model", Duration::from_millis(3), Some("conflict"));
        metrics.wrote("Job", "create");
        metrics.watch_failed("Pod");
        metrics.watches("Job", "/jobs");
        metrics.watches("Pod", "/a/pods");
        metrics.watches("Pod", "/b/pods");
        tokio::time::advance(Duration::from_secs(90)).await;
        metrics.heard("/jobs");
        metrics.heard("/a/pods");
        metrics.heard("/elsewhere");
        metrics.queue("Model").inc();
        metrics.unreadable("Model", 0, 3);
        metrics.unreadable("Model", 3, 1);
        metrics.reconciles("ModelDeployment");
        metrics.set_leading(true);
        assert!(!metrics.render().unwrap().contains("\nmodelwright_bundled_store_up"), "there is none");
        metrics.set_bundled_store_up(false);
        metrics.set_phase("space", "digits", Some("Progressing"));
        metrics.set_phase("space", "digits", Some("Healthy"));
        metrics.set_phase("space", "words", Some("Healthy"));
        metrics.set_phase("space", "words", None);
        metrics.set_phase("space", "words", None);
        metrics.rollout_ended("Promoted", Duration::from_secs(20));
        let text = metrics.render().unwrap();
        for line in [
            r#"modelwright_reconcile_total{kind="Model",outcome="ok"} 1"#,
            r#"modelwright_reconcile_total{kind="Model",outcome="error"} 1"#,
            r#"modelwright_reconcile_errors_total{kind="Model",error="conflict"} 1"#,
            r#"modelwright_reconcile_duration_seconds_count{kind="Model"} 2"#,
            r#"modelwright_writes_total{kind="Job",verb="create"} 1"#,
            r#"modelwright_watch_errors_total{kind="Pod"} 1"#,
            r#"modelwright_watch_errors_total{kind="Job"} 0"#,
            r#"modelwright_unreadable_objects{kind="Model"} 1"#,
            r#"modelwright_unreadable_objects{kind="Job"} 0"#,
            r#"modelwright_queue_depth{kind="Model"} 1"#,
            r#"modelwright_cache_age_seconds{kind="Job"} 0.0"#,
            r#"modelwright_cache_age_seconds{kind="Pod"} 90.0"#,
            r#"modelwright_reconcile_total{kind="ModelDeployment",outcome="error"} 0"#,
            r#"modelwright_reconcile_errors_total{kind="ModelDeployment",error="api"} 0"#,
            "modelwright_leading 1",
            "modelwright_bundled_store_up{} 0",
            r#"modelwright_model_deployments{phase="Progressing"} 0"#,
            r#"modelwright_model_deployments{phase="Healthy"} 1"#,
            r#"modelwright_rollout_duration_seconds_bucket{le="15.0",outcome="Promoted"} 0"#,
            r#"modelwright_rollout_duration_seconds_bucket{le="30.0",outcome="Promoted"} 1"#,
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        let page = include_str!("../docs/install.md");
        for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            let (name, kind) = line.split_once(' ').unwrap();
            let counted = if kind == "counter" { format!("`{name}_total") } else { format!("`{name}") };
            let is_named = page.split(&counted).skip(1).any(|rest| rest.starts_with(['`', '{']));
            assert!(is_named, "docs/install.md does not name {counted}");
        }
    }
}
