//! Patches of objects that were read: another state of the object is an error, and nothing is written.

use std::fmt::Debug;

use k8s_openapi::{NamespaceResourceScope, apimachinery::pkg::apis::meta::v1::OwnerReference};
use kube::{
    Api, Resource, ResourceExt as _,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch},
};
use serde::{Deserialize as _, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    ApplyError,
    attempts::{self, Attempt},
};
use crate::k8s::{cache::raw::Raw, cluster::Cluster};

/// Asks the API server whether an owner is there and not being deleted, before anything gets it as its owner: what lost its
/// owner may have lost it to `--cascade=orphan`, of which the cache does not know yet, and would be collected with it. Nor is
/// a revision made for one that is gone: its pods would run until they are collected.
pub(super) async fn check_stays(
    cluster: &Cluster,
    namespace: &str,
    owner: &OwnerReference,
) -> Result<(), ApplyError> {
    let (group, version) = owner.api_version.rsplit_once('/').unwrap_or(("", &owner.api_version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &owner.kind));
    let owners = Api::<DynamicObject>::namespaced_with(cluster.client.clone(), namespace, &resource);
    let live = owners
        .get_metadata_opt(&owner.name)
        .await
        .map_err(|error| ApplyError::of(&owner.kind, &owner.name, error))?;
    let stays = live.is_some_and(|live| {
        live.metadata.uid.as_ref() == Some(&owner.uid) && live.metadata.deletion_timestamp.is_none()
    });
    let stale = || ApplyError::Stale { kind: owner.kind.clone(), name: owner.name.clone() };
    stays.then_some(()).ok_or_else(stale)
}

/// Merge-patches exactly the object that was read: `patch` gets its UID and resourceVersion, so that another state of
/// the object is [`ApplyError::Stale`], and so is one that does not parse any longer.
pub async fn patch_observed<K>(cluster: &Cluster, object: &K, mut patch: Value) -> Result<K, ApplyError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    let owners = patch.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    for owner in owners.into_iter().flatten().filter_map(|owner| OwnerReference::deserialize(owner).ok()) {
        check_stays(cluster, &object.namespace().unwrap_or_default(), &owner).await?;
    }
    if let Some(members) = patch.as_object_mut() {
        let metadata = members.entry("metadata").or_insert_with(|| json!({}));
        if let Some(metadata) = metadata.as_object_mut() {
            metadata.insert("uid".into(), object.uid().into());
            metadata.insert("resourceVersion".into(), object.resource_version().into());
        }
    }
    patch_by(cluster, object, &Patch::Merge(patch)).await
}

/// Takes a JSON patch to exactly the object that was read: another state of it is [`ApplyError::Stale`].
pub async fn json_patch_observed<K>(cluster: &Cluster, object: &K, operations: Value) -> Result<K, ApplyError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    let version =
        json!({"op": "replace", "path": "/metadata/resourceVersion", "value": object.resource_version()});
    let operations = operations.as_array().into_iter().flatten().cloned();
    let patch = Value::Array([version].into_iter().chain(operations).collect());
    let failed = |error| ApplyError::of(&K::kind(&()), &object.name_any(), error);
    let patch = serde_json::from_value(patch).map_err(kube::Error::SerdeError).map_err(failed)?;
    patch_by(cluster, object, &Patch::<Value>::Json(patch)).await
}

/// Merge-patches annotations of the object with this UID, whatever else of it changed.
pub async fn annotate<K>(cluster: &Cluster, object: &K, annotations: Value) -> Result<K, ApplyError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    let patch = json!({"metadata": {"uid": object.uid(), "annotations": annotations}});
    patch_by(cluster, object, &Patch::Merge(patch)).await
}

async fn patch_by<K>(cluster: &Cluster, object: &K, what: &Patch<Value>) -> Result<K, ApplyError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    let (kind, name) = (K::kind(&()), object.name_any());
    let namespace = object.namespace().unwrap_or_default();
    let write = Box::pin(async {
        let api = cluster.raw::<K>(&namespace);
        api.patch(&name, &cluster.patches(), what).await.map_err(|error| ApplyError::of(&kind, &name, error))
    });
    let written = match what {
        Patch::Json(operations) => serde_json::to_value(operations)
            .map_err(|error| ApplyError::of(&kind, &name, kube::Error::SerdeError(error)))?,
        Patch::Apply(fields) | Patch::Merge(fields) | Patch::Strategic(fields) => fields.clone(),
        _ => Value::Null,
    };
    let attempt = Attempt::of_patch(&kind, &namespace, &name, &written);
    let state = object.uid().unwrap_or_default();
    let patched = cluster.attempts.make(attempt, attempts::asked_by(object.meta()), state, write).await?;
    cluster.metrics.wrote(&kind, "patch");
    cluster.expectations.present(&kind, patched.meta());
    patched.read().map_err(|_| ApplyError::Stale { kind: kind.into_owned(), name })
}

/// Applies the status of exactly the object that was read, and gives what the API server made of it. The caller compares first: an equal status is not written.
pub async fn patch_status<K, S>(cluster: &Cluster, object: &K, status: &S) -> Result<Raw<K>, ApplyError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
    S: Serialize,
{
    let (kind, name) = (K::kind(&()), object.name_any());
    let patch = json!({
        "apiVersion": K::api_version(&()),
        "kind": kind,
        "metadata": {"name": name, "uid": object.uid(), "resourceVersion": object.resource_version()},
        "status": serde_json::to_value(status)
            .map_err(|error| ApplyError::of(&kind, &name, kube::Error::SerdeError(error)))?,
    });
    let written = cluster
        .raw::<K>(&object.namespace().unwrap_or_default())
        .patch_status(&name, &cluster.applies(), &Patch::Apply(patch))
        .await
        .map_err(|error| ApplyError::of(&kind, &name, error))?;
    cluster.metrics.wrote(&kind, "status");
    cluster.expectations.present(&kind, written.meta());
    Ok(written)
}

/// Merges members into the status of exactly the object that was read, which need not parse.
pub async fn merge_status<K>(cluster: &Cluster, object: &Raw<K>, status: Value) -> Result<(), ApplyError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    let (kind, name) = (K::kind(&()), object.name_any());
    let patch = json!({
        "metadata": {"uid": object.uid(), "resourceVersion": object.resource_version()},
        "status": status,
    });
    let written = cluster
        .raw::<K>(&object.namespace().unwrap_or_default())
        .patch_status(&name, &cluster.patches(), &Patch::Merge(patch))
        .await
        .map_err(|error| ApplyError::of(&kind, &name, error))?;
    cluster.metrics.wrote(&kind, "status");
    cluster.expectations.present(&kind, written.meta());
    Ok(())
}

/// Replaces the finalizers of exactly the object that was read, which need not parse.
pub async fn set_finalizers<K>(
    cluster: &Cluster,
    object: &Raw<K>,
    finalizers: &[String],
) -> Result<(), ApplyError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    let (kind, name) = (K::kind(&()), object.name_any());
    let patch = json!({"metadata": {
        "uid": object.uid(), "resourceVersion": object.resource_version(), "finalizers": finalizers,
    }});
    cluster
        .raw::<K>(&object.namespace().unwrap_or_default())
        .patch(&name, &cluster.patches(), &Patch::Merge(patch))
        .await
        .map_err(|error| ApplyError::of(&kind, &name, error))?;
    cluster.metrics.wrote(&kind, "patch");
    Ok(())
}
