//! Templates of ReplicaSets as the API server admitted them and as somebody changed them, and whose pods are whose.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::{
    apps::v1::{ControllerRevision, ReplicaSet},
    core::v1::Pod,
};
use kube::ResourceExt as _;
use modelwright::{
    api::name::{ADMITTED_ANNOTATION, DEPLOYMENT_UID_LABEL, REPAIR_ANNOTATION, SET_ASIDE_ANNOTATION},
    cache::Cache,
    deployment::{
        build::{Owner, build_replica_set},
        fetch::{Found, Place},
        pods::refusal,
        rollout::SET_ASIDE,
        template::{self, Repair},
    },
};
use serde_json::{Value, json};

use crate::{
    deployment_fixtures::{data, deployment, valid},
    deployment_scenarios::{LooksAgain as _, World, made, owned, path, paused, reconciled},
    scenario::{context, play},
};

const SHORT: &str = "d5f0b83623";

/// A ReplicaSet as the API server stores it, defaults filled in.
fn set() -> ReplicaSet {
    let valid = valid(&deployment(json!({"model": "digits"})));
    let owner = Owner { name: &valid.name, namespace: &valid.namespace, reference: &valid.owner };
    let mut set = serde_json::to_value(build_replica_set(&owner, SHORT, &data(1), 2)).unwrap();
    set["metadata"]["uid"] = "uid-of-set".into();
    set["metadata"]["generation"] = 4.into();
    defaulted(&mut set);
    serde_json::from_value(set).unwrap()
}

/// What the API server of Kubernetes 1.37 adds to such a template.
fn defaulted(set: &mut Value) {
    let spec = &mut set["spec"]["template"]["spec"];
    for (key, value) in
        [("dnsPolicy", "ClusterFirst"), ("restartPolicy", "Always"), ("schedulerName", "default-scheduler")]
    {
        spec[key] = value.into();
    }
    for list in ["containers", "initContainers"] {
        for container in spec[list].as_array_mut().unwrap() {
            container["imagePullPolicy"] = "IfNotPresent".into();
            container["terminationMessagePath"] = "/dev/termination-log".into();
            for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
                if let Some(probe) = container.get_mut(probe) {
                    probe["successThreshold"] = 1.into();
                    probe["httpGet"]["scheme"] = "HTTP".into();
                }
            }
        }
    }
    for volume in spec["volumes"].as_array_mut().unwrap() {
        if let Some(map) = volume.get_mut("configMap") {
            map["defaultMode"] = 420.into();
        }
    }
}

type Change = fn(&mut Value);

fn changed(set: &ReplicaSet, change: impl Fn(&mut Value)) -> ReplicaSet {
    let mut value = serde_json::to_value(set).unwrap();
    change(&mut value["spec"]["template"]);
    serde_json::from_value(value).unwrap()
}

/// What a policy does: it raises a request and adds a label.
fn policy(template: &mut Value) {
    template["spec"]["containers"][0]["resources"]["requests"]["memory"] = "192Mi".into();
    template["metadata"]["labels"]["team"] = "a".into();
}

fn add_node_selector(template: &mut Value) {
    template["spec"]["nodeSelector"] = json!({"example.com/no-such": "node"});
}

/// A pod of a ReplicaSet's template as it is, as admission leaves it.
fn pod_of(set: &ReplicaSet, name: &str) -> Pod {
    let template = serde_json::to_value(set.spec.as_ref().unwrap().template.as_ref().unwrap()).unwrap();
    let mut pod = json!({"metadata": template["metadata"], "spec": template["spec"]});
    pod["metadata"]["name"] = name.into();
    pod["metadata"]["namespace"] = "space".into();
    pod["metadata"]["uid"] = format!("uid-of-{name}").into();
    pod["metadata"]["resourceVersion"] = "7".into();
    pod["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet",
        "name": set.name_any(), "uid": set.uid(), "controller": true}]);
    pod["spec"]["tolerations"] = json!([{"key": "node.kubernetes.io/not-ready", "operator": "Exists"}]);
    pod["spec"]["nodeName"] = "node".into();
    serde_json::from_value(pod).unwrap()
}

fn revision(annotations: Value) -> ControllerRevision {
    serde_json::from_value(json!({"metadata": {"name": "r", "annotations": annotations}, "revision": 1}))
        .unwrap()
}

#[test]
fn a_template_with_the_defaults_of_the_api_server_is_as_it_was_made() {
    assert!(template::is_as_admitted(&set(), &data(1), None));
    assert_eq!(template::admission(&set(), &data(1), &revision(json!({}))), None, "and nothing is recorded");
}

#[test]
fn whatever_is_changed_in_a_template_is_seen() {
    let all: [(&str, Change); 8] = [
        ("a field that was not set", add_node_selector),
        ("a value", |template| template["spec"]["containers"][0]["image"] = "other:1".into()),
        ("a further container", |template| {
            let list = template["spec"]["containers"].as_array_mut().unwrap();
            list.push(json!({"name": "sidecar", "image": "s:1"}));
        }),
        ("a further variable", |template| {
            let list = template["spec"]["containers"][0]["env"].as_array_mut().unwrap();
            list.push(json!({"name": "DEBUG", "value": "1"}));
        }),
        ("an annotation, as a restart sets it", |template| {
            template["metadata"]["annotations"] = json!({"kubectl.kubernetes.io/restartedAt": "now"});
        }),
        ("a label", |template| template["metadata"]["labels"]["x"] = "y".into()),
        ("a default", |template| template["spec"]["dnsPolicy"] = "None".into()),
        ("a probe that is gone", |template| {
            template["spec"]["containers"][0].as_object_mut().unwrap().remove("livenessProbe");
        }),
    ];
    for (what, change) in all {
        let (set, data) = (set(), data(1));
        let changed = changed(&set, change);
        assert!(!template::is_as_admitted(&changed, &data, None), "{what}");
        let old = pod_of(&set, "old");
        let new = pod_of(&changed, "new");
        let repair = Repair::next(&changed, &data, None, [&old, &new]);
        assert_eq!(repair.kept, ["old".to_owned()].into(), "{what}");
        assert_eq!(repair.mark, 4);
    }
}

#[test]
fn what_a_policy_makes_of_a_template_is_recorded_once_and_then_no_change() {
    let (set, data) = (set(), data(1));
    let mutated = changed(&set, policy);
    assert!(!template::is_as_admitted(&mutated, &data, None));
    let recorded = revision(template::admission(&mutated, &data, &revision(json!({}))).unwrap());
    assert!(template::is_as_admitted(&mutated, &data, Some(&recorded)));
    assert_eq!(template::admission(&mutated, &data, &recorded), None);
    let by_hand = changed(&mutated, add_node_selector);
    assert!(
        !template::is_as_admitted(&by_hand, &data, Some(&recorded)),
        "a change by hand is one all the same"
    );
    let (old, new) = (pod_of(&mutated, "old"), pod_of(&by_hand, "new"));
    let repair = Repair::next(&by_hand, &data, Some(&recorded), [&old, &new]);
    assert_eq!(repair.kept, ["old".to_owned()].into());
    // the policy goes: the next answer is as asked for, and what is recorded goes too
    assert_eq!(template::admission(&set, &data, &recorded), Some(json!({ADMITTED_ANNOTATION: null})));
}

#[test]
fn a_pod_without_the_mark_of_the_last_repair_is_a_stray_unless_it_was_kept() {
    let mut set = set();
    let repair = Repair { mark: 4, kept: ["kept".to_owned()].into() };
    let annotation = |value: String| BTreeMap::from([(REPAIR_ANNOTATION.to_owned(), value)]);
    set.metadata.annotations = Some(annotation(repair.annotation()));
    let mut marked = pod_of(&set, "marked");
    marked.metadata.annotations = Some(annotation("4".into()));
    let stray = |pod: &Pod| template::is_stray(pod, &set);
    assert!(!stray(&marked) && !stray(&pod_of(&set, "kept")));
    assert!(stray(&pod_of(&set, "late")), "made from what the controller saw before the repair");
    set.metadata.annotations = Some(annotation("{".into()));
    assert!(!template::is_stray(&pod_of(&set, "late"), &set), "what somebody scribbled says nothing");
}

/// What there is of a ModelDeployment whose UID is `uid-of-md`.
fn found(set: &ReplicaSet, pods: impl IntoIterator<Item = Pod>) -> Found {
    Found {
        replica_sets: vec![Arc::new(set.clone())],
        pods: pods.into_iter().map(Arc::new).collect(),
        ..Found::default()
    }
    .owned_by(Some("uid-of-md"))
}

fn places(found: &Found) -> BTreeMap<String, Place> {
    found.pods.iter().map(|pod| (pod.name_any(), found.place(pod).unwrap())).collect()
}

#[test]
fn pods_are_whose_replica_set_made_them_whatever_their_labels_say() {
    let set = set();
    let with = |name: &str, change: &dyn Fn(&mut Value)| -> Pod {
        let mut pod = serde_json::to_value(pod_of(&set, name)).unwrap();
        change(&mut pod["metadata"]);
        serde_json::from_value(pod).unwrap()
    };
    let controller = |uid: &'static str| move |pod: &mut Value| pod["ownerReferences"][0]["uid"] = uid.into();
    let found = found(
        &set,
        [
            pod_of(&set, "ours"),
            with("relabelled", &|pod| pod["labels"]["modelwright.dev/revision"] = "other".into()),
            with("foreign", &controller("another-set")),
            with("of-nothing-else", &controller("uid-of-md")),
            with("lost", &|pod| pod["ownerReferences"] = json!([])),
            with("of-an-earlier", &|pod| {
                pod["ownerReferences"] = json!([]);
                pod["labels"][DEPLOYMENT_UID_LABEL] = "an-earlier".into();
            }),
            with("aside", &|pod| {
                pod["ownerReferences"][0]["uid"] = "uid-of-md".into();
                pod["labels"].as_object_mut().unwrap().remove("modelwright.dev/revision");
                pod["annotations"] = json!({SET_ASIDE_ANNOTATION: SHORT});
            }),
        ],
    );
    let revision = || Place::Revision(SHORT.to_owned());
    let expected = [
        ("ours", revision()),
        ("relabelled", revision()),
        ("lost", revision()),
        ("aside", Place::Aside(SHORT.to_owned())),
        // one that only the ModelDeployment controls is nobody else's to delete
        ("of-nothing-else", Place::Aside(SHORT.to_owned())),
    ];
    assert_eq!(places(&found), expected.map(|(name, place)| (name.to_owned(), place)).into());
    let strays: Vec<_> = found.strays().map(|(pod, _)| pod.name_any()).collect();
    assert_eq!(strays, ["of-nothing-else"], "one that was set aside is not set aside again");
    let observed = found.observe(&deployment(json!({"model": "digits"})), &BTreeMap::new(), &BTreeMap::new());
    assert!(observed.revisions[SET_ASIDE].is_aside);
    assert_eq!(observed.revisions[SHORT].pods.len(), 3);
}

#[test]
fn the_service_selects_the_uid_that_the_pods_carry_and_none_while_they_carry_two() {
    let set = set();
    let earlier = |name: &str| {
        let mut pod = pod_of(&set, name);
        pod.metadata.labels.get_or_insert_default().insert(DEPLOYMENT_UID_LABEL.into(), "an-earlier".into());
        pod
    };
    let uid = |pods: Vec<Pod>| found(&set, pods).pods_uid();
    assert_eq!(uid(vec![]).as_deref(), Some("uid-of-md"));
    assert_eq!(uid(vec![pod_of(&set, "a"), pod_of(&set, "b")]).as_deref(), Some("uid-of-md"));
    assert_eq!(uid(vec![earlier("a")]).as_deref(), Some("an-earlier"), "it was taken over and serves on");
    assert_eq!(uid(vec![earlier("a"), pod_of(&set, "b")]), None);
    // as an earlier release made them, by Deployments whose ReplicaSets were orphaned
    let without = |name: &str| {
        let mut pod = pod_of(&set, name);
        pod.metadata.labels.get_or_insert_default().remove(DEPLOYMENT_UID_LABEL);
        pod
    };
    assert_eq!(uid(vec![without("a")]), None, "it serves on");
    assert_eq!(uid(vec![pod_of(&set, "b"), without("a")]), None);
}

#[test]
fn pods_that_no_replica_set_will_take_over_serve_until_others_do_and_then_leave() {
    // taken over from an earlier ModelDeployment, and then the ReplicaSet was deleted with --cascade=orphan
    let orphan = |name: &str, uid: &str| {
        let mut pod = pod_of(&set(), name);
        pod.metadata.owner_references = None;
        pod.metadata.labels.get_or_insert_default().insert(DEPLOYMENT_UID_LABEL.into(), uid.into());
        pod
    };
    let revision: ControllerRevision = serde_json::from_value(
        json!({"metadata": {"name": format!("digits-{SHORT}"), "labels": {"modelwright.dev/revision": SHORT}}, "revision": 1}),
    )
    .unwrap();
    let found = |sets: Vec<ReplicaSet>| {
        Found {
            revisions: vec![Arc::new(revision.clone())],
            replica_sets: sets.into_iter().map(Arc::new).collect(),
            pods: [
                orphan(&format!("digits-{SHORT}-aaaaa"), "an-earlier"),
                orphan(&format!("digits-{SHORT}-bbbbb"), "uid-of-md"),
                orphan(&format!("letters-{SHORT}-ccccc"), "another"),
            ]
            .map(Arc::new)
            .into(),
            ..Found::default()
        }
        .owned_by(Some("uid-of-md"))
    };
    let expected: BTreeMap<_, _> = [
        (format!("digits-{SHORT}-aaaaa"), Place::Aside(SHORT.to_owned())),
        (format!("digits-{SHORT}-bbbbb"), Place::Revision(SHORT.to_owned())),
    ]
    .into();
    for sets in [vec![], vec![set()]] {
        let found = found(sets);
        assert_eq!(places(&found), expected, "another's is not ours");
        assert_eq!(found.pods_uid(), None, "the Service goes on sending to both");
        let strays: Vec<_> = found.strays().map(|(pod, _)| pod.name_any()).collect();
        assert_eq!(strays, [format!("digits-{SHORT}-aaaaa")], "so that garbage collection knows it");
    }
}

#[test]
fn a_replica_set_of_a_deployment_of_an_earlier_release_is_another_revision_that_gives_way() {
    // `kubectl delete deployment --cascade=orphan`; its selector has a label that no template of ours has
    let mut old = serde_json::to_value(set()).unwrap();
    old["metadata"]["name"] = format!("digits-{SHORT}-6d5f8b7c9d").into();
    old["metadata"]["uid"] = "uid-of-old".into();
    old["metadata"]["ownerReferences"] = json!([]);
    let old: ReplicaSet = serde_json::from_value(old).unwrap();
    let pod = pod_of(&old, "old");
    let found = Found { replica_sets: vec![Arc::new(old)], pods: vec![Arc::new(pod)], ..Found::default() }
        .owned_by(Some("uid-of-md"));
    assert!(found.replica_set(SHORT).is_none(), "its template is not ours to put back");
    let observed = found.observe(
        &deployment(json!({"model": "digits"})),
        &[(SHORT.to_owned(), data(1))].into(),
        &BTreeMap::new(),
    );
    let revision = &observed.revisions["6d5f8b7c9d"];
    assert_eq!(revision.pods.len(), 1);
    assert!(!revision.drain_timeout.is_zero(), "it drains");
}

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
    let look = async |server: &mut crate::scenario::ApiServer, set: &ReplicaSet, pods: Vec<&Pod>| {
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
        look(&mut server, &by_hand, vec![&old, &stray]).await;
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
        look(&mut server, &mended, vec![&old, &stray]).await;
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
async fn a_revision_that_somebody_hid_under_another_label_is_found_and_gets_it_back() {
    let object = paused();
    let (mut context, mut server) = context();
    let World { mut revision, short } = made(&object, &mut context, true);
    let name = format!("digits-{short}");
    let label = "modelwright.dev/deployment";
    revision.metadata.labels.get_or_insert_default().insert(label.into(), "other".into());
    context.caches.revisions = Cache::fixed(vec![revision.clone()]);
    play(reconciled(&object, context), async {
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
