//! `s3://`: one object, or all objects below a prefix, of AWS or of any store that speaks S3. In goes a bucket with a
//! key; staged files come out.

use super::{
    FetchOptions,
    error::FetchError,
    staging::{MAX_FILES, Staging},
};
use crate::{
    network::{address::AddressPolicy, credentials::Secret},
    store::{Bucket, BucketAccess},
};
use futures::TryStreamExt;

pub struct Objects<'a> {
    pub bucket: &'a str,
    /// The key, or the prefix.
    pub key: &'a str,
    /// Whether every object below the prefix is meant.
    pub all: bool,
    pub uri: &'a str,
    /// Whether the digest is checked.
    pub pinned: bool,
}

/// Fetches one object (under the last part of its key) or every object below a prefix.
pub async fn fetch(
    objects: Objects<'_>,
    secret: Option<&Secret>,
    policy: AddressPolicy,
    options: &FetchOptions,
    staging: &mut Staging,
) -> Result<(), FetchError> {
    let Objects { bucket, key, all, uri, pinned } = objects;
    let access = BucketAccess { secret, policy, timeouts: options.timeouts, retry: options.retry };
    let bucket = Bucket::open(bucket, uri, access)?;
    if !all {
        let name = key.rsplit('/').next().unwrap_or(key);
        let pieces = bucket.get(key, pinned).pieces().map_err(FetchError::from);
        staging.write(name, None, pieces).await?;
        return Ok(());
    }
    let prefix = if key.is_empty() { String::new() } else { format!("{key}/") };
    let keys = bucket.list(&prefix, MAX_FILES).await?;
    if keys.len() > MAX_FILES {
        return Err(FetchError::TooManyFiles { uri: uri.to_owned(), limit: MAX_FILES });
    }
    if keys.is_empty() {
        return Err(FetchError::not_in_store(uri, bucket.place()));
    }
    let total = keys.iter().fold(0_u64, |sum, (_, size)| sum.saturating_add(*size));
    staging.expect_bytes(total)?;
    for (key, size) in keys {
        // Consoles show an empty part as one more folder; a path has none.
        let relative = key.strip_prefix(&prefix).unwrap_or(&key);
        let name = relative.split('/').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
        let pieces = bucket.get(&key, pinned).pieces().map_err(FetchError::from);
        let written = staging.write(&name, Some(size), pieces).await?;
        if written.size != size {
            let why = format!("the object {key} has {} bytes, and {size} were announced", written.size);
            return Err(FetchError::ObjectStore { uri: uri.to_owned(), why });
        }
    }
    Ok(())
}
