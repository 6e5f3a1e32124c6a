//! What the containers of a run have in common. Pure.

use k8s_openapi::api::core::v1::{
    Container, EnvVar, EnvVarSource, ObjectFieldSelector, ResourceRequirements, VolumeMount,
};
use modelwright_contract::names;

use crate::{
    context::Settings,
    model::{run::phases::Phase, validate::ValidTraining},
    pods::{
        parts::{confined_container, mount, variable},
        resources::complete_resources,
    },
};

const TRAIN_LIMITS: [(&str, &str); 2] = [("cpu", "2"), ("memory", "2Gi")];
const TRAIN_REQUESTS: [(&str, &str); 2] = [("cpu", "500m"), ("memory", "512Mi")];
/// TensorFlow alone takes half a GiB, and small networks about one.
const KERAS_LIMITS: [(&str, &str); 2] = [("cpu", "2"), ("memory", "4Gi")];
const KERAS_REQUESTS: [(&str, &str); 2] = [("cpu", "500m"), ("memory", "1Gi")];

/// What every container of a run is under.
pub(super) fn confined() -> Container {
    Container {
        security_context: Some(confined_container()),
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        ..Container::default()
    }
}

/// Where every container of a run reads and writes.
pub(super) fn work_mounts() -> Vec<VolumeMount> {
    vec![mount("work", names::WORK_DIRECTORY, false), mount("temporary", "/tmp", false)]
}

/// A container of the runtime's image, which does what `config` says.
pub(super) fn runtime_container(
    phase: Phase,
    environment: &str,
    config: &impl serde::Serialize,
    settings: &Settings,
    resources: &ResourceRequirements,
) -> Container {
    let config = serde_json::to_string(config).expect("the contract's types are JSON");
    Container {
        name: phase.container().into(),
        image: Some(settings.runtime_image.clone()),
        args: Some(vec![phase.container().into()]),
        env: Some(vec![variable(environment, &config)]),
        resources: Some(resources.clone()),
        ..confined()
    }
}

/// What a container has that does what `training` says.
pub(super) fn train_resources(training: &ValidTraining) -> ResourceRequirements {
    let (limits, requests) = if training.trainer.needs_keras() {
        (&KERAS_LIMITS, &KERAS_REQUESTS)
    } else {
        (&TRAIN_LIMITS, &TRAIN_REQUESTS)
    };
    complete_resources(&training.limits, &training.requests, limits, requests)
}

/// What a run is known by: the UID of its Job, which nobody knows before it is made.
pub(super) fn run_variable() -> EnvVar {
    let uid = ObjectFieldSelector {
        field_path: format!("metadata.labels['{}']", names::JOB_UID_LABEL),
        ..ObjectFieldSelector::default()
    };
    EnvVar {
        name: names::RUN_ENV.into(),
        value: None,
        value_from: Some(EnvVarSource { field_ref: Some(uid), ..EnvVarSource::default() }),
    }
}
