//! A ModelDeployment that does not parse, or of whose objects one does not: what serves goes on serving, nothing is written
//! but that it is so. Needs a client.

use std::sync::Arc;

use k8s_openapi::{
    api::{apps::v1::ControllerRevision, core::v1::Pod},
    apimachinery::pkg::apis::meta::v1::OwnerReference,
    jiff::Timestamp,
};
use kube::{Resource as _, ResourceExt as _, runtime::controller::Action};
use serde_json::{Map, Value, json};

use super::{DeploymentError, RESYNC, fetch, record};
use crate::{
    api::{
        ConditionStatus, Model, ModelDeployment, ModelSpec,
        condition::{PROMOTED, READY, STALLED},
        name::{TRAFFIC_LABEL, TRAFFIC_SERVE},
    },
    caches::kinds::Key,
    context::Context,
    k8s::{
        apply,
        cache::raw::{Raw, Unreadable},
    },
    unreadable::{self, Notice, UNREADABLE},
};

const DEGRADED: &str = "Degraded";

/// One reconcile of a ModelDeployment that does not parse.
pub async fn reconcile(
    object: Unreadable<ModelDeployment>,
    context: Arc<Context>,
) -> Result<Action, DeploymentError> {
    let (raw, problem) = (&object.raw, &object.problem);
    if raw.meta().deletion_timestamp.is_some() {
        context.metrics.set_phase(&raw.namespace().unwrap_or_default(), &raw.name_any(), None);
        return Ok(Action::await_change());
    }
    if let Some(without) = unreadable::broken_status(problem) {
        apply::merge_status(&context, raw, without).await?;
        return Ok(Action::await_change());
    }
    tell(&context, raw, &unreadable::left(problem), context.clock.now()).await
}

/// What of a ModelDeployment's objects does not parse, if any of it: a decision without it would take it for gone.
pub fn around(context: &Context, name: &str, namespace: &str) -> Option<String> {
    let (caches, ours) = (&context.caches, Key::Deployment(name.to_owned()));
    macro_rules! all {
        ($($cache:ident),*) => {
            [$(unreadable::tell_all(&caches.$cache.unreadable_of(namespace, &ours))),*].concat()
        };
    }
    let mut found = all!(revisions, replica_sets, pods, config_maps, services, disruption_budgets);
    found.extend(records(&caches.revisions.of(namespace, &ours), name));
    (!found.is_empty()).then(|| unreadable::held(&found))
}

/// The records of a ModelDeployment's own revisions that cannot be read.
pub fn records<'a>(
    revisions: impl IntoIterator<Item = &'a Arc<ControllerRevision>>,
    deployment: &str,
) -> Vec<String> {
    let is_ours = |owner: &OwnerReference| owner.controller == Some(true) && owner.name == deployment;
    let ours = revisions.into_iter().filter(|revision| revision.owner_references().iter().any(is_ours));
    ours.filter_map(|revision| {
        let told = record::unreadable(revision.annotations())?;
        Some(format!("ControllerRevision {}: {told}", revision.name_any()))
    })
    .collect()
}

/// Leaves a ModelDeployment as it is, and says why.
pub async fn hold(
    context: &Context,
    deployment: &ModelDeployment,
    message: &str,
    now: Timestamp,
) -> Result<Action, DeploymentError> {
    let text = serde_json::to_string(deployment).ok();
    let Some(raw) = text.and_then(Raw::<ModelDeployment>::of_text) else { return Ok(Action::await_change()) };
    tell(context, &raw, message, now).await
}

/// Which versions of a Model do not parse, if any: the one that a spec means may be among them.
pub fn versions(context: &Context, model: &str, namespace: &str) -> Option<String> {
    let found = context.caches.versions.unreadable_of(namespace, &Key::Model(model.to_owned()));
    (!found.is_empty())
        .then(|| format!("of its versions some do not parse: {}", unreadable::tell_all(&found).join("; ")))
}

/// A Model whose spec does not parse, as far as its status says what to follow.
pub fn followed(context: &Context, name: &str, namespace: &str) -> Option<Arc<Model>> {
    let raw = context.caches.models.unreadable(namespace, name)?.raw;
    let mut model = Model::new(name, ModelSpec::default());
    model.metadata = raw.meta().clone();
    model.status = serde_json::from_value(raw.at(&["status"])).ok();
    Some(Arc::new(model))
}

async fn tell(
    context: &Context,
    raw: &Raw<ModelDeployment>,
    message: &str,
    now: Timestamp,
) -> Result<Action, DeploymentError> {
    let (name, namespace) = (raw.name_any(), raw.namespace().unwrap_or_default());
    let pods = context.caches.pods.of(&namespace, &Key::Deployment(name.clone()));
    let routed = fetch::routed(context, &name, &namespace);
    let serves = unreadable::is_true(&raw.at(&["status", "conditions"]), READY)
        && pods.iter().any(|pod| takes_traffic(pod) && pod.uid().is_some_and(|uid| routed.contains(&uid)));
    let mut conditions = vec![
        (PROMOTED, ConditionStatus::False, UNREADABLE, message.to_owned()),
        (STALLED, ConditionStatus::True, UNREADABLE, message.to_owned()),
    ];
    if !serves {
        conditions.push((READY, ConditionStatus::False, UNREADABLE, message.to_owned()));
    }
    let further: Map<String, Value> =
        [("phase".to_owned(), json!(DEGRADED)), ("message".to_owned(), json!(message))].into_iter().collect();
    context.metrics.set_phase(&namespace, &name, Some(DEGRADED));
    let notice = Notice { conditions, stay: if serves { &[READY] } else { &[] }, further };
    unreadable::tell(context, raw, notice, message, now).await?;
    Ok(Action::requeue(RESYNC))
}

fn takes_traffic(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut conditions = conditions.filter(|condition| condition.type_ == READY);
    pod.labels().get(TRAFFIC_LABEL).is_some_and(|value| value == TRAFFIC_SERVE)
        && conditions.any(|condition| condition.status == "True")
}
