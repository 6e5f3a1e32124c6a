//! What objects are found by besides their name, so that a look at one Model's or one ModelDeployment's does not walk
//! through all. Pure.

use std::collections::{BTreeSet, HashMap};

use k8s_openapi::api::{
    apps::v1::{ControllerRevision, Deployment},
    batch::v1::Job,
    core::v1::{ConfigMap, Pod, Service, ServiceAccount},
    policy::v1::PodDisruptionBudget,
};
use kube::{Resource, ResourceExt as _};

use crate::api::{
    Model, ModelDeployment, ModelVersion,
    name::{DEPLOYMENT_LABEL, MODEL_LABEL},
};

/// What an object belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// The Model of this name.
    Model(String),
    /// The ModelDeployment of this name.
    Deployment(String),
}

/// What says itself what it belongs to.
pub trait Keyed: Resource<DynamicType = ()> + Sized {
    /// What the object belongs to, within its namespace: by its labels, unless its spec says so.
    fn keys(&self) -> Vec<Key> {
        let label = |name: &str| self.labels().get(name).cloned();
        let (model, deployment) = (label(MODEL_LABEL), label(DEPLOYMENT_LABEL));
        model.map(Key::Model).into_iter().chain(deployment.map(Key::Deployment)).collect()
    }
}

impl Keyed for ConfigMap {}
impl Keyed for ControllerRevision {}
impl Keyed for Deployment {}
impl Keyed for Job {}
impl Keyed for Model {}
impl Keyed for Pod {}
impl Keyed for PodDisruptionBudget {}
impl Keyed for Service {}
impl Keyed for ServiceAccount {}

impl Keyed for ModelVersion {
    fn keys(&self) -> Vec<Key> {
        vec![Key::Model(self.spec.model.clone())]
    }
}

impl Keyed for ModelDeployment {
    fn keys(&self) -> Vec<Key> {
        vec![Key::Model(self.spec.model.clone())]
    }
}

/// Names by namespace and key.
#[derive(Debug, Default)]
pub struct Index {
    names: HashMap<(String, Key), BTreeSet<String>>,
}

impl Index {
    /// The index of these objects.
    pub fn of<'a, K: Keyed + 'a>(objects: impl IntoIterator<Item = &'a K>) -> Self {
        let mut index = Self::default();
        for object in objects {
            index.add(object);
        }
        index
    }

    /// Adds an object.
    pub fn add<K: Keyed>(&mut self, object: &K) {
        let namespace = object.namespace().unwrap_or_default();
        for key in object.keys() {
            self.names.entry((namespace.clone(), key)).or_default().insert(object.name_any());
        }
    }

    /// Takes an object off.
    pub fn remove<K: Keyed>(&mut self, object: &K) {
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        for key in object.keys() {
            let place = (namespace.clone(), key);
            if let Some(names) = self.names.get_mut(&place) {
                names.remove(&name);
                if names.is_empty() {
                    self.names.remove(&place);
                }
            }
        }
    }

    /// The names under a key, sorted.
    pub fn names(&self, namespace: &str, key: Key) -> Vec<String> {
        self.names.get(&(namespace.to_owned(), key)).into_iter().flatten().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::owned_metadata;

    fn map(name: &str, deployment: &str) -> ConfigMap {
        let labels = [(DEPLOYMENT_LABEL, deployment.to_owned()), (MODEL_LABEL, "digits".to_owned())];
        ConfigMap { metadata: owned_metadata(name.into(), "space", None, labels), ..ConfigMap::default() }
    }

    #[test]
    fn an_object_is_found_under_what_it_belongs_to_until_it_is_taken_off() {
        let mut index = Index::of([&map("b", "one"), &map("a", "one"), &map("c", "two")]);
        let one = || Key::Deployment("one".into());
        assert_eq!(index.names("space", one()), ["a", "b"]);
        assert_eq!(index.names("space", Key::Model("digits".into())), ["a", "b", "c"]);
        assert!(index.names("elsewhere", one()).is_empty());
        index.remove(&map("a", "one"));
        assert_eq!(index.names("space", one()), ["b"]);
        for (name, deployment) in [("b", "one"), ("c", "two")] {
            index.remove(&map(name, deployment));
        }
        assert!(index.names.is_empty(), "{:?}", index.names);
    }
}
