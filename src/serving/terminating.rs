//! What the status says of a ModelDeployment that was deleted and is still there, for its finalizers. Nothing is written to its
//! objects any more. Pure.

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;

use crate::api::{
    ModelDeployment, ModelDeploymentStatus,
    condition::{Condition, ConditionStatus, PROMOTED, READY, RECONCILING, merge, timestamp},
};

/// Reason of all that is said.
const TERMINATING: &str = "Terminating";
/// With it the cluster deletes what serves first; with any other what serves goes last.
const FOREGROUND: &str = "foregroundDeletion";

/// The status from now on.
pub fn terminating_status(deployment: &ModelDeployment, now: Timestamp) -> ModelDeploymentStatus {
    let previous = deployment.status.clone().unwrap_or_default();
    let finalizers = deployment.finalizers();
    let goes_first = finalizers.iter().any(|finalizer| finalizer == FOREGROUND);
    let rest = if goes_first {
        "its pods are deleted first"
    } else {
        "its pods serve until then, and nobody looks after them"
    };
    let message =
        format!("it was deleted, and goes when its finalizers ({}) are off; {rest}", finalizers.join(", "));
    let condition = |type_: &str, status| Condition {
        type_: type_.into(),
        status,
        observed_generation: deployment.metadata.generation,
        last_transition_time: timestamp(now),
        reason: TERMINATING.into(),
        message: message.clone(),
    };
    let before = previous.conditions.iter().find(|before| before.type_ == READY).cloned();
    let ready = before.filter(|_| !goes_first).unwrap_or_else(|| condition(READY, ConditionStatus::False));
    let conditions = vec![
        ready,
        condition(PROMOTED, ConditionStatus::False),
        condition(RECONCILING, ConditionStatus::True),
    ];
    ModelDeploymentStatus {
        observed_generation: deployment.metadata.generation,
        conditions: merge(&previous.conditions, conditions),
        phase: Some("Progressing".into()),
        message: Some(message),
        request: None,
        ..previous
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_ready_says_so_only_while_its_pods_are_not_deleted_first() {
        for (finalizers, is_ready) in
            [(json!(["foregroundDeletion"]), false), (json!(["example.com/audit"]), true)]
        {
            let deployment: ModelDeployment = serde_json::from_value(json!({
                "apiVersion": "modelwright.dev/v1alpha1", "kind": "ModelDeployment",
                "metadata": {"name": "digits", "finalizers": finalizers, "deletionTimestamp": "2026-11-24T10:00:00Z"},
                "spec": {"model": "digits"},
                "status": {"phase": "Healthy", "readyReplicas": 2, "conditions": [
                    {"type": "Ready", "status": "True", "reason": "Serving", "message": "", "lastTransitionTime": "2026-11-24T09:00:00Z"},
                    {"type": "Promoted", "status": "True", "reason": "Promoted", "message": "", "lastTransitionTime": "2026-11-24T09:00:00Z"}]},
            }))
            .unwrap();
            let status = terminating_status(&deployment, "2026-11-24T10:00:01Z".parse().unwrap());
            let ready = status.conditions.iter().find(|condition| condition.type_ == READY).unwrap();
            assert_eq!(ready.status == ConditionStatus::True, is_ready);
            assert!(status.message.as_ref().unwrap().contains(finalizers[0].as_str().unwrap()), "{status:?}");
            assert_eq!((status.phase.as_deref(), status.ready_replicas), (Some("Progressing"), Some(2)));
            // said once
            let again = ModelDeployment { status: Some(status.clone()), ..deployment };
            assert_eq!(terminating_status(&again, "2026-11-24T11:00:00Z".parse().unwrap()), status);
        }
    }
}
