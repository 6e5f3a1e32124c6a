//! Act: writes what was decided, in the order that makes a crash between any two writes safe. Every write carries the UID
//! and resourceVersion that the decision was made on. Needs a client.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{
    api::{
        apps::v1::{ControllerRevision, ReplicaSet},
        core::v1::{ConfigMap, Pod},
    },
    jiff::Timestamp,
};
use kube::{
    Resource as _, ResourceExt as _,
    api::{Patch, PatchParams},
};
use modelwright_contract::names::TRAFFIC_KEY;
use serde_json::{Value, json};

use super::{
    DeploymentError,
    build::{Owner, build_replica_set, build_traffic, revision_labels, traffic_text},
    fetch::{self, Found},
    look::Look,
    record::Record,
    refusals::Refusals,
    revision::RevisionData,
    rollout::{Decision, Observed},
    status,
    template::{self, Repair},
};
use crate::{
    api::{
        ModelDeployment,
        model_deployment::ActionRequest,
        name::{
            DELETION_COST_ANNOTATION, DEPLOYMENT_LABEL, LEAVING_ANNOTATION, MANAGED_BY, MANAGED_BY_LABEL,
            REPAIR_ANNOTATION, REVISION_LABEL, SET_ASIDE_ANNOTATION, TRAFFIC_LABEL, TRAFFIC_SERVE,
        },
    },
    apply::{self, ApplyError},
    context::Context,
    events::Happening,
    objects::{Objects, Write},
};

/// What a decision is written to.
pub struct Stage<'a> {
    /// The client and what goes with it.
    pub context: &'a Context,
    /// The ModelDeployment.
    pub deployment: &'a ModelDeployment,
    /// What its objects have in common.
    pub owner: Owner<'a>,
    /// What the decision was made on.
    pub found: &'a Found,
    /// What the revisions serve.
    pub data: &'a BTreeMap<String, RevisionData>,
    /// The time.
    pub now: Timestamp,
}

impl Look {
    /// Where its decision is written to.
    pub fn stage<'a>(
        &'a self,
        context: &'a Context,
        deployment: &'a ModelDeployment,
        owner: Owner<'a>,
        now: Timestamp,
    ) -> Stage<'a> {
        Stage { context, deployment, owner, found: &self.found, data: &self.data, now }
    }
}

impl Stage<'_> {
    /// Writes the decision, and adds what it recorded to what `happened`. A write that is refused stops itself and what it
    /// justifies, and goes into `refusals`; the decision is then the one that was carried out.
    pub async fn carry_out(
        &self,
        decision: &mut Decision,
        observed: &Observed,
        happened: &mut Vec<Happening>,
        refusals: &mut Refusals,
    ) -> Result<(), DeploymentError> {
        let mut unrecorded = BTreeSet::new();
        for (name, record) in &decision.records {
            // a new target's ControllerRevision was made before; without one there is nothing to record on
            let Some(object) = self.found.revision(name) else {
                unrecorded.insert(name.clone());
                continue;
            };
            // one that was just made was made with it
            let before = Record::read(object.annotations());
            if before == *record {
                continue;
            }
            let annotations = json!({"metadata": {"annotations": record.annotations()}});
            let written =
                apply::patch_observed::<ControllerRevision>(self.context, object, annotations).await;
            match refusals.take(written)? {
                Some(_) => happened.extend(status::transition(self.data, name, before.outcome, record)),
                None => _ = unrecorded.insert(name.clone()),
            }
        }
        decision.leave_unrecorded(&unrecorded, observed);
        if let Some(request) = &decision.request_done {
            refusals.take(self.remove_request(request).await)?;
        }
        let is_listed = refusals.take(self.write_traffic(decision).await)?.is_some();
        for pod in &self.found.pods {
            let name = pod.name_any();
            // a pod hears from the list that it leaves, and that it stays
            if is_listed && decision.tell.contains(&name) {
                refusals.take(self.tell(pod).await)?;
            } else if is_listed && decision.recall.contains(&name) {
                refusals.take(self.recall(pod).await)?;
            }
        }
        for (name, replicas) in &decision.replicas {
            refusals.take(self.scale(name, *replicas).await)?;
        }
        for pod in self.found.pods.iter().filter(|pod| decision.remove.contains(&pod.name_any())) {
            refusals.take(apply::delete::<Pod>(self.context, pod).await)?;
        }
        for name in &decision.retire {
            if let Some(object) = self.found.replica_set(name) {
                refusals.take(apply::delete::<ReplicaSet>(self.context, object).await)?;
            }
        }
        for name in &decision.forget {
            if let Some(object) = self.found.revision(name) {
                refusals.take(apply::delete::<ControllerRevision>(self.context, object).await)?;
            }
        }
        Ok(())
    }

    /// Removes a person's request, unless it is another by now: whole, since people repeat identifiers.
    async fn remove_request(&self, request: &ActionRequest) -> Result<(), DeploymentError> {
        let patch = serde_json::from_value(json!([
            {"op": "test", "path": "/status/request", "value": request},
            {"op": "remove", "path": "/status/request"},
        ]))
        .expect("a JSON patch of a test and a removal");
        self.context.leadership.check().map_err(ApplyError::from)?;
        let (name, namespace) = (self.deployment.name_any(), self.owner.namespace);
        let api = self.context.raw::<ModelDeployment>(namespace);
        let patched = api.patch_status(&name, &PatchParams::default(), &Patch::<Value>::Json(patch)).await;
        match patched {
            Ok(patched) => {
                self.context.metrics.wrote("ModelDeployment", "patch");
                self.context.written.present("ModelDeployment", patched.meta());
            }
            // the test failed: somebody removed or replaced it
            Err(kube::Error::Api(status)) if status.is_invalid() || status.code == 400 => {}
            Err(source) => return Err(DeploymentError::Request { source: Box::new(source) }),
        }
        Ok(())
    }

    async fn write_traffic(&self, decision: &Decision) -> Result<(), DeploymentError> {
        let text = traffic_text(&decision.draining);
        let says = |map: &ConfigMap| map.data.as_ref().and_then(|data| data.get(TRAFFIC_KEY)) == Some(&text);
        let Some(map) = &self.found.traffic else {
            if decision.draining.is_empty() {
                return Ok(());
            }
            let map = build_traffic(&self.owner, &decision.draining);
            let name = map.name_any();
            let mut objects = Objects::default();
            objects.push(Write::Create, &map, None)?;
            let made = apply::apply_objects(self.context, objects).await?.get(&name);
            // one that was there all the same says something else
            return if made.as_ref().is_some_and(says) {
                Ok(())
            } else {
                Err(ApplyError::Stale { kind: "ConfigMap".into(), name }.into())
            };
        };
        if !says(map) {
            apply::patch_observed(self.context, map.as_ref(), json!({"data": {TRAFFIC_KEY: text}})).await?;
        }
        Ok(())
    }

    /// Takes a pod out of the Service, and lets the ReplicaSet delete it before its siblings, what was told first before
    /// all. The write also makes the kubelet look at the pod, and so at the list.
    async fn tell(&self, pod: &Pod) -> Result<(), DeploymentError> {
        let cost = (self.now.as_second() - i64::from(i32::MAX)).clamp(i64::from(i32::MIN), -1);
        let patch = json!({"metadata": {
            "labels": {TRAFFIC_LABEL: null},
            "annotations": {LEAVING_ANNOTATION: self.now.to_string(), DELETION_COST_ANNOTATION: cost.to_string()},
        }});
        Ok(apply::patch_observed(self.context, pod, patch).await.map(drop)?)
    }

    async fn recall(&self, pod: &Pod) -> Result<(), DeploymentError> {
        let patch = json!({"metadata": {
            "labels": {TRAFFIC_LABEL: TRAFFIC_SERVE},
            "annotations": {LEAVING_ANNOTATION: null, DELETION_COST_ANNOTATION: null},
        }});
        Ok(apply::patch_observed(self.context, pod, patch).await.map(drop)?)
    }

    async fn scale(&self, name: &str, replicas: u32) -> Result<(), DeploymentError> {
        if let Some(object) = self.found.replica_set(name) {
            let patch = json!({"spec": {"replicas": replicas}});
            let answer = apply::patch_observed::<ReplicaSet>(self.context, object, patch).await?;
            return self.record_admission(name, Some(object.as_ref()), &answer).await;
        }
        let Some(data) = self.data.get(name) else { return Ok(()) };
        let set = build_replica_set(&self.owner, name, data, replicas);
        let mut objects = Objects::default();
        objects.push(Write::Create, &set, None)?;
        let answer = apply::apply_objects(self.context, objects).await?.get::<ReplicaSet>(&set.name_any());
        match answer {
            Some(answer) => self.record_admission(name, None, &answer).await,
            None => Ok(()),
        }
    }

    /// Records what the API server made of the template that was just written: a policy may have changed it, and may do
    /// so at any write. Of a write that left the template alone, `before` is what it was made to: what somebody had
    /// changed in that, no policy did, and it is yet to be put back.
    async fn record_admission(
        &self,
        name: &str,
        before: Option<&ReplicaSet>,
        answer: &ReplicaSet,
    ) -> Result<(), DeploymentError> {
        let (Some(data), Some(revision)) = (self.data.get(name), self.found.revision(name)) else {
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

    /// Puts back what somebody changed in our objects, sets aside the pods that came of a changed template, and takes over
    /// what lost its owner. Out comes whether anything was written: what is refused goes into `refusals`, and is not tried
    /// again before the next reconcile.
    pub async fn repair(
        &self,
        happened: &mut Vec<Happening>,
        refusals: &mut Refusals,
    ) -> Result<bool, DeploymentError> {
        let repairs = self.repairs();
        let mut wrote = false;
        for (object, what) in &repairs.revisions {
            let mended =
                apply::patch_observed::<ControllerRevision>(self.context, object, self.mended(what)).await;
            wrote |= refusals.take(mended)?.is_some();
        }
        if let Some((object, what)) = &repairs.traffic {
            let mended = apply::patch_observed::<ConfigMap>(self.context, object, self.mended(what)).await;
            wrote |= refusals.take(mended)?.is_some();
        }
        for (name, set, what) in &repairs.sets {
            let (before, answer) = match what {
                Wrong::Owner | Wrong::Labels(_) => (
                    Some(*set),
                    apply::patch_observed::<ReplicaSet>(self.context, set, self.mended(what))
                        .await
                        .map_err(Into::into),
                ),
                Wrong::Template => (None, self.put_back(name, set).await),
            };
            let Some(answer) = refusals.take(answer)? else { continue };
            wrote = true;
            if before.is_none() {
                happened.push(put_back_told(set));
            }
            refusals.take(self.record_admission(name, before, &answer).await)?;
        }
        for (pod, revision) in &repairs.strays {
            wrote |= refusals.take(self.set_aside(pod, revision).await)?.is_some();
        }
        Ok(wrote)
    }

    /// What puts metadata right. Owners whole: an owner that somebody added would outlive ours, and keep the object.
    fn mended(&self, what: &Wrong) -> Value {
        match what {
            Wrong::Owner => json!({"metadata": {"ownerReferences": [self.owner.reference]}}),
            Wrong::Labels(labels) => json!({"metadata": {"labels": labels}}),
            Wrong::Template => json!({}),
        }
    }

    /// Puts back a template, under a mark that pods of the changed one do not have. Whole: a merge would leave what was
    /// added.
    async fn put_back(&self, name: &str, set: &ReplicaSet) -> Result<ReplicaSet, DeploymentError> {
        let Some(data) = self.data.get(name) else { return Ok(set.clone()) };
        let revision = self.found.revision(name).map(AsRef::as_ref);
        let repair = Repair::next(set, data, revision, self.found.pods_of(set));
        let mut annotations = set.annotations().clone();
        annotations.insert(REPAIR_ANNOTATION.to_owned(), repair.annotation());
        let operations = json!([
            {"op": "add", "path": "/metadata/annotations", "value": annotations},
            {"op": "replace", "path": "/spec/template", "value": template::made(data, template::selected_uid(set), Some(&repair))},
        ]);
        let answer = apply::json_patch_observed::<ReplicaSet>(self.context, set, operations).await?;
        tracing::info!(
            name = set.name_any(),
            namespace = self.owner.namespace,
            "put a changed template back"
        );
        Ok(answer)
    }

    /// Takes a pod from its ReplicaSet, which makes another one in its place.
    async fn set_aside(&self, pod: &Pod, revision: &str) -> Result<(), DeploymentError> {
        let patch = json!({"metadata": {
            "labels": {REVISION_LABEL: null},
            "annotations": {SET_ASIDE_ANNOTATION: revision},
            "ownerReferences": [self.owner.reference],
        }});
        Ok(apply::patch_observed(self.context, pod, patch).await.map(drop)?)
    }

    /// The labels of a revision's ReplicaSet.
    fn labels(&self, name: &str) -> Labels {
        let of_revision = self.data.get(name).map(|data| revision_labels(&self.owner, name, &data.version));
        of_revision.into_iter().flatten().chain([(MANAGED_BY_LABEL, MANAGED_BY.to_owned())]).collect()
    }

    /// What [`Self::repair`] would write.
    pub fn repairs(&self) -> Repairs<'_> {
        let revisions = self.found.revisions.iter().filter_map(|object| {
            let short = fetch::short_of(object.as_ref())?;
            Some((object.as_ref(), self.wrong_metadata(object.as_ref(), self.labels(&short))?))
        });
        let sets = self.data.iter().filter_map(|(name, data)| {
            let set = self.found.replica_set(name)?.as_ref();
            let revision = self.found.revision(name).map(AsRef::as_ref);
            let wrong = self
                .wrong_metadata(set, self.labels(name))
                .or_else(|| (!template::is_as_admitted(set, data, revision)).then_some(Wrong::Template))?;
            Some((name.as_str(), set, wrong))
        });
        let traffic = self.found.traffic.as_deref().and_then(|map| {
            let labels =
                [(DEPLOYMENT_LABEL, self.owner.name.to_owned()), (MANAGED_BY_LABEL, MANAGED_BY.to_owned())];
            Some((map, self.wrong_metadata(map, labels.into())?))
        });
        Repairs {
            revisions: revisions.collect(),
            sets: sets.collect(),
            traffic,
            strays: self.found.strays().collect(),
        }
    }

    /// What is wrong with owner and labels of an object that carries these; nothing of one that is on its way out.
    fn wrong_metadata<K: kube::Resource>(&self, object: &K, labels: Labels) -> Option<Wrong> {
        if object.meta().deletion_timestamp.is_some() {
            return None;
        }
        if object.owner_references() != [self.owner.reference.clone()] {
            return Some(Wrong::Owner);
        }
        let is_off = labels.iter().any(|(key, value)| object.labels().get(*key) != Some(value));
        is_off.then_some(Wrong::Labels(labels))
    }
}

fn put_back_told(set: &ReplicaSet) -> Happening {
    let name = set.name_any();
    let message = format!(
        "the pod template of ReplicaSet {name} was changed by somebody else, and is put back; to change pods, change the spec of the ModelDeployment"
    );
    Happening { warning: true, reason: "TemplatePutBack", message }
}

type Labels = BTreeMap<&'static str, String>;

/// What is wrong with an object. One thing at a time: the next look sees whether there is another.
enum Wrong {
    /// We are not its one owner.
    Owner,
    /// Labels are not as they were made.
    Labels(Labels),
    /// Somebody changed its template.
    Template,
}

/// What is not as it was made.
pub struct Repairs<'a> {
    revisions: Vec<(&'a ControllerRevision, Wrong)>,
    sets: Vec<(&'a str, &'a ReplicaSet, Wrong)>,
    traffic: Option<(&'a ConfigMap, Wrong)>,
    strays: Vec<(&'a Pod, String)>,
}

impl Repairs<'_> {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.revisions.is_empty() && self.sets.is_empty() && self.traffic.is_none() && self.strays.is_empty()
    }
}
