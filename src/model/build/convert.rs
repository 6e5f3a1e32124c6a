//! The container that makes ONNX of a source of another format. Pure.

use k8s_openapi::api::core::v1::Container;
use modelwright_contract::{artifact::MODEL_FILE, names};

use super::parts::{confined, work_mounts};
use crate::{
    context::Settings,
    model::{run::phases::Phase, validate::ValidModel},
    pods::parts::variable,
};

/// Where it leaves the model.
const CONVERTED_DIRECTORY: &str = "/modelwright/converted";

/// Where the model lies that an import made or brought.
pub(super) fn imported_directory(model: &ValidModel) -> &'static str {
    if model.is_converted() { CONVERTED_DIRECTORY } else { names::SOURCE_DIRECTORY }
}

/// Without any credentials: the file may be anybody's. Where the installation has no image for it, [`super::complete`] keeps the
/// run from being made.
pub(super) fn convert_container(model: &ValidModel, settings: &Settings) -> Container {
    // fetch gives a single file this name, whatever it was called
    let file = format!("{}/{MODEL_FILE}", names::SOURCE_DIRECTORY);
    Container {
        name: Phase::Convert.container().into(),
        args: Some(vec!["convert-keras".into(), file, CONVERTED_DIRECTORY.into()]),
        image: Some(settings.trainer_keras_image.clone().unwrap_or_default()),
        env: Some(vec![variable("HOME", "/tmp")]),
        resources: Some(model.sizes.convert.clone()),
        volume_mounts: Some(work_mounts()),
        ..confined()
    }
}
