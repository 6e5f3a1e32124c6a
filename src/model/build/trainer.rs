//! The image that trains, and what this installation or the Model lacks for a run. Pure.

use std::{borrow::Cow, sync::Arc};

use crate::{
    api::{ModelVersion, model_version::Artifact},
    context::Settings,
    model::validate::{Trainer, ValidEvaluation, ValidModel, ValidTraining, Work},
    problem::Problem,
    quantity::Quantity,
    store,
};

/// Image of `train`. Where the installation has none, [`complete`] keeps the run from being made.
pub(super) fn trainer_image<'a>(training: &'a ValidTraining, settings: &'a Settings) -> &'a str {
    match &training.trainer {
        Trainer::Image { image, .. } => image,
        trainer if trainer.needs_keras() => keras_image(training, settings).unwrap_or_default(),
        _ => &settings.trainer_image,
    }
}

/// Image of the `prepare` of an import that is measured. Where the installation has none, [`complete`] keeps the run from being
/// made.
pub(super) fn evaluation_image<'a>(evaluation: &ValidEvaluation, settings: &'a Settings) -> &'a str {
    if evaluation.needs_keras() {
        settings.trainer_keras_image.as_deref().unwrap_or_default()
    } else {
        &settings.trainer_image
    }
}

fn keras_image<'a>(training: &ValidTraining, settings: &'a Settings) -> Option<&'a str> {
    match device(training) {
        Some(_) => settings.trainer_keras_gpu_image.as_deref(),
        None => settings.trainer_keras_image.as_deref(),
    }
}

/// The first device that the container that trains asks for: extended resources are devices.
pub(super) fn device(training: &ValidTraining) -> Option<&str> {
    let is_asked = |amount: &str| Quantity::parse(amount).is_ok_and(|amount| amount.units() != Some(0));
    let mut devices = training.limits.iter().filter(|(name, amount)| name.contains('/') && is_asked(amount));
    devices.next().map(|(name, _)| name.as_str())
}

/// The Model with all that a run of it needs, or what is missing.
pub fn complete<'a>(
    model: &'a ValidModel,
    settings: &Settings,
    versions: &[Arc<ModelVersion>],
) -> Result<Cow<'a, ValidModel>, Problem> {
    let problem = |(reason, message): (&str, String)| Problem { reason: reason.into(), message };
    let Some(training) = model.training() else {
        find_obstacle_of_import(model, settings).map_or(Ok(()), Err).map_err(problem)?;
        return Ok(Cow::Borrowed(model));
    };
    find_obstacle(training, settings).map_or(Ok(()), Err).map_err(problem)?;
    let Some(from) = training.from.as_ref().filter(|_| model.kept.is_none()) else {
        return Ok(Cow::Borrowed(model));
    };
    let artifact = find_version(model, from.version, versions).map_err(problem)?;
    let mut complete = model.clone();
    if let Work::Train(training) = &mut complete.work
        && let Some(from) = &mut training.from
    {
        from.artifact = Some(artifact);
    }
    Ok(Cow::Owned(complete))
}

type Missing = (&'static str, String);

fn find_obstacle_of_import(model: &ValidModel, settings: &Settings) -> Option<Missing> {
    if settings.trainer_keras_image.is_none() && model.is_converted() {
        return Some((
            "TrainerMissing",
            "spec.source.format Keras is read by an image that this installation does not have; let the administrator set the chart's images.trainerKeras to the image that `make images` prints, and the run starts by itself, or give ONNX".into(),
        ));
    }
    let evaluation = model.evaluation.as_ref()?;
    (evaluation.needs_keras() && settings.trainer_keras_image.is_none()).then(|| {
        (
            "TrainerMissing",
            "spec.evaluation.data.format Images is read by an image that this installation does not have; let the administrator set the chart's images.trainerKeras to the image that `make images` prints, and the run starts by itself, or give NPZ".into(),
        )
    })
}

fn find_obstacle(training: &ValidTraining, settings: &Settings) -> Option<Missing> {
    if let Some(claim) = &training.checkpoint
        && store::claim(&settings.store_uri) == Some(claim)
    {
        return Some((
            "ClaimRefused",
            format!(
                "spec.training.run.checkpoint.claim is {claim}, the claim of the store: what trains must not write where all models are kept; name a claim of its own"
            ),
        ));
    }
    if matches!(training.trainer, Trainer::Image { .. }) {
        return None;
    }
    match (training.trainer.needs_keras(), device(training)) {
        (false, Some(device)) => Some((
            "DeviceUnusable",
            format!(
                "spec.training.resources.limits asks for {device}, and scikit-learn computes on CPUs only: the device would stand idle; remove it, or train a network (candidates[].layers) or by an image of your own"
            ),
        )),
        (true, Some(device)) if settings.trainer_keras_gpu_image.is_none() => Some((
            "DeviceUnusable",
            format!(
                "spec.training.resources.limits asks for {device}, and this installation has no Keras trainer with CUDA; remove it to train on CPUs, or let the administrator set the chart's images.trainerKerasGpu to the image that `make images GPU=1` prints"
            ),
        )),
        (true, None) if settings.trainer_keras_image.is_none() => Some((
            "TrainerMissing",
            "candidates[].layers and trainer.library Keras are trained by an image that this installation does not have; let the administrator set the chart's images.trainerKeras to the image that `make images` prints, and the run starts by itself".into(),
        )),
        _ => None,
    }
}

fn find_version(
    model: &ValidModel,
    number: u64,
    versions: &[Arc<ModelVersion>],
) -> Result<Artifact, Missing> {
    let own = || versions.iter().filter(|version| version.spec.model == model.name);
    if let Some(version) = own().find(|version| version.spec.version == number) {
        return Ok(version.spec.artifact.clone());
    }
    let mut known: Vec<u64> = own().map(|version| version.spec.version).collect();
    known.sort_unstable();
    let known = match known.as_slice() {
        [] => "it has none yet".to_owned(),
        [.., _] => format!("it has {}", known.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")),
    };
    Err((
        "VersionNotFound",
        format!(
            "spec.training.from.version is {number}, and Model {} has no such version ({known}); name one that is kept, or remove from to start anew",
            model.name
        ),
    ))
}
