//! Reads the elements of a JSON array into the binary tensor extension's layout, in one pass. In go a place in a text, a
//! datatype and a shape; out come bytes.
//!
//! Numbers are read from their own digits to the nearest of the datatype (FP16 and BF16 by way of FP64); a general JSON
//! value would round FP32 twice and 64-bit integers beyond 2^53. Arrays are flat, or nested as the shape says.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    decimal::Float,
    number,
    reader::{Reader, SyntaxError},
    run,
};
use crate::budget::{self, Budget, Permit, Refused};
use modelwright_core::tensor::{Datatype, Shape};

/// Most characters of a value that an error shows.
const MAX_SHOWN: usize = 40;
/// Shortest row that is worth to be read as a [`run`].
const LONG: i64 = 16;

/// An array that is not the elements of a tensor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ElementError {
    #[error("data is {got}, expected a JSON array")]
    NoArray { got: String },
    /// A value of another kind, or out of range.
    #[error("element {element} is {got}, expected {expected}")]
    Value { element: usize, got: String, expected: String },
    /// Too few or too many elements.
    #[error("data has {got} elements, expected {expected} for shape {}", Shape(.shape))]
    Count {
        /// How many came: at least, if more than expected.
        got: String,
        /// How many there should be.
        expected: usize,
        shape: Vec<i64>,
    },
    /// Nested in another way than the shape.
    #[error("data is nested otherwise than shape {} at element {element}; expected a flat array, or one nested like the shape", Shape(.shape))]
    Nesting {
        /// Which element comes next, counted flat.
        element: usize,
        shape: Vec<i64>,
    },
    /// There is no memory for them.
    #[error(transparent)]
    Memory(#[from] Refused),
    #[error("broken JSON")]
    Syntax(SyntaxError),
}

impl From<SyntaxError> for ElementError {
    fn from(error: SyntaxError) -> Self {
        Self::Syntax(error)
    }
}

/// The elements of an array.
#[derive(Debug)]
pub struct Elements {
    pub data: Bytes,
    /// Whether a number is missing.
    pub missing: bool,
}

/// What an array should hold.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    pub datatype: Datatype,
    /// How it may be nested.
    pub shape: &'a [i64],
    /// How many elements the shape has.
    pub count: usize,
    /// What their memory is taken from; none if another permit covers it.
    pub budget: Option<&'a Arc<Budget>>,
}

impl Expected<'_> {
    fn take(&self, bytes: usize) -> Result<Option<Permit>, Refused> {
        self.budget.map(|budget| budget.take(bytes)).transpose()
    }
}

/// Reads an array, and goes on behind it.
pub fn read(reader: &mut Reader<'_>, expected: Expected<'_>) -> Result<Elements, ElementError> {
    match expected.datatype {
        Datatype::Bool => read_all(reader, expected, boolean),
        Datatype::Uint8 => read_all(reader, expected, integer::<u8>),
        Datatype::Uint16 => read_all(reader, expected, integer::<u16>),
        Datatype::Uint32 => read_all(reader, expected, integer::<u32>),
        Datatype::Uint64 => read_all(reader, expected, integer::<u64>),
        Datatype::Int8 => read_all(reader, expected, integer::<i8>),
        Datatype::Int16 => read_all(reader, expected, integer::<i16>),
        Datatype::Int32 => read_all(reader, expected, integer::<i32>),
        Datatype::Int64 => read_all(reader, expected, integer::<i64>),
        Datatype::Fp16 => read_floats::<half::f16>(reader, expected),
        Datatype::Bf16 => read_floats::<half::bf16>(reader, expected),
        Datatype::Fp32 => read_floats::<f32>(reader, expected),
        Datatype::Fp64 => read_floats::<f64>(reader, expected),
        Datatype::Bytes => read_strings(reader, expected),
    }
}

fn boolean(reader: &mut Reader<'_>, _missing: &mut bool) -> Option<u8> {
    reader.boolean().ok().map(u8::from)
}

#[inline]
fn integer<T: std::str::FromStr + TryFrom<i64>>(reader: &mut Reader<'_>, _missing: &mut bool) -> Option<T> {
    let number = number::scan(reader.rest())?;
    let integer = number.to_integer()?;
    reader.advance(number.text.len());
    Some(integer)
}

/// JSON has no NaN, and a model that imputes takes it for a missing number, which `null` stands for.
#[inline]
fn float<T: Float>(reader: &mut Reader<'_>, missing: &mut bool) -> Option<T> {
    let Some(number) = number::scan(reader.rest()) else {
        let is_null = reader.null();
        *missing |= is_null;
        return is_null.then_some(T::NAN);
    };
    let value = T::nearest(number)?;
    reader.advance(number.text.len());
    Some(value)
}

/// Elements of a fixed size, which share their memory as bytes.
struct Held<T>(Vec<T>);

impl<T: bytemuck::NoUninit> AsRef<[u8]> for Held<T> {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

#[inline]
fn read_all<T: bytemuck::NoUninit + Send>(
    reader: &mut Reader<'_>,
    expected: Expected<'_>,
    one: impl Fn(&mut Reader<'_>, &mut bool) -> Option<T>,
) -> Result<Elements, ElementError> {
    // The shape is only a claim: each element takes two bytes of text at least.
    let count = expected.count.min(reader.left() / 2);
    let permit = expected.take(count.saturating_mul(size_of::<T>()))?;
    let mut elements = Vec::with_capacity(count);
    let mut missing = false;
    walk(reader, expected, |reader, seen| {
        elements.push(one(reader, &mut missing)?);
        *seen += 1;
        Some(())
    })?;
    Ok(Elements { data: budget::hold(permit, Held(elements)), missing })
}

/// As [`read_all`], and most of a long row at once.
#[inline]
fn read_floats<T: Float + bytemuck::NoUninit + Send>(
    reader: &mut Reader<'_>,
    expected: Expected<'_>,
) -> Result<Elements, ElementError> {
    let count = expected.count.min(reader.left() / 2 + 1);
    let permit = expected.take(count.saturating_mul(size_of::<T>()))?;
    let mut elements = vec![T::default(); count];
    let mut missing = false;
    let is_long = expected.shape.last().is_some_and(|row| *row >= LONG);
    walk(reader, expected, |reader, seen| {
        if is_long {
            let (read, taken) = run::read(reader.rest(), elements.get_mut(*seen..)?);
            reader.advance(taken);
            *seen += read;
            reader.next_token();
        }
        *elements.get_mut(*seen)? = float(reader, &mut missing)?;
        *seen += 1;
        Some(())
    })?;
    Ok(Elements { data: budget::hold(permit, Held(elements)), missing })
}

fn read_strings(reader: &mut Reader<'_>, expected: Expected<'_>) -> Result<Elements, ElementError> {
    // Each takes three bytes of text at least, and has four before it then; what is escaped is longer in the text.
    let most = reader.left() + expected.count.min(reader.left() / 3);
    let mut permit = expected.take(most)?;
    let mut data = Vec::with_capacity(expected.count.saturating_mul(8).min(reader.left()));
    walk(reader, expected, |reader, seen| {
        let here = *reader;
        let Ok(string) = reader.string("a string") else {
            *reader = here;
            return None;
        };
        data.extend_from_slice(&u32::try_from(string.len()).ok()?.to_le_bytes());
        data.extend_from_slice(string.as_bytes());
        *seen += 1;
        Some(())
    })?;
    // It doubles as it grows.
    data.shrink_to_fit();
    if let Some(permit) = &mut permit {
        permit.shrink_to(data.len());
    }
    Ok(Elements { data: budget::hold(permit, data), missing: false })
}

/// Walks the array, flat or nested like the shape, and reads each element.
#[inline]
fn walk(
    reader: &mut Reader<'_>,
    expected: Expected<'_>,
    mut one: impl FnMut(&mut Reader<'_>, &mut usize) -> Option<()>,
) -> Result<(), ElementError> {
    if reader.next_token() != Some(b'[') {
        return Err(ElementError::NoArray { got: shown(reader)? });
    }
    reader.advance(1);
    let nesting = |element| ElementError::Nesting { element, shape: expected.shape.to_vec() };
    let mut seen = 0;
    if reader.next_token() == Some(b'[') {
        // How many arrays each open one has had so far; the innermost ones hold elements.
        let mut open = vec![0_i64];
        while let Some(had) = open.last_mut() {
            if reader.take_if(b']') {
                let had = *had;
                open.pop();
                if expected.shape.get(open.len()) != Some(&had) {
                    return Err(nesting(seen));
                }
                continue;
            }
            if *had > 0 {
                reader.take(b',', "a comma or the end of the array")?;
            }
            if reader.next_token() != Some(b'[') {
                return Err(nesting(seen));
            }
            *had += 1;
            reader.advance(1);
            match expected.shape.len().saturating_sub(open.len()) {
                0 => return Err(nesting(seen)),
                1 => {
                    let before = seen;
                    row(reader, expected, &mut seen, &mut one)?;
                    if expected.shape.last().copied() != i64::try_from(seen - before).ok() {
                        return Err(nesting(seen));
                    }
                }
                _ => open.push(0),
            }
        }
    } else {
        row(reader, expected, &mut seen, &mut one)?;
    }
    if seen == expected.count {
        return Ok(());
    }
    Err(ElementError::Count {
        got: seen.to_string(),
        expected: expected.count,
        shape: expected.shape.to_vec(),
    })
}

/// Reads elements up to the end of the array that is open.
#[inline]
fn row(
    reader: &mut Reader<'_>,
    expected: Expected<'_>,
    seen: &mut usize,
    one: &mut impl FnMut(&mut Reader<'_>, &mut usize) -> Option<()>,
) -> Result<(), ElementError> {
    if reader.take_if(b']') {
        return Ok(());
    }
    loop {
        reader.next_token();
        if *seen == expected.count || one(reader, seen).is_none() {
            return Err(refusal(reader, expected, *seen)?);
        }
        match reader.next_token() {
            Some(b',') => reader.advance(1),
            Some(b']') => {
                reader.advance(1);
                return Ok(());
            }
            _ => return Ok(reader.fault("a comma or the end of the array")?),
        }
    }
}

/// Why the value here is no element: it is no JSON, one too many, an array, or of another kind.
#[cold]
fn refusal(
    reader: &mut Reader<'_>,
    expected: Expected<'_>,
    seen: usize,
) -> Result<ElementError, ElementError> {
    let is_array = reader.next_token() == Some(b'[');
    let got = shown(reader)?;
    Ok(if is_array {
        ElementError::Nesting { element: seen, shape: expected.shape.to_vec() }
    } else if seen == expected.count {
        let got = format!("more than {}", expected.count);
        ElementError::Count { got, expected: expected.count, shape: expected.shape.to_vec() }
    } else {
        ElementError::Value { element: seen, got, expected: takes(expected.datatype) }
    })
}

fn takes(datatype: Datatype) -> String {
    match datatype {
        Datatype::Bool => "true or false".to_owned(),
        Datatype::Bytes => "a string".to_owned(),
        datatype if datatype.is_float() => format!("a number that {datatype} can hold, or null for NaN"),
        datatype => format!("an integer, without point or exponent, that {datatype} can hold"),
    }
}

/// The value here, cut where it is long.
fn shown(reader: &mut Reader<'_>) -> Result<String, SyntaxError> {
    let start = reader.offset();
    reader.skip()?;
    let value = reader.since(start);
    // What is shown is short, however long the value is.
    let text = String::from_utf8_lossy(value.get(..MAX_SHOWN * 4 + 4).unwrap_or(value));
    Ok(match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.into_owned(),
    })
}
