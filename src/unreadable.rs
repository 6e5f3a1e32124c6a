//! What is told of an object that does not parse, without parsing it: conditions that name the field, and words for what
//! depends on it. Such an object is left as it is until somebody corrects it; all others go on. Needs a client to write.

use std::{fmt::Debug, sync::Arc};

use k8s_openapi::{NamespaceResourceScope, jiff::Timestamp};
use kube::Resource;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use crate::{
    api::{
        Condition, ConditionStatus,
        condition::{OURS, PROMOTED, READY, STALLED, timestamp},
    },
    k8s::{
        apply::{self, ApplyError},
        cache::{
            index::Watched,
            kept::Kept,
            kind_name,
            raw::{Raw, Unparsable},
        },
        cluster::Cluster,
        events::{Event, truncated},
    },
};

/// Reason of the conditions of an object that does not parse, or that depends on one.
pub const UNREADABLE: &str = "Unreadable";
/// Longest message of a condition, in bytes.
const MAX_MESSAGE: usize = 4096;
/// Objects that one message names.
const MAX_TOLD: usize = 5;

/// Objects that do not parse, for those who may read them: kind, name, field, value and what was expected.
pub fn tell_all<K: Watched>(objects: &[Arc<Kept<K>>]) -> Vec<String> {
    let kind = kind_name::<K>();
    objects.iter().filter_map(|one| Some(format!("{kind} {}: {}", one.name(), one.problem()?))).collect()
}

/// Why nothing is done for what these belong to.
pub fn held(unreadable: &[String]) -> String {
    let told = unreadable.iter().take(MAX_TOLD).map(String::as_str).collect::<Vec<_>>().join("; ");
    format!(
        "what belongs to it does not parse: {told}; correct or delete that: until then nothing is made, changed or deleted"
    )
}

/// Why an object itself is left as it is.
pub fn left(problem: &Unparsable) -> String {
    format!("{problem}; correct the field: until then what was made of this object is left as it is")
}

/// What to merge into the status to be rid of the member that does not parse, if it is one of the status: that is made
/// anew from what there is, and nothing depends on it.
pub fn broken_status(problem: &Unparsable) -> Option<Value> {
    let path = problem.field.strip_prefix("status")?;
    let Some(path) = path.strip_prefix('.') else { return path.is_empty().then_some(Value::Null) };
    let member = path.split(['.', '[']).next()?;
    Some(json!({member: null}))
}

/// The status that a condition has in conditions that nobody parsed.
pub fn is_true(conditions: &Value, type_: &str) -> bool {
    find(conditions, type_).is_some_and(|condition| condition["status"] == "True")
}

fn find<'a>(conditions: &'a Value, type_: &str) -> Option<&'a Value> {
    conditions.as_array()?.iter().find(|condition| condition["type"] == type_)
}

/// Writes a status, and takes off what was merged into it while the object did not parse: an apply takes off only what was
/// applied before.
pub async fn patch_status<K, S>(cluster: &Cluster, object: &K, status: &S) -> Result<(), ApplyError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
    S: Serialize,
{
    let written = apply::patch_status(cluster, object, status).await?;
    match without_leftovers(&written.at(&["status", "conditions"])) {
        Some(conditions) => apply::merge_status(cluster, &written, json!({"conditions": conditions})).await,
        None => Ok(()),
    }
}

/// The conditions without those of an object that did not parse, if any of them is left beside others.
fn without_leftovers(conditions: &Value) -> Option<Value> {
    let all = conditions.as_array()?;
    let is_left = |condition: &&Value| {
        condition["reason"] == UNREADABLE && condition["type"] == STALLED && is_superseded(conditions)
    };
    if !all.iter().any(|condition| is_left(&condition)) {
        return None;
    }
    Some(all.iter().filter(|condition| !is_left(condition)).cloned().collect())
}

/// Whether what else is told is of an object that parses.
fn is_superseded(conditions: &Value) -> bool {
    let told = find(conditions, PROMOTED).or_else(|| find(conditions, READY));
    told.is_some_and(|condition| condition["reason"] != UNREADABLE)
}

/// What is told of an object that does not parse, or that depends on one.
pub struct Notice<'a> {
    /// The conditions, without times.
    pub conditions: Vec<(&'static str, ConditionStatus, &'static str, String)>,
    /// Conditions of ours that stay as they are.
    pub stay: &'a [&'static str],
    /// Further members of the status.
    pub further: Map<String, Value>,
}

impl Notice<'_> {
    /// What to merge into the status, if it says anything else.
    pub fn patch<K>(self, raw: &Raw<K>, generation: Option<i64>, now: Timestamp) -> Option<Value> {
        let present = raw.at(&["status", "conditions"]);
        let others = present.as_array().into_iter().flatten().filter(|condition| {
            let type_ = condition["type"].as_str().unwrap_or_default();
            !OURS.contains(&type_) || self.stay.contains(&type_)
        });
        let mut conditions: Vec<Value> = others.cloned().collect();
        for (type_, status, reason, message) in self.conditions {
            let condition = Condition {
                type_: type_.into(),
                status,
                observed_generation: generation,
                last_transition_time: timestamp(now),
                reason: reason.into(),
                message: truncated(&message, MAX_MESSAGE),
            };
            let mut condition = serde_json::to_value(condition).unwrap_or_default();
            if let Some(before) =
                find(&present, type_).filter(|before| before["status"] == condition["status"])
            {
                condition["lastTransitionTime"].clone_from(&before["lastTransitionTime"]);
            }
            conditions.push(condition);
        }
        let mut members = self.further;
        members.insert("conditions".into(), conditions.into());
        members.insert("observedGeneration".into(), generation.into());
        let says = |(name, member): (&String, &Value)| raw.at(&["status", name.as_str()]) == *member;
        if members.iter().all(says) { None } else { Some(Value::Object(members)) }
    }
}

/// Writes what is told of an object, and an event, unless its status says so already.
pub async fn tell<K>(
    cluster: &Cluster,
    raw: &Raw<K>,
    notice: Notice<'_>,
    message: &str,
    now: Timestamp,
) -> Result<(), ApplyError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    let Some(patch) = notice.patch(raw, raw.meta().generation, now) else { return Ok(()) };
    let before = raw.at(&["status", "conditions"]);
    apply::merge_status(cluster, raw, patch).await?;
    let is_told = find(&before, STALLED).is_some_and(|condition| condition["message"] == message);
    if !is_told {
        let blocked = Event { warning: true, reason: "Blocked", message: format!("{UNREADABLE}: {message}") };
        cluster.events.publish(&raw.object_ref(&()), &[blocked]).await;
    }
    Ok(())
}
