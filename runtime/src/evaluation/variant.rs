//! How far the answers of a variant are from those of its original. In go two sessions and the test part; out comes one
//! number, 0 for equal answers.

use std::path::Path;

use modelwright_contract::training::Task;

use super::{Answers, EvaluationError, Manner, Roles, run};
use crate::session::Session;

/// Runs both over the whole test part. Of a classification, the share of rows with another label; of a regression, the root of
/// the mean square of the differences, in parts of the standard deviation of the original's answers.
pub fn disagreement(
    (original, its_manner): (&Session, Manner),
    (variant, others_manner): (&Session, Manner),
    file: &Path,
    task: Task,
) -> Result<f64, EvaluationError> {
    let ours = answers(original, its_manner, file, task)?;
    let theirs = answers(variant, others_manner, file, task)?;
    Ok(match (&ours, &theirs) {
        (Answers::Labels(ours), Answers::Labels(theirs)) => {
            let (ours, theirs) = (ours.answered(), theirs.answered());
            let rows = ours.len().max(theirs.len());
            let same = ours.iter().zip(&theirs).filter(|(one, other)| one == other).count();
            share(rows - same, rows)
        }
        (Answers::Numbers(ours), Answers::Numbers(theirs)) => deviation(ours.answered(), theirs.answered()),
        // Both are asked for the same task.
        _ => 1.0,
    })
}

fn answers(session: &Session, manner: Manner, file: &Path, task: Task) -> Result<Answers, EvaluationError> {
    let roles = Roles::find(session.signature(), task)?;
    let wanted = roles.outputs();
    let part = Manner { of_variant: true, ..manner }.read(file, session.signature(), task)?;
    let mut answers = Answers::new(&part, roles)?;
    for rows in part.batches() {
        answers.add(&rows, &run(session, &part, &rows, &wanted)?)?;
    }
    Ok(answers)
}

#[expect(clippy::cast_precision_loss, reason = "counts of rows are far below 2^53")]
fn share(some: usize, of: usize) -> f64 {
    some as f64 / of.max(1) as f64
}

#[expect(clippy::cast_precision_loss, reason = "counts of rows are far below 2^53")]
fn deviation(ours: &[f64], theirs: &[f64]) -> f64 {
    let rows = ours.len().max(1) as f64;
    let mean = ours.iter().sum::<f64>() / rows;
    let spread = (ours.iter().map(|number| (number - mean).powi(2)).sum::<f64>() / rows).sqrt();
    let squares = ours.iter().zip(theirs).map(|(one, other)| (one - other).powi(2)).sum::<f64>();
    let difference = (squares / rows).sqrt();
    if difference == 0.0 {
        0.0
    } else if spread > 0.0 {
        difference / spread
    } else {
        // All answers of the original are one number, and these are others.
        1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_held_against_how_far_the_originals_answers_spread() {
        let near = |one: f64, other: f64| (one - other).abs() < 1e-12;
        assert!(near(deviation(&[1.0, 3.0], &[1.0, 3.0]), 0.0));
        // Spread of 1, and differences of 0.1 and 0.1.
        assert!(near(deviation(&[1.0, 3.0], &[1.1, 2.9]), 0.1));
        assert!(near(deviation(&[1000.0, 3000.0], &[1100.0, 2900.0]), 0.1));
        assert!(near(deviation(&[2.0, 2.0], &[2.0, 2.1]), 1.0));
        assert!(near(deviation(&[2.0, 2.0], &[2.0, 2.0]), 0.0));
        assert!(deviation(&[1.0, 3.0], &[f64::NAN, 3.0]).is_nan());
    }
}
