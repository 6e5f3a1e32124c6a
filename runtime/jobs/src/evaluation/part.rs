//! The test part that `train` left. In go a file and the signature of the graph; out comes a part whose arrays fit the
//! graph and one another, or what does not fit, what was expected, and what to write instead.

use std::{ops::Range, path::Path};

use modelwright_contract::{
    signature::{Signature, TensorSpec},
    training::Task,
};

use super::{
    EvaluationError,
    elements::{Elements, Label},
};
use modelwright_core::{
    npz::{Array, Npz},
    tensor::{Shape, Tensor},
};

const MAX_ROWS: usize = 10_000_000;
/// Most rows and bytes that are run at once.
const BATCH_ROWS: usize = 1024;
const BATCH_BYTES: usize = 16 * 1024 * 1024;

/// A test part that fits its graph.
#[derive(Debug)]
pub struct TestPart {
    rows: usize,
    batch: usize,
    fixed: bool,
    inputs: Vec<(String, Array)>,
    labels: Array,
    classes: Option<Vec<Label>>,
    answers: Vec<(String, Array)>,
}

fn refused(why: impl Into<String>) -> EvaluationError {
    EvaluationError::Part(why.into())
}

impl TestPart {
    pub fn read(file: &Path, signature: &Signature, task: Task) -> Result<Self, EvaluationError> {
        let mut npz = Npz::open(file)?;
        let Some(labels) = npz.array("labels")? else {
            return Err(refused(format!(
                "lacks the array \"labels\" with the truth of each row; it holds {}",
                held(&npz)
            )));
        };
        let rows = check_labels(&labels, task)?;
        let mut inputs = Vec::with_capacity(signature.inputs.len());
        for expected in &signature.inputs {
            let name = format!("inputs/{}", expected.name);
            let Some(array) = npz.array(&name)? else {
                return Err(refused(format!(
                    "lacks the array {name:?}: the graph takes {}; it holds {}",
                    described(expected),
                    held(&npz)
                )));
            };
            check_input(&array, expected, rows)?;
            inputs.push((expected.name.clone(), array));
        }
        let strange = |prefix: &str, tensors: &[TensorSpec]| {
            let names = npz.names().filter_map(|name| name.strip_prefix(prefix));
            names.map(str::to_owned).find(|name| tensors.iter().all(|tensor| tensor.name != *name))
        };
        if let Some(name) = strange("inputs/", &signature.inputs) {
            return Err(refused(format!(
                "holds \"inputs/{name}\", and the graph has no input {name:?}; it takes {}",
                all(&signature.inputs)
            )));
        }
        if let Some(name) = strange("outputs/", &signature.outputs) {
            return Err(refused(format!(
                "holds \"outputs/{name}\", and the graph has no output {name:?}; it gives {}",
                all(&signature.outputs)
            )));
        }
        let classes = match npz.array("classes")? {
            Some(array) => Some(read_classes(&array)?),
            None => None,
        };
        let mut answers = Vec::new();
        for output in &signature.outputs {
            let Some(array) = npz.array(&format!("outputs/{}", output.name))? else { continue };
            if array.rows() != Some(rows) {
                return Err(refused(format!(
                    "holds \"outputs/{}\" of shape {:?}, and {rows} labels; expected one row a label",
                    output.name,
                    array.shape()
                )));
            }
            answers.push((output.name.clone(), array));
        }
        let (batch, fixed) = batch(signature, &inputs, rows)?;
        Ok(Self { rows, batch, fixed, inputs, labels, classes, answers })
    }

    /// The part without the answers of `train`: those of another model are no others' to repeat.
    #[must_use]
    pub fn without_answers(self) -> Self {
        Self { answers: Vec::new(), ..self }
    }

    /// The part as a model takes it whose answer to a row depends on the other rows of a run: one row at a time, where it takes
    /// any number.
    #[must_use]
    pub fn one_by_one(self) -> Self {
        if self.fixed { self } else { Self { batch: 1, ..self } }
    }

    /// How many rows there are; at least one.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The rows that are run together.
    pub fn batches(&self) -> impl Iterator<Item = Range<usize>> {
        let (rows, batch) = (self.rows, self.batch);
        (0..rows).step_by(batch).map(move |start| start..start.saturating_add(batch).min(rows))
    }

    /// The rows of a sample that shows one row: that row alone, where the graph takes any number.
    pub fn sample(&self, row: usize) -> Range<usize> {
        let batch = if self.fixed { self.batch } else { 1 };
        let start = row - row % batch;
        start..start + batch
    }

    /// What the graph takes for some rows.
    pub fn inputs(&self, rows: &Range<usize>) -> Result<Vec<Tensor>, EvaluationError> {
        let tensor = |(name, array): &(String, Array)| {
            array
                .tensor(name, rows.clone())
                .map_err(|why| refused(format!("is refused: its array \"inputs/{name}\" {why}")))
        };
        self.inputs.iter().map(tensor).collect()
    }

    /// The truth of some rows.
    pub fn truth(&self, rows: &Range<usize>) -> Result<Elements, EvaluationError> {
        let elements = self.labels.tensor("labels", rows.clone()).and_then(|tensor| Elements::of(&tensor));
        elements.map_err(|why| refused(format!("is refused: its array \"labels\" {why}")))
    }

    /// The labels in the order of the columns of probabilities.
    pub fn classes(&self) -> Option<&[Label]> {
        self.classes.as_deref()
    }

    /// The answers that `train` had, by output.
    pub fn answers(&self) -> impl Iterator<Item = (&str, &Array)> {
        self.answers.iter().map(|(name, array)| (name.as_str(), array))
    }
}

fn check_labels(labels: &Array, task: Task) -> Result<usize, EvaluationError> {
    let &[rows] = labels.shape() else {
        return Err(refused(format!(
            "holds \"labels\" of shape {:?}; expected one label a row, of shape (rows,)",
            labels.shape()
        )));
    };
    if rows == 0 {
        return Err(refused("has no rows; a test part of at least one row is needed to judge a model"));
    }
    if rows > MAX_ROWS {
        return Err(refused(format!(
            "has {rows} rows, and at most {MAX_ROWS} are judged; write a part of them"
        )));
    }
    let datatype = labels.kind().datatype();
    match task {
        Task::Classification if datatype.is_float() => Err(refused(format!(
            "holds \"labels\" of type {}; the truth of a classification is integers or text: convert it, or let the \
             task be Regression",
            labels.kind()
        ))),
        Task::Regression if datatype.size().is_none() => Err(refused(
            "holds \"labels\" of text; the truth of a regression is floats: convert it, or let the task be \
             Classification",
        )),
        _ => Ok(rows),
    }
}

fn check_input(array: &Array, expected: &TensorSpec, rows: usize) -> Result<(), EvaluationError> {
    let found =
        || format!("holds \"inputs/{}\" as {} of shape {:?}", expected.name, array.kind(), array.shape());
    let takes = || format!("the graph takes {} there", described(expected));
    if array.kind().datatype().name() != expected.datatype {
        return Err(refused(format!("{}, and {}; convert it by array.astype", found(), takes())));
    }
    let Some(count) = array.rows() else {
        return Err(refused(format!("{}; expected the rows as its first dimension", found())));
    };
    // A signature without sizes is one that the graph does not declare.
    if !expected.shape.is_empty() {
        let fits = |(got, expected): (&usize, &i64)| *expected < 0 || i64::try_from(*got) == Ok(*expected);
        if array.shape().len() != expected.shape.len()
            || !array.shape().iter().zip(&expected.shape).skip(1).all(fits)
        {
            return Err(refused(format!("{}, and {} (-1: any size)", found(), takes())));
        }
    }
    if count != rows {
        return Err(refused(format!("{}, and {rows} labels; expected one row a label", found())));
    }
    Ok(())
}

fn read_classes(array: &Array) -> Result<Vec<Label>, EvaluationError> {
    let found = || format!("holds \"classes\" as {} of shape {:?}", array.kind(), array.shape());
    let wrong = || refused(format!("{}; expected integers or text of shape (classes,)", found()));
    let &[count] = array.shape() else { return Err(wrong()) };
    let elements = array
        .tensor("classes", 0..count)
        .and_then(|tensor| Elements::of(&tensor))
        .map_err(|why| refused(format!("is refused: its array \"classes\" {why}")))?;
    let classes = elements.labels().ok_or_else(wrong)?;
    let mut sorted: Vec<&Label> = classes.iter().collect();
    sorted.sort_unstable();
    if let Some([twice, _]) = sorted.array_windows().find(|[first, second]| first == second) {
        return Err(refused(format!("holds {twice} twice in \"classes\"; expected each label once")));
    }
    Ok(classes)
}

/// How many rows are run at once, and whether the graph wants exactly that many.
fn batch(
    signature: &Signature,
    inputs: &[(String, Array)],
    rows: usize,
) -> Result<(usize, bool), EvaluationError> {
    let fixed = signature.inputs.iter().filter_map(|input| Some((input, *input.shape.first()?)));
    let mut fixed = fixed.filter(|(_, size)| *size >= 0);
    if let Some((input, size)) = fixed.next() {
        let batch = usize::try_from(size).ok().filter(|size| *size > 0 && rows.is_multiple_of(*size));
        let batch = batch.filter(|_| fixed.all(|(_, other)| other == size));
        return batch.map(|batch| (batch, true)).ok_or_else(|| {
            refused(format!(
                "has {rows} rows, and the graph takes exactly {size} at once as {:?}; export it with a free first \
                 dimension",
                input.name
            ))
        });
    }
    let bytes: usize = inputs.iter().map(|(_, array)| array.row_bytes()).sum();
    Ok(((BATCH_BYTES / bytes.max(1)).clamp(1, BATCH_ROWS), false))
}

fn described(tensor: &TensorSpec) -> String {
    format!("{:?} as {} of shape {}", tensor.name, tensor.datatype, Shape(&tensor.shape))
}

fn all(tensors: &[TensorSpec]) -> String {
    listed(tensors.iter().map(described))
}

/// What a file holds, as people would look for it.
fn held(npz: &Npz) -> String {
    listed(npz.names().map(|name| format!("{:?}", name.chars().take(80).collect::<String>())))
}

fn listed(names: impl Iterator<Item = String>) -> String {
    let mut names: Vec<String> = names.take(11).collect();
    if names.is_empty() {
        return "nothing".to_owned();
    }
    if names.len() > 10 {
        names.truncate(10);
        names.push("…".to_owned());
    }
    names.join(", ")
}
