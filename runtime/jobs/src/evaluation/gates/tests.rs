//! Bounds, misses and how numbers are written.
#![allow(clippy::unwrap_used)]
use std::collections::BTreeMap;

use modelwright_contract::training::Task;
use proptest::prelude::*;

use super::*;

fn gate(metric: Metric, min: Option<&str>, max: Option<&str>) -> Gate {
    Gate { metric, min: min.map(str::to_owned), max: max.map(str::to_owned) }
}

fn judgement(gates: &[Gate]) -> Judgement {
    Judgement { task: Task::Classification, gates: gates.to_vec() }
}

fn evaluation(metrics: &[(Metric, f64)]) -> Evaluation {
    Evaluation {
        rows: 40,
        metrics: metrics.iter().map(|(metric, value)| (*metric, (*value).into())).collect(),
        without: BTreeMap::from([(Metric::LogLoss, "the graph has no output `probabilities`".to_owned())]),
        confusion: None,
        differing: 0,
    }
}

fn checked(gates: &[Gate], metrics: &[(Metric, f64)]) -> Result<(), Missed> {
    check(&read(&judgement(gates)).unwrap(), &evaluation(metrics))
}

#[test]
fn every_missed_gate_is_told_with_its_distance_and_those_that_hold_are_not() {
    let gates = [
        gate(Metric::Accuracy, Some("0.95"), None),
        gate(Metric::F1Macro, Some("0.5"), Some("0.6")),
        gate(Metric::RecallMacro, Some("0.7"), Some("0.9")),
    ];
    let metrics = [(Metric::Accuracy, 0.5), (Metric::F1Macro, 0.75), (Metric::RecallMacro, 0.8)];
    assert_eq!(
        checked(&gates, &metrics),
        Err(Missed::Values(
            "Accuracy is 0.5, and at least 0.95 was asked for (missed by 0.45); F1Macro is 0.75, and at most 0.6 was \
             asked for (missed by 0.15) on the 40 rows of the test part (evaluation.npz), computed from the model's own \
             answers. No version is made; train a better model, or lower the gate"
                .to_owned()
        ))
    );
}

#[test]
fn a_bound_that_is_met_exactly_or_up_to_rounding_holds() {
    let gates = [gate(Metric::Accuracy, Some("0.9"), Some("0.9"))];
    for value in [0.9, 0.9_f64.next_down(), 0.9_f64.next_up(), 0.3 + 0.6] {
        assert_eq!(checked(&gates, &[(Metric::Accuracy, value)]), Ok(()), "{value}");
    }
    let Err(Missed::Values(text)) = checked(&gates, &[(Metric::Accuracy, 0.899_999_999)]) else {
        unreachable!("it is missed")
    };
    assert!(
        text.starts_with("Accuracy is 0.899999999, and at least 0.9 was asked for (missed by 0.000000001)"),
        "{text}"
    );
}

#[test]
fn a_gate_on_what_cannot_be_computed_says_why() {
    let Err(Missed::Unknown(text)) = checked(&[gate(Metric::LogLoss, None, Some("0.3"))], &[]) else {
        unreachable!("it is missed")
    };
    assert!(text.contains("LogLoss cannot be computed: the graph has no output `probabilities`"), "{text}");
}

#[test]
fn a_gate_that_says_nothing_or_nonsense_is_refused_with_its_metric() {
    for (gate, part) in [
        (gate(Metric::Accuracy, None, None), "Accuracy has neither min nor max"),
        (
            gate(Metric::Accuracy, Some("0.9"), Some("0.8")),
            "min of Accuracy is 0.9 and larger than max, 0.8: nothing can pass",
        ),
        (
            gate(Metric::R2, Some("0.9"), None),
            "R2 is a metric of a Regression, and the task is Classification",
        ),
        (
            gate(Metric::LogLoss, None, Some("low")),
            "max of LogLoss is \"low\"; expected a decimal number like 0.95",
        ),
    ] {
        assert_eq!(read(&judgement(&[gate])).unwrap_err(), part.to_owned());
    }
    for bad in [
        "",
        "-",
        ".5",
        "5.",
        "1e3",
        "NaN",
        "inf",
        "+1",
        " 1",
        "1 ",
        "1,5",
        "0x1",
        "--1",
        "1.2.3",
        &"9".repeat(65),
    ] {
        assert_eq!(decimal(bad), None, "{bad}");
    }
    for (good, number) in [("0", 0.0), ("-0.5", -0.5), ("0.95", 0.95), ("100", 100.0), ("00.10", 0.1)] {
        assert_eq!(decimal(good), Some(number));
    }
}

#[test]
fn numbers_are_written_with_six_significant_digits() {
    for (number, text) in [
        (0.0, "0"),
        (-0.0, "0"),
        (1.0, "1"),
        (0.5, "0.5"),
        (2.0 / 3.0, "0.666667"),
        (1234.5678, "1234.57"),
        (-12_345_678.0, "-12345700"),
        (0.000_012_345_678, "0.0000123457"),
        (1e-20, "0.00000000000000000001"),
        (1e20, "1e20"),
        (1.234_567_8e300, "1.23457e300"),
        (1e-300, "1e-300"),
    ] {
        assert_eq!(shown(number), text);
    }
}

proptest! {
    #[test]
    fn a_number_is_written_short_and_near(number in prop::num::f64::NORMAL | prop::num::f64::ZERO) {
        let text = shown(number);
        let back: f64 = text.parse().unwrap();
        prop_assert!(text.len() <= 32, "{}", text);
        prop_assert!((back / 1e6 - number / 1e6).abs() <= number.abs() / 1e6 * 5e-6 + f64::MIN_POSITIVE, "{} {}", number, text);
        prop_assert_eq!(shown(back), text);
    }

    #[test]
    fn no_text_makes_a_bound_panic(text in "\\PC{0,70}|-?[0-9.]{0,70}") {
        let _ = decimal(&text);
    }
}
