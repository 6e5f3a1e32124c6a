//! What objects are found by besides their name, so that a look at one Model's or one ModelDeployment's does not walk
//! through all. Pure.

use std::collections::HashMap;

use k8s_openapi::api::{
    apps::v1::{ControllerRevision, ReplicaSet},
    batch::v1::Job,
    core::v1::{ConfigMap, Pod, Service, ServiceAccount},
    discovery::v1::EndpointSlice,
    policy::v1::PodDisruptionBudget,
};
use kube::{Resource, ResourceExt as _, api::ObjectMeta};

use super::{kept::Kept, raw::Raw};
use crate::api::{
    Model, ModelDeployment, ModelVersion,
    name::{DEPLOYMENT_LABEL, MODEL_LABEL},
};

/// What an object belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// The Model of this name.
    Model(String),
    /// The ModelDeployment of this name.
    Deployment(String),
    /// What serves the model files of this digest.
    Digest(String),
}

/// What says itself what it belongs to.
pub trait Keyed: Resource<DynamicType = ()> + Sized {
    /// Whether a controller runs reconciles for objects of this kind.
    const IS_RECONCILED: bool = false;

    /// What the object belongs to, within its namespace: by its labels, unless its spec says so.
    fn keys(&self) -> Vec<Key> {
        labelled(self.meta())
    }

    /// The same of an object that does not parse, as far as it can be told.
    fn raw_keys(raw: &Raw<Self>) -> Vec<Key> {
        labelled(raw.meta())
    }
}

/// What an object belongs to by its labels.
fn labelled(metadata: &ObjectMeta) -> Vec<Key> {
    let label = |name: &str| metadata.labels.as_ref()?.get(name).cloned();
    let (model, deployment) = (label(MODEL_LABEL), label(DEPLOYMENT_LABEL));
    model.map(Key::Model).into_iter().chain(deployment.map(Key::Deployment)).collect()
}

/// The Model that the spec of an object names that does not parse.
fn named<K>(raw: &Raw<K>) -> Option<Key> {
    raw.at(&["spec", "model"]).as_str().map(|name| Key::Model(name.to_owned()))
}

impl Keyed for ConfigMap {}
impl Keyed for ControllerRevision {}
/// Kubernetes gives it the labels of its Service.
impl Keyed for EndpointSlice {}
impl Keyed for Job {}
impl Keyed for Pod {}
impl Keyed for PodDisruptionBudget {}
impl Keyed for Service {}
impl Keyed for ServiceAccount {}

impl Keyed for ReplicaSet {
    /// By its owner, too: pods are told apart by the ReplicaSets that made them, so one whose labels somebody took off must
    /// not be lost.
    fn keys(&self) -> Vec<Key> {
        let label = |name: &str| self.labels().get(name).cloned();
        let mut owners = self.owner_references().iter();
        let owner =
            owners.find(|owner| owner.controller == Some(true) && owner.kind == ModelDeployment::kind(&()));
        let deployment = owner.map(|owner| owner.name.clone()).or_else(|| label(DEPLOYMENT_LABEL));
        label(MODEL_LABEL).map(Key::Model).into_iter().chain(deployment.map(Key::Deployment)).collect()
    }
}

impl Keyed for Model {
    const IS_RECONCILED: bool = true;

    fn keys(&self) -> Vec<Key> {
        vec![Key::Model(self.name_any())]
    }

    fn raw_keys(raw: &Raw<Self>) -> Vec<Key> {
        vec![Key::Model(raw.name_any())]
    }
}

impl Keyed for ModelVersion {
    fn keys(&self) -> Vec<Key> {
        vec![Key::Model(self.spec.model.clone())]
    }

    /// By its spec, its label and its name: what may be a version of a Model counts as one.
    fn raw_keys(raw: &Raw<Self>) -> Vec<Key> {
        let name = raw.name_any();
        let model = name.rsplit_once("-v").map(|(model, _)| Key::Model(model.to_owned()));
        let mut keys: Vec<_> = named(raw).into_iter().chain(labelled(raw.meta())).chain(model).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }
}

impl Keyed for ModelDeployment {
    const IS_RECONCILED: bool = true;

    fn keys(&self) -> Vec<Key> {
        let served = self.status.iter().flat_map(|status| status.stable.iter().chain(&status.target));
        let digests = served.map(|served| Key::Digest(served.model_digest.clone()));
        [Key::Model(self.spec.model.clone())].into_iter().chain(digests).collect()
    }

    fn raw_keys(raw: &Raw<Self>) -> Vec<Key> {
        named(raw).into_iter().collect()
    }
}

/// Names by namespace and key.
#[derive(Debug, Default)]
pub struct Index {
    names: HashMap<Box<str>, HashMap<Key, Vec<Box<str>>>>,
}

impl Index {
    /// Adds an object.
    pub fn add<K>(&mut self, object: &Kept<K>) {
        if object.keys().is_empty() {
            return;
        }
        let space = self.names.entry(object.namespace().into()).or_default();
        for key in object.keys() {
            let names = space.entry(key.clone()).or_default();
            if let Err(position) = names.binary_search_by(|known| known.as_ref().cmp(object.name())) {
                names.reserve_exact(1);
                names.insert(position, object.name().into());
            }
        }
    }

    /// Takes an object off.
    pub fn remove<K>(&mut self, object: &Kept<K>) {
        let Some(space) = self.names.get_mut(object.namespace()) else { return };
        for key in object.keys() {
            let Some(names) = space.get_mut(key) else { continue };
            names.retain(|known| known.as_ref() != object.name());
            if names.is_empty() {
                space.remove(key);
            }
        }
        if space.is_empty() {
            self.names.remove(object.namespace());
        }
    }

    /// The names under a key, sorted.
    pub fn names(&self, namespace: &str, key: &Key) -> &[Box<str>] {
        self.names.get(namespace).and_then(|keys| keys.get(key)).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::{cache::text::Dictionary, objects::owned_metadata};

    fn map(name: &str, deployment: &str) -> Kept<ConfigMap> {
        let labels = [(DEPLOYMENT_LABEL, deployment.to_owned()), (MODEL_LABEL, "digits".to_owned())];
        let metadata = owned_metadata(name.into(), "space", None, labels);
        Kept::new(ConfigMap { metadata, ..ConfigMap::default() }, &Dictionary::default())
    }

    #[test]
    fn an_object_is_found_under_what_it_belongs_to_until_it_is_taken_off() {
        let (a, b, c) = (map("a", "one"), map("b", "one"), map("c", "two"));
        let mut index = Index::default();
        for object in [&b, &a, &c] {
            index.add(object);
        }
        let names = |index: &Index, namespace: &str, key| -> Vec<String> {
            index.names(namespace, &key).iter().map(ToString::to_string).collect()
        };
        let one = || Key::Deployment("one".into());
        assert_eq!(names(&index, "space", one()), ["a", "b"]);
        assert_eq!(names(&index, "space", Key::Model("digits".into())), ["a", "b", "c"]);
        assert!(names(&index, "elsewhere", one()).is_empty());
        index.add(&a);
        index.remove(&a);
        assert_eq!(names(&index, "space", one()), ["b"]);
        for object in [b, c] {
            index.remove(&object);
        }
        assert!(index.names.is_empty(), "{:?}", index.names);
    }
}
