//! The controller of Jobs: a pod until one succeeds, or too many failed.

use std::collections::BTreeSet;

use modelwright_contract::names::EXIT_BAD_INPUT;
use serde_json::{Value, json};

use super::{BY, Cluster};
use crate::{
    json::{controller, is_terminating, is_true, items, number, text},
    kinds::Kind,
    store::{Key, Part, Store},
};

/// What it knows of the pods of a Job, also of those that are gone.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    seen: BTreeSet<String>,
    failed: BTreeSet<String>,
    succeeded: BTreeSet<String>,
    is_refused: bool,
}

impl Cluster {
    pub(super) fn jobs(&mut self, store: &mut Store) {
        let jobs: Vec<_> = store.all(Kind::Job).cloned().collect();
        for job in &jobs {
            if is_terminating(job) || is_true(job, "Complete") || is_true(job, "Failed") {
                continue;
            }
            let (namespace, uid) = (text(job, "/metadata/namespace"), text(job, "/metadata/uid"));
            let pods: Vec<_> =
                store.all(Kind::Pod).filter(|pod| controller(pod) == Some(uid)).cloned().collect();
            let counted = self.counted.entry(uid.to_owned()).or_default();
            for pod in &pods {
                let name = text(pod, "/metadata/uid").to_owned();
                counted.seen.insert(name.clone());
                match text(pod, "/status/phase") {
                    "Succeeded" => _ = counted.succeeded.insert(name),
                    "Failed" => {
                        counted.is_refused |= has_bad_input(pod);
                        counted.failed.insert(name);
                    }
                    _ => {}
                }
            }
            // one that went without an end failed
            let there: BTreeSet<_> = pods.iter().map(|pod| text(pod, "/metadata/uid").to_owned()).collect();
            let gone: Vec<_> = counted
                .seen
                .difference(&there)
                .filter(|uid| !counted.succeeded.contains(*uid))
                .cloned()
                .collect();
            counted.failed.extend(gone);
            let active: Vec<_> = pods
                .iter()
                .filter(|pod| {
                    !matches!(text(pod, "/status/phase"), "Succeeded" | "Failed") && !is_terminating(pod)
                })
                .collect();
            let limit = usize::try_from(number(job, "/spec/backoffLimit")).unwrap_or_default();
            let is_suspended = job.pointer("/spec/suspend") == Some(&Value::Bool(true));
            let (succeeded, failed) = (counted.succeeded.len(), counted.failed.len());
            let end = if succeeded > 0 {
                Some(("Complete", "CompletionsReached", "Reached expected number of succeeded pods"))
            } else if counted.is_refused {
                Some(("Failed", "PodFailurePolicy", "Container exited with an exit code that ends the Job"))
            } else if failed > limit {
                Some(("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit"))
            } else {
                None
            };
            if is_suspended {
                for pod in &active {
                    let _ = store.delete(&Key::of(Kind::Pod, pod), &Value::Null, BY);
                }
            } else if end.is_none() && active.is_empty() && pods.iter().all(|pod| !is_terminating(pod)) {
                let _ = store.create(Kind::Pod, namespace, pod_of(job), BY);
            }
            let time = store.time();
            let conditions = end.map(|(type_, reason, message)| {
                json!([{"type": type_, "status": "True", "reason": reason, "message": message,
                    "lastTransitionTime": time, "lastProbeTime": time}])
            });
            let started = text(job, "/status/startTime");
            let status = json!({
                "startTime": (!is_suspended).then_some(if started.is_empty() { &time } else { started }),
                "completionTime": (succeeded > 0).then_some(&time),
                "active": if end.is_none() { active.len() } else { 0 },
                "succeeded": (succeeded > 0).then_some(succeeded), "failed": (failed > 0).then_some(failed),
                "conditions": conditions,
            });
            store.set(&Key::of(Kind::Job, job), Part::Status, vec![("status", status)], BY);
        }
    }
}

fn has_bad_input(pod: &Value) -> bool {
    let all = items(pod, "/status/initContainerStatuses").chain(items(pod, "/status/containerStatuses"));
    all.into_iter().any(|status| number(status, "/state/terminated/exitCode") == i64::from(EXIT_BAD_INPUT))
}

fn pod_of(job: &Value) -> Value {
    let template = job.pointer("/spec/template").cloned().unwrap_or_default();
    let (name, uid) = (&job["metadata"]["name"], &job["metadata"]["uid"]);
    let mut metadata = template["metadata"].clone();
    metadata["generateName"] = format!("{}-", text(job, "/metadata/name")).into();
    metadata["labels"]["batch.kubernetes.io/controller-uid"] = uid.clone();
    metadata["labels"]["batch.kubernetes.io/job-name"] = name.clone();
    metadata["ownerReferences"] = json!([{
        "apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": uid, "controller": true, "blockOwnerDeletion": true,
    }]);
    json!({"metadata": metadata, "spec": template["spec"]})
}
