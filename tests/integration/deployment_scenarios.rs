//! Whole reconciles of a ModelDeployment against a mock API server: which requests, in which order.

use std::{collections::BTreeSet, sync::Arc};

use futures::future::BoxFuture;
use k8s_openapi::api::apps::v1::ControllerRevision;
use kube::{Resource as _, runtime::controller::Action};
use modelwright::{
    api::{
        ModelDeployment, ModelVersion,
        name::{APPLIED_HASH_ANNOTATION, DEPLOYMENT_LABEL, MANAGED_BY, MANAGED_BY_LABEL},
    },
    context::Context,
    k8s::{
        cache::Cache,
        controller::{ReconcileError as _, STALE},
        objects::{Objects, Write, stamp},
    },
    serving::{
        DeploymentError,
        build::{
            Owner, build_disruption_budget, build_replica_set, build_revision, build_service, build_traffic,
        },
        identity::revision_hash,
        probe::Prober,
        reconcile,
        record::{Outcome, Record},
        revision::read,
    },
};
use serde_json::{Value, json};

use crate::{
    deployment_fixtures::{deployment, valid},
    fixtures::{model, settings, version},
    scenario::{ApiServer, Call, context, play},
};

const SPACE: &str = "/namespaces/space";

pub fn path(group: &str, kind: &str, name: &str) -> String {
    let name = if name.is_empty() { String::new() } else { format!("/{name}") };
    format!("/{group}{SPACE}/{kind}{name}")
}

pub fn reconciled(
    object: &ModelDeployment,
    context: Context,
) -> BoxFuture<'static, Result<Action, DeploymentError>> {
    Box::pin(reconcile(Arc::new(object.clone()), Arc::new(context), Arc::new(Prober::default())))
}

/// A reconcile that saw less than there is, and is made again with backoff.
pub trait LooksAgain {
    fn looks_again(self);
}

impl LooksAgain for Result<Action, DeploymentError> {
    fn looks_again(self) {
        let error = self.expect_err("it is looked at again");
        assert_eq!(error.label(), STALE, "{error}");
    }
}

pub fn one_version() -> ModelVersion {
    version(&model("s3://b/a", 1), 1, 'c', 1)
}

/// Objects as the API server stores them: with the hash that an apply adds, a UID and a resourceVersion.
pub fn stored<K>(object: K) -> K
where
    K: kube::Resource<DynamicType = ()> + serde::Serialize + serde::de::DeserializeOwned,
{
    let mut objects = Objects::default();
    objects.push(Write::Apply, &object, None).unwrap();
    let mut value = objects.items()[0].value.clone();
    stamp(&mut value, APPLIED_HASH_ANNOTATION);
    value["metadata"]["uid"] = "stored".into();
    value["metadata"]["resourceVersion"] = "999".into();
    serde_json::from_value(value).unwrap()
}

pub struct World {
    pub revision: ControllerRevision,
    pub short: String,
}

/// What a first reconcile made, in the caches.
pub fn made(object: &ModelDeployment, context: &mut Context, promoted: bool) -> World {
    let valid = valid(object);
    let owner = Owner { name: &valid.name, namespace: &valid.namespace, reference: &valid.owner };
    let version = one_version();
    let version_reference = modelwright::serving::revision::VersionReference {
        model: "digits".into(),
        version: 1,
        model_digest: version.spec.model_digest.clone(),
        variant: None,
        artifact: version.spec.artifact.clone(),
        signature: version.spec.signature.clone(),
        size: version.spec.size.clone(),
    };
    let hash = revision_hash(&valid.asked, &version_reference.model_digest);
    let mut revision =
        stored(build_revision(&owner, &hash, &valid.asked, &version_reference, &settings(), false));
    if promoted {
        let annotations = revision.metadata.annotations.get_or_insert_default();
        let record =
            Record { number: 1, promoted: Some(1), outcome: Some(Outcome::Promoted), ..Record::default() };
        annotations.extend(record.annotation().into_iter().map(|(key, text)| (key.to_owned(), text)));
    }
    let short = modelwright::api::name::short_revision(&hash).to_owned();
    let mut running = stored(build_replica_set(&owner, &short, &read(&revision).unwrap(), 0));
    running.status = serde_json::from_value(json!({"replicas": 0})).unwrap();
    context.caches.versions = Cache::fixed(vec![version]);
    context.caches.revisions = Cache::fixed(vec![revision.clone()]);
    context.caches.replica_sets = Cache::fixed(vec![running]);
    context.caches.services = Cache::fixed(vec![stored(build_service(&owner, Some("uid-of-md")))]);
    context.caches.disruption_budgets =
        Cache::fixed(vec![stored(build_disruption_budget(&owner, Some("uid-of-md")))]);
    context.caches.config_maps = Cache::fixed(vec![stored(build_traffic(&owner, &BTreeSet::new()))]);
    World { revision, short }
}

fn list(items: Vec<Value>) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": items})
}

/// A ConfigMap with the owner and the labels that it was made with.
pub fn owned(map: &Value) -> Value {
    let mut map = map.clone();
    if let Some(metadata) = map["metadata"].as_object_mut() {
        let owner = deployment(json!({"model": "digits"})).controller_owner_ref(&()).unwrap();
        metadata.insert("ownerReferences".into(), json!([owner]));
        metadata.insert("labels".into(), json!({MANAGED_BY_LABEL: MANAGED_BY, DEPLOYMENT_LABEL: "digits"}));
    }
    map
}

/// Answers the fresh look at the API server.
pub async fn fresh_look(
    server: &mut ApiServer,
    revisions: Vec<Value>,
    replica_sets: Vec<Value>,
    traffic: &Value,
) {
    let traffic = &owned(traffic);
    for _ in 0..4 {
        let call = server.next().await;
        assert_eq!(call.method, "GET");
        let kind = call.path.rsplit('/').next().unwrap().to_owned();
        match kind.as_str() {
            "controllerrevisions" => call.object(&list(revisions.clone())),
            "replicasets" => call.object(&list(replica_sets.clone())),
            "pods" => call.object(&list(vec![])),
            _ => call.object(traffic),
        }
    }
}

/// Answers the fresh look, where the ReplicaSet that the cache holds is gone.
pub async fn fresh_look_without_the_set(server: &mut ApiServer, revisions: Vec<Value>, traffic: &Value) {
    fresh_look(server, revisions, vec![], traffic).await;
    let call = server.next().await;
    assert!(
        call.method == "GET" && call.path.contains("/replicasets/digits-"),
        "{} {}",
        call.method,
        call.path
    );
    call.error(404, "NotFound", "not found");
}

pub fn paused() -> ModelDeployment {
    deployment(json!({"model": "digits", "version": 1, "replicas": 0}))
}

/// What a write records.
pub fn recorded(body: &Value) -> Record {
    Record::read(&serde_json::from_value(body["metadata"]["annotations"].clone()).unwrap())
}

#[tokio::test]
async fn a_settled_deployment_reads_and_writes_nothing() {
    let object = paused();
    let status = {
        let (mut context, mut server) = context();
        made(&object, &mut context, true);
        let mut status = Value::Null;
        play(reconciled(&object, context), async {
            let call = server
                .expect("PATCH", &path("apis/modelwright.dev/v1alpha1", "modeldeployments", "digits/status"))
                .await;
            status = call.body["status"].clone();
            call.object(&object);
            server.nothing_more().await;
        })
        .await
        .unwrap();
        status
    };
    assert_eq!(status["phase"], "Healthy");
    let (mut context, server) = context();
    made(&object, &mut context, true);
    let mut settled = object;
    settled.status = serde_json::from_value(status).unwrap();
    play(reconciled(&settled, context), server.nothing_more()).await.unwrap();
}

#[tokio::test]
async fn a_promotion_is_recorded_under_the_resource_version_that_it_was_decided_on() {
    let object = paused();
    let (mut context, mut server) = context();
    let world = made(&object, &mut context, false);
    let revision = serde_json::to_value(&world.revision).unwrap();
    let name = format!("digits-{}", world.short);
    play(reconciled(&object, context), async {
        fresh_look_without_the_set(
            &mut server,
            vec![revision],
            &json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "digits-traffic"}, "data": {"traffic.json": "{\"drain\":[]}"}}),
        )
        .await;
        let call = server.expect("PATCH", &path("apis/apps/v1", "controllerrevisions", &name)).await;
        assert_eq!(call.body["metadata"]["resourceVersion"], "999");
        assert_eq!(call.body["metadata"]["uid"], "stored");
        assert_eq!(recorded(&call.body).promoted, Some(1));
        call.object(&world.revision);
        let call = server.expect("POST", &path("apis/apps/v1", "replicasets", "")).await;
        assert_eq!(call.body["metadata"]["name"], name);
        call.echo();
        let call = server.next().await;
        assert!(call.path.ends_with("/status"));
        call.object(&object);
        let call = server.next().await;
        assert_eq!(call.body["reason"], "Promoted");
        call.echo();
        server.nothing_more().await;
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_cache_that_is_behind_leads_to_another_look_and_to_no_replica_set() {
    let object = paused();
    let (mut context, mut server) = context();
    let world = made(&object, &mut context, false);
    let revision = serde_json::to_value(&world.revision).unwrap();
    play(reconciled(&object, context), async {
        fresh_look_without_the_set(
            &mut server,
            vec![revision],
            &json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "digits-traffic"}, "data": {"traffic.json": "{\"drain\":[]}"}}),
        )
        .await;
        let call = server.next().await;
        assert_eq!(call.method, "PATCH");
        call.error(409, "Conflict", "the object has been modified");
        server.nothing_more().await;
    })
    .await
    .looks_again();
}

#[tokio::test]
async fn a_deployment_on_its_way_out_is_left_to_garbage_collection() {
    let (context, server) = context();
    let mut object = paused();
    object.metadata.deletion_timestamp = Some(serde_json::from_value(json!("2026-11-24T10:00:00Z")).unwrap());
    let action = play(reconciled(&object, context), server.nothing_more()).await.unwrap();
    assert_eq!(action, Action::await_change());
    // one that something holds says so, and no more
    object.metadata.finalizers = Some(vec!["foregroundDeletion".into()]);
    let (context, mut server) = self::context();
    let action = play(reconciled(&object, context), async {
        let call = server
            .expect("PATCH", &path("apis/modelwright.dev/v1alpha1", "modeldeployments", "digits/status"))
            .await;
        assert_eq!(call.body["status"]["conditions"][0]["reason"], "Terminating");
        call.object(&object);
        server.nothing_more().await;
    })
    .await;
    assert_eq!(action.unwrap(), Action::await_change());
}

#[tokio::test]
async fn a_service_of_somebody_else_is_never_overwritten() {
    let object = paused();
    let (mut context, mut server) = context();
    context.caches.versions = Cache::fixed(vec![one_version()]);
    let outcome = play(reconciled(&object, context), async {
        let call = server.expect("PATCH", &path("api/v1", "services", "digits")).await;
        call.error(409, "Conflict", "the object has been modified");
        let call = server.expect("GET", &path("api/v1", "services", "digits")).await;
        call.object(&json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "digits"}}));
        // what else there is to do is done all the same
        server.owner_stays(&object).await;
        server.expect("POST", &path("apis/apps/v1", "controllerrevisions", "")).await.error(
            403,
            "Forbidden",
            "quota",
        );
        let traffic = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "digits-traffic"},
            "data": {"traffic.json": "{\"drain\":[]}"}});
        fresh_look(&mut server, vec![], vec![], &traffic).await;
        let call = server.next().await;
        assert!(call.path.ends_with("/modeldeployments/digits/status"), "{}", call.path);
        let conditions = call.body["status"]["conditions"].as_array().unwrap().clone();
        assert!(conditions.iter().any(|c| c["type"] == "Stalled" && c["reason"] == "NameTaken"));
        call.object(&object);
        server.next().await.echo();
        server.nothing_more().await;
    })
    .await;
    assert!(outcome.is_err(), "it is tried again with backoff");
}

#[tokio::test]
async fn a_revision_that_came_back_from_a_backup_without_its_owner_is_adopted() {
    let object = paused();
    let (mut context, mut server) = context();
    let mut world = made(&object, &mut context, true);
    world.revision.metadata.owner_references = None;
    context.caches.revisions = Cache::fixed(vec![world.revision.clone()]);
    let traffic = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "digits-traffic"},
        "data": {"traffic.json": "{\"drain\":[]}"}});
    let revision = serde_json::to_value(&world.revision).unwrap();
    play(reconciled(&object, context), async {
        fresh_look_without_the_set(&mut server, vec![revision], &traffic).await;
        server.owner_stays(&object).await;
        let name = format!("digits-{}", world.short);
        let call = server.expect("PATCH", &path("apis/apps/v1", "controllerrevisions", &name)).await;
        assert_eq!(call.body["metadata"]["ownerReferences"][0]["uid"], "uid-of-md");
        assert_eq!(call.body["metadata"]["resourceVersion"], "999");
        call.error(409, "Conflict", "somebody was faster");
        server.nothing_more().await;
    })
    .await
    .looks_again();
}

/// Answers what is made around so many pods, and gives the call for the revision.
pub async fn around(server: &mut ApiServer, object: &ModelDeployment, pods: u32) -> Call {
    server.expect("PATCH", &path("api/v1", "services", "digits")).await.echo();
    if pods > 1 {
        server.expect("PATCH", &path("apis/policy/v1", "poddisruptionbudgets", "digits")).await.echo();
    }
    server.owner_stays(object).await;
    server.expect("POST", &path("apis/apps/v1", "controllerrevisions", "")).await
}

#[tokio::test]
async fn a_first_start_reads_its_owner_alone_and_records_the_rollout_with_the_revision() {
    let object = deployment(json!({"model": "digits", "version": 1, "replicas": 2}));
    let (mut context, mut server) = context();
    context.caches.versions = Cache::fixed(vec![one_version()]);
    play(reconciled(&object, context), async {
        let call = around(&mut server, &object, 2).await;
        let record = recorded(&call.body);
        assert_eq!((record.number, record.outcome), (1, Some(Outcome::Progressing)));
        assert_eq!(record.progress.unwrap().wanted, 2, "all pods of a first start are asked for at once");
        call.echo();
        let call = server.expect("POST", &path("apis/apps/v1", "replicasets", "")).await;
        assert_eq!(call.body["spec"]["replicas"], 2);
        call.echo();
        let call = server.next().await;
        assert!(call.path.ends_with("/status"), "{}", call.path);
        assert_eq!(call.body["status"]["phase"], "Progressing");
        call.object(&object);
        let call = server.next().await;
        assert_eq!(call.body["kind"], "Event");
        call.echo();
        server.nothing_more().await;
    })
    .await
    .unwrap();
}

/// Its deletion may not have come to the cache yet.
#[tokio::test]
async fn no_revision_is_made_for_an_owner_that_is_gone_or_another_or_being_deleted() {
    let object = deployment(json!({"model": "digits", "version": 1, "replicas": 1}));
    let path = path("apis/modelwright.dev/v1alpha1", "modeldeployments", "digits");
    let changed = |name: &str, value: &str| {
        let mut changed = serde_json::to_value(&object).unwrap();
        changed["metadata"][name] = value.into();
        changed
    };
    let found = [
        None,
        Some(changed("uid", "of another")),
        Some(changed("deletionTimestamp", "2026-11-24T10:00:00Z")),
    ];
    for found in found {
        let (mut context, mut server) = context();
        made(&object, &mut context, true);
        context.caches.revisions = Cache::fixed(vec![]);
        context.caches.replica_sets = Cache::fixed(vec![]);
        play(reconciled(&object, context), async {
            let call = server.expect("GET", &path).await;
            match &found {
                Some(found) => call.object(found),
                None => call.error(404, "NotFound", "not found"),
            }
            server.nothing_more().await;
        })
        .await
        .looks_again();
    }
}

#[tokio::test]
async fn a_revision_that_was_there_before_is_decided_on_with_its_past() {
    let object = deployment(json!({"model": "digits", "version": 1, "replicas": 2}));
    let (mut context, mut server) = context();
    let past = serde_json::to_value(&made(&object, &mut context, true).revision).unwrap();
    context.caches.revisions = Cache::fixed(vec![]);
    context.caches.replica_sets = Cache::fixed(vec![]);
    let name = past["metadata"]["name"].as_str().unwrap().to_owned();
    play(reconciled(&object, context), async {
        server.owner_stays(&object).await;
        let call = server.expect("POST", &path("apis/apps/v1", "controllerrevisions", "")).await;
        call.error(409, "AlreadyExists", "already exists");
        server.expect("GET", &path("apis/apps/v1", "controllerrevisions", &name)).await.object(&past);
        let traffic = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "digits-traffic"},
            "data": {"traffic.json": "{\"drain\":[]}"}});
        fresh_look(&mut server, vec![past.clone()], vec![], &traffic).await;
        let call = server.expect("POST", &path("apis/apps/v1", "replicasets", "")).await;
        call.echo();
        let call = server.next().await;
        assert_eq!(
            call.body["status"]["stable"]["version"], 1,
            "its promotion is not forgotten: {}",
            call.body
        );
        call.object(&object);
        server.nothing_more().await;
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn what_was_written_and_is_not_in_the_caches_is_waited_for() {
    let object = deployment(json!({"model": "digits", "version": 1, "replicas": 1}));
    let (mut context, mut server) = context();
    context.caches.versions = Cache::fixed(vec![one_version()]);
    let context = Arc::new(context);
    let again = || Box::pin(reconcile(Arc::new(object.clone()), Arc::clone(&context), Arc::default()));
    play(again(), async {
        around(&mut server, &object, 1).await.echo();
        server.expect("POST", &path("apis/apps/v1", "replicasets", "")).await.echo();
        server.next().await.object(&object);
        server.next().await.echo();
    })
    .await
    .unwrap();
    let action = play(again(), server.nothing_more()).await.unwrap();
    assert_ne!(action, Action::await_change(), "it is looked at again");
}

#[tokio::test]
async fn a_budget_of_several_pods_is_kept_when_one_is_left() {
    let object = deployment(json!({"model": "digits", "version": 1, "replicas": 1}));
    let (mut context, mut server) = context();
    let valid = valid(&object);
    let owner = Owner { name: &valid.name, namespace: &valid.namespace, reference: &valid.owner };
    let mut budget = stored(build_disruption_budget(&owner, Some("uid-of-md")));
    budget.spec.get_or_insert_default().max_unavailable = None;
    context.caches.versions = Cache::fixed(vec![one_version()]);
    context.caches.services = Cache::fixed(vec![stored(build_service(&owner, Some("uid-of-md")))]);
    context.caches.disruption_budgets = Cache::fixed(vec![budget]);
    play(reconciled(&object, context), async {
        let call = server.expect("PATCH", &path("apis/policy/v1", "poddisruptionbudgets", "digits")).await;
        assert_eq!(call.body["spec"]["maxUnavailable"], 1, "what somebody took out is put back");
        call.error(409, "Conflict", "somebody was faster");
        server.nothing_more().await;
    })
    .await
    .looks_again();
}
