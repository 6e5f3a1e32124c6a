//! Repair: puts back what others changed in our objects. In go what there is and what was made; out come writes, each under the
//! resourceVersion that it was decided on. Needs a client.

use std::{collections::BTreeMap, fmt::Debug};

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::{ControllerRevision, ReplicaSet},
        core::v1::{ConfigMap, Pod},
    },
};
use kube::{Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{
    DeploymentError,
    build::revision_labels,
    execute::Executor,
    fetch,
    template::{self, Repair},
};
use crate::{
    api::name::{
        DEPLOYMENT_LABEL, MANAGED_BY, MANAGED_BY_LABEL, REPAIR_ANNOTATION, REVISION_LABEL,
        SET_ASIDE_ANNOTATION,
    },
    k8s::{
        apply::{self, ApplyError},
        events::Event,
        refusals::Refusals,
    },
};

impl Executor<'_> {
    /// Puts back what somebody changed in our objects, sets aside the pods that came of a changed template, and takes over
    /// what lost its owner. Out comes whether anything was written: what is refused goes into `refusals`, and is not tried
    /// again before the next reconcile.
    pub async fn repair(
        &self,
        events: &mut Vec<Event>,
        refusals: &mut Refusals<DeploymentError>,
    ) -> Result<bool, DeploymentError> {
        let repairs = self.repairs();
        let mut wrote = false;
        for (object, what) in &repairs.revisions {
            wrote |= refusals.take(self.mend::<ControllerRevision>(object, what).await)?.is_some();
        }
        if let Some((object, what)) = &repairs.traffic {
            wrote |= refusals.take(self.mend::<ConfigMap>(object, what).await)?.is_some();
        }
        for (name, set, what) in &repairs.sets {
            let (before, answer) = match what {
                Wrong::Owner | Wrong::Labels(_) => {
                    (Some(*set), self.mend::<ReplicaSet>(set, what).await.map_err(Into::into))
                }
                Wrong::Template => (None, self.put_back(name, set).await),
            };
            let Some(answer) = refusals.take(answer)? else { continue };
            wrote = true;
            if before.is_none() {
                events.push(put_back_told(set));
            }
            refusals.take(self.record_admission(name, before, &answer).await)?;
        }
        for (pod, revision) in &repairs.strays {
            wrote |= refusals.take(self.set_aside(pod, revision).await)?.is_some();
        }
        Ok(wrote)
    }

    /// Puts metadata right. Owners whole: an owner that somebody added would outlive ours, and keep the object. What a policy
    /// changes at every write stays wrong, and is told.
    async fn mend<K>(&self, object: &K, what: &Wrong) -> Result<K, ApplyError>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
    {
        let (patch, field) = match what {
            Wrong::Owner => (json!({"ownerReferences": [self.owner.reference]}), "metadata.ownerReferences"),
            Wrong::Labels(labels) => (json!({"labels": labels}), "metadata.labels"),
            Wrong::Template => (json!({}), ""),
        };
        let answer = apply::patch_observed(self.context, object, json!({"metadata": patch})).await?;
        let is_left = match what {
            Wrong::Owner => answer.owner_references() != [self.owner.reference.clone()],
            Wrong::Labels(labels) => is_off(&answer, labels),
            Wrong::Template => false,
        };
        if !is_left {
            return Ok(answer);
        }
        let (kind, name) = (K::kind(&()).into_owned(), object.name_any());
        Err(ApplyError::Overruled { kind, name, fields: field.into(), left: String::new() })
    }

    /// Puts back a template, under a mark that pods of the changed one do not have. Whole: a merge would leave what was
    /// added.
    async fn put_back(&self, name: &str, set: &ReplicaSet) -> Result<ReplicaSet, DeploymentError> {
        let Some(data) = self.data.get(name) else { return Ok(set.clone()) };
        let revision = self.children.revision(name).map(AsRef::as_ref);
        let repair = Repair::next(set, data, revision, self.children.pods_of(set));
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
        let revisions = self.children.revisions.iter().filter_map(|object| {
            let short = fetch::short_of(object.as_ref())?;
            Some((object.as_ref(), self.wrong_metadata(object.as_ref(), self.labels(&short))?))
        });
        let sets = self.data.iter().filter_map(|(name, data)| {
            let set = self.children.replica_set(name)?.as_ref();
            let revision = self.children.revision(name).map(AsRef::as_ref);
            let wrong = self
                .wrong_metadata(set, self.labels(name))
                .or_else(|| (!template::is_as_admitted(set, data, revision)).then_some(Wrong::Template))?;
            Some((name.as_str(), set, wrong))
        });
        let traffic = self.children.traffic.as_deref().and_then(|map| {
            let labels =
                [(DEPLOYMENT_LABEL, self.owner.name.to_owned()), (MANAGED_BY_LABEL, MANAGED_BY.to_owned())];
            Some((map, self.wrong_metadata(map, labels.into())?))
        });
        Repairs {
            revisions: revisions.collect(),
            sets: sets.collect(),
            traffic,
            strays: self.children.strays().collect(),
        }
    }

    /// What is wrong with owner and labels of an object that carries these; nothing of one that is on its way out.
    fn wrong_metadata<K: Resource>(&self, object: &K, labels: Labels) -> Option<Wrong> {
        if object.meta().deletion_timestamp.is_some() {
            return None;
        }
        if object.owner_references() != [self.owner.reference.clone()] {
            return Some(Wrong::Owner);
        }
        is_off(object, &labels).then_some(Wrong::Labels(labels))
    }
}

/// Whether an object lacks one of these labels, or has it with another value.
fn is_off<K: Resource>(object: &K, labels: &Labels) -> bool {
    labels.iter().any(|(key, value)| object.labels().get(*key) != Some(value))
}

fn put_back_told(set: &ReplicaSet) -> Event {
    let name = set.name_any();
    let message = format!(
        "the pod template of ReplicaSet {name} was changed by somebody else, and is put back; to change pods, change the spec of the ModelDeployment"
    );
    Event { warning: true, reason: "TemplatePutBack", message }
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
