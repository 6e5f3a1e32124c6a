//! Reads the elements of small tensors.

use std::io::{BufRead, Seek};

use super::{Constant, ENTRY, MAX_ELEMENTS, Numbers};
use crate::onnx::wire::{Reader, Result, Value, WireError};

/// The parts of a message of repeated fields, as the wire has them.
#[derive(Default)]
struct Elements {
    raw: Option<Vec<u8>>,
    integers: Vec<i64>,
    floats: Vec<f64>,
}

/// Bytes that are kept of a file, about.
#[derive(Default)]
pub(super) struct Kept {
    pub all: usize,
    pub texts: usize,
}

impl<S: BufRead + Seek> Reader<S, Kept> {
    pub(super) fn read_sparse(&mut self, value: &Value) -> Result<Constant> {
        let end = self.bytes(value)?;
        let mut constant = Constant::default();
        while let Some((field, value)) = self.field(end)? {
            match field {
                1 => constant.name = self.read_tensor(&value)?.name,
                3 => self.read_integers(&value, &mut constant.sizes)?,
                _ => self.skip(&value)?,
            }
        }
        Ok(constant)
    }

    pub(super) fn read_tensor(&mut self, value: &Value) -> Result<Constant> {
        let end = self.bytes(value)?;
        let mut constant = Constant::default();
        let (mut kind, mut elsewhere, mut elements) = (0, false, Elements::default());
        let mut texts = Some(Vec::new());
        while let Some((field, value)) = self.field(end)? {
            match field {
                1 => self.read_integers(&value, &mut constant.sizes)?,
                2 => kind = self.number(&value)?,
                8 => constant.name = self.kept_text(&value)?,
                4 if self.is_small(&value, 4) => {
                    let mut floats = Vec::new();
                    self.read_floats(&value, &mut floats)?;
                    elements.floats.extend(floats.into_iter().map(f64::from));
                }
                5 | 7 if self.is_small(&value, 10) => self.read_integers(&value, &mut elements.integers)?,
                6 if texts.as_ref().is_none_or(|texts| texts.len() as u64 <= MAX_ELEMENTS) => {
                    self.read_text_into(&value, &mut texts)?;
                }
                9 if self.is_small(&value, 8) => elements.raw = Some(self.raw(&value)?),
                10 if self.is_small(&value, 8) => self.read_doubles(&value, &mut elements.floats)?,
                13 => {
                    elsewhere = true;
                    self.skip(&value)?;
                }
                _ => self.skip(&value)?,
            }
        }
        if !elsewhere {
            constant.numbers = numbers(kind, &constant.sizes, elements);
            // The kind of text.
            let fitting = |texts: &Vec<String>| kind == 8 && count(&constant.sizes) == Some(texts.len());
            constant.texts = texts.filter(fitting);
        }
        self.keep(ENTRY)?;
        Ok(constant)
    }

    /// Integers, packed or one by one.
    pub(super) fn read_integers(&mut self, value: &Value, into: &mut Vec<i64>) -> Result<()> {
        match value {
            Value::Bytes { end } => {
                while self.position < *end {
                    let number = self.varint(*end)?.cast_signed();
                    self.keep(8)?;
                    into.push(number);
                }
            }
            value => {
                let number = self.number(value)?.cast_signed();
                self.keep(8)?;
                into.push(number);
            }
        }
        Ok(())
    }

    pub(super) fn read_floats(&mut self, value: &Value, into: &mut Vec<f32>) -> Result<()> {
        if let Value::Bytes { end } = value {
            while self.position < *end {
                let bits = self.fixed(4, *end)?;
                self.keep(4)?;
                into.push(float(&Value::Fixed(bits)));
            }
        } else {
            self.keep(4)?;
            into.push(float(value));
        }
        Ok(())
    }

    pub(super) fn read_doubles(&mut self, value: &Value, into: &mut Vec<f64>) -> Result<()> {
        match value {
            Value::Bytes { end } => {
                while self.position < *end {
                    let bits = self.fixed(8, *end)?;
                    self.keep(8)?;
                    into.push(f64::from_bits(bits));
                }
            }
            Value::Fixed(bits) => {
                self.keep(8)?;
                into.push(f64::from_bits(*bits));
            }
            Value::Number(_) => {}
        }
        Ok(())
    }

    /// Whether a field has few enough elements of at most so many bytes to be kept.
    fn is_small(&self, value: &Value, bytes: u64) -> bool {
        match value {
            Value::Bytes { end } => end - self.position <= MAX_ELEMENTS * bytes,
            _ => true,
        }
    }

    pub(super) fn raw(&mut self, value: &Value) -> Result<Vec<u8>> {
        let bytes = self.read_bytes(value)?;
        self.keep(bytes.len())?;
        Ok(bytes)
    }

    /// The bytes of a field, which whoever asks for them counts.
    pub(super) fn read_bytes(&mut self, value: &Value) -> Result<Vec<u8>> {
        let end = self.bytes(value)?;
        let mut bytes = Vec::new();
        while self.position < end {
            let available = self.stream.fill_buf()?;
            let left = usize::try_from(end - self.position).unwrap_or(usize::MAX);
            let part = available.get(..available.len().min(left)).unwrap_or_default();
            if part.is_empty() {
                return Err(WireError::Truncated { position: self.position });
            }
            bytes.extend_from_slice(part);
            let taken = part.len();
            self.stream.consume(taken);
            self.position += taken as u64;
        }
        Ok(bytes)
    }
}

pub(super) fn float(value: &Value) -> f32 {
    match value {
        Value::Fixed(bits) => f32::from_bits(u32::try_from(bits & 0xffff_ffff).unwrap_or_default()),
        _ => f32::NAN,
    }
}

/// The elements of a tensor, if they are all there. Those of 8 and 16 bits are not kept: no sizes have them, and what is
/// computed of them wraps around early. The kinds are those of `TensorProto.DataType`.
fn numbers(kind: u64, sizes: &[i64], elements: Elements) -> Option<Numbers> {
    let count = count(sizes)?;
    let numbers = match (kind, elements.raw) {
        (1, Some(raw)) => {
            Numbers::Floats(chunks(&raw).map(|bytes| f64::from(f32::from_le_bytes(bytes))).collect())
        }
        (11, Some(raw)) => Numbers::Floats(chunks(&raw).map(f64::from_le_bytes).collect()),
        (9, Some(raw)) => Numbers::Integers(raw.into_iter().map(i64::from).collect()),
        (6, Some(raw)) => {
            Numbers::Integers(chunks(&raw).map(|bytes| i32::from_le_bytes(bytes).into()).collect())
        }
        (7, Some(raw)) => Numbers::Integers(chunks(&raw).map(i64::from_le_bytes).collect()),
        (1 | 11, None) => Numbers::Floats(elements.floats),
        (6 | 7 | 9, None) => Numbers::Integers(elements.integers),
        _ => return None,
    };
    let found = match &numbers {
        Numbers::Integers(numbers) => numbers.len(),
        Numbers::Floats(numbers) => numbers.len(),
    };
    (found == count).then_some(numbers)
}

/// How many elements a small tensor has.
fn count(sizes: &[i64]) -> Option<usize> {
    let count = sizes.iter().try_fold(1_u64, |count, size| count.checked_mul(u64::try_from(*size).ok()?))?;
    usize::try_from(count).ok().filter(|_| count <= MAX_ELEMENTS)
}

fn chunks<const SIZE: usize>(raw: &[u8]) -> impl Iterator<Item = [u8; SIZE]> + '_ {
    raw.chunks_exact(SIZE).filter_map(|bytes| bytes.try_into().ok())
}
