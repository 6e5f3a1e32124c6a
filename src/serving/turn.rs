//! One turn of a ModelDeployment: what is around it, its target's revision and its decision are written, on as fresh a look as
//! each needs. Needs a client.

use k8s_openapi::{api::apps::v1::ControllerRevision, jiff::Timestamp};
use kube::ResourceExt as _;

use super::{
    DeploymentError,
    build::{self, Owner},
    execute::Executor,
    fetch::{self, Children},
    probe::Prober,
    record::Record,
    revision::VersionReference,
    size,
    snapshot::{Snapshot, observe},
    status,
    validate::ValidDeployment,
};
use crate::{
    api::{ModelDeployment, name},
    context::Context,
    k8s::{
        apply,
        events::Event,
        objects::{Objects, Write},
        refusals::Refusals,
    },
};

/// One reconcile of a ModelDeployment.
pub(super) struct Turn<'a> {
    pub context: &'a Context,
    pub prober: &'a Prober,
    pub deployment: &'a ModelDeployment,
    pub valid: Option<&'a ValidDeployment>,
    pub owner: Owner<'a>,
    pub now: Timestamp,
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
pub(super) async fn act(
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
pub(super) async fn fetch_live(
    context: &Context,
    name: &str,
    namespace: &str,
) -> Result<Children, DeploymentError> {
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
