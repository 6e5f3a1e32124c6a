//! The folder that a fetch fills: beside its destination, so that a rename makes it appear at once and complete, or
//! not at all. Every file is counted, hashed while it is written, and refused when its name would leave the folder.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use futures::{Stream, StreamExt};
use modelwright_contract::artifact::digest_line;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::io::{AsyncSeekExt, AsyncWriteExt};

use super::{error::FetchError, look};
use crate::network::download::Piece;
use modelwright_core::{digest::hex, path::check_path};

/// Most files of one source.
pub const MAX_FILES: usize = 1000;

/// A file that was written whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its SHA-256 in hex.
    pub sha256: String,
    pub size: u64,
}

/// A folder in the making.
pub struct Staging {
    uri: String,
    folder: TempDir,
    destination: PathBuf,
    max_bytes: u64,
    /// Whether files are looked at: what is no file of a model or of data is told for what it is.
    looks: bool,
    files: BTreeMap<String, Written>,
}

impl Staging {
    /// Makes an empty folder beside `destination`. `uri` is for messages.
    pub fn beside(destination: &Path, max_bytes: u64, uri: &str) -> Result<Self, FetchError> {
        let parent =
            destination.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(parent).map_err(FetchError::io(parent))?;
        let folder = tempfile::Builder::new()
            .prefix(".fetch-")
            .permissions(permissions())
            .tempdir_in(parent)
            .map_err(FetchError::io(parent))?;
        Ok(Self {
            uri: uri.to_owned(),
            folder,
            destination: destination.to_owned(),
            max_bytes,
            looks: true,
            files: BTreeMap::new(),
        })
    }

    /// The same for files that are proven by a digest of ours, whatever they look like.
    #[must_use]
    pub fn blind(mut self, blind: bool) -> Self {
        self.looks = !blind;
        self
    }

    /// Refuses more bytes than fit, when a server says beforehand how many there are.
    pub fn expect_bytes(&self, announced: u64) -> Result<(), FetchError> {
        let sum = self.size().saturating_add(announced);
        if sum <= self.max_bytes { Ok(()) } else { Err(self.too_large(format!("{sum} bytes"))) }
    }

    /// Writes one file. A file that breaks off is removed, so that it can be tried again.
    pub async fn write<P: Into<Piece>, E>(
        &mut self,
        path: &str,
        announced: Option<u64>,
        content: impl Stream<Item = Result<P, E>>,
    ) -> Result<Written, FetchError>
    where
        FetchError: From<E>,
    {
        let relative = self.accept(path)?;
        if let Some(announced) = announced {
            self.expect_bytes(announced)?;
        }
        let target = self.folder.path().join(&relative);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(FetchError::io(parent))?;
        }
        match self.copy(&relative, &target, content).await {
            Ok(written) => {
                self.files.insert(relative, written.clone());
                Ok(written)
            }
            Err(error) => {
                // What failed is the copy; the whole folder goes if the file cannot be removed.
                let _ = fs::remove_file(&target);
                Err(error)
            }
        }
    }

    async fn copy<P: Into<Piece>, E>(
        &self,
        path: &str,
        target: &Path,
        content: impl Stream<Item = Result<P, E>>,
    ) -> Result<Written, FetchError>
    where
        FetchError: From<E>,
    {
        let mut content = std::pin::pin!(content);
        let room = self.max_bytes.saturating_sub(self.size());
        let mut file = tokio::fs::File::create_new(target).await.map_err(FetchError::io(target))?;
        let mut hash = Sha256::new();
        let mut size = 0_u64;
        let mut first = look::First::default();
        while let Some(piece) = content.next().await {
            let chunk = match piece?.into() {
                Piece::Bytes(chunk) => chunk,
                Piece::Start(announced) => {
                    self.expect_bytes(announced.unwrap_or_default())?;
                    file.flush().await.map_err(FetchError::io(target))?;
                    file.set_len(0).await.map_err(FetchError::io(target))?;
                    file.rewind().await.map_err(FetchError::io(target))?;
                    (hash, size, first) = (Sha256::new(), 0, look::First::default());
                    continue;
                }
            };
            size = size.saturating_add(chunk.len() as u64);
            if size > room {
                return Err(self.too_large(format!("more than {} bytes", self.max_bytes)));
            }
            first.add(&chunk);
            hash.update(&chunk);
            file.write_all(&chunk).await.map_err(FetchError::io(target))?;
        }
        file.flush().await.map_err(FetchError::io(target))?;
        match first.refuse(path) {
            Some(why) if self.looks => {
                Err(FetchError::NoFile { uri: self.uri.clone(), path: path.to_owned(), why })
            }
            _ => Ok(Written { sha256: hex(&hash.finalize()), size }),
        }
    }

    /// Checks a name and that there is room for one more file.
    fn accept(&self, path: &str) -> Result<String, FetchError> {
        let unsafe_path = |why| FetchError::UnsafePath {
            uri: self.uri.clone(),
            path: path.chars().take(200).collect(),
            why,
        };
        check_path(path).map_err(unsafe_path)?;
        if self.files.contains_key(path) {
            return Err(unsafe_path("two files have this name"));
        }
        let below = format!("{path}/");
        let clashes = self.files.keys().any(|other| {
            other.starts_with(&below)
                || path.strip_prefix(other.as_str()).is_some_and(|rest| rest.starts_with('/'))
        });
        if clashes {
            return Err(unsafe_path("it is both a file and a folder"));
        }
        if self.files.len() >= MAX_FILES {
            return Err(FetchError::TooManyFiles { uri: self.uri.clone(), limit: MAX_FILES });
        }
        Ok(path.to_owned())
    }

    /// Bytes over all files so far.
    pub fn size(&self) -> u64 {
        self.files.values().fold(0, |sum, file| sum.saturating_add(file.size))
    }

    /// The files so far, by relative path.
    pub fn files(&self) -> &BTreeMap<String, Written> {
        &self.files
    }

    /// The digest of all files: of the one file, or of the sorted list of several.
    pub fn digest(&self) -> String {
        let mut files = self.files.iter();
        if let (Some((_, only)), None) = (files.next(), files.next()) {
            return only.sha256.clone();
        }
        let mut hash = Sha256::new();
        for (path, file) in &self.files {
            hash.update(digest_line(path, &file.sha256));
        }
        hex(&hash.finalize())
    }

    /// Where a file lies while it is staged.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    /// Gives files new names; those that are left out go.
    pub fn keep(&mut self, names: &BTreeMap<String, String>) -> Result<(), FetchError> {
        let parent = self.destination.parent().unwrap_or(Path::new("."));
        let kept = tempfile::Builder::new()
            .prefix(".fetch-")
            .permissions(permissions())
            .tempdir_in(parent)
            .map_err(FetchError::io(parent))?;
        let mut files = BTreeMap::new();
        for (old, new) in names {
            let Some(written) = self.files.remove(old) else { continue };
            let target = kept.path().join(new);
            if let Some(parent) = target.parent() {
                fs::create_dir_all(parent).map_err(FetchError::io(parent))?;
            }
            fs::rename(self.path(old), &target).map_err(FetchError::io(&target))?;
            files.insert(new.clone(), written);
        }
        self.folder = kept;
        self.files = files;
        Ok(())
    }

    /// Makes the folder appear at its destination, in place of what an earlier run of this container left there.
    pub fn commit(self) -> Result<(), FetchError> {
        let destination = self.destination;
        if destination.symlink_metadata().is_ok() {
            let old = self.folder.path().with_extension("old");
            fs::rename(&destination, &old).map_err(FetchError::io(&destination))?;
            fs::rename(self.folder.path(), &destination).map_err(FetchError::io(&destination))?;
            fs::remove_dir_all(&old).map_err(FetchError::io(&old))?;
        } else {
            fs::rename(self.folder.path(), &destination).map_err(FetchError::io(&destination))?;
        }
        // It is the destination now, and must not be removed as a leftover.
        let _ = self.folder.keep();
        Ok(())
    }

    fn too_large(&self, found: String) -> FetchError {
        FetchError::TooLarge { uri: self.uri.clone(), found, limit: self.max_bytes }
    }
}

/// Readable for the pod's other containers, whatever user they run as.
fn permissions() -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o755)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bytes::Bytes;
    use futures::stream;

    use super::*;

    fn chunks(parts: &[&'static str]) -> impl Stream<Item = Result<Bytes, FetchError>> + Unpin {
        stream::iter(parts.iter().map(|part| Ok(Bytes::from_static(part.as_bytes()))).collect::<Vec<_>>())
    }

    fn entries(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn a_folder_appears_complete_and_its_digest_is_that_of_sha256sum() {
        let parent = tempfile::tempdir().unwrap();
        let destination = parent.path().join("data");
        let mut staging = Staging::beside(&destination, 100, "s3://b/").unwrap();
        staging.write("b", None, chunks(&["he", "llo"])).await.unwrap();
        assert_eq!(staging.digest(), "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
        staging.write("a/c", Some(0), chunks(&[])).await.unwrap();
        // printf '%s  a/c\n%s  b\n' $(sha256sum </dev/null) $(printf hello | sha256sum) | sha256sum
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let list =
            format!("{empty}  a/c\n2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824  b\n");
        assert_eq!(staging.digest(), hex(&Sha256::digest(list)));
        assert!(!destination.exists());
        staging.commit().unwrap();
        assert_eq!(fs::read_to_string(destination.join("b")).unwrap(), "hello");
        assert_eq!(entries(parent.path()), ["data"]);
    }

    #[tokio::test]
    async fn a_staging_that_is_dropped_leaves_nothing_behind() {
        let parent = tempfile::tempdir().unwrap();
        let mut staging = Staging::beside(&parent.path().join("data"), 100, "u").unwrap();
        staging.write("a", None, chunks(&["x"])).await.unwrap();
        drop(staging);
        assert!(entries(parent.path()).is_empty());
    }

    #[tokio::test]
    async fn what_an_earlier_run_left_is_replaced() {
        let parent = tempfile::tempdir().unwrap();
        let destination = parent.path().join("data");
        for content in ["one", "two"] {
            let mut staging = Staging::beside(&destination, 100, "u").unwrap();
            staging.write(content, None, chunks(&["x"])).await.unwrap();
            staging.commit().unwrap();
            assert_eq!(entries(&destination), [content]);
        }
        assert_eq!(entries(parent.path()), ["data"]);
    }

    #[tokio::test]
    async fn too_many_bytes_are_refused_before_and_while_they_come() {
        let parent = tempfile::tempdir().unwrap();
        let mut staging = Staging::beside(&parent.path().join("data"), 4, "u").unwrap();
        let announced = staging.write("a", Some(5), chunks(&["12345"])).await.unwrap_err();
        let lied = staging.write("a", Some(4), chunks(&["123", "45"])).await.unwrap_err();
        assert_eq!((announced.reason(), lied.reason()), ("TooLarge", "TooLarge"));
        staging.write("a", Some(4), chunks(&["1234"])).await.unwrap();
        assert_eq!(staging.write("b", None, chunks(&["1"])).await.unwrap_err().reason(), "TooLarge");
    }

    #[tokio::test]
    async fn names_that_clash_or_leave_the_folder_are_refused() {
        let parent = tempfile::tempdir().unwrap();
        let mut staging = Staging::beside(&parent.path().join("data"), 100, "u").unwrap();
        staging.write("a/b", None, chunks(&["x"])).await.unwrap();
        for path in ["a/b", "a", "a/b/c", "../x", "/x", "a//x", "", ".", "a\\b", "C:/x", "a/../../x", "a\0"] {
            let error = staging.write(path, None, chunks(&["x"])).await.unwrap_err();
            assert_eq!(error.reason(), "UnsafePath", "{path:?}");
        }
    }
}
