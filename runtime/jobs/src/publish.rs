//! `prove` and `publish`: proving a model by real inference, and storing it as an artifact. Each is a container of its own:
//! what is proven is anybody's graph, so that container has no credentials; the one that has them runs no model.
//!
//! [`prove()`]: `modelwright_core::onnx` judges the file before native code touches it, [`prove`](mod@prove) has it loaded and run by a
//! child process, as [`integers`] has values tried that may end it and [`size`] measures it, [`training`] holds a trained
//! model against what was asked of it, [`variants`] does all that for each variant and [`compare`]s it with the model, and [`passed`] leaves the artifact's files in a folder, with their digests.
//!
//! [`run`]: [`passed`] reads that folder and believes nothing of it but the digests, [`crate::store::pack`] makes a manifest that is the
//! same for the same bytes, and [`push`] writes it and reads it back.

mod child;
pub mod compare;
mod error;
mod files;
mod fit;
pub mod integers;
mod metadata;
mod options;
mod passed;
pub mod prove;
pub mod prover;
mod push;
pub mod recall;
pub mod size;
mod training;
mod variants;

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use modelwright_contract::{
    artifact::{METADATA_DIRECTORY, MODEL_FILE},
    prove::ProveConfig,
    publish::PublishConfig,
    report::{ProveReport, PublishReport, RunReport},
    training::TRAIN_REPORT_FILE,
};

use tempfile::TempDir;

pub use self::{
    error::{PublishError, Refusal},
    options::PublishOptions,
};

use self::{metadata::Quality, passed::Passed, prove::Question, push::task::Destination, training::Training};
use crate::store::pack;
use modelwright_core::{onnx, rows};

/// Proves what the config says, and leaves it for [`run`]. `program` is the one that has the commands of the children.
pub async fn prove(config: &ProveConfig, program: &Path) -> Result<ProveReport, PublishError> {
    let Judged { work, passed } = judge(config, program).await?;
    passed.leave(&work.path().join(LEFT), Path::new(&config.proof))?;
    Ok(ProveReport { golden_count: passed.golden_count, model_digest: passed.model_digest })
}

/// A model that has passed, and the folder with [`LEFT`], which goes with it.
struct Judged {
    work: TempDir,
    passed: Passed,
}

/// Of a work folder: what is left for `publish`.
const LEFT: &str = "left";

async fn judge(config: &ProveConfig, program: &Path) -> Result<Judged, PublishError> {
    let directory = Path::new(&config.directory);
    let judgement = config.judgement.as_ref().or(config.evaluation.as_ref());
    let training = judgement.map(|judgement| Training::find(directory, judgement)).transpose()?;
    let is_trained = config.judgement.is_some();
    let preflight = onnx::preflight(directory)?;
    let work = files::work_beside(directory)?;
    let folder = work.path().join(LEFT).join(passed::FILES);
    files::link(directory, &folder, preflight.files.iter().cloned())?;
    let model_files = files::hash(&folder, preflight.files)?;
    let model_digest = pack::model_digest(&model_files);
    let metadata_folder = folder.join(METADATA_DIRECTORY);
    fs::create_dir_all(&metadata_folder).map_err(PublishError::io(&metadata_folder))?;
    // What a training run says about its own model in an artifact's words is nobody's word.
    let mut quality = if is_trained {
        Quality::default()
    } else {
        metadata::bring(directory, &folder, &model_digest, config.keep_evaluation)?
    };
    let question = Question {
        program: program.to_owned(),
        directory: folder.clone(),
        work: work.path().to_owned(),
        samples: config.golden_samples,
        seed: config.golden_seed,
        test: training.as_ref().map(Training::test),
        rows: training.is_some().then(|| training::rows(directory, config.keep_evaluation)),
        brought: !is_trained,
        variant: false,
        limit: Duration::from_secs(config.deadline_seconds.into()),
    };
    let proof = prove::prove(&question).await?;
    integers::probe(&question, &proof, &config.tolerate_crash_inputs).await?;
    let size = size::measure(&question, &proof).await?;
    let mut proven = (Vec::new(), BTreeMap::new());
    if let (Some(training), Some(evaluation)) = (&training, &proof.evaluation) {
        quality = training.judge(evaluation)?;
        training.keep(&folder, config.keep_evaluation)?;
        let original = variants::Original {
            directory,
            bytes: model_files.values().fold(0, |sum, file| sum.saturating_add(file.size_bytes)),
            signature: &proof.signature,
            evaluation,
            training,
            question: &question,
            tolerated: &config.tolerate_crash_inputs,
        };
        proven = variants::prove_all(&config.variants, &original).await?;
    } else if !config.variants.is_empty() {
        let why =
            "variants are judged on a test part, and an import has none without `evaluation`".to_owned();
        return Err(PublishError::InvalidConfig { field: "variants", why });
    }
    let (variants, variant_files) = proven;
    let description = metadata::describe(&model_digest, preflight.opset, &proof, quality);
    metadata::write(&folder, &description, &proof.golden)?;
    let mut files = files::hash(&folder, metadata::files(&folder))?;
    files.extend(model_files);
    files.extend(variant_files);
    let passed = Passed {
        files,
        model_digest,
        opset: description.opset,
        signature: description.signature,
        golden_count: u32::try_from(proof.golden.samples.len()).unwrap_or(u32::MAX),
        golden_tolerance: proof.golden.tolerance,
        golden_source: proof.golden.source,
        golden_random: proof.golden.random,
        row_independence: rows::of_file(&folder.join(MODEL_FILE)),
        metrics: description.metrics,
        size,
        train: recall::left(is_trained.then(|| directory.join(TRAIN_REPORT_FILE))),
        variants,
    };
    Ok(Judged { work, passed })
}

/// Publishes what was proven. Only where the config names no proof, the model is proven here and now.
pub async fn run(config: &PublishConfig, options: &PublishOptions) -> Result<PublishReport, PublishError> {
    let options = &PublishOptions { timeouts: options.timeouts.with(config.waits), ..options.clone() };
    let destination = Destination::parse(config)?;
    if let Some(proof) = &config.proof {
        return store(config, &destination, options, Path::new(proof)).await;
    }
    let Judged { work, passed } = judge(&to_prove(config, options), &options.program).await?;
    let proof = work.path().join("proof");
    passed.leave(&work.path().join(LEFT), &proof)?;
    store(config, &destination, options, &proof).await
}

/// What `prove` is told of a config that names no proof.
fn to_prove(config: &PublishConfig, options: &PublishOptions) -> ProveConfig {
    ProveConfig {
        directory: config.directory.clone(),
        // it is left in a work folder
        proof: String::new(),
        golden_samples: config.golden_samples,
        golden_seed: config.golden_seed,
        deadline_seconds: u32::try_from(options.prove_limit.as_secs()).unwrap_or(u32::MAX),
        judgement: config.judgement.clone(),
        evaluation: config.evaluation.clone(),
        variants: config.variants.clone(),
        keep_evaluation: config.keep_evaluation,
        tolerate_crash_inputs: config.tolerate_crash_inputs.clone(),
    }
}

async fn store(
    config: &PublishConfig,
    destination: &Destination,
    options: &PublishOptions,
    proof: &Path,
) -> Result<PublishReport, PublishError> {
    let passed = Passed::find(proof)?;
    let packed = pack::pack(passed.files);
    let stored = push::push(config, destination, options, proof, &packed).await?;
    let report = fit::fit(PublishReport {
        model_digest: passed.model_digest,
        artifact_uri: stored.uri,
        artifact_sha256: stored.sha256,
        size_bytes: packed.size(),
        opset: passed.opset,
        signature: passed.signature,
        signature_truncated: false,
        golden_count: passed.golden_count,
        golden_tolerance: passed.golden_tolerance,
        golden_source: passed.golden_source,
        golden_random: passed.golden_random,
        row_independence: Some(passed.row_independence),
        metrics: passed.metrics,
        size: passed.size,
        variants: passed.variants,
    });
    if let Some(run) = &options.run
        && let Some(fetch) = recall::fetched(&options.fetched_directory)
    {
        let train = recall::short(passed.train);
        let whole = RunReport { run: run.clone(), fetch, train, publish: report.clone() };
        recall::leave(config, destination, options, &whole).await;
    }
    Ok(report)
}
