//! Tells whether an artifact is at its destination already, whole and untouched, as it is for a pod whose sandbox is made
//! anew (after a reboot of its node, say): its volume outlives the sandbox, and its store may be down. In goes the config;
//! out comes a report, if every byte there is proven by the digest that was asked for. Needs no network.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use modelwright_contract::{
    fetch::{FetchConfig, FetchKind},
    report::FetchReport,
};

use super::{source::Source, staging::MAX_FILES};
use crate::store::pack;
use modelwright_core::digest::{self, FileDigest};

/// The report on what is there, if it is the artifact.
pub fn report(config: &FetchConfig) -> Option<FetchReport> {
    let expected = config.sha256.as_deref().filter(|_| config.kind == FetchKind::Artifact)?;
    let folder = Path::new(&config.destination);
    let files = match hash(folder) {
        Ok(files) if !files.is_empty() => files,
        Ok(_) => return None,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::warn!(%error, "what is at the destination cannot be read, and is fetched anew");
            return None;
        }
    };
    let count = u32::try_from(files.len()).unwrap_or(u32::MAX);
    // The manifest is a function of the files, so that its digest proves them without the registry's copy of it.
    let packed = pack::pack(files);
    let sha256 = match Source::parse(&config.uri) {
        Ok(Source::Oci(_)) => packed.sha256.clone(),
        Ok(_) => packed.folder_digest(),
        Err(_) => return None,
    };
    let size_bytes = packed.size();
    (sha256 == expected && size_bytes <= config.max_bytes).then_some(FetchReport {
        test_sha256: None,
        sha256,
        size_bytes,
        files: count,
    })
}

/// Every file below a folder with its digest; anything but folders and regular files is an error.
fn hash(folder: &Path) -> io::Result<BTreeMap<String, FileDigest>> {
    let mut files = BTreeMap::new();
    let mut folders: Vec<(PathBuf, String)> = vec![(folder.to_owned(), String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let name =
                entry.file_name().into_string().map_err(|_| io::Error::other("a name is not UTF-8"))?;
            let (path, kind) = (format!("{prefix}{name}"), entry.file_type()?);
            if kind.is_dir() {
                folders.push((entry.path(), format!("{path}/")));
            } else if kind.is_file() && files.len() < MAX_FILES {
                files.insert(path, digest::hash_file(&entry.path()).map_err(io::Error::other)?);
            } else {
                return Err(io::Error::other(format!("{path} is no regular file, or there are too many")));
            }
        }
    }
    Ok(files)
}
