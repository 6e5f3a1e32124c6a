//! What the tests of the runtime share: models and files, the programs of others, and a running server.
//!
//! The registry (CNCF Distribution) and the object store (versitygw) are the real ones: `tests/cluster/programs` builds
//! them. They are looked for in the folder that `MODELWRIGHT_BIN` names, then on the `PATH`; a test fails where they
//! are missing.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::new_without_default,
    clippy::return_self_not_must_use
)]

pub mod browser;
pub mod cgroup;
pub mod disk;
pub mod habits;
pub mod models;
pub mod npz;
pub mod onnx;
pub mod programs;
pub mod server;
pub mod serving;

use std::{fs, path::Path};

use sha2::{Digest, Sha256};
use tempfile::TempDir;

pub fn secret(keys: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (key, value) in keys {
        fs::write(folder.path().join(key), value).unwrap();
    }
    folder
}

pub fn sha256(content: impl AsRef<[u8]>) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

/// Every file below a folder, hidden ones too.
pub fn files(folder: &Path) -> Vec<String> {
    fn walk(folder: &Path, prefix: &str, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
            if entry.file_type().unwrap().is_dir() {
                walk(&entry.path(), &format!("{name}/"), found);
            } else {
                found.push(name);
            }
        }
    }
    let mut found = Vec::new();
    walk(folder, "", &mut found);
    found.sort();
    found
}
