//! The container that makes anew what a training left beside its model, and trains nothing. Pure.

use k8s_openapi::api::core::v1::Container;
use modelwright_contract::names;

use super::{
    containers::{confined, train_resources},
    trainer::trainer_image,
};
use crate::{
    context::Settings,
    model::{job::PREPARE, validate::ValidTraining},
    pod::{mount, variable},
};

/// Without any credentials, as `train`, and without a device: it computes nothing.
pub(super) fn prepare_container(training: &ValidTraining, settings: &Settings) -> Container {
    let is_no_device = |name: &String| !name.contains('/');
    let mut training = training.clone();
    training.limits.retain(|name, _| is_no_device(name));
    training.requests.retain(|name, _| is_no_device(name));
    Container {
        name: PREPARE.into(),
        args: Some(vec!["prepare".into(), "--kept".into(), names::FROM_DIRECTORY.into()]),
        image: Some(trainer_image(&training, settings).to_owned()),
        env: Some(vec![variable("HOME", "/tmp")]),
        resources: Some(train_resources(&training)),
        volume_mounts: Some(vec![
            mount("work", names::WORK_DIRECTORY, false),
            mount("temporary", "/tmp", false),
        ]),
        ..confined()
    }
}
