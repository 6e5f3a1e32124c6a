//! One tensor as it travels through the runtime: name, datatype, shape, and the elements in the layout of the Open
//! Inference Protocol's binary tensor extension (little endian, row-major; BYTES with 4-byte length prefixes). Needs no
//! client and no ONNX Runtime.

use std::fmt;

use bytes::Bytes;

// Elements are reinterpreted as they lie in memory, which is the extension's layout on these machines only.
const _: () = assert!(cfg!(target_endian = "little"), "only little-endian machines are supported");

/// Bytes before each element of a BYTES tensor.
pub const LENGTH_PREFIX: usize = 4;

/// A datatype that the Open Inference Protocol and ONNX Runtime share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Datatype {
    /// One byte, 0 or 1.
    Bool,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Int8,
    Int16,
    Int32,
    Int64,
    Fp16,
    /// The upper half of binary32.
    Bf16,
    Fp32,
    Fp64,
    /// Strings: UTF-8 without NUL, which is what ONNX Runtime's string tensors hold.
    Bytes,
}

impl Datatype {
    pub const ALL: [Self; 14] = [
        Self::Bool,
        Self::Uint8,
        Self::Uint16,
        Self::Uint32,
        Self::Uint64,
        Self::Int8,
        Self::Int16,
        Self::Int32,
        Self::Int64,
        Self::Fp16,
        Self::Bf16,
        Self::Fp32,
        Self::Fp64,
        Self::Bytes,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Bool => "BOOL",
            Self::Uint8 => "UINT8",
            Self::Uint16 => "UINT16",
            Self::Uint32 => "UINT32",
            Self::Uint64 => "UINT64",
            Self::Int8 => "INT8",
            Self::Int16 => "INT16",
            Self::Int32 => "INT32",
            Self::Int64 => "INT64",
            Self::Fp16 => "FP16",
            Self::Bf16 => "BF16",
            Self::Fp32 => "FP32",
            Self::Fp64 => "FP64",
            Self::Bytes => "BYTES",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|datatype| datatype.name() == name)
    }

    /// Bytes of one element; none for BYTES, whose elements differ.
    pub fn size(self) -> Option<usize> {
        match self {
            Self::Bool | Self::Uint8 | Self::Int8 => Some(1),
            Self::Uint16 | Self::Int16 | Self::Fp16 | Self::Bf16 => Some(2),
            Self::Uint32 | Self::Int32 | Self::Fp32 => Some(4),
            Self::Uint64 | Self::Int64 | Self::Fp64 => Some(8),
            Self::Bytes => None,
        }
    }

    /// Whether elements are floating-point numbers.
    pub fn is_float(self) -> bool {
        matches!(self, Self::Fp16 | Self::Bf16 | Self::Fp32 | Self::Fp64)
    }
}

impl fmt::Display for Datatype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    pub name: String,
    pub datatype: Datatype,
    /// Sizes; empty for a scalar.
    pub shape: Vec<i64>,
    /// The elements, in the binary tensor extension's layout.
    pub data: Bytes,
}

/// Why bytes are not the elements of a tensor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// A negative size, or more elements than can be counted.
    #[error("shape {} is none: expected sizes of 0 or more whose product can be counted", Shape(.shape))]
    Shape { shape: Vec<i64> },
    /// The wrong number of bytes.
    #[error("{got} bytes of data, expected {expected} for {datatype} of shape {}", Shape(.shape))]
    Length {
        datatype: Datatype,
        shape: Vec<i64>,
        got: usize,
        /// Bytes that should be there.
        expected: usize,
    },
    /// The wrong number of strings.
    #[error("{got} elements of data, expected {expected} for BYTES of shape {}", Shape(.shape))]
    Count {
        shape: Vec<i64>,
        got: usize,
        /// Elements that should be there.
        expected: usize,
    },
    /// A length prefix that points past the end.
    #[error(
        "element {element} of the BYTES data ends past the data; expected a 4-byte length before each element"
    )]
    Prefix { element: usize },
    #[error("element {element} is no string: {why}; BYTES are UTF-8 strings without NUL to ONNX Runtime")]
    NotText {
        element: usize,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Not a truth value.
    #[error("element {element} of the BOOL data is the byte {byte}, expected 0 or 1")]
    NotBool { element: usize, byte: u8 },
}

/// Shows a shape as people write it: `[-1,4]`.
pub struct Shape<'a>(pub &'a [i64]);

impl fmt::Display for Shape<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (i, size) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            write!(f, "{size}")?;
        }
        f.write_str("]")
    }
}

/// Number of elements of a shape; none if a size is negative or the non-zero sizes multiply to more than can be
/// addressed. Zero sizes do not hide an overflow, since other code may multiply in another order.
pub fn element_count(shape: &[i64]) -> Option<usize> {
    let mut product: usize = 1;
    let mut empty = false;
    for &size in shape {
        let size = usize::try_from(size).ok()?;
        if size == 0 {
            empty = true;
        } else {
            // Eight bytes is the largest element.
            product = product.checked_mul(size).filter(|count| *count <= isize::MAX as usize / 8)?;
        }
    }
    Some(if empty { 0 } else { product })
}

/// Writes strings in the layout of a BYTES tensor; none if one is longer than its prefix can say.
pub fn encode_strings<S: AsRef<[u8]>>(strings: impl IntoIterator<Item = S>) -> Option<Bytes> {
    let mut data = Vec::new();
    for string in strings {
        let string = string.as_ref();
        data.extend_from_slice(&u32::try_from(string.len()).ok()?.to_le_bytes());
        data.extend_from_slice(string);
    }
    Some(data.into())
}

impl Tensor {
    /// Checks that the data are the elements that datatype and shape promise, and gives their number.
    pub fn check(&self) -> Result<usize, LayoutError> {
        let expected =
            element_count(&self.shape).ok_or_else(|| LayoutError::Shape { shape: self.shape.clone() })?;
        let Some(size) = self.datatype.size() else {
            let got = self.strings()?.len();
            return if got == expected {
                Ok(expected)
            } else {
                Err(LayoutError::Count { shape: self.shape.clone(), got, expected })
            };
        };
        // `element_count` leaves room for the factor.
        let bytes = expected * size;
        if self.data.len() != bytes {
            return Err(LayoutError::Length {
                datatype: self.datatype,
                shape: self.shape.clone(),
                got: self.data.len(),
                expected: bytes,
            });
        }
        if self.datatype == Datatype::Bool
            && let Some((element, byte)) = self.data.iter().enumerate().find(|(_, byte)| **byte > 1)
        {
            return Err(LayoutError::NotBool { element, byte: *byte });
        }
        Ok(expected)
    }

    /// The elements of a BYTES tensor as strings.
    pub fn strings(&self) -> Result<Vec<&str>, LayoutError> {
        let mut strings = Vec::new();
        let mut rest: &[u8] = &self.data;
        while !rest.is_empty() {
            let element = strings.len();
            let string = split_string(&mut rest).ok_or(LayoutError::Prefix { element })?;
            let string = std::str::from_utf8(string)
                .map_err(|_| LayoutError::NotText { element, why: "it is not UTF-8" })?;
            if string.contains('\0') {
                return Err(LayoutError::NotText { element, why: "it contains a NUL" });
            }
            strings.push(string);
        }
        Ok(strings)
    }
}

/// How many bytes the first texts of a BYTES tensor are, with their lengths; none if it has fewer.
pub fn length_of_strings(data: &[u8], count: usize) -> Option<usize> {
    let mut rest = data;
    for _ in 0..count {
        split_string(&mut rest)?;
    }
    data.len().checked_sub(rest.len())
}

fn split_string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (prefix, tail) = rest.split_at_checked(LENGTH_PREFIX)?;
    let length = u32::from_le_bytes(prefix.try_into().ok()?);
    let (string, tail) = tail.split_at_checked(usize::try_from(length).ok()?)?;
    *rest = tail;
    Some(string)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn tensor(datatype: Datatype, shape: &[i64], data: &[u8]) -> Tensor {
        Tensor { name: "x".to_owned(), datatype, shape: shape.to_vec(), data: data.to_vec().into() }
    }

    #[test]
    fn every_datatype_is_read_back_from_its_name() {
        for datatype in Datatype::ALL {
            assert_eq!(Datatype::parse(datatype.name()), Some(datatype));
        }
        assert_eq!(Datatype::parse("fp32"), None);
    }

    #[test]
    fn elements_are_counted_without_overflow() {
        assert_eq!(element_count(&[]), Some(1));
        assert_eq!(element_count(&[2, 3]), Some(6));
        assert_eq!(element_count(&[2, 0, 3]), Some(0));
        assert_eq!(element_count(&[-1, 3]), None);
        assert_eq!(element_count(&[i64::MAX, 2]), None);
        assert_eq!(element_count(&[0, i64::MAX, i64::MAX]), None);
        assert_eq!(element_count(&[1 << 32, 1 << 32, 1 << 32]), None);
    }

    #[test]
    fn data_of_another_length_are_refused_with_both_lengths() {
        let error = tensor(Datatype::Fp32, &[2, 2], &[0; 12]).check().unwrap_err();
        assert_eq!(error.to_string(), "12 bytes of data, expected 16 for FP32 of shape [2,2]");
        assert_eq!(tensor(Datatype::Fp32, &[2, 2], &[0; 16]).check(), Ok(4));
        assert_eq!(tensor(Datatype::Int64, &[0, 4], &[]).check(), Ok(0));
        assert!(tensor(Datatype::Int8, &[-1], &[]).check().is_err());
    }

    #[test]
    fn a_bool_other_than_zero_and_one_is_refused() {
        let error = tensor(Datatype::Bool, &[3], &[0, 1, 2]).check().unwrap_err();
        assert_eq!(error, LayoutError::NotBool { element: 2, byte: 2 });
    }

    #[test]
    fn strings_that_are_cut_or_no_text_are_refused() {
        assert_eq!(
            tensor(Datatype::Bytes, &[1], &[2, 0, 0, 0, b'a']).check(),
            Err(LayoutError::Prefix { element: 0 })
        );
        assert_eq!(tensor(Datatype::Bytes, &[1], &[9]).check(), Err(LayoutError::Prefix { element: 0 }));
        let data = encode_strings([&b"a"[..], &[0xff]]).unwrap();
        assert!(matches!(
            tensor(Datatype::Bytes, &[2], &data).check(),
            Err(LayoutError::NotText { element: 1, .. })
        ));
        let data = encode_strings(["a\0b"]).unwrap();
        assert!(tensor(Datatype::Bytes, &[1], &data).check().is_err());
        let data = encode_strings(["a"]).unwrap();
        assert!(matches!(
            tensor(Datatype::Bytes, &[2], &data).check(),
            Err(LayoutError::Count { got: 1, expected: 2, .. })
        ));
    }

    proptest! {
        #[test]
        fn strings_come_back_as_they_were(strings in prop::collection::vec("[^\0]{0,20}", 0..10)) {
            let data = encode_strings(&strings).unwrap();
            let tensor = tensor(Datatype::Bytes, &[i64::try_from(strings.len()).unwrap()], &data);
            prop_assert_eq!(tensor.check(), Ok(strings.len()));
            prop_assert_eq!(tensor.strings().unwrap(), strings);
        }

        #[test]
        fn any_bytes_are_judged_without_a_panic(
            data in prop::collection::vec(any::<u8>(), 0..64),
            shape in prop::collection::vec(any::<i64>(), 0..5),
            which in 0..14_usize,
        ) {
            let _ = tensor(Datatype::ALL[which], &shape, &data).check();
        }
    }
}
