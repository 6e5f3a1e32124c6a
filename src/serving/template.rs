//! The template that a ReplicaSet makes pods from: as it is made, as the API server admitted it, as somebody changed it;
//! and which pods were born of a changed one. Pure.
//!
//! A mutating policy or webhook may change what we write. What the API server answers to our own write is what the template
//! is compared with from then on, so that nobody is fought; it is recorded on the ControllerRevision, which no policy for
//! ReplicaSets touches. Where the answer is what was asked for, with the defaults of the API server, nothing is recorded.
//!
//! A template that was put back carries a mark, which its pods inherit. Of the pods without that mark, those that were
//! there and are not of the changed template are named in the record of the repair; all others were born of it.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::{
    apps::v1::{ControllerRevision, ReplicaSet},
    core::v1::{Pod, PodTemplateSpec},
};
use kube::ResourceExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::revision::RevisionData;
use crate::{
    api::name::{ADMITTED_ANNOTATION, DEPLOYMENT_UID_LABEL, REPAIR_ANNOTATION},
    k8s::objects::same,
};

/// What is recorded on a ReplicaSet whose template was put back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repair {
    /// The mark of the template, and so of its pods: the generation that was changed by hand.
    pub mark: i64,
    /// Pods without the mark that were not born of the changed template.
    pub kept: BTreeSet<String>,
}

impl Repair {
    /// The last repair of a ReplicaSet; none where there was none, or where it cannot be read.
    pub fn of(set: &ReplicaSet) -> Option<Self> {
        serde_json::from_str(set.annotations().get(REPAIR_ANNOTATION)?).ok()
    }

    /// What repairs a ReplicaSet whose template is not as it was made; `pods` are its own.
    pub fn next<'a>(
        set: &ReplicaSet,
        data: &RevisionData,
        revision: Option<&ControllerRevision>,
        pods: impl IntoIterator<Item = &'a Pod>,
    ) -> Self {
        let (changed, made) = (with_defaults(json_of(template_of(set))), as_made(set, data, revision));
        let kept = |pod: &&Pod| !is_stray(pod, set) && !is_born_of(&json_of(Some(pod)), &changed, &made);
        let kept = pods.into_iter().filter(kept).map(ResourceExt::name_any).collect();
        Self { mark: set.metadata.generation.unwrap_or_default(), kept }
    }

    /// As it is recorded.
    pub fn annotation(&self) -> String {
        json_of(Some(self)).to_string()
    }
}

/// The template of a revision's pods, with the UID that its ReplicaSet selects.
pub fn made(data: &RevisionData, uid: &str, repair: Option<&Repair>) -> PodTemplateSpec {
    let mut template = data.pod_template.clone();
    let metadata = template.metadata.get_or_insert_default();
    metadata.labels.get_or_insert_default().insert(DEPLOYMENT_UID_LABEL.to_owned(), uid.to_owned());
    if let Some(repair) = repair {
        let annotations = metadata.annotations.get_or_insert_default();
        annotations.insert(REPAIR_ANNOTATION.to_owned(), repair.mark.to_string());
    }
    template
}

/// The UID that a ReplicaSet selects: that of the ModelDeployment which it was made for, or of an earlier one that it was
/// taken over from.
pub fn selected_uid(set: &ReplicaSet) -> &str {
    let labels = set.spec.as_ref().and_then(|spec| spec.selector.match_labels.as_ref());
    labels.and_then(|labels| labels.get(DEPLOYMENT_UID_LABEL)).map_or("", String::as_str)
}

/// Whether the template is the one that was asked for, or the one that the API server made of it.
pub fn is_as_admitted(set: &ReplicaSet, data: &RevisionData, revision: Option<&ControllerRevision>) -> bool {
    let present = json_of(template_of(set));
    admitted(revision).is_some_and(|admitted| same(&present, &admitted))
        || same(&with_defaults(present), &asked_for(set, data))
}

/// What to record on a ControllerRevision of the API server's answer to a write of its ReplicaSet: annotations, of which
/// `null` takes one off; nothing where that is recorded, or need not be.
pub fn admission(answer: &ReplicaSet, data: &RevisionData, revision: &ControllerRevision) -> Option<Value> {
    let present = json_of(template_of(answer));
    let known = admitted(Some(revision));
    if same(&with_defaults(present.clone()), &asked_for(answer, data)) {
        return revision
            .annotations()
            .contains_key(ADMITTED_ANNOTATION)
            .then(|| json!({ADMITTED_ANNOTATION: null}));
    }
    let is_known = known.is_some_and(|known| same(&present, &known));
    (!is_known).then(|| json!({ADMITTED_ANNOTATION: present.to_string()}))
}

/// Whether a pod of a ReplicaSet was born of a template that somebody had changed.
pub fn is_stray(pod: &Pod, set: &ReplicaSet) -> bool {
    let Some(repair) = Repair::of(set) else { return false };
    let mark = pod.annotations().get(REPAIR_ANNOTATION);
    mark != Some(&repair.mark.to_string()) && !repair.kept.contains(&pod.name_any())
}

fn template_of(set: &ReplicaSet) -> Option<&PodTemplateSpec> {
    set.spec.as_ref()?.template.as_ref()
}

fn asked_for(set: &ReplicaSet, data: &RevisionData) -> Value {
    with_defaults(json_of(Some(&made(data, selected_uid(set), Repair::of(set).as_ref()))))
}

fn admitted(revision: Option<&ControllerRevision>) -> Option<Value> {
    serde_json::from_str(revision?.annotations().get(ADMITTED_ANNOTATION)?).ok()
}

/// The template before it was changed.
fn as_made(set: &ReplicaSet, data: &RevisionData, revision: Option<&ControllerRevision>) -> Value {
    admitted(revision).map_or_else(|| asked_for(set, data), with_defaults)
}

fn json_of<T: Serialize>(value: Option<&T>) -> Value {
    value.and_then(|value| serde_json::to_value(value).ok()).unwrap_or_default()
}

/// Whether a pod has something as it was changed to. Pods may differ from any template, since policies change them, too:
/// only the fields in which the two templates differ say where a pod comes from.
fn is_born_of(pod: &Value, changed: &Value, made: &Value) -> bool {
    if same(changed, made) {
        return false;
    }
    match (changed, made) {
        (Value::Object(_), _) | (_, Value::Object(_)) => members(changed)
            .chain(members(made))
            .any(|key| is_born_of(member(pod, key), member(changed, key), member(made, key))),
        (Value::Array(_), _) | (_, Value::Array(_)) => {
            let named = (by_name(changed), by_name(made), by_name(pod));
            if let (Some(changed), Some(made), Some(pod)) = named {
                return changed.keys().chain(made.keys()).any(|name| {
                    is_born_of(named_as(&pod, name), named_as(&changed, name), named_as(&made, name))
                });
            }
            let has = |list: &Value, wanted: &Value| items(list).any(|item| same(item, wanted));
            let mut added = items(changed).filter(|item| !has(made, item)).peekable();
            if added.peek().is_some() {
                return added.any(|item| has(pod, item));
            }
            items(made).any(|item| !has(changed, item) && !has(pod, item))
        }
        _ => same(pod, changed) && !same(pod, made),
    }
}

fn members(value: &Value) -> impl Iterator<Item = &String> {
    value.as_object().into_iter().flat_map(serde_json::Map::keys)
}

fn member<'a>(value: &'a Value, key: &str) -> &'a Value {
    value.get(key).unwrap_or(&Value::Null)
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn named_as<'a>(items: &BTreeMap<&str, &'a Value>, name: &str) -> &'a Value {
    items.get(name).copied().unwrap_or(&Value::Null)
}

/// The items of a list that Kubernetes tells apart by their names.
fn by_name(value: &Value) -> Option<BTreeMap<&str, &Value>> {
    let named: Option<BTreeMap<_, _>> =
        items(value).map(|item| Some((item.get("name")?.as_str()?, item))).collect();
    named.filter(|named| named.len() == items(value).count())
}

/// The template with what the API server fills in where nothing is said.
fn with_defaults(mut template: Value) -> Value {
    let Some(spec) = template.get_mut("spec") else { return template };
    if let Some(account) = spec.get("serviceAccountName").cloned() {
        fill(spec, json!({"serviceAccount": account}));
    }
    fill(
        spec,
        json!({
            "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "schedulerName": "default-scheduler",
            "terminationGracePeriodSeconds": 30,
        }),
    );
    for list in ["containers", "initContainers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let pull = pull_policy(container.get("image").and_then(Value::as_str).unwrap_or_default());
            fill(
                container,
                json!({
                    "imagePullPolicy": pull, "terminationMessagePath": "/dev/termination-log",
                    "terminationMessagePolicy": "File",
                }),
            );
            for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
                let Some(probe) = container.get_mut(probe) else { continue };
                fill(
                    probe,
                    json!({"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}),
                );
                if let Some(get) = probe.get_mut("httpGet") {
                    fill(get, json!({"scheme": "HTTP", "path": "/"}));
                }
            }
        }
    }
    for volume in spec.get_mut("volumes").and_then(Value::as_array_mut).into_iter().flatten() {
        for kind in ["configMap", "secret", "projected"] {
            if let Some(source) = volume.get_mut(kind) {
                fill(source, json!({"defaultMode": 420}));
            }
        }
    }
    template
}

/// Adds what is not there.
fn fill(object: &mut Value, defaults: Value) {
    let (Value::Object(object), Value::Object(defaults)) = (object, defaults) else { return };
    for (key, value) in defaults {
        object.entry(key).or_insert(value);
    }
}

/// An image by the tag `latest`, or by none, is pulled anew.
fn pull_policy(image: &str) -> &'static str {
    let name = image.rsplit('/').next().unwrap_or(image);
    let tag = name.split_once(':').map(|(_, tag)| tag);
    if name.contains('@') || tag.is_some_and(|tag| tag != "latest") { "IfNotPresent" } else { "Always" }
}
