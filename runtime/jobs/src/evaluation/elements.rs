//! The elements of a tensor as what they are to a judge: whole numbers, fractions, text. In goes a tensor of the test
//! part or of an answer; out come its elements, in its order.

use std::fmt;

use modelwright_core::{
    golden::floats,
    tensor::{Datatype, Tensor},
};

/// Most characters of a text that are shown.
const SHOWN: usize = 64;

/// All elements of a tensor.
#[derive(Clone, Debug, PartialEq)]
pub enum Elements {
    /// Integers of any width, and truth values as 0 and 1.
    Integers(Vec<i128>),
    Floats(Vec<f64>),
    Texts(Vec<String>),
}

impl Elements {
    pub fn of(tensor: &Tensor) -> Result<Self, String> {
        if tensor.datatype.is_float() {
            return Ok(Self::Floats(floats(tensor)));
        }
        let Some(size) = tensor.datatype.size() else {
            let texts = tensor.strings().map_err(|error| error.to_string())?;
            return Ok(Self::Texts(texts.into_iter().map(str::to_owned).collect()));
        };
        let signed =
            matches!(tensor.datatype, Datatype::Int8 | Datatype::Int16 | Datatype::Int32 | Datatype::Int64);
        let integer = |bytes: &[u8]| {
            let unsigned = bytes.iter().rev().fold(0_i128, |sum, byte| (sum << 8) | i128::from(*byte));
            let bits = size * 8;
            if signed && unsigned >> (bits - 1) == 1 { unsigned - (1 << bits) } else { unsigned }
        };
        Ok(Self::Integers(tensor.data.chunks_exact(size).map(integer).collect()))
    }

    /// What they are, in a sentence.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Integers(_) => "integers",
            Self::Floats(_) => "floats",
            Self::Texts(_) => "text",
        }
    }

    /// The elements as labels; fractions are none.
    pub fn labels(self) -> Option<Vec<Label>> {
        match self {
            Self::Integers(integers) => Some(integers.into_iter().map(Label::Integer).collect()),
            Self::Texts(texts) => Some(texts.into_iter().map(Label::Text).collect()),
            Self::Floats(_) => None,
        }
    }

    /// The elements as numbers; text is none.
    #[expect(clippy::cast_precision_loss, reason = "a truth beyond 53 bits is rounded as NumPy rounds it")]
    pub fn numbers(self) -> Option<Vec<f64>> {
        match self {
            Self::Integers(integers) => Some(integers.into_iter().map(|integer| integer as f64).collect()),
            Self::Floats(floats) => Some(floats),
            Self::Texts(_) => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Label {
    Integer(i128),
    Text(String),
}

impl Label {
    /// The whole of it, as text.
    pub fn text(&self) -> String {
        match self {
            Self::Integer(number) => number.to_string(),
            Self::Text(text) => text.clone(),
        }
    }

    /// What it is, in a sentence.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Integer(_) => "integers",
            Self::Text(_) => "text",
        }
    }

    /// As a reader of a table wants it.
    pub fn shown(&self) -> String {
        match self {
            Self::Integer(integer) => integer.to_string(),
            Self::Text(text) => text.chars().take(SHOWN).collect(),
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(integer) => integer.fmt(f),
            Self::Text(_) => write!(f, "{:?}", self.shown()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn elements(datatype: Datatype, data: &[u8]) -> Elements {
        let tensor = Tensor { name: "x".to_owned(), datatype, shape: vec![-1], data: data.to_vec().into() };
        Elements::of(&tensor).unwrap()
    }

    #[test]
    fn integers_of_every_width_have_their_value() {
        for (datatype, data, value) in [
            (Datatype::Bool, vec![1], 1),
            (Datatype::Int8, vec![0xff], -1),
            (Datatype::Uint8, vec![0xff], 255),
            (Datatype::Int16, vec![0, 0x80], -32_768),
            (Datatype::Uint32, vec![0xff; 4], 0xffff_ffff),
            (Datatype::Int64, (-7_i64).to_le_bytes().to_vec(), -7),
            (Datatype::Int64, i64::MIN.to_le_bytes().to_vec(), i128::from(i64::MIN)),
            (Datatype::Uint64, vec![0xff; 8], i128::from(u64::MAX)),
        ] {
            assert_eq!(elements(datatype, &data), Elements::Integers(vec![value]), "{datatype}");
        }
    }

    #[test]
    fn floats_are_no_labels_and_text_is_no_number() {
        assert_eq!(elements(Datatype::Fp32, &1.5_f32.to_le_bytes()).labels(), None);
        let text = elements(Datatype::Bytes, &[1, 0, 0, 0, b'a']);
        assert_eq!(text.clone().labels(), Some(vec![Label::Text("a".to_owned())]));
        assert_eq!(text.numbers(), None);
    }
}
