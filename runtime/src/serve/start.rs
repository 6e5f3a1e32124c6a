//! Brings a model up: check the digest, load, check the execution provider, replay golden samples, warm up. In go the
//! settings; out comes a model that answers, or why it must not.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use modelwright_contract::artifact::{GOLDEN_FILE, GoldenSamples, METADATA_DIRECTORY, MODEL_FILE};

use super::{
    about,
    settings::Settings,
    state::{Facts, Served},
    worker::Worker,
};
use crate::{
    digest::{self, DigestError},
    golden::{self, ReplayError},
    onnx::{self, OnnxError},
    report::Ending,
    session::{LoadError, Session, SessionOptions},
};

/// Largest file of golden samples.
const MAX_GOLDEN_BYTES: u64 = 256 * 1024 * 1024;

/// A model that is not served.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The file is refused before it is loaded.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    /// The files cannot be digested.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// Other files than those that were asked for.
    #[error(
        "the model's files have the digest {found}, expected {expected}; they were changed after they were fetched, or \
         the config names another version"
    )]
    DigestMismatch {
        /// As configured.
        expected: String,
        /// As found.
        found: String,
    },
    /// ONNX Runtime refuses the model.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The samples' file is none.
    #[error("{} holds no golden samples: {why}", path.display())]
    Golden {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The model does not answer as recorded.
    #[error(transparent)]
    Replay(Box<NotReproduced>),
    /// No thread.
    #[error("the model's thread cannot be started: {0}")]
    Thread(io::Error),
}

/// A model that answers other than recorded.
#[derive(Debug, thiserror::Error)]
#[error("{source} (provider {}, {machine})", facts.execution_provider)]
pub struct NotReproduced {
    /// What differs.
    source: ReplayError,
    /// The processor.
    machine: String,
    /// What was loaded, for `/status`.
    pub facts: Facts,
}

impl Ending for StartError {
    fn reason(&self) -> &'static str {
        match self {
            Self::Onnx(error) => error.reason(),
            Self::Digest(_) => "Unreadable",
            Self::DigestMismatch { .. } => "DigestMismatch",
            Self::Load(error) => error.reason(),
            Self::Golden { .. } => "GoldenSamplesUnreadable",
            Self::Replay(_) => "GoldenSampleMismatch",
            Self::Thread(_) => "OutOfThreads",
        }
    }

    fn is_transient(&self) -> bool {
        matches!(self, Self::Thread(_))
    }
}

/// Checks the files' digest, and gives it. A single file counts as the `model.onnx` that it would be in an artifact.
pub fn check_digest(settings: &Settings) -> Result<String, StartError> {
    let found = if settings.path.is_dir() {
        onnx::preflight(&settings.path)?;
        digest::model_files(&settings.path)?.digest
    } else {
        let folder = settings.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let graph = settings.path.file_name().and_then(|name| name.to_str()).unwrap_or(MODEL_FILE);
        let in_artifact = |file: &str| if file == graph { MODEL_FILE.to_owned() } else { file.to_owned() };
        let files: BTreeMap<String, PathBuf> = onnx::judge(folder, graph)?
            .files
            .iter()
            .map(|file| (in_artifact(file), folder.join(file)))
            .collect();
        digest::listed_files(&files)?.digest
    };
    match &settings.model_digest {
        Some(expected) if *expected != found => {
            Err(StartError::DigestMismatch { expected: expected.clone(), found })
        }
        _ => Ok(found),
    }
}

/// Loads and tries the model.
pub fn start(settings: &Settings) -> Result<Served, StartError> {
    let graph = crate::session::graph_in(&settings.path);
    let options = SessionOptions {
        execution_providers: settings.execution_providers.clone(),
        allow_fallback: settings.allow_fallback,
        intra_op_threads: 0,
    };
    let session = Session::load(&graph, &options)?;
    let mut facts = Facts {
        execution_provider: session.execution_provider().to_string(),
        onnxruntime_version: session.onnxruntime_version().to_owned(),
        golden_samples: 0,
    };
    let golden = read_golden(&settings.path)?;
    match &golden {
        Some(samples) => match golden::replay(&session, samples) {
            Ok(replay) => {
                facts.golden_samples = replay.count;
                tracing::info!(
                    outcome = "reproduced",
                    golden_samples = replay.count,
                    max_difference = replay.max_difference
                );
            }
            Err(source) => {
                let machine = machine();
                return Err(StartError::Replay(Box::new(NotReproduced { source, machine, facts })));
            }
        },
        // The replay warms up too. Without samples, any input that the model answers does.
        None => {
            if let Err(error) = golden::record_synthetic(&session, 1, 0) {
                tracing::info!(outcome = "not warmed up", %error);
            }
        }
    }
    let session = Arc::new(session);
    let signature = session.signature().clone();
    let worker = Worker::start(session, settings.limits.queue).map_err(StartError::Thread)?;
    let about = about::read(&settings.path, golden.as_ref());
    Ok(Served { signature, worker, facts, about })
}

fn read_golden(folder: &Path) -> Result<Option<GoldenSamples>, StartError> {
    let path = folder.join(METADATA_DIRECTORY).join(GOLDEN_FILE);
    if !path.exists() {
        return Ok(None);
    }
    let size = fs::metadata(&path)
        .map_err(|error| StartError::Golden { path: path.clone(), why: error.to_string() })?
        .len();
    if size > MAX_GOLDEN_BYTES {
        return Err(StartError::Golden { path, why: format!("{size} bytes, at most {MAX_GOLDEN_BYTES}") });
    }
    let text =
        fs::read(&path).map_err(|error| StartError::Golden { path: path.clone(), why: error.to_string() })?;
    let samples =
        serde_json::from_slice(&text).map_err(|error| StartError::Golden { path, why: error.to_string() })?;
    Ok(Some(samples))
}

/// What the answers were computed on, as far as the machine says.
fn machine() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix("model name"))
        .and_then(|rest| rest.split_once(':'))
        .map_or_else(|| "an unknown processor".to_owned(), |(_, name)| name.trim().to_owned())
}
