//! Makes a report fit into a termination message. In goes a whole report; out comes one with as many tensors of the
//! signature, then as many metrics, as there is room for.

use modelwright_contract::{
    report::{MAX_REPORT_BYTES, PublishReport, Report},
    signature::{MAX_TENSOR_AXES, MAX_TENSOR_NAME, MAX_VERSION_LABELS, Signature, TensorSpec},
    variants::MAX_VARIANTS,
};

use super::metadata::{MAX_METRIC_BYTES, MAX_METRICS};

/// Most tensors on each side of a signature that a ModelVersion holds.
const MAX_TENSORS: usize = 16;

/// Shortens a report until it fits, and marks it if its signature was shortened.
pub fn fit(mut report: PublishReport) -> PublishReport {
    let whole = report.signature.inputs.len().max(report.signature.outputs.len()) <= MAX_TENSORS;
    report.signature.inputs.truncate(MAX_TENSORS);
    report.signature.outputs.truncate(MAX_TENSORS);
    report.signature_truncated |= !whole;
    let Signature { inputs, optional_inputs, outputs } = &mut report.signature;
    for side in [inputs, optional_inputs, outputs] {
        let before = side.len();
        side.retain(fits_a_version);
        report.signature_truncated |= side.len() < before;
    }
    // The object of a version stays small; the artifact has them.
    for tensor in report.signature.inputs.iter_mut().chain(&mut report.signature.outputs) {
        let names = std::mem::take(&mut tensor.dimensions);
        *tensor = std::mem::take(tensor).with_dimensions(names.iter().map(String::as_str));
        tensor.classes = tensor.classes.take().map(|classes| classes.shortened(MAX_VERSION_LABELS));
    }
    // No artifact has others, and whoever ran the model may have written these; without a bound, to measure the report again
    // and again would take for ever.
    report.metrics.retain(|name, value| name.len().max(value.len()) <= MAX_METRIC_BYTES);
    while report.metrics.len() > MAX_METRICS {
        report.metrics.pop_last();
    }
    report.variants.truncate(MAX_VARIANTS);
    report.golden_random.retain(|name| name.chars().count() <= MAX_TENSOR_NAME);
    report.golden_random.truncate(MAX_TENSORS);
    while length(&report) > MAX_REPORT_BYTES {
        // The artifact has what is known of variants, and the original's certificate is the larger one.
        let variants = report.variants.iter_mut().rev();
        if let Some(variant) = variants.max_by_key(|it| (it.size.is_some(), it.figures.is_some()))
            && (variant.size.take().is_some() || variant.figures.take().is_some())
        {
            continue;
        }
        let signature = &mut report.signature;
        // That there are classes, and how many, is told in any case.
        let labels = signature.outputs.iter_mut().rev().filter_map(|output| output.classes.as_mut());
        if labels.max_by_key(|classes| classes.labels.len()).is_some_and(|it| it.labels.pop().is_some()) {
            continue;
        }
        let tensors = signature.inputs.iter_mut().chain(&mut signature.outputs);
        if let Some(last) = tensors.filter(|tensor| !tensor.dimensions.is_empty()).last() {
            last.dimensions.clear();
            continue;
        }
        // What a client need not know goes first.
        let signature_has_more = signature.optional_inputs.pop().is_some();
        let longer = if signature.inputs.len() > signature.outputs.len() {
            &mut signature.inputs
        } else {
            &mut signature.outputs
        };
        if signature_has_more || longer.pop().is_some() {
            report.signature_truncated = true;
        } else if report.golden_random.pop().is_some() {
            // The artifact has all of them.
        } else if report.metrics.pop_last().is_none() && report.variants.pop().is_none() {
            break;
        }
    }
    report
}

fn fits_a_version(tensor: &TensorSpec) -> bool {
    tensor.name.chars().count() <= MAX_TENSOR_NAME && tensor.shape.len() <= MAX_TENSOR_AXES
}

fn length(report: &PublishReport) -> usize {
    serde_json::to_string(&Report::Succeeded(report)).map_or(usize::MAX, |text| text.len())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use modelwright_contract::{
        artifact::GoldenSource,
        rows::RowIndependence,
        signature::Classes,
        size::{RowsSize, Size},
        training::Metric,
        variants::{TimeShare, VariantFigures, VariantReport},
    };
    use proptest::prelude::*;

    use super::*;

    fn report(inputs: usize, outputs: usize, name: usize, metrics: usize) -> PublishReport {
        let tensors = |count| {
            (0..count)
                .map(|i| TensorSpec {
                    name: format!("{i:0name$}"),
                    datatype: "FP32".to_owned(),
                    shape: vec![-1, 3, 224, 224],
                    ..TensorSpec::default()
                })
                .collect()
        };
        PublishReport {
            model_digest: "a".repeat(64),
            artifact_uri: format!("oci://registry.example.com/models/team/digits@sha256:{}", "b".repeat(64)),
            artifact_sha256: "b".repeat(64),
            size_bytes: 1,
            opset: 21,
            signature: Signature {
                inputs: tensors(inputs),
                optional_inputs: Vec::new(),
                outputs: tensors(outputs),
            },
            signature_truncated: false,
            golden_count: 8,
            golden_tolerance: "0.001".to_owned(),
            golden_source: GoldenSource::Test,
            golden_random: Vec::new(),
            row_independence: Some(RowIndependence::not(Some(&"n".repeat(500)), &"r".repeat(500))),
            metrics: (0..metrics)
                .map(|i| (format!("metric{i}"), "0.5".to_owned()))
                .collect::<BTreeMap<_, _>>(),
            size: Some(Size {
                load_bytes: u64::MAX,
                rows: vec![
                    RowsSize {
                        rows: u32::MAX,
                        peak_bytes: u64::MAX,
                        runs_per_core_second: "123000000".to_owned(),
                    };
                    3
                ],
            }),
            variants: Vec::new(),
        }
    }

    fn variant(number: usize, size: Option<&Size>) -> VariantReport {
        let third = || "0.333".to_owned();
        let time = |rows| TimeShare { rows, median: third(), low: third(), high: third() };
        VariantReport {
            name: format!("variant-{number}"),
            model_digest: "c".repeat(64),
            size_bytes: 1 << 40,
            figures: Some(VariantFigures {
                metric: Metric::PrecisionWeighted,
                value: "0.123456".to_owned(),
                original: "0.123456".to_owned(),
                disagreement: "0.123456".to_owned(),
                original_bytes: 1 << 41,
                time: vec![time(1), time(32)],
            }),
            size: size.cloned(),
        }
    }

    #[test]
    fn variants_keep_their_names_and_digests_and_lose_what_the_artifact_has_of_them() {
        let mut whole = report(2, 2, 8, 3);
        whole.variants = (0..4).map(|number| variant(number, whole.size.as_ref())).collect();
        whole.row_independence = Some(RowIndependence::yes());
        let short = fit(whole.clone());
        let known = |report: &PublishReport| -> Vec<(String, String)> {
            report.variants.iter().map(|it| (it.name.clone(), it.model_digest.clone())).collect()
        };
        assert_eq!(known(&short), known(&whole));
        // What was measured stays as long as there is room, and the certificate goes first.
        whole.variants.truncate(1);
        whole.size = None;
        let kept = fit(whole.clone()).variants;
        assert_eq!((&kept[0].figures, &kept[0].size), (&whole.variants[0].figures, &None));
    }

    #[test]
    fn a_small_report_stays_as_it_is() {
        assert_eq!(fit(report(2, 2, 8, 3)), report(2, 2, 8, 3));
    }

    #[test]
    fn a_large_signature_is_shortened_and_marked_and_the_metrics_stay() {
        let short = fit(report(40, 40, 20, 3));
        assert!(short.signature_truncated && !short.signature.inputs.is_empty());
        assert!(!short.signature.outputs.is_empty());
        assert_eq!(short.metrics.len(), 3);
    }

    #[test]
    fn no_more_metrics_are_looked_at_than_an_artifact_has_and_none_that_no_artifact_has() {
        let mut whole = report(0, 0, 8, 0);
        (whole.size, whole.row_independence) = (None, None);
        whole.metrics = (0..1000).map(|number| (format!("m{number}"), "1".to_owned())).collect();
        whole.metrics.insert("a".repeat(MAX_METRIC_BYTES + 1), "1".to_owned());
        let short = fit(whole);
        assert_eq!(short.metrics.len(), MAX_METRICS);
        assert!(short.metrics.keys().all(|name| name.starts_with('m')), "{:?}", short.metrics);
    }

    #[test]
    fn labels_give_way_before_names_of_dimensions_and_these_before_tensors() {
        let with = |labels: usize, inputs: usize| {
            let mut report = report(inputs, 1, 8, 3);
            report.row_independence = Some(RowIndependence::yes());
            let output = &mut report.signature.outputs[0];
            output.classes = Some(Classes::of((0..labels).map(|label| format!("label {label:03}"))));
            for tensor in report.signature.inputs.iter_mut().chain(&mut report.signature.outputs) {
                *tensor = std::mem::take(tensor).with_dimensions(["rows", "", "", ""]);
            }
            fit(report).signature
        };
        let told = |signature: &Signature| signature.outputs[0].classes.clone().unwrap();
        let few = told(&with(3, 1));
        assert_eq!((few.count, few.labels.len()), (3, 3));
        let many = told(&with(300, 1));
        assert_eq!((many.count, many.labels[0].as_str()), (300, "label 000"));
        assert!((1..=MAX_VERSION_LABELS).contains(&many.labels.len()), "{many:?}");
        let wide = with(300, 7);
        assert_eq!((told(&wide).count, told(&wide).labels.len()), (300, 0));
        assert_eq!(wide.inputs.len(), 7, "no tensor is left out for a name");
        assert!(wide.inputs.last().unwrap().dimensions.is_empty());
    }

    #[test]
    fn names_that_no_version_can_hold_are_left_out() {
        let mut whole = report(1, 1, 8, 0);
        whole.signature.inputs[0].dimensions = vec!["n".repeat(65), "a\u{7}".to_owned(), "rows".to_owned()];
        whole.signature.outputs[0].classes =
            Some(Classes { count: 3, labels: vec!["a".to_owned(), "l".repeat(257), "b".to_owned()] });
        let short = fit(whole).signature;
        assert_eq!(short.inputs[0].dimensions, ["", "", "rows"]);
        assert_eq!(short.outputs[0].classes.as_ref().unwrap().labels, ["a"]);
    }

    #[test]
    fn long_names_and_many_axes_are_kept_and_what_no_version_can_hold_is_left_out() {
        let with = |name: usize, axes: usize| {
            let mut report = report(2, 1, 8, 3);
            report.signature.inputs[0] = TensorSpec {
                name: "n".repeat(name),
                datatype: "FP32".to_owned(),
                shape: vec![1; axes],
                ..TensorSpec::default()
            };
            report.size = None;
            report.row_independence = None;
            fit(report)
        };
        assert_eq!((with(300, 20).signature.inputs.len(), with(300, 20).signature_truncated), (2, false));
        for (name, axes) in [(MAX_TENSOR_NAME + 1, 1), (8, MAX_TENSOR_AXES + 1)] {
            let short = with(name, axes);
            assert_eq!((short.signature.inputs.len(), short.signature_truncated), (1, true), "{name} {axes}");
            assert_eq!(short.signature.outputs.len(), 1);
        }
    }

    proptest! {
        #[test]
        fn every_report_fits(
            inputs in 0_usize..60,
            outputs in 0_usize..60,
            name in 1_usize..1200,
            metrics in 0_usize..60,
            variants in 0_usize..6,
        ) {
            let mut whole = report(inputs, outputs, name, metrics);
            whole.variants = (0..variants).map(|number| variant(number, whole.size.as_ref())).collect();
            whole.golden_random = whole.signature.outputs.iter().map(|output| output.name.clone()).collect();
            let optional = metrics.min(16);
            whole.signature.optional_inputs = whole.signature.inputs.iter().take(optional).cloned().collect();
            let optional = whole.signature.optional_inputs.len();
            let short = fit(whole);
            prop_assert!(length(&short) <= MAX_REPORT_BYTES);
            let kept = (
                short.signature.inputs.len(),
                short.signature.optional_inputs.len(),
                short.signature.outputs.len(),
            );
            prop_assert_eq!(short.signature_truncated, kept != (inputs, optional, outputs));
            prop_assert!(short.size.is_some_and(|size| size.rows.len() == 3));
        }
    }
}
