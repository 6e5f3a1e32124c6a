//! The answers to a classification. In go the outputs of each batch; out come metrics and the confusion matrix.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use modelwright_contract::{
    artifact::Confusion,
    training::{EVALUATION_FILE, Metric},
};

use super::{
    EvaluationError, Measured,
    elements::{Elements, Label},
    metrics, output,
    part::TestPart,
    roles::LabelOutputs,
};
use modelwright_core::{
    golden::floats,
    tensor::{Datatype, Shape, Tensor},
};

/// Most labels of a confusion matrix: its size is their square.
const MAX_CONFUSION: usize = 100;

/// Labels by number, in the order in which they came.
#[derive(Debug, Default)]
struct Numbers(BTreeMap<Label, u32>);

impl Numbers {
    fn of(&mut self, label: Label) -> u32 {
        // There are no more labels than rows and classes, whose number is bounded.
        let next = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        *self.0.entry(label).or_insert(next)
    }
}

#[derive(Debug)]
pub struct LabelAnswers {
    outputs: LabelOutputs,
    numbers: Numbers,
    classes: Vec<u32>,
    truth: Vec<u32>,
    answers: Vec<u32>,
    kind: &'static str,
    losses: Result<f64, String>,
    /// Of the last rows.
    probabilities: Vec<Vec<f64>>,
}

impl LabelAnswers {
    pub fn new(part: &TestPart, outputs: LabelOutputs) -> Result<Self, EvaluationError> {
        let mut numbers = Numbers::default();
        let mut truth = Vec::with_capacity(part.rows());
        let mut kind = "integers";
        for rows in part.batches() {
            for label in part.truth(&rows)?.labels().into_iter().flatten() {
                kind = label.kind();
                truth.push(numbers.of(label));
            }
        }
        let classes = match (part.classes(), &outputs.probabilities) {
            (None, Some(output)) => {
                return Err(EvaluationError::Part(format!(
                    "lacks the array \"classes\": the labels in the order of the columns of the output {output:?}"
                )));
            }
            (classes, _) => classes.unwrap_or_default(),
        };
        if let Some(class) = classes.iter().find(|class| class.kind() != kind) {
            return Err(EvaluationError::Part(format!(
                "holds \"classes\" of {} and \"labels\" of {kind}; expected both of one kind",
                class.kind()
            )));
        }
        let classes = classes.iter().map(|class| numbers.of(class.clone())).collect();
        let losses = match outputs.probabilities {
            Some(_) => Ok(0.0),
            None => Err("the graph has no output `probabilities`".to_owned()),
        };
        Ok(Self {
            outputs,
            numbers,
            classes,
            truth,
            answers: Vec::with_capacity(part.rows()),
            kind,
            losses,
            probabilities: Vec::new(),
        })
    }

    /// Takes the answers of a batch.
    pub fn add(&mut self, rows: &Range<usize>, outputs: &[Tensor]) -> Result<(), EvaluationError> {
        let LabelOutputs { label, probabilities } = self.outputs.clone();
        let mut answers = Vec::new();
        if let Some(name) = probabilities {
            answers = self.add_probabilities(rows, output(outputs, &name)?)?;
        }
        if let Some(name) = label {
            answers = self.labels(rows, output(outputs, &name)?)?;
        }
        self.answers.append(&mut answers);
        Ok(())
    }

    /// The labels that an output gives.
    fn labels(&mut self, rows: &Range<usize>, output: &Tensor) -> Result<Vec<u32>, EvaluationError> {
        one_a_row(rows, output)?;
        let unreadable =
            |why: String| EvaluationError::Outputs(format!("the graph's output {:?} {why}", output.name));
        let elements = Elements::of(output).map_err(unreadable)?;
        let kind = elements.kind();
        if kind != self.kind {
            return Err(EvaluationError::Part(format!(
                "holds \"labels\" of {}, and the graph's output {:?} gives {kind}; expected both of one kind",
                self.kind, output.name
            )));
        }
        Ok(elements.labels().into_iter().flatten().map(|label| self.numbers.of(label)).collect())
    }

    /// Adds up the loss, and gives the labels with the largest probabilities.
    fn add_probabilities(
        &mut self,
        rows: &Range<usize>,
        output: &Tensor,
    ) -> Result<Vec<u32>, EvaluationError> {
        let columns = self.columns(rows, output)?;
        let epsilon = epsilon(output.datatype);
        let numbers = floats(output);
        let mut answers = Vec::with_capacity(rows.len());
        self.probabilities.clear();
        for (row, given) in rows.clone().zip(numbers.chunks(columns)) {
            let pair;
            let given = match given {
                // One column is the probability of the second class.
                [second] => {
                    pair = [1.0 - second, *second];
                    &pair
                }
                given => given,
            };
            if let Some(odd) = given.iter().find(|number| !number.is_finite()) {
                return Err(EvaluationError::Outputs(format!(
                    "the graph's output {:?} is {odd} for row {row} of {EVALUATION_FILE}; expected a finite number for \
                     each class",
                    output.name
                )));
            }
            // The first of the largest, as in NumPy.
            let mut best = 0;
            for (at, number) in given.iter().enumerate() {
                if given.get(best).is_some_and(|largest| number > largest) {
                    best = at;
                }
            }
            answers.extend(self.classes.get(best));
            self.probabilities.push(given.to_vec());
            // As far beyond 0 and 1 as a sum of rounded numbers may be.
            let slack = epsilon.sqrt();
            if let Some(score) = given.iter().find(|number| !(-slack..=1.0 + slack).contains(*number)) {
                if self.losses.is_ok() {
                    self.losses = Err(format!(
                        "the graph's output {:?} gives no probabilities: it is {score} for row {row}",
                        output.name
                    ));
                }
            } else if let (Ok(losses), Some(truth)) = (&mut self.losses, self.truth.get(row)) {
                let at = self.classes.iter().position(|class| class == truth);
                // A truth that the model does not know has no probability.
                let probability = at.and_then(|at| given.get(at)).copied().unwrap_or(0.0);
                *losses += metrics::loss(probability, epsilon);
            }
        }
        Ok(answers)
    }

    /// Columns of an output with one number for each class.
    fn columns(&self, rows: &Range<usize>, output: &Tensor) -> Result<usize, EvaluationError> {
        let count = |size: &i64| usize::try_from(*size).unwrap_or_default();
        let sizes: Vec<usize> = output.shape.iter().map(count).collect();
        let columns = match sizes.as_slice() {
            [found] if *found == rows.len() => Some(1),
            [found, columns] if *found == rows.len() => Some(*columns),
            _ => None,
        };
        let classes = self.classes.len();
        let fits = |columns: &usize| *columns == classes && classes > 1 || *columns == 1 && classes == 2;
        columns.filter(fits).ok_or_else(|| {
            EvaluationError::Outputs(format!(
                "the graph's output {:?} has the shape {} for {} rows, and {EVALUATION_FILE} names {classes} classes; \
                 expected a row for each row, with a column for each class (or one for the second of two)",
                output.name,
                Shape(&output.shape),
                rows.len()
            ))
        })
    }

    /// What came of all rows.
    #[expect(clippy::cast_precision_loss, reason = "counts of rows are far below 2^53")]
    pub fn measure(&self) -> Measured {
        let labels = self.numbers.0.len();
        let mut metrics = metrics::classification(&self.truth, &self.answers, labels);
        let mut without = BTreeMap::new();
        match &self.losses {
            Ok(losses) => {
                metrics.insert(Metric::LogLoss, losses / self.truth.len().max(1) as f64);
            }
            Err(why) => {
                without.insert(Metric::LogLoss, why.clone());
            }
        }
        Measured { metrics, without, confusion: self.confusion() }
    }

    /// The matrix over the labels that occur, in their order, unless they are too many.
    fn confusion(&self) -> Option<Confusion> {
        let used: BTreeSet<u32> = self.truth.iter().chain(&self.answers).copied().collect();
        if used.len() > MAX_CONFUSION {
            return None;
        }
        let mut labels = Vec::with_capacity(used.len());
        let mut columns: BTreeMap<u32, u32> = BTreeMap::new();
        for (label, number) in self.numbers.0.iter().filter(|(_, number)| used.contains(number)) {
            columns.insert(*number, u32::try_from(labels.len()).unwrap_or(u32::MAX));
            labels.push(label.shown());
        }
        let placed = |numbers: &[u32]| -> Vec<u32> {
            numbers.iter().filter_map(|number| columns.get(number).copied()).collect()
        };
        let counts = metrics::confusion(&placed(&self.truth), &placed(&self.answers), labels.len());
        Some(Confusion { labels, counts })
    }

    /// The label that each row was given.
    pub fn answered(&self) -> Vec<&Label> {
        let mut labels: Vec<Option<&Label>> = vec![None; self.numbers.0.len()];
        for (label, number) in &self.numbers.0 {
            if let Some(place) = labels.get_mut(*number as usize) {
                *place = Some(label);
            }
        }
        self.answers.iter().filter_map(|number| *labels.get(*number as usize)?).collect()
    }

    /// What the rows that came last were given for each class, once.
    pub fn take_probabilities(&mut self) -> Vec<Vec<f64>> {
        std::mem::take(&mut self.probabilities)
    }

    /// Whether all that was given for a class is a probability, and no score.
    pub fn has_probabilities(&self) -> bool {
        self.losses.is_ok()
    }

    /// The label of each row, by number.
    pub fn into_truth(self) -> Vec<u32> {
        self.truth
    }
}

/// Refuses an output that has not one element for each row.
pub(super) fn one_a_row(rows: &Range<usize>, output: &Tensor) -> Result<(), EvaluationError> {
    let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    if output.shape == [count] || output.shape == [count, 1] {
        return Ok(());
    }
    Err(EvaluationError::Outputs(format!(
        "the graph's output {:?} has the shape {} for {} rows of {EVALUATION_FILE}; expected one answer a row, of shape \
         (rows,) or (rows, 1)",
        output.name,
        Shape(&output.shape),
        rows.len()
    )))
}

/// The smallest step from 1 to the next number.
fn epsilon(datatype: Datatype) -> f64 {
    match datatype {
        Datatype::Fp16 => half::f16::EPSILON.to_f64(),
        Datatype::Bf16 => half::bf16::EPSILON.to_f64(),
        Datatype::Fp32 => f64::from(f32::EPSILON),
        _ => f64::EPSILON,
    }
}
