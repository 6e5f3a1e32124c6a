//! `pvc://`: files of a claim that is mounted read-only. In goes a path; staged copies come out. The kernel itself
//! keeps every step below the mount (`openat2` with `RESOLVE_BENEATH`), so that neither `..` nor a symbolic link, not
//! even one that is changed meanwhile, leads out.

use std::{fs::File, io, os::fd::OwnedFd, path::Path};

use modelwright_contract::fetch::FetchKind;
use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags};
use tokio_util::io::ReaderStream;

use super::{
    error::FetchError,
    staging::{MAX_FILES, Staging},
};

/// Deepest folder below the named one.
const MAX_DEPTH: usize = 16;
/// Bytes that are read at once.
const CHUNK: usize = 256 * 1024;

pub struct Wanted<'a> {
    pub path: &'a str,
    /// Whether every file below it is meant.
    pub all: bool,
    /// What it is to be, for messages.
    pub kind: FetchKind,
    pub uri: &'a str,
}

/// Copies one file, or every file below a folder.
pub async fn fetch(
    mount: &Path,
    Wanted { path, all, kind, uri }: Wanted<'_>,
    staging: &mut Staging,
) -> Result<(), FetchError> {
    let root = rustix::fs::open(mount, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| FetchError::Io { path: mount.to_owned(), source: error.into() })?;
    let claim = Claim { root, uri };
    if !all {
        let name = path.rsplit('/').next().unwrap_or(path);
        return claim.copy(path, name, staging).await;
    }
    for file in claim.list(path)? {
        let relative =
            if path.is_empty() { file.as_str() } else { file.get(path.len() + 1..).unwrap_or_default() };
        claim.copy(&file, relative, staging).await?;
    }
    if staging.files().is_empty() {
        return Err(FetchError::nothing(kind, uri, "the folder is empty".to_owned()));
    }
    Ok(())
}

struct Claim<'a> {
    root: OwnedFd,
    uri: &'a str,
}

impl Claim<'_> {
    fn open(&self, path: &str, flags: OFlags) -> Result<OwnedFd, FetchError> {
        let path = if path.is_empty() { "." } else { path };
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        // Without NONBLOCK, opening a pipe that someone put there would wait for ever.
        let flags = flags | OFlags::CLOEXEC | OFlags::NONBLOCK;
        rustix::fs::openat2(&self.root, path, flags, Mode::empty(), beneath).map_err(|error| {
            let uri = self.uri.to_owned();
            match error {
                rustix::io::Errno::XDEV => FetchError::Escapes { uri },
                rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR => FetchError::NotFound {
                    uri,
                    hint: format!(" ({path:?} within the claim; a folder wants a trailing `/`)"),
                },
                rustix::io::Errno::ACCESS | rustix::io::Errno::PERM => FetchError::Forbidden {
                    uri,
                    why: format!("{path:?} is not readable for the user of this pod; open it to all users or set its group"),
                },
                other => FetchError::Io { path: path.into(), source: other.into() },
            }
        })
    }

    async fn copy(&self, path: &str, name: &str, staging: &mut Staging) -> Result<(), FetchError> {
        let file = File::from(self.open(path, OFlags::RDONLY)?);
        let metadata = file.metadata().map_err(FetchError::io(path))?;
        if !metadata.is_file() {
            return Err(FetchError::NotFound {
                uri: self.uri.to_owned(),
                hint: format!(" ({path:?} is no regular file; a folder wants a trailing `/`)"),
            });
        }
        let path = path.to_owned();
        let stream = futures::StreamExt::map(
            ReaderStream::with_capacity(tokio::fs::File::from_std(file), CHUNK),
            move |chunk: io::Result<_>| {
                chunk.map_err(|source| FetchError::Io { path: path.clone().into(), source })
            },
        );
        staging.write(name, Some(metadata.len()), Box::pin(stream)).await?;
        Ok(())
    }

    /// Every file below a folder, by path within the claim.
    fn list(&self, folder: &str) -> Result<Vec<String>, FetchError> {
        let mut files = Vec::new();
        let mut folders = vec![(folder.to_owned(), 0)];
        while let Some((folder, depth)) = folders.pop() {
            let io = |error: rustix::io::Errno| FetchError::Io {
                path: folder.clone().into(),
                source: error.into(),
            };
            let handle = self.open(&folder, OFlags::DIRECTORY)?;
            for entry in Dir::new(handle).map_err(io)? {
                let entry = entry.map_err(io)?;
                let name = entry.file_name().to_str().map_err(|_| FetchError::UnsafePath {
                    uri: self.uri.to_owned(),
                    path: entry.file_name().to_string_lossy().into_owned(),
                    why: "it is not UTF-8",
                })?;
                // `lost+found` belongs to the file system, and is unreadable for everyone but root.
                if matches!(name, "." | ".." | "lost+found") {
                    continue;
                }
                let path = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
                let kind = match entry.file_type() {
                    // Some file systems do not say it in their listings.
                    FileType::Unknown => {
                        let stat = rustix::fs::fstat(self.open(&path, OFlags::RDONLY)?).map_err(io)?;
                        FileType::from_raw_mode(stat.st_mode)
                    }
                    kind => kind,
                };
                match kind {
                    FileType::Directory if depth < MAX_DEPTH => folders.push((path, depth + 1)),
                    FileType::Directory => {
                        return Err(FetchError::UnsafePath {
                            uri: self.uri.to_owned(),
                            path,
                            why: "folders are more than 16 levels deep",
                        });
                    }
                    _ => files.push(path),
                }
                if files.len() + folders.len() > MAX_FILES {
                    return Err(FetchError::TooManyFiles { uri: self.uri.to_owned(), limit: MAX_FILES });
                }
            }
        }
        files.sort();
        Ok(files)
    }
}
