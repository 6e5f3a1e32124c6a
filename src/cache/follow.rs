//! Follows the events of a watch: in goes one after the other, out come the objects of which something that is kept
//! changed. Pure.

use std::sync::{Arc, PoisonError, RwLock};

use kube::{
    Resource,
    runtime::{
        reflector::{ObjectRef, Store, store, store::Writer},
        watcher::Event,
    },
};

use super::{index::Index, kept::Kept};

/// What writes a store and its index.
pub struct Follower<K: Resource<DynamicType = ()> + 'static> {
    store: Store<Kept<K>>,
    writer: Writer<Kept<K>>,
    index: Arc<RwLock<Index>>,
    before_list: Vec<Arc<Kept<K>>>,
}

impl<K: Resource<DynamicType = ()> + 'static> Follower<K> {
    /// One with an empty store, beside what it fills.
    pub fn new() -> (Self, Store<Kept<K>>, Arc<RwLock<Index>>) {
        let (store, writer) = store();
        let index: Arc<RwLock<Index>> = Arc::default();
        let follower =
            Self { store: store.clone(), writer, index: Arc::clone(&index), before_list: Vec::new() };
        (follower, store, index)
    }

    /// Takes an event in, and gives what it changed; after a list, that is all that is there and all that is gone.
    pub fn follow(&mut self, event: Event<Kept<K>>) -> Vec<Arc<Kept<K>>> {
        if matches!(event, Event::Init) {
            self.before_list = self.store.state();
        }
        let before = match &event {
            Event::Apply(object) | Event::Delete(object) => self.store.get(&ObjectRef::from_obj(object)),
            _ => None,
        };
        self.writer.apply_watcher_event(&event);
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = &before {
            index.remove(before.meta(), before.keys());
        }
        match event {
            Event::Init | Event::InitApply(_) => Vec::new(),
            Event::Apply(object) => {
                index.add(object.meta(), object.keys());
                // a change of what is not kept is none
                if before.is_some_and(|before| before.is_as(&object)) {
                    return Vec::new();
                }
                vec![Arc::new(object)]
            }
            Event::Delete(object) => vec![Arc::new(object)],
            // what vanished while the watch was interrupted has no event of its own
            Event::InitDone => {
                let mut changed = std::mem::take(&mut self.before_list);
                changed.retain(|old| self.store.get(&ObjectRef::from_obj(old.as_ref())).is_none());
                let all = self.store.state();
                *index = Index::of(all.iter().map(AsRef::as_ref));
                changed.extend(all);
                changed
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use k8s_openapi::api::apps::v1::Deployment;
    use kube::ResourceExt as _;
    use serde_json::json;

    use super::*;
    use crate::cache::{index::Key, text::Dictionary, trim::trim_deployment};

    fn deployment(dictionary: &Dictionary, version: &str, replicas: u32, ready: u32) -> Kept<Deployment> {
        let mut deployment: Deployment = serde_json::from_value(json!({
            "metadata": {
                "name": "one-1", "namespace": "space", "uid": "u", "resourceVersion": version,
                "labels": {"modelwright.dev/deployment": "one"},
                "annotations": {"deployment.kubernetes.io/revision": version},
            },
            "spec": {"selector": {}, "template": {"spec": {"containers": [{"name": "serve"}]}}},
            "status": {
                "observedGeneration": 1, "replicas": replicas, "readyReplicas": ready,
                "conditions": [{"type": "Progressing", "status": "True", "message": version}],
            },
        }))
        .unwrap();
        trim_deployment(&mut deployment);
        Kept::new(deployment, dictionary)
    }

    fn versions(changed: &[Arc<Kept<Deployment>>]) -> Vec<String> {
        changed.iter().map(|object| object.resource_version().unwrap()).collect()
    }

    #[test]
    fn what_changes_is_told_and_what_nobody_reads_is_not() {
        let (mut follower, store, index) = Follower::new();
        let dictionary = Dictionary::default();
        let deployment = |version, replicas, ready| deployment(&dictionary, version, replicas, ready);
        deployment("1", 0, 0);
        assert!(follower.follow(Event::Init).is_empty());
        assert!(follower.follow(Event::InitApply(deployment("10", 0, 0))).is_empty());
        assert_eq!(versions(&follower.follow(Event::InitDone)), ["10"]);
        assert_eq!(versions(&follower.follow(Event::Apply(deployment("11", 1, 0)))), ["11"]);
        assert!(follower.follow(Event::Apply(deployment("12", 1, 1))).is_empty());
        let one = store.state().pop().unwrap().open();
        assert_eq!(one.resource_version().as_deref(), Some("12"), "the next write is made against this");
        assert_eq!(one.spec.as_ref().unwrap().template.spec.as_ref().unwrap().containers[0].name, "serve");
        let key = Key::Deployment("one".into());
        assert_eq!(index.read().unwrap().names("space", &key), [Box::from("one-1")]);
        // gone while nobody watched
        follower.follow(Event::Init);
        assert_eq!(versions(&follower.follow(Event::InitDone)), ["12"]);
        assert!(index.read().unwrap().names("space", &key).is_empty());
        follower.follow(Event::Apply(deployment("13", 1, 1)));
        assert_eq!(versions(&follower.follow(Event::Delete(deployment("14", 1, 1)))), ["14"]);
        assert!(store.state().is_empty() && index.read().unwrap().names("space", &key).is_empty());
    }
}
