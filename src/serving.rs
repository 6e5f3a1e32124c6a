//! The driver of ModelDeployments: observe → validate → resolve → decide → execute → status. Needs a client.
//!
//! Whether there is something to do is decided on the caches. Until a pod is ready there is nothing to lose, so what to do
//! is too; afterwards, it is decided on a fresh look at the API server.

pub mod adopt;
pub mod build;
mod error;
pub mod execute;
pub mod fetch;
pub mod identity;
pub mod pods;
pub mod probe;
pub mod reach;
pub mod record;
pub mod refusals;
pub mod repair;
pub mod retries;
pub mod revision;
pub mod rollout;
pub mod size;
pub mod snapshot;
pub mod status;
pub mod template;
mod terminating;
pub mod triggers;
mod turn;
pub mod unreadable;
pub mod validate;
pub mod version;

use std::{sync::Arc, time::Duration};

use k8s_openapi::{api::core::v1::Pod, jiff::Timestamp};
use kube::{Resource, ResourceExt as _, runtime::controller::Action};
use tokio::sync::watch;

pub use self::error::DeploymentError;
use self::{
    build::Owner,
    pods::Answer,
    probe::Prober,
    refusals::blocked_by,
    snapshot::{Snapshot, observe},
    status::{Blocked, Inputs},
    turn::{Turn, act, fetch_live},
};
use crate::{
    api::{ModelDeployment, ModelDeploymentStatus, condition},
    context::Context,
    k8s::{controller, events::Event, expectations::Expectation, refusals::Refusals},
};

/// A look at everything, in case that something was missed.
const RESYNC: Duration = Duration::from_mins(10);
/// How soon the caches show what was written.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// A look at a wait that nothing announces the end of.
const WAITING: Duration = Duration::from_secs(15);

/// Reconciles the ModelDeployments of a scope until `shutdown` says so.
pub async fn run(context: Arc<Context>, shutdown: watch::Receiver<bool>) {
    let deployments = context.caches.model_deployments.clone();
    let triggers = triggers::triggers(&context);
    let prober = Arc::new(Prober::of(&context.pods));
    let reconcile = move |deployment, context| reconcile(deployment, context, Arc::clone(&prober));
    controller::run(context, deployments, triggers, shutdown, reconcile, unreadable::reconcile).await;
}

/// Brings one ModelDeployment a step further, and tells what happened: all that was recorded, also where a later write
/// has to be decided anew.
pub async fn reconcile(
    deployment: Arc<ModelDeployment>,
    context: Arc<Context>,
    prober: Arc<Prober>,
) -> Result<Action, DeploymentError> {
    if deployment.metadata.deletion_timestamp.is_some() {
        let (name, namespace) = (deployment.name_any(), deployment.namespace().unwrap_or_default());
        context.metrics.set_phase(&namespace, &name, None);
        return tell_terminating(&context, &deployment).await;
    }
    context.attempts.asks(&deployment.metadata);
    let mut events = Vec::new();
    let outcome = Box::pin(advance(&deployment, &context, &prober, &mut events)).await;
    context.events.publish(&deployment.object_ref(&()), &events).await;
    outcome
}

async fn advance(
    deployment: &ModelDeployment,
    context: &Context,
    prober: &Prober,
    events: &mut Vec<Event>,
) -> Result<Action, DeploymentError> {
    let (name, namespace) = (deployment.name_any(), deployment.namespace().unwrap_or_default());
    let now = second(context.clock.now());
    if let Some(problem) = unreadable::around(context, &name, &namespace) {
        return unreadable::hold(context, deployment, &problem, now).await;
    }
    let valid = validate::validate_deployment(deployment);
    let children = match context.expectations.state(&context.caches, &namespace, &name) {
        Expectation::Satisfied => fetch::fetch_cached(context, &name, &namespace),
        Expectation::Pending => return Ok(Action::requeue(LOOK_AGAIN)),
        Expectation::Expired => fetch_live(context, &name, &namespace).await?,
    };
    let mut snapshot = observe(context, prober, deployment, valid.as_ref().ok(), children, now).await;
    let mut failure = None;
    if let Err(invalid) = &valid {
        snapshot.resolution.blocked = Some(Blocked::Invalid(invalid.to_string()));
    }
    let reference = deployment.controller_owner_ref(&()).unwrap_or_default();
    let owner = Owner { name: &name, namespace: &namespace, reference: &reference };
    let valid = valid.as_ref().ok();
    let turn = Turn { context, prober, deployment, valid, owner, now };
    let mut refusals = Refusals::default();
    match act(&turn, &mut snapshot, events, &mut refusals).await {
        Ok(()) => {}
        // what was read is not what is there: neither is a status made from it
        Err(error) if error.is_out_of_date() => {
            return Err(error);
        }
        Err(error) => {
            // what was not written did not happen
            snapshot.decision.leave_unwritten(&snapshot.observed);
            snapshot.resolution.blocked = blocked_by(&error).or(snapshot.resolution.blocked);
            failure = Some(error);
        }
    }
    // a spec that makes no sense is told before what is refused of what was made for an earlier one
    if !matches!(snapshot.resolution.blocked, Some(Blocked::Invalid(_))) {
        snapshot.resolution.blocked = refusals.blocked().or(snapshot.resolution.blocked);
    }
    let requested = snapshot.decision.request_done.is_some();
    match write_status(context, deployment, &snapshot, now, events).await {
        Ok(()) => {}
        // our own removal of a request moved the resourceVersion
        Err(error) if requested && error.is_out_of_date() => return Ok(Action::requeue(LOOK_AGAIN)),
        Err(error) => return Err(error),
    }
    prober.keep(|namespace, name, uid| {
        context.caches.pods.metadata(namespace, name).is_some_and(|pod| pod.uid.as_deref() == Some(uid))
    });
    // what was refused is tried again with backoff, whenever what was not has to be looked at
    match failure.or_else(|| refusals.into_error(next_look(&snapshot, false))) {
        Some(error) => Err(error),
        None => Ok(Action::requeue(next_look(&snapshot, snapshot.resolution.blocked.is_some()))),
    }
}

/// A whole second: times are kept in annotations, for people to read.
fn second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// Tells of one that was deleted why it is still there, if something holds it.
async fn tell_terminating(
    context: &Context,
    deployment: &ModelDeployment,
) -> Result<Action, DeploymentError> {
    let mut previous = deployment.status.clone().unwrap_or_default();
    previous.conditions = condition::ours(previous.conditions);
    let next = terminating::terminating_status(deployment, context.clock.now());
    if !deployment.finalizers().is_empty()
        && previous != next
        && let Err(error) = crate::unreadable::patch_status(context, deployment, &next).await
    {
        // it may be gone by now, and if it is not, its next change is looked at
        tracing::debug!(%error, "it is not told that it was deleted");
    }
    Ok(Action::await_change())
}

/// Writes the status, if it changed.
async fn write_status(
    context: &Context,
    deployment: &ModelDeployment,
    snapshot: &Snapshot,
    now: Timestamp,
    events: &mut Vec<Event>,
) -> Result<(), DeploymentError> {
    let inputs = Inputs {
        deployment,
        blocked: snapshot.resolution.blocked.as_ref(),
        desired: &snapshot.resolution.desired,
        observed: &snapshot.observed,
        decision: &snapshot.decision,
        data: &snapshot.data,
        answers: &snapshot.answers,
        nodes: &snapshot.children.nodes(),
        cluster_domain: &context.settings.cluster_domain,
        now,
    };
    let next = status::deployment_status(&inputs);
    let (name, namespace) = (deployment.name_any(), deployment.namespace().unwrap_or_default());
    context.metrics.set_phase(&namespace, &name, next.phase.as_deref());
    let mut previous = deployment.status.clone().unwrap_or_default();
    previous.conditions = condition::ours(previous.conditions);
    let blocked = status::blocked(&inputs, &next);
    if (ModelDeploymentStatus { request: None, ..previous }) != next {
        crate::unreadable::patch_status(context, deployment, &next).await?;
    }
    events.extend(blocked);
    Ok(())
}

fn next_look(snapshot: &Snapshot, waits: bool) -> Duration {
    let pods = || snapshot.observed.revisions.values().flat_map(|revision| &revision.pods);
    // one that fetches may say why it tries again, and one that is at work without getting ready why: nothing announces that
    let may_say = |pod: &rollout::Pod| {
        let said =
            |found: &Pod| retries::is_fetching(found) || (pod.problem.is_none() && probe::is_at_work(found));
        snapshot.children.pods.iter().any(|found| found.name_any() == pod.name && said(found))
    };
    let wordless = pods().any(|pod| !pod.ready && !pod.terminating && pod.labelled && may_say(pod));
    // of one that serves and did not answer in time, the status says nothing yet
    let silent = pods().any(|pod| {
        pod.in_service(&snapshot.observed.draining)
            && matches!(snapshot.answers.get(&pod.name), Some(Answer::Silent(_)))
    });
    let waits = (waits || wordless || silent).then_some(WAITING);
    [snapshot.decision.again, waits].into_iter().flatten().min().unwrap_or(RESYNC).min(RESYNC)
}
