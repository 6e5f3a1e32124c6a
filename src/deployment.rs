//! The driver of ModelDeployments: fetch → validate → decide → build → act → status. Needs a client.

pub mod act;
pub mod answers;
pub mod build;
pub mod fetch;
pub mod identity;
pub mod pods;
pub mod record;
pub mod revision;
pub mod rollout;
pub mod status;
pub mod validate;
pub mod version;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::{Stream, StreamExt as _, stream};
use k8s_openapi::{api::core::v1::ConfigMap, jiff::Timestamp};
use kube::{
    Resource, ResourceExt as _,
    runtime::{
        controller::Action,
        reflector::{ObjectRef, Store},
    },
};
use tokio::sync::watch;

use crate::{
    api::{
        ModelDeployment, ModelDeploymentStatus,
        name::{self, DEPLOYMENT_LABEL},
    },
    apply::{self, ApplyError},
    context::Context,
    controller::{self, ReconcileError, chain},
    deployment::{
        act::Stage,
        answers::Answers,
        build::Owner,
        fetch::Found,
        pods::Answer,
        revision::{Facts, RevisionData},
        rollout::{Decision, Intent, Observed, Problem},
        status::{Inputs, Obstacle},
        validate::ValidDeployment,
    },
    objects::{Objects, Unrenderable, Write},
};

/// A look at everything, in case that something was missed.
const RESYNC: Duration = Duration::from_mins(10);
/// How soon a fresh look follows one that was out of date.
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
}

impl DeploymentError {
    fn is_out_of_date(&self) -> bool {
        matches!(self, Self::Apply(ApplyError::Stale { .. } | ApplyError::Terminating { .. }))
    }
}

impl ReconcileError for DeploymentError {
    fn label(&self) -> &'static str {
        match self {
            Self::Apply(error) => error.label(),
            Self::Render(_) => "render",
            Self::Fetch { .. } => "fetch",
            Self::Request { .. } => "request",
        }
    }
}

/// Reconciles the ModelDeployments of a scope until `shutdown` says so.
pub async fn run(context: Arc<Context>, shutdown: watch::Receiver<bool>) {
    let store = context.caches.model_deployments.store();
    let triggers = triggers(&context);
    let answers = Arc::new(Answers::default());
    let reconcile = move |deployment, context| reconcile(deployment, context, Arc::clone(&answers));
    controller::run(context, store, triggers, shutdown, reconcile).await;
}

/// ModelDeployments whose own state, or that of something around them, changed.
fn triggers(context: &Context) -> impl Stream<Item = ObjectRef<ModelDeployment>> + Send + use<> {
    let caches = &context.caches;
    let (by_model, by_version) = (caches.model_deployments.store(), caches.model_deployments.store());
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
    store: &Store<ModelDeployment>,
    model: &str,
    namespace: &str,
) -> Vec<ObjectRef<ModelDeployment>> {
    let names = |deployment: &ModelDeployment| {
        deployment.spec.model == model && deployment.metadata.namespace.as_deref() == Some(namespace)
    };
    store.state_filter(names).iter().map(|deployment| ObjectRef::from_obj(deployment.as_ref())).collect()
}

/// What a spec means: its revision, if it means one, and what the state machine needs of it.
struct Meaning {
    intent: Intent,
    /// The whole hash of the target and the version that it serves.
    target: Option<(String, Facts)>,
    obstacle: Option<Obstacle>,
}

/// One look at everything, and what is decided on it.
struct Look {
    found: Found,
    data: BTreeMap<String, RevisionData>,
    answers: BTreeMap<String, Answer>,
    observed: Observed,
    meaning: Meaning,
    decision: Decision,
}

/// Brings one ModelDeployment a step further.
pub async fn reconcile(
    deployment: Arc<ModelDeployment>,
    context: Arc<Context>,
    answers: Arc<Answers>,
) -> Result<Action, DeploymentError> {
    if deployment.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let (name, namespace) = (deployment.name_any(), deployment.namespace().unwrap_or_default());
    let now = second(Timestamp::now());
    let valid = validate::validate_deployment(&deployment);
    let found = fetch::fetch_cached(&context, &name, &namespace);
    let mut look = look(&context, &answers, &deployment, valid.as_ref().ok(), found, now).await;
    let mut failure = None;
    if let Err(invalid) = &valid {
        look.meaning.obstacle = Some(Obstacle::Invalid(invalid.to_string()));
    }
    match act(&context, &answers, &deployment, valid.as_ref().ok(), look, now).await {
        Ok(acted) => look = acted,
        // what was read is not what is there: neither is a status made from it
        Err((_, error)) if error.is_out_of_date() => {
            tracing::debug!(namespace, name, error = %chain(&error), "looking again");
            return Ok(Action::requeue(LOOK_AGAIN));
        }
        Err((acted, error)) => {
            look = *acted;
            // what was not written did not happen
            look.decision.records.clear();
            look.meaning.obstacle = obstacle_of(&error).or(look.meaning.obstacle);
            failure = Some(error);
        }
    }
    let requested = look.decision.request_done.is_some();
    match write_status(&context, &deployment, &look, now).await {
        Ok(()) => {}
        // our own removal of a request moved the resourceVersion
        Err(error) if error.is_out_of_date() || requested => return Ok(Action::requeue(LOOK_AGAIN)),
        Err(error) => return Err(error),
    }
    answers
        .keep(|uid| context.caches.pods.store().state().iter().any(|pod| pod.uid().as_deref() == Some(uid)));
    match failure {
        Some(error) => Err(error),
        None => Ok(Action::requeue(next_look(&look))),
    }
}

/// A whole second: times are kept in annotations, for people to read.
fn second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// Reads the pods' answers and decides on what was found.
async fn look(
    context: &Context,
    answers: &Answers,
    deployment: &ModelDeployment,
    valid: Option<&ValidDeployment>,
    found: Found,
    now: Timestamp,
) -> Look {
    let found = found.owned_by(deployment.uid().as_deref());
    let data = found.data();
    let answers = answers.fetch(&found.pods).await;
    let observed = found.observe(deployment, &data, &answers);
    let meaning = meaning(context, deployment, valid, &data);
    let decision = rollout::decide(&meaning.intent, &observed, now);
    Look { found, data, answers, observed, meaning, decision }
}

/// What the spec means, on the versions and revisions that there are.
fn meaning(
    context: &Context,
    deployment: &ModelDeployment,
    valid: Option<&ValidDeployment>,
    data: &BTreeMap<String, RevisionData>,
) -> Meaning {
    let Some(valid) = valid else {
        let intent = Intent {
            target: None,
            replicas: deployment.spec.replicas.unwrap_or(1),
            max_surge: 1,
            progress_deadline: Duration::MAX,
            auto_rollback: false,
            paused: true,
            keep: usize::MAX,
        };
        return Meaning { intent, target: None, obstacle: None };
    };
    let caches = &context.caches;
    let model = caches.models.get(&valid.namespace, &valid.asked.model);
    let versions =
        caches.versions.select(&valid.namespace, |version| version.spec.model == valid.asked.model);
    let version = |name: &str| versions.iter().find(|version| version.name_any() == name).map(AsRef::as_ref);
    let resolved = version::resolve_version(valid, model.as_deref(), version, data.values());
    let (target, obstacle) = match resolved {
        Ok(facts) => (Some((identity::revision_hash(&valid.asked, &facts.model_digest), facts)), None),
        Err(missing) => (None, Some(Obstacle::Missing(missing))),
    };
    let intent = Intent {
        target: target.as_ref().map(|(hash, _)| name::short_revision(hash).to_owned()),
        replicas: valid.replicas,
        max_surge: valid.max_surge,
        progress_deadline: valid.progress_deadline,
        auto_rollback: valid.auto_rollback,
        paused: valid.paused,
        keep: valid.keep,
    };
    Meaning { intent, target, obstacle }
}

type Acted = Result<Look, (Box<Look>, DeploymentError)>;

/// Writes what the look asks for; what is written is decided on a fresh look.
async fn act(
    context: &Context,
    answers: &Answers,
    deployment: &ModelDeployment,
    valid: Option<&ValidDeployment>,
    look_at: Look,
    now: Timestamp,
) -> Acted {
    let (name, namespace) = (deployment.name_any(), deployment.namespace().unwrap_or_default());
    let reference = deployment.controller_owner_ref(&()).unwrap_or_default();
    let owner = Owner { name: &name, namespace: &namespace, reference: &reference };
    let mut present = look_at;
    macro_rules! attempt {
        ($work:expr) => {
            match $work {
                Ok(value) => value,
                Err(error) => return Err((Box::new(present), error.into())),
            }
        };
    }
    attempt!(apply_around(context, &owner, &present.found).await);
    let fresh = async |obstacle: Option<Obstacle>| -> Result<Look, DeploymentError> {
        let found = fetch::fetch_live(context, &name, &namespace)
            .await
            .map_err(|source| DeploymentError::Fetch { source: Box::new(source) })?;
        let mut look = look(context, answers, deployment, valid, found, now).await;
        look.meaning.obstacle = look.meaning.obstacle.or(obstacle);
        Ok(look)
    };
    let is_new = |look: &Look| {
        look.meaning
            .target
            .as_ref()
            .is_some_and(|(hash, _)| !look.data.contains_key(name::short_revision(hash)))
    };
    if is_new(&present) {
        if let (Some((hash, facts)), Some(valid)) = (&present.meaning.target, valid) {
            let account = context.caches.has_workload_account(&namespace);
            let revision =
                build::build_revision(&owner, hash, &valid.asked, facts, &context.settings, account);
            let mut objects = Objects::default();
            attempt!(objects.push(Write::Create, revision, None));
            attempt!(apply::apply_objects(context, objects).await);
        }
    } else {
        let stage = Stage {
            context,
            deployment,
            owner: owner.clone(),
            found: &present.found,
            data: &present.data,
            now,
        };
        if present.decision.is_settled(&present.observed) && stage.repairs().is_empty() {
            return Ok(present);
        }
    }
    present = attempt!(fresh(present.meaning.obstacle.clone()).await);
    let stage =
        Stage { context, deployment, owner: owner.clone(), found: &present.found, data: &present.data, now };
    let repaired = stage.repair().await;
    if attempt!(repaired) {
        present = attempt!(fresh(present.meaning.obstacle.clone()).await);
    }
    let stage = Stage { context, deployment, owner, found: &present.found, data: &present.data, now };
    let carried = stage.carry_out(&present.decision).await;
    attempt!(carried);
    Ok(present)
}

/// The Service, the budget and the traffic ConfigMap.
async fn apply_around(context: &Context, owner: &Owner<'_>, found: &Found) -> Result<(), DeploymentError> {
    let caches = &context.caches;
    let mut objects = Objects::default();
    let service = caches.services.get(owner.namespace, owner.name);
    objects.push(Write::Apply, build::build_service(owner), service.as_deref())?;
    let budget = caches.disruption_budgets.get(owner.namespace, owner.name);
    objects.push(Write::Apply, build::build_disruption_budget(owner), budget.as_deref())?;
    // its content changes under resourceVersions, so it is only made here
    let traffic: Option<&ConfigMap> = found.traffic.as_deref();
    objects.push(Write::Create, build::build_traffic(owner), traffic)?;
    apply::apply_objects(context, objects).await?;
    Ok(())
}

/// What the status says of a write that failed.
fn obstacle_of(error: &DeploymentError) -> Option<Obstacle> {
    let problem = |reason: &str, message: String| Problem { reason: reason.into(), message };
    Some(match error {
        DeploymentError::Apply(ApplyError::NameTaken { kind, name }) => Obstacle::Refused(problem(
            "NameTaken",
            format!(
                "{kind} {name} exists and belongs to somebody else; rename or delete it, or rename this ModelDeployment"
            ),
        )),
        DeploymentError::Apply(ApplyError::Refused { .. }) => {
            Obstacle::Refused(problem("Refused", chain(error)))
        }
        DeploymentError::Apply(ApplyError::NotLeading(_)) => return None,
        _ => Obstacle::Unwritten(problem("Unwritten", chain(error))),
    })
}

/// Writes the status and the events of its transitions, if it changed.
async fn write_status(
    context: &Context,
    deployment: &ModelDeployment,
    look: &Look,
    now: Timestamp,
) -> Result<(), DeploymentError> {
    let inputs = Inputs {
        deployment,
        obstacle: look.meaning.obstacle.as_ref(),
        intent: &look.meaning.intent,
        observed: &look.observed,
        decision: &look.decision,
        data: &look.data,
        answers: &look.answers,
        cluster_domain: &context.settings.cluster_domain,
        now,
    };
    let next = status::deployment_status(&inputs);
    let previous = deployment.status.clone().unwrap_or_default();
    let happenings = status::happenings(&inputs, &next);
    if (ModelDeploymentStatus { request: None, ..previous }) != next {
        apply::patch_status(context, deployment, &next).await?;
    }
    context.events.publish(&deployment.object_ref(&()), &happenings).await;
    Ok(())
}

fn next_look(look: &Look) -> Duration {
    let pods = || look.observed.revisions.values().flat_map(|revision| &revision.pods);
    // a server that is at work without getting ready may say why, and nothing announces that
    let wordless = pods().any(|pod| !pod.ready && !pod.terminating && pod.labelled && pod.problem.is_none());
    let waits = (look.meaning.obstacle.is_some() || wordless).then_some(WAITING);
    [look.decision.again, waits].into_iter().flatten().min().unwrap_or(RESYNC).min(RESYNC)
}
