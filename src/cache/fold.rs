//! Large parts of cached objects, kept as JSON text: as typed structs and trees of values they take several times as much
//! memory, and one look in thousands reads them. In go objects as the API server sends them; out come folded ones, and
//! what was folded. Pure.

use std::borrow::Cow;

use k8s_openapi::{
    api::{
        apps::v1::{ControllerRevision, Deployment},
        batch::v1::Job,
        core::v1::{Container, Pod, PodSpec, PodTemplateSpec},
    },
    apimachinery::pkg::runtime::RawExtension,
};
use kube::{ResourceExt as _, api::ObjectMeta};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Annotation of a folded Deployment or Job; it is in memory only.
const TEMPLATE: &str = "modelwright.dev/folded-template";

/// Drops what nobody reads of any object, and the room that a list of one keeps for more.
pub fn trim(metadata: &mut ObjectMeta) {
    metadata.managed_fields = None;
    if let Some(owners) = &mut metadata.owner_references {
        owners.shrink_to_fit();
    }
}

/// Keeps the data as text.
pub fn fold_revision(revision: &mut ControllerRevision) {
    if let Some(RawExtension(data)) = &mut revision.data
        && !data.is_string()
    {
        *data = Value::String(data.to_string().into_boxed_str().into_string());
    }
}

/// The data, folded or not.
pub fn revision_data(revision: &ControllerRevision) -> Option<Cow<'_, Value>> {
    match &revision.data.as_ref()?.0 {
        Value::String(text) => serde_json::from_str(text).ok().map(Cow::Owned),
        data => Some(Cow::Borrowed(data)),
    }
}

/// The data, folded or not, as a type; `None` where somebody else wrote it.
pub fn read_revision<T: DeserializeOwned>(revision: &ControllerRevision) -> Option<T> {
    match &revision.data.as_ref()?.0 {
        Value::String(text) => serde_json::from_str(text).ok(),
        data => T::deserialize(data).ok(),
    }
}

/// Keeps the template of the pods as text.
pub fn fold_deployment(deployment: &mut Deployment) {
    let Some(spec) = &mut deployment.spec else { return };
    if let Ok(text) = serde_json::to_string(&spec.template).map(String::into_boxed_str) {
        spec.template = PodTemplateSpec::default();
        deployment.annotations_mut().insert(TEMPLATE.into(), text.into_string());
    }
}

/// The template of the pods, folded or not.
pub fn template(deployment: &Deployment) -> Option<Value> {
    match deployment.annotations().get(TEMPLATE) {
        Some(text) => serde_json::from_str(text).ok(),
        None => serde_json::to_value(&deployment.spec.as_ref()?.template).ok(),
    }
}

/// Keeps the template of the pods as text.
pub fn fold_job(job: &mut Job) {
    let Some(spec) = &mut job.spec else { return };
    if let Ok(text) = serde_json::to_string(&spec.template).map(String::into_boxed_str) {
        spec.template = PodTemplateSpec::default();
        job.annotations_mut().insert(TEMPLATE.into(), text.into_string());
    }
}

/// The containers of the pods, in the order in which they run, folded or not.
pub fn job_containers(job: &Job) -> Vec<Container> {
    let template = match job.annotations().get(TEMPLATE) {
        Some(text) => serde_json::from_str(text).ok(),
        None => job.spec.as_ref().map(|spec| spec.template.clone()),
    };
    let pod = template.and_then(|template| template.spec).unwrap_or_default();
    pod.init_containers.into_iter().flatten().chain(pod.containers).collect()
}

/// Keeps of a pod's spec only where it runs.
pub fn reduce_pod(pod: &mut Pod) {
    if let Some(spec) = pod.spec.take() {
        pod.spec = Some(PodSpec { node_name: spec.node_name, ..PodSpec::default() });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_folded_reads_as_before() {
        let whole: ControllerRevision =
            serde_json::from_value(json!({"metadata": {}, "data": {"a": [1, 2]}, "revision": 1})).unwrap();
        let mut folded = whole.clone();
        for _ in 0..2 {
            fold_revision(&mut folded);
            assert!(folded.data.as_ref().unwrap().0.is_string());
            assert_eq!(revision_data(&folded), revision_data(&whole));
        }
        let whole: Deployment = serde_json::from_value(json!({
            "metadata": {},
            "spec": {"selector": {}, "template": {"spec": {"containers": [{"name": "serve"}]}}},
        }))
        .unwrap();
        let mut folded = whole.clone();
        fold_deployment(&mut folded);
        assert_eq!(folded.spec.as_ref().unwrap().template, PodTemplateSpec::default());
        assert_eq!(template(&folded), template(&whole));
        assert!(template(&whole).unwrap().to_string().contains("serve"));
        let whole: Job = serde_json::from_value(json!({
            "metadata": {},
            "spec": {"template": {"spec": {
                "initContainers": [{"name": "fetch"}], "containers": [{"name": "publish"}],
            }}},
        }))
        .unwrap();
        let mut folded = whole.clone();
        fold_job(&mut folded);
        assert_eq!(folded.spec.as_ref().unwrap().template, PodTemplateSpec::default());
        assert_eq!(job_containers(&folded), job_containers(&whole));
        let names: Vec<_> = job_containers(&whole).into_iter().map(|container| container.name).collect();
        assert_eq!(names, ["fetch", "publish"]);
    }
}
