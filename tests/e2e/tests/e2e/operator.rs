//! A6: the operator in operation: what it may do, what it says of itself, and that it writes nothing without cause.

use k8s_openapi::api::{apps::v1::ControllerRevision, batch::v1::Job, core::v1::Pod};
use kube::{ResourceExt as _, api::DeleteParams};
use modelwright::api::{
    condition::READY, model::Model, model_deployment::ModelDeployment, model_version::ModelVersion,
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::harness::{
    Space,
    onnx::Affine,
    release,
    resources::{Observed as _, model},
};

const FIRST: Affine = Affine { factor: 2.0, summand: 1.0 };
const SECOND: Affine = Affine { factor: -1.0, summand: 0.5 };

/// Health, readiness, counters.
pub async fn the_operator_reports_its_health_and_its_counters(space: Space) {
    space.import("digits", FIRST).await;
    let operator = space.world.operator();
    assert_eq!(operator.admin("/healthz").await.0, 200);
    assert_eq!(operator.admin("/readyz").await.0, 200);
    let (status, metrics) = operator.admin("/metrics").await;
    assert_eq!(status, 200);
    for counter in ["modelwright_reconcile_total", "modelwright_writes_total", "modelwright_leading 1"] {
        assert!(metrics.contains(counter), "{counter} is not in {metrics}");
    }
    assert_eq!(operator.admin("/nothing").await.0, 404);
}

/// Secrets are named and mounted, never read.
pub async fn the_operator_has_no_right_on_secrets(space: Space) {
    let operator = space.world.operator();
    let namespace = space.name.as_str();
    for verb in ["get", "list", "watch", "create", "update", "patch", "delete"] {
        assert!(!operator.may(&[verb, "secrets", "--namespace", namespace]).await, "{verb}");
        assert!(!operator.may(&[verb, "secrets", "--all-namespaces"]).await, "{verb}");
    }
    for what in [
        &["create", "pods", "--subresource=exec"] as &[&str],
        &["create", "pods", "--subresource=attach"],
        &["create", "pods"],
        &["update", "models.modelwright.dev"],
        &["patch", "modeldeployments.modelwright.dev"],
        &["create", "serviceaccounts", "--subresource=token"],
    ] {
        assert!(!operator.may(&[what, &["--namespace", namespace]].concat()).await, "{what:?}");
    }
    let status = ["patch", "models.modelwright.dev", "--subresource=status", "--namespace", namespace];
    assert!(operator.may(&status).await, "the question is asked in the right words");
}

/// A backup has no owners, no status and no UIDs.
pub async fn objects_restored_without_owners_are_adopted_without_a_run(space: Space) {
    space.import("digits", FIRST).await;
    space.import_next("digits", "second.onnx", SECOND).await;
    let before = space.serve("digits", "digits", json!({})).await;
    space.patch::<ModelDeployment>("digits", json!({"spec": {"version": 1}})).await;
    space.promoted_version("digits", 1).await;
    space.patch::<ModelDeployment>("digits", json!({"spec": {"version": null}})).await;
    space.promoted_version("digits", 2).await;
    let versions = backup(&space.list::<ModelVersion>().await);
    let revisions = backup(&space.list::<ControllerRevision>().await);
    let models = backup(&space.list::<Model>().await);
    let deployments = backup(&space.list::<ModelDeployment>().await);
    assert_eq!((versions.len(), revisions.len()), (2, 2));

    let now = DeleteParams::default();
    space.api::<ModelDeployment>().delete("digits", &now).await.expect("it can be deleted");
    space.until_gone::<ModelDeployment>("digits", 60).await;
    space.api::<Model>().delete("digits", &now).await.expect("it can be deleted");
    space.until_gone::<Model>("digits", 60).await;
    for name in ["digits-v1", "digits-v2"] {
        space.until_gone::<ModelVersion>(name, 60).await;
    }
    for revision in &revisions {
        space.until_gone::<ControllerRevision>(name_of(revision), 60).await;
    }
    for job in space.jobs().await {
        space.until_gone::<Job>(&job, 60).await;
    }

    for version in versions {
        space.create_object::<ModelVersion>(version).await;
    }
    for revision in &revisions {
        space.create_object::<ControllerRevision>(revision.clone()).await;
    }
    space.create_object::<Model>(models[0].clone()).await;
    space.create_object::<ModelDeployment>(deployments[0].clone()).await;
    let model = space.ready_model("digits").await;
    assert_eq!(model.status.as_ref().and_then(|status| status.current_version), Some(2));
    let restored = space.promoted_version("digits", 2).await;
    space.until_reachable(&restored).await;
    space.predict(&restored, SECOND).await;
    let revision = |md: &ModelDeployment| {
        md.status.as_ref().and_then(|status| status.stable.as_ref()).map(|stable| stable.revision.clone())
    };
    assert_eq!(revision(&restored), revision(&before));
    assert_eq!(space.jobs().await, Vec::<String>::new(), "nothing was imported again");
    assert_eq!(space.revisions().await.len(), 2, "no revision was made");
    for name in ["digits-v1", "digits-v2"] {
        let owners = space.version(name).await.metadata.owner_references.unwrap_or_default();
        assert_eq!(owners.first().map(|owner| &owner.uid), model.metadata.uid.as_ref(), "{name} is adopted");
    }
    for revision in &revisions {
        space
            .until(name_of(revision), "adopted", 30, |revision: &ControllerRevision| {
                let owners = revision.metadata.owner_references.iter().flatten();
                owners.into_iter().any(|owner| Some(&owner.uid) == restored.metadata.uid.as_ref())
            })
            .await;
    }
}

fn name_of(object: &Value) -> &str {
    object["metadata"]["name"].as_str().expect("a backup has names")
}

/// Objects as a backup tool restores them.
fn backup<K: Serialize>(objects: &[K]) -> Vec<Value> {
    objects
        .iter()
        .map(|object| {
            let mut object = serde_json::to_value(object).expect("it is JSON");
            let fields = object.as_object_mut().expect("it is an object");
            fields.remove("status");
            let metadata = fields["metadata"].as_object_mut().expect("it has metadata");
            metadata.retain(|key, _| ["name", "labels", "annotations"].contains(&key.as_str()));
            object
        })
        .collect()
}

/// Alone: the operator of one namespace leaves others alone.
pub async fn an_operator_of_one_namespace_sees_no_other(space: Space) {
    let other = space.another("other").await;
    let watched = format!("watchNamespaces={{{}}}", space.name);
    space.world.release(&[&watched]).await;
    let uri = other.serve_file("digits.onnx", FIRST).await;
    other.create_object::<Model>(model("digits", &uri, json!({}))).await;
    space.import("digits", FIRST).await;
    let deployment = space.serve("digits", "digits", json!({})).await;
    space.predict(&deployment, FIRST).await;
    assert_eq!(other.model("digits").await.status, None, "the other namespace is not touched");
    assert!(other.jobs().await.is_empty());
    let operator = space.world.operator();
    assert!(operator.may(&["list", "models.modelwright.dev", "--namespace", &space.name]).await);
    assert!(!operator.may(&["list", "models.modelwright.dev", "--namespace", &other.name]).await);
    assert!(!operator.may(&["list", "pods", "--all-namespaces"]).await);

    let both = format!("watchNamespaces={{{},{}}}", space.name, other.name);
    space.world.release(&[&both]).await;
    other.ready_model("digits").await;
    space.world.release(&[]).await;
    other.patch::<Model>("digits", json!({"spec": {"rerun": "all"}})).await;
    assert!(other.ready_model("digits").await.is(READY));
    other.delete().await.expect("the second namespace can be deleted");
}

/// The release is in a namespace that enforces `restricted`.
pub async fn every_pod_passes_the_restricted_standard(space: Space) {
    space.import("digits", FIRST).await;
    space.serve("digits", "digits", json!({})).await;
    for namespace in [space.name.as_str(), release::NAMESPACE] {
        let privileged = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "privileged"},
            "spec": {"containers": [{"name": "a", "image": "a"}]},
        });
        let arguments = ["create", "--namespace", namespace, "--dry-run=server", "--filename", "-"];
        let refused = crate::harness::kubectl::run("kubectl", &arguments, &privileged.to_string()).await;
        assert!(!refused.success && refused.stderr.contains("violates PodSecurity"), "{refused:?}");
    }
    let token = |pod: &Pod| pod.spec.as_ref().and_then(|spec| spec.automount_service_account_token);
    for pod in space.list::<Pod>().await {
        assert_eq!(token(&pod), Some(false), "{} mounts a token", pod.name_any());
        let links = pod.spec.as_ref().and_then(|spec| spec.enable_service_links);
        assert_eq!(links, Some(false), "{} has service links", pod.name_any());
        for container in
            pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten().chain(&spec.containers))
        {
            let security = container.security_context.clone().unwrap_or_default();
            assert_eq!(security.read_only_root_filesystem, Some(true), "{}", container.name);
            let limits = container.resources.as_ref().and_then(|resources| resources.limits.clone());
            assert!(
                limits.is_some_and(|limits| limits.contains_key("memory")),
                "{} is unlimited",
                container.name
            );
        }
    }
}
