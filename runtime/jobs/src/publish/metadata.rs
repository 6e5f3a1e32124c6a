//! What an artifact says about its model, beside the model's own files: read from an artifact that Modelwright made
//! earlier, written into the one that is made now.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use modelwright_contract::artifact::{
    Confusion, DESCRIPTION_FILE, Description, GOLDEN_FILE, GoldenSamples, GoldenSource, MAX_GOLDEN_BYTES,
    METADATA_DIRECTORY,
};
use modelwright_contract::signature::{Classes, MAX_LABELS as MAX_LABELS_TOLD};
use modelwright_contract::training::{CURVES_FILE, EVALUATION_FILE, REPORT_FILE, VARIABLES_FILE};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    error::{PublishError, Refusal},
    prove::Proof,
};

/// Most bytes of one metadata file.
const MAX_BYTES: u64 = 64 * 1024 * 1024;
/// Most metrics, and the longest name and value, that an import brings along.
pub const MAX_METRICS: usize = 64;
pub const MAX_METRIC_BYTES: usize = 64;
/// Most labels of a confusion matrix that an import brings along, and the longest.
const MAX_LABELS: usize = 100;
const MAX_LABEL_BYTES: usize = 512;
/// Most bytes of a trainer's report.
pub const MAX_TRAINING_REPORT_BYTES: u64 = 1024 * 1024;
/// Most bytes of a test part that stays with its model.
pub const MAX_EVALUATION_BYTES: u64 = 16 * 1024 * 1024;

/// What else of a training stays with its model, as it is: the file, and its most bytes.
pub const KEPT: [(&str, u64); 2] = [(VARIABLES_FILE, 2 * 1024 * 1024 * 1024), (CURVES_FILE, 1024 * 1024)];

/// What is known of how good a model is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quality {
    /// Metrics by name, as decimal strings.
    pub metrics: BTreeMap<String, String>,
    /// What was answered to which truth.
    pub confusion: Option<Confusion>,
    /// Classes of outputs, of an artifact that names them.
    pub classes: BTreeMap<String, Classes>,
}

/// Brings along what an earlier artifact says about its training, and its samples, to be replayed; its test part only if it
/// is to be kept. Metadata of another model is refused.
pub fn bring(
    from: &Path,
    to: &Path,
    model_digest: &str,
    keep_evaluation: bool,
) -> Result<Quality, PublishError> {
    let target = metadata(to, GOLDEN_FILE);
    let Some(description) = read::<Description>(from, DESCRIPTION_FILE, MAX_BYTES)? else {
        provide(from, &target)?;
        return Ok(Quality::default());
    };
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
    let square = |confusion: &Confusion| {
        let labels = confusion.labels.len();
        labels <= MAX_LABELS
            && confusion.labels.iter().all(|label| label.len() <= MAX_LABEL_BYTES)
            && confusion.counts.len() == labels
            && confusion.counts.iter().all(|row| row.len() == labels)
    };
    if !description.confusion.as_ref().is_none_or(square) {
        return Err(inconsistent(format!("expected a confusion matrix of at most {MAX_LABELS} labels")));
    }
    if let Some(golden) = read::<GoldenSamples>(from, GOLDEN_FILE, MAX_GOLDEN_BYTES)? {
        write_json(&target, &golden)?;
    }
    let limits = [(REPORT_FILE, MAX_TRAINING_REPORT_BYTES), (EVALUATION_FILE, MAX_EVALUATION_BYTES)];
    for (name, most) in limits.into_iter().chain(KEPT) {
        if (name != EVALUATION_FILE || keep_evaluation) && present(&metadata(from, name), name, most)? {
            keep(&metadata(from, name), to, name)?;
        }
    }
    let outputs = description.signature.outputs.into_iter();
    let classes =
        outputs.filter_map(|output| Some((output.name, output.classes?.shortened(MAX_LABELS_TOLD))));
    Ok(Quality { metrics, confusion: description.confusion, classes: classes.collect() })
}

/// Takes over the samples that somebody made for a bare model.
fn provide(from: &Path, target: &Path) -> Result<(), PublishError> {
    match read::<GoldenSamples>(from, GOLDEN_FILE, MAX_GOLDEN_BYTES) {
        Ok(None) => Ok(()),
        Ok(Some(samples)) => write_json(target, &GoldenSamples { source: GoldenSource::Provided, ..samples }),
        Err(PublishError::Inconsistent { why, .. }) => Err(PublishError::refused(
            Refusal::GoldenMismatch,
            format!(
                "the golden samples beside the model ({METADATA_DIRECTORY}/{GOLDEN_FILE}) cannot be read: {why}; expected \
                 {{\"samples\": [{{\"inputs\": [{{\"name\", \"datatype\", \"shape\", \"data\"}}]}}]}} (docs: sources)"
            ),
        )),
        Err(error) => Err(error),
    }
}

/// Puts a file of the training among the metadata, as it is.
pub fn keep(file: &Path, folder: &Path, name: &str) -> Result<(), PublishError> {
    let target = metadata(folder, name);
    fs::hard_link(file, &target)
        .or_else(|_| fs::copy(file, &target).map(drop))
        .map_err(PublishError::io(target))
}

/// The metadata files that a folder holds, by path.
pub fn files(folder: &Path) -> Vec<String> {
    [DESCRIPTION_FILE, GOLDEN_FILE, REPORT_FILE, EVALUATION_FILE]
        .into_iter()
        .chain(KEPT.map(|(name, _)| name))
        .filter(|name| metadata(folder, name).is_file())
        .map(|name| format!("{METADATA_DIRECTORY}/{name}"))
        .collect()
}

pub fn describe(model_digest: &str, opset: i64, proof: &Proof, quality: Quality) -> Description {
    let mut signature = proof.signature.clone();
    for output in &mut signature.outputs {
        output.classes = quality.classes.get(&output.name).cloned().or(output.classes.take());
    }
    Description {
        model_digest: model_digest.to_owned(),
        opset,
        signature,
        metrics: quality.metrics,
        confusion: quality.confusion,
    }
}

/// Writes what is known about a model into its folder.
pub fn write(folder: &Path, description: &Description, golden: &GoldenSamples) -> Result<(), PublishError> {
    write_json(&metadata(folder, DESCRIPTION_FILE), description)?;
    write_golden(&metadata(folder, GOLDEN_FILE), golden, MAX_GOLDEN_BYTES)
}

fn write_golden(path: &Path, golden: &GoldenSamples, most: u64) -> Result<(), PublishError> {
    let text = json(golden);
    if text.len() as u64 > most {
        let count = golden.samples.len();
        return Err(PublishError::Refused {
            reason: Refusal::UnsupportedSignature,
            message: format!(
                "its golden samples ({count}) take {} bytes, and a serving pod reads at most {most}: its inputs or outputs \
                 are too large; export it for smaller ones, or bring a golden sample of smaller inputs",
                text.len()
            ),
        });
    }
    fs::write(path, text).map_err(PublishError::io(path))
}

/// The samples that a folder brought, if any.
pub fn golden(folder: &Path) -> Result<Option<GoldenSamples>, PublishError> {
    read(folder, GOLDEN_FILE, MAX_GOLDEN_BYTES)
}

fn metadata(folder: &Path, name: &str) -> PathBuf {
    folder.join(METADATA_DIRECTORY).join(name)
}

fn read<T: DeserializeOwned>(
    folder: &Path,
    name: &'static str,
    most: u64,
) -> Result<Option<T>, PublishError> {
    let path = metadata(folder, name);
    let inconsistent = |why: String| PublishError::Inconsistent { file: name, why };
    if !present(&path, name, most)? {
        return Ok(None);
    }
    let text = fs::read(&path).map_err(PublishError::io(path))?;
    serde_json::from_slice(&text).map(Some).map_err(|error| inconsistent(error.to_string()))
}

/// Whether a file is there; one that is something else or too large is refused.
fn present(path: &Path, name: &'static str, most: u64) -> Result<bool, PublishError> {
    let inconsistent = |why: String| PublishError::Inconsistent { file: name, why };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(PublishError::io(path)(error)),
        Ok(metadata) if !metadata.is_file() => Err(inconsistent("it is no regular file".to_owned())),
        Ok(metadata) if metadata.len() > most => {
            Err(inconsistent(format!("it has {} bytes, at most {most} are read", metadata.len())))
        }
        Ok(_) => Ok(true),
    }
}

pub fn write_json(path: &Path, value: &impl Serialize) -> Result<(), PublishError> {
    fs::write(path, json(value)).map_err(PublishError::io(path))
}

fn json(value: &impl Serialize) -> Vec<u8> {
    // All keys are strings, and that is the only thing that could fail.
    serde_json::to_vec(value).unwrap_or_default()
}

fn is_decimal(text: &str) -> bool {
    text.len() <= MAX_METRIC_BYTES && text.parse::<f64>().is_ok_and(f64::is_finite)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn brought(description: &str) -> Result<Quality, PublishError> {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(from.path().join("modelwright")).unwrap();
        fs::write(from.path().join("modelwright/description.json"), description).unwrap();
        bring(from.path(), to.path(), "abc", false)
    }

    fn description(digest: &str, metrics: &str) -> String {
        let signature = r#"{"inputs": [], "outputs": []}"#;
        format!(
            r#"{{"modelDigest": "{digest}", "opset": 21, "signature": {signature}, "metrics": {metrics}}}"#
        )
    }

    #[test]
    fn the_metrics_of_an_artifact_are_kept() {
        let metrics = brought(&description("abc", r#"{"Accuracy": "0.97"}"#)).unwrap().metrics;
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
        assert_eq!(bring(from.path(), to.path(), "abc", false).unwrap(), Quality::default());
        assert!(golden(to.path()).unwrap().is_none());
    }

    #[test]
    fn golden_samples_that_no_server_reads_are_refused_and_all_others_come_back() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(METADATA_DIRECTORY)).unwrap();
        let path = metadata(folder.path(), GOLDEN_FILE);
        let samples = GoldenSamples {
            source: GoldenSource::Synthetic,
            tolerance: "0.001".to_owned(),
            bounds: Vec::new(),
            random: Vec::new(),
            samples: Vec::new(),
        };
        let bytes = json(&samples).len() as u64;
        let error = write_golden(&path, &samples, bytes - 1).unwrap_err();
        assert_eq!(error.reason(), "UnsupportedSignature");
        assert!(error.to_string().contains(&format!("take {bytes} bytes")), "{error}");
        assert!(golden(folder.path()).unwrap().is_none(), "nothing is left");
        write_golden(&path, &samples, bytes).unwrap();
        assert_eq!(golden(folder.path()).unwrap(), Some(samples));
        // Spaces are JSON, too: what a server takes, an import of it takes.
        let text = [json(&golden(folder.path()).unwrap().unwrap()), vec![b' '; 65 * 1024 * 1024]].concat();
        fs::write(&path, text).unwrap();
        assert!(golden(folder.path()).unwrap().is_some());
    }
}
