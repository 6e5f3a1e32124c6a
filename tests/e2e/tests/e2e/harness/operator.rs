//! The running operator: its pods, its Lease, its admin port; and ways to break it.

use std::{env, time::Duration};

use k8s_openapi::api::{apps::v1::Deployment, coordination::v1::Lease, core::v1::Pod};
use kube::{
    Api,
    api::{DeleteParams, ListParams},
};
use serde_json::json;

use super::{
    World,
    fixtures::is_ready,
    kubectl::{kubectl, run},
    release::{self, NAME, NAMESPACE},
    wait,
};

/// The running operator.
pub struct Operator {
    world: &'static World,
}

impl World {
    /// The running operator.
    pub fn operator(&'static self) -> Operator {
        Operator { world: self }
    }
}

impl Operator {
    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.world.client.clone(), NAMESPACE)
    }

    /// Its pods that are not on their way out.
    pub async fn pods(&self) -> Vec<Pod> {
        let ours = ListParams::default()
            .labels(&format!("app.kubernetes.io/instance={NAME},app.kubernetes.io/component=operator"));
        let mut pods = self.api::<Pod>().list(&ours).await.expect("pods can be listed").items;
        pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
        pods
    }

    /// Name of the pod that holds the Lease, once one of the present pods does.
    pub async fn leader(&self, limit: Duration, other_than: Option<&str>) -> String {
        let lease = wait::until(&self.api::<Lease>(), NAME, "held by another pod", limit, |lease: &Lease| {
            let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()).unwrap_or("");
            !holder.is_empty() && Some(holder) != other_than
        })
        .await;
        lease.spec.and_then(|spec| spec.holder_identity).unwrap_or_default()
    }

    /// Kills a pod at once, as a node that fails does.
    pub async fn kill(&self, pod: &str) {
        let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        self.api::<Pod>().delete(pod, &now).await.expect("a pod can be deleted");
    }

    /// Deletes a pod, which may clean up.
    pub async fn delete(&self, pod: &str) {
        self.api::<Pod>().delete(pod, &DeleteParams::default()).await.expect("a pod can be deleted");
    }

    /// Freezes a pod's process, or thaws it; `false` where the node cannot be reached from here.
    pub async fn freeze(&self, pod: &str, frozen: bool) -> bool {
        if env::var_os("CONTAINERD_ADDRESS").is_none() {
            return false;
        }
        let pod = self.api::<Pod>().get(pod).await.expect("the pod is there");
        let container = pod
            .status
            .and_then(|status| status.container_statuses)
            .and_then(|statuses| statuses.into_iter().next()?.container_id)
            .expect("its container has an ID");
        let id = container.trim_start_matches("containerd://");
        run("ctr", &["tasks", if frozen { "pause" } else { "resume" }, id], "").await.expect_success();
        true
    }

    /// How often a pod's container was started anew.
    pub async fn restarts(&self, pod: &str) -> i32 {
        let pod = self.api::<Pod>().get(pod).await.expect("the pod is there");
        pod.status
            .and_then(|status| status.container_statuses)
            .map_or(0, |statuses| statuses.iter().map(|status| status.restart_count).sum())
    }

    /// Waits until a pod's container was started more often than `before`.
    pub async fn until_restarted(&self, pod: &str, before: i32) {
        wait::until(&self.api::<Pod>(), pod, "started anew", Duration::from_mins(1), |pod: &Pod| {
            let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
            statuses.is_some_and(|all| all.iter().map(|status| status.restart_count).sum::<i32>() > before)
        })
        .await;
    }

    /// Scales it, and waits until every pod is ready.
    pub async fn scale(&self, replicas: i32) {
        let change = kube::api::Patch::Merge(json!({"spec": {"replicas": replicas}}));
        self.api::<Deployment>()
            .patch(NAME, &kube::api::PatchParams::default(), &change)
            .await
            .expect("the operator's Deployment can be scaled");
        self.until_ready(replicas).await;
    }

    /// Stops it for good, and waits until none of its pods is left.
    pub async fn stop(&self) {
        let pods = self.names().await;
        // A test that fails before it starts it again must not leave the others without one.
        release::forget().await;
        self.scale(0).await;
        for pod in pods {
            wait::until_gone(&self.api::<Pod>(), &pod, Duration::from_mins(1))
                .await
                .expect("the operator stops");
        }
    }

    /// Waits until this many pods are ready, and no other is left.
    pub async fn until_ready(&self, replicas: i32) {
        let limit = Duration::from_mins(3);
        wait::until(&self.api::<Deployment>(), NAME, "ready", limit, |deployment: &Deployment| {
            deployment.status.as_ref().is_some_and(|status| {
                status.observed_generation == deployment.metadata.generation
                    && status.replicas.unwrap_or(0) == replicas
                    && status.ready_replicas.unwrap_or(0) == replicas
            })
        })
        .await;
    }

    /// Answer of a path of the admin port of the first ready pod: status and text.
    pub async fn admin(&self, path: &str) -> (u16, String) {
        let pod = self.pods().await.into_iter().find(is_ready).expect("a pod of the operator is ready");
        let address = pod.status.and_then(|status| status.pod_ip).expect("a ready pod has an address");
        let answer = self.world.http.get(format!("http://{address}:8080{path}")).send().await;
        let answer = answer.expect("the admin port answers");
        (answer.status().as_u16(), answer.text().await.expect("its answer is text"))
    }

    /// Names of its pods.
    pub async fn names(&self) -> Vec<String> {
        self.pods().await.iter().map(kube::ResourceExt::name_any).collect()
    }

    /// Whether the operator may do something, as `kubectl auth can-i` says.
    pub async fn may(&self, what: &[&str]) -> bool {
        may(&format!("system:serviceaccount:{NAMESPACE}:{NAME}"), what).await
    }
}

/// Whether a user may do something, as `kubectl auth can-i` says.
pub async fn may(user: &str, what: &[&str]) -> bool {
    let output = kubectl(&[&["auth", "can-i", "--as", user], what].concat()).await;
    match output.stdout.trim() {
        "yes" => true,
        "no" => false,
        other => panic!("kubectl auth can-i {what:?} said {other:?} {}", output.stderr),
    }
}
