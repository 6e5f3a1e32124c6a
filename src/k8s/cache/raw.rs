//! An object as the API server sent it: its metadata, and the whole as text that nobody has parsed. What one object holds
//! cannot fail the list or the watch that it came in: each is parsed by itself, and one that does not parse is known by
//! its name and by what is wrong with it. Pure.

use std::{borrow::Cow, collections::BTreeMap, fmt, marker::PhantomData};

use kube::api::ObjectMeta;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::{Value, value::RawValue};

use crate::k8s::events::truncated;

/// Longest name of a field that is told, in bytes: a value may be nested deeply.
const MAX_FIELD: usize = 256;
/// Most that is told of what is wrong with a field, in bytes: the value is in it.
const MAX_WORDS: usize = 512;

/// An object of the kind `K` that nobody has parsed.
pub struct Raw<K> {
    metadata: ObjectMeta,
    text: Box<RawValue>,
    kind: PhantomData<fn() -> K>,
}

/// What is wrong with an object that does not parse.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {words}")]
pub struct Unparsable {
    /// Path of the field, for example `spec.resources.limits.memory`.
    pub field: String,
    /// The value and what was expected. For the object's own user only: no log line holds it.
    pub words: String,
}

/// An object that does not parse.
pub struct Unreadable<K> {
    /// The object.
    pub raw: Raw<K>,
    /// What is wrong with it.
    pub problem: Unparsable,
}

impl<K: DeserializeOwned> Raw<K> {
    /// The object, parsed.
    pub fn read(&self) -> Result<K, Unparsable> {
        // again on an error only: to follow the path takes time
        serde_json::from_str(self.text.get()).map_err(|error| self.problem(&error))
    }

    fn problem(&self, error: &serde_json::Error) -> Unparsable {
        let mut json = serde_json::Deserializer::from_str(self.text.get());
        let (field, words) = match serde_path_to_error::deserialize::<_, K>(&mut json) {
            Err(error) => (error.path().to_string(), error.inner().to_string()),
            Ok(_) => (".".into(), error.to_string()),
        };
        // the position is one in a text that nobody has
        let words = words.rsplit_once(" at line ").map_or(words.as_str(), |(words, _)| words);
        let words = if words == "recursion limit exceeded" {
            "it is nested too deeply; expected fewer than 100 levels"
        } else {
            words
        };
        // YAML reads what is not quoted as something else than text
        let is_unquoted = ["integer", "floating point", "boolean"]
            .iter()
            .any(|kind| words.contains(&format!(": {kind} `")));
        let hint = if is_unquoted && words.ends_with("expected a string") { ": quote it" } else { "" };
        Unparsable {
            field: truncated(&field, MAX_FIELD),
            words: truncated(&format!("{words}{hint}"), MAX_WORDS),
        }
    }
}

impl<K> Raw<K> {
    /// The text.
    pub fn text(&self) -> &str {
        self.text.get()
    }

    /// The text again as an object.
    pub fn of_text(text: String) -> Option<Self> {
        RawValue::from_string(text).ok().map(Self::from)
    }

    /// What stands at this path, as far as that is JSON that can be read.
    pub fn at(&self, path: &[&str]) -> Value {
        let found = path.iter().try_fold(Cow::Borrowed(self.text()), |text, name| {
            Some(Cow::Owned(members(&text).remove(*name)?.get().to_owned()))
        });
        found.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
    }
}

impl<K> From<Box<RawValue>> for Raw<K> {
    fn from(text: Box<RawValue>) -> Self {
        let metadata = members(text.get()).remove("metadata").map(|text| metadata(text.get()));
        Self { metadata: metadata.unwrap_or_default(), text, kind: PhantomData }
    }
}

/// The members of an object; of anything else none.
fn members(text: &str) -> BTreeMap<String, &RawValue> {
    serde_json::from_str(text).unwrap_or_default()
}

/// What is read of an object that may not parse. Each member by itself: one that is not as expected is as good as none.
fn metadata(text: &str) -> ObjectMeta {
    fn read<T: DeserializeOwned>(all: &BTreeMap<String, &RawValue>, name: &str) -> Option<T> {
        serde_json::from_str(all.get(name)?.get()).ok()
    }
    let all = members(text);
    ObjectMeta {
        name: read(&all, "name"),
        namespace: read(&all, "namespace"),
        uid: read(&all, "uid"),
        resource_version: read(&all, "resourceVersion"),
        generation: read(&all, "generation"),
        deletion_timestamp: read(&all, "deletionTimestamp"),
        labels: read(&all, "labels"),
        finalizers: read(&all, "finalizers"),
        ..ObjectMeta::default()
    }
}

impl<'de, K> Deserialize<'de> for Raw<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(Self::from)
    }
}

resource_of_kind!(Raw);

// by hand: the kind itself need not be so
impl<K> Clone for Raw<K> {
    fn clone(&self) -> Self {
        Self { metadata: self.metadata.clone(), text: self.text.clone(), kind: PhantomData }
    }
}

/// Name and namespace: what else it holds is no matter of a log.
impl<K> fmt::Debug for Raw<K> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}/{:?}", self.metadata.namespace, self.metadata.name)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use k8s_openapi::api::core::v1::Pod;
    use kube::Resource as _;
    use serde_json::json;

    use super::*;
    use crate::api::ModelDeployment;

    fn raw<K>(object: &Value) -> Raw<K> {
        serde_json::from_str(&object.to_string()).unwrap()
    }

    #[test]
    fn what_does_not_parse_is_told_by_field_value_and_what_was_expected() {
        let deployment = |spec: Value| {
            let raw: Raw<ModelDeployment> = raw(&json!({"metadata": {"name": "d"}, "spec": spec}));
            raw.read().map(drop).map_err(|problem| problem.to_string())
        };
        assert_eq!(deployment(json!({"model": "digits"})), Ok(()));
        for (spec, words) in [
            (json!({"model": 7}), "spec.model: invalid type: integer `7`, expected a string: quote it"),
            (
                json!({"model": "m", "replicas": -1}),
                "spec.replicas: invalid value: integer `-1`, expected u32",
            ),
            (json!({}), "spec: missing field `model`"),
            (
                json!({"model": "m", "accelerator": {"executionProviders": ["CPU", "TPU"]}}),
                "spec.accelerator.executionProviders[1]: unknown variant `TPU`, expected `CPU` or `CUDA`",
            ),
        ] {
            assert_eq!(deployment(spec), Err(words.to_owned()));
        }
    }

    #[test]
    fn metadata_is_read_member_by_member_and_a_log_shows_only_the_name() {
        let raw: Raw<Pod> = raw(&json!({
            "metadata": {"name": "p", "namespace": "n", "uid": "u", "resourceVersion": "7", "labels": 5, "finalizers": ["f"]},
            "spec": "secret", "status": {"phase": "Running"},
        }));
        let metadata = raw.meta();
        assert_eq!((metadata.name.as_deref(), metadata.resource_version.as_deref()), (Some("p"), Some("7")));
        assert_eq!((&metadata.labels, &metadata.finalizers), (&None, &Some(vec!["f".to_owned()])));
        assert_eq!(format!("{raw:?}"), r#"Some("n")/Some("p")"#);
        assert_eq!((raw.at(&["status", "phase"]), raw.at(&["spec", "x"])), (json!("Running"), Value::Null));
        assert_eq!(raw.read().unwrap_err().field, "metadata.labels");
    }

    #[test]
    fn depth_fails_the_one_object_and_no_list() {
        let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
        let text = format!(
            r#"{{"kind":"List","apiVersion":"v1","metadata":{{"resourceVersion":"1"}},"items":[
               {{"metadata":{{"name":"deep"}},"spec":{{"training":{{"task":"Regression","data":{{"uri":"s3://b/k","format":"CSV","label":"y"}},
                 "candidates":[{{"name":"a","algorithm":"Ridge","parameters":{{"alpha":{deep}}}}}]}}}}}},
               {{"metadata":{{"name":"fine"}},"spec":{{"source":{{"uri":"s3://b/k"}}}}}}]}}"#
        );
        let list: kube::api::ObjectList<Raw<crate::api::Model>> = serde_json::from_str(&text).unwrap();
        let [deep, fine] = list.items.as_slice() else { unreachable!("two items") };
        assert!(fine.read().is_ok());
        let problem = deep.read().unwrap_err();
        assert!(problem.field.starts_with("spec.training.candidates[0].parameters.alpha[0]"), "{problem}");
        assert!(problem.words.contains("nested too deeply") && problem.field.len() <= MAX_FIELD, "{problem}");
    }
}
