//! The driver of ModelDeployments: observe → validate → resolve → decide → execute → status. Needs a client.
//!
//! Whether there is something to do is decided on the caches. Until a pod is ready there is nothing to lose, so what to do
//! is too; afterwards, it is decided on a fresh look at the API server.

pub mod adopt;
pub mod build;
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
pub mod unreadable;
pub mod validate;
pub mod version;

use std::{sync::Arc, time::Duration};

use k8s_openapi::{
    api::{apps::v1::ControllerRevision, core::v1::Pod},
    jiff::Timestamp,
};
use kube::{Resource, ResourceExt as _, runtime::controller::Action};
use tokio::sync::watch;

use self::{
    build::Owner,
    execute::Executor,
    fetch::Children,
    pods::Answer,
    probe::Prober,
    record::Record,
    refusals::blocked_by,
    revision::VersionReference,
    snapshot::{Snapshot, observe},
    status::{Blocked, Inputs},
    validate::ValidDeployment,
};
use crate::{
    api::{ModelDeployment, ModelDeploymentStatus, condition, name},
    context::Context,
    k8s::{
        apply::{self, ApplyError},
        controller::{self, ReconcileError},
        events::Event,
        expectations::Expectation,
        objects::{Objects, Unrenderable, Write},
        refusals::{Refusals, WriteError},
    },
};

/// A look at everything, in case that something was missed.
const RESYNC: Duration = Duration::from_mins(10);
/// How soon the caches show what was written.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// A look at a wait that nothing announces the end of.
const WAITING: Duration = Duration::from_secs(15);

/// Why a ModelDeployment was not reconciled.
#[derive(Debug, thiserror::Error)]
pub enum DeploymentError {
    /// A write failed.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// An object cannot be rendered.
    #[error(transparent)]
    Render(#[from] Unrenderable),
    /// The API server did not tell what there is.
    #[error("the objects of the ModelDeployment cannot be listed")]
    Fetch {
        /// What the client says.
        #[source]
        source: Box<kube::Error>,
    },
    /// A person's request could not be removed.
    #[error("the request that is done with cannot be removed from the status")]
    Request {
        /// What the client says.
        #[source]
        source: Box<kube::Error>,
    },
    /// Some writes did not succeed; all others did.
    #[error("reconciled in part: {source}")]
    InPart {
        /// The first of them.
        source: Box<DeploymentError>,
        /// When what did succeed has to be looked at again.
        again: Duration,
    },
}

impl DeploymentError {
    fn is_out_of_date(&self) -> bool {
        matches!(self, Self::Apply(ApplyError::Stale { .. }))
    }

    /// Whether it ends by itself: what is in the way is on its way out.
    pub fn waits(&self) -> bool {
        matches!(self, Self::Apply(error) if error.waits())
    }
}

impl WriteError for DeploymentError {
    fn concerns_one_write(&self) -> bool {
        match self {
            Self::Apply(error) => error.concerns_one_write(),
            Self::Render(_) => true,
            Self::Request { source } => matches!(**source, kube::Error::Api(_)),
            Self::Fetch { .. } | Self::InPart { .. } => false,
        }
    }
}

impl ReconcileError for DeploymentError {
    fn label(&self) -> &'static str {
        match self {
            Self::Apply(error) => error.label(),
            Self::Render(_) => "render",
            Self::Fetch { .. } => "fetch",
            Self::Request { .. } => "request",
            Self::InPart { source, .. } => source.label(),
        }
    }

    fn longest_wait(&self) -> Option<Duration> {
        match self {
            Self::InPart { again, .. } => Some(*again),
            _ => None,
        }
    }
}

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

/// One reconcile of a ModelDeployment.
struct Turn<'a> {
    context: &'a Context,
    prober: &'a Prober,
    deployment: &'a ModelDeployment,
    valid: Option<&'a ValidDeployment>,
    owner: Owner<'a>,
    now: Timestamp,
}

impl Turn<'_> {
    /// Looks at the API server itself. What was in the way stays so.
    async fn observe_afresh(&self, snapshot: &mut Snapshot) -> Result<(), DeploymentError> {
        let children = fetch_live(self.context, self.owner.name, self.owner.namespace).await?;
        let before = snapshot.resolution.blocked.take();
        *snapshot = observe(self.context, self.prober, self.deployment, self.valid, children, self.now).await;
        snapshot.resolution.blocked = snapshot.resolution.blocked.take().or(before);
        Ok(())
    }

    /// Where a look's decision is written to.
    fn executor<'a>(&'a self, snapshot: &'a Snapshot) -> Executor<'a> {
        snapshot.executor(self.context, self.deployment, self.owner.clone(), self.now)
    }

    /// Makes the writes of a look's decision.
    async fn execute(
        &self,
        snapshot: &mut Snapshot,
        events: &mut Vec<Event>,
        refusals: &mut Refusals<DeploymentError>,
    ) -> Result<(), DeploymentError> {
        let mut decision = snapshot.decision.clone();
        self.executor(snapshot).execute_all(&mut decision, &snapshot.observed, events, refusals).await?;
        snapshot.decision = decision;
        Ok(())
    }
}

/// Writes what the look asks for: a first start at once, anything else as it is decided on a fresh look. What is refused of
/// it goes into `refusals`, and all the rest is done.
async fn act(
    turn: &Turn<'_>,
    snapshot: &mut Snapshot,
    events: &mut Vec<Event>,
    refusals: &mut Refusals<DeploymentError>,
) -> Result<(), DeploymentError> {
    apply_around(turn.context, &turn.owner, snapshot, refusals).await?;
    let has_past = add_target(turn, snapshot, events, refusals).await?;
    if !has_past && turn.executor(snapshot).repairs().is_empty() {
        if snapshot.decision.is_settled(&snapshot.observed) {
            return Ok(());
        }
        if snapshot.decision.is_first_start(&snapshot.observed) {
            return turn.execute(snapshot, events, refusals).await;
        }
    }
    turn.observe_afresh(snapshot).await?;
    // one thing after another: an owner, labels, a template, then the pods that came of it
    for _ in 0..4 {
        if !turn.executor(snapshot).repair(events, refusals).await? {
            break;
        }
        turn.observe_afresh(snapshot).await?;
    }
    turn.execute(snapshot, events, refusals).await
}

/// Makes the revision of a target that has none, and takes it into the look. Out comes whether it turned out to be there, with
/// a past that the look does not know.
async fn add_target(
    turn: &Turn<'_>,
    snapshot: &mut Snapshot,
    events: &mut Vec<Event>,
    refusals: &mut Refusals<DeploymentError>,
) -> Result<bool, DeploymentError> {
    let (Some((hash, version_reference)), Some(valid)) = (snapshot.new_target().cloned(), turn.valid) else {
        return Ok(false);
    };
    let short = name::short_revision(&hash);
    let record = snapshot.decision.records.get(short).cloned().unwrap_or_default();
    let made = make_revision(turn.context, &turn.owner, valid, &hash, &version_reference, &record).await;
    let made = refusals.take(made)?.flatten();
    let Some(made) = made.filter(|made| Record::read(made.annotations()) == record) else { return Ok(true) };
    snapshot.add(made);
    events.extend(status::transition(&snapshot.data, short, None, &record));
    events.extend(size::warning(&valid.asked, &version_reference));
    Ok(false)
}

/// What the API server holds now.
async fn fetch_live(context: &Context, name: &str, namespace: &str) -> Result<Children, DeploymentError> {
    fetch::fetch_live(context, name, namespace)
        .await
        .map_err(|source| DeploymentError::Fetch { source: Box::new(source) })
}

/// Makes the revision of a target, with what is recorded on it.
async fn make_revision(
    context: &Context,
    owner: &Owner<'_>,
    valid: &ValidDeployment,
    hash: &str,
    version_reference: &VersionReference,
    record: &Record,
) -> Result<Option<ControllerRevision>, DeploymentError> {
    let account = context.caches.has_workload_account(owner.namespace);
    let mut revision =
        build::build_revision(owner, hash, &valid.asked, version_reference, &context.settings, account);
    let recorded = record.annotation().into_iter().map(|(key, text)| (key.to_owned(), text));
    revision.annotations_mut().extend(recorded);
    let name = revision.name_any();
    let mut objects = Objects::default();
    objects.push(Write::Create, &revision, None)?;
    Ok(apply::apply_objects(context, objects).await?.get(&name))
}

/// The Service, and the budget of what has, or had, several pods. None of the two stops the other.
async fn apply_around(
    context: &Context,
    owner: &Owner<'_>,
    snapshot: &Snapshot,
    refusals: &mut Refusals<DeploymentError>,
) -> Result<(), DeploymentError> {
    let (caches, replicas) = (&context.caches, snapshot.resolution.desired.replicas);
    let uid = snapshot.children.pods_uid();
    let mut service = Objects::default();
    let known = caches.services.get(owner.namespace, owner.name);
    service.push(Write::Apply, &build::build_service(owner, uid.as_deref()), known.as_deref())?;
    refusals.take(apply::apply_objects(context, service).await)?;
    let known = caches.disruption_budgets.get(owner.namespace, owner.name);
    if replicas > 1 || known.is_some() {
        let mut budget = Objects::default();
        budget.push(
            Write::Apply,
            &build::build_disruption_budget(owner, uid.as_deref()),
            known.as_deref(),
        )?;
        refusals.take(apply::apply_objects(context, budget).await)?;
    }
    Ok(())
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
