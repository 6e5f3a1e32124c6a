//! Models and ModelDeployments of tests, and what is waited for. In go names and addresses.

use std::time::Duration;

use k8s_openapi::api::{apps::v1::ControllerRevision, batch::v1::Job, core::v1::Pod};
use kube::{Api, ResourceExt as _, api::ListParams};
use modelwright::api::{
    condition::{Condition, ConditionStatus, PROMOTED, READY, RECONCILING, STALLED},
    model::Model,
    model_deployment::ModelDeployment,
    name,
};
use serde_json::{Value, json};

use super::{Space, kubectl::kubectl, onnx::Affine, wait};

/// What Models and ModelDeployments have in common.
pub trait Observed {
    /// Conditions, if the status is of the present generation.
    fn conditions(&self) -> &[Condition];

    /// Whether a condition has a status, of the present generation.
    fn has(&self, kind: &str, status: ConditionStatus) -> bool {
        self.conditions().iter().any(|condition| condition.type_ == kind && condition.status == status)
    }

    /// Whether a condition is True.
    fn is(&self, kind: &str) -> bool {
        self.has(kind, ConditionStatus::True)
    }

    /// Reason and message of a condition.
    fn says(&self, kind: &str) -> String {
        self.conditions()
            .iter()
            .find(|condition| condition.type_ == kind)
            .map(|condition| format!("{}: {}", condition.reason, condition.message))
            .unwrap_or_default()
    }
}

/// A row of the health table: Ready, Reconciling, Stalled, Promoted, and the phases that go with it.
#[derive(Clone, Copy, Debug)]
pub struct Health([bool; 4], &'static [&'static str]);

impl Health {
    /// No revision was ever ready.
    pub const FIRST_START: Self = Self([false, true, false, false], &["Progressing"]);
    /// The stable revision serves while the target starts.
    pub const ROLLING: Self = Self([true, true, false, false], &["Progressing", "Paused"]);
    /// All is as the spec says.
    pub const TARGET_IS_STABLE: Self = Self([true, false, false, true], &["Healthy"]);
    /// The target was given up, the stable revision serves.
    pub const ROLLED_BACK: Self = Self([true, false, true, false], &["Degraded"]);
    /// Nothing serves, and waiting will not help.
    pub const NOTHING_SERVES: Self = Self([false, false, true, false], &["Degraded"]);
}

/// Conditions and phase of a ModelDeployment.
pub trait HealthOf {
    /// Checks that they are a row of the health table.
    fn assert_health(&self, expected: Health);
}

impl HealthOf for ModelDeployment {
    #[track_caller]
    fn assert_health(&self, expected: Health) {
        let Health(row, phases) = expected;
        let seen = [READY, RECONCILING, STALLED, PROMOTED].map(|kind| self.is(kind));
        let status = self.status.clone().unwrap_or_default();
        assert_eq!(seen, row, "{:#?}", status.conditions);
        let phase = status.phase.unwrap_or_default();
        assert!(phases.contains(&phase.as_str()), "the phase is {phase}, not one of {phases:?}");
        let generation = self.metadata.generation;
        assert!(status.conditions.iter().all(|condition| condition.observed_generation == generation));
        for kind in [READY, PROMOTED] {
            assert!(status.conditions.iter().any(|condition| condition.type_ == kind), "{kind} is not there");
        }
    }
}

impl Observed for Model {
    fn conditions(&self) -> &[Condition] {
        match &self.status {
            Some(status) if status.observed_generation == self.metadata.generation => &status.conditions,
            _ => &[],
        }
    }
}

impl Observed for ModelDeployment {
    fn conditions(&self) -> &[Condition] {
        match &self.status {
            Some(status) if status.observed_generation == self.metadata.generation => &status.conditions,
            _ => &[],
        }
    }
}

/// A Model that imports from `uri`, with further fields of `source`.
pub fn model(name: &str, uri: &str, source: Value) -> Value {
    let mut object = json!({
        "apiVersion": "modelwright.dev/v1alpha1", "kind": "Model", "metadata": {"name": name},
        "spec": {"source": {"uri": uri}},
    });
    merge(&mut object["spec"]["source"], source);
    object
}

/// A ModelDeployment of `model` whose pods are small and leave fast, with further fields of its spec.
pub fn deployment(name: &str, model: &str, spec: Value) -> Value {
    let mut object = json!({
        "apiVersion": "modelwright.dev/v1alpha1", "kind": "ModelDeployment", "metadata": {"name": name},
        "spec": {
            "model": model,
            "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
            "serving": {"drainTimeout": "5s"},
            "strategy": {"rollingUpdate": {"progressDeadline": "2m"}},
        },
    });
    merge(&mut object["spec"], spec);
    object
}

/// A merge patch, without the removal of fields.
pub fn merge(target: &mut Value, change: Value) {
    match (target, change) {
        (Value::Object(target), Value::Object(change)) => {
            for (key, value) in change {
                merge(target.entry(key).or_insert(Value::Null), value);
            }
        }
        (target, Value::Null) if !target.is_null() => {}
        (target, change) => *target = change,
    }
}

impl Space {
    /// Puts a model on the file server, at a path of this test's own; gives its URI.
    pub async fn serve_file(&self, file: &str, model: Affine) -> String {
        self.world.fixtures.put_model(&format!("{}/{file}", self.name), model).await;
        format!("http://{}/files/{}/{file}", self.world.fixtures.http_host(), self.name)
    }

    /// Imports a model by HTTP, and waits for its version.
    pub async fn import(&self, name: &str, model: Affine) -> Model {
        let uri = self.serve_file(&format!("{name}.onnx"), model).await;
        self.create_object::<Model>(self::model(name, &uri, json!({}))).await;
        self.ready_model(name).await
    }

    /// Imports other bytes into an existing Model, and waits for their version.
    pub async fn import_next(&self, name: &str, file: &str, model: Affine) -> Model {
        let uri = self.serve_file(file, model).await;
        self.patch::<Model>(name, json!({"spec": {"source": {"uri": uri}}})).await;
        self.ready_model(name).await
    }

    /// Waits until a Model is Ready for its present spec.
    pub async fn ready_model(&self, name: &str) -> Model {
        self.until(name, "Ready", 120, |model: &Model| {
            assert!(!model.is(STALLED), "the import stalled: {}", model.says(STALLED));
            model.is(READY) && !model.is(RECONCILING)
        })
        .await
    }

    /// Waits until a Model is Stalled.
    pub async fn stalled_model(&self, name: &str, seconds: u64) -> Model {
        self.until(name, "Stalled", seconds, |model: &Model| model.is(STALLED)).await
    }

    /// Creates a ModelDeployment, and waits until its revision is the stable one, and until its new Service leads to it.
    pub async fn serve(&self, name: &str, model: &str, spec: Value) -> ModelDeployment {
        self.create_object::<ModelDeployment>(deployment(name, model, spec)).await;
        let served = self.promoted(name).await;
        self.until_reachable(&served).await;
        served
    }

    /// Waits until a ModelDeployment is Promoted for its present spec.
    pub async fn promoted(&self, name: &str) -> ModelDeployment {
        self.until(name, "Promoted", 120, |md: &ModelDeployment| {
            assert!(!md.is(STALLED), "the rollout stalled: {}", md.says(STALLED));
            md.is(PROMOTED) && md.is(READY)
        })
        .await
    }

    /// Waits until a ModelDeployment is Promoted and its stable revision serves this version.
    pub async fn promoted_version(&self, name: &str, version: u64) -> ModelDeployment {
        self.until(name, "Promoted with the version", 120, |md: &ModelDeployment| {
            md.is(PROMOTED)
                && md.is(READY)
                && md
                    .status
                    .as_ref()
                    .and_then(|status| status.stable.as_ref())
                    .is_some_and(|stable| stable.version == version)
        })
        .await
    }

    /// Serving pods of a ModelDeployment.
    pub async fn pods(&self, deployment: &str) -> Vec<Pod> {
        let selector = format!("{}={deployment}", name::DEPLOYMENT_LABEL);
        let pods: Api<Pod> = self.api();
        pods.list(&ListParams::default().labels(&selector)).await.expect("pods can be listed").items
    }

    /// Names of all Jobs, the finished ones included.
    pub async fn jobs(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.list::<Job>().await.iter().map(kube::ResourceExt::name_any).collect();
        names.sort();
        names
    }

    /// A Model's Jobs, the finished ones included.
    pub async fn jobs_of(&self, model: &str) -> Vec<Job> {
        let selector = ListParams::default().labels(&format!("{}={model}", name::MODEL_LABEL));
        let jobs: Api<Job> = self.api();
        jobs.list(&selector).await.expect("Jobs can be listed").items
    }

    /// Name and UID of all revisions.
    pub async fn revisions(&self) -> Vec<(String, Option<String>)> {
        let revisions = self.list::<ControllerRevision>().await;
        let mut names: Vec<_> = revisions.into_iter().map(|one| (one.name_any(), one.metadata.uid)).collect();
        names.sort();
        names
    }

    /// Reason and message of all events, a line each.
    pub async fn events(&self) -> String {
        let told = r#"jsonpath={range .items[*]}{.reason}: {.message}{"\n"}{end}"#;
        kubectl(&["--namespace", &self.name, "get", "events", "--output", told]).await.expect_success()
    }

    /// Waits until no object of this name is left.
    pub async fn until_gone<K>(&self, name: &str, seconds: u64)
    where
        K: Clone
            + std::fmt::Debug
            + Send
            + serde::Serialize
            + serde::de::DeserializeOwned
            + kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + 'static,
    {
        let gone = wait::until_gone(&self.api::<K>(), name, Duration::from_secs(seconds)).await;
        if let Err(error) = gone {
            panic!("{error}");
        }
    }
}
