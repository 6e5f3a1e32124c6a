//! How tests publish to a registry of theirs.

use std::path::{Path, PathBuf};

use modelwright_contract::{
    fetch::{FetchKind, Waits},
    publish::{PublishConfig, Store},
    report::PublishReport,
};
use modelwright_jobs::publish::PublishOptions;

use super::{Volume, serving::Serving};
use crate::publish::fetch;

/// The config to publish the model in a folder.
pub fn config(host: &str, directory: &Path) -> PublishConfig {
    PublishConfig {
        namespace: "team".to_owned(),
        model: "digits".to_owned(),
        proof: None,
        recall: None,
        keep_evaluation: false,
        directory: directory.to_str().unwrap().to_owned(),
        store: Store {
            uri: format!("oci://{host}/models"),
            plain_http: true,
            credentials_directory: None,
            push: None,
        },
        golden_samples: 4,
        golden_seed: 7,
        store_retry_seconds: 0,
        judgement: None,
        evaluation: None,
        variants: Vec::new(),
        tolerate_crash_inputs: Vec::new(),
        waits: Waits::default(),
    }
}

/// Where the program is that tries models, and that the registry is on this machine.
pub fn options() -> PublishOptions {
    let mut options = PublishOptions::new(PathBuf::from(env!("CARGO_BIN_EXE_modelwright-jobs")));
    options.allow_loopback = true;
    options
}

/// Fetches what was published, serves it under a name, and waits until it is ready.
pub async fn served(report: &PublishReport, name: &str) -> (Serving, Volume) {
    let volume = fetch(FetchKind::Artifact, report).await;
    (Serving::at(&volume.folder.path().join("data"), name, &[]), volume)
}
