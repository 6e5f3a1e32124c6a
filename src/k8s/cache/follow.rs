//! Follows the events of a watch: in goes one after the other, out come the objects of which something that is kept
//! changed. Pure.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use kube::runtime::{
    reflector::{Store, store, store::Writer},
    watcher::Event,
};

use super::{handle::Handle, index::Watched, kept::Kept, objects::Objects};

/// A change of one object.
pub struct Change<K: Watched> {
    /// What there is, or was last.
    pub object: Arc<Kept<K>>,
    /// Whether it came, went, is about to go, asks for something else or belongs to something else.
    pub is_standing: bool,
}

// by hand: the kind itself need not be so
impl<K: Watched> Clone for Change<K> {
    fn clone(&self) -> Self {
        Self { object: Arc::clone(&self.object), is_standing: self.is_standing }
    }
}

/// Objects that one writes and many read.
pub type Shared<K> = Arc<RwLock<Objects<K>>>;

/// What follows a watch.
pub struct Follower<K: Watched> {
    objects: Shared<K>,
    /// None for a kind that no controller asks for: with thousands of objects they would take megabytes.
    handles: Option<Writer<Handle<K>>>,
    /// What a list that goes on has brought so far.
    list: Objects<K>,
}

impl<K: Watched> Follower<K> {
    /// One that has seen nothing, beside what it fills; the store stays empty unless the kind is reconciled.
    pub fn new() -> (Self, Shared<K>, Store<Handle<K>>) {
        let (store, handles) = store();
        let handles = K::IS_RECONCILED.then_some(handles);
        let objects = Shared::default();
        (Self { objects: Arc::clone(&objects), handles, list: Objects::default() }, objects, store)
    }

    /// Takes an event in, and gives what it changed; after a list, that is all that is there and all that is gone.
    pub fn follow(&mut self, event: Event<Kept<K>>) -> Vec<Change<K>> {
        if let Some(handles) = &mut self.handles {
            handles.apply_watcher_event(&handle(&event));
        }
        match event {
            Event::Init => {
                self.list = Objects::default();
                Vec::new()
            }
            Event::InitApply(object) => {
                self.list.insert(Arc::new(object));
                Vec::new()
            }
            // what vanished while the watch was interrupted has no event of its own
            Event::InitDone => {
                let list = std::mem::take(&mut self.list);
                let mut objects = self.write();
                let before = std::mem::replace(&mut *objects, list);
                let gone = before.all().filter(|old| objects.get(old.namespace(), old.name()).is_none());
                let changed = gone.chain(objects.all());
                changed.map(|object| Change { object: Arc::clone(object), is_standing: true }).collect()
            }
            Event::Apply(object) => {
                let object = Arc::new(object);
                let before = self.write().insert(Arc::clone(&object));
                // a change of what is not kept is none
                if before.as_ref().is_some_and(|before| before.is_as(&object)) {
                    return Vec::new();
                }
                let is_standing = before.as_ref().is_none_or(|before| !before.stands_as(&object));
                // what it belonged to hears of it too
                let left = before.filter(|before| before.keys() != object.keys());
                let changed = left.into_iter().chain([object]);
                changed.map(|object| Change { object, is_standing }).collect()
            }
            Event::Delete(object) => {
                self.write().remove(object.namespace(), object.name());
                vec![Change { object: Arc::new(object), is_standing: true }]
            }
        }
    }

    /// The objects.
    pub fn read(&self) -> RwLockReadGuard<'_, Objects<K>> {
        self.objects.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Objects<K>> {
        self.objects.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The event with no more than a name.
fn handle<K: Watched>(event: &Event<Kept<K>>) -> Event<Handle<K>> {
    match event {
        Event::Apply(object) => Event::Apply(Handle::of(object)),
        Event::Delete(object) => Event::Delete(Handle::of(object)),
        Event::Init => Event::Init,
        Event::InitApply(object) => Event::InitApply(Handle::of(object)),
        Event::InitDone => Event::InitDone,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use k8s_openapi::api::{apps::v1::ReplicaSet, core::v1::ConfigMap};
    use kube::{Resource as _, ResourceExt as _};
    use serde_json::json;

    use super::*;
    use crate::{api::Model, caches::kinds::Key, k8s::cache::text::Dictionary};

    fn replica_set(dictionary: &Dictionary, version: &str, replicas: u32, ready: u32) -> Kept<ReplicaSet> {
        let mut set: ReplicaSet = serde_json::from_value(json!({
            "metadata": {
                "name": "one-1", "namespace": "space", "uid": "u", "resourceVersion": version,
                "labels": {"modelwright.dev/deployment": "one"},
            },
            "spec": {"selector": {}, "template": {"spec": {"containers": [{"name": "serve"}]}}},
            "status": {
                "observedGeneration": 1, "replicas": replicas, "readyReplicas": ready,
                "fullyLabeledReplicas": replicas, "availableReplicas": ready,
            },
        }))
        .unwrap();
        set.reduce();
        Kept::new(set, dictionary)
    }

    fn versions(changed: &[Change<ReplicaSet>]) -> Vec<String> {
        changed.iter().map(|change| change.object.metadata().resource_version.unwrap()).collect()
    }

    fn map(owner: &str, generation: i64, is_going: bool) -> Event<Kept<ConfigMap>> {
        let map = serde_json::from_value(json!({"metadata": {
            "name": "map", "namespace": "space", "generation": generation,
            "labels": {"modelwright.dev/deployment": owner},
            "deletionTimestamp": is_going.then_some("2026-01-01T00:00:00Z"),
        }}));
        Event::Apply(Kept::new(map.unwrap(), &Dictionary::default()))
    }

    #[test]
    fn a_change_of_standing_is_told_to_what_an_object_belonged_to_and_to_what_it_does() {
        let (mut follower, ..) = Follower::new();
        let mut owners = |event| -> Vec<(String, bool)> {
            let told = follower.follow(event);
            told.iter().map(|change| (format!("{:?}", change.object.keys()), change.is_standing)).collect()
        };
        let one = || r#"[Deployment("one")]"#.to_owned();
        assert_eq!(owners(map("one", 1, false)), [(one(), true)], "it came");
        assert_eq!(owners(map("one", 2, false)), [(one(), true)], "it asks for something else");
        assert_eq!(owners(map("one", 2, true)), [(one(), true)], "it is about to go");
        let two = r#"[Deployment("two")]"#.to_owned();
        assert_eq!(owners(map("two", 2, true)), [(one(), true), (two, true)], "it belongs to something else");
    }

    #[test]
    fn what_changes_is_told_and_what_nobody_reads_is_not() {
        let (mut follower, objects, _) = Follower::new();
        let dictionary = Dictionary::default();
        let replica_set = |version, replicas, ready| replica_set(&dictionary, version, replicas, ready);
        replica_set("1", 0, 0);
        assert!(follower.follow(Event::Init).is_empty());
        assert!(follower.follow(Event::InitApply(replica_set("10", 0, 0))).is_empty());
        assert_eq!(versions(&follower.follow(Event::InitDone)), ["10"]);
        let scaled = follower.follow(Event::Apply(replica_set("11", 1, 0)));
        assert_eq!((versions(&scaled), scaled[0].is_standing), (vec!["11".into()], false));
        assert!(follower.follow(Event::Apply(replica_set("12", 1, 1))).is_empty());
        let one = objects.read().unwrap().get("space", "one-1").unwrap().open().unwrap();
        assert_eq!(one.resource_version().as_deref(), Some("12"), "the next write is made against this");
        assert_eq!(
            one.spec.as_ref().unwrap().template.as_ref().unwrap().spec.as_ref().unwrap().containers[0].name,
            "serve"
        );
        let key = Key::Deployment("one".into());
        assert_eq!(objects.read().unwrap().names("space", &key), [Box::from("one-1")]);
        // gone while nobody watched
        follower.follow(Event::Init);
        assert_eq!(versions(&follower.follow(Event::InitDone)), ["12"]);
        assert!(objects.read().unwrap().names("space", &key).is_empty());
        assert!(follower.follow(Event::Apply(replica_set("13", 1, 1)))[0].is_standing);
        assert_eq!(versions(&follower.follow(Event::Delete(replica_set("14", 1, 1)))), ["14"]);
        assert!(objects.read().unwrap().get("space", "one-1").is_none());
    }

    #[test]
    fn names_are_kept_apart_of_what_is_reconciled_and_of_nothing_else() {
        let dictionary = Dictionary::default();
        let model = || -> Kept<Model> {
            let metadata = json!({"name": "one", "namespace": "space"});
            let spec = json!({"source": {"uri": "https://example.com/model.onnx"}});
            Kept::new(
                serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap(),
                &dictionary,
            )
        };
        let (mut follower, _objects, handles) = Follower::new();
        let names =
            || -> Vec<_> { handles.state().iter().map(|handle| handle.meta().name.clone()).collect() };
        for event in [Event::Init, Event::InitApply(model()), Event::InitDone] {
            follower.follow(event);
        }
        assert_eq!(names(), [Some("one".to_owned())]);
        follower.follow(Event::Delete(model()));
        assert!(names().is_empty());
        follower.follow(Event::Apply(model()));
        follower.follow(Event::Init);
        follower.follow(Event::InitDone);
        assert!(names().is_empty(), "gone while nobody watched");

        let (mut follower, objects, handles) = Follower::new();
        follower.follow(Event::Apply(replica_set(&dictionary, "1", 0, 0)));
        assert!(objects.read().unwrap().get("space", "one-1").is_some() && handles.state().is_empty());
    }
}
