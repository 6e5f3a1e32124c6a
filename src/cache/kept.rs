//! An object as a cache keeps it: what it is found by and compared with, and the whole as packed JSON. As typed structs and
//! trees of values it would take several times as much memory, and few of thousands are read at a time. Pure.

use std::{borrow::Cow, marker::PhantomData, sync::Arc};

use kube::{Resource, api::ObjectMeta, runtime::reflector::ObjectRef};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    index::{Key, Keyed},
    text::{Dictionary, Text},
};

/// One object; [`Kept::open`] gives it back.
pub struct Kept<K> {
    metadata: ObjectMeta,
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
    pub fn new(mut object: K, dictionary: &Dictionary) -> Self {
        let whole = object.meta_mut();
        let metadata = ObjectMeta {
            name: whole.name.clone(),
            namespace: whole.namespace.clone(),
            uid: whole.uid.clone(),
            // not in the text, which is the same as long as nothing changes that is kept
            resource_version: whole.resource_version.take(),
            generation: whole.generation,
            ..ObjectMeta::default()
        };
        let text = serde_json::to_string(&object).expect("a resource is JSON");
        Self {
            metadata,
            keys: object.keys().into(),
            is_terminating: object.meta().deletion_timestamp.is_some(),
            text: Text::new(&text, dictionary),
            kind: PhantomData,
        }
    }

    /// The object.
    pub fn open(&self) -> Arc<K> {
        let mut object: K = serde_json::from_slice(&self.text.bytes())
            .expect("what was written from a type reads as that type");
        object.meta_mut().resource_version.clone_from(&self.metadata.resource_version);
        Arc::new(object)
    }
}

impl<K> Kept<K> {
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
        self.metadata.uid == other.metadata.uid
            && self.metadata.generation == other.metadata.generation
            && self.is_terminating == other.is_terminating
            && self.keys == other.keys
    }

    /// An object of this name in the same namespace.
    pub fn neighbour<N: Resource<DynamicType = ()>>(&self, name: &str) -> ObjectRef<N> {
        ObjectRef::new(name).within(self.metadata.namespace.as_deref().unwrap_or_default())
    }
}

/// With name, namespace, UID, generation and resourceVersion, and nothing else of the metadata.
impl<K: Resource<DynamicType = ()>> Resource for Kept<K> {
    type DynamicType = ();
    type Scope = K::Scope;

    fn kind(_: &()) -> Cow<'_, str> {
        K::kind(&())
    }

    fn group(_: &()) -> Cow<'_, str> {
        K::group(&())
    }

    fn version(_: &()) -> Cow<'_, str> {
        K::version(&())
    }

    fn plural(_: &()) -> Cow<'_, str> {
        K::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

// by hand: the kind itself need not be so
impl<K> Clone for Kept<K> {
    fn clone(&self) -> Self {
        let (metadata, keys, text) = (self.metadata.clone(), self.keys.clone(), self.text.clone());
        Self { metadata, keys, is_terminating: self.is_terminating, text, kind: PhantomData }
    }
}

impl<K> std::fmt::Debug for Kept<K> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&String::from_utf8_lossy(&self.text.bytes()))
    }
}
