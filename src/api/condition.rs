//! Conditions, as the Kubernetes API conventions define them.

use k8s_openapi::jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether it serves (ModelDeployment) or has a current version (Model).
pub const READY: &str = "Ready";
/// Whether the operator is at work towards the spec.
pub const RECONCILING: &str = "Reconciling";
/// Whether the operator gave up until somebody acts.
pub const STALLED: &str = "Stalled";
/// Whether the spec's revision is the stable one (ModelDeployment).
pub const PROMOTED: &str = "Promoted";
/// Conditions that the operator writes; any other is somebody else's, who may keep it beside ours.
pub const OURS: [&str; 4] = [READY, RECONCILING, STALLED, PROMOTED];

/// One observation of an object's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Type of the condition: Ready, Reconciling, Stalled, Promoted.
    #[serde(rename = "type")]
    #[schemars(length(max = 64))]
    pub type_: String,
    /// True, False or Unknown.
    pub status: ConditionStatus,
    /// Generation of the spec that this was observed for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When the status last changed, RFC 3339.
    #[schemars(length(max = 64))]
    pub last_transition_time: String,
    /// Why, in one CamelCase word.
    #[schemars(length(max = 128))]
    pub reason: String,
    /// Why, for people: what is wrong, what was expected, what to do next.
    #[schemars(length(max = 4096))]
    pub message: String,
}

/// Truth of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// Nobody can say.
    Unknown,
}

/// A time in whole seconds, as the API server writes its own.
pub fn timestamp(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The conditions that hold, with `lastTransitionTime` kept from `previous` where the status did not flip.
pub fn merge(previous: &[Condition], mut current: Vec<Condition>) -> Vec<Condition> {
    for condition in &mut current {
        if let Some(old) =
            previous.iter().find(|old| old.type_ == condition.type_ && old.status == condition.status)
        {
            condition.last_transition_time.clone_from(&old.last_transition_time);
        }
    }
    current
}

/// The conditions without those of others: these are no reason to write.
#[must_use]
pub fn ours(mut conditions: Vec<Condition>) -> Vec<Condition> {
    conditions.retain(|condition| OURS.contains(&condition.type_.as_str()));
    conditions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(status: ConditionStatus, time: &str) -> Condition {
        Condition {
            type_: READY.into(),
            status,
            observed_generation: Some(1),
            last_transition_time: time.into(),
            reason: "Test".into(),
            message: String::new(),
        }
    }

    #[test]
    fn times_are_in_whole_seconds() {
        let time = Timestamp::new(1_795_514_400, 999_999_999).unwrap_or_default();
        assert_eq!(timestamp(time), "2026-11-24T10:00:00Z");
    }

    #[test]
    fn the_transition_time_moves_only_on_a_flip() {
        let old = [ready(ConditionStatus::True, "then")];
        assert_eq!(merge(&old, vec![ready(ConditionStatus::True, "now")])[0].last_transition_time, "then");
        assert_eq!(merge(&old, vec![ready(ConditionStatus::False, "now")])[0].last_transition_time, "now");
    }
}
