//! The container that makes what a training leaves beside its model, and trains nothing: of a model that is kept, or that is
//! imported and measured. Pure.

use k8s_openapi::api::core::v1::Container;
use modelwright_contract::{
    evaluation::{EVALUATION_ENV, EvaluationConfig},
    names,
    training::OUTPUT_DIRECTORY,
};

use super::{
    convert::imported_directory,
    parts::{confined, train_resources, work_mounts},
    trainer::{evaluation_image, trainer_image},
};
use crate::{
    context::Settings,
    model::{
        run::phases::Phase,
        validate::{ValidEvaluation, ValidModel, ValidTraining},
    },
    pods::parts::variable,
};

/// Of whatever the Model is.
pub(super) fn prepare_container(model: &ValidModel, settings: &Settings) -> Option<Container> {
    match model.training() {
        Some(training) => Some(prepare_kept(training, settings)),
        None => Some(prepare_import(model, model.evaluation.as_ref()?, settings)),
    }
}

/// Of a model that is kept. Without any credentials, as `train`, and without a device: it computes nothing.
fn prepare_kept(training: &ValidTraining, settings: &Settings) -> Container {
    let is_no_device = |name: &String| !name.contains('/');
    let mut training = training.clone();
    training.limits.retain(|name, _| is_no_device(name));
    training.requests.retain(|name, _| is_no_device(name));
    Container {
        name: Phase::Prepare.container().into(),
        args: Some(vec!["prepare".into(), "--kept".into(), names::FROM_DIRECTORY.into()]),
        image: Some(trainer_image(&training, settings).to_owned()),
        env: Some(vec![variable("HOME", "/tmp")]),
        resources: Some(train_resources(&training)),
        volume_mounts: Some(work_mounts()),
        ..confined()
    }
}

/// Of a model that is imported and measured, under the same bounds.
fn prepare_import(model: &ValidModel, evaluation: &ValidEvaluation, settings: &Settings) -> Container {
    let config = EvaluationConfig {
        directory: imported_directory(model).into(),
        output: OUTPUT_DIRECTORY.into(),
        task: evaluation.judgement.task,
        data: evaluation.data.clone(),
        classes: evaluation.classes.clone(),
    };
    let config = serde_json::to_string(&config).expect("strings, numbers and words are JSON");
    Container {
        name: Phase::Prepare.container().into(),
        args: Some(vec!["prepare-import".into()]),
        image: Some(evaluation_image(evaluation, settings).to_owned()),
        env: Some(vec![variable("HOME", "/tmp"), variable(EVALUATION_ENV, &config)]),
        resources: Some(model.sizes.prepare.clone()),
        volume_mounts: Some(work_mounts()),
        ..confined()
    }
}
