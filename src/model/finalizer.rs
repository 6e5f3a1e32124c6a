//! The finalizer of a Model, which keeps it while a ModelDeployment names it. Needs a client.

use std::sync::Arc;

use kube::{ResourceExt as _, runtime::controller::Action};
use serde_json::json;

use super::{
    error::ModelError,
    execute::write_status,
    refusals::failed_write,
    requeue::RESYNC,
    snapshot::Snapshot,
    status::{Inputs, ModelState},
};
use crate::{
    api::{Model, name::MODEL_FINALIZER},
    context::Context,
    k8s::{apply, refusals::WriteError as _},
};

/// The Model with our finalizer. Without it nothing is made: what names the Model could not hold it.
pub async fn protect(
    context: &Context,
    model: Arc<Model>,
    snapshot: &Snapshot,
) -> Result<Arc<Model>, ModelError> {
    let mut finalizers = model.finalizers().to_vec();
    if finalizers.iter().any(|finalizer| finalizer == MODEL_FINALIZER) {
        return Ok(model);
    }
    finalizers.push(MODEL_FINALIZER.into());
    let patch = json!({"metadata": {"finalizers": finalizers}});
    match apply::patch_observed(context, model.as_ref(), patch).await {
        Ok(protected) => Ok(Arc::new(protected)),
        Err(error) => Err(tell_refused(context, &model, snapshot, error.into()).await?),
    }
}

/// Lets a deleted Model go, unless a ModelDeployment names it.
pub async fn release(context: &Context, model: &Model, snapshot: &Snapshot) -> Result<Action, ModelError> {
    let (ours, others): (Vec<_>, Vec<_>) =
        model.finalizers().iter().partition(|finalizer| *finalizer == MODEL_FINALIZER);
    if ours.is_empty() {
        return Ok(Action::await_change());
    }
    if snapshot.holders.is_empty() {
        let finalizers = json!({"metadata": {"finalizers": others}});
        let released = apply::patch_observed(context, model, finalizers).await;
        return match released {
            Ok(_) => Ok(Action::await_change()),
            Err(error) => Err(tell_refused(context, model, snapshot, error.into()).await?),
        };
    }
    let held = ModelState::Held(snapshot.holders.clone());
    write_status(context, &Inputs::of(model, snapshot, None, &held, None)).await?;
    Ok(Action::requeue(RESYNC))
}

/// Tells a refusal with which a reconcile ends, and gives it back.
async fn tell_refused(
    context: &Context,
    model: &Model,
    snapshot: &Snapshot,
    error: ModelError,
) -> Result<ModelError, ModelError> {
    if error.concerns_one_write() {
        let state = failed_write(&error);
        write_status(context, &Inputs::of(model, snapshot, None, &state, None)).await?;
    }
    Ok(error)
}
