//! Where ONNX Runtime's shared library is, and which version. In goes the environment; out comes a path. Needs no client.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use modelwright_contract::names::ONNXRUNTIME_ENV;

/// The version that the bindings are made for, and that the image holds.
pub const TESTED_VERSION: &str = "1.31.1";

const STEM: &str = "libonnxruntime.so";
const SYSTEM_FOLDER: &str = "/usr/lib/modelwright";

#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// The variable names nothing.
    #[error(
        "{ONNXRUNTIME_ENV}={} names no file; set it to libonnxruntime.so, which `pip install \
         onnxruntime=={TESTED_VERSION}` puts into site-packages/onnxruntime/capi/",
        path.display()
    )]
    Named { path: PathBuf },
    #[error(
        "ONNX Runtime is not found: set {ONNXRUNTIME_ENV} to libonnxruntime.so, which `pip install \
         onnxruntime=={TESTED_VERSION}` puts into site-packages/onnxruntime/capi/, or put it into one of {searched}"
    )]
    Nowhere { searched: String },
    /// It is something else, or for another machine.
    #[error(
        "{} is no ONNX Runtime that can be loaded: {why}; expected version {TESTED_VERSION} for this kind of machine \
         (`pip install onnxruntime=={TESTED_VERSION}`)",
        path.display()
    )]
    Unusable { path: PathBuf, why: String },
}

/// Finds the library: the environment variable, beside the executable, in its `../lib`, then the system's folder.
pub fn find(named: Option<OsString>, executable: Option<&Path>) -> Result<PathBuf, LibraryError> {
    if let Some(path) = named.filter(|path| !path.is_empty()).map(PathBuf::from) {
        return if path.is_file() { Ok(path) } else { Err(LibraryError::Named { path }) };
    }
    let folders = folders(executable);
    folders.iter().find_map(|folder| newest(folder)).ok_or_else(|| LibraryError::Nowhere {
        searched: folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", "),
    })
}

fn folders(executable: Option<&Path>) -> Vec<PathBuf> {
    let beside = executable.and_then(Path::parent);
    let mut folders = Vec::new();
    folders.extend(beside.map(Path::to_owned));
    folders.extend(beside.and_then(Path::parent).map(|parent| parent.join("lib")));
    folders.push(PathBuf::from(SYSTEM_FOLDER));
    folders
}

/// `libonnxruntime.so`, or else the last by name of those with a version behind it.
fn newest(folder: &Path) -> Option<PathBuf> {
    let plain = folder.join(STEM);
    if plain.is_file() {
        return Some(plain);
    }
    let versioned = |path: &PathBuf| {
        path.file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.strip_prefix(STEM).is_some_and(|rest| rest.starts_with('.')))
    };
    let mut found: Vec<PathBuf> =
        folder.read_dir().ok()?.flatten().map(|entry| entry.path()).filter(versioned).collect();
    found.sort();
    found.pop()
}

/// The library's version: the name of the ELF version that its symbols carry (`VERS_1.31.1`), else what its file name
/// says, else `unknown`. The C API has a call for it, which the bindings do not pass on.
pub fn version(path: &Path) -> String {
    let from_symbols =
        File::open(path).and_then(|mut file| dynamic_strings(&mut file)).ok().and_then(|strings| {
            strings
                .split(|byte| *byte == 0)
                .filter_map(|string| std::str::from_utf8(string).ok())
                .find_map(|string| string.strip_prefix("VERS_").map(str::to_owned))
        });
    let from_name = || {
        let name = path.canonicalize().ok()?.file_name()?.to_str()?.to_owned();
        Some(name.strip_prefix(STEM)?.strip_prefix('.')?.to_owned())
    };
    from_symbols.or_else(from_name).unwrap_or_else(|| "unknown".to_owned())
}

/// The string table of a 64-bit ELF file's dynamic symbols.
fn dynamic_strings(file: &mut File) -> io::Result<Vec<u8>> {
    const DYNAMIC_SYMBOLS: u64 = 11;
    const SECTION: u64 = 64;
    let mut header = [0; 64];
    file.read_exact(&mut header)?;
    if !header.starts_with(b"\x7fELF\x02\x01") {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let table = number(&header, 40, 8);
    let mut section = |index: u64| -> io::Result<[u8; 64]> {
        let mut section = [0; 64];
        file.seek(SeekFrom::Start(table.saturating_add(index * SECTION)))?;
        file.read_exact(&mut section)?;
        Ok(section)
    };
    for index in 0..number(&header, 60, 2) {
        let symbols = section(index)?;
        if number(&symbols, 4, 4) == DYNAMIC_SYMBOLS {
            let strings = section(number(&symbols, 40, 4))?;
            file.seek(SeekFrom::Start(number(&strings, 24, 8)))?;
            let mut text = Vec::new();
            file.take(number(&strings, 32, 8)).read_to_end(&mut text)?;
            return Ok(text);
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

/// A little-endian number inside an ELF structure.
fn number(bytes: &[u8], start: usize, length: usize) -> u64 {
    bytes.iter().skip(start).take(length).rev().fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;

    use super::*;

    #[test]
    fn the_variable_goes_first_and_must_name_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join("here.so");
        let error = find(Some(library.clone().into()), None).unwrap_err().to_string();
        assert!(
            error.contains("ORT_DYLIB_PATH=") && error.contains("pip install onnxruntime==1.31.1"),
            "{error}"
        );
        fs::write(&library, "").unwrap();
        assert_eq!(find(Some(library.clone().into()), None).unwrap(), library);
    }

    #[test]
    fn a_library_is_found_beside_the_executable_and_in_its_lib_folder() {
        let folder = tempfile::tempdir().unwrap();
        let executable = folder.path().join("bin/program");
        fs::create_dir_all(folder.path().join("bin")).unwrap();
        fs::create_dir_all(folder.path().join("lib")).unwrap();
        let far = folder.path().join("lib/libonnxruntime.so.1.31.1");
        fs::write(&far, "").unwrap();
        assert_eq!(find(None, Some(&executable)).unwrap(), far);
        let near = folder.path().join("bin/libonnxruntime.so");
        fs::write(&near, "").unwrap();
        assert_eq!(find(Some(OsString::new()), Some(&executable)).unwrap(), near);
    }

    #[test]
    fn the_error_for_no_library_names_the_variable_and_the_folders() {
        let error = LibraryError::Nowhere { searched: "/a, /b".to_owned() }.to_string();
        assert!(error.contains("set ORT_DYLIB_PATH") && error.contains("/a, /b"), "{error}");
    }

    #[test]
    fn the_version_falls_back_to_the_file_name() {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join("libonnxruntime.so.1.99.2");
        fs::write(&library, "no ELF").unwrap();
        assert_eq!(version(&library), "1.99.2");
        let other = folder.path().join("other.so");
        fs::write(&other, b"\x7fELF\x02\x01").unwrap();
        assert_eq!(version(&other), "unknown");
    }
}
