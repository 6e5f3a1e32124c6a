//! The pod of a run: where it runs, and under what. Its containers and volumes are beside this file. Pure.

use k8s_openapi::{
    api::core::v1::{PodSpec, PodTemplateSpec},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use super::{containers::container, volumes::volumes_of};
use crate::{
    api::name::{MANAGED_BY, MANAGED_BY_LABEL, MODEL_LABEL, SPEC_HASH_LABEL},
    context::Settings,
    hash,
    model::{run::phases::Phase, validate::ValidModel},
    pods::parts,
};

/// How long a pod that is stopped may take to end. What stopped it, its deadline for one, is told only then.
const GRACE_SECONDS: i64 = 10;

/// The pod of the phases of a run, or of `publish` alone where it reads what the run whose Job has the UID `recalls` reported. They
/// run one after another, the last as the main container.
pub(super) fn pod_template(
    model: &ValidModel,
    settings: &Settings,
    workload_account: bool,
    recalls: Option<&str>,
) -> PodTemplateSpec {
    let phases = if recalls.is_some() { vec![Phase::Publish] } else { Phase::of_run(model) };
    let containers = phases.into_iter().filter_map(|phase| container(phase, model, settings, recalls));
    let mut init: Vec<_> = containers.collect();
    let volumes = volumes_of(&init, model, settings);
    let main = init.pop();
    let siblings = [(MODEL_LABEL.to_owned(), model.name.clone())].into();
    PodTemplateSpec {
        metadata: Some(pod_metadata(model)),
        spec: Some(PodSpec {
            containers: main.into_iter().collect(),
            init_containers: Some(init).filter(|init| !init.is_empty()),
            restart_policy: Some("Never".into()),
            termination_grace_period_seconds: Some(GRACE_SECONDS),
            volumes: Some(volumes),
            ..parts::confined_pod(&model.scheduling, siblings, workload_account)
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
