//! The pod of a run: where it runs, and under what. Its containers and volumes are beside this file. Pure.

use k8s_openapi::{
    api::core::v1::{PodSpec, PodTemplateSpec},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use super::{
    containers::{init_containers, publish_container},
    volumes::{volumes, volumes_of},
};
use crate::{
    api::name::{MANAGED_BY, MANAGED_BY_LABEL, MODEL_LABEL, SPEC_HASH_LABEL},
    context::Settings,
    hash,
    model::validate::ValidModel,
    pods::parts,
};

/// How long a pod that is stopped may take to end. What stopped it, its deadline for one, is told only then.
const GRACE_SECONDS: i64 = 10;

pub(super) fn pod_template(
    model: &ValidModel,
    settings: &Settings,
    workload_account: bool,
) -> PodTemplateSpec {
    PodTemplateSpec {
        metadata: Some(pod_metadata(model)),
        spec: Some(pod_spec(model, settings, workload_account)),
    }
}

/// Of `publish` alone, which recalls the report of the run whose Job has this UID.
pub(super) fn recall_template(
    model: &ValidModel,
    settings: &Settings,
    workload_account: bool,
    recalls: &str,
) -> PodTemplateSpec {
    let publish = publish_container(model, settings, Some(recalls));
    PodTemplateSpec {
        metadata: Some(pod_metadata(model)),
        spec: Some(PodSpec {
            init_containers: None,
            volumes: Some(volumes_of(&publish, model, settings)),
            containers: vec![publish],
            ..pod_spec(model, settings, workload_account)
        }),
    }
}

fn pod_metadata(model: &ValidModel) -> ObjectMeta {
    let mut labels = parts::texts(&model.scheduling.pod_labels);
    labels.insert(MANAGED_BY_LABEL.into(), MANAGED_BY.into());
    labels.insert(MODEL_LABEL.into(), model.name.clone());
    labels.insert(SPEC_HASH_LABEL.into(), hash::short(&model.key(), 16).into());
    ObjectMeta {
        labels: Some(labels),
        annotations: parts::some_map(parts::texts(&model.scheduling.pod_annotations)),
        ..ObjectMeta::default()
    }
}

fn pod_spec(model: &ValidModel, settings: &Settings, workload_account: bool) -> PodSpec {
    let siblings = [(MODEL_LABEL.to_owned(), model.name.clone())].into();
    PodSpec {
        containers: vec![publish_container(model, settings, None)],
        init_containers: Some(init_containers(model, settings)),
        restart_policy: Some("Never".into()),
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        volumes: Some(volumes(model, settings)),
        ..parts::confined_pod(&model.scheduling, siblings, workload_account)
    }
}
