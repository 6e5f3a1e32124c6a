//! The formulas of the metrics, which are scikit-learn's. In go truths and answers; out come numbers. Pure functions.

use std::collections::BTreeMap;

use modelwright_contract::training::Metric;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cases {
    right: u64,
    answered: u64,
    truth: u64,
}

/// A share; one without cases is 0.
#[expect(clippy::cast_precision_loss, reason = "counts of rows are far below 2^53")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// The metrics of labels, given by their numbers below `labels`. Averages are over labels that occur.
#[expect(clippy::cast_precision_loss, reason = "counts of rows are far below 2^53")]
pub fn classification(truth: &[u32], answers: &[u32], labels: usize) -> BTreeMap<Metric, f64> {
    let mut cases = vec![Cases::default(); labels];
    for (truth, answer) in truth.iter().zip(answers) {
        if let Some(case) = cases.get_mut(*truth as usize) {
            case.truth += 1;
            case.right += u64::from(truth == answer);
        }
        if let Some(case) = cases.get_mut(*answer as usize) {
            case.answered += 1;
        }
    }
    cases.retain(|case| case.truth + case.answered > 0);
    let rows = truth.len().min(answers.len()) as u64;
    let right = cases.iter().map(|case| case.right).sum();
    let precision = |case: &Cases| share(case.right, case.answered);
    let recall = |case: &Cases| share(case.right, case.truth);
    let f1 = |case: &Cases| share(2 * case.right, case.answered + case.truth);
    let shares: [&dyn Fn(&Cases) -> f64; 3] = [&precision, &recall, &f1];
    let macros = [Metric::PrecisionMacro, Metric::RecallMacro, Metric::F1Macro];
    let weighteds = [Metric::PrecisionWeighted, Metric::RecallWeighted, Metric::F1Weighted];
    let mut metrics = BTreeMap::from([(Metric::Accuracy, share(right, rows))]);
    for ((of, mean), weighted) in shares.iter().zip(macros).zip(weighteds) {
        let sum: f64 = cases.iter().map(of).sum();
        metrics.insert(mean, if cases.is_empty() { 0.0 } else { sum / cases.len() as f64 });
        let sum: f64 = cases.iter().map(|case| of(case) * case.truth as f64).sum();
        metrics.insert(weighted, if rows == 0 { 0.0 } else { sum / rows as f64 });
    }
    metrics
}

/// How often each label (a column) was answered to each truth (a row).
pub fn confusion(truth: &[u32], answers: &[u32], labels: usize) -> Vec<Vec<u64>> {
    let mut counts = vec![vec![0; labels]; labels];
    for (truth, answer) in truth.iter().zip(answers) {
        if let Some(count) = counts.get_mut(*truth as usize).and_then(|row| row.get_mut(*answer as usize)) {
            *count += 1;
        }
    }
    counts
}

/// What one row adds to the log loss: minus the logarithm of the probability that was given to its truth, clipped to
/// `epsilon` at both ends. Rows are not scaled to a sum of 1, which scikit-learn no longer does either.
pub fn loss(probability: f64, epsilon: f64) -> f64 {
    -probability.clamp(epsilon, 1.0 - epsilon).ln()
}

#[expect(clippy::cast_precision_loss, reason = "counts of rows are far below 2^53")]
pub fn regression(truth: &[f64], answers: &[f64]) -> BTreeMap<Metric, f64> {
    let rows = truth.len().min(answers.len()).max(1) as f64;
    let sum = |of: &dyn Fn(f64, f64) -> f64| -> f64 {
        truth.iter().zip(answers).map(|(truth, answer)| of(*truth, *answer)).sum()
    };
    let squares = sum(&|truth, answer| (truth - answer).powi(2));
    let absolutes = sum(&|truth, answer| (truth - answer).abs());
    let mean = truth.iter().sum::<f64>() / rows;
    let spread = sum(&|truth, _| (truth - mean).powi(2));
    let mut metrics = BTreeMap::from([
        (Metric::MeanSquaredError, squares / rows),
        (Metric::MeanAbsoluteError, absolutes / rows),
    ]);
    // Of a single row the coefficient says nothing.
    if truth.len() >= 2 {
        let explained = match (squares == 0.0, spread == 0.0) {
            (true, _) => 1.0,
            (false, true) => 0.0,
            (false, false) => 1.0 - squares / spread,
        };
        metrics.insert(Metric::R2, explained);
    }
    metrics
}

#[cfg(test)]
mod tests;
