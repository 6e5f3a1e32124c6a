//! Execute: makes the writes of a plan, in their order, and writes the status. What changes or deletes carries the UID and the
//! resourceVersion of what was decided on. Needs a client.

use kube::{Resource, ResourceExt as _};
use serde_json::json;

use super::{
    error::ModelError,
    status::{self, Inputs},
    writes::Write,
};
use crate::{
    api::{
        condition,
        name::{SELECTED_GENERATION_ANNOTATION, SPEC_HASHES_ANNOTATION, SUSPENDED_ANNOTATION},
    },
    context::Context,
    k8s::{
        apply::{self, ApplyError},
        objects::{self, Objects},
        refusals::Refusals,
    },
    unreadable,
};

/// Makes the writes of one reconcile.
pub struct Executor<'a> {
    context: &'a Context,
    /// Writes that were refused and that nothing rests on.
    pub refusals: Refusals<ModelError>,
    /// Numbers of the versions that were deleted.
    pub removed: Vec<u64>,
}

impl<'a> Executor<'a> {
    /// One that has made none yet.
    pub fn new(context: &'a Context) -> Self {
        Self { context, refusals: Refusals::default(), removed: Vec::new() }
    }

    /// Makes writes, in their order. One that is refused ends them if the others rest on it, and otherwise goes into the
    /// refusals.
    pub async fn execute_all(&mut self, writes: &[Write]) -> Result<(), ModelError> {
        for write in writes {
            let made = self.execute(write).await;
            if write.is_needed() {
                made?;
            } else {
                self.refusals.take(made)?;
            }
        }
        Ok(())
    }

    async fn execute(&mut self, write: &Write) -> Result<(), ModelError> {
        match write {
            Write::Adopt { version, owner } => {
                let owners = json!({"metadata": {"ownerReferences": [owner]}});
                apply::patch_observed(self.context, version.as_ref(), owners).await?;
                log(version.as_ref(), "adopted", "nobody controlled it");
            }
            Write::DeleteJob { job, why, .. } => {
                apply::delete(self.context, job.as_ref()).await?;
                log(job.as_ref(), "deleted", why);
            }
            Write::CreateJob(job) => self.create(job.as_ref()).await?,
            Write::Suspend { job, suspend } => {
                // of its spec nothing but this field
                let patch = json!({
                    "metadata": {"annotations": {SUSPENDED_ANNOTATION: suspend.then_some("true")}},
                    "spec": {"suspend": suspend},
                });
                apply::patch_observed(self.context, job.as_ref(), patch).await?;
            }
            Write::CreateVersion(version) => self.create(version.as_ref()).await?,
            Write::Select { version, stamp, hashes } => {
                let mut annotations = json!({SELECTED_GENERATION_ANNOTATION: stamp.to_string()});
                if let Some(hashes) = hashes {
                    annotations[SPEC_HASHES_ANNOTATION] = hashes.as_str().into();
                }
                let patch = json!({"metadata": {"annotations": annotations}});
                apply::patch_observed(self.context, version.as_ref(), patch).await?;
            }
            Write::DeleteVersion(version) => match apply::delete(self.context, version.as_ref()).await {
                // one that changed since is left for the next look
                Err(ApplyError::Stale { .. }) => {}
                deleted => {
                    deleted?;
                    log(version.as_ref(), "deleted", "it is not kept any longer");
                    self.removed.push(version.spec.version);
                }
            },
        }
        Ok(())
    }

    async fn create<K>(&self, object: &K) -> Result<(), ModelError>
    where
        K: Resource<DynamicType = ()> + serde::Serialize,
    {
        let mut objects = Objects::default();
        objects.push(objects::Write::Create, object, None)?;
        apply::apply_objects(self.context, objects).await?;
        Ok(())
    }
}

fn log<K: Resource<DynamicType = ()>>(object: &K, done: &str, why: &str) {
    let (kind, name, namespace) = (K::kind(&()), object.name_any(), object.namespace().unwrap_or_default());
    tracing::info!(%kind, name, namespace, why, "{done}");
}

/// Writes the status and the events of its transitions, if it changed.
pub async fn write_status(context: &Context, inputs: &Inputs<'_>) -> Result<(), ModelError> {
    let mut previous = inputs.model.status.clone().unwrap_or_default();
    previous.conditions = condition::ours(previous.conditions);
    let next = status::model_status(inputs);
    if previous != next {
        unreadable::patch_status(context, inputs.model, &next).await?;
        let events = status::events(&previous, &next, inputs.state);
        context.events.publish(&inputs.model.object_ref(&()), &events).await;
    }
    Ok(())
}
