//! `s3://`: one object, or all objects below a prefix, of AWS or of any store that speaks S3. In goes a bucket with a
//! key; staged files come out.

use super::{
    FetchOptions,
    error::FetchError,
    staging::{MAX_FILES, Staging},
};
use crate::{
    network::{address::AddressPolicy, credentials::Secret},
    store::{Bucket, BucketAccess, BucketError},
};
use futures::StreamExt;
use object_store::path::Path;

/// What to fetch.
pub struct Objects<'a> {
    /// The bucket.
    pub bucket: &'a str,
    /// The key, or the prefix.
    pub key: &'a str,
    /// Whether every object below the prefix is meant.
    pub all: bool,
    /// For messages.
    pub uri: &'a str,
}

/// Fetches one object (under the last part of its key) or every object below a prefix.
pub async fn fetch(
    objects: Objects<'_>,
    secret: Option<&Secret>,
    policy: AddressPolicy,
    options: &FetchOptions,
    staging: &mut Staging,
) -> Result<(), FetchError> {
    let Objects { bucket, key, all, uri } = objects;
    let access = BucketAccess { secret, policy, timeouts: options.timeouts };
    let bucket = Bucket::open(bucket, uri, access)?;
    let path = bucket.key(key)?;
    if !all {
        let name = key.rsplit('/').next().unwrap_or(key);
        return copy(&bucket, &path, name, uri, options, staging).await;
    }
    let listing = || bucket.list(&path, MAX_FILES);
    let keys = options.retry.run(listing, BucketError::is_transient).await?;
    if keys.len() > MAX_FILES {
        return Err(FetchError::TooManyFiles { uri: uri.to_owned(), limit: MAX_FILES });
    }
    if keys.is_empty() {
        return Err(FetchError::not_in_store(uri, bucket.host()));
    }
    let total = keys.iter().fold(0_u64, |sum, (_, size)| sum.saturating_add(*size));
    staging.expect_bytes(total)?;
    for (key, _) in keys {
        let name = key
            .prefix_match(&path)
            .map(|parts| parts.map(|part| part.as_ref().to_owned()).collect::<Vec<_>>().join("/"));
        copy(&bucket, &key, &name.unwrap_or_default(), uri, options, staging).await?;
    }
    Ok(())
}

async fn copy(
    bucket: &Bucket,
    key: &Path,
    name: &str,
    uri: &str,
    options: &FetchOptions,
    staging: &mut Staging,
) -> Result<(), FetchError> {
    let staging = tokio::sync::Mutex::new(staging);
    let attempt = || async {
        let (size, content) = bucket.get(key).await?;
        let content = content.map(|chunk| chunk.map_err(FetchError::from));
        let written = staging.lock().await.write(name, Some(size), content).await?;
        if written.size != size {
            let why = format!("the object has {} bytes, and {size} were announced", written.size);
            return Err(FetchError::ObjectStore { uri: uri.to_owned(), why });
        }
        Ok(())
    };
    options.retry.run(attempt, FetchError::is_transient).await
}
