//! What makes a ModelDeployment be looked at again. In go the caches; out comes a stream of references.

use futures::{Stream, StreamExt as _, stream};
use kube::{Resource, ResourceExt as _, runtime::reflector::ObjectRef};

use crate::{
    api::{ModelDeployment, name::DEPLOYMENT_LABEL},
    cache::{Cache, index::Key},
    context::Context,
};

/// ModelDeployments whose own state, or that of something around them, changed.
pub fn triggers(context: &Context) -> impl Stream<Item = ObjectRef<ModelDeployment>> + Send + use<> {
    let caches = &context.caches;
    let (by_model, by_version) = (caches.model_deployments.clone(), caches.model_deployments.clone());
    stream::select_all([
        caches.model_deployments.changes().map(|object| ObjectRef::from_obj(object.as_ref())).boxed(),
        caches.revisions.changes().filter_map(async |object| labelled(object.as_ref())).boxed(),
        caches.deployments.changes().filter_map(async |object| labelled(object.as_ref())).boxed(),
        caches.pods.changes().filter_map(async |object| labelled(object.as_ref())).boxed(),
        caches.config_maps.changes().filter_map(async |object| labelled(object.as_ref())).boxed(),
        caches.services.changes().filter_map(async |object| labelled(object.as_ref())).boxed(),
        caches.disruption_budgets.changes().filter_map(async |object| labelled(object.as_ref())).boxed(),
        caches
            .models
            .changes()
            .flat_map(move |model| {
                stream::iter(followers(&by_model, &model.name_any(), &model.namespace().unwrap_or_default()))
            })
            .boxed(),
        caches
            .versions
            .changes()
            .flat_map(move |version| {
                stream::iter(followers(
                    &by_version,
                    &version.spec.model,
                    &version.namespace().unwrap_or_default(),
                ))
            })
            .boxed(),
    ])
}

fn labelled<K: Resource>(object: &K) -> Option<ObjectRef<ModelDeployment>> {
    let name = object.labels().get(DEPLOYMENT_LABEL)?;
    Some(ObjectRef::new(name).within(&object.namespace().unwrap_or_default()))
}

fn followers(
    cache: &Cache<ModelDeployment>,
    model: &str,
    namespace: &str,
) -> Vec<ObjectRef<ModelDeployment>> {
    let following = cache.of(namespace, Key::Model(model.to_owned()));
    following.iter().map(|deployment| ObjectRef::from_obj(deployment.as_ref())).collect()
}
