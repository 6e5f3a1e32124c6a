//! An object as a cache keeps it: what it is found by and compared with, and the whole as packed JSON. As typed structs and
//! trees of values it would take several times as much memory, and few of thousands are read at a time. Pure.

use std::{marker::PhantomData, sync::Arc};

use kube::{Resource, api::ObjectMeta, runtime::reflector::ObjectRef};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    index::{Key, Keyed},
    text::{Dictionary, Text},
};

/// One object; [`Kept::open`] gives it back.
pub struct Kept<K> {
    name: Box<str>,
    namespace: Box<str>,
    uid: Box<str>,
    resource_version: Box<str>,
    generation: Option<i64>,
    keys: Box<[Key]>,
    is_terminating: bool,
    text: Text,
    kind: PhantomData<fn() -> K>,
}

impl<K> Kept<K>
where
    K: Keyed + Serialize + DeserializeOwned,
{
    /// Keeps an object.
    #[expect(clippy::missing_panics_doc, reason = "it cannot")]
    pub fn new(mut object: K, dictionary: &Dictionary) -> Self {
        // not in the text, which is the same as long as nothing changes that is kept
        let resource_version = object.meta_mut().resource_version.take();
        let text = serde_json::to_string(&object).expect("a resource is JSON");
        let keys = object.keys().into();
        let metadata = object.meta();
        let word = |text: &Option<String>| text.as_deref().unwrap_or_default().into();
        Self {
            name: word(&metadata.name),
            namespace: word(&metadata.namespace),
            uid: word(&metadata.uid),
            resource_version: word(&resource_version),
            generation: metadata.generation,
            keys,
            is_terminating: metadata.deletion_timestamp.is_some(),
            text: Text::new(&text, dictionary),
            kind: PhantomData,
        }
    }

    /// The object.
    #[expect(clippy::missing_panics_doc, reason = "it cannot")]
    pub fn open(&self) -> Arc<K> {
        let mut object: K = serde_json::from_slice(&self.text.bytes())
            .expect("what was written from a type reads as that type");
        object.meta_mut().resource_version = some(&self.resource_version);
        Arc::new(object)
    }
}

impl<K> Kept<K> {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Name, namespace, UID and resourceVersion, and nothing else of the metadata.
    pub fn metadata(&self) -> ObjectMeta {
        ObjectMeta {
            name: some(&self.name),
            namespace: some(&self.namespace),
            uid: some(&self.uid),
            resource_version: some(&self.resource_version),
            ..ObjectMeta::default()
        }
    }

    /// What it belongs to, within its namespace.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// Whether the two differ in no more than their resourceVersion.
    pub fn is_as(&self, other: &Self) -> bool {
        self.text.is(&other.text)
    }

    /// Whether the two are one object that asks for the same and belongs to the same, alive or not.
    pub fn stands_as(&self, other: &Self) -> bool {
        self.uid == other.uid
            && self.generation == other.generation
            && self.is_terminating == other.is_terminating
            && self.keys == other.keys
    }

    /// An object of this name in the same namespace.
    pub fn neighbour<N: Resource<DynamicType = ()>>(&self, name: &str) -> ObjectRef<N> {
        ObjectRef::new(name).within(&self.namespace)
    }
}

fn some(word: &str) -> Option<String> {
    (!word.is_empty()).then(|| word.to_owned())
}
