//! Proves variants beside their original. In go what is asked of each and the folder where `optimize` left them; out come the
//! folders of an artifact with what was measured, or every variant that is not what was asked for, and why.
//!
//! A variant is a model of its own: it is judged before it is loaded, has its own samples and its own certificate. It is held
//! to the gates of its original, may lose no more of its metric and differ in no more answers than was allowed, and must show
//! the gain that it was asked for: fewer bytes, or less CPU time at the far end of what was measured.

mod signature;

use std::{collections::BTreeMap, fs, path::Path};

use modelwright_contract::{
    artifact::METADATA_DIRECTORY,
    signature::Signature,
    training::{Goal, Metric, Task},
    variants::{
        self as contract, MAX_VARIANTS, Quantize, Target, TimeShare, VARIANT_FILE, Variant, VariantFigures,
        VariantReport,
    },
};

use super::{
    compare::{self, Compared, Ratio},
    error::{PublishError, Refusal},
    files, integers, metadata,
    prove::{self, Question},
    size,
    training::Training,
};
use crate::{
    evaluation::{
        Evaluation,
        gates::{decimal, shown},
    },
    store::pack,
};
use modelwright_core::{digest::FileDigest, onnx};

/// How much slower a variant for latency may be at some number of rows, if it is faster at another.
const SLOWER: f64 = 1.1;
/// A gain of less is none: two copies of one model differ by some percent where they lie in memory, for as long as the
/// process lives, which no interval over its runs tells.
const GAIN: f64 = 0.95;

/// What was read of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Allowed {
    drop: f64,
    disagreement: f64,
}

/// The original, as it was proven.
pub(super) struct Original<'a> {
    /// Where `optimize` left variants of it.
    pub directory: &'a Path,
    pub bytes: u64,
    pub signature: &'a Signature,
    pub evaluation: &'a Evaluation,
    pub training: &'a Training,
    pub question: &'a Question,
    /// Integers that are not tried.
    pub tolerated: &'a [String],
}

/// Proves every variant, and gives what was found with the files that it added to the artifact.
pub(super) async fn prove_all(
    asked: &[Variant],
    original: &Original<'_>,
) -> Result<(Vec<VariantReport>, BTreeMap<String, FileDigest>), PublishError> {
    let invalid = |why: String| PublishError::InvalidConfig { field: "variants", why };
    if asked.len() > MAX_VARIANTS {
        return Err(invalid(format!(
            "{} are asked for, and a version has at most {MAX_VARIANTS}",
            asked.len()
        )));
    }
    let (mut reports, mut files, mut refusals) = (Vec::new(), BTreeMap::new(), Vec::new());
    for variant in asked {
        let allowed = read(variant, original.training.task()).map_err(invalid)?;
        match prove_one(variant, allowed, original).await {
            Ok((report, added)) => {
                tracing::info!(outcome = "variant proven", variant = variant.name, ?report);
                reports.push(report);
                files.extend(added);
            }
            // What is wrong with the volume or the processes is no fault of the variant.
            Err(error) if error.is_transient() => return Err(error),
            Err(error) => refusals.push(format!("{} is refused: {error}", named(variant))),
        }
    }
    if refusals.is_empty() {
        return Ok((reports, files));
    }
    Err(PublishError::refused(
        Refusal::VariantRefused,
        format!(
            "{}. No version is made, since what was asked for is not there: change or remove the entry of spec.optimize",
            refusals.join("; ")
        ),
    ))
}

fn read(variant: &Variant, task: Task) -> Result<Allowed, String> {
    let Variant { name, metric, .. } = variant;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || name.len() > contract::MAX_NAME || !name.bytes().all(plain) {
        return Err(format!(
            "{name:?} is no name of a variant: expected lower-case letters, digits and hyphens"
        ));
    }
    if metric.task() != task {
        return Err(format!("{} of {name:?} is no metric of a {task:?}", metric.name()));
    }
    let number = |field: &str, text: &str| {
        let found = decimal(text).filter(|number| *number >= 0.0);
        found.ok_or_else(|| format!("{field} of {name:?} is {text:?}; expected a decimal number like 0.01"))
    };
    Ok(Allowed {
        drop: number("maxMetricDrop", &variant.max_metric_drop)?,
        disagreement: number("maxDisagreement", &variant.max_disagreement)?,
    })
}

fn named(variant: &Variant) -> String {
    let how = match variant.quantize {
        Some(Quantize::Dynamic) => "quantize: Dynamic",
        Some(Quantize::Static) => "quantize: Static",
        None => "FP16",
    };
    format!("variant {:?} ({how}, for: {:?})", variant.name, variant.target)
}

async fn prove_one(
    variant: &Variant,
    allowed: Allowed,
    original: &Original<'_>,
) -> Result<(VariantReport, BTreeMap<String, FileDigest>), PublishError> {
    let made = original.directory.join(contract::VARIANTS_DIRECTORY).join(&variant.name);
    let preflight = onnx::preflight(&made)?;
    let inside = contract::directory(&variant.name);
    let artifact = original.question.directory.as_path();
    let folder = artifact.join(&inside);
    files::link(&made, &folder, preflight.files.iter().cloned())?;
    let model_files = files::hash(&folder, preflight.files)?;
    let model_digest = pack::model_digest(&model_files);
    let metadata_folder = folder.join(METADATA_DIRECTORY);
    fs::create_dir_all(&metadata_folder).map_err(PublishError::io(&metadata_folder))?;
    let question =
        Question { directory: folder.clone(), variant: true, brought: false, ..original.question.clone() };
    let proof = prove::prove(&question).await?;
    let refusals = signature::unlike(&proof.signature, original.signature);
    if !refusals.is_empty() {
        return Err(PublishError::refused(Refusal::VariantRefused, refusals.join(", and ")));
    }
    integers::probe(&question, &proof, original.tolerated).await?;
    let measured = size::measure(&question, &proof).await?;
    let compared = compare::compare(artifact, &question, &proof).await?;
    let Some(evaluation) = &proof.evaluation else {
        return Err(PublishError::refused(
            Refusal::InvalidEvaluation,
            "it was not measured on the test part",
        ));
    };
    let quality = original.training.judge(evaluation)?;
    let bytes = model_files.values().fold(0_u64, |sum, file| sum.saturating_add(file.size_bytes));
    let figures = Figures {
        value: value(evaluation, variant.metric)?,
        original: value(original.evaluation, variant.metric)?,
        bytes: (bytes, original.bytes),
        compared: &compared,
    };
    let refusals = judge(variant, allowed, &figures);
    if !refusals.is_empty() {
        return Err(PublishError::refused(Refusal::VariantRefused, refusals.join(", and ")));
    }
    let report = VariantReport {
        name: variant.name.clone(),
        model_digest: model_digest.clone(),
        size_bytes: bytes,
        figures: Some(VariantFigures {
            metric: variant.metric,
            value: shown(figures.value),
            original: shown(figures.original),
            disagreement: shown(compared.disagreement.get()),
            original_bytes: original.bytes,
            time: compared.time.iter().map(share).collect(),
        }),
        size: measured,
    };
    let description = metadata::describe(&model_digest, preflight.opset, &proof, quality);
    metadata::write(&folder, &description, &proof.golden)?;
    metadata::write_json(&metadata_folder.join(VARIANT_FILE), &report)?;
    let mut names: Vec<String> = model_files.into_keys().collect();
    names.extend(metadata::files(&folder));
    names.push(format!("{METADATA_DIRECTORY}/{VARIANT_FILE}"));
    let added = files::hash(artifact, names.into_iter().map(|name| format!("{inside}/{name}")))?;
    Ok((report, added))
}

fn value(evaluation: &Evaluation, metric: Metric) -> Result<f64, PublishError> {
    evaluation.metrics.get(&metric).map(|value| value.get()).ok_or_else(|| {
        let why = evaluation.without.get(&metric).map_or("it was not measured", String::as_str);
        PublishError::refused(Refusal::InvalidOutputs, format!("{} cannot be computed: {why}", metric.name()))
    })
}

fn share(ratio: &Ratio) -> TimeShare {
    let three = |number: f64| format!("{number:.3}");
    TimeShare {
        rows: ratio.rows,
        median: three(ratio.median),
        low: three(ratio.low),
        high: three(ratio.high),
    }
}

/// What a variant is judged by.
struct Figures<'a> {
    value: f64,
    original: f64,
    bytes: (u64, u64),
    compared: &'a Compared,
}

/// Everything that it is not.
fn judge(variant: &Variant, allowed: Allowed, figures: &Figures<'_>) -> Vec<String> {
    let mut refusals = Vec::new();
    let Figures { value, original, .. } = *figures;
    let name = variant.metric.name();
    let is_error =
        matches!(variant.metric, Metric::LogLoss | Metric::MeanSquaredError | Metric::MeanAbsoluteError);
    let drop = match variant.metric.goal() {
        Goal::Maximize => original - value,
        Goal::Minimize => value - original,
    };
    let limit = if is_error { allowed.drop * original.abs() } else { allowed.drop };
    // A drop that is no number is no small one.
    if drop.is_nan() || drop > limit + 1e-12 {
        let of = if is_error { format!(" of {}", shown(original)) } else { String::new() };
        refusals.push(format!(
            "its {name} is {} and the original's {}, a drop of {} (maxMetricDrop: {}{of})",
            shown(value),
            shown(original),
            shown(drop),
            variant.max_metric_drop
        ));
    }
    let disagreement = figures.compared.disagreement.get();
    if disagreement.is_nan() || disagreement > allowed.disagreement + 1e-12 {
        refusals.push(format!(
            "its answers are {} away from the original's (maxDisagreement: {})",
            shown(disagreement),
            variant.max_disagreement
        ));
    }
    refusals.extend(match variant.target {
        Target::Size => larger(figures.bytes),
        Target::Latency => slower(&figures.compared.time),
    });
    refusals
}

fn larger((bytes, original): (u64, u64)) -> Option<String> {
    (bytes >= original).then(|| {
        format!("it has {bytes} bytes and the original {original}, so that nothing is gained (for: Size)")
    })
}

/// The gain must be shown at some number of rows, and no number may be shown to be much slower.
fn slower(time: &[Ratio]) -> Option<String> {
    if time.is_empty() {
        return Some("its CPU time could not be measured, for want of time (for: Latency)".to_owned());
    }
    let told = || -> String {
        let told = time.iter().map(|ratio| {
            let Ratio { rows, median, low, high } = ratio;
            format!("{median:.2} of the original's at {rows} rows (99 %: {low:.2} to {high:.2})")
        });
        told.collect::<Vec<_>>().join(", ")
    };
    if !time.iter().any(|ratio| ratio.high < GAIN) {
        return Some(format!("no gain of 5 % of CPU time is shown: it takes {} (for: Latency)", told()));
    }
    time.iter()
        .any(|ratio| ratio.low > SLOWER)
        .then(|| format!("it is slower at some number of rows: it takes {} (for: Latency)", told()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn asked(target: Target, metric: Metric) -> Variant {
        Variant {
            name: "int8".to_owned(),
            quantize: Some(Quantize::Static),
            target,
            metric,
            max_metric_drop: "0.01".to_owned(),
            max_disagreement: "0.05".to_owned(),
        }
    }

    fn judged(
        variant: &Variant,
        value: f64,
        disagreement: f64,
        bytes: u64,
        time: &[(u32, f64, f64)],
    ) -> String {
        let time =
            time.iter().map(|(rows, low, high)| Ratio { rows: *rows, median: *low, low: *low, high: *high });
        let compared = Compared { disagreement: disagreement.into(), time: time.collect() };
        let figures = Figures { value, original: 0.9, bytes: (bytes, 1000), compared: &compared };
        judge(variant, read(variant, variant.metric.task()).unwrap(), &figures).join(", and ")
    }

    #[test]
    fn a_gain_is_what_the_far_end_of_its_interval_shows() {
        let latency = asked(Target::Latency, Metric::Accuracy);
        let time = |time: &[(u32, f64, f64)]| judged(&latency, 0.9, 0.0, 5000, time);
        assert_eq!(time(&[(1, 0.97, 1.02), (32, 0.5, 0.6)]), "");
        assert_eq!(time(&[(1, 0.7, 0.94)]), "");
        assert!(time(&[(1, 0.7, 0.95), (32, 0.99, 1.01)]).contains("no gain of 5 % of CPU time is shown"));
        assert!(time(&[(1, 0.96, 0.98)]).contains("no gain"), "a copy of the same model may look like it");
        assert!(time(&[(1, 4.0, 4.1), (32, 0.5, 0.6)]).contains("slower at some number of rows"));
        assert!(time(&[]).contains("could not be measured"));
        let size = asked(Target::Size, Metric::Accuracy);
        assert_eq!(judged(&size, 0.9, 0.0, 999, &[(1, 4.0, 4.1)]), "");
        assert!(judged(&size, 0.9, 0.0, 1000, &[]).contains("1000 bytes and the original 1000"));
    }

    #[test]
    fn a_metric_may_drop_by_so_much_and_an_error_by_so_much_of_itself() {
        let accuracy = asked(Target::Size, Metric::Accuracy);
        assert_eq!(judged(&accuracy, 0.89, 0.0, 1, &[]), "");
        assert_eq!(judged(&accuracy, 0.95, 0.0, 1, &[]), "");
        assert!(judged(&accuracy, 0.889, 0.0, 1, &[]).contains("a drop of 0.011 (maxMetricDrop: 0.01)"));
        assert!(judged(&accuracy, f64::NAN, 0.0, 1, &[]).contains("maxMetricDrop"));
        let error = asked(Target::Size, Metric::MeanSquaredError);
        assert_eq!(judged(&error, 0.908, 0.0, 1, &[]), "");
        assert!(judged(&error, 0.91, 0.0, 1, &[]).contains("(maxMetricDrop: 0.01 of 0.9)"));
        assert_eq!(judged(&error, 0.5, 0.0, 1, &[]), "");
    }

    #[test]
    fn answers_may_differ_by_so_much_and_all_that_is_wrong_is_said() {
        let accuracy = asked(Target::Size, Metric::Accuracy);
        assert_eq!(judged(&accuracy, 0.9, 0.05, 1, &[]), "");
        let both = judged(&accuracy, 0.8, 0.06, 2000, &[]);
        for part in ["maxMetricDrop", "0.06 away", "2000 bytes"] {
            assert!(both.contains(part), "{part} is missing in: {both}");
        }
        assert!(judged(&accuracy, 0.9, f64::NAN, 1, &[]).contains("maxDisagreement"));
    }

    #[test]
    fn a_request_that_cannot_be_read_names_the_field() {
        let wrong = |change: fn(&mut Variant)| {
            let mut variant = asked(Target::Size, Metric::Accuracy);
            change(&mut variant);
            read(&variant, Task::Classification).unwrap_err()
        };
        assert!(wrong(|it| it.name = "../x".to_owned()).contains("no name of a variant"));
        assert!(wrong(|it| it.max_metric_drop = "much".to_owned()).contains("maxMetricDrop"));
        assert!(wrong(|it| it.max_disagreement = "-1".to_owned()).contains("maxDisagreement"));
        assert!(wrong(|it| it.metric = Metric::R2).contains("R2"));
    }
}
