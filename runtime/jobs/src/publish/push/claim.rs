//! A mounted claim as the store: the files are written into a folder beside, synced, read back, and renamed, so that the
//! artifact's folder appears whole or not at all. A folder that is there already and whole is left as it is.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::io::Errno;
use tempfile::TempDir;

use super::task::{Stored, Task};
use crate::store::FolderError;
use modelwright_core::digest;

/// Names of folders in the making.
const PREFIX: &str = ".publish-";
/// Folders in the making that are older belong to nobody any more: no run lives that long.
const ABANDONED: Duration = Duration::from_hours(24);

/// Writes an artifact into the folder of its Model.
pub async fn push(uri: &str, folder: &str, task: &Task<'_>) -> Result<Stored, FolderError> {
    let sha256 = task.packed.folder_digest();
    let claim = Claim { root: &task.options.claim_directory, uri, folder, task };
    task.retry.run(|| async { claim.write(&sha256) }).await?;
    Ok(Stored { uri: format!("{uri}/{sha256}/"), sha256 })
}

struct Claim<'a> {
    root: &'a Path,
    uri: &'a str,
    folder: &'a str,
    task: &'a Task<'a>,
}

impl Claim<'_> {
    fn write(&self, sha256: &str) -> Result<(), FolderError> {
        let parent = self.make_folder()?;
        self.sweep(&parent);
        let place = parent.join(sha256);
        if self.is_whole(&place) {
            return Ok(());
        }
        let made = self.beside(&parent)?;
        for (file, _) in self.task.files() {
            self.copy(file, &made.path().join(file))?;
        }
        for folder in folders(made.path()).map_err(self.failed(made.path()))? {
            self.sync(&folder)?;
        }
        self.prove(made.path())?;
        self.replace(&made, &place, &parent)?;
        self.sync(&parent)
    }

    /// Makes the folder of the Model, and follows no link on the way to it.
    fn make_folder(&self) -> Result<PathBuf, FolderError> {
        let mut path = self.root.to_owned();
        for part in self.folder.split('/') {
            let parent = path.clone();
            path.push(part);
            match fs::create_dir(&path) {
                Ok(()) => self.sync(&parent)?,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(self.failed(&path)(error)),
            }
            if !fs::symlink_metadata(&path).map_err(self.failed(&path))?.is_dir() {
                let part = path.strip_prefix(self.root).unwrap_or(&path).display().to_string();
                return Err(FolderError::NoFolder { uri: self.uri.to_owned(), part });
            }
        }
        Ok(path)
    }

    /// Removes what publishers left that were killed. That it cannot be removed harms nobody now.
    fn sweep(&self, parent: &Path) {
        for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
            let abandoned = entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes())
                && entry
                    .metadata()
                    .and_then(|metadata| metadata.modified())
                    .is_ok_and(|time| time.elapsed().is_ok_and(|age| age > ABANDONED));
            if abandoned && let Err(error) = fs::remove_dir_all(entry.path()) {
                tracing::warn!(%error, uri = self.uri, "what an earlier run left cannot be removed");
            }
        }
    }

    fn beside(&self, parent: &Path) -> Result<TempDir, FolderError> {
        tempfile::Builder::new()
            .prefix(PREFIX)
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir_in(parent)
            .map_err(self.failed(parent))
    }

    fn copy(&self, file: &str, target: &Path) -> Result<(), FolderError> {
        let source = self.task.path(file);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(self.failed(parent))?;
        }
        let mut from =
            File::open(&source).map_err(|error| FolderError::Io { path: source.clone(), source: error })?;
        let mut to = File::create_new(target).map_err(self.failed(target))?;
        io::copy(&mut from, &mut to).map_err(self.failed(target))?;
        to.sync_all().map_err(self.failed(target))
    }

    /// Compares every file with what it is to be.
    fn prove(&self, folder: &Path) -> Result<(), FolderError> {
        for (file, expected) in self.task.files() {
            let path = folder.join(file);
            let actual = digest::hash_file(&path)
                .map_err(|error| FolderError::Io { path, source: io::Error::other(error) })?;
            if actual != *expected {
                return Err(FolderError::DigestMismatch {
                    uri: self.uri.to_owned(),
                    file: file.clone(),
                    expected: expected.sha256.clone(),
                    actual: actual.sha256,
                });
            }
        }
        Ok(())
    }

    /// Whether an artifact's folder holds its files and nothing else.
    fn is_whole(&self, place: &Path) -> bool {
        let real = fs::symlink_metadata(place).is_ok_and(|metadata| metadata.is_dir());
        real && count(place).is_ok_and(|count| count == self.task.packed.files.len())
            && self.prove(place).is_ok()
    }

    /// Makes the folder appear at its place, instead of a damaged one.
    fn replace(&self, made: &TempDir, place: &Path, parent: &Path) -> Result<(), FolderError> {
        let first = match fs::rename(made.path(), place) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if self.is_whole(place) {
            // Another run was faster.
            return Ok(());
        }
        if fs::symlink_metadata(place).is_err() {
            return Err(self.failed(place)(first));
        }
        let aside = self.beside(parent)?;
        fs::rename(place, aside.path().join("damaged")).map_err(self.failed(place))?;
        fs::rename(made.path(), place).map_err(self.failed(place))
    }

    fn sync(&self, folder: &Path) -> Result<(), FolderError> {
        match File::open(folder).and_then(|folder| folder.sync_all()) {
            // Some network file systems cannot sync a folder, and need not.
            Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => Ok(()),
            outcome => outcome.map_err(self.failed(folder)),
        }
    }

    fn failed(&self, path: &Path) -> impl FnOnce(io::Error) -> FolderError {
        let (uri, path) = (self.uri.to_owned(), path.to_owned());
        move |cause| match cause.kind() {
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                FolderError::ReadOnly { uri, cause }
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => FolderError::Full { uri, cause },
            _ => FolderError::Io { path, source: cause },
        }
    }
}

/// A folder and all folders in it, the deepest first.
fn folders(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.extend(folders(&entry.path())?);
        }
    }
    found.push(folder.to_owned());
    Ok(found)
}

/// How many things that are no folders a folder holds.
fn count(folder: &Path) -> io::Result<usize> {
    let mut count = 0;
    for folder in folders(folder)? {
        for entry in fs::read_dir(folder)? {
            count += usize::from(!entry?.file_type()?.is_dir());
        }
    }
    Ok(count)
}
