//! The type of an array's elements. In goes NumPy's name of it; out comes the datatype of a tensor.

use std::fmt;

use crate::tensor::Datatype;

/// Widest text, in characters: an element may not be wider than what all rows together may have.
const MAX_WIDTH: usize = 1024 * 1024;

/// The type of an array's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Truth values and numbers that a tensor can hold too.
    Plain(Datatype),
    /// `<U`: text of a fixed width, 4 bytes a character.
    Text(usize),
    /// `|S`: text of a fixed width, 1 byte a character.
    ByteText(usize),
}

impl Kind {
    /// Reads NumPy's name of a type.
    pub fn parse(descr: &str) -> Result<Self, String> {
        let refused = |why: &str| Err(format!("has elements of type {descr:?}: {why}"));
        let mut chars = descr.chars();
        let order = chars.next();
        let (Some('<' | '|' | '>' | '='), Some(kind)) = (order, chars.next()) else {
            return refused("that is no type of NumPy's");
        };
        if kind == 'O' {
            return refused(
                "pickled Python objects are not read, since they can run any program; convert text by \
                 array.astype(str) and numbers by array.astype(float)",
            );
        }
        let width = chars.as_str();
        if width.is_empty() || !width.bytes().all(|b| b.is_ascii_digit()) {
            return refused("that is no type of NumPy's");
        }
        if order == Some('>') && !matches!((kind, width), ('S', _) | (_, "1")) {
            return refused("big-endian elements are not read; convert them by array.astype('<…')");
        }
        let text = |width: &str| width.parse().ok().filter(|width| (1..=MAX_WIDTH).contains(width));
        let plain = match (kind, width) {
            ('b', "1") => Datatype::Bool,
            ('i', "1") => Datatype::Int8,
            ('i', "2") => Datatype::Int16,
            ('i', "4") => Datatype::Int32,
            ('i', "8") => Datatype::Int64,
            ('u', "1") => Datatype::Uint8,
            ('u', "2") => Datatype::Uint16,
            ('u', "4") => Datatype::Uint32,
            ('u', "8") => Datatype::Uint64,
            ('f', "2") => Datatype::Fp16,
            ('f', "4") => Datatype::Fp32,
            ('f', "8") => Datatype::Fp64,
            ('U', width) if text(width).is_some() => return Ok(Self::Text(text(width).unwrap_or(1))),
            ('S', width) if text(width).is_some() => return Ok(Self::ByteText(text(width).unwrap_or(1))),
            ('U' | 'S', _) => return refused(&format!("expected a width of 1 to {MAX_WIDTH} characters")),
            _ => {
                return refused(
                    "expected truth values (b1), integers (i1 to u8), floats (f2, f4, f8) or text (U, S)",
                );
            }
        };
        Ok(Self::Plain(plain))
    }

    /// The tensor's datatype for it.
    pub fn datatype(self) -> Datatype {
        match self {
            Self::Plain(datatype) => datatype,
            Self::Text(_) | Self::ByteText(_) => Datatype::Bytes,
        }
    }

    pub(super) fn size(self) -> usize {
        match self {
            Self::Plain(datatype) => datatype.size().unwrap_or(1),
            // The width is bounded.
            Self::Text(width) => width * 4,
            Self::ByteText(width) => width,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(datatype) => datatype.fmt(f),
            Self::Text(_) | Self::ByteText(_) => f.write_str("text (BYTES)"),
        }
    }
}
