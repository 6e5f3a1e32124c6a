//! The model digest: SHA-256 over the sorted list of a model's files. In goes a folder; out come the digest and the size.
//! Needs no client.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use modelwright_contract::artifact::{METADATA_DIRECTORY, digest_line};
use sha2::{Digest, Sha256};

const CHUNK: usize = 1024 * 1024;

/// A model's files that cannot be digested.
#[derive(Debug, thiserror::Error)]
pub enum DigestError {
    #[error("{} cannot be read: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    /// A link, a device, or a name that is no UTF-8.
    #[error("{} is {what}; a model's folder holds ordinary files with UTF-8 names only", path.display())]
    Unusual { path: PathBuf, what: &'static str },
}

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileDigest {
    /// SHA-256, 64 hex digits.
    pub sha256: String,
    pub size_bytes: u64,
}

/// What a model's files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFiles {
    /// The model digest, 64 hex digits.
    pub digest: String,
    pub size_bytes: u64,
}

/// Digests a folder: every file outside `modelwright/`.
pub fn model_files(folder: &Path) -> Result<ModelFiles, DigestError> {
    let mut files = BTreeMap::new();
    collect(folder, "", &mut files)?;
    listed_files(&files)
}

/// Digests files by the relative paths that they have in a model's folder.
pub fn listed_files(files: &BTreeMap<String, PathBuf>) -> Result<ModelFiles, DigestError> {
    let mut list = Sha256::new();
    let mut size_bytes = 0;
    for (name, path) in files {
        let file = hash_file(path)?;
        list.update(digest_line(name, &file.sha256));
        size_bytes += file.size_bytes;
    }
    Ok(ModelFiles { digest: hex(&list.finalize()), size_bytes })
}

fn collect(folder: &Path, prefix: &str, files: &mut BTreeMap<String, PathBuf>) -> Result<(), DigestError> {
    let failed = |source| DigestError::Io { path: folder.to_owned(), source };
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        let name = entry
            .file_name()
            .into_string()
            .map_err(|_| DigestError::Unusual { path: path.clone(), what: "named in no UTF-8" })?;
        let kind = entry.file_type().map_err(|source| DigestError::Io { path: path.clone(), source })?;
        let relative = format!("{prefix}{name}");
        if kind.is_dir() {
            if relative != METADATA_DIRECTORY {
                collect(&path, &format!("{relative}/"), files)?;
            }
        } else if kind.is_file() {
            files.insert(relative, path);
        } else {
            let what = if kind.is_symlink() { "a symbolic link" } else { "no ordinary file" };
            return Err(DigestError::Unusual { path, what });
        }
    }
    Ok(())
}

pub fn hash_file(path: &Path) -> Result<FileDigest, DigestError> {
    hash(path).map_err(|source| DigestError::Io { path: path.to_owned(), source })
}

fn hash(path: &Path) -> io::Result<FileDigest> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    let mut size = 0;
    loop {
        let read = file.read(&mut chunk)?;
        let Some(filled) = chunk.get(..read).filter(|filled| !filled.is_empty()) else { break };
        hash.update(filled);
        size += filled.len() as u64;
    }
    Ok(FileDigest { sha256: hex(&hash.finalize()), size_bytes: size })
}

pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_digest_is_that_of_sha256sums_list_without_modelwrights_own_files() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("model.onnx", "hello"), ("a/weights", ""), ("modelwright/golden.json", "{}")] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        // find -type f -not -path './modelwright/*' -printf '%P\n' | LC_ALL=C sort | xargs sha256sum | sha256sum
        let list = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  a/weights\n\
                    2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824  model.onnx\n";
        let files = model_files(folder.path()).unwrap();
        assert_eq!(files, ModelFiles { digest: hex(&Sha256::digest(list)), size_bytes: 5 });
    }

    #[test]
    fn a_symbolic_link_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/hostname", folder.path().join("model.onnx")).unwrap();
        let error = model_files(folder.path()).unwrap_err();
        assert!(error.to_string().contains("is a symbolic link"), "{error}");
    }
}
