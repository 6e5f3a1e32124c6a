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
    answers::Answers,
    fetch::{Found, Place},
    identity,
    pods::Answer,
    retries,
    revision::{Facts, RevisionData},
    rollout::{self, Decision, Intent, Observed},
    size,
    status::Obstacle,
    unreadable,
    validate::ValidDeployment,
    version,
};
use crate::{
    api::{ModelDeployment, name},
    context::Context,
    k8s::cache::index::Key,
};

/// What a spec means: its revision, if it means one, and what the state machine needs of it.
pub struct Meaning {
    /// What the state machine needs of it.
    pub intent: Intent,
    /// The whole hash of the target and the version that it serves.
    pub target: Option<(String, Facts)>,
    /// Why it means no revision, or what keeps one from being written.
    pub obstacle: Option<Obstacle>,
}

/// One look at everything, and what is decided on it.
pub struct Look {
    /// What there is.
    pub found: Found,
    /// What the revisions serve.
    pub data: BTreeMap<String, RevisionData>,
    /// What the pods say.
    pub answers: BTreeMap<String, Answer>,
    /// What there is, as the state machine sees it.
    pub observed: Observed,
    /// What the spec means.
    pub meaning: Meaning,
    /// What to write.
    pub decision: Decision,
}

impl Look {
    /// The hash and the facts of the target, where it has no revision yet.
    pub fn new_target(&self) -> Option<&(String, Facts)> {
        self.meaning.target.as_ref().filter(|(hash, _)| !self.data.contains_key(name::short_revision(hash)))
    }

    /// Takes in a revision that was just made.
    pub fn add(&mut self, revision: ControllerRevision) {
        self.found.revisions.push(Arc::new(revision));
        self.data = self.found.data();
    }
}

/// Reads the pods' answers and decides on what was found.
pub async fn look(
    context: &Context,
    answers: &Answers,
    deployment: &ModelDeployment,
    valid: Option<&ValidDeployment>,
    found: Found,
    now: Timestamp,
) -> Look {
    let mut found = found.owned_by(deployment.uid().as_deref());
    let strangers = adopt::part(&context.settings, deployment, valid, &mut found);
    let data = found.data();
    let is_asked_for = |pod: &Pod, said: &ServeStatus| match found.place(pod) {
        Some(Place::Revision(name)) => data
            .get(&name)
            .is_none_or(|data| data.check(&said.model_digest, &said.execution_provider).is_ok()),
        _ => true,
    };
    let said = answers.fetch(&found.pods, is_asked_for).await;
    let mut observed = found.observe(deployment, &data, &said);
    retries::add(&mut observed, &answers.retries(context, &found.pods, now).await);
    let service = found_service(context, deployment);
    observed.unreached = answers.services.is_awaited(&found.uid, service.as_deref(), &observed).await;
    let mut meaning = meaning(context, deployment, valid, &data);
    adopt::refuse(&mut meaning, &strangers);
    let decision = rollout::decide(&meaning.intent, &observed, now);
    Look { found, data, answers: said, observed, meaning, decision }
}

/// The Service that clients use, as far as the cache knows it.
fn found_service(context: &Context, deployment: &ModelDeployment) -> Option<Arc<Service>> {
    context.caches.services.get(&deployment.namespace()?, &deployment.name_any())
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
    let model = model.or_else(|| unreadable::followed(context, &valid.asked.model, &valid.namespace));
    let versions = caches.versions.of(&valid.namespace, &Key::Model(valid.asked.model.clone()));
    let version = |name: &str| versions.iter().find(|version| version.name_any() == name).map(AsRef::as_ref);
    let resolved = version::resolve_version(valid, model.as_deref(), version, data.values());
    let (target, obstacle) = match resolved {
        Ok(facts) => {
            let hash = identity::revision_hash(&valid.asked, &facts.model_digest);
            // a revision that is there was made with the same limit, and may have served since
            let is_new = !data.contains_key(name::short_revision(&hash));
            match size::refusal(&valid.asked, &facts).filter(|_| is_new) {
                Some(problem) => (None, Some(Obstacle::Refused(problem))),
                None => (Some((hash, facts)), None),
            }
        }
        Err(mut missing) => {
            let held = unreadable::versions(context, &valid.asked.model, &valid.namespace);
            missing.problem.message.push_str(&held.map_or(String::new(), |held| format!("; {held}")));
            (None, Some(Obstacle::Missing(missing)))
        }
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
