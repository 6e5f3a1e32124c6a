//! What an artifact says about its model, beside the model's own files: read from an artifact that Modelwright made
//! earlier, written into the one that is made now.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use modelwright_contract::artifact::{
    DESCRIPTION_FILE, Description, GOLDEN_FILE, GoldenSamples, METADATA_DIRECTORY,
};
use serde::{Serialize, de::DeserializeOwned};

use super::{error::PublishError, prove::Proof};

/// Most bytes of one metadata file.
const MAX_BYTES: u64 = 64 * 1024 * 1024;
/// Most metrics, and the longest name and value, that an import brings along.
const MAX_METRICS: usize = 64;
const MAX_METRIC_BYTES: usize = 64;

/// Brings the samples of an earlier artifact along, to be replayed, and gives its metrics. Metadata of another model
/// is refused.
pub fn bring(from: &Path, to: &Path, model_digest: &str) -> Result<BTreeMap<String, String>, PublishError> {
    let target = metadata(to, GOLDEN_FILE);
    fs::create_dir_all(to.join(METADATA_DIRECTORY)).map_err(PublishError::io(&target))?;
    let Some(description) = read::<Description>(from, DESCRIPTION_FILE)? else { return Ok(BTreeMap::new()) };
    let inconsistent = |why: String| PublishError::Inconsistent { file: DESCRIPTION_FILE, why };
    if description.model_digest != model_digest {
        return Err(inconsistent(format!(
            "it describes the model {}, and these files are {model_digest}",
            description.model_digest.chars().take(64).collect::<String>()
        )));
    }
    let fits =
        |text: &String| (1..=MAX_METRIC_BYTES).contains(&text.len()) && !text.chars().any(char::is_control);
    let metrics = description.metrics;
    if metrics.len() > MAX_METRICS || !metrics.iter().all(|(name, value)| fits(name) && is_decimal(value)) {
        return Err(inconsistent(format!(
            "expected at most {MAX_METRICS} metrics with names of at most {MAX_METRIC_BYTES} bytes and decimal values"
        )));
    }
    if let Some(golden) = read::<GoldenSamples>(from, GOLDEN_FILE)? {
        write_json(&target, &golden)?;
    }
    Ok(metrics)
}

/// Describes a proven model.
pub fn describe(
    model_digest: &str,
    opset: i64,
    proof: &Proof,
    metrics: BTreeMap<String, String>,
) -> Description {
    Description { model_digest: model_digest.to_owned(), opset, signature: proof.signature.clone(), metrics }
}

/// Writes what is known about a model into its folder.
pub fn write(folder: &Path, description: &Description, golden: &GoldenSamples) -> Result<(), PublishError> {
    write_json(&metadata(folder, DESCRIPTION_FILE), description)?;
    write_json(&metadata(folder, GOLDEN_FILE), golden)
}

/// The samples that a folder brought, if any.
pub fn golden(folder: &Path) -> Result<Option<GoldenSamples>, PublishError> {
    read(folder, GOLDEN_FILE)
}

fn metadata(folder: &Path, name: &str) -> PathBuf {
    folder.join(METADATA_DIRECTORY).join(name)
}

fn read<T: DeserializeOwned>(folder: &Path, name: &'static str) -> Result<Option<T>, PublishError> {
    let path = metadata(folder, name);
    let inconsistent = |why: String| PublishError::Inconsistent { file: name, why };
    match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(PublishError::io(path)(error)),
        Ok(metadata) if !metadata.is_file() => return Err(inconsistent("it is no regular file".to_owned())),
        Ok(metadata) if metadata.len() > MAX_BYTES => {
            return Err(inconsistent(format!(
                "it has {} bytes, at most {MAX_BYTES} are read",
                metadata.len()
            )));
        }
        Ok(_) => {}
    }
    let text = fs::read(&path).map_err(PublishError::io(path))?;
    serde_json::from_slice(&text).map(Some).map_err(|error| inconsistent(error.to_string()))
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), PublishError> {
    // All keys are strings, and that is the only thing that could fail.
    let text = serde_json::to_vec(value).unwrap_or_default();
    fs::write(path, text).map_err(PublishError::io(path))
}

fn is_decimal(text: &str) -> bool {
    text.len() <= MAX_METRIC_BYTES && text.parse::<f64>().is_ok_and(f64::is_finite)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn brought(description: &str) -> Result<BTreeMap<String, String>, PublishError> {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(from.path().join("modelwright")).unwrap();
        fs::write(from.path().join("modelwright/description.json"), description).unwrap();
        bring(from.path(), to.path(), "abc")
    }

    fn description(digest: &str, metrics: &str) -> String {
        let signature = r#"{"inputs": [], "outputs": []}"#;
        format!(
            r#"{{"modelDigest": "{digest}", "opset": 21, "signature": {signature}, "metrics": {metrics}}}"#
        )
    }

    #[test]
    fn the_metrics_of_an_artifact_are_kept() {
        let metrics = brought(&description("abc", r#"{"Accuracy": "0.97"}"#)).unwrap();
        assert_eq!(metrics, BTreeMap::from([("Accuracy".to_owned(), "0.97".to_owned())]));
    }

    #[test]
    fn metadata_of_another_model_or_without_sense_is_refused() {
        for text in [
            description("def", "{}"),
            description("abc", r#"{"Accuracy": "high"}"#),
            description("abc", r#"{"": "1"}"#),
            "{".to_owned(),
        ] {
            assert_eq!(brought(&text).unwrap_err().reason(), "InconsistentArtifact", "{text}");
        }
    }

    #[test]
    fn a_bare_model_brings_nothing() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        assert!(bring(from.path(), to.path(), "abc").unwrap().is_empty());
        assert!(golden(to.path()).unwrap().is_none());
    }
}
