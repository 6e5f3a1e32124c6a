//! What `train` left, and what is asked of it. In go its folder and a judgement; out come the files to prove the model
//! with, and at the end its quality, or every gate that it missed. The trainer's own report decides nothing: it is kept
//! for people, and where it claims other metrics than were measured, the log says so.

use std::{
    fs,
    path::{Path, PathBuf},
};

use modelwright_contract::{
    artifact::MODEL_FILE,
    training::{
        CALIBRATION_FILE, EVALUATION_FILE, Judgement, Metric, REPORT_FILE, SHAREABLE_FILE, Task,
        TrainingReport,
    },
};

use super::{
    error::{PublishError, Refusal},
    metadata::{self, MAX_EVALUATION_BYTES, MAX_TRAINING_REPORT_BYTES, Quality},
    prove::Rows,
};
use crate::evaluation::{
    Evaluation,
    gates::{self, Bounds, Missed},
};

/// Largest difference between a claimed and a measured metric that is not worth a word: of a share, of 1; of an error,
/// which has any scale, of what is claimed.
const TOLERANCE: f64 = 1e-3;
/// Most names of files in a message.
const MAX_NAMES: usize = 10;

#[derive(Debug)]
pub struct Training {
    task: Task,
    gates: Vec<Bounds>,
    directory: PathBuf,
    evaluation: PathBuf,
    report: Option<(PathBuf, TrainingReport)>,
}

impl Training {
    /// Finds what `train` had to leave. Links are not followed: the folder belongs to somebody else's program, and this
    /// container has the store's credentials.
    pub fn find(directory: &Path, judgement: &Judgement) -> Result<Self, PublishError> {
        let gates = gates::read(judgement)
            .map_err(|why| PublishError::InvalidConfig { field: "training.gates", why })?;
        let is_folder = fs::symlink_metadata(directory).is_ok_and(|metadata| metadata.is_dir());
        if !is_folder || !is_file(&directory.join(MODEL_FILE)) {
            return Err(PublishError::refused(
                Refusal::NoModel,
                format!(
                    "train ended well and left no model: the file {} was expected, and {}. Write the model there (the \
                     folder is `output` of the run's config)",
                    directory.join(MODEL_FILE).display(),
                    found(directory, is_folder)
                ),
            ));
        }
        let evaluation = directory.join(EVALUATION_FILE);
        if !is_file(&evaluation) {
            return Err(PublishError::refused(
                Refusal::InvalidEvaluation,
                format!(
                    "train left no test part to judge the model on: the file {} was expected, and {}. Write it with \
                     numpy.savez: `inputs/NAME` for each input of the graph, `labels`, and for a classification \
                     `classes`",
                    evaluation.display(),
                    found(directory, true)
                ),
            ));
        }
        let report = read_report(&directory.join(REPORT_FILE));
        Ok(Self { task: judgement.task, gates, directory: directory.to_owned(), evaluation, report })
    }

    /// What the model is tried on.
    pub fn test(&self) -> (PathBuf, Task) {
        (self.evaluation.clone(), self.task)
    }

    pub fn task(&self) -> Task {
        self.task
    }

    /// Holds the model against its gates, and gives its quality.
    pub fn judge(&self, evaluation: &Evaluation) -> Result<Quality, PublishError> {
        if evaluation.differing > 0 {
            tracing::warn!(
                rows = evaluation.differing,
                of = evaluation.rows,
                "train had other answers to some rows"
            );
        }
        for (metric, why) in &evaluation.without {
            tracing::warn!(metric = metric.name(), why, "a metric cannot be computed");
        }
        if let Some((_, report)) = &self.report {
            for (metric, measured) in &evaluation.metrics {
                let Some(claimed) = report.metrics.get(metric.name()) else { continue };
                let measured = measured.get();
                let scale = match metric {
                    Metric::MeanSquaredError | Metric::MeanAbsoluteError | Metric::LogLoss => claimed.abs(),
                    _ => 1.0,
                };
                if (measured - *claimed).abs() > TOLERANCE * scale {
                    let metric = metric.name();
                    tracing::warn!(metric, claimed, measured, "the trainer's report differs");
                }
            }
        }
        gates::check(&self.gates, evaluation).map_err(|missed| match missed {
            Missed::Unknown(why) => PublishError::refused(Refusal::InvalidOutputs, why),
            Missed::Values(why) => PublishError::refused(Refusal::GateMissed, why),
        })?;
        let shown = |(metric, value): (&Metric, &crate::evaluation::Value)| {
            (metric.name().to_owned(), gates::shown(value.get()))
        };
        Ok(Quality {
            metrics: evaluation.metrics.iter().map(shown).collect(),
            confusion: evaluation.confusion.clone(),
            ..Quality::default()
        })
    }

    /// Keeps the report with the model, and if it is asked for the test part where it is small, so that the model can be
    /// judged again wherever it goes.
    pub fn keep(&self, folder: &Path, keep_evaluation: bool) -> Result<(), PublishError> {
        if let Some((report, _)) = &self.report {
            metadata::keep(report, folder, REPORT_FILE)?;
        }
        for (name, most) in metadata::KEPT {
            let file = self.directory.join(name);
            let Some(size) = regular_size(&file) else { continue };
            if size <= most {
                metadata::keep(&file, folder, name)?;
            } else {
                tracing::warn!(
                    name,
                    size,
                    most,
                    "a file of the training is too large to stay with the model"
                );
            }
        }
        if !keep_evaluation {
            return Ok(());
        }
        let size = fs::metadata(&self.evaluation).map_err(PublishError::io(&self.evaluation))?.len();
        if size <= MAX_EVALUATION_BYTES {
            metadata::keep(&self.evaluation, folder, EVALUATION_FILE)?;
        } else {
            tracing::info!(
                size,
                most = MAX_EVALUATION_BYTES,
                "the test part is too large to stay with the model"
            );
        }
        Ok(())
    }
}

/// What golden samples are recorded of: what is no secret, rows of the test part only where those are kept, else what is no
/// row at all.
pub fn rows(directory: &Path, keep_evaluation: bool) -> Rows {
    let (shareable, calibration) = (directory.join(SHAREABLE_FILE), directory.join(CALIBRATION_FILE));
    if is_file(&shareable) {
        Rows::Shareable(shareable)
    } else if keep_evaluation {
        Rows::Test
    } else if is_file(&calibration) {
        Rows::Quantiles(calibration)
    } else {
        Rows::None
    }
}

/// The trainer's report, if it is one. Nothing depends on it, so that a broken one is only left out.
fn read_report(path: &Path) -> Option<(PathBuf, TrainingReport)> {
    let metadata = fs::symlink_metadata(path).ok()?;
    let why = if !metadata.is_file() {
        "it is no regular file".to_owned()
    } else if metadata.len() > MAX_TRAINING_REPORT_BYTES {
        format!("it has {} bytes, and at most {MAX_TRAINING_REPORT_BYTES} are kept", metadata.len())
    } else {
        let text = fs::read(path).map_err(|error| error.to_string());
        match text.and_then(|text| serde_json::from_slice(&text).map_err(|error| error.to_string())) {
            Ok(report) => return Some((path.to_owned(), report)),
            Err(why) => why,
        }
    };
    tracing::warn!(why, "the trainer's {REPORT_FILE} is left out");
    None
}

fn is_file(path: &Path) -> bool {
    regular_size(path).is_some()
}

/// Bytes of a regular file, if there is one.
fn regular_size(path: &Path) -> Option<u64> {
    fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file).map(|metadata| metadata.len())
}

/// What is in the folder, in a sentence.
fn found(directory: &Path, is_folder: bool) -> String {
    if !is_folder {
        return "the folder is missing".to_owned();
    }
    let Ok(entries) = fs::read_dir(directory) else { return "the folder cannot be read".to_owned() };
    let mut names: Vec<String> = entries
        .filter_map(Result::ok)
        .map(|entry| {
            let name: String = entry.file_name().to_string_lossy().chars().take(80).collect();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => format!("{name}/"),
                Ok(kind) if kind.is_symlink() => format!("{name} (a link, which is not followed)"),
                _ => name,
            }
        })
        .collect();
    if names.is_empty() {
        return "the folder is empty".to_owned();
    }
    names.sort();
    if names.len() > MAX_NAMES {
        let more = names.len() - MAX_NAMES;
        names.truncate(MAX_NAMES);
        names.push(format!("{more} more"));
    }
    format!("the folder holds {}", names.join(", "))
}
