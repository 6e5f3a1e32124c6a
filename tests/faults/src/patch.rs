//! The ways to change an object: merge patch, JSON patch, server-side apply. Pure.

use serde_json::{Value, json};

use crate::store::{Author, Key, Part, Refusal, Store, Written};

/// A merge patch (RFC 7386).
pub fn merge(into: &mut Value, patch: &Value) {
    let Value::Object(members) = patch else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    for (name, value) in members {
        match value {
            Value::Null => _ = into.as_object_mut().and_then(|all| all.remove(name)),
            value => merge(&mut into[name], value),
        }
    }
}

/// A JSON patch (RFC 6902); refused whole.
pub fn json_patch(mut into: Value, patch: &Value) -> Result<Value, Refusal> {
    let operations: json_patch::Patch = serde_json::from_value(patch.clone()).map_err(|error| Refusal {
        code: 400,
        reason: "BadRequest",
        message: format!("error decoding patch: {error}"),
    })?;
    json_patch::patch(&mut into, &operations).map_err(|error| {
        Refusal::invalid(format!("the server rejected our request due to an error in our request: {error}"))
    })?;
    Ok(into)
}

impl Store {
    /// A server-side apply, which takes what others have.
    pub fn apply(&mut self, key: &Key, part: Part, manager: &str, value: &Value, by: &Author) -> Written {
        let place = (key.clone(), manager.to_owned(), part);
        let mut owned = value.clone();
        if let Some(members) = owned.as_object_mut() {
            members.retain(|name, _| match part {
                Part::Main => name != "status",
                Part::Status => name == "status",
            });
            if let Some(metadata) = members.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.retain(|name, _| {
                    ["labels", "annotations", "ownerReferences", "finalizers"].contains(&name.as_str())
                });
            }
        }
        let written = if self.get(key).is_some() {
            let before = self.applied.get(&place).cloned().unwrap_or_default();
            self.update(key, part, by, |live| {
                let mut next = applied(live, &owned, &before, "");
                for name in ["resourceVersion", "uid"] {
                    if let Some(named) = value["metadata"].get(name).filter(|named| !named.is_null()) {
                        next["metadata"][name] = named.clone();
                    }
                }
                Ok(next)
            })?
        } else {
            if part == Part::Status {
                return Err(Refusal::not_found(key));
            }
            if let Some(uid) = value["metadata"]["uid"].as_str() {
                return Err(Refusal::conflict(format!(
                    "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
                )));
            }
            let mut made = value.clone();
            made["metadata"]["name"] = key.name.clone().into();
            self.create(key.kind, &key.namespace, made, by)?
        };
        self.applied.insert(place, owned);
        Ok(written)
    }
}

/// What is there with what is applied: what was applied `before`, and is not any more, goes.
fn applied(live: Value, new: &Value, before: &Value, path: &str) -> Value {
    match (live, new) {
        (live, Value::Null) => live,
        // a selector is one value
        (_, new) if path == "/spec/selector" => new.clone(),
        (Value::Object(mut live), Value::Object(members)) => {
            if let Value::Object(before) = before {
                for (name, value) in before {
                    if members.get(name).is_none_or(Value::is_null)
                        && let Some(present) = live.remove(name)
                        && let Some(left) = without(present, value)
                    {
                        live.insert(name.clone(), left);
                    }
                }
            }
            for (name, value) in members {
                let present = live.remove(name).unwrap_or_default();
                let inner = applied(present, value, &before[name], &format!("{path}/{name}"));
                if !inner.is_null() {
                    live.insert(name.clone(), inner);
                }
            }
            Value::Object(live)
        }
        (Value::Array(live), Value::Array(items)) => match keys_of(path) {
            None => new.clone(),
            Some(keys) => {
                let same = |one: &Value, other: &Value| keys.iter().all(|key| one[*key] == other[*key]);
                let was_ours = |item: &Value| {
                    before.as_array().is_some_and(|all| all.iter().any(|before| same(before, item)))
                };
                let mut next = Vec::new();
                for item in live {
                    match items.iter().find(|new| same(new, &item)) {
                        Some(new) => {
                            let old = before.as_array().and_then(|all| all.iter().find(|old| same(old, new)));
                            next.push(applied(item, new, old.unwrap_or(&Value::Null), "item"));
                        }
                        None if was_ours(&item) => {}
                        None => next.push(item),
                    }
                }
                let added: Vec<_> =
                    items.iter().filter(|new| !next.iter().any(|item| same(item, new))).cloned().collect();
                next.extend(added);
                Value::Array(next)
            }
        },
        (_, new) => new.clone(),
    }
}

/// What is left of a value that we no longer apply: what others added to it.
fn without(present: Value, ours: &Value) -> Option<Value> {
    match (present, ours) {
        (Value::Object(mut members), Value::Object(ours)) => {
            for (name, value) in ours {
                if let Some(inner) = members.remove(name)
                    && let Some(left) = without(inner, value)
                {
                    members.insert(name.clone(), left);
                }
            }
            (!members.is_empty()).then_some(Value::Object(members))
        }
        _ => None,
    }
}

/// What tells the items of a list apart; none where the list is one value.
fn keys_of(path: &str) -> Option<&'static [&'static str]> {
    match path {
        "/status/conditions" => Some(&["type"]),
        "/spec/ports" => Some(&["port", "protocol"]),
        "/metadata/ownerReferences" => Some(&["uid"]),
        _ => None,
    }
}
