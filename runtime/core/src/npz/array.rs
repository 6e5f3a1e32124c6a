//! One array in memory. In go a head and the bytes after it; out come elements as numbers or text, and rows as tensors.

use std::ops::Range;

use bytes::Bytes;

use super::{header::Header, kind::Kind};
use crate::tensor::{Tensor, encode_strings};

/// An array with its elements in C order. No dimension but the first is 0, so it has no more rows than bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Array {
    kind: Kind,
    shape: Vec<usize>,
    data: Bytes,
}

impl Array {
    /// Checks that the bytes are the elements that the head promises, and puts them into C order.
    pub(super) fn new(header: Header, data: Bytes) -> Result<Self, String> {
        let Header { kind, fortran_order, shape } = header;
        let expected = shape.iter().try_fold(kind.size(), |bytes, size| bytes.checked_mul(*size));
        if expected != Some(data.len()) {
            return Err(format!(
                "has {} bytes of elements, which do not fill its shape {shape:?}",
                data.len()
            ));
        }
        if shape.iter().skip(1).any(|size| *size == 0) {
            return Err(format!("has the shape {shape:?}, and so nothing in a row"));
        }
        let turned = fortran_order && shape.len() > 1;
        let data = if turned { reordered(&data, &shape, kind.size())?.into() } else { data };
        Ok(Self { kind, shape, data })
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Its first size; a scalar has none.
    pub fn rows(&self) -> Option<usize> {
        self.shape.first().copied()
    }

    pub fn row_bytes(&self) -> usize {
        // Not more than all elements have, unless there is no row.
        self.shape.iter().skip(1).fold(self.kind.size(), |bytes, size| bytes.saturating_mul(*size))
    }

    /// Some of its rows as a tensor.
    pub fn tensor(&self, name: &str, rows: Range<usize>) -> Result<Tensor, String> {
        let bytes = |row: usize| row.saturating_mul(self.row_bytes());
        let (start, end) = (bytes(rows.start), bytes(rows.end));
        if self.shape.is_empty() || start > end || end > self.data.len() {
            return Err(format!("has no rows {} to {}", rows.start, rows.end));
        }
        let data = self.data.slice(start..end);
        let data = match self.kind {
            Kind::Plain(_) => data,
            Kind::Text(_) | Kind::ByteText(_) => {
                let texts: Vec<String> = data
                    .chunks_exact(self.kind.size())
                    .map(|bytes| text(self.kind, bytes))
                    .collect::<Result<_, _>>()?;
                encode_strings(texts).ok_or("has a text that is too long")?
            }
        };
        let mut shape = vec![i64::try_from(rows.len()).unwrap_or(i64::MAX)];
        shape.extend(self.shape.iter().skip(1).map(|size| i64::try_from(*size).unwrap_or(i64::MAX)));
        Ok(Tensor { name: name.to_owned(), datatype: self.kind.datatype(), shape, data })
    }
}

/// The text of one element: NumPy fills up with NUL.
fn text(kind: Kind, bytes: &[u8]) -> Result<String, String> {
    let text = match kind {
        Kind::Text(_) => bytes
            .chunks_exact(4)
            .map(|unit| char::from_u32(unit.iter().rev().fold(0, |sum, byte| (sum << 8) | u32::from(*byte))))
            .collect::<Option<String>>()
            .ok_or("has text with a number that is no character")?,
        _ => std::str::from_utf8(bytes).map_err(|_| "has text that is not UTF-8")?.to_owned(),
    };
    let text = text.trim_end_matches('\0');
    if text.contains('\0') {
        return Err("has text with a NUL in it".to_owned());
    }
    Ok(text.to_owned())
}

/// Elements in C order, from those in Fortran order.
fn reordered(data: &[u8], shape: &[usize], size: usize) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    out.try_reserve_exact(data.len()).map_err(|_| {
        format!(
            "is in Fortran order, and its {} bytes cannot be turned in the memory that is left; write fewer rows, or \
             give the run more",
            data.len()
        )
    })?;
    // How far apart neighbours of each dimension are.
    let strides: Vec<usize> = shape
        .iter()
        .scan(size, |stride, size| {
            let present = *stride;
            *stride *= size;
            Some(present)
        })
        .collect();
    let mut index = vec![0_usize; shape.len()];
    let mut offset = 0;
    for _ in 0..data.len() / size {
        out.extend_from_slice(data.get(offset..offset + size).unwrap_or_default());
        for ((place, limit), stride) in index.iter_mut().zip(shape).zip(&strides).rev() {
            *place += 1;
            offset += stride;
            if *place < *limit {
                break;
            }
            offset -= stride * limit;
            *place = 0;
        }
    }
    Ok(out)
}
