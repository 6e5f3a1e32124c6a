//! Templates of ReplicaSets as the API server admitted them and as somebody changed them, and whose pods are whose.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::{
    apps::v1::{ControllerRevision, ReplicaSet},
    core::v1::Pod,
};
use kube::ResourceExt as _;
use modelwright::{
    api::name::{ADMITTED_ANNOTATION, DEPLOYMENT_UID_LABEL, REPAIR_ANNOTATION, SET_ASIDE_ANNOTATION},
    serving::{
        build::{Owner, build_replica_set},
        fetch::{Children, Place},
        rollout::SET_ASIDE,
        template::{self, Repair},
    },
};
use serde_json::{Value, json};

use crate::deployment_fixtures::{data, deployment, valid};

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

pub fn changed(set: &ReplicaSet, change: impl Fn(&mut Value)) -> ReplicaSet {
    let mut value = serde_json::to_value(set).unwrap();
    change(&mut value["spec"]["template"]);
    serde_json::from_value(value).unwrap()
}

/// What a policy does: it raises a request and adds a label.
pub fn policy(template: &mut Value) {
    template["spec"]["containers"][0]["resources"]["requests"]["memory"] = "192Mi".into();
    template["metadata"]["labels"]["team"] = "a".into();
}

pub fn add_node_selector(template: &mut Value) {
    template["spec"]["nodeSelector"] = json!({"example.com/no-such": "node"});
}

/// A pod of a ReplicaSet's template as it is, as admission leaves it.
pub fn pod_of(set: &ReplicaSet, name: &str) -> Pod {
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
fn children(set: &ReplicaSet, pods: impl IntoIterator<Item = Pod>) -> Children {
    Children {
        replica_sets: vec![Arc::new(set.clone())],
        pods: pods.into_iter().map(Arc::new).collect(),
        ..Children::default()
    }
    .owned_by(Some("uid-of-md"))
}

fn places(children: &Children) -> BTreeMap<String, Place> {
    children.pods.iter().map(|pod| (pod.name_any(), children.place(pod).unwrap())).collect()
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
    let children = children(
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
    assert_eq!(places(&children), expected.map(|(name, place)| (name.to_owned(), place)).into());
    let strays: Vec<_> = children.strays().map(|(pod, _)| pod.name_any()).collect();
    assert_eq!(strays, ["of-nothing-else"], "one that was set aside is not set aside again");
    let observed =
        children.observe(&deployment(json!({"model": "digits"})), &BTreeMap::new(), &BTreeMap::new());
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
    let uid = |pods: Vec<Pod>| children(&set, pods).pods_uid();
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
    let children = |sets: Vec<ReplicaSet>| {
        Children {
            revisions: vec![Arc::new(revision.clone())],
            replica_sets: sets.into_iter().map(Arc::new).collect(),
            pods: [
                orphan(&format!("digits-{SHORT}-aaaaa"), "an-earlier"),
                orphan(&format!("digits-{SHORT}-bbbbb"), "uid-of-md"),
                orphan(&format!("letters-{SHORT}-ccccc"), "another"),
            ]
            .map(Arc::new)
            .into(),
            ..Children::default()
        }
        .owned_by(Some("uid-of-md"))
    };
    let expected: BTreeMap<_, _> = [
        (format!("digits-{SHORT}-aaaaa"), Place::Aside(SHORT.to_owned())),
        (format!("digits-{SHORT}-bbbbb"), Place::Revision(SHORT.to_owned())),
    ]
    .into();
    for sets in [vec![], vec![set()]] {
        let children = children(sets);
        assert_eq!(places(&children), expected, "another's is not ours");
        assert_eq!(children.pods_uid(), None, "the Service goes on sending to both");
        let strays: Vec<_> = children.strays().map(|(pod, _)| pod.name_any()).collect();
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
    let children =
        Children { replica_sets: vec![Arc::new(old)], pods: vec![Arc::new(pod)], ..Children::default() }
            .owned_by(Some("uid-of-md"));
    assert!(children.replica_set(SHORT).is_none(), "its template is not ours to put back");
    let observed = children.observe(
        &deployment(json!({"model": "digits"})),
        &[(SHORT.to_owned(), data(1))].into(),
        &BTreeMap::new(),
    );
    let revision = &observed.revisions["6d5f8b7c9d"];
    assert_eq!(revision.pods.len(), 1);
    assert!(!revision.drain_timeout.is_zero(), "it drains");
}
