//! The image that trains, and why this installation has none that can. Pure.

use crate::{
    context::Settings,
    model::{
        job::Problem,
        validate::{Trainer, ValidModel, ValidTraining},
    },
    quantity::Quantity,
};

/// Image of `train`. Where the installation has none, [`find_obstacle`] keeps the run from being made.
pub(super) fn trainer_image<'a>(training: &'a ValidTraining, settings: &'a Settings) -> &'a str {
    match &training.trainer {
        Trainer::ScikitLearn => &settings.trainer_image,
        Trainer::Keras => keras_image(training, settings).unwrap_or_default(),
        Trainer::Image { image, .. } => image,
    }
}

fn keras_image<'a>(training: &ValidTraining, settings: &'a Settings) -> Option<&'a str> {
    match device(training) {
        Some(_) => settings.trainer_keras_gpu_image.as_deref(),
        None => settings.trainer_keras_image.as_deref(),
    }
}

/// The first device that the container that trains asks for: extended resources are devices.
fn device(training: &ValidTraining) -> Option<&str> {
    let is_asked = |amount: &str| Quantity::parse(amount).is_ok_and(|amount| amount.units() != Some(0));
    let mut devices = training.limits.iter().filter(|(name, amount)| name.contains('/') && is_asked(amount));
    devices.next().map(|(name, _)| name.as_str())
}

/// What this installation lacks for a run of the Model, if it lacks something.
pub fn find_obstacle(model: &ValidModel, settings: &Settings) -> Option<Problem> {
    let training = model.training()?;
    let device = device(training);
    let (reason, message) = match (&training.trainer, device) {
        (Trainer::ScikitLearn, Some(device)) => (
            "DeviceUnusable",
            format!(
                "spec.training.resources.limits asks for {device}, and scikit-learn computes on CPUs only: the device would stand idle; remove it, or train a network (candidates[].layers) or by an image of your own"
            ),
        ),
        (Trainer::Keras, Some(device)) if settings.trainer_keras_gpu_image.is_none() => (
            "DeviceUnusable",
            format!(
                "spec.training.resources.limits asks for {device}, and this installation has no Keras trainer with CUDA; remove it to train on CPUs, or let the administrator set the chart's images.trainerKerasGpu to the image that `make images GPU=1` prints"
            ),
        ),
        (Trainer::Keras, None) if settings.trainer_keras_image.is_none() => (
            "TrainerMissing",
            "candidates[].layers and trainer.library Keras are trained by an image that this installation does not have; let the administrator set the chart's images.trainerKeras to the image that `make images` prints, and the run starts by itself".into(),
        ),
        (Trainer::Image { .. } | Trainer::Keras, _) | (Trainer::ScikitLearn, None) => return None,
    };
    Some(Problem { reason: reason.into(), message })
}
