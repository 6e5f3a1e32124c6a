//! Maps, which classifiers of scikit-learn give for probabilities (ZipMap), as tensors. In go an output's type or value;
//! out come what the signature says of it, and tensors.
//!
//! The protocol knows tensors only. An output NAME that is a sequence of maps, one a row, becomes two: NAME, with a row
//! for each map and a column for each key, in ascending order of the keys, and NAME.keys with the keys of the columns. A
//! single map becomes the same without rows.

use bytes::Bytes;
use modelwright_contract::signature::TensorSpec;
use ort::value::{DynMapValueType, DynValue, TensorElementType, Value, ValueType};

use super::{RunError, run_error};
use crate::tensor::{Datatype, Tensor, encode_strings};

/// What stands behind an output's name for its keys.
const KEYS: &str = ".keys";

/// What of a model's output an output of the signature is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it: a tensor.
    Whole,
    Values,
    Keys,
}

/// How a type is told in the signature; none if it holds no maps that can be.
pub(super) fn specs(name: &str, kind: &ValueType) -> Option<[(Part, TensorSpec); 2]> {
    let (map, shape) = match kind {
        ValueType::Sequence(inner) => (inner.as_ref(), vec![-1, -1]),
        map => (map, vec![-1]),
    };
    let ValueType::Map { key, value: TensorElementType::Float32 } = map else { return None };
    let keys = match key {
        TensorElementType::String => Datatype::Bytes,
        TensorElementType::Int64 => Datatype::Int64,
        _ => return None,
    };
    let spec = |name: String, datatype: Datatype, shape| TensorSpec {
        name,
        datatype: datatype.name().to_owned(),
        shape,
        ..TensorSpec::default()
    };
    Some([
        (Part::Values, spec(name.to_owned(), Datatype::Fp32, shape)),
        (Part::Keys, spec(keys_of(name), keys, vec![-1])),
    ])
}

/// The name of the output that holds the keys of another one.
pub fn keys_of(name: &str) -> String {
    format!("{name}{KEYS}")
}

/// The keys of one map, and its values.
enum Rows {
    Texts(Vec<Vec<(String, f32)>>),
    Integers(Vec<Vec<(i64, f32)>>),
}

/// One part of an output that holds maps.
pub(super) fn tensor(spec: &TensorSpec, part: Part, value: &DynValue) -> Result<Tensor, RunError> {
    let odd = || RunError::NotTensor { name: spec.name.clone() };
    let refused = |error: ort::Error| run_error(&error);
    let (is_sequence, rows) = match value.dtype() {
        ValueType::Sequence(inner) => {
            let maps = value.try_extract_sequence::<DynMapValueType>().map_err(refused)?;
            let is_text = matches!(**inner, ValueType::Map { key: TensorElementType::String, .. });
            (true, read(&maps, is_text).map_err(refused)?)
        }
        ValueType::Map { key, .. } => {
            let is_text = *key == TensorElementType::String;
            (false, read(std::slice::from_ref(value), is_text).map_err(refused)?)
        }
        _ => return Err(odd()),
    };
    let (keys, values, rows) = match rows {
        Rows::Texts(rows) => {
            let (keys, values) = table(&rows).ok_or_else(odd)?;
            (encode_strings(&keys).ok_or_else(odd)?, values, rows.len())
        }
        Rows::Integers(rows) => {
            let (keys, values) = table(&rows).ok_or_else(odd)?;
            (keys.iter().flat_map(|key| key.to_le_bytes()).collect(), values, rows.len())
        }
    };
    let size = |number: usize| i64::try_from(number).map_err(|_| odd());
    let columns = size(values.len().checked_div(rows).unwrap_or(0))?;
    let datatype = Datatype::parse(&spec.datatype).ok_or_else(odd)?;
    let (shape, data): (Vec<i64>, Bytes) = match part {
        Part::Keys => (vec![columns], keys),
        _ if is_sequence => {
            (vec![size(rows)?, columns], values.iter().flat_map(|value| value.to_le_bytes()).collect())
        }
        _ => (vec![columns], values.iter().flat_map(|value| value.to_le_bytes()).collect()),
    };
    Ok(Tensor { name: spec.name.clone(), datatype, shape, data })
}

fn read<T: ort::value::MapValueTypeMarker + ?Sized>(maps: &[Value<T>], is_text: bool) -> ort::Result<Rows> {
    Ok(if is_text {
        Rows::Texts(maps.iter().map(Value::try_extract_key_values).collect::<Result<_, _>>()?)
    } else {
        Rows::Integers(maps.iter().map(Value::try_extract_key_values).collect::<Result<_, _>>()?)
    })
}

/// Keys in ascending order, and the values of all rows by them; none if rows have other keys than the first.
fn table<K: Ord + Clone>(rows: &[Vec<(K, f32)>]) -> Option<(Vec<K>, Vec<f32>)> {
    let Some(first) = rows.first() else { return Some((Vec::new(), Vec::new())) };
    let mut keys: Vec<K> = first.iter().map(|(key, _)| key.clone()).collect();
    keys.sort();
    let mut values = Vec::with_capacity(rows.len().saturating_mul(keys.len()));
    for row in rows {
        let mut row: Vec<&(K, f32)> = row.iter().collect();
        row.sort_by(|a, b| a.0.cmp(&b.0));
        if !row.iter().map(|(key, _)| key).eq(&keys) {
            return None;
        }
        values.extend(row.iter().map(|(_, value)| *value));
    }
    Some((keys, values))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_put_into_columns_by_ascending_keys() {
        let rows = [vec![("b", 2.0), ("a", 1.0)], vec![("a", 3.0), ("b", 4.0)]];
        assert_eq!(table(&rows), Some((vec!["a", "b"], vec![1.0, 2.0, 3.0, 4.0])));
        assert_eq!(table(&[vec![("a", 1.0)], vec![("b", 1.0)]]), None);
        assert_eq!(table(&[vec![("a", 1.0)], vec![]]), None);
    }
}
