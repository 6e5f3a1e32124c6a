//! Writes an artifact to the store and reads it back. In goes a packed folder; out comes the artifact's address. A store
//! that does not answer is tried again for as long as the config says; what it already has is not sent twice.
//!
//! [`registry`] makes an OCI artifact. [`bucket`] and [`claim`] keep the same files in a folder that is named after the
//! digest of all of them, so that whoever fetches it by that digest cannot take a part for the whole; and `model.onnx`
//! comes last, so that without any digest a part is no model.

mod bucket;
mod claim;
mod registry;
pub mod run;
pub mod task;

use std::{path::Path, time::Duration};

use modelwright_contract::publish::PublishConfig;

use self::task::{Destination, Stored, Task, secret};
use super::{error::PublishError, options::PublishOptions};
use crate::{
    network::{RetryPolicy, address::AddressPolicy},
    store::pack::Packed,
};

/// Pushes an artifact, and gives its address by digest.
pub async fn push(
    config: &PublishConfig,
    destination: &Destination,
    options: &PublishOptions,
    folder: &Path,
    packed: &Packed,
) -> Result<Stored, PublishError> {
    let secret = secret(&config.store)?;
    let task = Task {
        folder,
        packed,
        options,
        secret: secret.as_ref(),
        plain_http: config.store.plain_http,
        // Whoever installed Modelwright chose the store, and it is in their own network as a rule.
        policy: AddressPolicy { allow_private: true, allow_loopback: options.allow_loopback },
        retry: RetryPolicy::for_duration(Duration::from_secs(config.store_retry_seconds.into())),
        host: config.store.push.as_ref().map(|push| push.host.as_str()),
    };
    match destination {
        Destination::Registry(repository) => registry::push(repository, &task).await,
        Destination::Bucket { uri, bucket, prefix } => Ok(bucket::push([uri, bucket, prefix], &task).await?),
        Destination::Claim { uri, folder } => Ok(claim::push(uri, folder, &task).await?),
    }
}
