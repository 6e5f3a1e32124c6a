//! The folders that an artifact is put together in. In goes a model's folder; out come others with the same bytes, not
//! copied, and their digests.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use super::error::PublishError;
use modelwright_core::digest::{self, FileDigest};

/// Hashes the files of a folder, by path relative to it.
pub fn hash(
    folder: &Path,
    paths: impl IntoIterator<Item = String>,
) -> Result<BTreeMap<String, FileDigest>, PublishError> {
    paths
        .into_iter()
        .map(|path| {
            let file = digest::hash_file(&folder.join(&path))?;
            Ok((path, file))
        })
        .collect()
}

/// Makes a folder to work in beside the model's, so that links between both are possible.
pub fn work_beside(directory: &Path) -> Result<tempfile::TempDir, PublishError> {
    let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    tempfile::Builder::new().prefix(".publish-").tempdir_in(parent).map_err(PublishError::io(parent))
}

/// Puts files into a folder of their own without copying their bytes.
pub fn link(from: &Path, to: &Path, paths: impl IntoIterator<Item = String>) -> Result<(), PublishError> {
    for path in paths {
        let (source, target): (PathBuf, PathBuf) = (from.join(&path), to.join(&path));
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(PublishError::io(parent))?;
        }
        // The kernel may refuse links to files of another user; those are copied.
        fs::hard_link(&source, &target)
            .or_else(|_| fs::copy(&source, &target).map(drop))
            .map_err(PublishError::io(source))?;
    }
    Ok(())
}
