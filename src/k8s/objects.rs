//! Objects that are made: what they are rendered as, and whether an existing one is ours. Pure.
//!
//! [`Objects<Prepared>`] is what `build` renders; only [`super::apply`] turns it into [`Objects<Applied>`], so a status
//! cannot be computed from what was not applied.

use std::marker::PhantomData;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, ResourceExt as _, api::ObjectMeta, core::ApiResource};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::hash;

/// How an object comes to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// Created once and never changed.
    Create,
    /// Kept as rendered.
    Apply,
}

/// One object to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Kind and address of its API.
    pub resource: ApiResource,
    /// How it is written.
    pub write: Write,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// The object, whole; after [`crate::k8s::apply::apply_objects`] as the API server returned it.
    pub value: Value,
    /// What the cache holds under this name.
    pub observed: Option<Value>,
}

/// State of [`Objects`]: rendered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prepared;
/// State of [`Objects`]: in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied;

/// Objects in the order in which they are written.
#[derive(Clone, Debug, PartialEq)]
pub struct Objects<State> {
    items: Vec<Item>,
    state: PhantomData<State>,
}

impl<State> Objects<State> {
    /// The objects.
    pub fn items(&self) -> &[Item] {
        &self.items
    }
}

impl Default for Objects<Prepared> {
    fn default() -> Self {
        Self { items: Vec::new(), state: PhantomData }
    }
}

/// An object that cannot be written as JSON.
#[derive(Debug, thiserror::Error)]
#[error("{kind} {name} cannot be rendered as JSON")]
pub struct Unrenderable {
    kind: String,
    name: String,
    #[source]
    source: serde_json::Error,
}

impl Objects<Prepared> {
    /// Adds an object. `observed` is what the cache holds under its name.
    pub fn push<K>(&mut self, write: Write, object: &K, observed: Option<&K>) -> Result<(), Unrenderable>
    where
        K: Resource<DynamicType = ()> + Serialize,
    {
        let name = object.name_any();
        let failed = |source| Unrenderable { kind: K::kind(&()).into_owned(), name: name.clone(), source };
        self.items.push(Item {
            resource: ApiResource::erase::<K>(&()),
            write,
            namespace: object.namespace().unwrap_or_default(),
            name: name.clone(),
            value: serde_json::to_value(object).map_err(failed)?,
            observed: observed.map(serde_json::to_value).transpose().map_err(failed)?,
        });
        Ok(())
    }

    pub(crate) fn into_items(self) -> Vec<Item> {
        self.items
    }
}

impl Objects<Applied> {
    pub(crate) fn applied(items: Vec<Item>) -> Self {
        Self { items, state: PhantomData }
    }

    /// The applied object of this kind and name, as the API server returned it.
    pub fn get<K>(&self, name: &str) -> Option<K>
    where
        K: Resource<DynamicType = ()> + DeserializeOwned,
    {
        let kind = K::kind(&());
        self.items
            .iter()
            .find(|item| item.resource.kind == kind && item.name == name)
            .and_then(|item| serde_json::from_value(item.value.clone()).ok())
    }
}

/// Annotates a rendered object with the hash of its content.
pub fn stamp(object: &mut Value, annotation: &str) {
    let hash = hash::canonical(object);
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
        annotations[annotation] = hash.into();
    }
}

/// What an existing object is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Our owner controls it.
    Ours,
    /// Nobody controls it, and its labels and hash are those that we would give it: restored from a backup.
    Adoptable,
    /// What is left of a deleted owner with the kind and the name of ours: on its way out.
    Remains,
    /// Somebody else's: never overwritten.
    Stranger,
}

/// What the object `found` is to the one that we rendered under its name.
pub fn standing(found: &ObjectMeta, rendered: &ObjectMeta, applied_hash: &str) -> Standing {
    let controller = |metadata: &ObjectMeta| {
        metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true)).cloned()
    };
    let same_name = |one: &OwnerReference, other: &OwnerReference| {
        (&one.api_version, &one.kind, &one.name) == (&other.api_version, &other.kind, &other.name)
    };
    match (controller(found), controller(rendered)) {
        (Some(found), Some(rendered)) if found.uid == rendered.uid => Standing::Ours,
        // no two objects have one name at one time, so the other is gone
        (Some(found), Some(rendered)) if same_name(&found, &rendered) => Standing::Remains,
        (Some(_), _) => Standing::Stranger,
        (None, _) => {
            let same_labels = rendered.labels.iter().flatten().all(|(label, value)| {
                found.labels.as_ref().and_then(|labels| labels.get(label)) == Some(value)
            });
            let has_hash = found.annotations.as_ref().is_some_and(|all| all.contains_key(applied_hash));
            if same_labels && has_hash { Standing::Adoptable } else { Standing::Stranger }
        }
    }
}

/// What decides traffic, identity and clean-up is ours whole, also where we say nothing of it: kind, path, and what the API
/// server fills in where nothing is said.
const WHOLE: [(&str, &str, &str); 8] = [
    ("Service", "/metadata/ownerReferences", ""),
    ("Service", "/spec/selector", ""),
    ("Service", "/spec/ports", ""),
    ("Service", "/spec/publishNotReadyAddresses", ""),
    ("Service", "/spec/sessionAffinity", "None"),
    ("Service", "/spec/internalTrafficPolicy", "Cluster"),
    ("PodDisruptionBudget", "/metadata/ownerReferences", ""),
    ("PodDisruptionBudget", "/spec", ""),
];

/// Something in an object that we did not put there, and that is ours to say.
#[derive(Clone, Debug, PartialEq)]
pub struct Foreign {
    path: &'static str,
    ours: Value,
}

impl Foreign {
    /// The path of the field, as people write it.
    pub fn field(&self) -> String {
        self.path.trim_start_matches('/').replace('/', ".")
    }

    /// What puts it back, as an operation of a JSON patch.
    pub fn operation(&self) -> Value {
        if self.ours.is_null() {
            return json!({"op": "remove", "path": self.path});
        }
        json!({"op": "add", "path": self.path, "value": self.ours})
    }
}

/// What of an observed object is not as we rendered it, of what is ours whole, and more than a server-side apply puts right:
/// it takes nothing out that others put in.
pub fn foreign(kind: &str, observed: &Value, rendered: &Value) -> Vec<Foreign> {
    let part = |object: &Value, path: &str, filled_in: &str| match object.pointer(path) {
        None | Some(Value::Null | Value::Bool(false)) if !filled_in.is_empty() => filled_in.into(),
        None | Some(Value::Bool(false)) => Value::Null,
        Some(value) => value.clone(),
    };
    WHOLE
        .into_iter()
        .filter(|(of, ..)| *of == kind)
        .filter_map(|(_, path, filled_in)| {
            let (found, ours) = (part(observed, path, filled_in), part(rendered, path, filled_in));
            (!contains(&ours, &found)).then_some(Foreign { path, ours })
        })
        .collect()
}

/// Whether everything that we rendered is so in the observed object: quantities by value, an empty map, list or string
/// as good as none.
pub fn contains(observed: &Value, rendered: &Value) -> bool {
    contains_under(observed, rendered, false)
}

/// Whether two objects say the same, as far as [`contains`] tells things apart.
pub fn same(one: &Value, other: &Value) -> bool {
    contains(one, other) && contains(other, one)
}

fn contains_under(observed: &Value, rendered: &Value, quantities: bool) -> bool {
    match (observed, rendered) {
        (_, Value::Null) => true,
        (Value::Object(observed), Value::Object(rendered)) => rendered.iter().all(|(key, rendered)| {
            let quantities = quantities || matches!(key.as_str(), "limits" | "requests" | "sizeLimit");
            observed
                .get(key)
                .map_or(is_empty(rendered), |observed| contains_under(observed, rendered, quantities))
        }),
        (Value::Array(observed), Value::Array(rendered)) => {
            observed.len() == rendered.len()
                && observed
                    .iter()
                    .zip(rendered)
                    .all(|(observed, rendered)| contains_under(observed, rendered, quantities))
        }
        _ if observed == rendered => true,
        _ if quantities => match (quantity(observed), quantity(rendered)) {
            (Some(observed), Some(rendered)) => observed == rendered,
            _ => false,
        },
        _ => false,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(members) => members.values().all(is_empty),
        Value::Array(items) => items.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn quantity(value: &Value) -> Option<crate::quantity::Quantity> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    crate::quantity::Quantity::parse(&text).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;

    const HASH: &str = "example/applied";

    fn owner(uid: &str) -> OwnerReference {
        let name = format!("name of {uid}");
        OwnerReference { uid: uid.into(), name, controller: Some(true), ..OwnerReference::default() }
    }

    fn metadata(owner_uid: Option<&str>) -> ObjectMeta {
        ObjectMeta {
            name: Some("name".into()),
            labels: Some([("example/hash".to_owned(), "abc".to_owned())].into()),
            annotations: Some([(HASH.to_owned(), "v1-0".to_owned())].into()),
            owner_references: owner_uid.map(|uid| vec![owner(uid)]),
            ..ObjectMeta::default()
        }
    }

    #[test]
    fn only_what_our_owner_controls_or_nobody_does_is_ours() {
        let rendered = metadata(Some("me"));
        let standing = |found: &ObjectMeta, rendered: &ObjectMeta| standing(found, rendered, HASH);
        assert_eq!(standing(&metadata(Some("me")), &rendered), Standing::Ours);
        assert_eq!(standing(&metadata(Some("you")), &rendered), Standing::Stranger);
        let mut predecessors = metadata(Some("you"));
        for owner in predecessors.owner_references.iter_mut().flatten() {
            owner.name = "name of me".into();
        }
        assert_eq!(
            standing(&predecessors, &rendered),
            Standing::Remains,
            "the owner of that name is another"
        );
        for owner in predecessors.owner_references.iter_mut().flatten() {
            owner.kind = "Another".into();
        }
        assert_eq!(standing(&predecessors, &rendered), Standing::Stranger);
        assert_eq!(standing(&metadata(None), &rendered), Standing::Adoptable);
        let mut other_hash = metadata(None);
        other_hash.labels.get_or_insert_default().insert("example/hash".into(), "def".into());
        assert_eq!(standing(&other_hash, &rendered), Standing::Stranger);
        let mut handmade = metadata(None);
        handmade.annotations = None;
        assert_eq!(standing(&handmade, &rendered), Standing::Stranger);
    }

    #[test]
    fn defaults_of_the_api_server_and_spellings_of_quantities_are_no_difference() {
        let observed = json(
            r#"{"spec":{"a":1,"dns":"ClusterFirst","list":[{"x":1,"y":2}],"limits":{"cpu":"1","memory":"1Gi"}}}"#,
        );
        for same in [
            r#"{"spec":{"a":1}}"#,
            r#"{"spec":{"list":[{"x":1}]}}"#,
            r#"{"spec":{"limits":{"cpu":"1000m","memory":"1024Mi"}}}"#,
            r#"{"spec":{"limits":{"cpu":1}}}"#,
            r#"{"spec":{"gone":{},"none":[],"empty":"","nothing":null,"deep":{"a":{}}}}"#,
        ] {
            assert!(contains(&observed, &json(same)), "{same}");
        }
        for different in [
            r#"{"spec":{"a":2}}"#,
            r#"{"spec":{"a":"1"}}"#,
            r#"{"spec":{"list":[]}}"#,
            r#"{"spec":{"list":[{"x":1},{"x":1}]}}"#,
            r#"{"spec":{"limits":{"cpu":"1001m"}}}"#,
            r#"{"spec":{"new":false}}"#,
        ] {
            assert!(!contains(&observed, &json(different)), "{different}");
        }
    }

    #[test]
    fn a_stamped_object_carries_the_hash_of_its_content() {
        let hash_of = |value: &str| {
            let mut objects = Objects::default();
            let map = ConfigMap {
                metadata: ObjectMeta { annotations: None, ..metadata(Some("me")) },
                data: Some([("key".to_owned(), value.to_owned())].into()),
                ..ConfigMap::default()
            };
            objects.push(Write::Apply, &map, None).unwrap();
            let item = objects.items().first().unwrap().clone();
            assert_eq!((item.resource.kind.as_str(), item.name.as_str()), ("ConfigMap", "name"));
            let mut value = item.value;
            stamp(&mut value, HASH);
            value["metadata"]["annotations"][HASH].clone()
        };
        assert_eq!(hash_of("a"), hash_of("a"));
        assert_ne!(hash_of("a"), hash_of("b"));
    }

    fn json(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }
}
