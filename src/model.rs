//! The driver of Models: observe → validate → plan → execute → status. Needs a client.

pub mod build;
pub mod error;
pub mod execute;
mod finalizer;
pub mod in_use;
mod jobs;
pub mod kept;
pub mod observe;
pub mod plan;
mod refusals;
mod requeue;
pub mod retention;
pub mod run;
pub mod snapshot;
pub mod spec_hash;
pub mod status;
mod triggers;
pub mod unknown;
pub mod unreadable;
pub mod validate;
pub mod versions;
pub mod writes;

use std::sync::Arc;

use kube::{Resource as _, runtime::controller::Action};
use tokio::sync::watch;

pub use self::error::ModelError;
use self::{
    execute::{Executor, write_status},
    plan::Plan,
    snapshot::Snapshot,
    status::{Inputs, ModelState},
    validate::ValidModel,
    writes::Write,
};
use crate::{api::Model, context::Context, k8s::controller, problem::Problem};

/// Reconciles the Models of a scope until `shutdown` says so.
pub async fn run(context: Arc<Context>, shutdown: watch::Receiver<bool>) {
    let models = context.caches.models.clone();
    let triggers = triggers::triggers(&context);
    controller::run(context, models, triggers, shutdown, reconcile, unreadable::reconcile).await;
}

/// One reconcile of one Model.
pub async fn reconcile(model: Arc<Model>, context: Arc<Context>) -> Result<Action, ModelError> {
    context.attempts.asks(&model.metadata);
    let mut snapshot = observe::observe(&context, &model).await;
    if model.metadata.deletion_timestamp.is_some() {
        return finalizer::release(&context, &model, &snapshot).await;
    }
    let model = finalizer::protect(&context, model, &snapshot).await?;
    let mut executor = Executor::new(&context);
    let (plan, state, error) = match validate::validate_model(&model) {
        Err(invalid) => {
            let problem = Problem { reason: "InvalidSpec".into(), message: invalid.to_string() };
            (None, ModelState::Blocked(problem), None)
        }
        Ok(valid) => {
            let plan = decide(&context, &model, &valid, &mut snapshot).await?;
            let (writes, state) = writes::plan_writes(&plan, &valid, &context.settings, &snapshot);
            match Box::pin(executor.execute_all(&writes)).await {
                Ok(()) => {
                    // what the spec asks for stands, whether old versions can be removed or not
                    let error = remove_versions(&context, &model, &valid, &plan, &mut executor).await.err();
                    (Some(plan), state, error)
                }
                // what was read is not what is there: neither is a status made from it
                Err(error) if error.is_out_of_date() => return Err(error),
                Err(error) => (Some(plan), refusals::failed_write(&error), Some(error)),
            }
        }
    };
    let Executor { refusals, removed, .. } = executor;
    let refused = refusals.words();
    write_status(&context, &Inputs::of(&model, &snapshot, plan.as_ref(), &state, refused.as_deref())).await?;
    let events: Vec<_> = status::removal(&removed).into_iter().collect();
    context.events.publish(&model.object_ref(&()), &events).await;
    match error.or_else(|| refusals.into_error()) {
        // what is on its way out is announced when it is gone
        Some(ModelError::Apply(error)) if error.waits() => Ok(Action::requeue(requeue::WAITING)),
        Some(error) => Err(error),
        None => Ok(requeue::next_look(plan.as_ref(), &state, snapshot.waited)),
    }
}

/// Decides on the caches, unless these know of fewer versions or pods than there were: they may be behind, and a version
/// or a Job would be made for nothing (R7).
async fn decide(
    context: &Context,
    model: &Model,
    valid: &ValidModel,
    snapshot: &mut Snapshot,
) -> Result<Plan, ModelError> {
    let mut plan = plan::plan_model(model, valid, snapshot);
    if plan.rests_on_absent_pods() {
        snapshot.pods = observe::fetch_pods(context, model).await?;
        plan = plan::plan_model(model, valid, snapshot);
    }
    if plan.skips_a_number(snapshot) {
        snapshot.versions = observe::fetch_versions(context, model).await?;
        plan = plan::plan_model(model, valid, snapshot);
    }
    Ok(plan)
}

/// Deletes the versions that are not kept any longer. The caches say whether there may be any, a fresh look says which:
/// somebody may just have begun to use one.
async fn remove_versions(
    context: &Context,
    model: &Model,
    valid: &ValidModel,
    plan: &Plan,
    executor: &mut Executor<'_>,
) -> Result<(), ModelError> {
    if plan.remove.is_empty() {
        return Ok(());
    }
    let (versions, in_use) = observe::fetch_live(context, model).await?;
    let remove = retention::plan_removal(model, valid, &versions, &in_use);
    let writes: Vec<_> = remove.into_iter().map(Write::DeleteVersion).collect();
    executor.execute_all(&writes).await
}
