//! What `prove` leaves and `publish` takes: the artifact's files in a folder, and beside them what is known of them. Whoever
//! runs a model may have written all of it, and whoever reads it holds the store's Secret: no link is followed, and what is
//! stored are the very bytes whose digests stand there. Needs no network.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Component, Path},
};

use modelwright_contract::{
    artifact::{GoldenSource, MODEL_FILE},
    rows::RowIndependence,
    signature::Signature,
    size::Size,
    training::TrainReport,
    variants::VariantReport,
};
use serde::{Deserialize, Serialize};

use super::error::PublishError;
use crate::store::pack;
use modelwright_core::digest::{self, FileDigest};

/// The folder of the artifact's files in a proof.
pub const FILES: &str = "files";
/// What is known of them.
const PASSED_FILE: &str = "proof.json";
const MAX_BYTES: u64 = 64 * 1024 * 1024;
/// Most files of an artifact.
const MAX_FILES: usize = 10_000;

/// A model that has passed.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Passed {
    /// The artifact's files by relative path.
    pub files: BTreeMap<String, FileDigest>,
    /// Digest of the model's files.
    pub model_digest: String,
    /// Operator set of the default domain.
    pub opset: i64,
    pub signature: Signature,
    pub golden_count: u32,
    pub golden_tolerance: String,
    pub golden_source: GoldenSource,
    /// Outputs that are made of random numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub golden_random: Vec<String>,
    /// Whether requests may share runs of it.
    pub row_independence: RowIndependence,
    pub metrics: BTreeMap<String, String>,
    /// What it takes to load and to run.
    pub size: Option<Size>,
    pub train: Option<TrainReport>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<VariantReport>,
}

impl Passed {
    /// Lets a folder with the files appear at `proof`, whole or not at all, instead of one from an earlier try.
    pub fn leave(&self, folder: &Path, proof: &Path) -> Result<(), PublishError> {
        let path = folder.join(PASSED_FILE);
        let text = serde_json::to_vec(self).map_err(io::Error::other);
        text.and_then(|text| fs::write(&path, text)).map_err(PublishError::io(&path))?;
        match fs::remove_dir_all(proof) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(PublishError::io(proof)(error));
            }
            _ => {}
        }
        fs::rename(folder, proof).map_err(PublishError::io(proof))
    }

    /// Reads what was left, and proves that the files are those.
    pub fn find(proof: &Path) -> Result<Self, PublishError> {
        let unproven = |why: String| PublishError::Unproven { path: proof.to_owned(), why };
        let passed: Self = serde_json::from_slice(&read(proof).map_err(unproven)?)
            .map_err(|error| unproven(format!("its {PASSED_FILE} cannot be read: {error}")))?;
        if passed.files.len() > MAX_FILES || !passed.files.contains_key(MODEL_FILE) {
            return Err(unproven(format!(
                "it lists {} files; expected {MODEL_FILE} among at most {MAX_FILES}",
                passed.files.len()
            )));
        }
        for (file, expected) in &passed.files {
            check(proof, file).map_err(unproven)?;
            let actual = digest::hash_file(&proof.join(FILES).join(file))?;
            if actual != *expected {
                return Err(unproven(format!(
                    "{file} has the SHA-256 {}, and {} was proven",
                    actual.sha256, expected.sha256
                )));
            }
        }
        let actual = pack::model_digest(&passed.files);
        if actual != passed.model_digest {
            return Err(unproven(format!(
                "its files have the model digest {actual}, and {:?} is said",
                passed.model_digest.chars().take(64).collect::<String>()
            )));
        }
        Ok(passed)
    }
}

fn read(proof: &Path) -> Result<Vec<u8>, String> {
    let path = proof.join(PASSED_FILE);
    let cannot = |error: io::Error| format!("its {PASSED_FILE} cannot be read: {error}");
    is_folder(proof)?;
    let metadata = fs::symlink_metadata(&path).map_err(cannot)?;
    if !metadata.is_file() || metadata.len() > MAX_BYTES {
        return Err(format!("its {PASSED_FILE} is no ordinary file of at most {MAX_BYTES} bytes"));
    }
    fs::read(&path).map_err(cannot)
}

/// Whether a file lies where its path says, and nowhere else.
fn check(proof: &Path, file: &str) -> Result<(), String> {
    let mut path = proof.join(FILES);
    is_folder(&path)?;
    let parts: Vec<_> = Path::new(file).components().collect();
    let plain = parts.iter().all(|part| matches!(part, Component::Normal(_)));
    let Some((name, folders)) = parts.split_last().filter(|_| plain) else {
        return Err(format!("{file:?} is no path inside it"));
    };
    for folder in folders {
        path.push(folder);
        is_folder(&path)?;
    }
    path.push(name);
    match fs::symlink_metadata(&path) {
        Ok(metadata) if metadata.is_file() => Ok(()),
        Ok(_) => Err(format!("{file} is no ordinary file")),
        Err(error) => Err(format!("{file} cannot be read: {error}")),
    }
}

fn is_folder(path: &Path) -> Result<(), String> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(format!("{} is no ordinary folder", path.display())),
        Err(error) => Err(format!("{} cannot be read: {error}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::{os::unix::fs::symlink, path::PathBuf};

    use super::*;

    /// A proof of two files, one of them in a folder.
    fn proven(folder: &Path) -> PathBuf {
        let made = folder.join("made");
        fs::create_dir_all(made.join(FILES).join("weights")).unwrap();
        fs::write(made.join(FILES).join(MODEL_FILE), "graph").unwrap();
        fs::write(made.join(FILES).join("weights/w"), "weights").unwrap();
        let files =
            super::super::files::hash(&made.join(FILES), [MODEL_FILE.to_owned(), "weights/w".to_owned()])
                .unwrap();
        let passed = Passed {
            model_digest: pack::model_digest(&files),
            files,
            opset: 21,
            signature: Signature { inputs: Vec::new(), outputs: Vec::new(), optional_inputs: Vec::new() },
            golden_count: 1,
            golden_tolerance: "0.001".to_owned(),
            golden_source: GoldenSource::Synthetic,
            golden_random: Vec::new(),
            row_independence: RowIndependence::yes(),
            metrics: BTreeMap::new(),
            size: None,
            train: None,
            variants: Vec::new(),
        };
        let proof = folder.join("proof");
        passed.leave(&made, &proof).unwrap();
        proof
    }

    #[test]
    fn what_is_left_is_found_and_an_earlier_one_gives_way() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Passed::find(&proven(folder.path())).unwrap().files.len(), 2);
        let proof = proven(folder.path());
        assert_eq!(Passed::find(&proof).unwrap().opset, 21);
    }

    #[test]
    fn a_proof_that_leads_elsewhere_or_says_something_else_is_refused() {
        type Change = fn(&Path, &Path);
        let changes: [(&str, Change); 8] = [
            ("no ordinary file", |proof, secret| {
                fs::remove_file(proof.join("files/model.onnx")).unwrap();
                symlink(secret, proof.join("files/model.onnx")).unwrap();
            }),
            ("no ordinary folder", |proof, secret| {
                fs::remove_dir_all(proof.join("files/weights")).unwrap();
                symlink(secret.parent().unwrap(), proof.join("files/weights")).unwrap();
            }),
            ("no ordinary folder", |proof, _| {
                fs::rename(proof.join("files"), proof.join("elsewhere")).unwrap();
                symlink(proof.join("elsewhere"), proof.join("files")).unwrap();
            }),
            ("no ordinary file", |proof, _| {
                fs::rename(proof.join("proof.json"), proof.join("elsewhere")).unwrap();
                symlink(proof.join("elsewhere"), proof.join("proof.json")).unwrap();
            }),
            ("no path inside it", |proof, _| replace(proof, "weights/w", "../w")),
            ("no path inside it", |proof, _| replace(proof, "weights/w", "/etc/w")),
            ("was proven", |proof, _| fs::write(proof.join("files/model.onnx"), "other").unwrap()),
            ("is said", |proof, _| replace(proof, "\"modelDigest\":\"", "\"modelDigest\":\"0")),
        ];
        for (part, change) in changes {
            let folder = tempfile::tempdir().unwrap();
            let secret = folder.path().join("secret");
            fs::write(&secret, "graph").unwrap();
            let proof = proven(folder.path());
            change(&proof, &secret);
            let error = Passed::find(&proof).unwrap_err();
            assert_eq!((error.reason(), error.is_transient()), ("Unproven", false), "{error}");
            assert!(error.to_string().contains(part), "{part:?} is missing in: {error}");
        }
    }

    fn replace(proof: &Path, from: &str, to: &str) {
        let path = proof.join("proof.json");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from));
        fs::write(path, text.replace(from, to)).unwrap();
    }
}
