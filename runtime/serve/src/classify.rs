//! The classification extension: the best classes of an output instead of the output. In go outputs and how they were asked
//! for; out come outputs. Needs no client.
//!
//! A class is written as Triton writes it: its score, its place, and its name if that is known, with colons between. Names
//! are the keys of an output of maps, or the model's own (`classes` in its metadata).

use std::cmp::Ordering;

use modelwright_contract::signature::Signature;

use super::request::InferRequest;
use modelwright_core::{
    golden::floats,
    session::maps::keys_of,
    tensor::{Datatype, Tensor, element_count, encode_strings},
};

/// What a number takes that can be compared with others.
const NUMBER: usize = size_of::<i128>();
/// What a class takes as text, beside its label twice.
const TEXT: usize = 96;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("output {name:?} has no classes: it is {datatype} of shape {}; expected numbers with an axis of classes at the end", modelwright_core::tensor::Shape(.shape))]
pub struct NoClasses {
    name: String,
    datatype: Datatype,
    shape: Vec<i64>,
}

/// The outputs that the model must give: those that are asked for, and behind them the keys that name their classes.
pub fn outputs_to_run(signature: &Signature, request: &InferRequest) -> Vec<String> {
    let mut outputs = request.outputs.clone();
    for (place, name) in request.outputs.iter().enumerate() {
        let keys = keys_of(name);
        if request.form(place).classes > 0
            && signature.outputs.iter().any(|output| output.name == keys)
            && !outputs.contains(&keys)
        {
            outputs.push(keys);
        }
    }
    outputs
}

/// Bytes that [`classify`] takes while it works, about: numbers that can be compared, and a text for each class.
pub fn weight(request: &InferRequest, signature: &Signature, labels: &[String], outputs: &[Tensor]) -> usize {
    let asked = request.forms.iter().zip(outputs).filter(|(form, _)| form.classes > 0);
    let weight = asked.map(|(form, output)| {
        let elements = element_count(&output.shape).unwrap_or(usize::MAX);
        let classes = output.shape.last().and_then(|size| usize::try_from(*size).ok()).unwrap_or(1);
        let texts = elements.checked_div(classes).unwrap_or(0).saturating_mul(form.classes.min(classes));
        let longest = |labels: &[String]| labels.iter().map(String::len).max().unwrap_or(0);
        let keys = keys_of(&output.name);
        let label = match outputs.iter().find(|other| other.name == keys) {
            Some(keys) => longest(&names(keys)),
            None => longest(columns(signature, output).unwrap_or(labels)),
        };
        let text = label.saturating_mul(2).saturating_add(TEXT);
        elements.saturating_mul(NUMBER).saturating_add(texts.saturating_mul(text))
    });
    weight.fold(0, usize::saturating_add)
}

/// Puts classes in the place of the outputs that are asked for so, and drops what was only needed for that.
pub fn classify(
    request: &InferRequest,
    signature: &Signature,
    labels: &[String],
    mut outputs: Vec<Tensor>,
) -> Result<Vec<Tensor>, NoClasses> {
    if request.forms.iter().all(|form| form.classes == 0) {
        return Ok(outputs);
    }
    for place in 0..request.outputs.len() {
        let count = request.form(place).classes;
        if count == 0 {
            continue;
        }
        let Some(output) = outputs.get(place) else { continue };
        let keys = keys_of(&output.name);
        let keys = outputs.iter().find(|other| other.name == keys).map(names);
        let labels = keys.as_deref().or_else(|| columns(signature, output)).unwrap_or(labels);
        let classes = best(output, count, labels)?;
        if let Some(output) = outputs.get_mut(place) {
            *output = classes;
        }
    }
    outputs.truncate(request.outputs.len());
    Ok(outputs)
}

/// The labels of an output's columns, where each column is a class whose label is known: one column of two classes is the
/// second one's.
fn columns<'a>(signature: &'a Signature, output: &Tensor) -> Option<&'a [String]> {
    let spec = signature.outputs.iter().find(|spec| spec.name == output.name)?;
    let labels = spec.classes.as_ref()?.labels.as_slice();
    let columns = output.shape.last().and_then(|size| usize::try_from(*size).ok())?;
    (labels.len() == columns).then_some(labels)
}

fn names(keys: &Tensor) -> Vec<String> {
    match keys.datatype {
        Datatype::Bytes => keys.strings().unwrap_or_default().into_iter().map(str::to_owned).collect(),
        _ => integers(keys).iter().map(ToString::to_string).collect(),
    }
}

/// The classes with the highest scores of each row, best first; of equal ones the first.
fn best(output: &Tensor, count: usize, labels: &[String]) -> Result<Tensor, NoClasses> {
    let none =
        || NoClasses { name: output.name.clone(), datatype: output.datatype, shape: output.shape.clone() };
    let classes = output.shape.last().and_then(|size| usize::try_from(*size).ok()).ok_or_else(none)?;
    let scores = match output.datatype {
        Datatype::Bytes | Datatype::Bool => return Err(none()),
        datatype if datatype.is_float() => Scores::Floats(floats(output)),
        _ => Scores::Integers(integers(output)),
    };
    let count = count.min(classes);
    let mut strings = Vec::new();
    let rows = scores.len().checked_div(classes).unwrap_or(0);
    for row in 0..rows {
        let first = row * classes;
        let mut places: Vec<usize> = (0..classes).collect();
        places.sort_by(|a, b| scores.compare(first + b, first + a).then(a.cmp(b)));
        for place in places.into_iter().take(count) {
            let score = scores.show(first + place, output.datatype);
            strings.push(match labels.get(place).filter(|label| !label.is_empty()) {
                Some(label) => format!("{score}:{place}:{label}"),
                None => format!("{score}:{place}"),
            });
        }
    }
    let mut shape = output.shape.clone();
    if let Some(last) = shape.last_mut() {
        *last = i64::try_from(count).map_err(|_| none())?;
    }
    let data = encode_strings(strings).ok_or_else(none)?;
    Ok(Tensor { name: output.name.clone(), datatype: Datatype::Bytes, shape, data })
}

enum Scores {
    Floats(Vec<f64>),
    Integers(Vec<i128>),
}

impl Scores {
    fn len(&self) -> usize {
        match self {
            Self::Floats(scores) => scores.len(),
            Self::Integers(scores) => scores.len(),
        }
    }

    /// No number is below every number.
    fn compare(&self, a: usize, b: usize) -> Ordering {
        match self {
            Self::Floats(scores) => match (scores.get(a), scores.get(b)) {
                (Some(a), Some(b)) => a.partial_cmp(b).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan())),
                _ => Ordering::Equal,
            },
            Self::Integers(scores) => scores.get(a).cmp(&scores.get(b)),
        }
    }

    fn show(&self, place: usize, datatype: Datatype) -> String {
        match self {
            #[expect(clippy::cast_possible_truncation, reason = "it was an FP32 or less")]
            Self::Floats(scores) => scores.get(place).map_or_else(String::new, |score| {
                if datatype == Datatype::Fp64 { score.to_string() } else { (*score as f32).to_string() }
            }),
            Self::Integers(scores) => scores.get(place).map_or_else(String::new, ToString::to_string),
        }
    }
}

fn integers(tensor: &Tensor) -> Vec<i128> {
    let Some(size) = tensor.datatype.size() else { return Vec::new() };
    let signed =
        matches!(tensor.datatype, Datatype::Int8 | Datatype::Int16 | Datatype::Int32 | Datatype::Int64);
    let integer = |bytes: &[u8]| {
        let unsigned = bytes.iter().rev().fold(0_i128, |sum, byte| (sum << 8) | i128::from(*byte));
        if signed && unsigned >> (size * 8 - 1) == 1 { unsigned - (1 << (size * 8)) } else { unsigned }
    };
    tensor.data.chunks_exact(size).map(integer).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use modelwright_contract::signature::{Classes, TensorSpec};

    use super::*;
    use crate::request::Form;

    fn output(shape: &[i64], numbers: &[f32]) -> Tensor {
        Tensor {
            name: "y".to_owned(),
            datatype: Datatype::Fp32,
            shape: shape.to_vec(),
            data: numbers.iter().flat_map(|number| number.to_le_bytes()).collect(),
        }
    }

    fn asked(classes: usize) -> InferRequest {
        InferRequest {
            outputs: vec!["y".to_owned()],
            forms: vec![Form { binary: false, classes }],
            ..InferRequest::default()
        }
    }

    fn answer(classes: usize, labels: &[&str], output: Tensor) -> (Vec<i64>, Vec<String>) {
        let labels: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
        let signature = Signature::default();
        let tensor = classify(&asked(classes), &signature, &labels, vec![output]).unwrap().remove(0);
        (tensor.shape.clone(), tensor.strings().unwrap().into_iter().map(str::to_owned).collect())
    }

    #[test]
    fn the_best_classes_of_each_row_come_first_with_their_names() {
        let rows = output(&[2, 3], &[0.25, 0.5, 0.25, f32::NAN, -1.0, 0.0]);
        let (shape, classes) = answer(2, &["cat", "dog"], rows.clone());
        assert_eq!(shape, [2, 2]);
        assert_eq!(classes, ["0.5:1:dog", "0.25:0:cat", "0:2", "-1:1:dog"]);
        assert_eq!(answer(9, &[], rows).0, [2, 3], "no more than there are");
        assert_eq!(answer(1, &[], output(&[0, 3], &[])), (vec![0, 1], Vec::new()));
    }

    #[test]
    fn the_classes_of_the_signature_name_columns_and_the_second_of_two_is_not_called_the_first() {
        let classes = Classes::of(["no".to_owned(), "yes".to_owned()]);
        let spec = TensorSpec { name: "y".to_owned(), classes: Some(classes), ..TensorSpec::default() };
        let signature = Signature { outputs: vec![spec], ..Signature::default() };
        let told = |output: Tensor| {
            let mut answer = classify(&asked(1), &signature, &[], vec![output]).unwrap();
            answer.remove(0).strings().unwrap()[0].to_owned()
        };
        assert_eq!(told(output(&[1, 2], &[0.25, 0.75])), "0.75:1:yes");
        assert_eq!(told(output(&[1, 1], &[0.75])), "0.75:0");
    }

    #[test]
    fn keys_of_maps_name_the_classes_and_are_not_sent_unless_asked_for() {
        let keys = Tensor {
            name: "y.keys".to_owned(),
            datatype: Datatype::Int64,
            shape: vec![2],
            data: [10_i64, -20].iter().flat_map(|key| key.to_le_bytes()).collect(),
        };
        let tensors = vec![output(&[1, 2], &[0.1, 0.9]), keys];
        let outputs = classify(&asked(1), &Signature::default(), &[], tensors).unwrap();
        assert_eq!(outputs.len(), 1);
        assert_eq!(outputs[0].strings().unwrap(), ["0.9:1:-20"]);
    }

    #[test]
    fn what_classes_take_is_known_before_they_are_made() {
        let of = |classes: usize, labels: &[&str], shape: &[i64]| {
            let labels: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
            weight(&asked(classes), &Signature::default(), &labels, &[output(shape, &[])])
        };
        assert_eq!(of(0, &[], &[1000, 10]), 0);
        assert_eq!(of(1, &[], &[1000, 10]), 10_000 * NUMBER + 1000 * TEXT);
        assert_eq!(of(99, &["cat", "a"], &[1000, 10]), 10_000 * NUMBER + 10_000 * (TEXT + 6));
        assert_eq!(of(1, &[], &[0, 10]), 0);
        assert_eq!(of(usize::MAX, &[], &[i64::MAX, i64::MAX]), usize::MAX);
    }

    #[test]
    fn an_output_without_classes_is_refused() {
        let text = Tensor {
            name: "y".to_owned(),
            datatype: Datatype::Bytes,
            shape: vec![1],
            data: encode_strings(["a"]).unwrap(),
        };
        let none = Signature::default();
        let error = classify(&asked(1), &none, &[], vec![text]).unwrap_err().to_string();
        assert!(error.contains("output \"y\" has no classes: it is BYTES of shape [1]"), "{error}");
        assert!(classify(&asked(1), &none, &[], vec![output(&[], &[1.0])]).is_err());
    }
}
