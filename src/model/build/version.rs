//! The ModelVersion of a successful run. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt as _;
use modelwright_contract::{
    artifact::GoldenSource,
    signature::{
        Classes, MAX_DIMENSION_NAME, MAX_TENSOR_AXES, MAX_TENSOR_NAME, MAX_VERSION_LABELS, TensorSpec,
    },
    variants::{self, MAX_VARIANTS, VariantReport},
};

use crate::{
    api::{
        ModelVersion, ModelVersionSpec,
        model_version::{
            Artifact, CandidateScore, Classes as VersionClasses, Evaluation, GoldenSamples, Provenance,
            RowIndependence, RowsSize, Signature, Size, Tensor,
        },
        name::{
            MODEL_LABEL, SELECTED_GENERATION_ANNOTATION, SPEC_HASH_LABEL, VERSION_LABEL, model_version,
            owned_metadata,
        },
        optimize::{TimeShare, VariantFigures, VersionVariant},
    },
    hash,
    k8s::events::truncated,
    model::{
        run::{containers::containers, report::Reports},
        validate::ValidModel,
    },
};

/// Most inputs or outputs in the resource; all are in the artifact.
const MAX_TENSORS: usize = 16;
/// Most metrics in the resource.
const MAX_METRICS: usize = 32;
/// Most candidates in the resource.
const MAX_CANDIDATES: usize = 20;
/// Longest name or number of an evaluation, in bytes.
const MAX_WORD: usize = 64;
const MAX_DEVICE: usize = 128;
/// Most warnings of a training in the resource, and the longest, in bytes.
const MAX_WARNINGS: usize = 8;
const MAX_WARNING: usize = 512;
/// Most numbers of rows at which the time of a variant stands in the resource.
const MAX_TIMES: usize = 4;
/// Longest rate of a size certificate, in bytes.
const MAX_RATE: usize = 32;
/// Most bytes in a size certificate: every number up to it is exact in every JSON reader.
const MAX_BYTES: u64 = crate::api::LARGEST_INTEGER;
/// Longest name of a node, and longest reason, that a version holds.
const MAX_NODE: usize = 64;
const MAX_REASON: usize = 160;

/// Version `number` of the Model, from what `job` reported, stamped as selected by generation `stamp`.
pub fn build_version(
    model: &ValidModel,
    number: u64,
    reports: &Reports,
    job: &Job,
    stamp: i64,
) -> ModelVersion {
    let publish = &reports.publish;
    let spec = ModelVersionSpec {
        model: model.name.clone(),
        version: number,
        spec_hash: model.spec_hash.clone(),
        optimize_hash: model.optimize_hash.clone(),
        model_digest: publish.model_digest.clone(),
        artifact: Artifact {
            uri: publish.artifact_uri.clone(),
            sha256: publish.artifact_sha256.clone(),
            size_bytes: publish.size_bytes,
            opset: publish.opset,
        },
        signature: Signature {
            inputs: tensors(&publish.signature.inputs),
            optional_inputs: tensors(&publish.signature.optional_inputs),
            outputs: tensors(&publish.signature.outputs),
        },
        row_independence: publish.row_independence.as_ref().map(|rows| RowIndependence {
            independent: rows.independent,
            node: rows.node.as_deref().map(|node| truncated(node, MAX_NODE)),
            reason: rows.reason.as_deref().map(|reason| truncated(reason, MAX_REASON)),
        }),
        evaluation: evaluation(model, reports),
        golden_samples: GoldenSamples {
            count: publish.golden_count,
            tolerance: publish.golden_tolerance.clone(),
            source: match publish.golden_source {
                GoldenSource::Test => "Test".into(),
                GoldenSource::Quantiles => "Quantiles".into(),
                GoldenSource::Shareable => "Shareable".into(),
                GoldenSource::Synthetic => "Synthetic".into(),
                GoldenSource::Provided => "Provided".into(),
            },
            random_outputs: publish
                .golden_random
                .iter()
                .map(|name| truncated(name, MAX_TENSOR_NAME))
                .collect(),
        },
        size: publish.size.as_ref().map(size),
        variants: publish.variants.iter().take(MAX_VARIANTS).map(variant).collect(),
        provenance: Provenance {
            data_sha256: reports.fetch.sha256.clone(),
            test_sha256: reports.fetch.test_sha256.clone(),
            made_from: None,
            device: device(reports),
            images: images(job),
            job: job.name_any(),
            started_at: reports.started_at.clone(),
            finished_at: reports.finished_at.clone(),
        },
    };
    let mut version = ModelVersion::new(&model_version(&model.name, number), spec);
    version.metadata = owned_metadata(
        model_version(&model.name, number),
        &model.namespace,
        Some(model.owner.clone()),
        [
            (MODEL_LABEL, model.name.clone()),
            (VERSION_LABEL, number.to_string()),
            (SPEC_HASH_LABEL, hash::short(&model.key(), 16).to_owned()),
        ],
    );
    version.metadata.annotations =
        Some([(SELECTED_GENERATION_ANNOTATION.to_owned(), stamp.to_string())].into());
    version
}

/// What `train` says that it computed on.
fn device(reports: &Reports) -> Option<String> {
    let told = reports.train.as_ref()?.device.as_deref()?;
    Some(truncated(told, MAX_DEVICE))
}

/// What `publish` measured, and what `train` says of its candidates. An own image may say nothing.
fn evaluation(model: &ValidModel, reports: &Reports) -> Option<Evaluation> {
    let word = |text: &String| truncated(text, MAX_WORD);
    let metrics: BTreeMap<_, _> = reports
        .publish
        .metrics
        .iter()
        .take(MAX_METRICS)
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let metric = model.metric().map(|metric| metric.name().to_owned());
    if model.training().is_none() {
        return (!metrics.is_empty()).then_some(Evaluation { metrics, metric, ..Evaluation::default() });
    }
    let train = reports.train.as_ref();
    let told = train.map(|train| train.warnings.as_slice()).unwrap_or_default();
    let warnings: Vec<String> =
        told.iter().take(MAX_WARNINGS).map(|warning| truncated(warning, MAX_WARNING)).collect();
    Some(Evaluation {
        metrics,
        metric,
        chosen: train.map(|train| word(&train.chosen)),
        candidates: train
            .iter()
            .flat_map(|train| &train.candidates)
            .take(MAX_CANDIDATES)
            .map(|candidate| CandidateScore {
                name: word(&candidate.name),
                score: candidate.score.as_ref().map(word),
            })
            .collect(),
        warnings_truncated: train.is_some_and(|train| train.warnings_truncated) || warnings != told,
        warnings,
    })
}

/// A variant, within what the resource takes.
fn variant(report: &VariantReport) -> VersionVariant {
    let word = |text: &str| truncated(text, MAX_WORD);
    let rate = |text: &str| truncated(text, MAX_RATE);
    VersionVariant {
        name: truncated(&report.name, variants::MAX_NAME),
        model_digest: report.model_digest.clone(),
        size_bytes: report.size_bytes.min(MAX_BYTES),
        figures: report.figures.as_ref().map(|figures| VariantFigures {
            metric: figures.metric.name().into(),
            value: word(&figures.value),
            original: word(&figures.original),
            disagreement: word(&figures.disagreement),
            time: figures
                .time
                .iter()
                .take(MAX_TIMES)
                .map(|time| TimeShare {
                    rows: time.rows.clamp(1, i32::MAX.unsigned_abs()),
                    median: rate(&time.median),
                    low: rate(&time.low),
                    high: rate(&time.high),
                })
                .collect(),
        }),
        size: report.size.as_ref().map(size),
    }
}

/// What was measured, within what the resource takes.
fn size(measured: &modelwright_contract::size::Size) -> Size {
    let bytes = |bytes: u64| bytes.min(MAX_BYTES);
    let rows = measured.rows.iter().take(modelwright_contract::size::MAX_ROWS);
    Size {
        load_bytes: bytes(measured.load_bytes),
        rows: rows
            .map(|of| RowsSize {
                rows: of.rows.clamp(1, i32::MAX.unsigned_abs()),
                peak_bytes: bytes(of.peak_bytes),
                runs_per_core_second: truncated(&of.runs_per_core_second, MAX_RATE),
            })
            .collect(),
    }
}

fn tensors(specs: &[TensorSpec]) -> Vec<Tensor> {
    specs
        .iter()
        .take(MAX_TENSORS)
        .map(|tensor| Tensor {
            name: tensor.name.clone(),
            datatype: tensor.datatype.clone(),
            shape: tensor.shape.clone(),
            dimensions: tensor
                .dimensions
                .iter()
                .take(MAX_TENSOR_AXES)
                .map(|name| truncated(name, MAX_DIMENSION_NAME))
                .collect(),
            classes: tensor.classes.clone().map(|classes| {
                let Classes { count, labels } = classes.shortened(MAX_VERSION_LABELS);
                VersionClasses { count: count.min(MAX_BYTES), labels }
            }),
        })
        .collect()
}

fn images(job: &Job) -> BTreeMap<String, String> {
    containers(job).filter_map(|container| Some((container.name.clone(), container.image.clone()?))).collect()
}
