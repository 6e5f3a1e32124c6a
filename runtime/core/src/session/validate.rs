//! Refuses requests that do not fit a model's signature before ONNX Runtime sees them, with messages for people. In go a
//! signature and tensors or names; out comes nothing, or what was wrong. Needs no client.

use modelwright_contract::signature::{Signature, TensorSpec};

use crate::tensor::{LayoutError, Shape, Tensor};

/// A request that does not fit the signature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// A name that the model does not have.
    #[error("input {name:?} is not an input of the model; expected {expected}")]
    Unknown { name: String, expected: String },
    /// A name that comes twice.
    #[error("input {name:?} is given twice; expected each input once")]
    Twice { name: String },
    /// A name that does not come.
    #[error("input {name:?} is missing; the model expects {expected}")]
    Missing { name: String, expected: String },
    #[error("input {name:?} has datatype {got}, expected {expected}")]
    Datatype {
        name: String,
        got: String,
        /// As the model has it.
        expected: String,
    },
    #[error("input {name:?} has shape {}, expected {} (-1: any size)", Shape(.got), Shape(.expected))]
    Shape {
        name: String,
        got: Vec<i64>,
        /// As the model has it.
        expected: Vec<i64>,
    },
    /// Data that do not fill the shape.
    #[error("input {name:?} has {source}")]
    Layout { name: String, source: LayoutError },
    /// An output that the model does not have.
    #[error("output {name:?} is not an output of the model; expected {expected}")]
    UnknownOutput { name: String, expected: String },
    /// An output that is asked for twice.
    #[error("output {name:?} is asked for twice; expected each output once")]
    OutputTwice { name: String },
}

/// Checks names, number, datatypes, shapes and data of inputs.
pub fn validate_inputs(signature: &Signature, inputs: &[Tensor]) -> Result<(), InputError> {
    for (i, input) in inputs.iter().enumerate() {
        let optional = || find(&signature.optional_inputs, &input.name);
        let expected = find(&signature.inputs, &input.name).or_else(optional).ok_or_else(|| {
            let mut expected = names(&signature.inputs);
            if !signature.optional_inputs.is_empty() {
                expected = format!("{expected}, and if wanted {}", names(&signature.optional_inputs));
            }
            InputError::Unknown { name: input.name.clone(), expected }
        })?;
        if inputs.iter().take(i).any(|earlier| earlier.name == input.name) {
            return Err(InputError::Twice { name: input.name.clone() });
        }
        validate_input(expected, input)?;
    }
    match signature.inputs.iter().find(|expected| inputs.iter().all(|input| input.name != expected.name)) {
        Some(missing) => Err(InputError::Missing {
            name: missing.name.clone(),
            expected: format!("{} of shape {} (-1: any size)", missing.datatype, Shape(&missing.shape)),
        }),
        None => Ok(()),
    }
}

fn validate_input(expected: &TensorSpec, input: &Tensor) -> Result<(), InputError> {
    if expected.datatype != input.datatype.name() {
        return Err(InputError::Datatype {
            name: input.name.clone(),
            got: input.datatype.name().to_owned(),
            expected: expected.datatype.clone(),
        });
    }
    if !fits(&expected.shape, &input.shape) {
        return Err(InputError::Shape {
            name: input.name.clone(),
            got: input.shape.clone(),
            expected: expected.shape.clone(),
        });
    }
    input.check().map_err(|source| InputError::Layout { name: input.name.clone(), source })?;
    Ok(())
}

/// An empty expected shape is a scalar or one that the model does not declare, which ONNX Runtime does not tell apart.
fn fits(expected: &[i64], got: &[i64]) -> bool {
    expected.is_empty()
        || expected.len() == got.len()
            && expected.iter().zip(got).all(|(expected, got)| *got >= 0 && (*expected < 0 || expected == got))
}

/// Checks names of outputs; none means all.
pub fn validate_outputs(signature: &Signature, outputs: &[String]) -> Result<(), InputError> {
    for (i, name) in outputs.iter().enumerate() {
        if find(&signature.outputs, name).is_none() {
            let expected = names(&signature.outputs);
            return Err(InputError::UnknownOutput { name: name.clone(), expected });
        }
        if outputs.iter().take(i).any(|earlier| earlier == name) {
            return Err(InputError::OutputTwice { name: name.clone() });
        }
    }
    Ok(())
}

fn find<'a>(tensors: &'a [TensorSpec], name: &str) -> Option<&'a TensorSpec> {
    tensors.iter().find(|tensor| tensor.name == name)
}

fn names(tensors: &[TensorSpec]) -> String {
    match tensors {
        [] => "none".to_owned(),
        tensors => tensors.iter().map(|tensor| format!("{:?}", tensor.name)).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bytes::Bytes;

    use super::*;
    use crate::tensor::Datatype;

    fn signature() -> Signature {
        let tensor = |name: &str, shape: &[i64]| TensorSpec {
            name: name.to_owned(),
            datatype: "FP32".to_owned(),
            shape: shape.to_vec(),
            ..TensorSpec::default()
        };
        Signature {
            inputs: vec![tensor("a", &[-1, 2]), tensor("b", &[])],
            optional_inputs: Vec::new(),
            outputs: vec![tensor("y", &[-1])],
        }
    }

    fn input(name: &str, shape: &[i64], bytes: usize) -> Tensor {
        Tensor {
            name: name.to_owned(),
            datatype: Datatype::Fp32,
            shape: shape.to_vec(),
            data: Bytes::from(vec![0; bytes]),
        }
    }

    fn refusal(inputs: &[Tensor]) -> String {
        validate_inputs(&signature(), inputs).unwrap_err().to_string()
    }

    #[test]
    fn inputs_that_fit_are_taken_in_any_order_and_size() {
        assert_eq!(validate_inputs(&signature(), &[input("b", &[], 4), input("a", &[3, 2], 24)]), Ok(()));
        assert_eq!(validate_inputs(&signature(), &[input("a", &[0, 2], 0), input("b", &[1, 1], 4)]), Ok(()));
    }

    #[test]
    fn each_refusal_names_the_input_and_what_was_expected() {
        let b = input("b", &[], 4);
        assert_eq!(
            refusal(&[input("c", &[1, 2], 8)]),
            "input \"c\" is not an input of the model; expected \"a\", \"b\""
        );
        assert_eq!(
            refusal(std::slice::from_ref(&b)),
            "input \"a\" is missing; the model expects FP32 of shape [-1,2] (-1: any size)"
        );
        assert_eq!(refusal(&[b.clone(), b.clone()]), "input \"b\" is given twice; expected each input once");
        assert_eq!(
            refusal(&[input("a", &[1, 3], 12), b.clone()]),
            "input \"a\" has shape [1,3], expected [-1,2] (-1: any size)"
        );
        assert_eq!(
            refusal(&[input("a", &[-1, 2], 8), b.clone()]),
            "input \"a\" has shape [-1,2], expected [-1,2] (-1: any size)"
        );
        assert_eq!(
            refusal(&[input("a", &[1, 2], 4), b.clone()]),
            "input \"a\" has 4 bytes of data, expected 8 for FP32 of shape [1,2]"
        );
        let mut other = input("a", &[1, 2], 16);
        other.datatype = Datatype::Fp64;
        assert_eq!(refusal(&[other, b]), "input \"a\" has datatype FP64, expected FP32");
    }

    #[test]
    fn outputs_are_those_of_the_model_once_each() {
        let check = |names: &[&str]| {
            validate_outputs(&signature(), &names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(check(&[]), Ok(()));
        assert_eq!(check(&["y"]), Ok(()));
        assert!(matches!(check(&["y", "y"]), Err(InputError::OutputTwice { .. })));
        assert!(matches!(check(&["a"]), Err(InputError::UnknownOutput { .. })));
    }
}
