//! A version whose model a run takes over, where nothing but its variants is asked for anew: nothing is trained, and nothing is
//! imported from where it came. In go a Model and its versions; out come the version, a Model that says so, and what the new
//! version has of it. Pure.

use std::sync::Arc;

use modelwright_contract::training::Metric;

use super::{
    run::{
        phases::Phase,
        report::{ANEW, Reports},
    },
    validate::{Kept, Place, ValidModel, ValidSource, Work},
    versions::{carries, rank},
};
use crate::{
    api::{ModelVersion, SourceFormat, model::RunFailure, model_version::Artifact},
    problem::Problem,
    store,
};

/// Largest difference between a metric of a version and the same one measured again: of a share, of 1; of an error, which has
/// any scale, of itself.
const TOLERANCE: f64 = 1e-3;
/// The version whose model is what the Model asks for, whatever its variants.
pub fn find<'a>(valid: &ValidModel, versions: &'a [Arc<ModelVersion>]) -> Option<&'a Arc<ModelVersion>> {
    let is_own = |version: &ModelVersion| version.spec.spec_hash == valid.spec_hash;
    let fits = |version: &&Arc<ModelVersion>| is_own(version) || carries(version, &valid.spec_hash);
    versions.iter().filter(fits).max_by_key(|version| (is_own(version), rank(version)))
}

/// The Model with a run that takes over the model of `version`, or why none can.
pub fn take_over(valid: &ValidModel, version: &ModelVersion) -> Result<ValidModel, Problem> {
    let number = version.spec.version;
    let artifact = &version.spec.artifact;
    let mut taking = valid.clone();
    taking.kept = Some(Kept { version: number, artifact: artifact.clone() });
    match &mut taking.work {
        Work::Train(training) if !valid.variants.is_empty() => {
            let provenance = &version.spec.provenance;
            if !training.trainer.is_built_in() {
                return Err(Problem {
                    reason: "CannotPrepare".into(),
                    message: format!(
                        "version {number} has the model of this spec, and variants of it are judged on a test part that only your own code can make, together with another model; {ANEW}, or return to the variants that a version has"
                    ),
                });
            }
            // nothing is trained that could go on or start from something
            (training.checkpoint, training.from) = (None, None);
            training.source.sha256 = Some(provenance.data_sha256.clone());
            if let Some(test) = &mut training.test {
                test.sha256.clone_from(&provenance.test_sha256);
            }
        }
        _ => {
            taking.work = Work::Import(stored(artifact, valid));
            taking.evaluation = taking.evaluation.filter(|_| !valid.variants.is_empty());
            if let Some(evaluation) = &mut taking.evaluation
                && let Some(measured) = &version.spec.provenance.test_sha256
            {
                evaluation.source.sha256 = Some(measured.clone());
            }
        }
    }
    Ok(taking)
}

/// An artifact of the store as what is imported.
fn stored(artifact: &Artifact, valid: &ValidModel) -> ValidSource {
    let place = match store::claim(&artifact.uri) {
        Some(claim) => Place::Claim(claim.into()),
        None => Place::Remote(artifact.uri.clone()),
    };
    ValidSource {
        uri: artifact.uri.clone(),
        sha256: Some(artifact.sha256.clone()),
        credentials_secret: None,
        tolerate_crash_inputs: valid.source().tolerate_crash_inputs.clone(),
        // whatever it was made of, it is ONNX
        format: SourceFormat::Onnx,
        place,
    }
}

/// Holds what a run made against the version that it was made from: it must be the same model, measured on the same rows.
pub fn check(version: &ModelVersion, reports: &Reports) -> Result<(), RunFailure> {
    let (spec, publish) = (&version.spec, &reports.publish);
    let failure = |reason: &str, message: String| RunFailure {
        reason: reason.into(),
        message: format!("{message}; {ANEW}"),
        phase: Phase::Publish.container().into(),
        time: reports.finished_at.clone(),
    };
    if publish.model_digest != spec.model_digest {
        return Err(failure(
            "ModelChanged",
            format!(
                "the run was to take over the model of version {}, which has the digest {}, and published {}",
                spec.version, spec.model_digest, publish.model_digest
            ),
        ));
    }
    let known = spec.evaluation.iter().flat_map(|evaluation| &evaluation.metrics);
    for (name, before) in known {
        let Some(now) = publish.metrics.get(name) else { continue };
        if differ(name, before, now) {
            return Err(failure(
                "NotReproducible",
                format!(
                    "the model of version {} has {name} {now} on the test part that was made again, and had {before}: these are other rows, as a trainer of another release may part them",
                    spec.version
                ),
            ));
        }
    }
    Ok(())
}

fn differ(name: &str, before: &str, now: &str) -> bool {
    let (Ok(before), Ok(now)) = (before.parse::<f64>(), now.parse::<f64>()) else { return before != now };
    let has_any_scale = [Metric::LogLoss, Metric::MeanSquaredError, Metric::MeanAbsoluteError]
        .iter()
        .any(|metric| metric.name() == name);
    let scale = if has_any_scale { before.abs() } else { 1.0 };
    (now - before).abs() > TOLERANCE * scale
}

/// A version with all that is known of the one that it was made from.
#[must_use]
pub fn carry_over(mut version: ModelVersion, from: &ModelVersion) -> ModelVersion {
    let (spec, known) = (&mut version.spec, &from.spec);
    if known.evaluation.is_some() {
        spec.evaluation.clone_from(&known.evaluation);
    }
    let made = &mut spec.provenance;
    made.data_sha256.clone_from(&known.provenance.data_sha256);
    made.test_sha256.clone_from(&known.provenance.test_sha256);
    made.device.clone_from(&known.provenance.device);
    if let Some(image) = known.provenance.images.get(Phase::Train.container()) {
        made.images.insert(Phase::Train.container().into(), image.clone());
    }
    made.made_from = Some(known.version);
    version
}
