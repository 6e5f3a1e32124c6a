//! Fields that the API server dropped because nobody knows them. In goes a Model with kubectl's record of what was applied;
//! out comes a sentence for each. Pure.
//!
//! `kubectl` itself refuses them; other clients, and `--validate=false`, do not, and a misspelt gate would be no gate. The
//! record counts only while it is what the spec was made from: who changes the spec by other means leaves it as it was.

use std::sync::LazyLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::{CustomResourceExt as _, ResourceExt as _};
use serde_json::Value;

use crate::{
    api::{Model, ModelSpec},
    k8s::events::truncated,
    suggestion::did_you_mean,
};

/// Where `kubectl apply` keeps what it applied.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Most fields that are told.
const MAX_FIELDS: usize = 10;
/// Longest name or value that is told, in bytes.
const MAX_WORD: usize = 64;

static SPEC: LazyLock<Option<JSONSchemaProps>> = LazyLock::new(|| {
    let mut versions = Model::crd().spec.versions.into_iter();
    let schema = versions.next()?.schema?.open_api_v3_schema?;
    schema.properties?.remove("spec")
});

/// The fields of the spec that were dropped, each with what to do.
pub fn unknown_fields(model: &Model) -> Vec<String> {
    written(model).zip(SPEC.as_ref()).map_or_else(Vec::new, |(written, schema)| {
        let mut fields = Vec::new();
        compare("spec", &written, schema, &mut fields);
        fields.truncate(MAX_FIELDS);
        fields
    })
}

/// The spec as it was applied last, if the present one came of it.
fn written(model: &Model) -> Option<Value> {
    let mut applied: Value = serde_json::from_str(model.annotations().get(LAST_APPLIED)?).ok()?;
    let written = applied.get_mut("spec")?.take();
    let known: ModelSpec = serde_json::from_value(written.clone()).ok()?;
    (known == model.spec).then_some(written)
}

fn compare(path: &str, written: &Value, schema: &JSONSchemaProps, fields: &mut Vec<String>) {
    match written {
        Value::Object(members) => {
            let known = schema.properties.as_ref();
            for (name, value) in members {
                if fields.len() >= MAX_FIELDS {
                    return;
                }
                let path = format!("{path}.{}", truncated(name, MAX_WORD));
                if let Some(member) = known.and_then(|known| known.get(name)) {
                    compare(&path, value, member, fields);
                } else if let Some(JSONSchemaPropsOrBool::Schema(values)) = &schema.additional_properties {
                    compare(&path, value, values, fields);
                } else if let Some(known) = known {
                    let names = known.keys().map(String::as_str);
                    fields.push(format!(
                        "{path} with the value {} is not a field{} and was dropped; correct or remove it, and apply again",
                        truncated(&value.to_string(), MAX_WORD),
                        did_you_mean(name, names)
                    ));
                }
            }
        }
        Value::Array(items) => {
            if let Some(JSONSchemaPropsOrArray::Schema(schema)) = &schema.items {
                for (at, item) in items.iter().enumerate() {
                    compare(&format!("{path}[{at}]"), item, schema, fields);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn applied(spec: &Value) -> Model {
        let mut model = Model::new("digits", serde_json::from_value(spec.clone()).unwrap());
        let record = json!({"kind": "Model", "spec": spec}).to_string();
        model.annotations_mut().insert(LAST_APPLIED.into(), record);
        model
    }

    fn training(changes: &[(&str, Value)]) -> Value {
        let mut spec = json!({"training": {
            "task": "Classification",
            "data": {"uri": "s3://bucket/digits.csv", "format": "CSV", "label": "digit"},
            "candidates": [{"name": "forest", "algorithm": "RandomForest", "parameters": {"anything": {"goes": 1}}}],
            "resources": {"limits": {"nvidia.com/gpu": 1}},
        }});
        for (pointer, value) in changes {
            let (parent, name) = pointer.rsplit_once('/').unwrap();
            spec.pointer_mut(parent).unwrap()[name] = value.clone();
        }
        spec
    }

    #[test]
    fn a_dropped_field_is_told_with_its_path_value_and_what_was_probably_meant() {
        for (pointer, value, parts) in [
            (
                "/training/gate",
                json!([{"metric": "Accuracy"}]),
                ["spec.training.gate ", "Accuracy", "`gates`"],
            ),
            ("/training/data/labels", json!("x"), ["spec.training.data.labels", "\"x\"", "`label`"]),
            (
                "/training/candidates/0/params",
                json!({}),
                ["spec.training.candidates[0].params", "{}", "dropped"],
            ),
            ("/sources", json!({"uri": "x"}), ["spec.sources", "uri", "`source`"]),
            (
                "/scheduling",
                json!({"nodeSelectors": {"a": "b"}}),
                ["spec.scheduling.nodeSelectors", "a", "`nodeSelector`"],
            ),
        ] {
            let told = unknown_fields(&applied(&training(&[(pointer, value)])));
            assert_eq!(told.len(), 1, "{told:?}");
            assert!(parts.iter().all(|part| told[0].contains(part)), "{told:?} lacks one of {parts:?}");
        }
    }

    #[test]
    fn known_fields_free_maps_and_outdated_records_are_no_problem() {
        assert!(unknown_fields(&applied(&training(&[]))).is_empty());
        let mut edited = applied(&training(&[("/training/gate", json!([]))]));
        assert_eq!(unknown_fields(&edited).len(), 1);
        edited.spec.rerun = Some("edited by other means".into());
        assert!(unknown_fields(&edited).is_empty());
        edited.annotations_mut().insert(LAST_APPLIED.into(), "not JSON".into());
        assert!(unknown_fields(&edited).is_empty());
    }

    proptest! {
        #[test]
        fn no_record_panics(name in ".{0,80}", record in ".{0,40}") {
            let mut model = applied(&training(&[("/training/é", json!({"a": name}))]));
            let _ = unknown_fields(&model);
            model.annotations_mut().insert(LAST_APPLIED.into(), record);
            let _ = unknown_fields(&model);
        }
    }
}
