//! Sizes that a model names: one name is one size, over all inputs of a request. In go a model's symbols and inputs; out come
//! nothing, or words for what does not go together. Needs no client.
//!
//! It is said only where a run failed: some graphs take a size of 1 for any other.

use modelwright_contract::signature::Signature;

use modelwright_core::tensor::Tensor;

/// Most places that are told.
const MAX_TOLD: usize = 8;

/// Names that a model's inputs have at several places, other than rows alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tied(Vec<Symbol>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Symbol {
    name: String,
    places: Vec<(String, usize)>,
}

impl Tied {
    /// Of a model whose inputs have these names for their axes; empty where one has none.
    pub fn new(signature: &Signature, symbols: &[Vec<String>]) -> Self {
        let mut all: Vec<Symbol> = Vec::new();
        for (input, axes) in signature.inputs.iter().zip(symbols) {
            for (axis, name) in axes.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
                let place = (input.name.clone(), axis);
                match all.iter_mut().find(|symbol| symbol.name == *name) {
                    Some(symbol) => symbol.places.push(place),
                    None => all.push(Symbol { name: name.clone(), places: vec![place] }),
                }
            }
        }
        let is_of_rows = |symbol: &Symbol| symbol.places.iter().all(|(_, axis)| *axis == 0);
        all.retain(|symbol| symbol.places.len() > 1 && !is_of_rows(symbol));
        Self(all)
    }

    /// What is odd about inputs that fit the signature.
    #[inline]
    pub fn odd(&self, inputs: &[Tensor]) -> Option<String> {
        // That of nearly every model.
        if self.0.is_empty() { None } else { self.0.iter().find_map(|symbol| symbol.odd(inputs)) }
    }
}

impl Symbol {
    fn odd(&self, inputs: &[Tensor]) -> Option<String> {
        let size = |(name, axis): &(String, usize)| {
            inputs.iter().find(|input| input.name == *name)?.shape.get(*axis).copied()
        };
        let sizes = || self.places.iter().filter_map(size);
        let first = sizes().next()?;
        if sizes().all(|size| size == first) {
            return None;
        }
        let told = self.places.iter().take(MAX_TOLD).filter_map(|place| {
            let name: String = place.0.chars().take(64).collect();
            Some(format!("{name:?} has {} on axis {}", size(place)?, place.1))
        });
        let (told, name) =
            (told.collect::<Vec<_>>().join(", "), self.name.chars().take(64).collect::<String>());
        Some(format!(
            "the inputs have different sizes where the model has one, {name:?}: {told}; expected the same"
        ))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use modelwright_contract::signature::TensorSpec;

    use super::*;
    use modelwright_core::tensor::Datatype;

    fn tied(inputs: &[(&str, &[&str])]) -> Tied {
        let spec = |(name, _): &(&str, _)| TensorSpec { name: (*name).to_owned(), ..TensorSpec::default() };
        let signature = Signature { inputs: inputs.iter().map(spec).collect(), ..Signature::default() };
        let names = |axes: &[&str]| axes.iter().map(|axis| (*axis).to_owned()).collect();
        Tied::new(&signature, &inputs.iter().map(|(_, axes)| names(axes)).collect::<Vec<_>>())
    }

    fn input(name: &str, shape: &[i64]) -> Tensor {
        Tensor {
            name: name.to_owned(),
            datatype: Datatype::Fp32,
            shape: shape.to_vec(),
            data: Vec::new().into(),
        }
    }

    #[test]
    fn only_names_of_several_places_that_are_not_all_rows_are_looked_at() {
        for inputs in [
            &[("x", &["n", "", "time"][..])][..],
            &[("x", &["n", ""]), ("y", &["n", ""])],
            &[("x", &["n", "a"]), ("y", &["n", "b"])],
        ] {
            assert_eq!(tied(inputs), Tied::default(), "{inputs:?}");
        }
    }

    #[test]
    fn different_sizes_of_one_name_are_told_with_their_places() {
        let model =
            tied(&[("sequences", &["n", "time", ""]), ("mask", &["n", "time"]), ("square", &["k", "k"])]);
        let odd = |time: i64, mask: i64, k: i64| {
            let square = input("square", &[3, k]);
            model.odd(&[square, input("mask", &[1, mask]), input("sequences", &[1, time, 4])])
        };
        assert_eq!(odd(5, 5, 3), None);
        assert_eq!(
            odd(5, 6, 3).unwrap(),
            "the inputs have different sizes where the model has one, \"time\": \"sequences\" has 5 on axis 1, \"mask\" has \
             6 on axis 1; expected the same"
        );
        assert!(
            odd(5, 5, 4).unwrap().contains("\"k\": \"square\" has 3 on axis 0, \"square\" has 4 on axis 1")
        );
        assert_eq!(model.odd(&[]), None, "what is not sent has no size");
    }
}
