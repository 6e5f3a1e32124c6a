//! Leaves the report of a run in the store, beside the artifacts of its Model, under what the run is known by. In go its bytes
//! as a file; [`address`] is where it is then read from.

use std::{fs, io, path::Path};

use modelwright_contract::publish::Store;
use sha2::{Digest, Sha256};

use super::task::{Destination, secret, written};
use crate::{
    network::{RetryPolicy, address::AddressPolicy},
    publish::{error::PublishError, options::PublishOptions},
    store::{
        Access, Bucket, BucketAccess, FolderError, Registry,
        manifest::{self, Descriptor, FILE_PATH, Manifest, TITLE},
    },
};
use modelwright_core::digest::hex;

pub const REPORT_FILE: &str = "report.json";
/// Folder of reports, in an object store and a claim.
const RUNS: &str = "runs";
/// What the manifest of a report says that it is.
const RUN_ARTIFACT: &str = "application/vnd.modelwright.run.v1+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// Where the report of a run is.
pub fn address(destination: &Destination, run: &str) -> String {
    match destination {
        Destination::Registry(repository) => format!("{repository}:{}", tag(run)),
        Destination::Bucket { uri, .. } | Destination::Claim { uri, .. } => {
            format!("{uri}/{RUNS}/{run}/{REPORT_FILE}")
        }
    }
}

fn tag(run: &str) -> String {
    format!("run-{run}")
}

/// Writes a report, a file in a folder of its own.
pub async fn put(
    destination: &Destination,
    store: &Store,
    options: &PublishOptions,
    run: &str,
    file: &Path,
) -> Result<(), PublishError> {
    let secret = secret(store)?;
    let secret = secret.as_ref();
    let policy = AddressPolicy { allow_private: true, allow_loopback: options.allow_loopback };
    match destination {
        Destination::Registry(repository) => {
            let access = Access {
                secret,
                plain_http: store.plain_http,
                policy,
                timeouts: options.timeouts,
                // The model is stored already: this is not worth the whole patience.
                retry: RetryPolicy::default(),
                chunk: options.chunk,
            };
            let host = store.push.as_ref().map(|push| push.host.as_str());
            let registry = Registry::new(written(repository, host)?, access)?;
            let config = file.with_extension("config");
            fs::write(&config, "{}").map_err(PublishError::io(&config))?;
            let empty = blob(&config, EMPTY)?;
            let report = Descriptor {
                annotations: [FILE_PATH, TITLE]
                    .map(|name| (name.to_owned(), REPORT_FILE.to_owned()))
                    .into_iter()
                    .collect(),
                ..blob(file, manifest::DOCUMENT)?
            };
            for (path, blob) in [(config.as_path(), &empty), (file, &report)] {
                registry.push_blob(path, &blob.digest, blob.size).await?;
            }
            let manifest = Manifest {
                schema_version: 2,
                media_type: Some(manifest::MANIFEST.to_owned()),
                artifact_type: Some(RUN_ARTIFACT.to_owned()),
                config: empty,
                layers: vec![report],
                annotations: std::collections::BTreeMap::new(),
            };
            // All keys are strings, and that is the only thing that could fail.
            let manifest = serde_json::to_vec(&manifest).unwrap_or_default();
            registry.push_manifest(&tag(run), &manifest).await?;
            Ok(())
        }
        Destination::Bucket { uri, bucket, prefix } => {
            let access =
                BucketAccess { secret, policy, timeouts: options.timeouts, retry: RetryPolicy::default() };
            let put = async {
                let bucket = Bucket::open(bucket, uri, access)?;
                bucket.put(&format!("{prefix}/{RUNS}/{run}/{REPORT_FILE}"), file).await
            };
            put.await.map_err(FolderError::from).map_err(PublishError::from)
        }
        Destination::Claim { folder, .. } => {
            let place = options.claim_directory.join(folder).join(RUNS).join(run);
            copy(file, &place).map_err(PublishError::io(place))
        }
    }
}

fn blob(path: &Path, media_type: &str) -> Result<Descriptor, PublishError> {
    let content = fs::read(path).map_err(PublishError::io(path))?;
    Ok(Descriptor {
        media_type: media_type.to_owned(),
        digest: format!("sha256:{}", hex(&Sha256::digest(&content))),
        size: content.len() as u64,
        annotations: std::collections::BTreeMap::new(),
    })
}

/// The report appears whole or not at all.
fn copy(file: &Path, place: &Path) -> io::Result<()> {
    fs::create_dir_all(place)?;
    let mut made = tempfile::Builder::new().prefix(".report-").tempfile_in(place)?;
    io::copy(&mut fs::File::open(file)?, &mut made)?;
    made.as_file().sync_all()?;
    made.persist(place.join(REPORT_FILE))?;
    fs::File::open(place)?.sync_all()
}
