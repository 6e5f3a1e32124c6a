//! One look at everything around a ModelDeployment, and what is decided on it. Needs the pods' network.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use k8s_openapi::{
    api::{
        apps::v1::ControllerRevision,
        core::v1::{Pod, Service},
    },
    jiff::Timestamp,
};
use kube::ResourceExt as _;
use modelwright_contract::status::ServeStatus;

use super::{
    adopt,
    fetch::{Children, Place},
    identity,
    pods::Answer,
    probe::Prober,
    retries,
    revision::{RevisionData, VersionReference},
    rollout::{self, Decision, Desired, Observed},
    size,
    status::Blocked,
    unreadable,
    validate::ValidDeployment,
    version,
};
use crate::{
    api::{ModelDeployment, name},
    caches::kinds::Key,
    context::Context,
};

/// What a spec means: its revision, if it means one, and what the state machine needs of it.
pub struct Resolution {
    /// What the state machine needs of it.
    pub desired: Desired,
    /// The whole hash of the target and the version that it serves.
    pub target: Option<(String, VersionReference)>,
    /// Why it means no revision, or what keeps one from being written.
    pub blocked: Option<Blocked>,
}

/// One look at everything, and what is decided on it.
pub struct Snapshot {
    /// What there is.
    pub children: Children,
    /// What the revisions serve.
    pub data: BTreeMap<String, RevisionData>,
    /// What the pods say.
    pub answers: BTreeMap<String, Answer>,
    /// What there is, as the state machine sees it.
    pub observed: Observed,
    /// What the spec means.
    pub resolution: Resolution,
    /// What to write.
    pub decision: Decision,
}

impl Snapshot {
    /// The hash and the facts of the target, where it has no revision yet.
    pub fn new_target(&self) -> Option<&(String, VersionReference)> {
        self.resolution
            .target
            .as_ref()
            .filter(|(hash, _)| !self.data.contains_key(name::short_revision(hash)))
    }

    /// Takes in a revision that was just made.
    pub fn add(&mut self, revision: ControllerRevision) {
        self.children.revisions.push(Arc::new(revision));
        self.data = self.children.data();
    }
}

/// Reads the pods' answers and decides on what was found.
pub async fn observe(
    context: &Context,
    prober: &Prober,
    deployment: &ModelDeployment,
    valid: Option<&ValidDeployment>,
    children: Children,
    now: Timestamp,
) -> Snapshot {
    let mut children = children.owned_by(deployment.uid().as_deref());
    let strangers = adopt::part(&context.settings, deployment, valid, &mut children);
    let data = children.data();
    let is_asked_for = |pod: &Pod, said: &ServeStatus| match children.place(pod) {
        Some(Place::Revision(name)) => data
            .get(&name)
            .is_none_or(|data| data.check(&said.model_digest, &said.execution_provider).is_ok()),
        _ => true,
    };
    let said = prober.fetch(&children.pods, is_asked_for).await;
    let mut observed = children.observe(deployment, &data, &said);
    retries::add(&mut observed, &prober.retries(context, &children.pods, now).await);
    let service = found_service(context, deployment);
    observed.unreached = prober.services.is_awaited(&children.uid, service.as_deref(), &observed).await;
    let mut resolution = resolve(context, deployment, valid, &data);
    adopt::refuse(&mut resolution, &strangers);
    let decision = rollout::decide(&resolution.desired, &observed, now);
    Snapshot { children, data, answers: said, observed, resolution, decision }
}

/// The Service that clients use, as far as the cache knows it.
fn found_service(context: &Context, deployment: &ModelDeployment) -> Option<Arc<Service>> {
    context.caches.services.get(&deployment.namespace()?, &deployment.name_any())
}

/// What the spec means, on the versions and revisions that there are.
fn resolve(
    context: &Context,
    deployment: &ModelDeployment,
    valid: Option<&ValidDeployment>,
    data: &BTreeMap<String, RevisionData>,
) -> Resolution {
    let Some(valid) = valid else {
        let desired = Desired {
            target: None,
            replicas: deployment.spec.replicas.unwrap_or(1),
            max_surge: 1,
            progress_deadline: Duration::MAX,
            auto_rollback: false,
            paused: true,
            keep: usize::MAX,
        };
        return Resolution { desired, target: None, blocked: None };
    };
    let caches = &context.caches;
    let model = caches.models.get(&valid.namespace, &valid.asked.model);
    let model = model.or_else(|| unreadable::followed(context, &valid.asked.model, &valid.namespace));
    let versions = caches.versions.of(&valid.namespace, &Key::Model(valid.asked.model.clone()));
    let version = |name: &str| versions.iter().find(|version| version.name_any() == name).map(AsRef::as_ref);
    let resolved = version::resolve_version(valid, model.as_deref(), version, data.values());
    let (target, blocked) = match resolved {
        Ok(version_reference) => {
            let hash = identity::revision_hash(&valid.asked, &version_reference.model_digest);
            // a revision that is there was made with the same limit, and may have served since
            let is_new = !data.contains_key(name::short_revision(&hash));
            match size::refusal(&valid.asked, &version_reference).filter(|_| is_new) {
                Some(problem) => (None, Some(Blocked::Refused(problem))),
                None => (Some((hash, version_reference)), None),
            }
        }
        Err(mut missing) => {
            let held = unreadable::versions(context, &valid.asked.model, &valid.namespace);
            missing.problem.message.push_str(&held.map_or(String::new(), |held| format!("; {held}")));
            (None, Some(Blocked::Missing(missing)))
        }
    };
    let desired = Desired {
        target: target.as_ref().map(|(hash, _)| name::short_revision(hash).to_owned()),
        replicas: valid.replicas,
        max_surge: valid.max_surge,
        progress_deadline: valid.progress_deadline,
        auto_rollback: valid.auto_rollback,
        paused: valid.paused,
        keep: valid.keep,
    };
    Resolution { desired, target, blocked }
}
