//! How far the answers of a variant are from those of its original. In go two sessions and the test part; out comes one
//! number, 0 for equal answers.

use std::{collections::VecDeque, ops::Range, path::Path};

use modelwright_contract::training::Task;

use super::{Answers, EvaluationError, Manner, Roles, TestPart, run};
use modelwright_core::session::Session;

/// Runs both over the whole test part. Of a classification, the share of rows with another label, or, where that is more, of the
/// probability that went to other classes; of a regression, the root of the mean square of the differences, in parts of the
/// standard deviation of the original's answers.
pub fn disagreement(
    original: (&Session, Manner),
    variant: (&Session, Manner),
    file: &Path,
    task: Task,
) -> Result<f64, EvaluationError> {
    let (mut ours, mut theirs) = (Asked::new(original, file, task)?, Asked::new(variant, file, task)?);
    let mut moved = 0.0;
    // Each in its own batches, and the one that is behind goes on: so no more is kept than one batch of each.
    loop {
        let goes_on = if ours.done <= theirs.done { ours.ask()? } else { theirs.ask()? };
        if !goes_on {
            break;
        }
        let rows = ours.given.len().min(theirs.given.len());
        let pairs = ours.given.drain(..rows).zip(theirs.given.drain(..rows));
        moved += pairs.map(|(one, other)| distance(&one, &other)).sum::<f64>();
    }
    Ok(match (&ours.answers, &theirs.answers) {
        (Answers::Labels(ours), Answers::Labels(theirs)) => {
            let moved = if ours.has_probabilities() { moved } else { 0.0 };
            let (ours, theirs) = (ours.answered(), theirs.answered());
            let rows = ours.len().max(theirs.len());
            let same = ours.iter().zip(&theirs).filter(|(one, other)| one == other).count();
            share(rows - same, rows).max(of_rows(moved, rows))
        }
        (Answers::Numbers(ours), Answers::Numbers(theirs)) => deviation(ours.answered(), theirs.answered()),
        // Both are asked for the same task.
        _ => 1.0,
    })
}

/// A model that is asked batch by batch.
struct Asked<'a> {
    session: &'a Session,
    part: TestPart,
    batches: std::vec::IntoIter<Range<usize>>,
    wanted: Vec<String>,
    answers: Answers,
    done: usize,
    /// Of rows that the other was not asked yet, the probabilities.
    given: VecDeque<Vec<f64>>,
}

impl<'a> Asked<'a> {
    fn new(
        (session, manner): (&'a Session, Manner),
        file: &Path,
        task: Task,
    ) -> Result<Self, EvaluationError> {
        let roles = Roles::find(session.signature(), task)?;
        let wanted = roles.outputs();
        let part = Manner { of_variant: true, ..manner }.read(file, session.signature(), task)?;
        let answers = Answers::new(&part, roles)?;
        let batches = part.batches().collect::<Vec<_>>().into_iter();
        Ok(Self { session, part, batches, wanted, answers, done: 0, given: VecDeque::new() })
    }

    /// Asks the next rows, unless there are none.
    fn ask(&mut self) -> Result<bool, EvaluationError> {
        let Some(rows) = self.batches.next() else { return Ok(false) };
        self.answers.add(&rows, &run(self.session, &self.part, &rows, &self.wanted)?)?;
        self.done = rows.end;
        if let Answers::Labels(answers) = &mut self.answers {
            self.given.extend(answers.take_probabilities());
        }
        Ok(true)
    }
}

/// The probability of a row that one gives to other classes than the other does: 0 for the same, 1 for none in common.
fn distance(one: &[f64], other: &[f64]) -> f64 {
    let sum: f64 = one.iter().zip(other).map(|(one, other)| (one - other).abs()).sum();
    (sum / 2.0).min(1.0)
}

#[expect(clippy::cast_precision_loss, reason = "counts of rows are far below 2^53")]
fn of_rows(sum: f64, rows: usize) -> f64 {
    sum / rows.max(1) as f64
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
    fn a_row_is_as_far_as_the_probability_that_went_to_other_classes() {
        let near = |one: f64, other: f64| (one - other).abs() < 1e-12;
        assert!(near(distance(&[0.9, 0.1], &[0.9, 0.1]), 0.0));
        assert!(near(distance(&[0.9, 0.1, 0.0], &[0.6, 0.1, 0.3]), 0.3));
        assert!(near(distance(&[1.0, 0.0], &[0.0, 1.0]), 1.0));
        // Of classes that do not exclude each other.
        assert!(near(distance(&[1.0, 1.0, 1.0], &[0.0, 0.0, 0.0]), 1.0));
    }

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
