//! A Model that does not parse: it is told so, and can be deleted. Needs a client.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use kube::{Resource as _, ResourceExt as _, runtime::controller::Action};
use serde_json::Map;

use super::{error::ModelError, observe, requeue::RESYNC, status};
use crate::{
    api::{
        ConditionStatus, Model,
        condition::{READY, RECONCILING, STALLED},
        name::MODEL_FINALIZER,
    },
    context::Context,
    k8s::{apply, cache::raw::Unreadable},
    unreadable::{self, Notice, UNREADABLE},
};

/// One reconcile of a Model that does not parse.
pub async fn reconcile(object: Unreadable<Model>, context: Arc<Context>) -> Result<Action, ModelError> {
    let (raw, problem) = (&object.raw, &object.problem);
    let now = context.clock.now();
    if raw.meta().deletion_timestamp.is_some() {
        return release(&object, &context, now).await;
    }
    if let Some(without) = unreadable::broken_status(problem) {
        apply::merge_status(&context, raw, without).await?;
        return Ok(Action::await_change());
    }
    let message = unreadable::left(problem);
    tell(&object, &context, STALLED, UNREADABLE, &message, now).await
}

/// Lets a deleted Model go, unless a ModelDeployment names it: as one that parses.
async fn release(
    object: &Unreadable<Model>,
    context: &Context,
    now: Timestamp,
) -> Result<Action, ModelError> {
    let raw = &object.raw;
    let (ours, others): (Vec<_>, Vec<_>) =
        raw.finalizers().iter().cloned().partition(|finalizer| finalizer == MODEL_FINALIZER);
    if ours.is_empty() {
        return Ok(Action::await_change());
    }
    let holders = observe::fetch_holders(context, &raw.name_any(), &raw.namespace().unwrap_or_default());
    if holders.is_empty() {
        apply::set_finalizers(context, raw, &others).await?;
        return Ok(Action::await_change());
    }
    tell(object, context, RECONCILING, status::IN_USE, &status::held(&holders), now).await
}

async fn tell(
    object: &Unreadable<Model>,
    context: &Context,
    type_: &'static str,
    reason: &'static str,
    message: &str,
    now: Timestamp,
) -> Result<Action, ModelError> {
    // a version that was made is served, whatever the spec says
    let is_ready = unreadable::is_true(&object.raw.at(&["status", "conditions"]), READY);
    let ready = if is_ready { ConditionStatus::True } else { ConditionStatus::False };
    let notice = Notice {
        conditions: vec![
            (READY, ready, reason, message.to_owned()),
            (type_, ConditionStatus::True, reason, message.to_owned()),
        ],
        stay: &[],
        further: Map::new(),
    };
    unreadable::tell(context, &object.raw, notice, message, now).await?;
    Ok(Action::requeue(RESYNC))
}
