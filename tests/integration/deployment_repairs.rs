//! Whole looks at ReplicaSets whose templates, labels or owners a policy or a person changed.

use k8s_openapi::api::{apps::v1::ReplicaSet, core::v1::Pod};
use kube::ResourceExt as _;
use modelwright::{
    api::name::{ADMITTED_ANNOTATION, REPAIR_ANNOTATION},
    k8s::cache::Cache,
    serving::{pods::refusal, template::Repair},
};
use serde_json::{Value, json};

use crate::{
    deployment_fixtures::deployment,
    deployment_refusals::condition,
    deployment_scenarios::{LooksAgain as _, World, made, owned, path, paused, reconciled},
    deployment_templates::{add_node_selector, changed, pod_of, policy},
    scenario::{context, play},
};

fn traffic() -> Value {
    owned(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "digits-traffic"},
        "data": {"traffic.json": "{\"drain\":[]}"}}))
}

#[tokio::test]
async fn a_template_that_a_policy_changes_is_recorded_with_the_first_start_and_left_alone() {
    let object = deployment(json!({"model": "digits", "version": 1, "replicas": 1}));
    let (mut context, mut server) = context();
    let World { revision, .. } = made(&object, &mut context, false);
    context.caches.revisions = Cache::fixed(vec![]);
    context.caches.replica_sets = Cache::fixed(vec![]);
    let mut recorded = Value::Null;
    play(reconciled(&object, context), async {
        server.owner_stays(&object).await;
        server.expect("POST", &path("apis/apps/v1", "controllerrevisions", "")).await.echo();
        let call = server.expect("POST", &path("apis/apps/v1", "replicasets", "")).await;
        let mut answer = call.body.clone();
        policy(&mut answer["spec"]["template"]);
        call.object(&answer);
        let call =
            server.expect("PATCH", &path("apis/apps/v1", "controllerrevisions", &revision.name_any())).await;
        recorded = call.body["metadata"]["annotations"].clone();
        call.object(&revision);
        server.next().await.object(&object);
        server.next().await.echo();
        server.nothing_more().await;
    })
    .await
    .unwrap();
    let text = recorded[ADMITTED_ANNOTATION].as_str().unwrap();
    assert!(text.contains("192Mi") && text.contains(r#""team":"a""#), "{text}");

    // the same at rest, and the operator just started
    let object = paused();
    let at_rest = async |is_recorded: bool| {
        let (mut context, mut server) = crate::scenario::context();
        let World { mut revision, short } = made(&object, &mut context, true);
        let running = context.caches.replica_sets.get("space", &format!("digits-{short}")).unwrap();
        let running = changed(&running, policy);
        if is_recorded {
            let template = running.spec.as_ref().unwrap().template.as_ref().unwrap();
            let annotations = revision.metadata.annotations.get_or_insert_default();
            annotations.insert(ADMITTED_ANNOTATION.into(), serde_json::to_string(template).unwrap());
        }
        context.caches.revisions = Cache::fixed(vec![revision]);
        context.caches.replica_sets = Cache::fixed(vec![running]);
        let mut first = String::new();
        let _ = tokio::time::timeout(std::time::Duration::from_millis(500), async {
            let server = async {
                let call = server.next().await;
                first = format!("{} {}", call.method, call.path);
                call.error(500, "InternalError", "seen enough");
            };
            futures::future::join(reconciled(&object, context), server).await
        })
        .await;
        first
    };
    assert!(at_rest(true).await.ends_with("/status"), "nothing but the status is written");
    assert!(at_rest(false).await.starts_with("GET"), "what nobody recorded is looked at");
}

#[tokio::test]
async fn a_changed_template_is_put_back_whole_and_what_came_of_it_is_set_aside() {
    let object = paused();
    let (mut context, mut server) = context();
    let World { revision, short } = made(&object, &mut context, true);
    let name = format!("digits-{short}");
    let whole = context.caches.replica_sets.get("space", &name).unwrap().as_ref().clone();
    let mut by_hand = changed(&whole, add_node_selector);
    by_hand.metadata.generation = Some(6);
    by_hand.metadata.uid = Some("uid-of-set".into());
    let (old, stray) = (
        pod_of(
            &changed(&by_hand, |template| {
                template["spec"].as_object_mut().unwrap().remove("nodeSelector");
            }),
            "old",
        ),
        pod_of(&by_hand, "stray"),
    );
    context.caches.replica_sets = Cache::fixed(vec![by_hand.clone()]);
    let snapshot = async |server: &mut crate::scenario::ApiServer, set: &ReplicaSet, pods: Vec<&Pod>| {
        for _ in 0..4 {
            let call = server.next().await;
            let list =
                |items: Value| json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": items});
            match call.path.rsplit('/').next().unwrap() {
                "controllerrevisions" => call.object(&list(json!([revision]))),
                "replicasets" => call.object(&list(json!([set]))),
                "pods" => call.object(&list(json!(pods))),
                _ => call.object(&traffic()),
            }
        }
    };
    let outcome = play(reconciled(&object, context), async {
        snapshot(&mut server, &by_hand, vec![&old, &stray]).await;
        let call = server.expect("PATCH", &path("apis/apps/v1", "replicasets", &name)).await;
        assert_eq!(
            call.body[0],
            json!({"op": "replace", "path": "/metadata/resourceVersion", "value": "999"})
        );
        assert_eq!(
            (&call.body[2]["op"], &call.body[2]["path"]),
            (&json!("replace"), &json!("/spec/template"))
        );
        let template = &call.body[2]["value"];
        assert!(template["spec"].get("nodeSelector").is_none(), "{template}");
        assert_eq!(template["metadata"]["annotations"][REPAIR_ANNOTATION], "6");
        let repair: Repair =
            serde_json::from_str(call.body[1]["value"][REPAIR_ANNOTATION].as_str().unwrap()).unwrap();
        assert_eq!(repair, Repair { mark: 6, kept: ["old".to_owned()].into() });
        let mut mended = serde_json::to_value(&by_hand).unwrap();
        mended["spec"]["template"] = template.clone();
        mended["metadata"]["annotations"] = call.body[1]["value"].clone();
        let mended: ReplicaSet = serde_json::from_value(mended).unwrap();
        call.object(&mended);
        snapshot(&mut server, &mended, vec![&old, &stray]).await;
        server.owner_stays(&object).await;
        let call = server.expect("PATCH", &path("api/v1", "pods", "stray")).await;
        assert_eq!(call.body["metadata"]["ownerReferences"][0]["uid"], "uid-of-md");
        assert_eq!(call.body["metadata"]["labels"], json!({"modelwright.dev/revision": null}));
        assert_eq!(call.body["metadata"]["resourceVersion"], "7");
        call.error(409, "Conflict", "somebody was faster");
        let call = server.next().await;
        assert_eq!(call.body["reason"], "TemplatePutBack", "people are told");
        assert!(call.body["note"].as_str().unwrap().contains(&name), "{}", call.body);
        call.echo();
        server.nothing_more().await;
    })
    .await;
    outcome.looks_again();
}

#[tokio::test]
async fn a_replica_set_whose_label_somebody_took_off_is_known_by_its_owner_and_gets_it_back() {
    let object = paused();
    let (mut context, mut server) = context();
    let World { revision, short } = made(&object, &mut context, true);
    let name = format!("digits-{short}");
    let mut bare = context.caches.replica_sets.get("space", &name).unwrap().as_ref().clone();
    bare.metadata.labels.as_mut().unwrap().retain(|key, _| key == "app.kubernetes.io/managed-by");
    context.caches.replica_sets = Cache::fixed(vec![bare.clone()]);
    play(reconciled(&object, context), async {
        // the list by label lacks it
        crate::deployment_scenarios::fresh_look(
            &mut server,
            vec![serde_json::to_value(&revision).unwrap()],
            vec![],
            &traffic(),
        )
        .await;
        let path = path("apis/apps/v1", "replicasets", &name);
        server.expect("GET", &path).await.object(&bare);
        let call = server.expect("PATCH", &path).await;
        assert_eq!(call.body["metadata"]["labels"]["modelwright.dev/deployment"], "digits");
        assert_eq!(call.body["metadata"]["labels"]["modelwright.dev/revision"], short);
        call.error(409, "Conflict", "somebody was faster");
        server.nothing_more().await;
    })
    .await
    .looks_again();
}

#[tokio::test]
async fn a_revision_label_that_somebody_changed_is_put_back() {
    let object = paused();
    let (mut context, mut server) = context();
    let World { revision, short } = made(&object, &mut context, true);
    let name = format!("digits-{short}");
    let mut set = context.caches.replica_sets.get("space", &name).unwrap().as_ref().clone();
    set.metadata.labels.get_or_insert_default().insert("modelwright.dev/revision".into(), "x".into());
    context.caches.replica_sets = Cache::fixed(vec![set.clone()]);
    play(reconciled(&object, context), async {
        crate::deployment_scenarios::fresh_look(
            &mut server,
            vec![serde_json::to_value(&revision).unwrap()],
            vec![serde_json::to_value(&set).unwrap()],
            &traffic(),
        )
        .await;
        let call = server.expect("PATCH", &path("apis/apps/v1", "replicasets", &name)).await;
        assert_eq!(call.body["metadata"]["labels"]["modelwright.dev/revision"], short);
        call.error(409, "Conflict", "somebody was faster");
        server.nothing_more().await;
    })
    .await
    .looks_again();
}

#[tokio::test]
async fn a_label_that_a_policy_changes_at_every_write_is_told_and_not_fought() {
    let object = paused();
    let (mut context, mut server) = context();
    let World { revision, short } = made(&object, &mut context, true);
    let name = format!("digits-{short}");
    let mut set = context.caches.replica_sets.get("space", &name).unwrap().as_ref().clone();
    set.metadata.labels.get_or_insert_default().insert("modelwright.dev/revision".into(), "x".into());
    context.caches.replica_sets = Cache::fixed(vec![set.clone()]);
    play(reconciled(&object, context), async {
        let revisions = vec![serde_json::to_value(&revision).unwrap()];
        let sets = vec![serde_json::to_value(&set).unwrap()];
        crate::deployment_scenarios::fresh_look(&mut server, revisions, sets, &traffic()).await;
        // once in a reconcile
        server.expect("PATCH", &path("apis/apps/v1", "replicasets", &name)).await.object(&set);
        let call = server.next().await;
        assert!(call.path.ends_with("/modeldeployments/digits/status"), "{}", call.path);
        let stalled = condition(&call, "Stalled");
        assert_eq!(stalled["reason"], "Overruled");
        let message = stalled["message"].as_str().unwrap();
        assert!(message.starts_with(&format!("ReplicaSet {name}: ")), "{message}");
        assert!(message.contains("changes metadata.labels at every write"), "{message}");
        call.object(&object);
        server.next().await.echo();
        server.nothing_more().await;
    })
    .await
    .unwrap_err();
}

#[tokio::test]
async fn a_revision_that_somebody_hid_under_another_label_is_found_and_gets_it_back() {
    let object = paused();
    let (mut context, mut server) = context();
    let World { mut revision, short } = made(&object, &mut context, true);
    let name = format!("digits-{short}");
    let label = "modelwright.dev/deployment";
    revision.metadata.labels.get_or_insert_default().insert(label.into(), "other".into());
    context.caches.revisions = Cache::fixed(vec![revision.clone()]);
    play(reconciled(&object, context), async {
        server.owner_stays(&object).await;
        let call = server.expect("POST", &path("apis/apps/v1", "controllerrevisions", "")).await;
        call.error(409, "AlreadyExists", "already exists");
        let path = path("apis/apps/v1", "controllerrevisions", &name);
        server.expect("GET", &path).await.object(&revision);
        let call = server.expect("PATCH", &path).await;
        assert_eq!(call.body["metadata"]["labels"][label], "digits");
        call.error(409, "Conflict", "somebody was faster");
        server.nothing_more().await;
    })
    .await
    .looks_again();
}

#[tokio::test]
async fn a_replica_set_that_is_held_on_its_way_out_is_deleted_once_and_told() {
    let object = paused();
    let (mut context, mut server) = context();
    let World { revision, short } = made(&object, &mut context, true);
    let mut other =
        context.caches.replica_sets.get("space", &format!("digits-{short}")).unwrap().as_ref().clone();
    other.metadata.name = Some("digits-0123456789".into());
    other.metadata.deletion_timestamp = Some(serde_json::from_value(json!("2026-11-24T10:00:00Z")).unwrap());
    other.metadata.finalizers = Some(vec!["example.com/hold".into()]);
    let ours = context.caches.replica_sets.get("space", &format!("digits-{short}")).unwrap().as_ref().clone();
    context.caches.replica_sets = Cache::fixed(vec![ours.clone(), other.clone()]);
    play(reconciled(&object, context), async {
        let sets = [&ours, &other].map(|set| serde_json::to_value(set).unwrap()).into();
        let revisions = vec![serde_json::to_value(&revision).unwrap()];
        crate::deployment_scenarios::fresh_look(&mut server, revisions, sets, &traffic()).await;
        let call = server.next().await;
        assert_eq!(call.method, "PATCH", "it is not deleted again: {}", call.path);
        assert!(call.path.ends_with("/status"), "{}", call.path);
        call.object(&object);
        server.nothing_more().await;
    })
    .await
    .unwrap();
    let told = refusal(&other).unwrap();
    assert_eq!(told.reason, "ReplicaSetTerminating");
    assert!(
        told.message.contains("digits-0123456789") && told.message.contains("example.com/hold"),
        "{told:?}"
    );
}

#[tokio::test]
async fn a_template_that_somebody_changed_while_nobody_owned_it_is_no_policys_doing() {
    let object = paused();
    let (mut context, mut server) = context();
    let World { revision, short } = made(&object, &mut context, true);
    let name = format!("digits-{short}");
    let whole = context.caches.replica_sets.get("space", &name).unwrap().as_ref().clone();
    let mut by_hand = changed(&whole, add_node_selector);
    by_hand.metadata.owner_references = None;
    context.caches.replica_sets = Cache::fixed(vec![by_hand.clone()]);
    let set_path = path("apis/apps/v1", "replicasets", &name);
    play(reconciled(&object, context), async {
        let revisions = || vec![serde_json::to_value(&revision).unwrap()];
        let value = |set: &ReplicaSet| serde_json::to_value(set).unwrap();
        crate::deployment_scenarios::fresh_look(&mut server, revisions(), vec![value(&by_hand)], &traffic())
            .await;
        server.owner_stays(&object).await;
        let call = server.expect("PATCH", &set_path).await;
        let mut adopted = value(&by_hand);
        adopted["metadata"]["ownerReferences"] = call.body["metadata"]["ownerReferences"].clone();
        call.object(&adopted);
        crate::deployment_scenarios::fresh_look(&mut server, revisions(), vec![adopted], &traffic()).await;
        let call = server.expect("PATCH", &set_path).await;
        assert_eq!(call.body[2]["path"], "/spec/template", "it is put back: {}", call.body);
        call.error(409, "Conflict", "somebody was faster");
        server.nothing_more().await;
    })
    .await
    .looks_again();
}
