//! `publish`: proves a model by real inference and stores it as an artifact. In goes a [`PublishConfig`]; out comes a
//! [`PublishReport`], and the artifact is in the store.
//!
//! `crate::onnx` judges the file before native code touches it, [`prove`] has it loaded and run by a child process,
//! as [`integers`] has values tried that may end it and [`size`] measures it, [`training`] holds a trained model against what was asked of it, [`pack`] makes a
//! manifest that is the same for the same bytes, and [`push`] writes it and reads it back.

mod child;
mod error;
mod fit;
pub mod integers;
mod metadata;
mod pack;
pub mod prove;
pub mod prover;
mod push;
pub mod size;
mod training;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use modelwright_contract::{
    artifact::{METADATA_DIRECTORY, MODEL_FILE},
    names,
    publish::PublishConfig,
    report::PublishReport,
};

pub use error::{PublishError, Refusal};
pub use push::FolderError;

use self::{metadata::Quality, prove::Question, push::Destination, training::Training};
use crate::{network::Timeouts, onnx, rows};

/// What the operator does not set.
#[derive(Clone, Debug)]
pub struct PublishOptions {
    /// Whether the store may be at a loopback address: for tests on one machine.
    pub allow_loopback: bool,
    /// Where the claim of a `pvc` store is mounted.
    pub claim_directory: PathBuf,
    /// How long to wait for an answer of the store.
    pub timeouts: Timeouts,
    /// The program that has the subcommand `prove`.
    pub program: PathBuf,
    /// For how long the model may load and run.
    pub prove_limit: Duration,
}

impl PublishOptions {
    /// The usual limits; `program` is this very program.
    pub fn new(program: PathBuf) -> Self {
        Self {
            allow_loopback: false,
            claim_directory: PathBuf::from(names::CLAIM_DIRECTORY),
            timeouts: Timeouts::default(),
            program,
            prove_limit: Duration::from_mins(10),
        }
    }
}

/// Publishes what the config says.
pub async fn run(config: &PublishConfig, options: &PublishOptions) -> Result<PublishReport, PublishError> {
    let destination = Destination::parse(config)?;
    let directory = Path::new(&config.directory);
    let training =
        config.judgement.as_ref().map(|judgement| Training::find(directory, judgement)).transpose()?;
    let preflight = onnx::preflight(directory)?;
    let work = pack::work_beside(directory)?;
    let folder = work.path().join("files");
    pack::link(directory, &folder, preflight.files.iter().cloned())?;
    let model_files = pack::hash(&folder, preflight.files)?;
    let model_digest = pack::model_digest(&model_files);
    let metadata_folder = folder.join(METADATA_DIRECTORY);
    fs::create_dir_all(&metadata_folder).map_err(PublishError::io(&metadata_folder))?;
    // What a training run says about its own model in an artifact's words is nobody's word.
    let mut quality = match training {
        None => metadata::bring(directory, &folder, &model_digest)?,
        Some(_) => Quality::default(),
    };
    let question = Question {
        program: options.program.clone(),
        directory: folder.clone(),
        work: work.path().to_owned(),
        samples: config.golden_samples,
        seed: config.golden_seed,
        test: training.as_ref().map(Training::test),
        limit: options.prove_limit,
    };
    let proof = prove::prove(&question).await?;
    integers::probe(&question, &proof, &config.tolerate_crash_inputs).await?;
    let size = size::measure(&question, &proof).await?;
    if let (Some(training), Some(evaluation)) = (training, &proof.evaluation) {
        quality = training.judge(evaluation)?;
        training.keep(&folder)?;
    }
    let description = metadata::describe(&model_digest, preflight.opset, &proof, quality);
    metadata::write(&folder, &description, &proof.golden)?;
    let mut files = pack::hash(&folder, metadata::files(&folder))?;
    files.extend(model_files);
    let packed = pack::pack(files);
    let stored = push::push(config, &destination, options, work.path(), &packed).await?;
    Ok(fit::fit(PublishReport {
        model_digest,
        artifact_uri: stored.uri,
        artifact_sha256: stored.sha256,
        size_bytes: packed.size(),
        opset: description.opset,
        signature: description.signature,
        signature_truncated: false,
        golden_count: u32::try_from(proof.golden.samples.len()).unwrap_or(u32::MAX),
        golden_tolerance: proof.golden.tolerance,
        golden_source: proof.golden.source,
        golden_random: proof.golden.random,
        row_independence: Some(rows::of_file(&folder.join(MODEL_FILE))),
        metrics: description.metrics,
        size,
    }))
}
