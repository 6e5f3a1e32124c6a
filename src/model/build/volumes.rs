//! The volumes of a run's pod. Pure.

use k8s_openapi::{
    api::core::v1::{
        EmptyDirVolumeSource, PersistentVolumeClaimVolumeSource, SecretVolumeSource, Volume, VolumeMount,
    },
    apimachinery::pkg::api::resource::Quantity,
};

use crate::{
    api::name::STORE_SECRET,
    context::Settings,
    model::validate::{Place, ValidModel},
    store,
};

/// Room for what is fetched and for what is made of it.
const WORK_SIZE: &str = "21Gi";
const TEMPORARY_SIZE: &str = "1Gi";
const SOURCE_CLAIM: &str = "claim";
const STORE_CLAIM: &str = "store";
/// `r--r-----`: readable through the group.
const SECRET_MODE: i32 = 0o440;

pub(super) fn volumes(model: &ValidModel, settings: &Settings) -> Vec<Volume> {
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
    let claim = |name: &str, claim: &str, read_only: bool| Volume {
        name: name.into(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: claim.into(),
            read_only: read_only.then_some(true),
        }),
        ..Volume::default()
    };
    let mut volumes = vec![empty("work", WORK_SIZE), empty("temporary", TEMPORARY_SIZE)];
    let store = store::claim(&settings.store_uri);
    if store.is_none() {
        volumes.push(secret("store-credentials", STORE_SECRET, true));
    }
    if let Some(name) = &model.source().credentials_secret {
        volumes.push(secret("credentials", name, false));
    }
    if let Place::Claim(name) = &model.source().place {
        // one volume for both, which only `publish` mounts for writing: a pod that names a claim twice may not start
        volumes.push(claim(SOURCE_CLAIM, name, store != Some(name)));
    }
    if let Some(store) = store
        && store_volume(model, store) == STORE_CLAIM
    {
        volumes.push(claim(STORE_CLAIM, store, false));
    }
    volumes
}

/// The volume of the store's claim: the source's own if it is the same claim.
pub(super) fn store_volume(model: &ValidModel, claim: &str) -> &'static str {
    if model.source().place == Place::Claim(claim.into()) { SOURCE_CLAIM } else { STORE_CLAIM }
}

pub(super) fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: name.into(),
        mount_path: path.into(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}
