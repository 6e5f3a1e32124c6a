//! An object as a cache keeps it: what it is found by and compared with, and the whole as packed JSON. As typed structs and
//! trees of values it would take several times as much memory, and few of thousands are read at a time. Pure.

use std::sync::Arc;

use kube::{Resource, api::ObjectMeta, runtime::reflector::ObjectRef};

use super::{
    index::Watched,
    raw::{Raw, Unparsable, Unreadable},
    text::{Dictionary, Text},
};

/// One object; [`Kept::open`] gives it back, unless it does not parse.
pub struct Kept<K: Watched> {
    name: Box<str>,
    namespace: Box<str>,
    uid: Box<str>,
    resource_version: Box<str>,
    generation: Option<i64>,
    keys: Box<[K::Key]>,
    is_terminating: bool,
    /// Why it does not parse; its text is then the whole object as it came.
    problem: Option<Box<Unparsable>>,
    text: Text,
}

impl<K: Watched> Kept<K> {
    /// Keeps an object.
    #[expect(clippy::missing_panics_doc, reason = "it cannot")]
    pub fn new(mut object: K, dictionary: &Dictionary) -> Self {
        // not in the text, which is the same as long as nothing changes that is kept
        let resource_version = object.meta_mut().resource_version.take();
        let text = serde_json::to_string(&object).expect("a resource is JSON");
        let keys = object.keys();
        object.meta_mut().resource_version = resource_version;
        Self::of(object.meta(), keys, None, Text::new(&text, dictionary))
    }

    /// Keeps an object as it came: parsed and without what nobody reads, or, where it does not parse, as it is.
    pub fn read(raw: &Raw<K>, dictionary: &Dictionary) -> Self {
        match raw.read() {
            Ok(mut object) => {
                object.meta_mut().managed_fields = None;
                object.reduce();
                Self::new(object, dictionary)
            }
            Err(problem) => {
                Self::of(raw.meta(), K::raw_keys(raw), Some(problem), Text::new(raw.text(), dictionary))
            }
        }
    }

    fn of(metadata: &ObjectMeta, keys: Vec<K::Key>, problem: Option<Unparsable>, text: Text) -> Self {
        let word = |text: &Option<String>| text.as_deref().unwrap_or_default().into();
        Self {
            name: word(&metadata.name),
            namespace: word(&metadata.namespace),
            uid: word(&metadata.uid),
            resource_version: word(&metadata.resource_version),
            generation: metadata.generation,
            keys: keys.into(),
            is_terminating: metadata.deletion_timestamp.is_some(),
            problem: problem.map(Box::new),
            text,
        }
    }

    /// The object, if it parses.
    #[expect(clippy::missing_panics_doc, reason = "it cannot")]
    pub fn open(&self) -> Option<Arc<K>> {
        if self.problem.is_some() {
            return None;
        }
        let mut object: K = serde_json::from_slice(&self.text.bytes())
            .expect("what was written from a type reads as that type");
        object.meta_mut().resource_version = some(&self.resource_version);
        Some(Arc::new(object))
    }

    /// The object, if it does not parse.
    pub fn unreadable(&self) -> Option<Unreadable<K>> {
        let problem = self.problem.as_deref()?.clone();
        let text = String::from_utf8(self.text.bytes()).ok()?;
        Some(Unreadable { raw: Raw::of_text(text)?, problem })
    }

    /// What is wrong with it, if it does not parse.
    pub fn problem(&self) -> Option<&Unparsable> {
        self.problem.as_deref()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Whether it is being deleted.
    pub fn is_terminating(&self) -> bool {
        self.is_terminating
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
    pub fn keys(&self) -> &[K::Key] {
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
            && self.problem.is_none() == other.problem.is_none()
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
