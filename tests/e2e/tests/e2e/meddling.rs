//! D9: what people, policies and the cluster itself do around a ModelDeployment stops only what it is about, and is told.

use std::time::Duration;

use k8s_openapi::api::{
    apps::v1::{ControllerRevision, ReplicaSet},
    core::v1::Service,
};
use kube::{ResourceExt as _, api::DeleteParams};
use modelwright::api::{
    condition::{PROMOTED, READY, STALLED},
    model_deployment::ModelDeployment,
    name,
};
use serde_json::{Value, json};

use crate::harness::{
    Space,
    images::repository,
    kubectl::{kubectl, run},
    load::Load,
    onnx::Affine,
    resources::Observed as _,
};

const AFFINE: Affine = Affine { factor: 2.0, summand: 1.0 };
const GROUP: &str = "admissionregistration.k8s.io/v1";

fn stable(md: &ModelDeployment) -> String {
    let stable = md.status.as_ref().and_then(|status| status.stable.as_ref());
    stable.map_or(String::new(), |stable| stable.revision.clone())
}

fn reason(md: &ModelDeployment, type_: &str) -> String {
    let mut conditions = md.status.iter().flat_map(|status| &status.conditions);
    conditions.find(|condition| condition.type_ == type_).map_or(String::new(), |found| found.reason.clone())
}

fn ports(service: &Service) -> Vec<i32> {
    let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    ports.map(|port| port.port).collect()
}

fn selector(service: &Service) -> Value {
    json!(service.spec.as_ref().and_then(|spec| spec.selector.clone()))
}

/// What was told of a refusal goes with it, a moment after what was refused was written.
async fn serves_again(space: &Space) -> ModelDeployment {
    space
        .until("digits", "as if nothing had been", 90, |md: &ModelDeployment| {
            md.is(PROMOTED) && md.is(READY) && !md.is(STALLED)
        })
        .await
}

/// Puts a policy for the Services of this namespace in force, and gives what takes it out of force again.
async fn in_force(space: &Space, kind: &str, mut spec: Value) -> String {
    let name = format!("e2e-{}", space.name);
    let rules = json!([{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
        "resources": ["services"]}]);
    spec["failurePolicy"] = "Fail".into();
    spec["matchConstraints"] = json!({"resourceRules": rules});
    let policy = json!({"apiVersion": GROUP, "kind": kind, "metadata": {"name": name}, "spec": spec});
    let selector = json!({"matchLabels": {"kubernetes.io/metadata.name": space.name}});
    let mut binding = json!({"apiVersion": GROUP, "kind": format!("{kind}Binding"), "metadata": {"name": name},
        "spec": {"policyName": name, "matchResources": {"namespaceSelector": selector}}});
    if kind == "ValidatingAdmissionPolicy" {
        binding["spec"]["validationActions"] = json!(["Deny"]);
    }
    let both = json!({"apiVersion": "v1", "kind": "List", "items": [policy, binding]}).to_string();
    run("kubectl", &["apply", "--filename", "-"], &both).await.expect_success();
    both
}

/// Waits until a Service, made for a trial only, comes to what a policy makes of it: nothing announces that.
async fn until_tried(space: &Space, holds: impl Fn(&str) -> bool) {
    let mut arguments = vec!["--namespace", &space.name, "create", "service", "clusterip", "trial"];
    arguments.extend(["--tcp=8080:8080", "--dry-run=server", "-o", "json"]);
    let limit = tokio::time::Instant::now() + Duration::from_mins(1);
    loop {
        let tried = kubectl(&arguments).await;
        if holds(&format!("{}{}", tried.stdout, tried.stderr)) {
            return;
        }
        assert!(tokio::time::Instant::now() < limit, "the policy does not hold");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Field case 35, made so that the Service cannot be put back: repair and rollouts go on.
pub async fn a_service_that_cannot_be_written_stops_neither_repair_nor_rollouts(space: Space) {
    space.import("digits", AFFINE).await;
    let served = space.serve("digits", "digits", json!({"replicas": 2})).await;
    let expression = "object.spec.ports.all(port, port.port != 8080)";
    let spec = json!({"validations": [{"expression": expression, "message": "no port 8080 here"}]});
    let policy = in_force(&space, "ValidatingAdmissionPolicy", spec).await;
    until_tried(&space, |said| said.contains("no port 8080 here")).await;
    let by_hand = r#"[{"op":"replace","path":"/spec/ports/0/port","value":8081}]"#;
    kubectl(&["--namespace", &space.name, "patch", "service", "digits", "--type=json", "--patch", by_hand])
        .await
        .expect_success();
    let told = space
        .until("digits", "told of the refusal", 60, |md: &ModelDeployment| reason(md, STALLED) == "Refused")
        .await;
    assert!(told.says(STALLED).contains("no port 8080 here"), "{}", told.says(STALLED));

    let set = name::revision("digits", &stable(&served));
    let before = space.api::<ReplicaSet>().get(&set).await.expect("its ReplicaSet is there").uid();
    space.api::<ReplicaSet>().delete(&set, &DeleteParams::background()).await.expect("it can be deleted");
    space
        .until(&set, "made again", 120, |set: &ReplicaSet| {
            let ready = set.status.as_ref().and_then(|status| status.ready_replicas);
            set.uid() != before && ready == Some(2)
        })
        .await;
    space.patch::<ModelDeployment>("digits", json!({"spec": {"serving": {"restart": "meanwhile"}}})).await;
    let rolled = space
        .until("digits", "at another revision", 120, |md: &ModelDeployment| stable(md) != stable(&served))
        .await;
    assert_eq!(reason(&rolled, STALLED), "Refused", "and the refusal is still told");

    run("kubectl", &["delete", "--filename", "-"], &policy).await.expect_success();
    until_tried(&space, |said| !said.contains("no port 8080 here")).await;
    // a change of the Service makes the operator look at once
    kubectl(&["--namespace", &space.name, "label", "service", "digits", "seen=x"]).await.expect_success();
    space.until("digits", "with its port", 90, |service: &Service| ports(service) == [8080, 9000]).await;
    let mended = serves_again(&space).await;
    space.until_reachable(&mended).await;
    space.predict(&mended, AFFINE).await;
}

/// Field cases 36 and 38: what others put into our objects, or take off them, is put right, and stops no rollout.
pub async fn what_others_put_into_our_objects_is_taken_out(space: Space) {
    space.import("digits", AFFINE).await;
    space.serve("digits", "digits", json!({"replicas": 2})).await;
    let whole = space.api::<Service>().get("digits").await.expect("the Service is there");
    for change in [
        json!({"spec": {"selector": {"added-by-hand": "yes"}}}),
        json!({"spec": {"selector": {"modelwright.dev/deployment": "other"}}}),
        json!({"spec": {"ports": [{"name": "http", "port": 8081}, {"name": "grpc", "port": 9000}]}}),
        json!({"spec": {"publishNotReadyAddresses": true, "sessionAffinity": "ClientIP"}}),
    ] {
        space.patch::<Service>("digits", change.clone()).await;
        let mended = space
            .until("digits", &format!("without {change}"), 30, |service: &Service| {
                let spec = service.spec.clone().unwrap_or_default();
                selector(service) == selector(&whole)
                    && ports(service) == ports(&whole)
                    && spec.publish_not_ready_addresses != Some(true)
                    && spec.session_affinity.as_deref() == Some("None")
            })
            .await;
        assert_eq!(mended.uid(), whole.uid(), "it is the same Service");
    }
    let md = space
        .until("digits", "Ready again", 60, |md: &ModelDeployment| md.is(READY) && md.is(PROMOTED))
        .await;
    space.until_reachable(&md).await;
    let mut load = Load::start(&space.endpoint(&md).await);
    load.answers(50).await;

    for label in ["modelwright.dev/deployment", "app.kubernetes.io/managed-by"] {
        let object = name::revision("digits", &stable(&space.deployment("digits").await));
        let off = json!({"metadata": {"labels": {label: null}}});
        space.patch::<ReplicaSet>(&object, off.clone()).await;
        space.patch::<ControllerRevision>(&object, off).await;
        let before = stable(&space.deployment("digits").await);
        space
            .patch::<ModelDeployment>(
                "digits",
                json!({"spec": {"serving": {"restart": label.len().to_string()}}}),
            )
            .await;
        space
            .until("digits", "promoted with another revision", 120, |md: &ModelDeployment| {
                md.is(PROMOTED) && stable(md) != before
            })
            .await;
        load.answers(50).await;
    }
    load.stop().await.assert_nothing_lost(150);
}

/// Field case 36, made so that the Service cannot be put back: nobody says Ready while no client gets through.
pub async fn ready_is_never_said_while_a_policy_keeps_the_service_without_endpoints(space: Space) {
    space.import("digits", AFFINE).await;
    space.serve("digits", "digits", json!({"replicas": 1})).await;
    let expression = r#"[JSONPatch{op: "add", path: "/spec/selector/team", value: "a"}]"#;
    let spec = json!({"reinvocationPolicy": "Never",
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}]});
    let policy = in_force(&space, "MutatingAdmissionPolicy", spec).await;
    until_tried(&space, |said| said.contains(r#""team""#)).await;
    kubectl(&["--namespace", &space.name, "label", "service", "digits", "seen=x"]).await.expect_success();
    let told = space
        .until("digits", "told", 60, |md: &ModelDeployment| {
            reason(md, STALLED) == "Overruled" && !md.is(READY)
        })
        .await;
    assert!(told.says(STALLED).contains("spec.selector"), "{}", told.says(STALLED));
    assert!(told.says(READY).contains("no EndpointSlice of the Service names it"), "{}", told.says(READY));
    run("kubectl", &["delete", "--filename", "-"], &policy).await.expect_success();
    until_tried(&space, |said| !said.contains(r#""team""#)).await;
    kubectl(&["--namespace", &space.name, "label", "service", "digits", "seen=y", "--overwrite"])
        .await
        .expect_success();
    let mended = serves_again(&space).await;
    space.until_reachable(&mended).await;
    space.predict(&mended, AFFINE).await;
}

/// `kubectl replace --force`: the next of the name waits for what is left of the one before, and says no untrue word.
pub async fn a_deployment_deleted_and_created_at_once_serves_again(space: Space) {
    space.import("digits", AFFINE).await;
    let before = space.serve("digits", "digits", json!({"replicas": 2})).await;
    let old: Vec<_> = space.pods("digits").await.iter().filter_map(kube::ResourceExt::uid).collect();
    let manifest = json!({"apiVersion": "modelwright.dev/v1alpha1", "kind": "ModelDeployment",
        "metadata": {"name": "digits", "namespace": space.name}, "spec": before.spec});
    run("kubectl", &["replace", "--force", "--filename", "-"], &manifest.to_string()).await.expect_success();
    let after = space
        .until("digits", "promoted", 120, |md: &ModelDeployment| {
            assert_ne!(md.uid(), before.uid(), "it is another one");
            for type_ in [READY, PROMOTED, STALLED] {
                assert_ne!(reason(md, type_), "NameTaken", "{}", md.says(type_));
            }
            md.is(PROMOTED) && md.is(READY)
        })
        .await;
    let pods = space.pods("digits").await;
    let ready = pods.iter().filter(|pod| crate::harness::fixtures::is_ready(pod));
    assert!(
        ready.filter_map(kube::ResourceExt::uid).any(|uid| !old.contains(&uid)),
        "pods of its own are ready"
    );
    space.until_reachable(&after).await;
    space.predict(&after, AFFINE).await;
}

/// The cluster's controllers, stopped as a process is; they go on when this is dropped.
struct Controllers(String);

impl Controllers {
    /// `None` where the control plane cannot be reached from here.
    async fn stopped() -> Option<Self> {
        std::env::var_os("CONTAINERD_ADDRESS")?;
        let status = repository().join("tests/cluster/status");
        let told = run(status.to_str()?, &[], "").await.expect_success();
        let line = told.lines().find(|line| line.starts_with("kube-controller-manager"))?;
        let pid = line.rsplit_once("pid ")?.1.trim().to_owned();
        run("kill", &["-STOP", &pid], "").await.expect_success();
        Some(Self(pid))
    }
}

impl Drop for Controllers {
    fn drop(&mut self) {
        let resumed = std::process::Command::new("kill").args(["-CONT", &self.0]).status();
        assert!(resumed.is_ok_and(|status| status.success()), "the controllers stay stopped: pid {}", self.0);
    }
}

/// Alone: an outage of the controllers that is longer than the deadline is no fault of a revision.
pub async fn an_outage_of_the_clusters_controllers_rolls_nothing_back(space: Space) {
    space.import("digits", AFFINE).await;
    let strategy = json!({"rollingUpdate": {"progressDeadline": "30s"}});
    let before = space.serve("digits", "digits", json!({"replicas": 1, "strategy": strategy})).await;
    let Some(controllers) = Controllers::stopped().await else {
        println!("not tried: the control plane cannot be reached from here");
        return;
    };
    space.patch::<ModelDeployment>("digits", json!({"spec": {"serving": {"restart": "during"}}})).await;
    let waits = |md: &ModelDeployment| reason(md, PROMOTED) == "WaitingForCluster";
    space.until("digits", "said to wait for the cluster", 30, waits).await;
    // longer than the deadline: that it is not judged is what nothing announces
    tokio::time::sleep(Duration::from_secs(45)).await;
    let during = space.deployment("digits").await;
    assert!(waits(&during) && during.is(READY), "{}", during.says(PROMOTED));
    drop(controllers);
    let after = space
        .until("digits", "promoted with another revision", 120, |md: &ModelDeployment| {
            assert!(!md.is(STALLED), "{}", md.says(STALLED));
            md.is(PROMOTED) && stable(md) != stable(&before)
        })
        .await;
    space.predict(&after, AFFINE).await;
}
