//! Writes the elements of a JSON array into the binary tensor extension's layout. In go text that is known to be JSON, a
//! datatype and a shape; out come bytes.
//!
//! Numbers are read from their own digits by the standard library, whose rounding is exact for every type; a general
//! JSON value would round FP32 twice and 64-bit integers beyond 2^53. Arrays are flat, or nested as the shape says.

use std::str::FromStr;

use crate::tensor::{Datatype, Shape};

/// Most characters of a value that an error shows.
const MAX_SHOWN: usize = 40;
/// Most bytes to reserve before the data are seen: the shape is only a claim.
const MAX_RESERVED: usize = 1024 * 1024;

/// What stands for NaN, a number that is missing.
const MISSING: &str = "null";

/// An array that is not the elements of a tensor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ElementError {
    /// Something else.
    #[error("data is {got}, expected a JSON array")]
    NoArray {
        /// What it is.
        got: String,
    },
    /// A value of another kind, or out of range.
    #[error("element {element} is {got}, expected {expected}")]
    Value {
        /// Which, counted flat.
        element: usize,
        /// As it came.
        got: String,
        /// What the datatype takes.
        expected: String,
    },
    /// Too few or too many elements.
    #[error("data has {got} elements, expected {expected} for shape {}", Shape(.shape))]
    Count {
        /// How many came: at least, if more than expected.
        got: String,
        /// How many there should be.
        expected: usize,
        /// The shape.
        shape: Vec<i64>,
    },
    /// Nested in another way than the shape.
    #[error("data is nested otherwise than shape {} at element {element}; expected a flat array, or one nested like the shape", Shape(.shape))]
    Nesting {
        /// Which element comes next, counted flat.
        element: usize,
        /// The shape.
        shape: Vec<i64>,
    },
}

/// The elements of an array.
#[derive(Debug)]
pub struct Elements {
    /// In the layout.
    pub data: Vec<u8>,
    /// Whether a number is missing.
    pub missing: bool,
}

/// Reads an array.
pub fn decode(text: &str, datatype: Datatype, shape: &[i64], count: usize) -> Result<Elements, ElementError> {
    if !text.starts_with('[') {
        return Err(ElementError::NoArray { got: shown(text) });
    }
    let reserved = count.saturating_mul(datatype.size().unwrap_or(8)).min(MAX_RESERVED);
    let data = Vec::with_capacity(reserved);
    let mut reader = Reader { datatype, shape, count, seen: 0, missing: false, data };
    reader.read(text)?;
    if reader.seen != count {
        return Err(ElementError::Count {
            got: reader.seen.to_string(),
            expected: count,
            shape: shape.to_vec(),
        });
    }
    Ok(Elements { data: reader.data, missing: reader.missing })
}

struct Reader<'a> {
    datatype: Datatype,
    shape: &'a [i64],
    count: usize,
    seen: usize,
    missing: bool,
    data: Vec<u8>,
}

impl Reader<'_> {
    fn read(&mut self, text: &str) -> Result<(), ElementError> {
        // How many values each open array has so far. Whether the array is nested is known at its first value.
        let mut open: Vec<i64> = Vec::new();
        let mut nested = None;
        let mut rest = text;
        loop {
            rest = rest.trim_start_matches([' ', '\t', '\n', '\r', ',']);
            let Some(first) = rest.as_bytes().first() else { return Ok(()) };
            match first {
                b'[' => {
                    if let Some(siblings) = open.last_mut() {
                        *siblings += 1;
                        if nested == Some(false) || open.len() >= self.shape.len() {
                            return Err(self.nesting());
                        }
                        nested = Some(true);
                    }
                    open.push(0);
                    rest = rest.get(1..).unwrap_or_default();
                }
                b']' => {
                    let values = open.pop().unwrap_or(0);
                    // A flat array's length is checked as a count; an empty outer array may stand for any empty shape.
                    let expected = self.shape.get(open.len()).copied();
                    if nested == Some(true) && expected != Some(values) {
                        return Err(self.nesting());
                    }
                    rest = rest.get(1..).unwrap_or_default();
                }
                _ => {
                    nested = nested.or(Some(false));
                    if nested == Some(true) && open.len() != self.shape.len() {
                        return Err(self.nesting());
                    }
                    if let Some(siblings) = open.last_mut() {
                        *siblings += 1;
                    }
                    let (token, after) = split_token(rest);
                    self.push(token)?;
                    rest = after;
                }
            }
        }
    }

    fn nesting(&self) -> ElementError {
        ElementError::Nesting { element: self.seen, shape: self.shape.to_vec() }
    }

    fn push(&mut self, token: &str) -> Result<(), ElementError> {
        if self.seen == self.count {
            let got = format!("more than {}", self.count);
            return Err(ElementError::Count { got, expected: self.count, shape: self.shape.to_vec() });
        }
        let written = match self.datatype {
            Datatype::Bool => match token {
                "true" => self.extend(&[1]),
                "false" => self.extend(&[0]),
                _ => None,
            },
            Datatype::Fp16 if token == MISSING => self.absent(&half::f16::NAN.to_le_bytes()),
            Datatype::Bf16 if token == MISSING => self.absent(&half::bf16::NAN.to_le_bytes()),
            Datatype::Fp32 if token == MISSING => self.absent(&f32::NAN.to_le_bytes()),
            Datatype::Fp64 if token == MISSING => self.absent(&f64::NAN.to_le_bytes()),
            Datatype::Uint8 => self.integer::<u8, 1>(token, u8::to_le_bytes),
            Datatype::Uint16 => self.integer::<u16, 2>(token, u16::to_le_bytes),
            Datatype::Uint32 => self.integer::<u32, 4>(token, u32::to_le_bytes),
            Datatype::Uint64 => self.integer::<u64, 8>(token, u64::to_le_bytes),
            Datatype::Int8 => self.integer::<i8, 1>(token, i8::to_le_bytes),
            Datatype::Int16 => self.integer::<i16, 2>(token, i16::to_le_bytes),
            Datatype::Int32 => self.integer::<i32, 4>(token, i32::to_le_bytes),
            Datatype::Int64 => self.integer::<i64, 8>(token, i64::to_le_bytes),
            Datatype::Fp16 => number::<f64>(token)
                .map(half::f16::from_f64)
                .filter(|x| x.is_finite())
                .and_then(|x| self.extend(&x.to_le_bytes())),
            Datatype::Bf16 => number::<f64>(token)
                .map(half::bf16::from_f64)
                .filter(|x| x.is_finite())
                .and_then(|x| self.extend(&x.to_le_bytes())),
            Datatype::Fp32 => {
                number::<f32>(token).filter(|x| x.is_finite()).and_then(|x| self.extend(&x.to_le_bytes()))
            }
            Datatype::Fp64 => {
                number::<f64>(token).filter(|x| x.is_finite()).and_then(|x| self.extend(&x.to_le_bytes()))
            }
            Datatype::Bytes => self.string(token),
        };
        if written.is_none() {
            return Err(ElementError::Value {
                element: self.seen,
                got: shown(token),
                expected: expected(self.datatype),
            });
        }
        self.seen += 1;
        Ok(())
    }

    #[expect(clippy::unnecessary_wraps, reason = "the last link of chains that may break")]
    fn extend(&mut self, bytes: &[u8]) -> Option<()> {
        self.data.extend_from_slice(bytes);
        Some(())
    }

    /// JSON has no NaN, and a model that imputes takes it for a missing number.
    fn absent(&mut self, nan: &[u8]) -> Option<()> {
        self.missing = true;
        self.extend(nan)
    }

    fn integer<T: FromStr, const N: usize>(&mut self, token: &str, bytes: fn(T) -> [u8; N]) -> Option<()> {
        let number = token.parse().ok()?;
        self.extend(&bytes(number))
    }

    fn string(&mut self, token: &str) -> Option<()> {
        let string: String = serde_json::from_str(token).ok()?;
        let length = u32::try_from(string.len()).ok()?;
        self.extend(&length.to_le_bytes())?;
        self.extend(string.as_bytes())
    }
}

/// A JSON number; the standard library would also take `inf` and `nan`, which are no JSON and never get here.
fn number<T: FromStr>(token: &str) -> Option<T> {
    token.starts_with(|first: char| first == '-' || first.is_ascii_digit()).then(|| token.parse().ok())?
}

/// Splits the first value off. Objects are cut at their first comma, which is enough to refuse them.
fn split_token(text: &str) -> (&str, &str) {
    let end = if text.starts_with('"') {
        let mut escaped = false;
        text.bytes()
            .skip(1)
            .position(|byte| {
                let ends = byte == b'"' && !escaped;
                escaped = byte == b'\\' && !escaped;
                ends
            })
            .map_or(text.len(), |end| end + 2)
    } else {
        text.find([',', ']', ' ', '\t', '\n', '\r']).unwrap_or(text.len())
    };
    text.split_at_checked(end).unwrap_or((text, ""))
}

fn expected(datatype: Datatype) -> String {
    match datatype {
        Datatype::Bool => "true or false".to_owned(),
        Datatype::Bytes => "a string".to_owned(),
        datatype if datatype.is_float() => format!("a number that {datatype} can hold, or null for NaN"),
        datatype => format!("an integer, without point or exponent, that {datatype} can hold"),
    }
}

fn shown(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
