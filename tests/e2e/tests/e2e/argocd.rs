//! D14: a real Argo CD syncs the kinds and the chart, says what the operator says of them, and fights nothing. It is built
//! from its sources, so `make test-full` runs these.

use k8s_openapi::api::{apps::v1::Deployment, batch::v1::Job};
use kube::{Api, ResourceExt as _};
use modelwright::api::{model::Model, model_deployment::ModelDeployment};
use serde_json::{Value, json};

use crate::harness::{
    Space,
    argocd::{ArgoCd, Said},
    kubectl::run,
    onnx::Affine,
    release,
    resources::{Observed as _, deployment, merge, model},
};

const GOOD: Affine = Affine { factor: 2.0, summand: 1.0 };
const OTHER: Affine = Affine { factor: 3.0, summand: 1.0 };

/// What an Application of a folder of plain manifests says of its source.
fn folder(name: &str) -> Value {
    json!({"path": name})
}

async fn job_uids(space: &Space) -> Vec<String> {
    space.list::<Job>().await.iter().filter_map(kube::ResourceExt::uid).collect()
}

/// A version that cannot serve here, and its revert: Degraded with the reason, left alone, and Healthy without a Job.
pub async fn a_bad_version_is_degraded_until_git_reverts_it(space: Space) {
    let argocd = ArgoCd::start(&space).await;
    let good = space.serve_file("good.onnx", GOOD).await;
    let other = space.serve_file("other.onnx", OTHER).await;
    let deployment = |provider: Option<&str>| {
        let provider = provider.map(|provider| json!({"executionProviders": [provider]}));
        let mut object = deployment(
            "digits",
            "digits",
            json!({"replicas": 2, "strategy": {"rollingUpdate": {"progressDeadline": "2m"}}}),
        );
        if let Some(provider) = provider {
            merge(&mut object["spec"], json!({"accelerator": provider}));
        }
        object
    };
    let model = |uri: &str| model("digits", uri, json!({}));
    let first = argocd.commit("app/all.yaml", &[&model(&good), &deployment(None)]).await;
    argocd.application("digits", &space.name, folder("app"), &[]).await;
    argocd.until("digits", "Synced and Healthy", |said| said.is(&first, "Healthy")).await;
    let serving = space.promoted("digits").await;
    let before = serving.status.as_ref().and_then(|status| status.stable.clone()).expect("it serves");

    let bad = argocd.commit("app/all.yaml", &[&model(&other), &deployment(Some("CUDA"))]).await;
    let degraded = argocd.until("digits", "Synced and Degraded", |said| said.is(&bad, "Degraded")).await;
    let stalled: ModelDeployment = space.deployment("digits").await;
    let (_, health, message) = degraded
        .resources
        .iter()
        .find(|(name, ..)| name == "ModelDeployment/digits")
        .expect("it is a resource of the Application");
    assert_eq!(health, "Degraded", "{degraded:?}");
    let said = stalled.says("Stalled");
    assert!(
        !said.is_empty() && message.starts_with(&said),
        "Argo CD says {message:?}, the operator {said:?}"
    );
    let stable = stalled.status.as_ref().and_then(|status| status.stable.clone()).expect("it serves");
    assert_eq!(stable.revision, before.revision, "what served before serves on");
    // Nothing to heal: looked at again past every cache, nothing is synced and the spec is not written.
    for _ in 0..2 {
        let again = argocd.look("digits").await;
        assert!(again.is(&bad, "Degraded"), "{again:?}");
        assert_eq!(again.syncs, degraded.syncs, "it was synced again: {again:?}");
    }
    let left = space.deployment("digits").await;
    assert_eq!(left.metadata.generation, stalled.metadata.generation, "somebody wrote the spec");

    let jobs = job_uids(&space).await;
    argocd.git(&["revert", "--no-edit", "HEAD"]).await;
    let reverted = argocd.git(&["rev-parse", "HEAD"]).await;
    argocd.until("digits", "Synced and Healthy again", |said| said.is(&reverted, "Healthy")).await;
    let back = space.promoted("digits").await;
    let stable = back.status.as_ref().and_then(|status| status.stable.clone()).expect("it serves");
    assert_eq!(stable.revision, before.revision, "the revision that it had before");
    let current: Model = space.model("digits").await;
    assert_eq!(
        current.status.and_then(|status| status.current_version).map(|version| version.to_string()),
        Some("1".to_owned())
    );
    let new: Vec<String> = job_uids(&space).await.into_iter().filter(|uid| !jobs.contains(uid)).collect();
    assert!(new.is_empty(), "the revert made Jobs: {new:?}");
    argocd.stop().await;
}

/// What the schema does not know is dropped by the API server and stays a difference, or, where Argo CD applies on the
/// server's side, the sync fails and names the field: as docs/argocd.md says.
pub async fn a_field_that_does_not_exist_is_a_difference(space: Space) {
    let argocd = ArgoCd::start(&space).await;
    let uri = space.serve_file("good.onnx", GOOD).await;
    let misspelt = |name: &str| {
        let mut model = model(name, &uri, json!({}));
        model["spec"]["source"]["sha"] = json!("0");
        model
    };
    argocd.commit("plain/all.yaml", &[&misspelt("plain")]).await;
    argocd.commit("server/all.yaml", &[&misspelt("server")]).await;
    argocd.application("plain", &space.name, folder("plain"), &[]).await;
    argocd.application("server", &space.name, folder("server"), &["ServerSideApply=true"]).await;
    let differs = |said: &Said| said.sync == "OutOfSync" && said.health == "Degraded";
    let said = argocd.until("plain", "OutOfSync and Degraded", differs).await;
    let (_, _, message) = &said.resources[0];
    assert!(message.contains("spec.source.sha") && message.contains("is not a field"), "{said:?}");
    let said = argocd.until("server", "refused", |said| said.last.contains("field not declared")).await;
    assert!(said.last.contains(".spec.source.sha"), "{said:?}");
    assert!(space.list::<Model>().await.iter().all(|model| model.name_any() != "server"));
    argocd.stop().await;
}

/// The chart, taken over from Helm with the values that the release has.
pub async fn the_chart_is_synced_without_a_difference(space: Space) {
    let argocd = ArgoCd::start(&space).await;
    let commit = argocd.commit_chart().await;
    let values = run(
        "helm",
        &["get", "values", release::NAME, "--namespace", release::NAMESPACE, "--output", "json"],
        "",
    );
    let values: Value = serde_json::from_str(&values.await.expect_success()).expect("values are JSON");
    let operators: Api<Deployment> = Api::namespaced(space.world.client.clone(), release::NAMESPACE);
    let before = operators.get(release::NAME).await.expect("the operator is there");
    argocd
        .application(
            "modelwright",
            release::NAMESPACE,
            json!({
                "path": "modelwright",
                "helm": {"releaseName": release::NAME, "valuesObject": values},
            }),
            &["ServerSideApply=true"],
        )
        .await;
    argocd.until("modelwright", "looked at", |said| said.commit == commit).await;
    argocd.sync("modelwright").await;
    let said = argocd.until("modelwright", "Synced and Healthy", |said| said.is(&commit, "Healthy")).await;
    assert!(said.syncs > 0, "it was never synced: {said:?}");
    for _ in 0..2 {
        let again = argocd.look("modelwright").await;
        assert!(again.is(&commit, "Healthy"), "{again:?}");
        assert_eq!(again.syncs, said.syncs, "it was synced again: {again:?}");
    }
    let after = operators.get(release::NAME).await.expect("the operator is there");
    assert_eq!(before.uid(), after.uid(), "the operator was made anew");
    assert_eq!(
        before.spec.map(|spec| spec.template),
        after.spec.map(|spec| spec.template),
        "the operator was restarted"
    );
    argocd.stop().await;
    release::forget().await;
}
