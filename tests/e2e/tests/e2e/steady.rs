//! B11: what has come to rest stays at rest, and what is taken away and put back goes on where it was.

use std::{collections::BTreeMap, time::Duration};

use futures::future::join_all;
use k8s_openapi::api::{
    apps::v1::{ControllerRevision, ReplicaSet},
    batch::v1::Job,
    core::v1::{ConfigMap, Event, Pod, Service},
    policy::v1::PodDisruptionBudget,
};
use kube::{Resource, ResourceExt as _, api::DeleteParams};
use modelwright::api::{model::Model, model_deployment::ModelDeployment, model_version::ModelVersion};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::harness::{
    Space,
    load::Load,
    onnx::Affine,
    resources::{deployment, model},
};

const FIRST: Affine = Affine { factor: 2.0, summand: 1.0 };
const SECOND: Affine = Affine { factor: -1.0, summand: 0.5 };
/// Resources at rest.
const MODELS: usize = 10;
const IDLE: Duration = Duration::from_mins(1);

/// Alone: nothing changes where nothing happens.
pub async fn twenty_resources_at_rest_are_not_written_to(space: Space) {
    let uri = space.serve_file("digits.onnx", FIRST).await;
    let names: Vec<String> = (1..=MODELS).map(|number| format!("digits-{number}")).collect();
    for name in &names {
        space.create_object::<Model>(model(name, &uri, json!({}))).await;
        // one of four runs pods: the rest of the cluster's tests needs room too
        let replicas = u8::from(name.ends_with(['1', '5', '9']));
        let spec = json!({"replicas": replicas});
        space.create_object::<ModelDeployment>(deployment(name, name, spec)).await;
    }
    join_all(names.iter().map(|name| space.promoted(name))).await;
    let before = at_rest(&space).await;
    let writes = writes(&space).await;
    unchanged(&space, before).await;
    assert_eq!(self::writes(&space).await, writes, "the operator counts its own writes");
}

/// What is in a test's namespace comes to rest, and then stays as it is for a minute.
pub async fn nothing_changes(space: &Space) {
    let before = at_rest(space).await;
    unchanged(space, before).await;
}

/// Everything, once two looks in a row saw the same.
async fn at_rest(space: &Space) -> BTreeMap<String, Option<String>> {
    let mut before = everything(space).await;
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let now = everything(space).await;
        if now == before {
            break;
        }
        before = now;
    }
    before
}

async fn unchanged(space: &Space, before: BTreeMap<String, Option<String>>) {
    tokio::time::sleep(IDLE).await;
    let after = everything(space).await;
    let changed: Vec<_> = after.iter().filter(|(name, version)| before.get(*name) != Some(version)).collect();
    assert_eq!(before, after, "changed within {IDLE:?}: {changed:?}");
}

/// `kubectl get -o yaml`, `kubectl delete --cascade=orphan` and `kubectl apply`, under load.
pub async fn everything_exported_deleted_without_its_dependents_and_applied_again_serves_on(space: Space) {
    space.import("digits", FIRST).await;
    space.import_next("digits", "second.onnx", SECOND).await;
    let served = space.serve("digits", "digits", json!({"replicas": 2})).await;
    space.until_reachable(&served).await;
    let jobs = space.jobs().await;
    let pods = lives(&space).await;
    let models = exported(&space.list::<Model>().await);
    let deployments = exported(&space.list::<ModelDeployment>().await);
    let versions = exported(&space.list::<ModelVersion>().await);
    let mut load = Load::start(&space.endpoint(&served).await);
    load.answers(20).await;

    let alone = DeleteParams::orphan();
    space.api::<ModelDeployment>().delete("digits", &alone).await.expect("it can be deleted");
    space.until_gone::<ModelDeployment>("digits", 60).await;
    space.api::<Model>().delete("digits", &alone).await.expect("it can be deleted");
    space.until_gone::<Model>("digits", 60).await;
    for version in ["digits-v1", "digits-v2"] {
        space.api::<ModelVersion>().delete(version, &alone).await.expect("it can be deleted");
        space.until_gone::<ModelVersion>(version, 60).await;
    }
    load.answers(20).await;
    for version in versions {
        space.create_object::<ModelVersion>(version).await;
    }
    space.create_object::<Model>(models[0].clone()).await;
    space.create_object::<ModelDeployment>(deployments[0].clone()).await;

    let model = space.ready_model("digits").await;
    assert_eq!(model.status.as_ref().and_then(|status| status.current_version), Some(2));
    let again = space.promoted_version("digits", 2).await;
    assert_ne!(again.metadata.uid, served.metadata.uid, "it is another object");
    let owner = again.metadata.uid.clone();
    for name in space.list::<ReplicaSet>().await.iter().map(kube::ResourceExt::name_any) {
        space
            .until(&name, "adopted", 30, |object: &ReplicaSet| {
                object.owner_references().iter().any(|reference| Some(&reference.uid) == owner.as_ref())
            })
            .await;
    }
    load.answers(20).await;
    load.stop().await.assert_nothing_lost(60);
    space.predict(&again, SECOND).await;
    assert_eq!(lives(&space).await, pods, "no pod was made, ended or restarted");
    assert_eq!(space.jobs().await, jobs, "no run was started");
}

/// Serving pods, and how often their containers were started.
async fn lives(space: &Space) -> BTreeMap<Option<String>, i32> {
    let restarts = |pod: &Pod| {
        pod.status
            .iter()
            .flat_map(|status| status.container_statuses.iter().flatten())
            .map(|c| c.restart_count)
            .sum()
    };
    space.pods("digits").await.iter().map(|pod| (pod.uid(), restarts(pod))).collect()
}

/// What `kubectl get -o yaml` prints, without what `kubectl apply` ignores or refuses.
fn exported<K: serde::Serialize>(objects: &[K]) -> Vec<Value> {
    let export = |object: &K| {
        let mut object = serde_json::to_value(object).expect("it is JSON");
        let metadata = object["metadata"].as_object_mut().expect("it has metadata");
        for key in
            ["uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "ownerReferences"]
        {
            metadata.remove(key);
        }
        metadata.remove("finalizers");
        object
    };
    objects.iter().map(export).collect()
}

/// Counters of writes, but for the Lease.
async fn writes(space: &Space) -> Vec<String> {
    let (_, metrics) = space.world.operator().admin("/metrics").await;
    let is_write = |line: &&str| line.starts_with("modelwright_writes_total") && !line.contains("Lease");
    let writes: Vec<String> = metrics.lines().filter(is_write).map(str::to_owned).collect();
    assert!(!writes.is_empty(), "{metrics}");
    writes
}

/// The resourceVersion of every object that the operator may write.
async fn everything(space: &Space) -> BTreeMap<String, Option<String>> {
    let mut all = BTreeMap::new();
    versions_of::<Model>(space, &mut all).await;
    versions_of::<ModelVersion>(space, &mut all).await;
    versions_of::<ModelDeployment>(space, &mut all).await;
    versions_of::<ControllerRevision>(space, &mut all).await;
    versions_of::<ReplicaSet>(space, &mut all).await;
    versions_of::<Job>(space, &mut all).await;
    versions_of::<Pod>(space, &mut all).await;
    versions_of::<Service>(space, &mut all).await;
    versions_of::<ConfigMap>(space, &mut all).await;
    versions_of::<PodDisruptionBudget>(space, &mut all).await;
    versions_of::<Event>(space, &mut all).await;
    all
}

async fn versions_of<K>(space: &Space, all: &mut BTreeMap<String, Option<String>>)
where
    K: Clone
        + std::fmt::Debug
        + DeserializeOwned
        + Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
{
    for object in space.list::<K>().await {
        all.insert(format!("{}/{}", K::kind(&()), object.name_any()), object.resource_version());
    }
}
