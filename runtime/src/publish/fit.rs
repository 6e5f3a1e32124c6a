//! Makes a report fit into a termination message. In goes a whole report; out comes one with as many tensors of the
//! signature, then as many metrics, as there is room for.

use modelwright_contract::{
    report::{MAX_REPORT_BYTES, PublishReport, Report},
    signature::Signature,
};

/// Most tensors on each side of a signature that a ModelVersion holds.
const MAX_TENSORS: usize = 16;
/// Longest name of a tensor, and most of its axes, that a ModelVersion holds.
const MAX_NAME: usize = 1024;
const MAX_AXES: usize = 256;

/// Shortens a report until it fits, and marks it if its signature was shortened.
pub fn fit(mut report: PublishReport) -> PublishReport {
    let whole = report.signature.inputs.len().max(report.signature.outputs.len()) <= MAX_TENSORS;
    report.signature.inputs.truncate(MAX_TENSORS);
    report.signature.outputs.truncate(MAX_TENSORS);
    report.signature_truncated |= !whole;
    let Signature { inputs, optional_inputs, outputs } = &mut report.signature;
    for side in [inputs, optional_inputs, outputs] {
        let before = side.len();
        side.retain(|tensor| tensor.name.chars().count() <= MAX_NAME && tensor.shape.len() <= MAX_AXES);
        report.signature_truncated |= side.len() < before;
    }
    report.golden_random.retain(|name| name.chars().count() <= MAX_NAME);
    report.golden_random.truncate(MAX_TENSORS);
    while length(&report) > MAX_REPORT_BYTES {
        let signature = &mut report.signature;
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
        } else if report.metrics.pop_last().is_none() {
            break;
        }
    }
    report
}

fn length(report: &PublishReport) -> usize {
    serde_json::to_string(&Report::Succeeded(report)).map_or(usize::MAX, |text| text.len())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use modelwright_contract::{
        artifact::GoldenSource,
        rows::RowIndependence,
        signature::TensorSpec,
        size::{RowsSize, Size},
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
                optional_inputs: tensors(metrics.min(16)),
                outputs: tensors(outputs),
            },
            signature_truncated: false,
            golden_count: 8,
            golden_tolerance: "0.001".to_owned(),
            golden_source: GoldenSource::Test,
            golden_random: (0..outputs).map(|i| format!("{i:0name$}")).collect(),
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
        }
    }

    #[test]
    fn a_small_report_stays_as_it_is() {
        assert_eq!(fit(report(2, 2, 8, 3)), report(2, 2, 8, 3));
    }

    #[test]
    fn a_large_signature_is_shortened_and_marked_and_the_metrics_stay() {
        let short = fit(report(40, 40, 20, 3));
        assert!(short.signature_truncated && !short.signature.inputs.is_empty());
        assert!(short.signature.optional_inputs.is_empty(), "they go first");
        assert!(!short.signature.outputs.is_empty());
        assert_eq!(short.metrics.len(), 3);
    }

    proptest! {
        #[test]
        fn every_report_fits(inputs in 0_usize..60, outputs in 0_usize..60, name in 1_usize..1200, metrics in 0_usize..60) {
            let short = fit(report(inputs, outputs, name, metrics));
            prop_assert!(length(&short) <= MAX_REPORT_BYTES);
            let kept = (
                short.signature.inputs.len(),
                short.signature.optional_inputs.len(),
                short.signature.outputs.len(),
            );
            prop_assert_eq!(short.signature_truncated, kept != (inputs, metrics.min(16), outputs));
            prop_assert!(short.size.is_some_and(|size| size.rows.len() == 3));
        }
    }
}
