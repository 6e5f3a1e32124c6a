//! The name of an object, for what runs reconciles: that keeps what it reconciles in a store of its own, and needs no more
//! of it. Pure.

use std::{fmt::Debug, marker::PhantomData};

use kube::api::ObjectMeta;

use super::{index::Watched, kept::Kept};

/// An object of the kind `K`, with name and namespace and nothing else.
pub struct Handle<K> {
    metadata: ObjectMeta,
    kind: PhantomData<fn() -> K>,
}

impl<K: Watched> Handle<K> {
    /// The name of an object.
    pub fn of(object: &Kept<K>) -> Self {
        let metadata = ObjectMeta {
            name: Some(object.name().into()),
            namespace: Some(object.namespace().into()),
            ..ObjectMeta::default()
        };
        Self { metadata, kind: PhantomData }
    }
}

resource_of_kind!(Handle);

// by hand: the kind itself need not be so
impl<K> Clone for Handle<K> {
    fn clone(&self) -> Self {
        Self { metadata: self.metadata.clone(), kind: PhantomData }
    }
}

impl<K> Debug for Handle<K> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:?}/{:?}", self.metadata.namespace, self.metadata.name)
    }
}
