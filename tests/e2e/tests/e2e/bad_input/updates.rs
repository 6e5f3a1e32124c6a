//! Bad updates of what serves: they are told, its version stays current, and taking them back starts nothing.

use modelwright::api::{
    condition::{PROMOTED, READY, STALLED},
    model::Model,
    model_deployment::ModelDeployment,
};
use serde_json::{Value, json};

use crate::harness::{Space, onnx::Affine, resources::Observed as _};

/// Changes the Model and the ModelDeployment `name` for the worse, and back.
pub async fn leave_the_present_version(space: &Space, name: &str, model: Affine) {
    let before = (space.jobs().await, space.model(name).await.spec, space.deployment(name).await.spec);
    let source = before.1.source.clone().expect("it is imported");
    let missing = source.uri.replace(&format!("{name}.onnx"), "never.onnx");
    for (uri, reason, word) in [
        (missing.as_str(), "NotFound", "never.onnx"),
        ("pvc://claim/../digits.onnx", "InvalidSpec", "spec.source.uri"),
    ] {
        space.patch::<Model>(name, json!({"spec": {"source": {"uri": uri}}})).await;
        let stalled = space.stalled_model(name, 120).await;
        let said = stalled.says(STALLED);
        assert!(said.starts_with(&format!("{reason}: ")) && said.contains(word), "{said}");
        assert!(stalled.is(READY), "{}", stalled.says(READY));
        assert_eq!(stalled.status.and_then(|status| status.current_version), Some(1));
        space.predict(&space.deployment(name).await, model).await;
    }
    space.patch::<Model>(name, json!({"spec": {"source": {"uri": source.uri}}})).await;
    space.ready_model(name).await;
    // The one that was missing was looked for; what came back was there.
    assert_eq!(space.jobs_of(name).await.len(), 2, "{:?}", space.jobs().await);

    for (change, reason, word) in [
        (json!({"version": 99}), "VersionNotFound", "spec.version is 99"),
        (json!({"serving": {"timeout": "0s"}}), "InvalidSpec", "spec.serving.timeout `0s`"),
    ] {
        space.patch::<ModelDeployment>(name, json!({"spec": change})).await;
        let stalled = space.until(name, "stalled", 30, |md: &ModelDeployment| md.is(STALLED)).await;
        let said = stalled.says(STALLED);
        assert!(said.starts_with(&format!("{reason}: ")) && said.contains(word), "{said}");
        assert!(stalled.is(READY) && !stalled.is(PROMOTED), "{}", stalled.says(READY));
        space.predict(&stalled, model).await;
        space.patch::<ModelDeployment>(name, json!({"spec": back(&change)})).await;
        space.promoted_version(name, 1).await;
    }
    assert_eq!(space.deployment(name).await.spec, before.2, "all was taken back");
}

/// The merge patch that removes what `change` set.
fn back(change: &Value) -> Value {
    match change {
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), back(value))).collect(),
        _ => Value::Null,
    }
}
