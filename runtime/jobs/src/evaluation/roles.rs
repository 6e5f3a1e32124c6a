//! Which outputs of a graph answer. In go a signature and a task; out come the names of outputs, or what was expected.

use modelwright_contract::{
    signature::{Signature, TensorSpec},
    training::Task,
};

use super::EvaluationError;
use modelwright_core::tensor::{Datatype, Shape};

/// The names that the contract gives to outputs.
const LABEL: &str = "label";
const PROBABILITIES: &str = "probabilities";
const PREDICTION: &str = "prediction";

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Roles {
    Label(LabelOutputs),
    Number(String),
}

/// The outputs that answer to a classification; one of them is there at least.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelOutputs {
    pub label: Option<String>,
    /// Gives a probability or a score for each class.
    pub probabilities: Option<String>,
}

impl Roles {
    pub fn find(signature: &Signature, task: Task) -> Result<Self, EvaluationError> {
        let outputs = &signature.outputs;
        let named = |name: &str| outputs.iter().find(|output| output.name == name);
        let only = match outputs.as_slice() {
            [only] => Some(only),
            _ => None,
        };
        match task {
            Task::Classification => {
                let found = match (named(LABEL), named(PROBABILITIES)) {
                    (None, None) => match only {
                        Some(only) if is_float(only) => (None, Some(only)),
                        only => (only, None),
                    },
                    found => found,
                };
                if found.0.is_some_and(is_float) {
                    return Err(refused(outputs, "a label that is a float", CLASSIFICATION));
                }
                if found.1.is_some_and(|output| !is_float(output)) {
                    return Err(refused(outputs, "probabilities that are no floats", CLASSIFICATION));
                }
                if found == (None, None) {
                    return Err(refused(outputs, "none of the names", CLASSIFICATION));
                }
                let name = |output: Option<&TensorSpec>| output.map(|output| output.name.clone());
                Ok(Self::Label(LabelOutputs { label: name(found.0), probabilities: name(found.1) }))
            }
            Task::Regression => match named(PREDICTION).or(only) {
                Some(output) if is_float(output) => Ok(Self::Number(output.name.clone())),
                Some(_) => Err(refused(outputs, "an answer that is no float", REGRESSION)),
                None => Err(refused(outputs, "no such name", REGRESSION)),
            },
        }
    }

    /// The output of a classification that has a column for each class; without one, the output that gives labels.
    pub fn columns(&self) -> Option<&str> {
        match self {
            Self::Label(outputs) => outputs.probabilities.as_deref().or(outputs.label.as_deref()),
            Self::Number(_) => None,
        }
    }

    pub fn outputs(&self) -> Vec<String> {
        match self {
            Self::Label(outputs) => outputs.label.iter().chain(&outputs.probabilities).cloned().collect(),
            Self::Number(output) => vec![output.clone()],
        }
    }
}

const CLASSIFICATION: &str = "a classification gives `label` (integers or text, one a row), `probabilities` (floats, one \
                              a class), or both; a single output may have any name";
const REGRESSION: &str =
    "a regression gives `prediction` (floats, one a row); a single output may have any name";

fn is_float(output: &TensorSpec) -> bool {
    Datatype::parse(&output.datatype).is_some_and(Datatype::is_float)
}

fn refused(outputs: &[TensorSpec], what: &str, expected: &str) -> EvaluationError {
    let found: Vec<String> = outputs
        .iter()
        .take(8)
        .map(|output| format!("{:?} ({} {})", output.name, output.datatype, Shape(&output.shape)))
        .collect();
    EvaluationError::Outputs(format!(
        "the graph's outputs are {}: {what}; {expected}. Rename them in the export",
        found.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn roles(task: Task, outputs: &[(&str, &str)]) -> Result<Roles, String> {
        let outputs = outputs
            .iter()
            .map(|(name, datatype)| TensorSpec {
                name: (*name).to_owned(),
                datatype: (*datatype).to_owned(),
                shape: vec![-1],
                ..TensorSpec::default()
            })
            .collect();
        Roles::find(&Signature { outputs, ..Signature::default() }, task).map_err(|error| error.to_string())
    }

    fn label(label: Option<&str>, probabilities: Option<&str>) -> Roles {
        let name = |name: Option<&str>| name.map(str::to_owned);
        Roles::Label(LabelOutputs { label: name(label), probabilities: name(probabilities) })
    }

    #[test]
    fn outputs_are_found_by_name_and_a_single_one_by_its_datatype() {
        let task = Task::Classification;
        let both = [("probabilities", "FP32"), ("label", "BYTES"), ("attention", "FP32")];
        assert_eq!(roles(task, &both).unwrap(), label(Some("label"), Some("probabilities")));
        assert_eq!(roles(task, &[("y", "INT32")]).unwrap(), label(Some("y"), None));
        assert_eq!(roles(task, &[("dense_2", "FP16")]).unwrap(), label(None, Some("dense_2")));
        let task = Task::Regression;
        assert_eq!(roles(task, &[("variable", "FP64")]).unwrap(), Roles::Number("variable".to_owned()));
        let two = [("std", "FP32"), ("prediction", "FP32")];
        assert_eq!(roles(task, &two).unwrap(), Roles::Number("prediction".to_owned()));
    }

    #[test]
    fn outputs_that_cannot_be_told_apart_are_refused_with_what_was_expected() {
        let task = Task::Classification;
        let error = roles(task, &[("output_label", "INT64"), ("output_probability", "FP32")]).unwrap_err();
        assert_eq!(
            error,
            "the graph's outputs are \"output_label\" (INT64 [-1]), \"output_probability\" (FP32 [-1]): none of the \
             names; a classification gives `label` (integers or text, one a row), `probabilities` (floats, one a \
             class), or both; a single output may have any name. Rename them in the export"
        );
        assert!(roles(task, &[("label", "FP32")]).unwrap_err().contains("a label that is a float"));
        let odd = [("label", "INT64"), ("probabilities", "INT64")];
        assert!(roles(task, &odd).unwrap_err().contains("probabilities that are no floats"));
        let task = Task::Regression;
        assert!(roles(task, &[("a", "FP32"), ("b", "FP32")]).unwrap_err().contains("`prediction`"));
        assert!(roles(task, &[("y", "INT64")]).unwrap_err().contains("an answer that is no float"));
    }
}
