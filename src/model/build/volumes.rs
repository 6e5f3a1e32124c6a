//! The volumes of a run's pod. Pure.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, Container, KeyToPath, ProjectedVolumeSource, ServiceAccountTokenProjection,
    Volume, VolumeProjection,
};
use modelwright_contract::names::{CODE_FILE, STORE_AUDIENCE, STORE_TOKEN_FILE};

use crate::{
    api::name::STORE_SECRET,
    context::Settings,
    model::validate::{Code, Place, Trainer, ValidModel, ValidSource},
    pods::parts::{claim_volume, empty_volume, secret_volume},
    store,
};

const TEMPORARY_SIZE: &str = "1Gi";
/// Room for one report.
const FETCHED_SIZE: &str = "1Mi";
/// What `fetch` says to `publish`, past `train` and `prove`.
pub(super) const FETCHED: &str = "fetched";
/// The Secret of a test set of its own.
pub(super) const TEST_CREDENTIALS: &str = "test-credentials";
/// What lets `publish` push to the chart's own store.
pub(super) const STORE_TOKEN: &str = "store-token";
/// For how long the kubelet asks for it before it asks for the next: an upload may take longer.
const STORE_TOKEN_SECONDS: i64 = 3600;
/// Code of a user's own.
pub(super) const CODE: &str = "code";

fn volumes(model: &ValidModel, settings: &Settings) -> Vec<Volume> {
    let mut volumes = vec![
        empty_volume("work", model.sizes.volume_size.clone()),
        empty_volume("temporary", TEMPORARY_SIZE.into()),
        empty_volume(FETCHED, FETCHED_SIZE.into()),
    ];
    if reads_store_secret(model, settings) {
        volumes.push(secret_volume("store-credentials", STORE_SECRET, true));
    }
    if settings.store_push_host.is_some() {
        volumes.push(token_volume(&model.name));
    }
    if let Some(name) = &model.source().credentials_secret {
        volumes.push(secret_volume("credentials", name, false));
    }
    if let Some(name) = test_set(model).and_then(|test| test.credentials_secret.as_ref()) {
        volumes.push(secret_volume(TEST_CREDENTIALS, name, false));
    }
    if let Some(training) = model.training()
        && let Trainer::Python { code: Code::ConfigMap { name, key, .. }, .. } = &training.trainer
    {
        volumes.push(code_volume(name, key));
    }
    let claims = claims(model, settings);
    let of_its_own = claims
        .iter()
        .enumerate()
        .filter(|(at, one)| claims.iter().take(*at).all(|earlier| earlier.name != one.name));
    volumes.extend(of_its_own.map(|(_, one)| {
        let is_read_only =
            claims.iter().filter(|other| other.name == one.name).all(|other| other.is_read_only);
        claim_volume(one.volume, one.name, is_read_only)
    }));
    volumes
}

/// Those that these containers mount: another may name what is not there any more, and their pod would not start.
pub(super) fn volumes_of(containers: &[Container], model: &ValidModel, settings: &Settings) -> Vec<Volume> {
    let mounts = containers.iter().flat_map(|container| container.volume_mounts.iter().flatten());
    let mounted: BTreeSet<_> = mounts.map(|mount| mount.name.as_str()).collect();
    volumes(model, settings).into_iter().filter(|volume| mounted.contains(volume.name.as_str())).collect()
}

/// A claim that a container mounts.
struct Claim<'a> {
    name: &'a str,
    volume: &'static str,
    is_read_only: bool,
}

/// All claims of the pod, one for each use.
fn claims<'a>(model: &'a ValidModel, settings: &'a Settings) -> Vec<Claim<'a>> {
    fn of(source: &ValidSource) -> Option<&str> {
        match &source.place {
            Place::Claim(claim) => Some(claim),
            Place::Remote(_) => None,
        }
    }
    let training = model.training();
    [
        (of(model.source()), "claim", true),
        (test_set(model).and_then(of), "test-claim", true),
        (store::claim(&settings.store_uri), "store", false),
        (start(model).and_then(|artifact| store::claim(&artifact.uri)), "from-claim", true),
        (training.and_then(|training| training.checkpoint.as_deref()), "checkpoint", false),
    ]
    .into_iter()
    .filter_map(|(claim, volume, is_read_only)| Some(Claim { name: claim?, volume, is_read_only }))
    .collect()
}

/// The volume of a claim: one for all uses of it, since a pod that names a claim twice may not start.
pub(super) fn volume_of(model: &ValidModel, settings: &Settings, claim: &str) -> &'static str {
    let found = claims(model, settings).into_iter().find(|one| one.name == claim);
    found.map_or("claim", |found| found.volume)
}

/// A test set of its own, or what an import is measured on.
pub(super) fn test_set(model: &ValidModel) -> Option<&ValidSource> {
    match model.training() {
        Some(training) => training.test.as_ref(),
        None => model.evaluation.as_ref().map(|evaluation| &evaluation.source),
    }
}

/// The artifact that a training starts from, or whose model is taken over.
pub(super) fn start(model: &ValidModel) -> Option<&crate::api::model_version::Artifact> {
    let training = model.training()?;
    if let Some(kept) = &model.kept {
        return Some(&kept.artifact);
    }
    training.from.as_ref()?.artifact.as_ref()
}

/// Whether the store's Secret is read: by `publish`, unless the store is a claim, or by `fetch` of what the training starts
/// from, which may be in the store of before.
fn reads_store_secret(model: &ValidModel, settings: &Settings) -> bool {
    let is_remote = |uri: &str| store::claim(uri).is_none();
    let kept = model.kept.as_ref().map(|kept| &kept.artifact);
    is_remote(&settings.store_uri) || start(model).or(kept).is_some_and(|artifact| is_remote(&artifact.uri))
}

/// A token of the pod's own account for one repository of one namespace's, which nothing but the store takes. Whoever reads
/// the Job or the pod sees none of it.
fn token_volume(model: &str) -> Volume {
    let token = ServiceAccountTokenProjection {
        audience: Some(format!("{STORE_AUDIENCE}{model}")),
        expiration_seconds: Some(STORE_TOKEN_SECONDS),
        path: STORE_TOKEN_FILE.into(),
    };
    let source = VolumeProjection { service_account_token: Some(token), ..VolumeProjection::default() };
    Volume {
        name: STORE_TOKEN.into(),
        projected: Some(ProjectedVolumeSource { default_mode: None, sources: Some(vec![source]) }),
        ..Volume::default()
    }
}

fn code_volume(name: &str, key: &str) -> Volume {
    Volume {
        name: CODE.into(),
        config_map: Some(ConfigMapVolumeSource {
            name: name.into(),
            items: Some(vec![KeyToPath { key: key.into(), path: CODE_FILE.into(), mode: None }]),
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    }
}
