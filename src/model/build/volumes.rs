//! The volumes of a run's pod. Pure.

use k8s_openapi::api::core::v1::{Container, Volume};

use crate::{
    api::name::STORE_SECRET,
    context::Settings,
    model::validate::{Place, ValidModel, ValidSource},
    pod::{claim_volume, empty_volume, secret_volume},
    store,
};

const TEMPORARY_SIZE: &str = "1Gi";
/// Room for one report.
const FETCHED_SIZE: &str = "1Mi";
/// What `fetch` says to `publish`, past `train` and `prove`.
pub(super) const FETCHED: &str = "fetched";
const SOURCE_CLAIM: &str = "claim";
const STORE_CLAIM: &str = "store";
const TEST_CLAIM: &str = "test-claim";
/// The Secret of a test set of its own.
pub(super) const TEST_CREDENTIALS: &str = "test-credentials";

pub(super) fn volumes(model: &ValidModel, settings: &Settings) -> Vec<Volume> {
    let mut volumes = vec![
        empty_volume("work", model.sizes.volume_size.clone()),
        empty_volume("temporary", TEMPORARY_SIZE.into()),
        empty_volume(FETCHED, FETCHED_SIZE.into()),
    ];
    let store = store::claim(&settings.store_uri);
    if store.is_none() {
        volumes.push(secret_volume("store-credentials", STORE_SECRET, true));
    }
    if let Some(name) = &model.source().credentials_secret {
        volumes.push(secret_volume("credentials", name, false));
    }
    if let Place::Claim(name) = &model.source().place {
        // one volume for both, which only `publish` mounts for writing: a pod that names a claim twice may not start
        volumes.push(claim_volume(SOURCE_CLAIM, name, store != Some(name)));
    }
    if let Some(test) = test_set(model) {
        if let Some(name) = &test.credentials_secret {
            volumes.push(secret_volume(TEST_CREDENTIALS, name, false));
        }
        if let Place::Claim(claim) = &test.place
            && test_volume(model, settings, claim) == TEST_CLAIM
        {
            volumes.push(claim_volume(TEST_CLAIM, claim, true));
        }
    }
    if let Some(store) = store
        && store_volume(model, store) == STORE_CLAIM
    {
        volumes.push(claim_volume(STORE_CLAIM, store, false));
    }
    volumes
}

/// Those that a container mounts: another may name what is not there any more, and its pod would not start.
pub(super) fn volumes_of(container: &Container, model: &ValidModel, settings: &Settings) -> Vec<Volume> {
    let is_mounted =
        |volume: &Volume| container.volume_mounts.iter().flatten().any(|mount| mount.name == volume.name);
    volumes(model, settings).into_iter().filter(is_mounted).collect()
}

/// A test set of its own.
pub(super) fn test_set(model: &ValidModel) -> Option<&ValidSource> {
    model.training()?.test.as_ref()
}

/// The volume of a test set's claim: another's if it is the same claim, since a pod that names a claim twice may not start.
pub(super) fn test_volume(model: &ValidModel, settings: &Settings, claim: &str) -> &'static str {
    if model.source().place == Place::Claim(claim.into()) {
        SOURCE_CLAIM
    } else if store::claim(&settings.store_uri) == Some(claim) {
        STORE_CLAIM
    } else {
        TEST_CLAIM
    }
}

/// The volume of the store's claim: the source's own if it is the same claim.
pub(super) fn store_volume(model: &ValidModel, claim: &str) -> &'static str {
    if model.source().place == Place::Claim(claim.into()) { SOURCE_CLAIM } else { STORE_CLAIM }
}
