//! An object store as the store: one object a file, read back whole. An object that is there already with the right
//! bytes is left as it is.

use std::collections::BTreeMap;

use modelwright_contract::names;

use super::task::{SECRET, Stored, Task};
use crate::{
    network::credentials::{CredentialsError, Secret},
    store::{Bucket, BucketAccess, BucketError, FolderError},
};

/// Writes an artifact below the prefix of its Model.
pub async fn push([uri, bucket, prefix]: [&str; 3], task: &Task<'_>) -> Result<Stored, FolderError> {
    require_keys(task.secret)?;
    let sha256 = task.packed.folder_digest();
    let uri = format!("{uri}/{sha256}/");
    let access = BucketAccess {
        secret: task.secret,
        policy: task.policy,
        timeouts: task.options.timeouts,
        retry: task.retry,
    };
    let bucket = Bucket::open(bucket, &uri, access)?;
    let folder = Folder { bucket, prefix: format!("{prefix}/{sha256}"), uri: &uri, task };
    folder.write().await?;
    Ok(Stored { uri, sha256 })
}

/// Nobody may write to an object store without keys, and the store's own words about that are no help.
fn require_keys(secret: Option<&Secret>) -> Result<(), CredentialsError> {
    let label = SECRET.to_owned();
    match secret {
        None => Err(CredentialsError::Missing {
            secret: label,
            keys: "host, accessKeyId and secretAccessKey (and plainHttp, region or ca.crt where needed)",
        }),
        Some(secret) if secret.s3().access.is_none() => Err(CredentialsError::KeyMissing {
            secret: label,
            key: names::SECRET_ACCESS_KEY_ID,
            expected: "is missing, and `secretAccessKey`: an object store is written to with both",
        }),
        Some(_) => Ok(()),
    }
}

struct Folder<'a> {
    bucket: Bucket,
    prefix: String,
    uri: &'a str,
    task: &'a Task<'a>,
}

impl Folder<'_> {
    async fn write(&self) -> Result<(), FolderError> {
        let stored = self.stored().await?;
        for (file, digest) in self.task.files() {
            let key = format!("{}/{file}", self.prefix);
            let same = stored.get(file) == Some(&digest.size_bytes)
                && self.bucket.sha256(&key).await? == digest.sha256;
            if same {
                continue;
            }
            self.put(file, &key, &digest.sha256).await?;
            let actual = self.read_back(file, &key).await?;
            if actual == digest.sha256 {
                continue;
            }
            return Err(FolderError::DigestMismatch {
                uri: self.uri.to_owned(),
                file: file.clone(),
                expected: digest.sha256.clone(),
                actual,
            });
        }
        // Whoever fetches it lists it.
        let listed = || async {
            let stored = match self.stored().await {
                Ok(stored) => stored,
                outcome => return Ok(outcome.map(drop)),
            };
            match self.task.files().find(|(file, _)| !stored.contains_key(*file)) {
                Some((file, _)) => Err(self.gone(file)),
                None => Ok(Ok(())),
            }
        };
        self.task.retry.run(listed).await?
    }

    /// Writes a file. Only what a store says after it has taken all parts of a file needs all of them once more; everything
    /// else that may pass is tried again within, and what will not pass is told at once.
    async fn put(&self, file: &str, key: &str, sha256: &str) -> Result<(), FolderError> {
        let put = || async {
            match self.bucket.put(key, &self.task.path(file)).await {
                Ok(()) => Ok(Ok(())),
                // The answer may be all that was lost.
                Err(_) if self.bucket.holds(key, sha256).await => Ok(Ok(())),
                Err(error @ BucketError::Unreachable { .. }) => Err(error),
                Err(error) => Ok(Err(error)),
            }
        };
        Ok(self.task.retry.run(put).await??)
    }

    /// The digest of what was just written, which may take its time to appear.
    async fn read_back(&self, file: &str, key: &str) -> Result<String, FolderError> {
        let read = || async {
            match self.bucket.sha256(key).await {
                Err(BucketError::NotFound { .. }) => Err(self.gone(file)),
                outcome => Ok(outcome),
            }
        };
        Ok(self.task.retry.run(read).await??)
    }

    fn gone(&self, file: &str) -> FolderError {
        FolderError::Gone { uri: self.uri.to_owned(), file: file.to_owned() }
    }

    /// What is there, with sizes; anything but the artifact's own files is refused.
    async fn stored(&self) -> Result<BTreeMap<String, u64>, FolderError> {
        let prefix = format!("{}/", self.prefix);
        let objects = self.bucket.list(&prefix, self.task.packed.files.len()).await?;
        let mut stored = BTreeMap::new();
        for (key, size) in objects {
            let file = key.strip_prefix(&prefix).unwrap_or(&key).to_owned();
            if !self.task.packed.files.contains_key(&file) {
                return Err(FolderError::Foreign { uri: self.uri.to_owned(), file });
            }
            stored.insert(file, size);
        }
        Ok(stored)
    }
}
