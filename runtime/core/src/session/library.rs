//! Where ONNX Runtime's shared library is. In goes the environment; out comes a path. Needs no client.

use std::{
    ffi::OsString,
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
}
