//! A7: the chart: upgrades, uninstalling, stores, roles.

use std::{fs, path::Path, time::Duration};

use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::{PersistentVolumeClaim, Pod},
        networking::v1::NetworkPolicy,
        rbac::v1::RoleBinding,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, ResourceExt as _,
    api::{ListParams, Patch, PatchParams},
};
use modelwright::api::{
    condition::{READY, STALLED},
    model::Model,
    model_deployment::ModelDeployment,
    model_version::ModelVersion,
};
use serde_json::json;

use crate::harness::{
    Space,
    fixtures::{PASSWORD, USER},
    images::{copy_image, repository},
    kubectl::run,
    load::Load,
    onnx::Affine,
    operator::may,
    release::{self, NAME, NAMESPACE},
    resources::{Health, HealthOf as _, Observed as _},
    wait,
};

const FIRST: Affine = Affine { factor: 2.0, summand: 1.0 };
const SECOND: Affine = Affine { factor: -1.0, summand: 0.5 };

/// What each of the chart's roles for people may do.
pub async fn the_roles_for_people_allow_what_their_names_say(space: Space) {
    for role in ["viewer", "editor", "rollout-operator"] {
        space
            .create_object::<RoleBinding>(json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": role},
                "roleRef": {
                    "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": format!("{NAME}-{role}"),
                },
                "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": format!("e2e-{role}")}],
            }))
            .await;
    }
    let group = "modelwright.dev";
    for (verb, resource, viewer, editor, rollout_operator) in [
        ("get", "models", true, true, false),
        ("watch", "modelversions", true, true, false),
        ("list", "modeldeployments", true, true, true),
        ("create", "models", false, true, false),
        ("delete", "modeldeployments", false, true, false),
        ("create", "modelversions", false, false, false),
        ("patch", "modelversions", false, true, false),
        ("patch", "modeldeployments", false, true, false),
    ] {
        for (role, allowed) in
            [("viewer", viewer), ("editor", editor), ("rollout-operator", rollout_operator)]
        {
            let what = [verb, &format!("{resource}.{group}"), "--namespace", &space.name];
            assert_eq!(may(&format!("e2e-{role}"), &what).await, allowed, "{role}: {verb} {resource}");
        }
    }
    for (role, scale, act) in
        [("viewer", false, false), ("editor", true, false), ("rollout-operator", false, true)]
    {
        let user = format!("e2e-{role}");
        let subresource = async |verb: &str, subresource: &str| {
            let subresource = format!("--subresource={subresource}");
            let what = [verb, "modeldeployments.modelwright.dev", &subresource, "--namespace", &space.name];
            may(&user, &what).await
        };
        assert_eq!(subresource("patch", "scale").await, scale, "{role} scales");
        assert_eq!(subresource("patch", "status").await, act, "{role} acts on rollouts");
        assert!(!may(&user, &["get", "secrets", "--namespace", &space.name]).await, "{role} reads Secrets");
    }
}

/// An editor says which versions are kept, and changes nothing else of them; others are not held up.
pub async fn an_editor_keeps_a_version_and_changes_nothing_else_of_it(space: Space) {
    space.import("digits", FIRST).await;
    let editor = format!("{}-editor", space.name);
    space
        .create_object::<RoleBinding>(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "editor"},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": format!("{NAME}-editor"),
            },
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": editor}],
        }))
        .await;
    let command = async |user: &[&str], arguments: &[&str]| {
        let all = [arguments, &["--namespace", &space.name], user].concat();
        run("kubectl", &all, "").await
    };
    let (as_editor, as_admin) = (["--as", editor.as_str()], []);
    let annotate = ["annotate", "modelversion", "digits-v1"];
    let keep = "modelwright.dev/keep";
    for value in [format!("{keep}=true"), format!("{keep}=false"), format!("{keep}-")] {
        command(&as_editor, &[&annotate[..], &[&value, "--overwrite"]].concat()).await.expect_success();
    }
    command(&as_editor, &[&annotate[..], &[&format!("{keep}=true")]].concat()).await.expect_success();
    let before = space.version("digits-v1").await;
    assert_eq!(before.annotations().get(keep).map(String::as_str), Some("true"));

    let stamp = "modelwright.dev/selected-generation";
    let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "mine", "uid": "1"});
    for (change, word) in [
        (json!({"metadata": {"annotations": {stamp: "99"}}}), stamp),
        (json!({"metadata": {"annotations": {stamp: null}}}), stamp),
        (json!({"metadata": {"annotations": {"team": "a", keep: null}}}), "its annotation team"),
        (json!({"metadata": {"labels": {"team": "a"}}}), "its labels"),
        (json!({"metadata": {"labels": null}}), "its labels"),
        (json!({"metadata": {"finalizers": ["example.com/mine"]}}), "its finalizers"),
        (json!({"metadata": {"ownerReferences": [owner]}}), "its owners"),
        (json!({"metadata": {"ownerReferences": null}}), "its owners"),
        (json!({"spec": {"modelDigest": "0".repeat(64)}}), "spec"),
    ] {
        let change = change.to_string();
        let patch = ["patch", "modelversion", "digits-v1", "--type", "merge", "--patch", &change];
        let refused = command(&as_editor, &patch).await;
        assert!(!refused.success, "{change} was accepted");
        let said = refused.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(word), "{word} is not in {said}");
        let way_out = said.contains("change the Model instead");
        assert!(way_out, "{said}");
    }
    assert_eq!(space.version("digits-v1").await.metadata, before.metadata, "nothing was changed");

    // Administrators may, so that a backup can be restored, and the operator goes on stamping what is current.
    command(&as_admin, &[&annotate[..], &["team=a"]].concat()).await.expect_success();
    space.import_next("digits", "second.onnx", SECOND).await;
    let first = space.serve_file("digits.onnx", FIRST).await;
    space.patch::<Model>("digits", json!({"spec": {"source": {"uri": first}}})).await;
    space.ready_model("digits").await;
    let stamped = space.version("digits-v1").await;
    assert_ne!(
        stamped.annotations().get(stamp),
        before.annotations().get(stamp),
        "the operator stamps it again"
    );
    // In the foreground the garbage collector takes a finalizer off.
    let delete = ["delete", "modelversion", "digits-v2", "--cascade=foreground", "--timeout=60s"];
    command(&as_editor, &delete).await.expect_success();
    space.until_gone::<ModelVersion>("digits-v2", 60).await;
}

/// Policies are there for what the chart runs.
pub async fn network_policies_select_the_pods_of_the_release(space: Space) {
    let policies: Api<NetworkPolicy> = Api::namespaced(space.world.client.clone(), NAMESPACE);
    let pods: Api<Pod> = Api::namespaced(space.world.client.clone(), NAMESPACE);
    for (policy, ports) in
        [(NAME.to_owned(), &["admin"] as &[&str]), (format!("{NAME}-store"), &["registry", "push"])]
    {
        let spec = policies.get(&policy).await.expect("the policy is there").spec.expect("it has a spec");
        let selector = spec.pod_selector.and_then(|selector| selector.match_labels).unwrap_or_default();
        let labels: Vec<String> = selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let selected = pods.list(&ListParams::default().labels(&labels.join(","))).await.expect("a list");
        assert!(!selected.items.is_empty(), "{policy} selects no pod");
        let allowed = json!(spec.ingress);
        let expected: Vec<_> = ports.iter().map(|port| json!({"port": port, "protocol": "TCP"})).collect();
        assert_eq!(allowed[0]["ports"], json!(expected), "{policy}");
    }
}

/// Alone: an older chart's definitions are upgraded; uninstalling keeps them, and what serves goes on.
pub async fn upgrading_renews_the_crds_and_uninstalling_keeps_them_and_what_serves(space: Space) {
    space.import("digits", FIRST).await;
    let before = space.serve("digits", "digits", json!({})).await;
    let pods: Vec<_> = uids(&space).await;
    let endpoint = space.endpoint(&before).await;
    let mut load = Load::start(&endpoint);
    load.answers(50).await;
    let definitions: Api<CustomResourceDefinition> = Api::all(space.world.client.clone());
    let shortnames = async || {
        let definition = definitions.get("models.modelwright.dev").await.expect("the CRD is there");
        definition.spec.names.short_names.unwrap_or_default()
    };
    assert_eq!(shortnames().await, ["mdl"]);

    let older = std::env::temp_dir().join(format!("modelwright-chart-{}", space.world.run));
    let files = copy_chart(&older).await;
    let path = files.join("modelwright.dev_models.yaml");
    let text = fs::read_to_string(&path).expect("the chart holds the CRD");
    let changed = text.replace("- mdl", "- mdlold");
    assert_ne!(changed, text, "the definition names its short name");
    fs::write(&path, changed).expect("the copy can be changed");
    // One that nothing here uses yet: the API server takes what a definition does not know out of whatever is written
    // meanwhile, such as a status.
    without_field(&files.join("modelwright.dev_modeldeployments.yaml"), "scheduling");
    let images = &space.world.images;
    release::forget().await;
    release::install_chart(&older.to_string_lossy(), images, &[]).await.expect("the older chart installs");
    fs::remove_dir_all(&older).expect("the copy can be removed");
    assert_eq!(shortnames().await, ["mdlold"], "the older definitions are in place");
    release::install(images, &[]).await.expect("the chart upgrades");
    assert_eq!(shortnames().await, ["mdl"], "the definitions are upgraded with the chart");

    release::uninstall().await.expect("the chart can be uninstalled");
    assert_eq!(shortnames().await, ["mdl"], "the definitions stay");
    let operators: Api<Deployment> = Api::namespaced(space.world.client.clone(), NAMESPACE);
    wait::until_gone(&operators, NAME, Duration::from_mins(1)).await.expect("the operator is gone");
    assert!(space.model("digits").await.is(READY), "Models stay");
    load.answers(50).await;
    // An upgrade that brings a field and another runtime.
    let runtime = format!("{}-next", images.runtime);
    copy_image(&images.runtime, &runtime).await;
    release::install(images, &[&format!("images.runtime={runtime}")])
        .await
        .expect("the chart installs again");
    // A further Model is imported, so the new operator has looked around.
    space.import("letters", SECOND).await;
    let after = space.promoted("digits").await;
    after.assert_health(Health::TARGET_IS_STABLE);
    assert_eq!(pods, uids(&space).await, "no pod was restarted");
    assert_eq!(space.jobs().await.len(), 2, "nothing was imported again");
    load.stop().await.assert_nothing_lost(100);
    // What is asked for from now on is served by the new runtime, with the new field.
    let labels = json!({"podLabels": {"stage": "next"}});
    space.patch::<ModelDeployment>("digits", json!({"spec": {"scheduling": labels}})).await;
    space
        .until("digits", "a revision with the new runtime", 60, |md: &ModelDeployment| {
            let status = md.status.as_ref();
            status.is_some_and(|status| status.stable != after.status.as_ref().and_then(|s| s.stable.clone()))
        })
        .await;
    let images_of = |pod: &Pod| {
        pod.spec.iter().flat_map(|spec| &spec.containers).filter_map(|c| c.image.clone()).collect::<Vec<_>>()
    };
    let pods = space.pods("digits").await;
    let is_new = |pod: &Pod| {
        pod.metadata.labels.iter().flatten().any(|label| label == (&"stage".into(), &"next".into()))
    };
    assert!(pods.iter().any(|pod| images_of(pod).contains(&runtime) && is_new(pod)), "{runtime} is not used");
    release::install(images, &[]).await.expect("the chart can be set back");
}

/// Takes a field of the spec, and the rules that name it, out of a CustomResourceDefinition, as it was before the field
/// was there.
fn without_field(path: &Path, field: &str) {
    let text = fs::read_to_string(path).expect("the chart holds the CRD");
    let mut definition: serde_json::Value = serde_yaml::from_str(&text).expect("it is YAML");
    let schema =
        definition.pointer_mut("/spec/versions/0/schema/openAPIV3Schema").expect("the CRD has a schema");
    let names_it = |rule: &serde_json::Value| rule["rule"].as_str().is_some_and(|rule| rule.contains(field));
    if let Some(rules) = schema["x-kubernetes-validations"].as_array_mut() {
        rules.retain(|rule| !names_it(rule));
    }
    let spec = schema["properties"]["spec"].as_object_mut().expect("the CRD has a spec");
    let removed = spec["properties"].as_object_mut().and_then(|fields| fields.remove(field));
    assert!(removed.is_some(), "{field} is a field of the spec");
    spec.remove("x-kubernetes-validations");
    fs::write(path, serde_yaml::to_string(&definition).expect("it is YAML"))
        .expect("the copy can be changed");
}

async fn uids(space: &Space) -> Vec<Option<String>> {
    space.pods("digits").await.into_iter().map(|pod| pod.metadata.uid).collect()
}

/// Copies the chart with its links resolved; gives the folder of its CRDs.
async fn copy_chart(target: &Path) -> std::path::PathBuf {
    let chart = repository().join("charts/modelwright");
    let arguments = ["-rL", &chart.to_string_lossy(), &target.to_string_lossy()];
    run("cp", &arguments, "").await.expect_success();
    target.join("files/crds")
}

/// Alone: a registry of one's own, with a password, instead of the bundled store.
pub async fn artifacts_go_to_a_store_of_ones_own(space: Space) {
    let registry = space.world.fixtures.registry(true);
    let uri = format!("store.uri=oci://{}/artifacts", registry.host);
    space.world.release(&["store.bundled.enabled=false", &uri, "store.plainHttp=true"]).await;
    space
        .secret(
            "modelwright-store",
            &[("host", &registry.host), ("username", USER), ("password", PASSWORD), ("plainHttp", "true")],
        )
        .await;
    space.import("digits", FIRST).await;
    let artifact = space.version("digits-v1").await.spec.artifact;
    let expected =
        format!("oci://{}/artifacts/{}/digits@sha256:{}", registry.host, space.name, artifact.sha256);
    assert_eq!(artifact.uri, expected);
    let deployment = space.serve("digits", "digits", json!({})).await;
    space.predict(&deployment, FIRST).await;
    let stores: Api<Deployment> = Api::namespaced(space.world.client.clone(), NAMESPACE);
    assert!(stores.get_opt(&format!("{NAME}-store")).await.expect("it can be asked for").is_none());
}

/// Alone, B6: an object store, and a claim, instead of a registry; equal bytes have equal digests everywhere.
pub async fn artifacts_go_to_an_object_store_or_a_claim(space: Space) {
    space.import("registry", FIRST).await;
    let digest = space.version("registry-v1").await.spec.model_digest;

    let fixtures = &space.world.fixtures;
    let bucket = format!("{}-artifacts", space.name.trim_start_matches("e2e-"));
    // The server's buckets are its folders.
    fixtures.put(&format!("{bucket}/made"), Vec::new()).await;
    let host = fixtures.s3_host();
    let keys = [
        ("host", host.as_str()),
        ("accessKeyId", USER),
        ("secretAccessKey", PASSWORD),
        ("plainHttp", "true"),
    ];
    space.secret("modelwright-store", &keys).await;
    let bucket_uri = format!("store.uri=s3://{bucket}/models");
    space
        .create_object::<PersistentVolumeClaim>(json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "artifacts"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "64Mi"}}},
        }))
        .await;
    let stores = [
        ("bucket", bucket_uri.as_str(), format!("s3://{bucket}/models/{}/bucket/", space.name)),
        (
            "claim",
            "store.uri=pvc://artifacts/models",
            format!("pvc://artifacts/models/{}/claim/", space.name),
        ),
    ];
    let mut served = Vec::new();
    for (name, uri, prefix) in stores {
        space.world.release(&["store.bundled.enabled=false", uri]).await;
        space.import(name, FIRST).await;
        let made = space.version(&format!("{name}-v1")).await.spec;
        assert!(made.artifact.uri.starts_with(&prefix), "{} is not below {prefix}", made.artifact.uri);
        assert!(made.artifact.uri.contains(&made.artifact.sha256), "{}", made.artifact.uri);
        assert_eq!(made.model_digest, digest);
        let deployment = space.serve(name, name, json!({})).await;
        assert_eq!(space.predict(&deployment, FIRST).await.digest, digest);
        served.push(deployment);
    }
    // What was made with one store is served on with another.
    for deployment in &served {
        space.predict(deployment, FIRST).await;
    }
}

/// Alone, R9: the store is down, a rollout cannot start its pods, and goes back without it.
pub async fn a_rollout_without_the_store_goes_back_and_later_forward(space: Space) {
    space.import("digits", FIRST).await;
    space.import_next("digits", "second.onnx", SECOND).await;
    let before = space.serve("digits", "digits", json!({"version": 1, "replicas": 2})).await;
    let mut load = Load::start(&space.endpoint(&before).await);
    load.answers(50).await;
    scale_store(&space, 0).await;
    let deadline = |deadline: &str| json!({"rollingUpdate": {"progressDeadline": deadline}});
    let change = json!({"spec": {"version": 2, "strategy": deadline("10s")}});
    space.patch::<ModelDeployment>("digits", change).await;
    let back = space.until("digits", "rolled back", 90, |md: &ModelDeployment| md.is(STALLED)).await;
    back.assert_health(Health::ROLLED_BACK);
    space.predict(&back, FIRST).await;
    load.answers(50).await;
    scale_store(&space, 1).await;
    // What can start gets all the time that it needs.
    space.patch::<ModelDeployment>("digits", json!({"spec": {"strategy": deadline("2m")}})).await;

    let target = back.status.as_ref().and_then(|status| status.target.clone()).expect("it has a target");
    let request =
        json!({"status": {"request": {"id": "e2e", "action": "Retry", "revision": target.revision}}});
    space
        .api::<ModelDeployment>()
        .patch_status("digits", &PatchParams::default(), &Patch::Merge(request))
        .await
        .expect("a person may write a request");
    let forward = space.promoted_version("digits", 2).await;
    space.predict(&forward, SECOND).await;
    load.stop().await.assert_nothing_lost(100);
}

/// Starts the bundled store, or ends it, and waits until it is so.
pub async fn scale_store(space: &Space, replicas: i32) {
    let stores: Api<Deployment> = Api::namespaced(space.world.client.clone(), NAMESPACE);
    let name = format!("{NAME}-store");
    let change = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    stores.patch(&name, &PatchParams::default(), &change).await.expect("the store can be scaled");
    wait::until(&stores, &name, "scaled", Duration::from_mins(1), |store: &Deployment| {
        store.status.as_ref().is_some_and(|status| {
            status.observed_generation == store.metadata.generation
                && status.replicas.unwrap_or(0) == replicas
                && status.ready_replicas.unwrap_or(0) == replicas
        })
    })
    .await;
    let pods: Api<Pod> = Api::namespaced(space.world.client.clone(), NAMESPACE);
    let selector = ListParams::default().labels("app.kubernetes.io/component=store");
    if replicas == 0 {
        for pod in pods.list(&selector).await.expect("pods can be listed") {
            wait::until_gone(&pods, &pod.name_any(), Duration::from_mins(1))
                .await
                .expect("the store is down");
        }
    }
}
