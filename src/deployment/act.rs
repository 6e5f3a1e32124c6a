//! Act: writes what was decided, in the order that makes a crash between any two writes safe. Every write carries the UID
//! and resourceVersion that the decision was made on. Needs a client.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        apps::v1::{ControllerRevision, ReplicaSet},
        core::v1::{ConfigMap, Pod},
    },
    apimachinery::pkg::apis::meta::v1::OwnerReference,
    jiff::Timestamp,
};
use kube::{
    ResourceExt as _,
    api::{Patch, PatchParams},
};
use modelwright_contract::names::TRAFFIC_KEY;
use serde_json::{Value, json};

use super::{
    DeploymentError,
    build::{Owner, build_replica_set, build_traffic, traffic_text},
    fetch::Found,
    look::Look,
    record::Record,
    revision::RevisionData,
    rollout::Decision,
    status,
};
use crate::{
    api::{
        ModelDeployment,
        model_deployment::ActionRequest,
        name::{DELETION_COST_ANNOTATION, LEAVING_ANNOTATION, TRAFFIC_LABEL, TRAFFIC_SERVE},
    },
    apply::{self, ApplyError},
    context::Context,
    events::Happening,
    objects::{Objects, Write, contains},
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
    /// Writes the decision, and adds what it recorded to what `happened`.
    pub async fn carry_out(
        &self,
        decision: &Decision,
        happened: &mut Vec<Happening>,
    ) -> Result<(), DeploymentError> {
        for (name, record) in &decision.records {
            // a new target's ControllerRevision was made before; without one there is nothing to record on
            let Some(object) = self.found.revision(name) else { continue };
            // one that was just made was made with it
            let before = Record::read(object.annotations());
            if before == *record {
                continue;
            }
            let annotations = json!({"metadata": {"annotations": record.annotations()}});
            apply::patch_observed::<ControllerRevision>(self.context, object, annotations).await?;
            happened.extend(status::transition(self.data, name, before.outcome, record));
        }
        if let Some(request) = &decision.request_done {
            self.remove_request(request).await?;
        }
        self.write_traffic(decision).await?;
        for pod in &self.found.pods {
            let name = pod.name_any();
            if decision.tell.contains(&name) {
                self.tell(pod).await?;
            } else if decision.recall.contains(&name) {
                self.recall(pod).await?;
            }
        }
        for (name, replicas) in &decision.replicas {
            self.scale(name, *replicas).await?;
        }
        for name in &decision.retire {
            if let Some(object) = self.found.replica_set(name) {
                apply::delete::<ReplicaSet>(self.context, object).await?;
            }
        }
        for name in &decision.forget {
            if let Some(object) = self.found.revision(name) {
                apply::delete::<ControllerRevision>(self.context, object).await?;
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
        let api = self.context.api::<ModelDeployment>(namespace);
        let patched = api.patch_status(&name, &PatchParams::default(), &Patch::<Value>::Json(patch)).await;
        match patched {
            Ok(patched) => {
                self.context.metrics.wrote("ModelDeployment", "patch");
                self.context.written.present("ModelDeployment", &patched.metadata);
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
            return Ok(apply::patch_observed::<ReplicaSet>(self.context, object, patch).await.map(drop)?);
        }
        let Some(data) = self.data.get(name) else { return Ok(()) };
        let mut objects = Objects::default();
        objects.push(Write::Create, &build_replica_set(&self.owner, name, data, replicas), None)?;
        apply::apply_objects(self.context, objects).await?;
        Ok(())
    }

    /// Puts back what somebody changed in a ReplicaSet's template, and takes over what lost its owner. Out comes whether
    /// there was anything.
    pub async fn repair(&self) -> Result<bool, DeploymentError> {
        let repairs = self.repairs();
        for object in &repairs.orphans {
            let owners = json!({"metadata": {"ownerReferences": [self.owner.reference]}});
            apply::patch_observed::<ControllerRevision>(self.context, object, owners).await?;
        }
        for (object, patch) in &repairs.patches {
            apply::patch_observed::<ReplicaSet>(self.context, object, patch.clone()).await?;
        }
        Ok(!repairs.is_empty())
    }

    /// What [`Self::repair`] would write.
    pub fn repairs(&self) -> Repairs<'_> {
        let orphans = self
            .found
            .revisions
            .iter()
            .filter(|object| ownerless(object.metadata.owner_references.as_deref()))
            .map(AsRef::as_ref)
            .collect();
        let patches = self.data.iter().filter_map(|(name, data)| {
            let object = self.found.replica_set(name)?;
            let rendered = serde_json::to_value(&data.pod_template).ok()?;
            let present = serde_json::to_value(object.spec.as_ref()?.template.as_ref()?).ok()?;
            let mut patch = serde_json::Map::new();
            if ownerless(object.metadata.owner_references.as_deref()) {
                patch.insert("metadata".into(), json!({"ownerReferences": [self.owner.reference]}));
            }
            if !contains(&present, &rendered) {
                patch.insert("spec".into(), json!({"template": rendered}));
            }
            (!patch.is_empty()).then(|| (object.as_ref(), Value::Object(patch)))
        });
        Repairs { orphans, patches: patches.collect() }
    }
}

/// What is not as it was made.
pub struct Repairs<'a> {
    orphans: Vec<&'a ControllerRevision>,
    patches: Vec<(&'a ReplicaSet, Value)>,
}

impl Repairs<'_> {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.orphans.is_empty() && self.patches.is_empty()
    }
}

/// Whether no controller owns an object.
fn ownerless(owners: Option<&[OwnerReference]>) -> bool {
    !owners.into_iter().flatten().any(|owner| owner.controller == Some(true))
}
