//! A real Kueue, built from its sources and installed from its own manifests, and queues of it. In go settings and quotas.

use std::{env, time::Duration};

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api,
    api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams},
    core::GroupVersionKind,
};
use serde_json::{Value, json};

use super::{
    Space,
    kubectl::{kubectl, run},
    resources::merge,
    wait,
};

const NAMESPACE: &str = "kueue-system";
const DEPLOYMENT: &str = "kueue-controller-manager";
const CERTIFICATE: &str = "kueue-webhook-server-cert";
/// Kueue's own kinds and Jobs; what it could queue besides is no test's.
const WEBHOOKS: [&str; 5] = ["clusterqueue", "cohort", "job", "resourceflavor", "workload"];

/// Kueue in the cluster, with one queue for a test's namespace.
pub struct Kueue {
    space: Space,
    manifests: String,
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set; `tests/run full` sets it"))
}

fn configuration(settings: Value) -> Value {
    let mut configuration = json!({
        "apiVersion": "config.kueue.x-k8s.io/v1beta2", "kind": "Configuration",
        "health": {"healthProbeBindAddress": ":8081"},
        "metrics": {"bindAddress": ":8443"},
        "webhook": {"port": 9443},
        "leaderElection": {"leaderElect": false},
        "integrations": {"frameworks": ["batch/job"]},
        // its API service would have to be up for a namespace to go
        "featureGates": {"VisibilityOnDemand": false},
    });
    merge(&mut configuration, settings);
    configuration
}

/// Kueue's manifests for a small cluster; none, where it is not to be.
fn adapted(mut object: Value, configuration: &Value) -> Option<Value> {
    match object["kind"].as_str()? {
        "APIService" => return None,
        "ConfigMap" => object["data"] = json!({"controller_manager_config.yaml": configuration.to_string()}),
        "Deployment" => {
            let container = &mut object["spec"]["template"]["spec"]["containers"][0];
            container["image"] = json!(variable("MODELWRIGHT_KUEUE_IMAGE"));
            container["imagePullPolicy"] = json!("IfNotPresent");
            container["resources"]["requests"] = json!({"cpu": "50m", "memory": "128Mi"});
        }
        "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration" => {
            object["webhooks"].as_array_mut()?.retain(|webhook| {
                let name = webhook["name"].as_str().and_then(|name| name.strip_suffix(".kb.io"));
                name.and_then(|name| name.get(1..)).is_some_and(|kind| WEBHOOKS.contains(&kind))
            });
        }
        _ => {}
    }
    Some(object)
}

impl Kueue {
    /// Installs it with these settings, and waits until it answers.
    pub async fn install(space: &Space, settings: Value) -> Self {
        let rendered =
            kubectl(&["kustomize", &variable("MODELWRIGHT_KUEUE_MANIFESTS")]).await.expect_success();
        let configuration = configuration(settings);
        let objects = rendered.split("\n---\n").map(|text| serde_yaml::from_str(text).expect("it is YAML"));
        let mut objects: Vec<Value> = objects.filter_map(|object| adapted(object, &configuration)).collect();
        objects.sort_by_key(|object| match object["kind"].as_str() {
            Some("Namespace") => 0,
            Some("CustomResourceDefinition") => 1,
            _ => 2,
        });
        let manifests = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
        let kueue = Self { space: space.clone(), manifests };
        kueue.apply(&kueue.manifests).await;
        kueue.start().await;
        kueue
    }

    /// Gives it other settings.
    pub async fn set(&self, settings: Value) {
        let data = json!({"data": {"controller_manager_config.yaml": configuration(settings).to_string()}});
        let patch = ["--patch", &data.to_string(), "--type", "merge"];
        let all =
            [&["patch", "configmap", "kueue-manager-config", "--namespace", NAMESPACE], patch.as_slice()];
        kubectl(&all.concat()).await.expect_success();
        self.start().await;
    }

    /// Starts its process anew, so that it has its present settings.
    async fn start(&self) {
        let secrets: Api<Secret> = Api::namespaced(self.space.world.client.clone(), NAMESPACE);
        let deployment = format!("deployment/{DEPLOYMENT}");
        if secrets.get(CERTIFICATE).await.is_ok_and(|secret| secret.data.is_some()) {
            let restart = ["rollout", "restart", &deployment, "--namespace", NAMESPACE];
            kubectl(&restart).await.expect_success();
        } else {
            wait::until(&secrets, CERTIFICATE, "filled", Duration::from_mins(2), |secret: &Secret| {
                secret.data.is_some()
            })
            .await;
            // The kubelet looks for another Secret once a minute, and at once when the pod changes.
            let touch = ["annotate", "pods", "--all", "--namespace", NAMESPACE, "tests/certificate=filled"];
            kubectl(&touch).await.expect_success();
        }
        let status = ["rollout", "status", &deployment, "--namespace", NAMESPACE, "--timeout", "180s"];
        let started = kubectl(&status).await;
        if !started.success {
            let logs = kubectl(&["logs", &deployment, "--namespace", NAMESPACE, "--tail", "30"]).await;
            panic!("Kueue does not start: {}\n{}{}", started.stderr, logs.stdout, logs.stderr);
        }
    }

    async fn apply(&self, manifests: &str) {
        let apply = ["apply", "--server-side", "--force-conflicts", "--filename", "-"];
        run("kubectl", &apply, manifests).await.expect_success();
    }

    /// Makes the queue `team` of the namespace, which lets this many runs go at a time: those of a higher priority first.
    pub async fn queue(&self, runs: u32) {
        let (version, name) = ("kueue.x-k8s.io/v1beta2", &self.space.name);
        let quota = |(resource, quota): (&str, &str)| json!({"name": resource, "nominalQuota": quota});
        let quotas = [("cpu", "100"), ("memory", "100Gi"), ("pods", &runs.to_string())].map(quota);
        let priority = |(class, value): (&str, u32)| {
            let name = format!("{name}-{class}");
            json!({"apiVersion": version, "kind": "WorkloadPriorityClass", "metadata": {"name": name}, "value": value})
        };
        let mut objects = vec![
            json!({
                "apiVersion": version, "kind": "ResourceFlavor", "metadata": {"name": name},
                "spec": {
                    "nodeLabels": {"kubernetes.io/os": "linux"},
                    "tolerations": [{"key": "tests/flavor", "operator": "Exists"}],
                },
            }),
            json!({
                "apiVersion": version, "kind": "ClusterQueue", "metadata": {"name": name},
                "spec": {
                    "namespaceSelector": {}, "preemption": {"withinClusterQueue": "LowerPriority"},
                    "resourceGroups": [{
                        "coveredResources": ["cpu", "memory", "pods"],
                        "flavors": [{"name": name, "resources": quotas}],
                    }],
                },
            }),
            json!({
                "apiVersion": version, "kind": "LocalQueue", "metadata": {"name": "team", "namespace": name},
                "spec": {"clusterQueue": name},
            }),
        ];
        objects.extend([("low", 10), ("high", 1000)].map(priority));
        self.apply(&json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string()).await;
    }

    /// Lets another number of runs go at a time.
    pub async fn set_runs(&self, runs: u32) {
        let path = "/spec/resourceGroups/0/flavors/0/resources/2/nominalQuota";
        let quota: kube::api::Patch<()> = Patch::Json(
            serde_json::from_value(json!([{"op": "replace", "path": path, "value": runs.to_string()}]))
                .expect("it is a patch"),
        );
        let resource =
            ApiResource::from_gvk(&GroupVersionKind::gvk("kueue.x-k8s.io", "v1beta2", "ClusterQueue"));
        let queues: Api<DynamicObject> = Api::all_with(self.space.world.client.clone(), &resource);
        queues
            .patch(&self.space.name, &PatchParams::default(), &quota)
            .await
            .expect("the quota can be changed");
    }

    /// How often Kueue stopped a run of the namespace for a reason.
    pub async fn evictions(&self, reason: &str) -> u64 {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("kueue.x-k8s.io", "v1beta2", "Workload"));
        let workloads: Api<DynamicObject> =
            Api::namespaced_with(self.space.world.client.clone(), &self.space.name, &resource);
        let all = workloads.list(&ListParams::default()).await.expect("Workloads can be listed").items;
        let evictions =
            all.iter().filter_map(|it| it.data.pointer("/status/schedulingStats/evictions")?.as_array());
        evictions
            .flatten()
            .filter(|evictions| evictions["reason"] == reason)
            .filter_map(|evictions| evictions["count"].as_u64())
            .sum()
    }

    /// Takes everything out of the cluster again. What it holds by finalizers goes while it still runs.
    pub async fn remove(self) {
        let name = &self.space.name;
        for kind in ["models", "jobs", "workloads", "localqueues"] {
            let delete = ["delete", kind, "--all", "--namespace", name, "--timeout", "120s"];
            kubectl(&delete).await.expect_success();
        }
        kubectl(&["delete", "clusterqueue,resourceflavor", name, "--timeout", "60s"]).await.expect_success();
        let delete = ["delete", "--ignore-not-found", "--timeout", "120s", "--filename", "-"];
        run("kubectl", &delete, &self.manifests).await.expect_success();
    }
}
