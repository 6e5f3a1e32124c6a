//! D8: what people, tools and policies do to the ReplicaSets of a ModelDeployment stops no rollout.

use k8s_openapi::api::{apps::v1::ReplicaSet, core::v1::Pod};
use kube::{ResourceExt as _, api::DeleteParams};
use modelwright::api::{condition::PROMOTED, model_deployment::ModelDeployment, name};
use serde_json::{Value, json};

use crate::{
    harness::{
        Space,
        kubectl::{kubectl, run},
        load::Load,
        onnx::Affine,
        resources::{Health, HealthOf as _, Observed as _},
    },
    steady,
};

const AFFINE: Affine = Affine { factor: 2.0, summand: 1.0 };

fn revision(md: &ModelDeployment) -> String {
    let stable = md.status.as_ref().and_then(|status| status.stable.as_ref());
    stable.expect("it has a stable revision").revision.clone()
}

/// The ReplicaSet of the stable revision.
async fn live(space: &Space) -> ReplicaSet {
    let md = space.deployment("digits").await;
    let name = name::revision("digits", &revision(&md));
    space.api().get(&name).await.expect("its ReplicaSet is there")
}

/// Makes another revision of the same model, and waits until it is the stable one.
async fn roll(space: &Space, word: &str) -> ModelDeployment {
    let before = revision(&space.deployment("digits").await);
    space.patch::<ModelDeployment>("digits", json!({"spec": {"serving": {"restart": word}}})).await;
    let after = space
        .until("digits", "promoted with another revision", 120, |md: &ModelDeployment| {
            md.is(PROMOTED) && revision(md) != before
        })
        .await;
    after.assert_health(Health::TARGET_IS_STABLE);
    after
}

/// UIDs of the pods that are not on their way out.
async fn alive(space: &Space) -> Vec<String> {
    let pods = space.pods("digits").await;
    let alive = pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none());
    let mut alive: Vec<_> = alive.filter_map(kube::ResourceExt::uid).collect();
    alive.sort();
    alive
}

/// What many do, and tools such as Reloader for them: restart the Deployments of a namespace.
pub async fn a_restart_of_deployments_finds_nothing_and_stops_no_rollout(space: Space) {
    space.import("digits", AFFINE).await;
    space.serve("digits", "digits", json!({"replicas": 2})).await;
    let pods = alive(&space).await;
    let restart = async |what: &str| {
        let output = kubectl(&["--namespace", &space.name, "rollout", "restart", what]).await;
        format!("{}{}", output.stdout, output.stderr)
    };
    let said = restart("deployment").await;
    assert!(said.contains("No resources found"), "{said}");
    let set = live(&space).await;
    let said = restart(&format!("replicaset/{}", set.name_any())).await;
    assert!(said.contains("not supported"), "{said}");
    let controlled = set.owner_references().iter().find(|owner| owner.controller == Some(true));
    assert_eq!(controlled.map(|owner| owner.kind.as_str()), Some("ModelDeployment"));
    assert_eq!(alive(&space).await, pods, "no pod was made or ended");
    space.deployment("digits").await.assert_health(Health::TARGET_IS_STABLE);
    let after = roll(&space, "by the spec").await;
    space.predict(&after, AFFINE).await;
}

/// Alone: fields are put into a child's template while the operator is away, and pods are born of it.
pub async fn a_template_changed_by_hand_is_put_back_and_the_pods_born_of_it_leave(space: Space) {
    space.import("digits", AFFINE).await;
    let served = space.serve("digits", "digits", json!({"replicas": 2})).await;
    let set = live(&space).await.name_any();
    let mut load = Load::start(&space.endpoint(&served).await);
    load.answers(50).await;
    let operator = space.world.operator();
    operator.stop().await;

    // One that gets ready and takes traffic, and one that no node takes.
    let before = alive(&space).await;
    let variable = json!([{"name": "serve", "env": [{"name": "BY_HAND", "value": "1"}]}]);
    let changes = [
        json!({"spec": {"template": {"spec": {"containers": variable}}}}),
        json!({"spec": {"template": {"spec": {"nodeSelector": {"example.com/no-such": "node"}}}}}),
    ];
    let mut strays: Vec<String> = Vec::new();
    for (change, is_ready) in changes.iter().zip([true, false]) {
        let patch = change.to_string();
        kubectl(&["--namespace", &space.name, "patch", "replicaset", &set, "--patch", &patch])
            .await
            .expect_success();
        let victim = space.pods("digits").await.into_iter().find(|pod| {
            pod.metadata.deletion_timestamp.is_none() && before.contains(&pod.uid().unwrap_or_default())
        });
        let victim = victim.expect("an old pod is there").name_any();
        space.api::<Pod>().delete(&victim, &DeleteParams::default()).await.expect("it can be deleted");
        space.until_gone::<Pod>(&victim, 60).await;
        let stray = loop {
            let pods = space.pods("digits").await;
            let born = |pod: &&Pod| {
                pod.metadata.deletion_timestamp.is_none()
                    && !before.contains(&pod.uid().unwrap_or_default())
                    && !strays.contains(&pod.name_any())
            };
            if let Some(stray) = pods.iter().find(born) {
                break stray.name_any();
            }
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        };
        space
            .until(&stray, "as the changed template makes it", 90, |pod: &Pod| {
                let status = pod.status.clone().unwrap_or_default();
                let (type_, wanted) = if is_ready { ("Ready", "True") } else { ("PodScheduled", "False") };
                let mut conditions = status.conditions.iter().flatten();
                conditions.any(|condition| condition.type_ == type_ && condition.status == wanted)
            })
            .await;
        strays.push(stray);
    }

    operator.scale(1).await;
    for stray in &strays {
        space.until_gone::<Pod>(stray, 90).await;
    }
    let mended = space
        .until("digits", "mended", 90, |md: &ModelDeployment| {
            let status = md.status.clone().unwrap_or_default();
            md.is(PROMOTED) && status.replicas == Some(2) && status.ready_replicas == Some(2)
        })
        .await;
    mended.assert_health(Health::TARGET_IS_STABLE);
    let by_hand = |object: &Value| {
        let text = object.to_string();
        text.contains("BY_HAND") || text.contains("no-such")
    };
    let template = live(&space).await.spec.and_then(|spec| spec.template);
    assert!(!by_hand(&json!(template.and_then(|template| template.spec))), "the template is put back");
    for pod in space.pods("digits").await {
        assert!(!by_hand(&json!(pod.spec)), "{} is left", pod.name_any());
    }
    load.answers(50).await;
    let after = roll(&space, "after it").await;
    load.answers(50).await;
    load.stop().await.assert_nothing_lost(150);
    space.predict(&after, AFFINE).await;
}

/// A policy of the cluster that changes the ReplicaSets of one namespace.
fn policy(space: &str, memory: &str) -> String {
    let name = format!("e2e-{space}");
    let expression = format!(
        r#"Object{{spec: Object.spec{{template: Object.spec.template{{
            metadata: Object.spec.template.metadata{{labels: {{"team": "a"}}}},
            spec: Object.spec.template.spec{{containers: [Object.spec.template.spec.containers{{
                name: "serve",
                resources: Object.spec.template.spec.containers.resources{{requests: {{"memory": "{memory}"}}}}
            }}]}}}}}}}}"#
    );
    let rules = json!([{"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
        "resources": ["replicasets"]}]);
    let group = "admissionregistration.k8s.io/v1";
    let policy = json!({
        "apiVersion": group, "kind": "MutatingAdmissionPolicy", "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail", "reinvocationPolicy": "Never", "matchConstraints": {"resourceRules": rules},
            "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}],
        },
    });
    let selector = json!({"matchLabels": {"kubernetes.io/metadata.name": space}});
    let binding = json!({
        "apiVersion": group, "kind": "MutatingAdmissionPolicyBinding", "metadata": {"name": name},
        "spec": {"policyName": name, "matchResources": {"namespaceSelector": selector}},
    });
    json!({"apiVersion": "v1", "kind": "List", "items": [policy, binding]}).to_string()
}

async fn apply_policy(space: &Space, memory: &str) {
    run("kubectl", &["apply", "--filename", "-"], &policy(&space.name, memory)).await.expect_success();
    // A policy holds some time after it was applied, and nothing announces that.
    let set = live(space).await.name_any();
    let probe = [
        "--namespace",
        &space.name,
        "patch",
        "replicaset",
        &set,
        "--type=merge",
        r#"--patch={"metadata":{"labels":{"probe":"x"}}}"#,
        "--dry-run=server",
        "-o",
        "yaml",
    ];
    let limit = tokio::time::Instant::now() + std::time::Duration::from_mins(1);
    while !kubectl(&probe).await.expect_success().contains(memory) {
        assert!(tokio::time::Instant::now() < limit, "the policy does not hold");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}

/// A policy that raises requests and adds a label, at creation and at every update, and changes later.
pub async fn a_policy_that_changes_templates_is_not_fought_and_rollouts_complete(space: Space) {
    space.import("digits", AFFINE).await;
    space.serve("digits", "digits", json!({"replicas": 1})).await;
    apply_policy(&space, "96Mi").await;
    let after = roll(&space, "under the policy").await;
    let shown = json!(live(&space).await.spec).to_string();
    assert!(shown.contains("96Mi") && shown.contains(r#""team":"a""#), "the policy changed it: {shown}");
    space.predict(&after, AFFINE).await;
    steady::nothing_changes(&space).await;
    apply_policy(&space, "112Mi").await;
    steady::nothing_changes(&space).await;
    roll(&space, "under the changed policy").await;
    let shown = json!(live(&space).await.spec).to_string();
    assert!(shown.contains("112Mi"), "{shown}");
    run("kubectl", &["delete", "--filename", "-"], &policy(&space.name, "112Mi")).await.expect_success();
    roll(&space, "without the policy").await;
}
