//! `fetch`: brings the files of a model, or of training data, into one folder and proves their digest. In goes a
//! [`FetchConfig`]; the folder appears at its destination complete and verified, or not at all.
//!
//! `source` reads the URI, `oci`, `s3`, `http` and `pvc` fill a staged folder, [`arrange`] finds the model in it (data
//! stays as it came), and the staged folder is renamed. [`handover`] then tells `train` what to do. All of the network
//! goes through [`crate::network`]. An artifact that is whole at its destination is [`verified`] and not fetched again.

mod arrange;
mod error;
mod handover;
mod http;
mod look;
mod oci;
mod pvc;
mod s3;
mod source;
mod staging;
mod verified;

use std::path::{Path, PathBuf};

use modelwright_contract::{
    artifact::MODEL_FILE,
    fetch::{FetchConfig, FetchKind},
    names,
    report::FetchReport,
};

pub use error::FetchError;
pub use source::{Source, shown};

use self::staging::Staging;
use crate::{
    network::{RetryPolicy, Timeouts, address::AddressPolicy, credentials::Secret, host::HostPort},
    store::{Access, DEFAULT_CHUNK, Reference},
};

/// What the operator does not set.
#[derive(Clone, Debug)]
pub struct FetchOptions {
    /// Whether loopback addresses may be connected to: for tests on one machine.
    pub allow_loopback: bool,
    pub claim_directory: PathBuf,
    /// How long to wait for an answer.
    pub timeouts: Timeouts,
    /// How often to try again.
    pub retry: RetryPolicy,
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self {
            allow_loopback: false,
            claim_directory: PathBuf::from(names::CLAIM_DIRECTORY),
            timeouts: Timeouts::default(),
            retry: RetryPolicy::default(),
        }
    }
}

/// A config whose every part was read.
struct Validated<'a> {
    config: &'a FetchConfig,
    source: Source,
    expected: Option<&'a str>,
    secret: Option<Secret>,
    policy: AddressPolicy,
}

/// Fetches what the config says, and what else it names.
pub async fn run(config: &FetchConfig, options: &FetchOptions) -> Result<FetchReport, FetchError> {
    validate_further(config)?;
    let mut report = fetch_one(config, options).await?;
    let mut left = config.max_bytes.saturating_sub(report.size_bytes);
    for further in &config.further {
        // Data share their room; those that an import is measured on have one of their own.
        let shares = further.kind == FetchKind::Data && config.kind == FetchKind::Data;
        let bounded =
            FetchConfig { max_bytes: if shares { left } else { further.max_bytes }, ..further.clone() };
        let fetched = Box::pin(fetch_one(&bounded, options)).await?;
        if further.kind == FetchKind::Data {
            left = left.saturating_sub(fetched.size_bytes);
            report.test_sha256 = Some(fetched.sha256);
        }
    }
    if let Some(run) = &config.run {
        handover::write(Path::new(&config.destination), run)?;
    }
    Ok(report)
}

/// Nothing further has anything further, and what a model has further is the one set of data that it is measured on.
fn validate_further(config: &FetchConfig) -> Result<(), FetchError> {
    let is_nested = config.further.iter().any(|further| !further.further.is_empty() || further.run.is_some());
    let fits = match config.further.as_slice() {
        [] => true,
        _ if config.kind == FetchKind::Data => !is_nested,
        [only] => !is_nested && only.kind == FetchKind::Data,
        _ => false,
    };
    if fits {
        return Ok(());
    }
    Err(FetchError::InvalidConfig {
        field: "further",
        why: "it belongs to training data (kind Data), or is the data that one model is measured on, once"
            .to_owned(),
    })
}

async fn fetch_one(config: &FetchConfig, options: &FetchOptions) -> Result<FetchReport, FetchError> {
    let options = &FetchOptions { timeouts: options.timeouts.with(config.waits), ..options.clone() };
    let validated = validate(config, options)?;
    if let Some(report) = verified::report(config) {
        tracing::info!(uri = %shown(&config.uri), "the verified files are there already; the store is not asked");
        return Ok(report);
    }
    let mut staging = Staging::beside(Path::new(&config.destination), config.max_bytes, &shown(&config.uri))?
        .blind(config.kind == FetchKind::Artifact);
    let sha256 = Box::pin(fill(&validated, options, &mut staging)).await?;
    if let Some(expected) = validated.expected.filter(|expected| *expected != sha256) {
        return Err(FetchError::DigestMismatch {
            uri: shown(&config.uri),
            expected: expected.to_owned(),
            actual: sha256,
        });
    }
    if config.kind == FetchKind::Data {
        refuse_nothing(&staging, &config.uri)?;
    } else {
        let names = arrange::arrange(staging.files().keys(), config.kind, &shown(&config.uri))?;
        staging.keep(&names)?;
    }
    let report = FetchReport {
        sha256,
        size_bytes: staging.size(),
        files: u32::try_from(staging.files().len()).unwrap_or(u32::MAX),
        test_sha256: None,
    };
    staging.commit()?;
    Ok(report)
}

/// Data that are there and empty are a mistake that `train` would tell less well.
fn refuse_nothing(staging: &Staging, uri: &str) -> Result<(), FetchError> {
    let files = staging.files().len();
    if staging.size() > 0 {
        return Ok(());
    }
    let why = match files {
        0 => "it has no files".to_owned(),
        1 => "its file is empty".to_owned(),
        _ => format!("all of its {files} files are empty"),
    };
    Err(FetchError::NoData { uri: shown(uri), why })
}

fn validate<'a>(config: &'a FetchConfig, options: &FetchOptions) -> Result<Validated<'a>, FetchError> {
    if config.run.is_some() && config.kind != FetchKind::Data {
        return Err(FetchError::InvalidConfig {
            field: "run",
            why: "it belongs to training data (kind Data), and a model is fetched".to_owned(),
        });
    }
    let source = Source::parse(&config.uri)?;
    let expected = config.sha256.as_deref();
    if let Some(value) = expected.filter(|value| !crate::store::is_sha256(value)) {
        return Err(FetchError::InvalidDigest { value: value.chars().take(100).collect() });
    }
    if config.kind == FetchKind::Artifact && expected.is_none() {
        return Err(FetchError::DigestMissing { uri: shown(&config.uri) });
    }
    if let (Source::Oci(reference), Some(expected)) = (&source, expected)
        && let Some(actual) = reference.digest().filter(|digest| *digest != expected)
    {
        return Err(FetchError::DigestMismatch {
            uri: shown(&config.uri),
            expected: expected.to_owned(),
            actual: actual.to_owned(),
        });
    }
    let label = match &config.credentials_secret {
        Some(name) => format!("credentialsSecret {name}"),
        None => "the store's Secret (modelwright-store)".to_owned(),
    };
    let secret = Secret::read(config.credentials_directory.as_deref(), &label)?
        .filter(|secret| config.kind != FetchKind::Artifact || concerns(secret, &source));
    let policy = AddressPolicy {
        allow_private: config.allow_private_networks,
        allow_loopback: options.allow_loopback,
    };
    Ok(Validated { config, source, expected, secret, policy })
}

/// Whether the store's Secret is for the place of an artifact. After a change of the store it is for the new one, and an
/// earlier one that asks for no credentials goes on without.
fn concerns(secret: &Secret, source: &Source) -> bool {
    let Source::Oci(reference) = source else { return true };
    let port = if secret.plain_http() { 80 } else { 443 };
    let elsewhere = HostPort::parse(reference.host(), port)
        .is_some_and(|host| secret.host_or("", port).is_ok_and(|own| !own.matches(&host)));
    if elsewhere {
        tracing::warn!(%reference, "the store's Secret is for another host and is not used");
    }
    !elsewhere
}

/// Fills the staged folder and gives the digest that the contract defines for the source.
async fn fill(
    validated: &Validated<'_>,
    options: &FetchOptions,
    staging: &mut Staging,
) -> Result<String, FetchError> {
    let Validated { config, source, expected, secret, policy } = validated;
    let secret = secret.as_ref();
    let uri = shown(&config.uri);
    match source {
        Source::Oci(reference) => {
            let access = Access {
                secret,
                plain_http: config.plain_http,
                policy: *policy,
                timeouts: options.timeouts,
                retry: options.retry,
                chunk: DEFAULT_CHUNK,
            };
            let wanted = oci::Wanted {
                reference: &pinned(reference, *expected),
                kind: config.kind,
                expected: *expected,
            };
            return Box::pin(oci::fetch(wanted, access, staging)).await;
        }
        Source::S3 { bucket, key, all } => {
            let objects = s3::Objects { bucket, key, all: *all, uri: &uri, pinned: expected.is_some() };
            s3::fetch(objects, secret, *policy, options, staging).await?;
        }
        Source::Http(url) => {
            let name = match config.kind {
                FetchKind::Data => http::file_name(url),
                FetchKind::Source | FetchKind::Artifact => MODEL_FILE.to_owned(),
            };
            let file = http::File { url, name: &name, pinned: expected.is_some() };
            http::fetch(file, secret, *policy, options, staging).await?;
        }
        Source::Claim { path, all } => {
            let wanted = pvc::Wanted { path, all: *all, kind: config.kind, uri: &uri };
            let mount =
                config.claim_directory.as_deref().map_or(options.claim_directory.as_path(), Path::new);
            pvc::fetch(mount, wanted, staging).await?;
        }
    }
    Ok(staging.digest())
}

/// Without a tag, a pinned artifact is asked for by its digest; with one, the tag is read and must have the digest.
fn pinned(reference: &Reference, expected: Option<&str>) -> Reference {
    match expected {
        Some(expected) if !reference.has_tag() => reference.at_digest(expected),
        _ => reference.clone(),
    }
}
