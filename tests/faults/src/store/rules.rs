//! What the API server fills in, counts and refuses, of what somebody reads. Pure.

use serde_json::{Value, json};

use super::{Key, Refusal};
use crate::{json::object, kinds::Kind};

/// Fills in what a new object of a kind has; `address` is the number of the next address of a Service.
pub(super) fn fill_in(kind: Kind, value: &mut Value, address: u64) {
    match kind {
        Kind::Service => {
            let address = format!("10.96.0.{address}");
            let spec = object(value, "spec");
            for (name, filled_in) in [
                ("clusterIP", json!(address)),
                ("clusterIPs", json!([address])),
                ("sessionAffinity", json!("None")),
                ("internalTrafficPolicy", json!("Cluster")),
                ("type", json!("ClusterIP")),
            ] {
                spec.entry(name).or_insert(filled_in);
            }
        }
        Kind::ReplicaSet => value["status"] = json!({"replicas": 0}),
        Kind::Pod => value["status"] = json!({"phase": "Pending"}),
        _ => {}
    }
}

/// What of an object stays as it was made.
pub(super) fn check_immutable(key: &Key, before: &Value, after: &Value) -> Result<(), Refusal> {
    let field = match key.kind {
        Kind::ControllerRevision => "data",
        Kind::ReplicaSet => "spec/selector",
        _ => return Ok(()),
    };
    let path = format!("/{field}");
    if before.pointer(&path) == after.pointer(&path) {
        return Ok(());
    }
    let (plural, field) = (key.kind.place().1, field.replace('/', "."));
    Err(Refusal::invalid(format!("{plural} \"{}\" is invalid: {field}: field is immutable", key.name)))
}

/// Whether something else is asked for.
pub(super) fn asks_for_more(before: &Value, after: &Value) -> bool {
    let (Value::Object(before), Value::Object(after)) = (before, after) else { return before != after };
    let asks = |name: &&String| !matches!(name.as_str(), "metadata" | "status");
    before.keys().chain(after.keys()).filter(asks).any(|name| before.get(name) != after.get(name))
}

/// A write that names a version or a UID means the object that has them.
pub(super) fn check_versions(key: &Key, before: &Value, after: &Value) -> Result<(), Refusal> {
    let of = |object: &Value, name: &str| object["metadata"][name].as_str().unwrap_or_default().to_owned();
    let differs = |name: &str| !of(after, name).is_empty() && of(after, name) != of(before, name);
    if differs("resourceVersion") {
        return Err(Refusal::conflict(format!(
            "Operation cannot be fulfilled on {} \"{}\": the object has been modified; please apply your changes to the latest version and try again",
            key.kind.place().1,
            key.name
        )));
    }
    if differs("uid") {
        let (plural, uid) = (key.kind.place().1, of(after, "uid"));
        return Err(Refusal::invalid(format!(
            "{plural} \"{}\" is invalid: metadata.uid: Invalid value: \"{uid}\": field is immutable",
            key.name
        )));
    }
    Ok(())
}
