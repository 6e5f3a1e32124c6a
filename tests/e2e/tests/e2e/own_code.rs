//! F8: Python of one's own in a built-in image, inline and from a ConfigMap that is pinned by its digest.

use k8s_openapi::api::core::v1::ConfigMap;
use modelwright::api::{
    condition::{READY, STALLED},
    model::Model,
    model_version::ModelVersion,
};
use serde_json::{Value, json};

use crate::{
    harness::{
        Space,
        datasets::{self, training},
        registry::hex,
        resources::Observed as _,
    },
    training::LIAR,
};

const PASSES: &str = "0.4";

fn by(uri: &str, python: &Value) -> Value {
    training(json!({
        "data": {"uri": uri, "label": "label"},
        "trainer": {"library": "ScikitLearn", "python": python},
        "gates": [{"metric": "Accuracy", "min": PASSES}],
    }))
}

/// Both ways make a version; other code than was pinned, and code that leaves no model, end with words and take nothing down.
pub async fn code_of_ones_own_trains_inline_and_from_a_pinned_config_map(space: Space) {
    let uri = space.serve_text("data.csv", "a,b,label\n1,2,0\n3,4,1\n").await;
    space.create_object::<Model>(datasets::model("inline", by(&uri, &json!({"inline": LIAR})))).await;

    let code = |text: &str| {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "code"}, "data": {"train.py": text},
        })
    };
    space.create_object::<ConfigMap>(code(LIAR)).await;
    let pinned = |sha256: &str| json!({"configMap": {"name": "code", "key": "train.py"}, "sha256": sha256});
    space.create_object::<Model>(datasets::model("pinned", by(&uri, &pinned(&hex(LIAR))))).await;
    for name in ["inline", "pinned"] {
        space.trained_model(name).await;
        let evaluation =
            space.version(&format!("{name}-v1")).await.spec.evaluation.expect("it was evaluated");
        assert_eq!(evaluation.metrics["Accuracy"].parse(), Ok(0.5), "prove measures it");
    }

    // The ConfigMap holds other code by now, and the spec another run.
    let other = format!("{LIAR}\n# changed\n");
    space.patch::<ConfigMap>("code", json!({"data": {"train.py": other}})).await;
    space.patch::<Model>("pinned", json!({"spec": {"rerun": "again"}})).await;
    let mismatch = space.stalled_model("pinned", 180).await;
    let said = mismatch.says(STALLED);
    assert!(said.starts_with("CodeMismatch"), "{said}");
    for part in [hex(&other), hex(LIAR)] {
        assert!(said.contains(&part), "{part} is missing in: {said}");
    }
    assert!(mismatch.is(READY), "what was made stays: {}", mismatch.says(READY));

    let nothing = json!({"spec": {"training": {"trainer": {"python": {"inline": "print('done')"}}}}});
    space.patch::<Model>("inline", nothing).await;
    let empty = space.stalled_model("inline", 180).await;
    let said = empty.says(STALLED);
    assert!(said.starts_with("NoModel"), "{said}");
    for part in ["exit code 0", "model.onnx", "evaluation.npz"] {
        assert!(said.contains(part), "{part} is missing in: {said}");
    }
    assert!(empty.is(READY), "{}", empty.says(READY));
    assert_eq!(space.list::<ModelVersion>().await.len(), 2, "no version was made of either");
}
