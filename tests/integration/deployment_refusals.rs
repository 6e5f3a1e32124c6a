//! One write that is refused, for whatever reason, stops itself only; and what others put into our objects is put back.

use k8s_openapi::api::{apps::v1::ReplicaSet, core::v1::Service, policy::v1::PodDisruptionBudget};
use kube::ResourceExt as _;
use modelwright::{
    api::ModelDeployment,
    context::Context,
    k8s::cache::Cache,
    serving::{
        build::{Owner, build_disruption_budget, build_service},
        fetch::fetch_live,
    },
};
use serde_json::{Value, json};

use crate::{
    deployment_fixtures::{deployment, valid},
    deployment_scenarios::{
        LooksAgain as _, World, fresh_look, made, owned, path, paused, reconciled, recorded, stored,
    },
    scenario::{ApiServer, Call, context, play},
};

pub fn traffic() -> Value {
    owned(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "digits-traffic"},
        "data": {"traffic.json": "{\"drain\":[]}"}}))
}

/// What the API server holds of the Service of `object`, with its defaults, after somebody's change.
pub fn service(object: &ModelDeployment, change: impl Fn(&mut Value)) -> Service {
    let valid = valid(object);
    let owner = Owner { name: &valid.name, namespace: &valid.namespace, reference: &valid.owner };
    let mut service = serde_json::to_value(stored(build_service(&owner, Some("uid-of-md")))).unwrap();
    for (key, value) in
        [("clusterIP", "10.0.0.1"), ("sessionAffinity", "None"), ("internalTrafficPolicy", "Cluster")]
    {
        service["spec"][key] = value.into();
    }
    change(&mut service);
    serde_json::from_value(service).unwrap()
}

pub fn budget(object: &ModelDeployment, change: impl Fn(&mut Value)) -> PodDisruptionBudget {
    let valid = valid(object);
    let owner = Owner { name: &valid.name, namespace: &valid.namespace, reference: &valid.owner };
    let mut budget =
        serde_json::to_value(stored(build_disruption_budget(&owner, Some("uid-of-md")))).unwrap();
    change(&mut budget);
    serde_json::from_value(budget).unwrap()
}

/// Answers a fresh look at a revision without its ReplicaSet, which somebody deleted.
async fn look_without_the_set(server: &mut ApiServer, world: &World) {
    fresh_look(server, vec![serde_json::to_value(&world.revision).unwrap()], vec![], &traffic()).await;
}

/// A ModelDeployment that was promoted, and whose ReplicaSet somebody deleted.
fn without_its_set(context: &mut Context) -> (ModelDeployment, World) {
    let object = deployment(json!({"model": "digits", "version": 1, "replicas": 2}));
    let world = made(&object, context, true);
    context.caches.replica_sets = Cache::fixed(vec![]);
    (object, world)
}

pub fn condition(call: &Call, type_: &str) -> Value {
    let conditions = call.body["status"]["conditions"].as_array().unwrap();
    conditions.iter().find(|condition| condition["type"] == type_).cloned().unwrap_or_default()
}

/// Field case 35: the write of the Service is refused for ever, and a lost child is made again all the same.
#[tokio::test]
async fn a_service_or_a_budget_that_is_refused_stops_neither_repair_nor_the_other() {
    let (mut context, mut server) = context();
    let (object, world) = without_its_set(&mut context);
    let drifted = |value: &mut Value| value["spec"]["ports"][0]["name"] = "by-hand".into();
    context.caches.services = Cache::fixed(vec![service(&object, drifted)]);
    context.caches.disruption_budgets = Cache::fixed(vec![budget(&object, |budget| {
        budget["spec"]["selector"]["matchLabels"]["by"] = "hand".into();
    })]);
    let error = play(reconciled(&object, context), async {
        let words = r#"Service "digits" is invalid: spec.ports[1].name: Duplicate value: "http""#;
        server.expect("PATCH", &path("api/v1", "services", "digits")).await.error(422, "Invalid", words);
        let call = server.expect("PATCH", &path("apis/policy/v1", "poddisruptionbudgets", "digits")).await;
        call.error(403, "Forbidden", "no budgets here");
        look_without_the_set(&mut server, &world).await;
        let call = server.expect("POST", &path("apis/apps/v1", "replicasets", "")).await;
        assert_eq!(call.body["spec"]["replicas"], 2);
        call.echo();
        let call = server.next().await;
        assert!(call.path.ends_with("/status"), "{}", call.path);
        let stalled = condition(&call, "Stalled");
        assert_eq!(stalled["reason"], "Refused");
        let message = stalled["message"].as_str().unwrap();
        for told in [words, "PodDisruptionBudget digits", "no budgets here"] {
            assert!(message.contains(told), "{message}");
        }
        call.object(&object);
        assert_eq!(server.next().await.body["reason"], "Blocked");
    })
    .await
    .unwrap_err();
    assert!(error.to_string().starts_with("reconciled in part: "), "{error}");
}

/// Answers everything, and refuses the writes of one kind; what is written and what the status says goes into the last two.
async fn answer_all(
    mut server: ApiServer,
    object: &ModelDeployment,
    (refused, code, reason): (&str, u16, &str),
    tried: &mut Vec<&'static str>,
    told: &mut String,
) {
    loop {
        let call = server.next().await;
        let kind = WRITES.into_iter().find(|kind| call.path.split('/').any(|part| part == *kind));
        if call.path.ends_with("/status") {
            *told = call.body["status"]["conditions"].to_string();
            call.object(object);
        } else if call.method == "GET" && call.path.ends_with("digits-traffic") {
            call.error(404, "NotFound", "not found");
        } else if call.method == "GET" && call.path.ends_with("/modeldeployments/digits") {
            call.object(object);
        } else if call.method == "GET" {
            call.object(&json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": []}));
        } else {
            tried.extend(kind);
            if kind == Some(refused) {
                call.error(code, reason, "words of the server");
            } else {
                call.echo();
            }
        }
    }
}

const WRITES: [&str; 4] = ["services", "poddisruptionbudgets", "controllerrevisions", "replicasets"];

/// The kind: whichever write is refused, and however, every other one is tried.
#[tokio::test]
async fn whichever_write_is_refused_all_others_are_made() {
    for (code, reason) in [(403, "Forbidden"), (422, "Invalid"), (500, "InternalError"), (400, "BadRequest")]
    {
        for refused in WRITES {
            let (mut context, server) = context();
            let object = deployment(json!({"model": "digits", "version": 1, "replicas": 2}));
            context.caches.versions = Cache::fixed(vec![crate::deployment_scenarios::one_version()]);
            let (mut tried, mut told) = (Vec::new(), String::new());
            let outcome = {
                let answers =
                    Box::pin(answer_all(server, &object, (refused, code, reason), &mut tried, &mut told));
                match futures::future::select(reconciled(&object, context), answers).await {
                    futures::future::Either::Left((outcome, _)) => outcome,
                    futures::future::Either::Right(_) => unreachable!("it answers for ever"),
                }
            };
            assert!(told.contains("words of the server"), "{told}");
            assert!(outcome.is_err(), "{refused}: it is tried again");
            // what a revision justifies waits for it, and nothing else does
            let expected =
                WRITES.into_iter().filter(|kind| refused != "controllerrevisions" || *kind != "replicasets");
            assert_eq!(tried, expected.collect::<Vec<_>>(), "{refused} {code}");
        }
    }
}

/// Field cases 35 and 36: whatever somebody puts into what decides traffic is taken out, whole.
#[tokio::test]
async fn what_others_put_into_a_service_or_a_budget_is_taken_out() {
    type Change = fn(&mut Value);
    let object = paused();
    let of_service: [(&str, Change); 8] = [
        ("spec.selector", |service| service["spec"]["selector"]["added-by-hand"] = "yes".into()),
        ("spec.selector", |service| {
            service["spec"]["selector"]["modelwright.dev/deployment"] = "other".into();
        }),
        ("spec.ports", |service| service["spec"]["ports"][0]["port"] = 8081.into()),
        ("spec.ports", |service| service["spec"]["ports"][0]["protocol"] = "UDP".into()),
        ("spec.ports", |service| {
            service["spec"]["ports"]
                .as_array_mut()
                .unwrap()
                .push(json!({"name": "more", "port": 1, "protocol": "TCP"}));
        }),
        ("spec.publishNotReadyAddresses", |service| {
            service["spec"]["publishNotReadyAddresses"] = true.into();
        }),
        ("spec.sessionAffinity", |service| service["spec"]["sessionAffinity"] = "ClientIP".into()),
        ("metadata.ownerReferences", |service| {
            let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "other", "uid": "other"});
            service["metadata"]["ownerReferences"].as_array_mut().unwrap().push(owner);
        }),
    ];
    for (field, change) in of_service {
        let (mut context, mut server) = context();
        made(&object, &mut context, true);
        let whole = service(&object, |_| {});
        context.caches.services = Cache::fixed(vec![service(&object, change)]);
        play(reconciled(&object, context), async {
            let at = path("api/v1", "services", "digits");
            let call = server.expect("PATCH", &at).await;
            let operations = call.body.as_array().unwrap().clone();
            assert_eq!(operations[0]["path"], "/metadata/resourceVersion");
            assert_eq!(operations[0]["value"], "999");
            let pointer = format!("/{}", field.replace('.', "/"));
            assert_eq!(operations[1]["path"], pointer.as_str(), "{operations:?}");
            let expected = serde_json::to_value(&whole).unwrap().pointer(&pointer).cloned();
            assert_eq!(operations[1].get("value"), expected.as_ref(), "{operations:?}");
            call.object(&whole);
            server.expect("PATCH", &at).await.object(&whole);
            let call = server.next().await;
            assert!(call.path.ends_with("/status"), "{field}: {}", call.path);
            call.object(&object);
            server.nothing_more().await;
        })
        .await
        .unwrap();
    }
    let of_budget: [Change; 2] = [
        |budget| budget["spec"]["selector"]["matchLabels"]["added-by-hand"] = "yes".into(),
        // with ours beside it, the API server refuses the two
        |budget| budget["spec"] = json!({"minAvailable": 1, "selector": budget["spec"]["selector"]}),
    ];
    for change in of_budget {
        let (mut context, mut server) = context();
        made(&object, &mut context, true);
        let whole = budget(&object, |_| {});
        context.caches.disruption_budgets = Cache::fixed(vec![budget(&object, change)]);
        play(reconciled(&object, context), async {
            let at = path("apis/policy/v1", "poddisruptionbudgets", "digits");
            let call = server.expect("PATCH", &at).await;
            assert_eq!(call.body[1]["path"], "/spec");
            assert_eq!(call.body[1]["value"]["maxUnavailable"], 1);
            call.object(&whole);
            server.expect("PATCH", &at).await.object(&whole);
            let call = server.next().await;
            assert!(call.path.ends_with("/status"), "{}", call.path);
            call.object(&object);
            server.nothing_more().await;
        })
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn a_policy_that_changes_a_service_at_every_write_is_told_and_not_fought_within_a_reconcile() {
    let object = paused();
    let (mut context, mut server) = context();
    made(&object, &mut context, true);
    let mutated = service(&object, |service| service["spec"]["selector"]["team"] = "a".into());
    context.caches.services = Cache::fixed(vec![mutated.clone()]);
    play(reconciled(&object, context), async {
        for _ in 0..2 {
            server.expect("PATCH", &path("api/v1", "services", "digits")).await.object(&mutated);
        }
        let call = server.next().await;
        assert!(call.path.ends_with("/status"), "{}", call.path);
        let stalled = condition(&call, "Stalled");
        assert_eq!(stalled["reason"], "Overruled");
        assert!(stalled["message"].as_str().unwrap().contains("spec.selector"), "{stalled}");
        call.object(&object);
        assert_eq!(server.next().await.body["reason"], "Blocked");
    })
    .await
    .unwrap_err();
}

/// Case 38: whatever of owner and labels of a child is not as it was made is put right.
#[tokio::test]
async fn labels_that_somebody_took_off_a_revision_and_owners_that_somebody_added_are_put_right() {
    type Change = fn(&mut Value);
    let changes: [(&str, Change); 3] = [
        ("labels", |object| {
            object["metadata"]["labels"].as_object_mut().unwrap().remove("modelwright.dev/model");
        }),
        ("ownerReferences", |object| {
            let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "other", "uid": "other"});
            object["metadata"]["ownerReferences"].as_array_mut().unwrap().push(owner);
        }),
        ("ownerReferences", |object| object["metadata"]["ownerReferences"] = json!([])),
    ];
    for (field, change) in changes {
        let object = paused();
        let (mut context, mut server) = context();
        let world = made(&object, &mut context, true);
        let set = context.caches.replica_sets.get("space", &format!("digits-{}", world.short)).unwrap();
        let set: ReplicaSet = set.as_ref().clone();
        let mut drifted = serde_json::to_value(&world.revision).unwrap();
        change(&mut drifted);
        context.caches.revisions = Cache::fixed(vec![serde_json::from_value(drifted.clone()).unwrap()]);
        play(reconciled(&object, context), async {
            fresh_look(&mut server, vec![drifted], vec![serde_json::to_value(&set).unwrap()], &traffic())
                .await;
            if field == "ownerReferences" {
                server.owner_stays(&object).await;
            }
            let at = path("apis/apps/v1", "controllerrevisions", &world.revision.name_any());
            let call = server.expect("PATCH", &at).await;
            let ours = &serde_json::to_value(&world.revision).unwrap()["metadata"][field];
            assert_eq!(&call.body["metadata"][field], ours, "{field}");
            call.error(409, "Conflict", "somebody was faster");
            server.nothing_more().await;
        })
        .await
        .looks_again();
    }
}

/// A promotion that cannot be recorded replaces nothing for good.
#[tokio::test]
async fn a_record_that_is_refused_is_told_and_what_it_justifies_is_not_done() {
    let object = paused();
    let (mut context, mut server) = context();
    let world = made(&object, &mut context, false);
    let name = format!("digits-{}", world.short);
    let set: ReplicaSet = context.caches.replica_sets.get("space", &name).unwrap().as_ref().clone();
    let revisions = vec![serde_json::to_value(&world.revision).unwrap()];
    play(reconciled(&object, context), async {
        fresh_look(&mut server, revisions, vec![serde_json::to_value(&set).unwrap()], &traffic()).await;
        let call = server.expect("PATCH", &path("apis/apps/v1", "controllerrevisions", &name)).await;
        assert_eq!(recorded(&call.body).promoted, Some(1));
        call.error(403, "Forbidden", "a policy says no");
        let call = server.next().await;
        assert!(call.path.ends_with("/status"), "{}", call.path);
        assert_eq!(call.body["status"]["stable"], Value::Null, "{}", call.body);
        assert_eq!(condition(&call, "Promoted")["status"], "False");
        assert!(condition(&call, "Stalled")["message"].as_str().unwrap().contains("a policy says no"));
        call.object(&object);
        assert_eq!(server.next().await.body["reason"], "Blocked");
    })
    .await
    .unwrap_err();
}

/// What is Terminating, with a finalizer that nobody removes, stops nothing and is told.
#[tokio::test]
async fn a_service_that_is_held_on_its_way_out_is_told_and_stops_nothing() {
    let (mut context, mut server) = context();
    let (object, world) = without_its_set(&mut context);
    context.caches.services = Cache::fixed(vec![service(&object, |service| {
        service["metadata"]["deletionTimestamp"] = "2026-11-24T10:00:00Z".into();
        service["metadata"]["finalizers"] = json!(["example.com/hold"]);
    })]);
    play(reconciled(&object, context), async {
        look_without_the_set(&mut server, &world).await;
        server.expect("POST", &path("apis/apps/v1", "replicasets", "")).await.echo();
        let call = server.next().await;
        assert!(call.path.ends_with("/status"), "{}", call.path);
        let waits = condition(&call, "Reconciling");
        assert_eq!(waits["reason"], "Terminating");
        assert!(waits["message"].as_str().unwrap().starts_with("Service digits is being deleted"), "{waits}");
        call.object(&object);
        server.nothing_more().await;
    })
    .await
    .unwrap();
}

/// Case 38, both: what lost the label by which everything of ours is listed is found by what it has to do with.
#[tokio::test]
async fn a_replica_set_and_a_revision_without_the_label_of_all_lists_are_found_by_their_pods() {
    let object = paused();
    let (mut context, mut server) = context();
    let world = made(&object, &mut context, true);
    let name = format!("digits-{}", world.short);
    let set: ReplicaSet = context.caches.replica_sets.get("space", &name).unwrap().as_ref().clone();
    context.caches.replica_sets = Cache::fixed(vec![]);
    let pod = json!({"metadata": {"name": format!("{name}-x"), "namespace": "space", "uid": "pod",
        "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": name, "uid": set.uid(), "controller": true}]}});
    let children = play(Box::pin(fetch_live(&context, "digits", "space")), async {
        for _ in 0..4 {
            let call = server.next().await;
            let list =
                |items: Value| json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": items});
            match call.path.rsplit('/').next().unwrap() {
                "controllerrevisions" | "replicasets" => call.object(&list(json!([]))),
                "pods" => call.object(&list(json!([pod]))),
                _ => call.object(&traffic()),
            }
        }
        server.expect("GET", &path("apis/apps/v1", "replicasets", &name)).await.object(&set);
        server
            .expect("GET", &path("apis/apps/v1", "controllerrevisions", &name))
            .await
            .object(&world.revision);
        server.quiet_for(std::time::Duration::from_millis(50)).await;
    })
    .await
    .unwrap()
    .owned_by(Some("uid-of-md"));
    assert_eq!((children.replica_sets.len(), children.revisions.len(), children.pods.len()), (1, 1, 1));
}
