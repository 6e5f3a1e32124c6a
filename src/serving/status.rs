//! Status: what the user sees. In go what the spec resolves to, what is observed and what was decided; out come a
//! [`ModelDeploymentStatus`] and the events of its transitions. Pure, and made anew each time: nothing is read from the
//! previous status but the times of conditions, so deleting it changes nothing (R11).

mod health;

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use modelwright_contract::names::{GRPC_PORT, HTTP_PORT};

use health::{Health, health};

use super::{
    pods::{Answer, NO_ENDPOINT},
    record::{Outcome, Record},
    revision::RevisionData,
    rollout::{Decision, Desired, Observed},
    version::Missing,
};
use crate::{
    api::{
        Condition, ConditionStatus, ModelDeployment, ModelDeploymentStatus,
        condition::{PROMOTED, READY, RECONCILING, STALLED, merge},
        model_deployment::{ActionRequest, HistoryEntry, PodStatus, RevisionStatus},
        name::DEPLOYMENT_LABEL,
    },
    k8s::events::{Event, truncated},
    problem::Problem,
};

const MAX_MESSAGE: usize = 4096;
const MAX_REASON: usize = 128;
const MAX_HISTORY_MESSAGE: usize = 1024;
const MAX_HISTORY: usize = 60;
const MAX_PODS: usize = 20;
/// Reasons of a wait that need no event.
const ORDINARY: [&str; 11] = [
    "Starting",
    "RollingOut",
    "Draining",
    "Paused",
    "PodsNotReady",
    NO_ENDPOINT,
    "PredecessorRemains",
    "Terminating",
    "Resolving",
    "Unwritten",
    "VersionNotReady",
];

/// What the status is made from.
#[derive(Clone, Debug)]
pub struct Inputs<'a> {
    /// The ModelDeployment, with its present status.
    pub deployment: &'a ModelDeployment,
    /// What keeps the spec from meaning a revision.
    pub blocked: Option<&'a Blocked>,
    /// What the spec asks for.
    pub desired: &'a Desired,
    /// What is observed.
    pub observed: &'a Observed,
    /// What was decided on it.
    pub decision: &'a Decision,
    /// What the revisions serve.
    pub data: &'a BTreeMap<String, RevisionData>,
    /// What the pods said.
    pub answers: &'a BTreeMap<String, Answer>,
    /// Nodes that pods run on, by the pods' names.
    pub nodes: &'a BTreeMap<String, String>,
    /// DNS domain of the cluster.
    pub cluster_domain: &'a str,
    /// The time.
    pub now: Timestamp,
}

/// What keeps a spec from being carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// The spec makes no sense.
    Invalid(String),
    /// It means no version.
    Missing(Missing),
    /// A write was refused, and somebody must act.
    Refused(Problem),
    /// A write did not succeed and is tried again.
    Unwritten(Problem),
}

/// The status after a reconcile.
pub fn deployment_status(inputs: &Inputs<'_>) -> ModelDeploymentStatus {
    let (observed, decision) = (inputs.observed, inputs.decision);
    let previous = inputs.deployment.status.clone().unwrap_or_default();
    let metadata = &inputs.deployment.metadata;
    let name = metadata.name.clone().unwrap_or_default();
    let health = health(inputs);
    let pods =
        || observed.revisions.values().flat_map(|revision| &revision.pods).filter(|pod| !pod.terminating);
    let ready = number(pods().filter(|pod| pod.ready).count());
    let host =
        format!("{name}.{}.svc.{}", metadata.namespace.as_deref().unwrap_or_default(), inputs.cluster_domain);
    ModelDeploymentStatus {
        observed_generation: metadata.generation,
        conditions: merge(&previous.conditions, conditions(inputs, &health)),
        phase: Some(health.phase.into()),
        message: Some(truncated(&health.word.message, MAX_MESSAGE)),
        stable: decision.stable.as_deref().and_then(|name| revision_status(inputs, name)),
        target: inputs.desired.target.as_deref().and_then(|name| revision_status(inputs, name)),
        history: history(inputs),
        pods: said(inputs),
        replicas: Some(number(pods().count())),
        ready_replicas: Some(ready),
        selector: Some(format!("{DEPLOYMENT_LABEL}={name}")),
        replicas_summary: Some(format!("{ready}/{}", inputs.desired.replicas)),
        url: Some(format!("http://{host}:{HTTP_PORT}")),
        grpc_address: Some(format!("{host}:{GRPC_PORT}")),
        // a person's field: never applied, so never owned
        request: None,
    }
}

fn conditions(inputs: &Inputs<'_>, health: &Health) -> Vec<Condition> {
    let condition = |type_: &str, status: bool, word: &Problem| Condition {
        type_: type_.into(),
        status: if status { ConditionStatus::True } else { ConditionStatus::False },
        observed_generation: inputs.deployment.metadata.generation,
        last_transition_time: inputs.now.to_string(),
        reason: truncated(&word.reason, MAX_REASON),
        message: truncated(&word.message, MAX_MESSAGE),
    };
    [condition(READY, health.ready, &health.ready_word), condition(PROMOTED, health.promoted, &health.word)]
        .into_iter()
        .chain(health.further.map(|type_| condition(type_, true, &health.word)))
        .collect()
}

fn record<'a>(inputs: &Inputs<'a>, name: &str) -> Option<&'a Record> {
    inputs
        .decision
        .records
        .get(name)
        .or_else(|| inputs.observed.revisions.get(name).map(|revision| &revision.record))
}

fn describe(data: &BTreeMap<String, RevisionData>, name: &str) -> String {
    match data.get(name) {
        Some(data) => format!("version {} (revision {name})", data.version.version),
        None => format!("revision {name}"),
    }
}

fn revision_status(inputs: &Inputs<'_>, name: &str) -> Option<RevisionStatus> {
    let data = inputs.data.get(name)?;
    let pods = || {
        let revision = inputs.observed.revisions.get(name);
        revision.into_iter().flat_map(|revision| &revision.pods).filter(|pod| !pod.terminating)
    };
    Some(RevisionStatus {
        revision: name.to_owned(),
        version: data.version.version,
        model_digest: data.version.model_digest.clone(),
        replicas: number(pods().count()),
        ready_replicas: number(pods().filter(|pod| pod.ready).count()),
    })
}

fn history(inputs: &Inputs<'_>) -> Vec<HistoryEntry> {
    let mut records: Vec<_> = inputs
        .data
        .iter()
        .filter(|(name, _)| !inputs.decision.forget.contains(*name))
        .filter_map(|(name, data)| Some((record(inputs, name)?, name, data)))
        .filter(|(record, ..)| record.outcome.is_some())
        .collect();
    records.sort_by_key(|(record, name, _)| (std::cmp::Reverse(record.number), *name));
    records
        .into_iter()
        .take(MAX_HISTORY)
        .map(|(record, name, data)| HistoryEntry {
            revision: name.clone(),
            version: data.version.version,
            outcome: record.outcome.map(Outcome::word).unwrap_or_default().into(),
            message: record.message.as_ref().map(|message| truncated(message, MAX_HISTORY_MESSAGE)),
            time: record.time.map(|time| time.to_string()),
        })
        .collect()
}

/// What the pods that take traffic say of themselves.
fn said(inputs: &Inputs<'_>) -> Vec<PodStatus> {
    let observed = inputs.observed;
    let pods = observed.revisions.values().flat_map(|revision| &revision.pods);
    let mut said: Vec<_> = pods
        .filter(|pod| pod.in_service(&observed.draining))
        .filter_map(|pod| match inputs.answers.get(&pod.name)? {
            Answer::Said(said) => Some(PodStatus {
                name: pod.name.clone(),
                model_digest: truncated(&said.model_digest, 64),
                execution_provider: truncated(&said.execution_provider, 32),
                node: inputs.nodes.get(&pod.name).cloned(),
            }),
            Answer::Silent(_) => None,
        })
        .collect();
    said.sort_by(|one, other| one.name.cmp(&other.name));
    said.truncate(MAX_PODS);
    said
}

/// What a revision's record says happened since it said `before`, for people: told after it was written.
pub fn transition(
    data: &BTreeMap<String, RevisionData>,
    revision: &str,
    before: Option<Outcome>,
    record: &Record,
) -> Option<Event> {
    if before == record.outcome {
        return None;
    }
    let described = describe(data, revision);
    let because = record.message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
    let (warning, reason, message) = match record.outcome? {
        Outcome::Progressing => (false, "RolloutStarted", format!("{described} rolls out")),
        Outcome::Promoted => (false, "Promoted", format!("{described} takes all traffic")),
        Outcome::RolledBack => (true, "RolledBack", format!("{described} failed{because}")),
        Outcome::Aborted => (true, "Aborted", format!("{described} was stopped{because}")),
        Outcome::Superseded => (false, "Superseded", format!("{described} is no longer asked for")),
    };
    Some(Event { warning, reason, message })
}

/// That a person's action had no effect, and why.
pub fn void(request: &ActionRequest, why: &str) -> Event {
    let ActionRequest { action, revision, .. } = request;
    Event {
        warning: true,
        reason: "RequestVoid",
        message: format!("{action:?} of revision {revision} had no effect: {why}"),
    }
}

/// What keeps it from getting further, for people, where that is new and was not told as the end of its rollout.
pub fn blocked(inputs: &Inputs<'_>, next: &ModelDeploymentStatus) -> Option<Event> {
    let previous = inputs.deployment.status.clone().unwrap_or_default();
    let further = |status: &ModelDeploymentStatus| {
        let mut conditions = status.conditions.iter();
        let further = conditions.find(|condition| [RECONCILING, STALLED].contains(&condition.type_.as_str()));
        further.map(|condition| (condition.type_.clone(), condition.reason.clone()))
    };
    let (type_, reason) = further(next)?;
    let waits = type_ == RECONCILING && ORDINARY.contains(&reason.as_str());
    let target = inputs.desired.target.as_deref();
    let ended =
        target.and_then(|target| record(inputs, target)).is_some_and(|record| record.quarantine.is_some());
    let was_target = previous.target.as_ref().map(|previous| previous.revision.as_str()) == target;
    let is_told = further(&previous).is_some_and(|previous| previous == (type_, reason.clone()));
    if waits || is_told || (inputs.blocked.is_none() && ended && was_target) {
        return None;
    }
    let message = format!("{reason}: {}", next.message.clone().unwrap_or_default());
    Some(Event { warning: true, reason: "Blocked", message })
}

fn said_so(reason: &str, message: &str) -> Problem {
    Problem { reason: reason.to_owned(), message: message.to_owned() }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
