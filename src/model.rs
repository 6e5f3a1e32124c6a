//! The driver of Models: fetch → validate → plan → build → apply → status. Needs a client.

pub mod build;
pub mod fetch;
pub mod in_use;
pub mod kept;
pub mod observed;
pub mod plan;
mod refusals;
pub mod retention;
pub mod run;
pub mod spec_hash;
pub mod status;
pub mod unknown;
pub mod unreadable;
pub mod validate;
pub mod versions;

use std::{sync::Arc, time::Duration};

use futures::{Stream, StreamExt as _, future::ready, stream};
use k8s_openapi::{api::batch::v1::Job, jiff::SignedDuration};
use kube::{
    Resource, ResourceExt as _,
    runtime::{controller::Action, reflector::ObjectRef},
};
use serde_json::json;
use tokio::sync::watch;

use self::{
    observed::Observed,
    plan::{Plan, Step},
    run::{RunState, containers::TRAINING_PHASE, waits},
    status::{Inputs, Outcome, Score},
    validate::ValidModel,
};
use crate::{
    api::{
        Model, ModelVersion, condition,
        name::{
            MODEL_FINALIZER, SELECTED_GENERATION_ANNOTATION, SPEC_HASHES_ANNOTATION, SUSPENDED_ANNOTATION,
        },
    },
    context::Context,
    k8s::{
        apply::{self, ApplyError},
        cache::{follow::Change, handle::Handle, index::Key},
        controller::{self, ReconcileError, chain},
        objects::{Objects, Unrenderable, Write},
        refusals::{Refusals, WriteError as _},
    },
    problem::Problem,
};

/// A look at everything, in case that something was missed.
const RESYNC: Duration = Duration::from_mins(10);
/// A look at a run that waits: the reason may be in events, which are not watched.
const WAITING: Duration = Duration::from_secs(5);
/// The same of one that has waited for minutes.
const WAITING_LONG: Duration = Duration::from_mins(1);
/// A look at how far a training is.
const TRAINING: Duration = Duration::from_secs(10);

/// Why a Model was not reconciled.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A write failed.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// An object cannot be rendered.
    #[error(transparent)]
    Render(#[from] Unrenderable),
    /// The API server did not tell what there is: versions, who uses them, or pods of runs.
    #[error("what belongs to the Model cannot be listed")]
    Fetch {
        /// What the client says.
        #[source]
        source: Box<kube::Error>,
    },
}

impl ModelError {
    fn is_out_of_date(&self) -> bool {
        use ApplyError::{NotLeading, Stale};
        matches!(self, Self::Apply(Stale { .. } | NotLeading(_)))
    }
}

impl ReconcileError for ModelError {
    fn label(&self) -> &'static str {
        match self {
            Self::Apply(error) => error.label(),
            Self::Render(_) => "render",
            Self::Fetch { .. } => "fetch",
        }
    }
}

/// Reconciles the Models of a scope until `shutdown` says so.
pub async fn run(context: Arc<Context>, shutdown: watch::Receiver<bool>) {
    let models = context.caches.models.clone();
    let triggers = triggers(&context);
    controller::run(context, models, triggers, shutdown, reconcile, unreadable::reconcile).await;
}

/// Models whose own state, or that of something around them, changed.
fn triggers(context: &Context) -> impl Stream<Item = ObjectRef<Handle<Model>>> + Send + use<> {
    let caches = &context.caches;
    stream::select_all([
        caches.models.changes().filter_map(async |change| owner(&change)).boxed(),
        caches.jobs.changes().filter_map(async |change| owner(&change)).boxed(),
        // a serving pod carries the Model's label too, and says nothing of it
        caches
            .pods
            .changes()
            .filter(|change| ready(!change.object.keys().iter().any(|key| matches!(key, Key::Deployment(_)))))
            .filter_map(async |change| owner(&change))
            .boxed(),
        caches.versions.changes().filter_map(async |change| owner(&change)).boxed(),
        // a revision that is gone may have been the last user of a version
        caches.revisions.changes().filter_map(async |change| standing(&change)).boxed(),
        caches.model_deployments.changes().filter_map(async |change| standing(&change)).boxed(),
    ])
}

/// The Model that an object belongs to.
fn owner<K: Resource<DynamicType = ()>>(change: &Change<K>) -> Option<ObjectRef<Handle<Model>>> {
    let object = &change.object;
    object.keys().iter().find_map(|key| match key {
        Key::Model(name) => Some(object.neighbour(name)),
        _ => None,
    })
}

/// The Model of what uses versions, where it may use others than before.
fn standing<K: Resource<DynamicType = ()>>(change: &Change<K>) -> Option<ObjectRef<Handle<Model>>> {
    if change.is_standing { owner(change) } else { None }
}

/// One reconcile of one Model.
pub async fn reconcile(model: Arc<Model>, context: Arc<Context>) -> Result<Action, ModelError> {
    context.attempts.asks(&model.metadata);
    let mut observed = fetch::fetch_observed(&context, &model).await;
    if model.metadata.deletion_timestamp.is_some() {
        return release(&context, &model, &observed).await;
    }
    let model = match protect(&context, Arc::clone(&model)).await {
        // without the finalizer nothing is made: what names the Model could not hold it
        Err(error) => return Err(tell_refused(&context, &model, &observed, error).await?),
        Ok(protected) => protected,
    };
    let (mut removed, mut refusals) = (Vec::new(), Refusals::default());
    let (plan, outcome, error) = match validate::validate_model(&model) {
        Err(invalid) => {
            let problem = Problem { reason: "InvalidSpec".into(), message: invalid.to_string() };
            (None, Outcome::Blocked(problem), None)
        }
        Ok(valid) => {
            let plan = decide(&context, &model, &valid, &mut observed).await?;
            match Box::pin(act(&context, &valid, &plan, &observed, &mut refusals)).await {
                Ok(outcome) => {
                    // what the spec asks for stands, whether old versions can be removed or not
                    let removal =
                        remove_versions(&context, &model, &valid, &plan, &mut removed, &mut refusals);
                    let error = removal.await.err();
                    (Some(plan), outcome, error)
                }
                // what was read is not what is there: neither is a status made from it
                Err(error) if error.is_out_of_date() => return Err(error),
                Err(error) => (Some(plan), failed_write(&error), Some(error)),
            }
        }
    };
    let refused = refusals.words();
    write_status(&context, &inputs(&model, &observed, plan.as_ref(), &outcome, refused.as_deref())).await?;
    let events: Vec<_> = status::removal(&removed).into_iter().collect();
    context.events.publish(&model.object_ref(&()), &events).await;
    match error.or_else(|| refusals.into_error()) {
        // what is on its way out is announced when it is gone
        Some(ModelError::Apply(error)) if error.waits() => Ok(Action::requeue(WAITING)),
        Some(error) => Err(error),
        None => Ok(next_look(plan.as_ref(), &outcome, observed.waited)),
    }
}

/// Decides on the caches, unless these know of fewer versions or pods than there were: they may be behind, and a version
/// or a Job would be made for nothing (R7).
async fn decide(
    context: &Context,
    model: &Model,
    valid: &ValidModel,
    observed: &mut Observed,
) -> Result<Plan, ModelError> {
    let failed = |source| ModelError::Fetch { source: Box::new(source) };
    let mut plan = plan::plan_model(model, valid, observed);
    if plan.rests_on_absent_pods() {
        observed.pods = fetch::fetch_pods(context, model).await.map_err(failed)?;
        plan = plan::plan_model(model, valid, observed);
    }
    if plan.skips_a_number(observed) {
        observed.versions = fetch::fetch_versions(context, model).await.map_err(failed)?;
        plan = plan::plan_model(model, valid, observed);
    }
    Ok(plan)
}

/// Writes what the plan asks for. What is refused of it goes into `refusals`, and all the rest is done.
async fn act(
    context: &Context,
    valid: &ValidModel,
    plan: &Plan,
    observed: &Observed,
    refusals: &mut Refusals<ModelError>,
) -> Result<Outcome, ModelError> {
    for version in &plan.adopt {
        let owners = json!({"metadata": {"ownerReferences": [valid.owner]}});
        if refusals.take(apply::patch_observed(context, version.as_ref(), owners).await)?.is_some() {
            tracing::info!(namespace = valid.namespace, version = version.name_any(), "adopted");
        }
    }
    for job in &plan.delete {
        let deleted = apply::delete(context, job.as_ref()).await;
        // another Job waits for one that is in its way
        if plan.step.makes_a_job() && !plan::may_stay(job) {
            deleted?;
        } else {
            refusals.take(deleted)?;
        }
    }
    Ok(match &plan.step {
        Step::Use { version, stamp } => {
            if let Some(stamp) = stamp {
                select(context, version, *stamp, None).await?;
            }
            Outcome::Resolved { version: version.spec.version, made: false, score: Score::of(version) }
        }
        Step::Start => match job(context, valid, plan, observed) {
            Err(missing) => Outcome::Blocked(missing),
            Ok(job) => {
                let started = Some(job.name_any());
                create(context, job).await?;
                let suspended = valid.training().is_some_and(|training| training.suspend);
                Outcome::Running { problem: suspended.then(waits::suspended_by_spec), started }
            }
        },
        Step::Recall { job } => {
            let recall = build::build_recall(valid, &context.settings, observed.workload_account, job);
            tracing::info!(
                namespace = valid.namespace,
                job = job.name_any(),
                "its pod is gone: what it made is read from the store"
            );
            create(context, recall).await?;
            Outcome::Running { problem: Some(plan::recalling()), started: None }
        }
        Step::Restart { job, why } => {
            apply::delete(context, job.as_ref()).await?;
            tracing::info!(namespace = valid.namespace, job = job.name_any(), why, "the run starts anew");
            Outcome::Running { problem: None, started: None }
        }
        Step::Follow { problem } => Outcome::Running { problem: problem.clone(), started: None },
        Step::Wait { problem, .. } => Outcome::Running { problem: Some(problem.clone()), started: None },
        Step::Suspend { job, suspend } => {
            suspend_run(context, job, *suspend).await?;
            Outcome::Running { problem: suspend.then(waits::suspended_by_spec), started: None }
        }
        Step::Record { number, reports, job, stamp, from } => {
            let version = build::build_version(valid, *number, reports, job, *stamp);
            let version = match from {
                Some(from) => kept::carry_over(version, from),
                None => version,
            };
            let score = Score::of(&version);
            create(context, version).await?;
            Outcome::Resolved { version: *number, made: true, score }
        }
        Step::Link { version, hashes, stamp } => {
            select(context, version, *stamp, Some(hashes)).await?;
            Outcome::Resolved { version: version.spec.version, made: false, score: Score::of(version) }
        }
        Step::GiveUp(failure) => Outcome::Failed(failure.clone()),
        Step::Hold(problem) => Outcome::Blocked(problem.clone()),
    })
}

/// The run's Job, or what it lacks.
fn job(context: &Context, valid: &ValidModel, plan: &Plan, observed: &Observed) -> Result<Job, Problem> {
    let settings = &context.settings;
    let taking = plan.from.as_ref().map(|version| kept::take_over(valid, version)).transpose()?;
    let complete = build::complete(taking.as_ref().unwrap_or(valid), settings, &observed.versions)?;
    Ok(build::build_job(&complete, settings, observed.workload_account))
}

/// Deletes the versions that are not kept any longer. The caches say whether there may be any, a fresh look says which:
/// somebody may just have begun to use one. One that changed since is left for the next look.
async fn remove_versions(
    context: &Context,
    model: &Model,
    valid: &ValidModel,
    plan: &Plan,
    removed: &mut Vec<u64>,
    refusals: &mut Refusals<ModelError>,
) -> Result<(), ModelError> {
    if plan.remove.is_empty() {
        return Ok(());
    }
    let (versions, in_use) = fetch::fetch_live(context, model)
        .await
        .map_err(|source| ModelError::Fetch { source: Box::new(source) })?;
    for version in retention::plan_removal(model, valid, &versions, &in_use) {
        match apply::delete(context, version.as_ref()).await {
            Ok(()) => {
                tracing::info!(namespace = valid.namespace, version = version.name_any(), "removed");
                removed.push(version.spec.version);
            }
            Err(ApplyError::Stale { .. }) => {}
            Err(error) => _ = refusals.take::<(), _>(Err(error))?,
        }
    }
    Ok(())
}

async fn create<K>(context: &Context, object: K) -> Result<(), ModelError>
where
    K: Resource<DynamicType = ()> + serde::Serialize,
{
    let mut objects = Objects::default();
    objects.push(Write::Create, &object, None)?;
    apply::apply_objects(context, objects).await?;
    Ok(())
}

/// Stamps a version as selected, and lets a further hash point to it.
async fn select(
    context: &Context,
    version: &ModelVersion,
    stamp: i64,
    hashes: Option<&str>,
) -> Result<(), ModelError> {
    let mut annotations = serde_json::Map::new();
    annotations.insert(SELECTED_GENERATION_ANNOTATION.into(), stamp.to_string().into());
    if let Some(hashes) = hashes {
        annotations.insert(SPEC_HASHES_ANNOTATION.into(), hashes.into());
    }
    apply::patch_observed(context, version, json!({"metadata": {"annotations": annotations}})).await?;
    Ok(())
}

/// Halts a run's Job, or lets it go on: of its spec nothing but this field.
async fn suspend_run(context: &Context, job: &Job, suspend: bool) -> Result<(), ModelError> {
    let ours = suspend.then_some("true");
    let patch = json!({
        "metadata": {"annotations": {SUSPENDED_ANNOTATION: ours}},
        "spec": {"suspend": suspend},
    });
    apply::patch_observed(context, job, patch).await?;
    Ok(())
}

/// The Model with our finalizer, which keeps it while a ModelDeployment names it.
async fn protect(context: &Context, model: Arc<Model>) -> Result<Arc<Model>, ModelError> {
    let mut finalizers = model.finalizers().to_vec();
    if finalizers.iter().any(|finalizer| finalizer == MODEL_FINALIZER) {
        return Ok(model);
    }
    finalizers.push(MODEL_FINALIZER.into());
    let patch = json!({"metadata": {"finalizers": finalizers}});
    Ok(Arc::new(apply::patch_observed(context, model.as_ref(), patch).await?))
}

/// Lets a deleted Model go, unless a ModelDeployment names it.
async fn release(context: &Context, model: &Model, observed: &Observed) -> Result<Action, ModelError> {
    let (ours, others): (Vec<_>, Vec<_>) =
        model.finalizers().iter().partition(|finalizer| *finalizer == MODEL_FINALIZER);
    if ours.is_empty() {
        return Ok(Action::await_change());
    }
    if observed.holders.is_empty() {
        let finalizers = json!({"metadata": {"finalizers": others}});
        let released = apply::patch_observed(context, model, finalizers).await;
        return match released {
            Ok(_) => Ok(Action::await_change()),
            Err(error) => Err(tell_refused(context, model, observed, error.into()).await?),
        };
    }
    let held = Outcome::Held(observed.holders.clone());
    write_status(context, &inputs(model, observed, None, &held, None)).await?;
    Ok(Action::requeue(RESYNC))
}

/// What the status is made from.
fn inputs<'a>(
    model: &'a Model,
    observed: &Observed,
    plan: Option<&'a Plan>,
    outcome: &'a Outcome,
    refused: Option<&'a str>,
) -> Inputs<'a> {
    Inputs {
        model,
        plan,
        outcome,
        refused,
        current_version: versions::current_version(model, observed),
        score: versions::current(model, observed).and_then(|version| Score::of(&version)),
        latest_version: versions::latest_version(model, observed),
        now: observed.now,
    }
}

/// Tells a refusal with which a reconcile ends, and gives it back.
async fn tell_refused(
    context: &Context,
    model: &Model,
    observed: &Observed,
    error: ModelError,
) -> Result<ModelError, ModelError> {
    if error.concerns_one_write() {
        write_status(context, &inputs(model, observed, None, &failed_write(&error), None)).await?;
    }
    Ok(error)
}

/// What the status says of a write that failed.
fn failed_write(error: &ModelError) -> Outcome {
    let ModelError::Apply(error) = error else {
        return Outcome::Unwritten(Problem { reason: "Retrying".into(), message: chain(error) });
    };
    let problem = Problem { reason: error.reason().into(), message: error.words("Model") };
    match error {
        ApplyError::NameTaken { .. } | ApplyError::Refused { .. } | ApplyError::Overruled { .. } => {
            Outcome::Blocked(problem)
        }
        _ if error.waits() => Outcome::Unwritten(problem),
        _ => Outcome::Unwritten(Problem { reason: "Retrying".into(), ..problem }),
    }
}

/// Writes the status and the events of its transitions, if it changed.
async fn write_status(context: &Context, inputs: &Inputs<'_>) -> Result<(), ModelError> {
    let mut previous = inputs.model.status.clone().unwrap_or_default();
    previous.conditions = condition::ours(previous.conditions);
    let next = status::model_status(inputs);
    if previous != next {
        apply::patch_status(context, inputs.model, &next).await?;
        let events = status::events(&previous, &next, inputs.outcome);
        context.events.publish(&inputs.model.object_ref(&()), &events).await;
    }
    Ok(())
}

fn next_look(plan: Option<&Plan>, outcome: &Outcome, waited: Option<SignedDuration>) -> Action {
    if matches!(outcome, Outcome::Blocked(_)) {
        return Action::requeue(RESYNC);
    }
    let run = plan.and_then(|plan| plan.run.as_ref());
    let waited = waited.and_then(|waited| Duration::try_from(waited).ok());
    let wait = match (plan.map(|plan| &plan.step), run.map(|run| &run.state)) {
        // of another Job that reads what a lost one made, nothing may be announced either
        (Some(Step::Start | Step::Recall { .. }), _) | (Some(Step::Follow { .. }), Some(RunState::Lost)) => {
            WAITING
        }
        (Some(Step::Wait { time, .. }), _) => *time,
        // a change of its Job tells when it goes on; what Kueue says of its place in a queue is not watched
        (_, Some(RunState::Active { .. })) if run.is_some_and(|run| run.status.phase == "Suspended") => {
            waited.map_or(RESYNC, |waited| (waited / 4).clamp(WAITING, RESYNC))
        }
        // each look asks for events: of what waits for hours, no twelve times a minute
        (_, Some(RunState::Active { started: false, .. })) => {
            (waited.unwrap_or_default() / 4).clamp(WAITING, WAITING_LONG)
        }
        (_, Some(RunState::Active { .. })) if run.is_some_and(|run| run.status.phase == TRAINING_PHASE) => {
            TRAINING
        }
        // what a container tries again is announced by nothing
        (_, Some(RunState::Active { .. })) => WAITING,
        _ => RESYNC,
    };
    Action::requeue(wait)
}
