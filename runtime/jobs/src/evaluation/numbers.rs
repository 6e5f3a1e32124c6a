//! The answers to a regression. In go the outputs of each batch; out come metrics.

use std::{collections::BTreeMap, ops::Range};

use modelwright_contract::training::{EVALUATION_FILE, Metric};

use super::{EvaluationError, Measured, labels::one_a_row, metrics, output, part::TestPart};
use modelwright_core::{golden::floats, tensor::Tensor};

#[derive(Debug)]
pub struct NumberAnswers {
    output: String,
    truth: Vec<f64>,
    answers: Vec<f64>,
}

impl NumberAnswers {
    pub fn new(part: &TestPart, output: String) -> Result<Self, EvaluationError> {
        let mut truth = Vec::with_capacity(part.rows());
        for rows in part.batches() {
            truth.extend(part.truth(&rows)?.numbers().into_iter().flatten());
        }
        if let Some((row, odd)) = odd(&truth) {
            return Err(EvaluationError::Part(format!(
                "holds {odd} as the label of row {row}; expected a finite number for each row"
            )));
        }
        Ok(Self { output, truth, answers: Vec::with_capacity(part.rows()) })
    }

    /// Takes the answers of a batch.
    pub fn add(&mut self, rows: &Range<usize>, outputs: &[Tensor]) -> Result<(), EvaluationError> {
        let output = output(outputs, &self.output)?;
        one_a_row(rows, output)?;
        let answers = floats(output);
        if let Some((row, odd)) = odd(&answers) {
            return Err(EvaluationError::Outputs(format!(
                "the graph's output {:?} is {odd} for row {} of {EVALUATION_FILE}; expected a finite number for each row",
                self.output,
                rows.start + row
            )));
        }
        self.answers.extend(answers);
        Ok(())
    }

    /// The number that each row was given.
    pub fn answered(&self) -> &[f64] {
        &self.answers
    }

    /// What came of all rows.
    pub fn measure(&self) -> Measured {
        let metrics = metrics::regression(&self.truth, &self.answers);
        let mut without = BTreeMap::new();
        if !metrics.contains_key(&Metric::R2) {
            without.insert(Metric::R2, format!("it needs two rows at least, and {EVALUATION_FILE} has one"));
        }
        Measured { metrics, without, confusion: None }
    }
}

/// The first number that is none, with its place.
fn odd(numbers: &[f64]) -> Option<(usize, f64)> {
    numbers.iter().copied().enumerate().find(|(_, number)| !number.is_finite())
}
