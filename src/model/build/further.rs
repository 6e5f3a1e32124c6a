//! What `fetch` brings besides the model or the data: a test set of its own, what an import is measured on, and the version that
//! a training starts from. Pure.

use k8s_openapi::api::core::v1::VolumeMount;
use modelwright_contract::{
    fetch::{FetchConfig, FetchKind},
    names,
};

use super::volumes::{TEST_CREDENTIALS, start, test_set, volume_of};
use crate::{
    api::model_version::Artifact,
    context::Settings,
    model::validate::{Place, ValidModel, ValidSource},
    pods::parts::mount,
    store,
};

/// What an artifact may have beside what is known of its size.
pub(super) const MARGIN_BYTES: u64 = 1024 * 1024;

/// All of it; a test set has at most `max_bytes`.
pub(super) fn further(model: &ValidModel, max_bytes: u64, settings: &Settings) -> Vec<FetchConfig> {
    let test = test_set(model).map(|test| test_config(test, max_bytes, settings));
    let start = start(model).map(|artifact| start_config(artifact, settings));
    test.into_iter().chain(start).collect()
}

/// Where it is read from.
pub(super) fn further_mounts(model: &ValidModel, settings: &Settings) -> Vec<VolumeMount> {
    let mut mounts = Vec::new();
    let store_secret = || mount("store-credentials", names::STORE_CREDENTIALS_DIRECTORY, true);
    if let Some(test) = test_set(model) {
        if test.credentials_secret.is_some() {
            mounts.push(mount(TEST_CREDENTIALS, names::TEST_CREDENTIALS_DIRECTORY, true));
        } else if store::holds(&settings.store_uri, &test.uri) {
            mounts.push(store_secret());
        }
        if let Place::Claim(claim) = &test.place {
            mounts.push(mount(volume_of(model, settings, claim), names::TEST_CLAIM_DIRECTORY, true));
        }
    }
    if let Some(artifact) = start(model) {
        mounts.push(match store::claim(&artifact.uri) {
            Some(claim) => mount(volume_of(model, settings, claim), names::FROM_CLAIM_DIRECTORY, true),
            None => store_secret(),
        });
    }
    mounts
}

fn test_config(test: &ValidSource, max_bytes: u64, settings: &Settings) -> FetchConfig {
    let from_store = store::holds(&settings.store_uri, &test.uri);
    let credentials = match (&test.credentials_secret, from_store) {
        (Some(_), _) => Some(names::TEST_CREDENTIALS_DIRECTORY),
        (None, true) => Some(names::STORE_CREDENTIALS_DIRECTORY),
        (None, false) => None,
    };
    FetchConfig {
        kind: FetchKind::Data,
        uri: test.uri.clone(),
        sha256: test.sha256.clone(),
        destination: names::TEST_DIRECTORY.into(),
        credentials_directory: credentials.map(Into::into),
        credentials_secret: test.credentials_secret.clone(),
        max_bytes,
        allow_private_networks: from_store || settings.allow_private_networks,
        plain_http: from_store && settings.store_plain_http,
        run: None,
        waits: settings.waits,
        claim_directory: matches!(test.place, Place::Claim(_)).then(|| names::TEST_CLAIM_DIRECTORY.into()),
        further: Vec::new(),
    }
}

fn start_config(artifact: &Artifact, settings: &Settings) -> FetchConfig {
    let claim = store::claim(&artifact.uri);
    FetchConfig {
        kind: FetchKind::Artifact,
        uri: artifact.uri.clone(),
        sha256: Some(artifact.sha256.clone()),
        destination: names::FROM_DIRECTORY.into(),
        credentials_directory: claim.is_none().then(|| names::STORE_CREDENTIALS_DIRECTORY.into()),
        credentials_secret: None,
        max_bytes: artifact.size_bytes + MARGIN_BYTES,
        // the store's address is the operator's own, not a user's
        allow_private_networks: true,
        plain_http: settings.store_plain_http,
        run: None,
        waits: settings.waits,
        claim_directory: claim.map(|_| names::FROM_CLAIM_DIRECTORY.into()),
        further: Vec::new(),
    }
}
