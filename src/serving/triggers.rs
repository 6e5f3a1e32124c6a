//! What makes a ModelDeployment be looked at again. In go the caches; out comes a stream of references.

use futures::{Stream, StreamExt as _, stream};
use kube::runtime::reflector::ObjectRef;

use crate::{
    api::ModelDeployment,
    caches::kinds::Key,
    context::Context,
    k8s::cache::{Cache, follow::Change, handle::Handle, index::Watched},
};

type Reference = ObjectRef<Handle<ModelDeployment>>;

/// ModelDeployments whose own state, or that of something around them, changed.
pub fn triggers(context: &Context) -> impl Stream<Item = Reference> + Send + use<> {
    let caches = &context.caches;
    stream::select_all([
        caches
            .model_deployments
            .changes()
            .map(|change| change.object.neighbour(change.object.name()))
            .boxed(),
        caches.revisions.changes().filter_map(async |change| owner(&change)).boxed(),
        caches.replica_sets.changes().filter_map(async |change| owner(&change)).boxed(),
        caches.pods.changes().filter_map(async |change| owner(&change)).boxed(),
        caches.config_maps.changes().filter_map(async |change| owner(&change)).boxed(),
        caches.services.changes().filter_map(async |change| owner(&change)).boxed(),
        caches.endpoint_slices.changes().filter_map(async |change| owner(&change)).boxed(),
        caches.disruption_budgets.changes().filter_map(async |change| owner(&change)).boxed(),
        followers(context, &caches.models),
        followers(context, &caches.versions),
    ])
}

/// The ModelDeployment that an object belongs to.
fn owner<K: Watched<Key = Key>>(change: &Change<K>) -> Option<Reference> {
    let object = &change.object;
    object.keys().iter().find_map(|key| match key {
        Key::Deployment(name) => Some(object.neighbour(name)),
        _ => None,
    })
}

/// The ModelDeployments that follow the Model of what changes.
fn followers<K: Watched<Key = Key>>(
    context: &Context,
    cache: &Cache<K>,
) -> stream::BoxStream<'static, Reference> {
    let deployments = context.caches.model_deployments.clone();
    let references = move |change: Change<K>| {
        let object = change.object;
        let models = object.keys().iter().filter(|key| matches!(key, Key::Model(_)));
        let names = models.flat_map(|model| deployments.names(object.namespace(), model));
        stream::iter(names.map(|name| object.neighbour(&name)).collect::<Vec<_>>())
    };
    cache.changes().flat_map(references).boxed()
}
