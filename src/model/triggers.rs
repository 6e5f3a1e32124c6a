//! When a Model is looked at: its own state, or that of something around it, changed.

use futures::{Stream, StreamExt as _, future::ready, stream};
use kube::runtime::reflector::ObjectRef;

use crate::{
    api::Model,
    caches::kinds::Key,
    context::Context,
    k8s::cache::{follow::Change, handle::Handle, index::Watched},
};

/// Models to look at, as the caches change.
pub(super) fn triggers(context: &Context) -> impl Stream<Item = ObjectRef<Handle<Model>>> + Send + use<> {
    let caches = &context.caches;
    stream::select_all([
        caches.models.changes().filter_map(async |change| owner(&change)).boxed(),
        caches.jobs.changes().filter_map(async |change| owner(&change)).boxed(),
        // a serving pod carries the Model's label too, and says nothing of it
        caches
            .pods
            .changes()
            .filter(|change| ready(!change.object.keys().iter().any(|key| matches!(key, Key::Deployment(_)))))
            .filter_map(async |change| owner(&change))
            .boxed(),
        caches.versions.changes().filter_map(async |change| owner(&change)).boxed(),
        // a revision that is gone may have been the last user of a version
        caches.revisions.changes().filter_map(async |change| standing(&change)).boxed(),
        caches.model_deployments.changes().filter_map(async |change| standing(&change)).boxed(),
    ])
}

/// The Model that an object belongs to.
fn owner<K: Watched<Key = Key>>(change: &Change<K>) -> Option<ObjectRef<Handle<Model>>> {
    let object = &change.object;
    object.keys().iter().find_map(|key| match key {
        Key::Model(name) => Some(object.neighbour(name)),
        _ => None,
    })
}

/// The Model of what uses versions, where it may use others than before.
fn standing<K: Watched<Key = Key>>(change: &Change<K>) -> Option<ObjectRef<Handle<Model>>> {
    if change.is_standing { owner(change) } else { None }
}
