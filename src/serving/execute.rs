//! Execute: makes the writes of a decision, in their order. Every one carries the UID and resourceVersion that the decision was
//! made on. Needs a client.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    sync::Arc,
};

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::{ControllerRevision, ReplicaSet},
        core::v1::{ConfigMap, Pod},
    },
    jiff::Timestamp,
};
use kube::{
    Resource, ResourceExt as _,
    api::{Patch, PatchParams},
};
use modelwright_contract::names::TRAFFIC_KEY;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{
    DeploymentError,
    build::{Owner, build_replica_set, build_traffic, traffic_text},
    fetch::Children,
    record::Record,
    revision::RevisionData,
    rollout::{
        Decision, Observed,
        writes::{Left, Write},
    },
    snapshot::Snapshot,
    status, template,
};
use crate::{
    api::{
        ModelDeployment,
        model_deployment::ActionRequest,
        name::{DELETION_COST_ANNOTATION, LEAVING_ANNOTATION, TRAFFIC_LABEL, TRAFFIC_SERVE},
    },
    context::Context,
    k8s::{
        apply::{self, ApplyError},
        events::Event,
        lease::NotLeading,
        objects::{self, Objects},
        refusals::Refusals,
    },
};

/// What a decision is written to.
pub struct Executor<'a> {
    /// The client and what goes with it.
    pub context: &'a Context,
    /// The ModelDeployment.
    pub deployment: &'a ModelDeployment,
    /// What its objects have in common.
    pub owner: Owner<'a>,
    /// What the decision was made on.
    pub children: &'a Children,
    /// What the revisions serve.
    pub data: &'a BTreeMap<String, RevisionData>,
    /// The time.
    pub now: Timestamp,
}

impl Snapshot {
    /// Where its decision is written to.
    pub fn executor<'a>(
        &'a self,
        context: &'a Context,
        deployment: &'a ModelDeployment,
        owner: Owner<'a>,
        now: Timestamp,
    ) -> Executor<'a> {
        Executor { context, deployment, owner, children: &self.children, data: &self.data, now }
    }
}

/// What a ReplicaSet deletes by, the least first: the later a pod is told the higher, and above that of each sibling which was
/// told before, be it in the same second.
fn deletion_cost(now: Timestamp, before: impl Iterator<Item = i64>) -> i64 {
    let next = before.filter(|cost| *cost < 0).max().map_or(i64::MIN, |cost| cost + 1);
    (now.as_second() - i64::from(i32::MAX)).max(next).clamp(i64::from(i32::MIN), -1)
}

/// Whether a call that failed so may succeed later, or has succeeded with its answer lost.
fn may_pass(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => status.code >= 500 || matches!(status.code, 409 | 429),
        kube::Error::Service(_) | kube::Error::HyperError(_) => true,
        _ => false,
    }
}

/// Why a person's request stays.
fn failed_request(source: kube::Error) -> DeploymentError {
    match source {
        kube::Error::Service(source) if source.is::<NotLeading>() => ApplyError::from(NotLeading).into(),
        source => DeploymentError::Request { source: Box::new(source) },
    }
}

impl Executor<'_> {
    /// Makes the writes of a decision, and adds what was recorded to `events`. One that is refused stops itself and what it
    /// justifies, and goes into `refusals`; the decision is then the one that was carried out.
    pub async fn execute_all(
        &self,
        decision: &mut Decision,
        observed: &Observed,
        events: &mut Vec<Event>,
        refusals: &mut Refusals<DeploymentError>,
    ) -> Result<(), DeploymentError> {
        let mut left = Left::of(decision, observed);
        while let Some(write) = left.next() {
            match refusals.take(self.execute(&write, events).await)? {
                Some(true) => left.made(),
                Some(false) | None => left.refused(),
            }
        }
        Ok(())
    }

    /// Makes one write. Out comes whether there was anything to write it to.
    async fn execute(&self, write: &Write, events: &mut Vec<Event>) -> Result<bool, DeploymentError> {
        match write {
            Write::Record { revision, record } => return self.record(revision, record, events).await,
            Write::RemoveRequest { request, void } => {
                self.remove_request(request, void.as_deref()).await?;
            }
            Write::List(draining) => self.write_list(draining).await?,
            Write::Undrain(pod) => self.undrain(pod).await?,
            Write::Drain(pod) => self.drain(pod).await?,
            Write::Scale { revision, replicas } => self.scale(revision, *replicas).await?,
            Write::DeletePod(pod) => self.delete(self.children.pod(pod)).await?,
            Write::DeleteReplicaSet(revision) => self.delete(self.children.replica_set(revision)).await?,
            Write::DeleteRevision(revision) => self.delete(self.children.revision(revision)).await?,
        }
        Ok(true)
    }

    /// A new target's ControllerRevision was made before; without one there is nothing to record on.
    async fn record(
        &self,
        name: &str,
        record: &Record,
        events: &mut Vec<Event>,
    ) -> Result<bool, DeploymentError> {
        let Some(object) = self.children.revision(name) else { return Ok(false) };
        let before = Record::read(object.annotations());
        // one that was just made was made with it
        if before != *record {
            let annotations = json!({"metadata": {"annotations": record.annotation()}});
            apply::patch_observed::<ControllerRevision>(self.context, object, annotations).await?;
            events.extend(status::transition(self.data, name, before.outcome, record));
            if let Some((outcome, took)) = record.ended_since(&before) {
                self.context.metrics.rollout_ended(outcome.word(), took);
            }
        }
        Ok(true)
    }

    async fn delete<K>(&self, object: Option<&Arc<K>>) -> Result<(), DeploymentError>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned + Clone + Debug,
    {
        match object {
            Some(object) => Ok(apply::delete::<K>(self.context, object).await?),
            None => Ok(()),
        }
    }

    /// Removes a person's request, unless it is another by now: whole, since people repeat identifiers. That it had no effect
    /// is told before, since nothing else says so once it is gone.
    async fn remove_request(
        &self,
        request: &ActionRequest,
        void: Option<&str>,
    ) -> Result<(), DeploymentError> {
        if let Some(why) = void {
            let event = status::void(request, why);
            match self.context.events.tell(&self.deployment.object_ref(&()), &event).await {
                Err(error) if may_pass(&error) => return Err(failed_request(error)),
                // an event that is refused for good must not keep the request for ever
                Err(error) => tracing::warn!(%error, "that a request had no effect is not told"),
                Ok(()) => {}
            }
        }
        let patch = serde_json::from_value(json!([
            {"op": "test", "path": "/status/request", "value": request},
            {"op": "remove", "path": "/status/request"},
        ]))
        .expect("a JSON patch of a test and a removal");
        let (name, namespace) = (self.deployment.name_any(), self.owner.namespace);
        let api = self.context.raw::<ModelDeployment>(namespace);
        match api.patch_status(&name, &PatchParams::default(), &Patch::<Value>::Json(patch)).await {
            Ok(patched) => {
                self.context.metrics.wrote("ModelDeployment", "patch");
                self.context.expectations.present("ModelDeployment", patched.meta());
                Ok(())
            }
            // the test failed: somebody removed or replaced it
            Err(kube::Error::Api(status)) if status.is_invalid() || status.code == 400 => Ok(()),
            Err(source) => Err(failed_request(source)),
        }
    }

    async fn write_list(&self, draining: &BTreeSet<String>) -> Result<(), DeploymentError> {
        let text = traffic_text(draining);
        let says = |map: &ConfigMap| map.data.as_ref().and_then(|data| data.get(TRAFFIC_KEY)) == Some(&text);
        let Some(map) = &self.children.traffic else {
            let map = build_traffic(&self.owner, draining);
            let name = map.name_any();
            let mut objects = Objects::default();
            objects.push(objects::Write::Create, &map, None)?;
            let made = apply::apply_objects(self.context, objects).await?.get(&name);
            // one that was there all the same says something else
            return if made.as_ref().is_some_and(says) {
                Ok(())
            } else {
                Err(ApplyError::Stale { kind: "ConfigMap".into(), name }.into())
            };
        };
        apply::patch_observed(self.context, map.as_ref(), json!({"data": {TRAFFIC_KEY: text}})).await?;
        Ok(())
    }

    /// Takes a pod out of the Service, and lets the ReplicaSet delete it before its siblings, what was told first before
    /// all. The write also makes the kubelet look at the pod, and so at the list.
    async fn drain(&self, pod: &str) -> Result<(), DeploymentError> {
        let of =
            |pod: &Pod| pod.owner_references().iter().find(|owner| owner.controller == Some(true)).cloned();
        let told = self.children.pod(pod).and_then(|pod| of(pod));
        let siblings = self.children.pods.iter().filter(|other| other.name_any() != pod && of(other) == told);
        let costs =
            siblings.filter_map(|other| other.annotations().get(DELETION_COST_ANNOTATION)?.parse().ok());
        let cost = deletion_cost(self.now, costs);
        let patch = json!({"metadata": {
            "labels": {TRAFFIC_LABEL: null},
            "annotations": {LEAVING_ANNOTATION: self.now.to_string(), DELETION_COST_ANNOTATION: cost.to_string()},
        }});
        self.patch_pod(pod, patch).await
    }

    async fn undrain(&self, pod: &str) -> Result<(), DeploymentError> {
        let patch = json!({"metadata": {
            "labels": {TRAFFIC_LABEL: TRAFFIC_SERVE},
            "annotations": {LEAVING_ANNOTATION: null, DELETION_COST_ANNOTATION: null},
        }});
        self.patch_pod(pod, patch).await
    }

    async fn patch_pod(&self, name: &str, patch: Value) -> Result<(), DeploymentError> {
        if let Some(pod) = self.children.pod(name) {
            apply::patch_observed::<Pod>(self.context, pod, patch).await?;
        }
        Ok(())
    }

    async fn scale(&self, name: &str, replicas: u32) -> Result<(), DeploymentError> {
        if let Some(object) = self.children.replica_set(name) {
            let patch = json!({"spec": {"replicas": replicas}});
            let answer = apply::patch_observed::<ReplicaSet>(self.context, object, patch).await?;
            return self.record_admission(name, Some(object.as_ref()), &answer).await;
        }
        let Some(data) = self.data.get(name) else { return Ok(()) };
        let set = build_replica_set(&self.owner, name, data, replicas);
        let mut objects = Objects::default();
        objects.push(objects::Write::Create, &set, None)?;
        let answer = apply::apply_objects(self.context, objects).await?.get::<ReplicaSet>(&set.name_any());
        match answer {
            Some(answer) => self.record_admission(name, None, &answer).await,
            None => Ok(()),
        }
    }

    /// Records what the API server made of the template that was just written: a policy may have changed it, and may do
    /// so at any write. Of a write that left the template alone, `before` is what it was made to: what somebody had
    /// changed in that, no policy did, and it is yet to be put back.
    pub(super) async fn record_admission(
        &self,
        name: &str,
        before: Option<&ReplicaSet>,
        answer: &ReplicaSet,
    ) -> Result<(), DeploymentError> {
        let (Some(data), Some(revision)) = (self.data.get(name), self.children.revision(name)) else {
            return Ok(());
        };
        if before.is_some_and(|before| !template::is_as_admitted(before, data, Some(revision))) {
            return Ok(());
        }
        if let Some(annotations) = template::admission(answer, data, revision) {
            apply::annotate::<ControllerRevision>(self.context, revision, annotations).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_told_later_costs_more_even_in_the_same_second() {
        let at = |second| Timestamp::from_second(second).unwrap_or_default();
        let first = deletion_cost(at(1_800_000_000), std::iter::empty());
        assert!(first < 0 && first >= i64::from(i32::MIN));
        assert_eq!(deletion_cost(at(1_800_000_000), [first, 0].into_iter()), first + 1);
        assert_eq!(deletion_cost(at(1_800_000_009), [first].into_iter()), first + 9);
        assert_eq!(
            deletion_cost(at(1_700_000_000), [first, first - 7].into_iter()),
            first + 1,
            "the clock stepped"
        );
        assert_eq!(deletion_cost(at(i64::from(i32::MAX) * 2), [-1].into_iter()), -1);
    }
}
