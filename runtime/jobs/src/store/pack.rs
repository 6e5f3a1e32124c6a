//! Turns a model's files into a manifest, the same one for the same files: no times, no names, sorted. In go digests of
//! files; out come the manifest's bytes. Needs no network.

use std::collections::BTreeMap;

use modelwright_contract::artifact::{METADATA_DIRECTORY, digest_line};
use sha2::{Digest, Sha256};

use super::manifest::{
    self, Descriptor, FILE_PATH, MODEL_ARTIFACT, MODEL_CONFIG, MODEL_DIGEST, Manifest, ModelConfig,
    ModelFiles, ModelFormat, TITLE,
};
use modelwright_core::digest::{FileDigest, hex};

/// What paths of variants begin with.
const VARIANTS: &str = "modelwright/variants/";

/// An artifact, ready to be pushed.
#[derive(Debug)]
pub struct Packed {
    pub manifest: Vec<u8>,
    /// Its SHA-256 in hex.
    pub sha256: String,
    pub config: Vec<u8>,
    /// Its SHA-256 in hex.
    pub config_sha256: String,
    /// The files by relative path.
    pub files: BTreeMap<String, FileDigest>,
}

impl Packed {
    pub fn size(&self) -> u64 {
        self.files.values().fold(0, |sum, file| sum.saturating_add(file.size_bytes))
    }

    /// The digest of all files as a folder: of their sorted list, Modelwright's own included. It is the artifact's where
    /// no manifest is kept.
    pub fn folder_digest(&self) -> String {
        list_digest(self.files.iter())
    }

    /// The tag that keeps a registry's garbage collection off the artifact.
    pub fn tag(&self) -> String {
        let short: String = self.sha256.chars().take(32).collect();
        format!("sha256-{short}")
    }
}

/// The digest of a model: of the sorted list of its files, without Modelwright's own.
pub fn model_digest(files: &BTreeMap<String, FileDigest>) -> String {
    list_digest(files.iter().filter(|(path, _)| !is_metadata(path)))
}

fn list_digest<'a>(files: impl Iterator<Item = (&'a String, &'a FileDigest)>) -> String {
    let mut hash = Sha256::new();
    for (path, file) in files {
        hash.update(digest_line(path, &file.sha256));
    }
    hex(&hash.finalize())
}

/// Makes the manifest of hashed files.
pub fn pack(files: BTreeMap<String, FileDigest>) -> Packed {
    let sha256 = |file: &FileDigest| format!("sha256:{}", file.sha256);
    let config = ModelConfig {
        descriptor: BTreeMap::new(),
        config: ModelFormat { format: "onnx".to_owned() },
        modelfs: ModelFiles { kind: "layers".to_owned(), diff_ids: files.values().map(sha256).collect() },
    };
    let config = json(&config);
    let config_sha256 = hex(&Sha256::digest(&config));
    let layers = files.iter().map(|(path, file)| Descriptor {
        media_type: if is_document(path) { manifest::DOCUMENT } else { manifest::WEIGHT }.to_owned(),
        digest: sha256(file),
        size: file.size_bytes,
        annotations: BTreeMap::from([(FILE_PATH.to_owned(), path.clone()), (TITLE.to_owned(), path.clone())]),
    });
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(manifest::MANIFEST.to_owned()),
        artifact_type: Some(MODEL_ARTIFACT.to_owned()),
        config: Descriptor {
            media_type: MODEL_CONFIG.to_owned(),
            digest: format!("sha256:{config_sha256}"),
            size: config.len() as u64,
            annotations: BTreeMap::new(),
        },
        layers: layers.collect(),
        annotations: BTreeMap::from([(MODEL_DIGEST.to_owned(), format!("sha256:{}", model_digest(&files)))]),
    };
    let manifest = json(&manifest);
    Packed { sha256: hex(&Sha256::digest(&manifest)), manifest, config, config_sha256, files }
}

fn is_metadata(path: &str) -> bool {
    path.split('/').next() == Some(METADATA_DIRECTORY)
}

/// Whether a file says something of a model, its own or a variant's, and is no part of either.
fn is_document(path: &str) -> bool {
    let variant = path.strip_prefix(VARIANTS).and_then(|path| path.split_once('/'));
    variant.map_or_else(|| is_metadata(path), |(_, path)| is_metadata(path))
}

fn json(value: &impl serde::Serialize) -> Vec<u8> {
    // All keys are strings, and that is the only thing that could fail.
    serde_json::to_vec(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn file(content: &str) -> FileDigest {
        FileDigest { sha256: hex(&Sha256::digest(content)), size_bytes: content.len() as u64 }
    }

    #[test]
    fn equal_files_give_an_equal_manifest_and_metadata_does_not_touch_the_model_digest() {
        let bare = BTreeMap::from([("model.onnx".to_owned(), file("m")), ("w.bin".to_owned(), file("w"))]);
        let mut described = bare.clone();
        described.insert("modelwright/golden.json".to_owned(), file("g"));
        assert_eq!(pack(bare.clone()).manifest, pack(bare.clone()).manifest);
        assert_ne!(pack(bare.clone()).sha256, pack(described.clone()).sha256);
        assert_eq!(model_digest(&bare), model_digest(&described));
        // printf '%s  model.onnx\n%s  w.bin\n' $(printf m | sha256sum) $(printf w | sha256sum), hashed once more
        let list = format!("{}  model.onnx\n{}  w.bin\n", file("m").sha256, file("w").sha256);
        assert_eq!(model_digest(&bare), hex(&Sha256::digest(list)));
    }

    #[test]
    fn the_manifest_of_a_known_folder_never_changes() {
        let files = BTreeMap::from([
            ("model.onnx".to_owned(), file("graph")),
            ("modelwright/description.json".to_owned(), file("{}")),
        ]);
        let packed = pack(files);
        assert_eq!(String::from_utf8(packed.config).unwrap(), include_str!("golden/config.json").trim_end());
        assert_eq!(
            String::from_utf8(packed.manifest).unwrap(),
            include_str!("golden/manifest.json").trim_end()
        );
    }
}
