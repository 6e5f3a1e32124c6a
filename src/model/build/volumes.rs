//! The volumes of a run's pod. Pure.

use k8s_openapi::{
    api::core::v1::{
        EmptyDirVolumeSource, PersistentVolumeClaimVolumeSource, SecretVolumeSource, Volume, VolumeMount,
    },
    apimachinery::pkg::api::resource::Quantity,
};

use crate::{
    api::name::STORE_SECRET,
    model::validate::{Place, ValidModel},
};

/// Room for what is fetched and for what is made of it.
const WORK_SIZE: &str = "21Gi";
const TEMPORARY_SIZE: &str = "1Gi";
/// `r--r-----`: readable through the group.
const SECRET_MODE: i32 = 0o440;

pub(super) fn volumes(model: &ValidModel) -> Vec<Volume> {
    let empty = |name: &str, size: &str| Volume {
        name: name.into(),
        empty_dir: Some(EmptyDirVolumeSource { medium: None, size_limit: Some(Quantity(size.into())) }),
        ..Volume::default()
    };
    let secret = |name: &str, secret: &str, optional: bool| Volume {
        name: name.into(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret.into()),
            default_mode: Some(SECRET_MODE),
            optional: Some(optional),
            items: None,
        }),
        ..Volume::default()
    };
    let mut volumes = vec![
        empty("work", WORK_SIZE),
        empty("temporary", TEMPORARY_SIZE),
        secret("store-credentials", STORE_SECRET, true),
    ];
    if let Some(name) = &model.source().credentials_secret {
        volumes.push(secret("credentials", name, false));
    }
    if let Place::Claim(claim) = &model.source().place {
        volumes.push(Volume {
            name: "claim".into(),
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: claim.clone(),
                read_only: Some(true),
            }),
            ..Volume::default()
        });
    }
    volumes
}

pub(super) fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: name.into(),
        mount_path: path.into(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}
