//! The report of a run, in the store: `publish` leaves it there under what the run is known by, and recalls it when the pod
//! that said it is gone: what was trained is not trained again because an answer was lost.
//!
//! What `fetch` and `train` said goes along in files, since their termination messages are for the kubelet alone.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use modelwright_contract::{
    fetch::{FetchConfig, FetchKind},
    names::FETCH_REPORT_FILE,
    publish::PublishConfig,
    report::{FetchReport, MAX_REPORT_BYTES, Report, RunReport},
    training::TrainReport,
};
use serde::de::DeserializeOwned;

use super::{
    error::PublishError,
    options::PublishOptions,
    push::{
        run::{self, REPORT_FILE},
        task::Destination,
    },
};
use crate::{
    fetch::{self, FetchError, FetchOptions},
    network::RetryPolicy,
};

/// Most bytes of a report.
const MAX_BYTES: u64 = 64 * 1024;
/// Longest that a run is known by.
const MAX_RUN: usize = 64;

/// Leaves what `fetch` said in a folder that is only its own and `publish`'s. Without it, the run goes on and cannot be
/// recalled; where there is no such folder, there is no run.
pub fn leave_fetched(folder: &Path, report: &FetchReport) {
    if !folder.is_dir() {
        return;
    }
    let text = serde_json::to_vec(report).unwrap_or_default();
    if let Err(error) = fs::write(folder.join(FETCH_REPORT_FILE), text) {
        tracing::warn!(%error, "what was fetched is not noted for the report of the run");
    }
}

/// What [`leave_fetched`] left; it is missed where there is nothing.
pub(super) fn fetched(folder: &Path) -> Option<FetchReport> {
    let report = left(Some(folder.join(FETCH_REPORT_FILE)));
    if report.is_none() {
        tracing::warn!(
            folder = %folder.display(),
            "the folder has no report of fetch: if the pod is lost before its end is read, the run cannot be recalled and is made again"
        );
    }
    report
}

/// What a container left, if it did.
pub(super) fn left<T: DeserializeOwned>(path: Option<PathBuf>) -> Option<T> {
    let path = path?;
    let metadata = fs::symlink_metadata(&path).ok()?;
    if !metadata.is_file() || metadata.len() > MAX_BYTES {
        return None;
    }
    serde_json::from_slice(&fs::read(&path).ok()?).ok()
}

/// What `train` said, unless it is longer than a report may be: the kubelet reads 4096 bytes of what a recall says, which are
/// the words of three containers, and any image may have left this one's.
pub(super) fn short(train: Option<TrainReport>) -> Option<TrainReport> {
    train.filter(|train| {
        let bytes = serde_json::to_string(&Report::Succeeded(train)).map_or(usize::MAX, |text| text.len());
        let is_short = bytes <= MAX_REPORT_BYTES;
        if !is_short {
            tracing::warn!(
                bytes,
                most = MAX_REPORT_BYTES,
                "what train said is too long for the report of the run, and is left out of it"
            );
        }
        is_short
    })
}

/// Leaves the report of a run in the store. The model is there already: that this fails fails nothing.
pub(super) async fn leave(
    config: &PublishConfig,
    destination: &Destination,
    options: &PublishOptions,
    report: &RunReport,
) {
    if let Err(error) = try_leave(config, destination, options, report).await {
        tracing::warn!(%error, run = report.run, "the report of the run is not in the store");
    }
}

async fn try_leave(
    config: &PublishConfig,
    destination: &Destination,
    options: &PublishOptions,
    report: &RunReport,
) -> Result<(), PublishError> {
    check(&report.run)?;
    let folder = tempfile::tempdir().map_err(PublishError::io(std::env::temp_dir()))?;
    let file = folder.path().join(REPORT_FILE);
    fs::write(&file, serde_json::to_vec(report).unwrap_or_default()).map_err(PublishError::io(&file))?;
    run::put(destination, &config.store, options, &report.run, &file).await
}

/// Reads the report of a run from the store.
pub async fn recall(config: &PublishConfig, options: &PublishOptions) -> Result<RunReport, PublishError> {
    let destination = Destination::parse(config)?;
    let run = config.recall.clone().unwrap_or_default();
    check(&run)?;
    let folder = tempfile::tempdir().map_err(PublishError::io(std::env::temp_dir()))?;
    let place = folder.path().join("run");
    let fetch = FetchConfig {
        claim_directory: None,
        further: Vec::new(),
        kind: FetchKind::Data,
        uri: run::address(&destination, &run),
        sha256: None,
        destination: place.to_string_lossy().into_owned(),
        credentials_directory: config.store.credentials_directory.clone(),
        credentials_secret: None,
        max_bytes: MAX_BYTES,
        allow_private_networks: true,
        plain_http: config.store.plain_http,
        run: None,
        waits: config.waits,
    };
    let how = FetchOptions {
        allow_loopback: options.allow_loopback,
        claim_directory: options.claim_directory.clone(),
        timeouts: options.timeouts,
        retry: RetryPolicy::for_duration(Duration::from_secs(config.store_retry_seconds.into())),
    };
    let none = || PublishError::NoReport { run: run.clone() };
    match fetch::run(&fetch, &how).await {
        Err(error) if is_missing(&error) => return Err(none()),
        outcome => outcome?,
    };
    left::<RunReport>(Some(place.join(REPORT_FILE)))
        .filter(|report| report.run == run)
        .map(|report| RunReport { train: short(report.train), ..report })
        .ok_or_else(none)
}

/// Longest that an earlier attempt is looked for: most runs have none, and a store that is down keeps no run from its data.
const LOOK: Duration = Duration::from_secs(20);

/// Looks whether an earlier attempt of the run published. What cannot be found out counts as no: the run goes on.
pub async fn find_earlier(config: PublishConfig, options: &PublishOptions) -> Result<(), PublishError> {
    let Some(run) = options.run.clone() else { return Ok(()) };
    let config = PublishConfig { recall: Some(run.clone()), ..config };
    match tokio::time::timeout(LOOK, recall(&config, options)).await {
        Ok(Ok(_)) => Err(PublishError::MadeBefore { run }),
        Ok(Err(PublishError::NoReport { .. })) => Ok(()),
        Ok(Err(error)) => {
            tracing::warn!(%error, run, "whether an earlier attempt of the run published is not known");
            Ok(())
        }
        Err(_) => {
            tracing::warn!(
                run,
                "the store does not say in time whether an earlier attempt of the run published"
            );
            Ok(())
        }
    }
}

fn is_missing(error: &FetchError) -> bool {
    error.reason() == "NotFound"
}

/// What a run is known by becomes a tag and the name of a folder.
fn check(run: &str) -> Result<(), PublishError> {
    let plain = run.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if plain && (1..=MAX_RUN).contains(&run.len()) {
        return Ok(());
    }
    Err(PublishError::InvalidConfig {
        field: "recall",
        why: format!("{run:?} is nothing that a run is known by; expected the UID of a Job"),
    })
}
