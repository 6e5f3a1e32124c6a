//! Short ways to read and write JSON. Pure.

use serde_json::{Map, Value, json};

/// The text at a path; empty where there is none.
pub fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

/// The number at a path; 0 where there is none.
pub fn number(value: &Value, path: &str) -> i64 {
    value.pointer(path).and_then(Value::as_i64).unwrap_or_default()
}

/// The items at a path.
pub fn items<'a>(value: &'a Value, path: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    value.pointer(path).and_then(Value::as_array).into_iter().flatten()
}

/// The members at a path.
pub fn members<'a>(value: &'a Value, path: &str) -> impl Iterator<Item = (&'a String, &'a Value)> + use<'a> {
    value.pointer(path).and_then(Value::as_object).into_iter().flatten()
}

/// The label of this name.
pub fn label<'a>(object: &'a Value, name: &str) -> &'a str {
    member(object, "/metadata/labels", name)
}

/// The annotation of this name.
pub fn annotation<'a>(object: &'a Value, name: &str) -> &'a str {
    member(object, "/metadata/annotations", name)
}

/// What is recorded on a revision.
pub fn recorded(revision: &Value) -> Value {
    serde_json::from_str(annotation(revision, "modelwright.dev/rollout")).unwrap_or_default()
}

/// The order of a revision among those that were promoted; 0 of one that was not.
pub fn promoted(revision: &Value) -> i64 {
    number(&recorded(revision), "/promoted")
}

fn member<'a>(object: &'a Value, path: &str, name: &str) -> &'a str {
    object.pointer(path).and_then(|all| all.get(name)).and_then(Value::as_str).unwrap_or_default()
}

/// Whether an object is being deleted.
pub fn is_terminating(object: &Value) -> bool {
    object.pointer("/metadata/deletionTimestamp").is_some()
}

/// The UID of what controls an object.
pub fn controller(object: &Value) -> Option<&str> {
    let mut owners = items(object, "/metadata/ownerReferences");
    owners.find(|owner| owner["controller"] == true).map(|owner| text(owner, "/uid"))
}

/// Whether a condition is true.
pub fn is_true(object: &Value, condition: &str) -> bool {
    items(object, "/status/conditions").any(|found| found["type"] == condition && found["status"] == "True")
}

/// A member that is an object, made where there is none.
pub fn object<'a>(value: &'a mut Value, name: &str) -> &'a mut Map<String, Value> {
    if !value[name].is_object() {
        value[name] = json!({});
    }
    match &mut value[name] {
        Value::Object(members) => members,
        _ => unreachable!("it was just made one"),
    }
}

/// The value without the members that say nothing, as the API server stores it.
#[must_use]
pub fn without_nulls(mut value: Value) -> Value {
    strip(&mut value);
    value
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, value| !value.is_null());
            members.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}
