//! The objects of one kind, by namespace and name, and by what they belong to. Pure.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    index::{Index, Watched},
    kept::Kept,
};

type Space<K> = BTreeMap<Box<str>, Arc<Kept<K>>>;

/// All of a kind.
pub struct Objects<K: Watched> {
    spaces: HashMap<Box<str>, Space<K>>,
    index: Index<K::Key>,
    /// Namespace and name of those that do not parse: hardly ever any.
    unreadable: BTreeSet<(Box<str>, Box<str>)>,
}

// by hand: the kind itself need not be so
impl<K: Watched> Default for Objects<K> {
    fn default() -> Self {
        Self { spaces: HashMap::default(), index: Index::default(), unreadable: BTreeSet::default() }
    }
}

impl<K: Watched> Objects<K> {
    /// One of them.
    pub fn get(&self, namespace: &str, name: &str) -> Option<&Arc<Kept<K>>> {
        self.spaces.get(namespace)?.get(name)
    }

    /// Takes one in, and gives what it takes the place of.
    pub fn insert(&mut self, object: Arc<Kept<K>>) -> Option<Arc<Kept<K>>> {
        let before = self.remove(object.namespace(), object.name());
        self.index.add(&object);
        if object.problem().is_some() {
            self.unreadable.insert(place(&object));
        }
        let space = self.spaces.entry(object.namespace().into()).or_default();
        space.insert(object.name().into(), object);
        before
    }

    /// Takes one out.
    pub fn remove(&mut self, namespace: &str, name: &str) -> Option<Arc<Kept<K>>> {
        let space = self.spaces.get_mut(namespace)?;
        let object = space.remove(name)?;
        if space.is_empty() {
            self.spaces.remove(namespace);
        }
        self.index.remove(&object);
        if object.problem().is_some() {
            self.unreadable.remove(&place(&object));
        }
        Some(object)
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Kept<K>>> {
        self.spaces.values().flat_map(BTreeMap::values)
    }

    /// Those that do not parse.
    pub fn unreadable(&self) -> impl Iterator<Item = &Arc<Kept<K>>> {
        self.unreadable.iter().filter_map(|(namespace, name)| self.get(namespace, name))
    }

    /// The names of those in a namespace that belong to something, sorted.
    pub fn names(&self, namespace: &str, key: &K::Key) -> &[Box<str>] {
        self.index.names(namespace, key)
    }
}

fn place<K: Watched>(object: &Kept<K>) -> (Box<str>, Box<str>) {
    (object.namespace().into(), object.name().into())
}
