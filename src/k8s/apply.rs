//! Writes to the API server: ordered server-side apply, creation, deletion with preconditions, status. In go prepared
//! objects, out come applied ones. Needs a client, which writes only while the Lease is held.

mod attempts;
mod error;
mod patch;

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use kube::{
    Api, Resource, ResourceExt as _,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, Preconditions},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use attempts::Attempt;
pub use attempts::Attempts;
pub use error::ApplyError;
use patch::check_stays;
pub use patch::{annotate, json_patch_observed, merge_status, patch_observed, patch_status, set_finalizers};

use super::{
    cluster::Cluster,
    objects::{
        Applied, Foreign, Item, Objects, Prepared, Standing, Write, contains, foreign, stamp, standing,
    },
};

/// Writes the objects in their order; what is already as rendered is left alone.
pub async fn apply_objects(
    cluster: &Cluster,
    objects: Objects<Prepared>,
) -> Result<Objects<Applied>, ApplyError> {
    let mut applied = Vec::new();
    for mut item in objects.into_items() {
        stamp(&mut item.value, cluster.manager.applied_hash);
        let (kind, namespace, name) = (&item.resource.kind, &item.namespace, &item.name);
        let attempt = Attempt::of_object(kind, namespace, name, &item.value);
        let state = item.observed.as_ref().map(attempts::state).unwrap_or_default();
        let asked_by = rendered_metadata(&item).map(|rendered| attempts::asked_by(&rendered))?;
        let write = Box::pin(apply_item(cluster, &item));
        item.value = cluster.attempts.make(attempt, asked_by, state, write).await?;
        applied.push(item);
    }
    Ok(Objects::applied(applied))
}

fn rendered_metadata(item: &Item) -> Result<kube::api::ObjectMeta, ApplyError> {
    serde_json::from_value(item.value.get("metadata").cloned().unwrap_or_default())
        .map_err(|error| ApplyError::of(&item.resource.kind, &item.name, kube::Error::SerdeError(error)))
}

async fn apply_item(cluster: &Cluster, item: &Item) -> Result<Value, ApplyError> {
    let api: Api<DynamicObject> =
        Api::namespaced_with(cluster.client.clone(), &item.namespace, &item.resource);
    let failed = |error| ApplyError::of(&item.resource.kind, &item.name, error);
    if let Some(observed) = &item.observed {
        return settle(cluster, &api, item, observed).await;
    }
    // the cache holds only what carries our label, and may be behind: what is there is seen when the write conflicts
    match item.write {
        Write::Create => {
            // the first that is made for a target, once: whatever follows is made for what has it
            if item.resource.kind == "ControllerRevision" {
                for owner in rendered_metadata(item)?.owner_references.iter().flatten() {
                    check_stays(cluster, &item.namespace, owner).await?;
                }
            }
            let object: DynamicObject = serde_json::from_value(item.value.clone())
                .map_err(kube::Error::SerdeError)
                .map_err(failed)?;
            match api.create(&cluster.creates(), &object).await {
                Ok(created) => {
                    cluster.metrics.wrote(&item.resource.kind, "create");
                    cluster.expectations.present(&item.resource.kind, &created.metadata);
                    return to_value(created).map_err(failed);
                }
                Err(kube::Error::Api(status)) if status.is_already_exists() => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Write::Apply => match patch_applied(cluster, &api, item, Expect::Absent).await {
            Err(ApplyError::Stale { .. }) => {}
            outcome => return outcome,
        },
    }
    let (kind, name) = (item.resource.kind.clone(), item.name.clone());
    let live = api.get_opt(&item.name).await.map_err(failed)?.ok_or(ApplyError::Stale { kind, name })?;
    cluster.expectations.present(&item.resource.kind, &live.metadata);
    settle(cluster, &api, item, &to_value(live).map_err(failed)?).await
}

/// Brings an existing object to what was rendered, if it is ours.
async fn settle(
    cluster: &Cluster,
    api: &Api<DynamicObject>,
    item: &Item,
    observed: &Value,
) -> Result<Value, ApplyError> {
    let (kind, name) = (item.resource.kind.clone(), item.name.clone());
    let failed = |error| ApplyError::of(&item.resource.kind, &item.name, error);
    let metadata = |value: &Value| {
        serde_json::from_value::<kube::api::ObjectMeta>(value.get("metadata").cloned().unwrap_or_default())
            .map_err(kube::Error::SerdeError)
            .map_err(failed)
    };
    let (found, rendered) = (metadata(observed)?, metadata(&item.value)?);
    // whoever it belongs to: the name is about to be free
    if found.deletion_timestamp.is_some() {
        return Err(ApplyError::Terminating { kind, name });
    }
    let standing = standing(&found, &rendered, cluster.manager.applied_hash);
    match standing {
        Standing::Stranger => return Err(ApplyError::NameTaken { kind, name }),
        Standing::Remains => return Err(ApplyError::Remains { kind, name }),
        Standing::Ours | Standing::Adoptable => {}
    }
    if standing == Standing::Adoptable {
        for owner in rendered.owner_references.iter().flatten() {
            check_stays(cluster, &item.namespace, owner).await?;
        }
    }
    let applied_hash = |metadata: &kube::api::ObjectMeta| {
        metadata.annotations.as_ref().and_then(|all| all.get(cluster.manager.applied_hash)).cloned()
    };
    match (item.write, standing) {
        // whether it is what its name says is judged by who reads it
        (Write::Create, Standing::Adoptable) if kind == "ControllerRevision" => {
            Err(ApplyError::Stale { kind, name })
        }
        (Write::Create, Standing::Adoptable) => {
            let patch = json!({"metadata": {
                "resourceVersion": found.resource_version,
                "uid": found.uid,
                "ownerReferences": item.value.pointer("/metadata/ownerReferences"),
            }});
            let adopted =
                api.patch(&item.name, &PatchParams::default(), &Patch::Merge(patch)).await.map_err(failed)?;
            cluster.metrics.wrote(&kind, "adopt");
            cluster.expectations.present(&kind, &adopted.metadata);
            tracing::info!(kind, name, namespace = item.namespace, "adopted");
            to_value(adopted).map_err(failed)
        }
        (Write::Create, _) => {
            let same = contains(
                observed.pointer("/metadata/labels").unwrap_or(&Value::Null),
                item.value.pointer("/metadata/labels").unwrap_or(&Value::Null),
            );
            if same {
                return Ok(observed.clone());
            }
            // another content under a name that we chose from a cache that was behind
            if !(NAMED_BY_CONTENT.contains(&kind.as_str()) || lacks_labels_only(&found, &rendered)) {
                return Err(ApplyError::Stale { kind, name });
            }
            // what somebody took off, or changed, hides the object from us
            let patch = json!({"metadata": {
                "resourceVersion": found.resource_version,
                "uid": found.uid,
                "labels": rendered.labels,
            }});
            let mended =
                api.patch(&item.name, &PatchParams::default(), &Patch::Merge(patch)).await.map_err(failed)?;
            cluster.metrics.wrote(&kind, "patch");
            cluster.expectations.present(&kind, &mended.metadata);
            to_value(mended).map_err(failed)
        }
        (Write::Apply, _) => {
            let foreign = foreign(&kind, observed, &item.value);
            if !foreign.is_empty() {
                take_out(cluster, api, item, &found, &foreign).await?;
            } else if applied_hash(&found) == applied_hash(&rendered) && contains(observed, &item.value) {
                return Ok(observed.clone());
            }
            let applied = patch_applied(cluster, api, item, Expect::Uid(found.uid)).await?;
            let left = self::foreign(&kind, &applied, &item.value);
            if left.is_empty() {
                return Ok(applied);
            }
            let fields: Vec<_> = left.iter().map(Foreign::field).collect();
            let left = attempts::state(&applied);
            Err(ApplyError::Overruled { kind, name, fields: fields.join(", "), left })
        }
    }
}

/// Puts back, whole, what a server-side apply would only add to: it leaves what others put in, and may then be refused
/// because of that.
async fn take_out(
    cluster: &Cluster,
    api: &Api<DynamicObject>,
    item: &Item,
    found: &kube::api::ObjectMeta,
    foreign: &[Foreign],
) -> Result<(), ApplyError> {
    let kind = &item.resource.kind;
    let failed = |error| ApplyError::of(kind, &item.name, error);
    // another state of the object is a conflict
    let version =
        json!({"op": "replace", "path": "/metadata/resourceVersion", "value": found.resource_version});
    let operations = [version].into_iter().chain(foreign.iter().map(Foreign::operation)).collect();
    let patch =
        serde_json::from_value(Value::Array(operations)).map_err(kube::Error::SerdeError).map_err(failed)?;
    let patched =
        api.patch(&item.name, &cluster.patches(), &Patch::<()>::Json(patch)).await.map_err(failed)?;
    cluster.metrics.wrote(kind, "patch");
    cluster.expectations.present(kind, &patched.metadata);
    let fields: Vec<_> = foreign.iter().map(Foreign::field).collect();
    let (name, namespace, fields) = (&item.name, &item.namespace, fields.join(", "));
    tracing::info!(kind, name, namespace, fields, "put back what somebody else had changed");
    Ok(())
}

/// Kinds whose names carry a hash of their content: under such a name there is no other content, whatever labels say.
const NAMED_BY_CONTENT: [&str; 2] = ["ControllerRevision", "ReplicaSet"];

/// Whether an object has none of our labels with another value.
fn lacks_labels_only(found: &kube::api::ObjectMeta, rendered: &kube::api::ObjectMeta) -> bool {
    let has = |label: &String| found.labels.as_ref().and_then(|labels| labels.get(label));
    rendered.labels.iter().flatten().all(|(label, value)| has(label).is_none_or(|found| found == value))
}

/// What a server-side apply is for; anything else is a conflict.
enum Expect {
    /// No object of that name.
    Absent,
    /// The object with this UID.
    Uid(Option<String>),
}

/// A version that no object has: a conflict with whatever there is. Where there is nothing, the object is made all the
/// same, since a new object has no version to compare.
const NO_VERSION: &str = "1";

async fn patch_applied(
    cluster: &Cluster,
    api: &Api<DynamicObject>,
    item: &Item,
    expect: Expect,
) -> Result<Value, ApplyError> {
    let failed = |error| ApplyError::of(&item.resource.kind, &item.name, error);
    let mut value = item.value.clone();
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        match expect {
            Expect::Absent => metadata.insert("resourceVersion".into(), NO_VERSION.into()),
            Expect::Uid(uid) => metadata.insert("uid".into(), uid.into()),
        };
    }
    let applied = api.patch(&item.name, &cluster.applies(), &Patch::Apply(value)).await.map_err(failed)?;
    cluster.metrics.wrote(&item.resource.kind, "apply");
    cluster.expectations.present(&item.resource.kind, &applied.metadata);
    to_value(applied).map_err(failed)
}

/// Deletes exactly the object that was read (UID and resourceVersion), its dependents in the background. An object that
/// is gone already, or on its way out, is a success.
pub async fn delete<K>(cluster: &Cluster, object: &K) -> Result<(), ApplyError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    let (kind, name) = (K::kind(&()), object.name_any());
    // another request changes nothing: a finalizer holds it, maybe for ever
    if object.meta().deletion_timestamp.is_some() {
        return Ok(());
    }
    let parameters = DeleteParams::background()
        .preconditions(Preconditions { resource_version: object.resource_version(), uid: object.uid() });
    let namespace = object.namespace().unwrap_or_default();
    let write = Box::pin(async {
        match cluster.raw::<K>(&namespace).delete(&name, &parameters).await {
            Ok(_) => {
                cluster.metrics.wrote(&kind, "delete");
                cluster.expectations.gone(&kind, object.meta());
                Ok(())
            }
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            Err(error) => Err(ApplyError::of(&kind, &name, error)),
        }
    });
    let attempt = Attempt::of_deletion(&kind, &namespace, &name);
    let state = object.uid().unwrap_or_default();
    cluster.attempts.make(attempt, attempts::asked_by(object.meta()), state, write).await
}

fn to_value(object: DynamicObject) -> Result<Value, kube::Error> {
    serde_json::to_value(object).map_err(kube::Error::SerdeError)
}
