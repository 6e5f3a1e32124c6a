//! How a decision that pods leave is carried out, against a mock API server: which requests, in which order.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use k8s_openapi::{api::core::v1::Pod, jiff::Timestamp};
use modelwright::{
    api::ModelDeployment,
    k8s::{apply::ApplyError, refusals::Refusals},
    serving::{
        DeploymentError,
        build::Owner,
        execute::Executor,
        fetch::Children,
        rollout::{Decision, Observed},
    },
};
use serde_json::{Value, json};

use crate::{
    deployment_fixtures::{deployment, valid},
    deployment_scenarios::path,
    scenario::{ApiServer, context, play},
};

/// Carries out that a pod leaves, where no list of leaving pods was found.
async fn leaves<F: Future<Output = ()>>(
    script: impl FnOnce(ApiServer, ModelDeployment) -> F,
) -> Result<(), DeploymentError> {
    let object = deployment(json!({"model": "digits", "version": 1, "replicas": 1}));
    let (context, server) = context();
    let script = script(server, object.clone());
    let carried_out = async move {
        let valid = valid(&object);
        let owner = Owner { name: &valid.name, namespace: &valid.namespace, reference: &valid.owner };
        let pod: Pod = serde_json::from_value(json!({"metadata":
            {"name": "digits-a", "namespace": "space", "uid": "pod", "resourceVersion": "7"}}))
        .unwrap();
        let children = Children { pods: vec![Arc::new(pod)], ..Children::default() };
        let leaving = BTreeSet::from(["digits-a".to_owned()]);
        let mut decision = Decision { draining: leaving.clone(), drain: leaving, ..Decision::default() };
        let (data, now) = (BTreeMap::new(), Timestamp::from_second(1_700_000_000).unwrap());
        let executor =
            Executor { context: &context, deployment: &object, owner, children: &children, data: &data, now };
        let (observed, mut refusals) = (Observed::default(), Refusals::default());
        executor.execute_all(&mut decision, &observed, &mut Vec::new(), &mut refusals).await
    };
    play(Box::pin(carried_out), script).await
}

#[tokio::test]
async fn the_list_of_leaving_pods_is_made_before_the_first_one_is_told() {
    leaves(async |mut server, _| {
        let call = server.expect("POST", &path("api/v1", "configmaps", "")).await;
        assert_eq!(call.body["metadata"]["name"], "digits-traffic");
        assert_eq!(call.body["data"]["traffic.json"], r#"{"drain":["digits-a"]}"#);
        call.echo();
        let call = server.expect("PATCH", &path("api/v1", "pods", "digits-a")).await;
        assert!(call.body["metadata"]["labels"].as_object().unwrap().values().all(Value::is_null));
        let told = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "digits-a"}});
        call.object(&told);
        server.nothing_more().await;
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_list_that_was_there_all_the_same_is_looked_at_before_a_pod_is_told() {
    let error = leaves(async |mut server, object| {
        let call = server.expect("POST", &path("api/v1", "configmaps", "")).await;
        let mut other = call.body.clone();
        other["data"]["traffic.json"] = r#"{"drain":["digits-b"]}"#.into();
        other["metadata"]["resourceVersion"] = "9".into();
        assert_eq!(other["metadata"]["ownerReferences"][0]["name"], object.metadata.name.unwrap());
        call.error(409, "AlreadyExists", "already exists");
        server.expect("GET", &path("api/v1", "configmaps", "digits-traffic")).await.object(&other);
        server.nothing_more().await;
    })
    .await
    .unwrap_err();
    assert!(matches!(error, DeploymentError::Apply(ApplyError::Stale { .. })), "{error:?}");
}
