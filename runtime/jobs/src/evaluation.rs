//! Judges a trained model on its test part, by its own answers. In go a session and the file that `train` left; out come
//! every metric of the task and the confusion matrix, or why nothing can be said. What `train` itself says about the
//! model is not read here, but for its answers, which must be those of the session.
//!
//! [`part`] reads the file, [`roles`] finds out which outputs answer, `labels` and `numbers` collect the answers batch
//! by batch, [`metrics`] computes, `reproduce` compares with the answers that `train` had, and [`gates`] is what a model
//! must reach. Memory is bounded by the file and one batch.

mod elements;
pub mod gates;
mod labels;
pub mod metrics;
mod numbers;
pub mod part;
mod reproduce;
mod roles;
pub mod variant;

use std::{collections::BTreeMap, path::Path};

use modelwright_contract::{
    artifact::Confusion,
    signature::{Classes, Signature},
    training::{EVALUATION_FILE, Metric, Task},
};
use serde::{Deserialize, Serialize};

use self::{
    elements::Label, labels::LabelAnswers, numbers::NumberAnswers, part::TestPart, reproduce::Comparison,
    roles::Roles,
};
use modelwright_core::{
    npz::NpzError,
    session::{RunError, Session},
    tensor::Tensor,
};

/// A model that cannot be judged, or is not the one that was trained.
#[derive(Debug, thiserror::Error)]
pub enum EvaluationError {
    /// The file is not what the graph takes.
    #[error("{EVALUATION_FILE} {0}")]
    Part(String),
    /// The file cannot be read.
    #[error("{EVALUATION_FILE} is refused: {0}")]
    Npz(#[from] NpzError),
    /// The outputs are no answers to the task.
    #[error("{0}")]
    Outputs(String),
    /// The model does not answer.
    #[error("rows {first} to {last} of {EVALUATION_FILE} have no answer: {source}")]
    Run {
        /// First row of the batch.
        first: usize,
        last: usize,
        source: RunError,
    },
    /// Other answers than those of `train`.
    #[error("{0}")]
    NotReproducible(String),
}

/// What came of the test part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Rows of the test part.
    pub rows: u64,
    pub metrics: BTreeMap<Metric, Value>,
    /// Metrics that could not be computed, and why.
    pub without: BTreeMap<Metric, String>,
    /// Classification: what was answered to which truth.
    pub confusion: Option<Confusion>,
    /// Rows to which `train` had another answer; few enough.
    pub differing: u64,
}

/// A number that comes through JSON bit by bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Value(u64);

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self(number.to_bits())
    }
}

impl Value {
    pub fn get(self) -> f64 {
        f64::from_bits(self.0)
    }
}

/// What is measured, without what it says about single rows.
struct Measured {
    metrics: BTreeMap<Metric, f64>,
    without: BTreeMap<Metric, String>,
    confusion: Option<Confusion>,
}

/// Collects the answers of one task.
enum Answers {
    Labels(LabelAnswers),
    Numbers(NumberAnswers),
}

impl Answers {
    fn new(part: &TestPart, roles: Roles) -> Result<Self, EvaluationError> {
        Ok(match roles {
            Roles::Label(outputs) => Self::Labels(LabelAnswers::new(part, outputs)?),
            Roles::Number(output) => Self::Numbers(NumberAnswers::new(part, output)?),
        })
    }

    fn add(&mut self, rows: &std::ops::Range<usize>, outputs: &[Tensor]) -> Result<(), EvaluationError> {
        match self {
            Self::Labels(answers) => answers.add(rows, outputs),
            Self::Numbers(answers) => answers.add(rows, outputs),
        }
    }

    fn measure(&self) -> Measured {
        match self {
            Self::Labels(answers) => answers.measure(),
            Self::Numbers(answers) => answers.measure(),
        }
    }
}

pub struct Judged {
    pub evaluation: Evaluation,
    /// The test part, for golden samples.
    pub part: TestPart,
    /// The group of each row, for samples that are spread over labels.
    pub groups: Vec<u32>,
    /// The output of a classification that has classes, and their labels.
    pub classes: Option<(String, Classes)>,
}

/// How the test part is run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// Whether the model is a variant, whose answers need not be those of `train`.
    pub of_variant: bool,
    /// Whether rows are run one by one, since they are not independent: nobody knows with which others each will be asked.
    pub one_by_one: bool,
}

impl Manner {
    fn read(self, file: &Path, signature: &Signature, task: Task) -> Result<TestPart, EvaluationError> {
        let part = TestPart::read(file, signature, task)?;
        let part = if self.of_variant { part.without_answers() } else { part };
        Ok(if self.one_by_one { part.one_by_one() } else { part })
    }
}

/// Runs the whole test part and measures.
pub fn evaluate(
    session: &Session,
    file: &Path,
    task: Task,
    manner: Manner,
) -> Result<Judged, EvaluationError> {
    let signature = session.signature();
    let roles = Roles::find(signature, task)?;
    let part = manner.read(file, signature, task)?;
    let mut wanted = roles.outputs();
    wanted.extend(part.answers().map(|(name, _)| name.to_owned()));
    wanted.sort_unstable();
    wanted.dedup();
    let columns = roles.columns().map(str::to_owned);
    let labels = part.classes().map(|labels| Classes::of(labels.iter().map(Label::text)));
    let classes = columns.zip(labels);
    let mut comparison = Comparison::new(&part)?;
    let mut answers = Answers::new(&part, roles)?;
    for rows in part.batches() {
        let outputs = run(session, &part, &rows, &wanted)?;
        answers.add(&rows, &outputs)?;
        comparison.add(&part, &rows, &outputs)?;
    }
    let differing = comparison.judge(part.rows())?;
    let measured = answers.measure();
    let mut without = measured.without;
    let mut metrics = BTreeMap::new();
    for (metric, number) in measured.metrics {
        if number.is_finite() {
            metrics.insert(metric, Value::from(number));
        } else {
            without.insert(metric, "it is too large for a number".to_owned());
        }
    }
    let groups = match answers {
        Answers::Labels(answers) => answers.into_truth(),
        Answers::Numbers(_) => vec![0; part.rows()],
    };
    let evaluation = Evaluation {
        rows: part.rows() as u64,
        metrics,
        without,
        confusion: measured.confusion,
        differing: differing as u64,
    };
    Ok(Judged { evaluation, part, groups, classes })
}

/// The outputs of some rows.
fn run(
    session: &Session,
    part: &TestPart,
    rows: &std::ops::Range<usize>,
    wanted: &[String],
) -> Result<Vec<Tensor>, EvaluationError> {
    let inputs = part.inputs(rows)?;
    session.run(&inputs, wanted).map_err(|source| match source {
        RunError::Input(error) => EvaluationError::Part(format!("does not fit the graph: {error}")),
        source => EvaluationError::Run { first: rows.start, last: rows.end.saturating_sub(1), source },
    })
}

/// The output of this name among those of a run, which asked for it.
fn output<'a>(outputs: &'a [Tensor], name: &str) -> Result<&'a Tensor, EvaluationError> {
    outputs
        .iter()
        .find(|tensor| tensor.name == name)
        .ok_or_else(|| EvaluationError::Outputs(format!("the graph gave no output {name:?}")))
}
