//! What objects are found by besides their name, so that a look at what belongs to one thing does not walk through all.
//! Pure.

use std::{collections::HashMap, fmt::Debug, hash::Hash};

use kube::Resource;
use serde::{Serialize, de::DeserializeOwned};

use super::{kept::Kept, raw::Raw};

/// A kind that is watched, and says itself what its objects belong to.
pub trait Watched:
    Resource<DynamicType = ()> + Clone + Serialize + DeserializeOwned + Debug + Send + Sync + 'static
{
    /// What an object belongs to, within its namespace.
    type Key: Clone + Debug + Eq + Hash + Send + Sync;

    /// Whether a controller runs reconciles for objects of this kind.
    const IS_RECONCILED: bool = false;

    /// What the object belongs to.
    fn keys(&self) -> Vec<Self::Key>;

    /// The same of an object that does not parse, as far as it can be told.
    fn raw_keys(raw: &Raw<Self>) -> Vec<Self::Key>;

    /// Drops what nobody reads, before the object is kept: neither memory nor a reconcile is spent on it.
    fn reduce(&mut self) {}
}

/// Names by namespace and key.
#[derive(Debug)]
pub struct Index<Key> {
    names: HashMap<Box<str>, HashMap<Key, Vec<Box<str>>>>,
}

// by hand: the key itself need not be so
impl<Key> Default for Index<Key> {
    fn default() -> Self {
        Self { names: HashMap::default() }
    }
}

impl<Key: Clone + Eq + Hash> Index<Key> {
    /// Adds an object.
    pub fn add<K: Watched<Key = Key>>(&mut self, object: &Kept<K>) {
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
    pub fn remove<K: Watched<Key = Key>>(&mut self, object: &Kept<K>) {
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
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;
    use crate::{
        api::name::{DEPLOYMENT_LABEL, MODEL_LABEL, owned_metadata},
        caches::kinds::Key,
        k8s::cache::text::Dictionary,
    };

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
        let names = |index: &Index<Key>, namespace: &str, key| -> Vec<String> {
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
