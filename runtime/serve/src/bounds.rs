//! How much work a request may ask for: rows, elements, and axes without any. In go a model's inputs and the limits; out
//! comes nothing, or which input of a request is beyond them. Needs no client.
//!
//! A body that is small enough may still ask for more than a machine has: an axis that the model leaves free is as long as
//! a client says, and what a model makes of it may grow with its square.

use modelwright_contract::{serving::ServingLimits, signature::Signature};

use modelwright_core::{
    memory,
    tensor::{Datatype, Shape, Tensor, element_count},
};

/// Bytes of memory for each row that a request may have, unless a number is asked for: a label that a model gives for each
/// row takes a tenth of that while it is answered, also where several such requests are run at once.
const BYTES_A_ROW: u64 = 1024;
/// The same for each byte of a text that a model has for a row, where it answers with texts: it is copied a few times.
const BYTES_A_BYTE_OF_TEXT: u64 = 10;
/// Bytes that an entry of a map takes until it is answered, beside its text: a row's map of 1,000 classes takes 150 to 230 KB.
/// As of a text, ten times as much of the memory is wanted.
const BYTES_AN_ENTRY: u64 = 250;
/// Bytes of memory for each element: inputs of FP32 then take a sixteenth of the memory. Whatever the largest request has room for
/// passes: its elements take a byte or more, and the budget bounds them.
const BYTES_AN_ELEMENT: u64 = 64;

/// A request that asks for too much, or for nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BoundError {
    #[error(
        "input {name:?} has {rows} rows, at most {most} are taken in one request; send fewer at once, or raise \
         serving.maxRows"
    )]
    Rows { name: String, rows: i64, most: u64 },
    #[error(
        "input {name:?} of shape {} has {elements} elements, at most {most} are taken in an input; send less at once, \
         or raise serving.maxElements", Shape(.shape)
    )]
    Elements { name: String, shape: Vec<i64>, elements: u64, most: u64 },
    /// An axis without elements that the model does not declare.
    #[error(
        "input {name:?} has shape {}, whose axis {axis} is 0; expected 1 or more there, as the model declares no empty one",
        Shape(.shape)
    )]
    Empty {
        name: String,
        shape: Vec<i64>,
        /// Which axis, from 0.
        axis: usize,
    },
}

/// What requests may ask of one model.
#[derive(Clone, Debug)]
pub struct Bounds {
    max_rows: u64,
    max_elements: u64,
    /// Input by input, which axes may be 0.
    may_be_empty: Vec<(String, Vec<bool>)>,
    /// Inputs whose first axis is free, and so counts rows.
    has_rows: Vec<String>,
}

impl Bounds {
    /// Of a model with this signature, whose inputs name these axes, and which has a text of so many bytes for a row, and a map
    /// of so many entries.
    pub fn new(
        limits: &ServingLimits,
        signature: &Signature,
        named_axes: &[Vec<bool>],
        (longest_text, map_entries): (u64, u64),
    ) -> Self {
        let has_texts = signature.outputs.iter().any(|output| output.datatype == Datatype::Bytes.name());
        let text = if has_texts { longest_text } else { 0 };
        let of_a_row = text.saturating_add(map_entries.saturating_mul(BYTES_AN_ENTRY));
        let bytes_a_row = of_a_row.saturating_mul(BYTES_A_BYTE_OF_TEXT).max(BYTES_A_ROW);
        let memory = memory::memory().unwrap_or(u64::MAX);
        let inputs = || signature.inputs.iter();
        Self {
            max_rows: limits.max_rows.unwrap_or_else(|| (memory / bytes_a_row).max(1)),
            max_elements: limits
                .max_elements
                .unwrap_or_else(|| (memory / BYTES_AN_ELEMENT).max(limits.max_request_bytes).max(1)),
            may_be_empty: inputs()
                .enumerate()
                .map(|(place, input)| {
                    let named = named_axes.get(place).map_or(&[][..], Vec::as_slice);
                    let axes = input.shape.iter().enumerate();
                    // The first axis counts rows: a request for none asks for nothing.
                    let may = |(axis, size): (usize, &i64)| {
                        *size == 0 || axis > 0 && *size < 0 && named.get(axis) == Some(&true)
                    };
                    (input.name.clone(), axes.map(may).collect())
                })
                .collect(),
            has_rows: inputs()
                .filter(|input| input.shape.first() == Some(&-1))
                .map(|input| input.name.clone())
                .collect(),
        }
    }

    /// Most rows and most elements.
    pub fn most(&self) -> (u64, u64) {
        (self.max_rows, self.max_elements)
    }

    /// Refuses inputs that are beyond the bounds. They fit the signature.
    pub fn check(&self, inputs: &[Tensor]) -> Result<(), BoundError> {
        for input in inputs {
            // One that cannot be counted does not fit its data, which was refused before.
            let elements = element_count(&input.shape).map_or(u64::MAX, |count| count as u64);
            let rows = input.shape.first().copied().unwrap_or(1);
            // Nearly every request ends here: what has few elements has few rows.
            if elements != 0 && elements <= self.max_elements && elements <= self.max_rows {
                continue;
            }
            self.check_one(input, rows, elements)?;
        }
        Ok(())
    }

    #[cold]
    fn check_one(&self, input: &Tensor, rows: i64, elements: u64) -> Result<(), BoundError> {
        let name = || input.name.clone();
        if rows.unsigned_abs() > self.max_rows && self.has_rows.contains(&input.name) {
            return Err(BoundError::Rows { name: name(), rows, most: self.max_rows });
        }
        if elements > self.max_elements {
            let (shape, most) = (input.shape.clone(), self.max_elements);
            return Err(BoundError::Elements { name: name(), shape, elements, most });
        }
        let declared = self.may_be_empty.iter().find(|(name, _)| *name == input.name);
        let may_be = |axis: usize| declared.and_then(|(_, axes)| axes.get(axis)).copied().unwrap_or(false);
        match input.shape.iter().enumerate().find(|(axis, size)| **size == 0 && !may_be(*axis)) {
            Some((axis, _)) => Err(BoundError::Empty { name: name(), shape: input.shape.clone(), axis }),
            None => Ok(()),
        }
    }
}

/// What the model and its runs may have of the memory: what is left beside what is held for clients, a quarter. None without
/// a container: a person's machine has other ways to say no.
pub fn run_memory() -> Option<u64> {
    memory::container().map(|limit| limit / 4 * 3)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use modelwright_contract::signature::TensorSpec;
    use proptest::prelude::*;

    use super::*;
    use modelwright_core::tensor::Datatype;

    fn bounds(max_rows: u64, max_elements: u64) -> Bounds {
        let tensor = |name: &str, shape: &[i64]| TensorSpec {
            name: name.to_owned(),
            datatype: "UINT8".to_owned(),
            shape: shape.to_vec(),
            ..TensorSpec::default()
        };
        let inputs = vec![
            tensor("x", &[-1, 4]),
            tensor("past", &[-1, 2, -1, -1]),
            tensor("fixed", &[3, 0]),
            tensor("any", &[]),
        ];
        let named = [vec![true, false], vec![true, false, true, false], vec![false; 2], vec![]];
        let limits = ServingLimits {
            max_rows: Some(max_rows),
            max_elements: Some(max_elements),
            ..ServingLimits::default()
        };
        Bounds::new(&limits, &Signature { inputs, ..Signature::default() }, &named, (0, 0))
    }

    fn input(name: &str, shape: &[i64]) -> Tensor {
        let data = vec![0; element_count(shape).unwrap_or(0).min(1000)].into();
        Tensor { name: name.to_owned(), datatype: Datatype::Uint8, shape: shape.to_vec(), data }
    }

    fn refusal(bounds: &Bounds, name: &str, shape: &[i64]) -> String {
        bounds.check(&[input(name, shape)]).unwrap_err().to_string()
    }

    #[test]
    fn a_request_beyond_a_bound_is_refused_with_the_input_its_figure_and_the_bound() {
        let bounds = bounds(8, 100);
        for (name, shape) in
            [("x", vec![1, 4]), ("x", vec![8, 4]), ("past", vec![1, 2, 10, 5]), ("any", vec![100])]
        {
            assert_eq!(bounds.check(&[input(name, &shape)]), Ok(()), "{name} {shape:?}");
        }
        assert_eq!(
            refusal(&bounds, "x", &[9, 4]),
            "input \"x\" has 9 rows, at most 8 are taken in one request; send fewer at once, or raise serving.maxRows"
        );
        assert_eq!(
            refusal(&bounds, "past", &[1, 2, 10, 6]),
            "input \"past\" of shape [1,2,10,6] has 120 elements, at most 100 are taken in an input; send less at once, \
             or raise serving.maxElements"
        );
        // a fixed first axis counts no rows
        assert!(refusal(&bounds, "any", &[101]).contains("101 elements"));
        let second = [input("x", &[1, 4]), input("past", &[1, 2, 1000, 1])];
        assert!(bounds.check(&second).unwrap_err().to_string().starts_with("input \"past\""));
    }

    #[test]
    fn an_axis_without_elements_is_taken_only_where_the_model_declares_it() {
        let bounds = bounds(8, 100);
        assert_eq!(bounds.check(&[input("fixed", &[3, 0])]), Ok(()), "a size of 0");
        assert_eq!(
            bounds.check(&[input("past", &[1, 2, 0, 5])]),
            Ok(()),
            "a named length, as of what was before"
        );
        for (name, shape, axis) in [
            ("x", vec![0, 4], 0),
            ("past", vec![0, 2, 1, 1], 0),
            ("past", vec![1, 2, 1, 0], 3),
            ("any", vec![0], 0),
            ("any", vec![1, 0], 1),
        ] {
            let message = refusal(&bounds, name, &shape);
            assert!(message.contains(&format!("whose axis {axis} is 0")), "{name} {shape:?}: {message}");
        }
    }

    #[test]
    fn bounds_come_from_the_memory_that_the_process_may_use() {
        let found = memory::memory().unwrap();
        assert!((64 * 1024 * 1024..1 << 50).contains(&found), "{found}");
        let signature = Signature::default();
        let most = |max_request_bytes: u64| {
            let limits = ServingLimits { max_request_bytes, ..ServingLimits::default() };
            Bounds::new(&limits, &signature, &[], (1 << 40, 0)).most()
        };
        assert_eq!(most(1), (found / 1024, found / 64));
        assert_eq!(most(found / 4), (found / 1024, found / 4), "of UINT8, whatever is taken of bytes");
    }

    #[test]
    fn rows_are_fewer_where_a_model_has_a_long_text_for_each() {
        let found = memory::memory().unwrap();
        let label = TensorSpec { datatype: "BYTES".to_owned(), ..TensorSpec::default() };
        let signature = Signature { outputs: vec![label], ..Signature::default() };
        let rows = |text: u64, max_rows| {
            let limits = ServingLimits { max_rows, ..ServingLimits::default() };
            Bounds::new(&limits, &signature, &[], (text, 0)).most().0
        };
        assert_eq!(rows(100, None), found / 1024);
        assert_eq!(rows(1_000_000, None), found / 10_000_000);
        assert_eq!(rows(u64::MAX, None), 1);
        assert_eq!(rows(1_000_000, Some(7_000_000)), 7_000_000, "whoever asks for more knows why");
    }

    #[test]
    fn rows_are_fewer_where_each_has_a_map_of_many_classes_texts_or_numbers() {
        let found = memory::memory().unwrap();
        let limits = ServingLimits::default();
        let rows = |entries: u64| Bounds::new(&limits, &Signature::default(), &[], (0, entries)).most().0;
        assert_eq!(rows(0), found / 1024);
        assert_eq!(rows(1000), found / 2_500_000);
        assert_eq!(rows(u64::MAX), 1);
        // As measured: of each row, and of each of its entries.
        for entries in [2, 3, 5, 1000] {
            let taken = rows(entries) * (600 + entries * 230);
            assert!(taken <= found / 4, "{entries} entries: {taken} of {found} bytes by one request");
        }
    }

    proptest! {
        #[test]
        fn what_passes_is_within_both_bounds(
            shape in prop::collection::vec(prop_oneof![0_i64..200, Just(i64::MAX), Just(1 << 32)], 0..5),
            max_rows in 1_u64..100, max_elements in 1_u64..1000,
        ) {
            let bounds = bounds(max_rows, max_elements);
            for name in ["x", "past", "any"] {
                if bounds.check(&[input(name, &shape)]).is_ok() {
                    let elements = element_count(&shape).unwrap() as u64;
                    prop_assert!(elements <= max_elements);
                    let counts = name != "any";
                    prop_assert!(!counts || shape.first().is_none_or(|rows| rows.unsigned_abs() <= max_rows));
                }
            }
        }
    }
}
