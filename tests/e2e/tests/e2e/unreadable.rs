//! D7, alone: objects that the operator cannot parse are told so, and nothing else is touched by them.

use std::time::{Duration, Instant};

use modelwright::api::{
    condition::{PROMOTED, STALLED},
    model::Model,
    model_deployment::ModelDeployment,
};
use serde_json::{Value, json};

use crate::harness::{
    Space,
    kubectl::{kubectl, run},
    onnx::Affine,
    release,
};

const FIRST: Affine = Affine { factor: 2.0, summand: 1.0 };
const SECOND: Affine = Affine { factor: -1.0, summand: 0.5 };
const DEFINITION: &str = "modeldeployments.modelwright.dev";
/// Schema of an amount of `spec.resources.limits`.
const AMOUNT: &str = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/resources/properties/limits/\
                      additionalProperties";
/// A word of the user, which no log may hold.
const WORD: &str = "a-word-of-the-user";

/// Replaces the schema of an amount.
async fn admit(schema: &Value) {
    let patch = json!([{"op": "replace", "path": AMOUNT, "value": schema}]).to_string();
    kubectl(&["patch", "crd", DEFINITION, "--type", "json", "--patch", &patch]).await.expect_success();
}

async fn create(space: &Space, object: &Value) -> Result<(), String> {
    let arguments = ["create", "--namespace", &space.name, "--validate=false", "--filename", "-"];
    let created = run("kubectl", &arguments, &object.to_string()).await;
    if created.success { Ok(()) } else { Err(created.stderr) }
}

/// A ModelDeployment as it could be stored under a looser definition, and a Model that every definition admits, nested
/// deeper than parsers go.
async fn bring_in_what_does_not_parse(space: &Space) {
    let definition = kubectl(&["get", "crd", DEFINITION, "--output", "json"]).await.expect_success();
    let definition: Value = serde_json::from_str(&definition).expect("kubectl writes JSON");
    let strict = definition.pointer(AMOUNT).expect("the definition has amounts").clone();
    let fraction = json!({
        "apiVersion": "modelwright.dev/v1alpha1", "kind": "ModelDeployment", "metadata": {"name": "fraction"},
        "spec": {"model": "digits", "resources": {"limits": {"memory": 1.5}}, "serving": {"restart": WORD}},
    });
    let refused = create(space, &fraction).await.expect_err("a fraction without quotes is refused");
    assert!(refused.contains("spec.resources.limits.memory"), "{refused}");
    admit(&json!({"x-kubernetes-preserve-unknown-fields": true})).await;
    // the API server takes a changed definition into use after a moment, and nothing tells when
    let limit = Instant::now() + Duration::from_secs(30);
    let stored = loop {
        match create(space, &fraction).await {
            Err(refused) if Instant::now() > limit => break Err(refused),
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            Ok(()) => break Ok(()),
        }
    };
    // whatever comes of it, others find the definition as it was, and in use: while the API server changes over, it answers
    // no list and no watch
    admit(&strict).await;
    stored.expect("the looser definition admits it");
    let mut again = fraction.clone();
    again["metadata"]["name"] = json!("again");
    let limit = Instant::now() + Duration::from_secs(30);
    while !create(space, &again).await.is_err_and(|refused| refused.contains("spec.resources.limits.memory"))
    {
        assert!(Instant::now() < limit, "the strict definition is not in use again");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let model = json!({
        "apiVersion": "modelwright.dev/v1alpha1", "kind": "Model", "metadata": {"name": "deep"},
        "spec": {"training": {
            "task": "Classification", "data": {"uri": "s3://bucket/key.csv", "format": "CSV", "label": WORD},
            "candidates": [{"name": "one", "algorithm": "SVM", "parameters": {"C": "DEEP"}}],
        }},
    });
    let text = model.to_string().replace("\"DEEP\"", &deep);
    let arguments = ["create", "--namespace", &space.name, "--validate=false", "--filename", "-"];
    run("kubectl", &arguments, &text).await.expect_success();
}

/// What `kubectl` shows of a condition; the types of this test do not parse the object either.
async fn says(space: &Space, object: &str, condition: &str, words: &str) {
    let condition = format!("--for=condition={condition}");
    let wait = ["wait", "--namespace", &space.name, object, &condition, "--timeout=60s"];
    kubectl(&wait).await.expect_success();
    let shown =
        kubectl(&["get", "--namespace", &space.name, object, "--output", "yaml"]).await.expect_success();
    assert!(shown.contains("reason: Unreadable") && shown.contains(words), "{shown}");
}

/// One namespace has what does not parse; the operator starts anew; a rollout in another namespace is Promoted.
pub async fn what_does_not_parse_in_one_namespace_stops_nothing_in_another(space: Space) {
    let operator = space.world.operator();
    let other = space.another("good").await;
    other.import("digits", FIRST).await;
    other.serve("digits", "digits", json!({})).await;
    bring_in_what_does_not_parse(&space).await;

    for pod in operator.names().await {
        operator.delete(&pod).await;
    }
    operator.until_ready(1).await;
    let started = Instant::now();
    let uri = other.serve_file("second.onnx", SECOND).await;
    other.patch::<Model>("digits", json!({"spec": {"source": {"uri": uri}}})).await;
    let promoted = other.promoted_version("digits", 2).await;
    println!("a rollout beside what does not parse took {:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_mins(1), "{:?}", started.elapsed());
    other.predict(&promoted, SECOND).await;
    assert_eq!(operator.admin("/readyz").await.0, 200);

    says(&space, "modeldeployments/fraction", STALLED, "spec.resources.limits.memory").await;
    says(&space, "modeldeployments/fraction", &format!("{PROMOTED}=False"), "quote it").await;
    says(&space, "models/deep", STALLED, "spec.training.candidates[0].parameters.C").await;
    let (_, metrics) = operator.admin("/metrics").await;
    for kind in ["Model", "ModelDeployment"] {
        let line = format!("modelwright_unreadable_objects{{kind=\"{kind}\"}} 1");
        assert!(metrics.contains(&line), "{line} is not in {metrics}");
    }
    for pod in operator.names().await {
        let log = kubectl(&["logs", "--namespace", release::NAMESPACE, &pod]).await.expect_success();
        assert!(log.contains("does not parse") && !log.contains(WORD), "{log}");
    }

    // mended, it is as any other; a Model goes, though it has a finalizer of ours or none
    let mended = json!({"spec": {"resources": {"limits": {"memory": 536_870_912}}}});
    space.patch::<ModelDeployment>("fraction", mended).await;
    space
        .until("fraction", "looked at again", 30, |md: &ModelDeployment| {
            let conditions = md.status.iter().flat_map(|status| &status.conditions);
            let mut reasons = conditions.map(|condition| condition.reason.as_str());
            md.status.is_some() && reasons.all(|reason| reason == "ModelNotFound")
        })
        .await;
    let delete = ["delete", "--namespace", &space.name, "models/deep", "--timeout=30s"];
    kubectl(&delete).await.expect_success();
    other.delete().await.expect("the second namespace can be deleted");
}
