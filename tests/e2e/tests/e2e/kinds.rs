//! A2: the resources as users meet them in `kubectl`.

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps,
};
use kube::Api;
use modelwright::api::{model::Model, model_deployment::ModelDeployment};
use serde_json::{Value, json};

use crate::harness::{
    Space,
    kubectl::kubectl,
    onnx::Affine,
    resources::{deployment, model},
};

const AFFINE: Affine = Affine { factor: 2.0, summand: 1.0 };

/// Every field of a spec, as `kubectl explain` shows it.
pub async fn explain_prints_every_field_with_its_default(space: Space) {
    let definitions: Api<CustomResourceDefinition> = Api::all(space.world.client.clone());
    let mut explained = 0;
    for plural in ["models", "modelversions", "modeldeployments"] {
        let definition =
            definitions.get(&format!("{plural}.modelwright.dev")).await.expect("the CRD is installed");
        let size = serde_json::to_vec(&definition.spec).expect("it is JSON").len();
        assert!(size < 200_000, "{plural} has {size} bytes");
        let schema = definition.spec.versions.iter().find_map(|version| {
            version.schema.as_ref()?.open_api_v3_schema.as_ref()?.properties.as_ref()?.get("spec")
        });
        let mut pages = Vec::new();
        collect_objects(schema.expect("it has a spec"), format!("{plural}.spec"), &mut pages);
        for (path, schema) in pages {
            let page = words(&kubectl(&["explain", &path]).await.expect_success());
            let required = schema.required.clone().unwrap_or_default();
            for (field, schema) in schema.properties.iter().flatten() {
                let description = schema.description.clone().unwrap_or_default();
                assert!(!description.is_empty(), "{path}.{field} is not described");
                assert!(page.contains(&words(&description)), "{path}.{field} is not explained in {page}");
                let told =
                    plural == "modelversions" || required.contains(field) || description.contains("Default:");
                assert!(told, "{path}.{field} does not say its default: {description}");
                explained += 1;
            }
        }
    }
    assert!(explained > 60, "only {explained} fields were found");
}

/// Every object within a schema that has fields of its own, with its path.
fn collect_objects(schema: &JSONSchemaProps, path: String, found: &mut Vec<(String, JSONSchemaProps)>) {
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaPropsOrArray;
    let schema = match &schema.items {
        Some(JSONSchemaPropsOrArray::Schema(item)) => item.as_ref(),
        _ => schema,
    };
    let Some(properties) = &schema.properties else { return };
    found.push((path.clone(), schema.clone()));
    for (field, schema) in properties {
        collect_objects(schema, format!("{path}.{field}"), found);
    }
}

/// Text without its line breaks.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What was made stays as it was made.
pub async fn the_spec_of_a_model_version_cannot_be_changed(space: Space) {
    space.import("digits", AFFINE).await;
    let change = json!({"spec": {"modelDigest": "0".repeat(64)}}).to_string();
    let refused = kubectl(&[
        "patch",
        "modelversion",
        "digits-v1",
        "--namespace",
        &space.name,
        "--type",
        "merge",
        "--patch",
        &change,
    ])
    .await;
    assert!(!refused.success);
    assert!(
        refused.stderr.contains("the spec of a ModelVersion is immutable; change the Model instead"),
        "{}",
        refused.stderr
    );
}

/// The commands of a person's day.
pub async fn get_wait_scale_and_describe_work_as_for_built_in_kinds(space: Space) {
    let uri = space.serve_file("digits.onnx", AFFINE).await;
    space.create_object::<Model>(model("digits", &uri, json!({}))).await;
    space.create_object::<ModelDeployment>(deployment("front", "digits", json!({}))).await;
    let namespace = ["--namespace", space.name.as_str()];
    let command =
        async |arguments: &[&str]| kubectl(&[arguments, &namespace].concat()).await.expect_success();
    let wait = |condition: &str, object: &str| {
        [
            "wait".to_owned(),
            format!("--for=condition={condition}"),
            object.to_owned(),
            "--timeout=120s".to_owned(),
        ]
    };
    for (condition, object) in [("Ready", "model/digits"), ("Promoted", "modeldeployment/front")] {
        let arguments = wait(condition, object);
        command(&arguments.each_ref().map(String::as_str)).await;
    }

    let models = table(&command(&["get", "mdl"]).await);
    assert_eq!(models["digits"]["READY"], "True");
    assert_eq!(models["digits"]["REASON"], "VersionReady");
    assert_eq!(models["digits"]["VERSION"], "1");
    let versions = table(&command(&["get", "mv", "--output", "wide"]).await);
    assert_eq!(versions["digits-v1"]["MODEL"], "digits");
    assert_eq!(versions["digits-v1"]["VERSION"], "1");
    assert_eq!(versions["digits-v1"]["DIGEST"].len(), 64);
    let deployments = table(&command(&["get", "md"]).await);
    let front = &deployments["front"];
    for (column, value) in
        [("READY", "True"), ("PHASE", "Healthy"), ("STABLE", "1"), ("TARGET", "1"), ("REPLICAS", "1/1")]
    {
        assert_eq!(front[column], value, "{column} of {front:?}");
    }
    assert!(front["URL"].starts_with("http://"), "{front:?}");
    assert!(
        front.contains_key("AGE") && front["REASON"] == "Serving" && front["ROLLOUT"] == "Promoted",
        "{front:?}"
    );

    command(&["scale", "md/front", "--replicas=2"]).await;
    space
        .until("front", "scaled to 2", 60, |md: &ModelDeployment| {
            md.status
                .as_ref()
                .is_some_and(|status| status.replicas == Some(2) && status.ready_replicas == Some(2))
        })
        .await;
    let scale =
        command(&["get", "modeldeployment", "front", "--subresource=scale", "--output", "json"]).await;
    let scale: Value = serde_json::from_str(&scale).expect("it is JSON");
    assert_eq!((&scale["spec"]["replicas"], &scale["status"]["replicas"]), (&json!(2), &json!(2)));
    let selector = scale["status"]["selector"].as_str().expect("autoscalers get a selector");
    let selected = command(&["get", "pods", "--selector", selector, "--output", "name"]).await;
    assert_eq!(selected.lines().count(), 2, "{selected}");

    let described = command(&["describe", "model", "digits"]).await;
    assert!(described.contains("VersionCreated") && described.contains("RunStarted"), "{described}");
    let described = command(&["describe", "md", "front"]).await;
    let events = described.split("Events:").nth(1).unwrap_or_default();
    assert!(events.contains("Promoted"), "{described}");
    assert!(
        !events.contains("VersionNotReady"),
        "a first version that takes its time is no warning: {described}"
    );
    let all = command(&["get", "modelwright"]).await;
    for name in ["model.modelwright.dev/digits", "modelversion.modelwright.dev/digits-v1"] {
        assert!(all.contains(name), "{all}");
    }
}

/// Rows of a table by name, cells by column.
fn table(text: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap_or_default().split_whitespace().collect();
    lines
        .map(|line| {
            let cells = header
                .iter()
                .zip(line.split_whitespace())
                .map(|(column, cell)| ((*column).to_owned(), cell.to_owned()))
                .collect::<BTreeMap<_, _>>();
            (cells.get("NAME").cloned().unwrap_or_default(), cells)
        })
        .collect()
}
