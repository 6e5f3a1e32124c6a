//! Values computed by hand, and scikit-learn's own (made by tests/reference/metrics.py).
#![allow(clippy::unwrap_used)]
use serde_json::Value;

use super::*;

fn close(got: f64, expected: f64) -> bool {
    (got - expected).abs() <= 1e-12 * expected.abs().max(1.0)
}

#[track_caller]
fn agree(got: &BTreeMap<Metric, f64>, expected: &[(Metric, f64)]) {
    for (metric, expected) in expected {
        assert!(close(got[metric], *expected), "{}: {} and not {expected}", metric.name(), got[metric]);
    }
}

#[test]
fn shares_of_labels_are_those_computed_by_hand() {
    // Label 0: 2 right of 3 answered and 2 true, so F1 is 4/5; label 1: 1 right of 1 answered and 2 true, F1 2/3.
    let got = classification(&[0, 1, 1, 0], &[0, 1, 0, 0], 2);
    agree(
        &got,
        &[
            (Metric::Accuracy, 0.75),
            (Metric::PrecisionMacro, 5.0 / 6.0),
            (Metric::RecallMacro, 0.75),
            (Metric::F1Macro, 11.0 / 15.0),
        ],
    );
    // Three of label 0 and one of label 1, which is never answered: its shares without cases are 0.
    let got = classification(&[0, 0, 0, 1], &[0, 0, 0, 0], 2);
    agree(
        &got,
        &[
            (Metric::Accuracy, 0.75),
            (Metric::PrecisionMacro, 0.375),
            (Metric::PrecisionWeighted, 0.75 * 0.75),
            (Metric::RecallMacro, 0.5),
            (Metric::RecallWeighted, 0.75),
        ],
    );
}

#[test]
fn a_label_that_does_not_occur_counts_nowhere() {
    assert_eq!(classification(&[0, 1], &[1, 0], 2), classification(&[0, 1], &[1, 0], 9));
}

#[test]
fn the_loss_is_the_logarithm_clipped_at_both_ends() {
    assert!(close(loss(0.5, f64::EPSILON), 2.0_f64.ln()));
    assert!(close(loss(0.0, 1e-7), -(1e-7_f64).ln()));
    assert!(close(loss(1.0, 1e-7), -(1.0 - 1e-7_f64).ln()));
    assert!(close(loss(-0.1, 1e-7), loss(0.0, 1e-7)));
}

#[test]
fn errors_of_numbers_are_those_computed_by_hand() {
    let got = regression(&[1.0, 2.0, 3.0], &[1.0, 3.0, 5.0]);
    // Errors 0, 1, 2; the spread of the truth is 2.
    agree(
        &got,
        &[
            (Metric::MeanSquaredError, 5.0 / 3.0),
            (Metric::MeanAbsoluteError, 1.0),
            (Metric::R2, 1.0 - 5.0 / 2.0),
        ],
    );
    assert!(!regression(&[1.0], &[1.0]).contains_key(&Metric::R2));
}

fn numbers<T: serde::de::DeserializeOwned>(case: &Value, name: &str) -> Vec<T> {
    serde_json::from_value(case[name].clone()).unwrap()
}

#[test]
fn all_metrics_are_scikit_learns() {
    let references: Value =
        serde_json::from_str(include_str!("../../../../tests/reference/metrics.json")).unwrap();
    let mut count = 0;
    let mut compare = |case: &Value, got: &BTreeMap<Metric, f64>| {
        let expected: BTreeMap<Metric, f64> = serde_json::from_value(case["metrics"].clone()).unwrap();
        assert_eq!(got.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        for (metric, expected) in expected {
            assert!(close(got[&metric], expected), "{}: {} and not {expected}", metric.name(), got[&metric]);
            count += 1;
        }
    };
    for case in references["classification"].as_array().unwrap() {
        let (truth, answers): (Vec<u32>, Vec<u32>) = (numbers(case, "truth"), numbers(case, "answers"));
        let labels = truth.iter().chain(&answers).max().map_or(0, |label| *label as usize + 1);
        let mut got = classification(&truth, &answers, labels);
        if case.get("probabilities").is_some() {
            let rows: Vec<Vec<f64>> = numbers(case, "probabilities");
            let losses = rows.iter().zip(&truth).map(|(row, truth)| loss(row[*truth as usize], f64::EPSILON));
            got.insert(Metric::LogLoss, losses.sum::<f64>() / f64::from(u32::try_from(truth.len()).unwrap()));
        }
        compare(case, &got);
        let expected: Vec<Vec<u64>> = numbers(case, "confusion");
        // scikit-learn leaves out labels that do not occur.
        let occurs = |label: &usize| truth.iter().chain(&answers).any(|other| *other as usize == *label);
        let whole = confusion(&truth, &answers, labels);
        let occurring: Vec<Vec<u64>> = (0..labels)
            .filter(occurs)
            .map(|row| (0..labels).filter(occurs).map(|column| whole[row][column]).collect())
            .collect();
        assert_eq!(occurring, expected);
    }
    for case in references["regression"].as_array().unwrap() {
        compare(case, &regression(&numbers(case, "truth"), &numbers(case, "answers")));
    }
    assert!(count > 60, "{count}");
}
