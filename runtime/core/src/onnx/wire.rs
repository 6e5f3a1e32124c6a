//! The protobuf wire format, as far as ONNX files use it. In goes a stream; out come fields and their values, or what is wrong
//! with it. Knows nothing of what the fields mean.

use std::io::{self, BufRead, Read, Seek, SeekFrom};

/// Deepest nesting of messages: subgraphs within subgraphs.
pub(super) const MAX_DEPTH: usize = 64;
/// Longest name that is read.
const MAX_NAME_BYTES: u64 = 4096;

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It stops in the middle.
    #[error("it ends early, at byte {position}")]
    Truncated { position: u64 },
    /// It is no protobuf, or not one of ONNX.
    #[error("at byte {position}, {what}")]
    Malformed { position: u64, what: &'static str },
    /// There is no graph in it.
    #[error("it has no {0}")]
    Absent(&'static str),
    #[error("its graph is too large to be followed")]
    TooLarge,
}

pub(super) type Result<T> = std::result::Result<T, WireError>;

/// A field's value, or where it ends.
pub(super) enum Value {
    Number(u64),
    /// Four or eight bytes, little endian.
    Fixed(u64),
    Bytes {
        end: u64,
    },
}

/// Reads a file, and keeps something of it.
pub(super) struct Reader<S, K> {
    pub(super) stream: S,
    pub(super) position: u64,
    pub(super) kept: K,
}

impl<S: BufRead + Seek, K> Reader<S, K> {
    pub(super) fn new(stream: S, kept: K) -> Self {
        Self { stream, position: 0, kept }
    }

    /// The next field's number and value, if the message goes on.
    pub(super) fn field(&mut self, end: u64) -> Result<Option<(u64, Value)>> {
        if self.position == end {
            return Ok(None);
        }
        let key = self.varint(end)?;
        let value = match key & 7 {
            0 => Value::Number(self.varint(end)?),
            1 => Value::Fixed(self.fixed(8, end)?),
            2 => {
                let length = self.varint(end)?;
                let value_end = self.position.checked_add(length).filter(|value_end| *value_end <= end);
                Value::Bytes { end: value_end.ok_or(WireError::Truncated { position: self.position })? }
            }
            5 => Value::Fixed(self.fixed(4, end)?),
            _ => return Err(self.malformed("there is a field of a type that ONNX does not use")),
        };
        match key >> 3 {
            0 => Err(self.malformed("there is a field with the number 0")),
            field => Ok(Some((field, value))),
        }
    }

    pub(super) fn varint(&mut self, end: u64) -> Result<u64> {
        let mut number = 0_u64;
        for shift in (0..70).step_by(7) {
            if self.position >= end {
                return Err(WireError::Truncated { position: self.position });
            }
            let byte = match self.stream.fill_buf()?.first() {
                Some(byte) => *byte,
                None => return Err(WireError::Truncated { position: self.position }),
            };
            self.stream.consume(1);
            self.position += 1;
            // Of the tenth byte, one bit is left; protobuf drops the others.
            number |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(self.malformed("a number is longer than 10 bytes"))
    }

    /// So many bytes as a number, the least first.
    pub(super) fn fixed(&mut self, bytes: u32, end: u64) -> Result<u64> {
        let mut number = 0_u64;
        for place in 0..bytes {
            let truncated = WireError::Truncated { position: self.position };
            if self.position >= end {
                return Err(truncated);
            }
            let byte = *self.stream.fill_buf()?.first().ok_or(truncated)?;
            self.stream.consume(1);
            self.position += 1;
            number |= u64::from(byte) << (8 * place);
        }
        Ok(number)
    }

    pub(super) fn number(&self, value: &Value) -> Result<u64> {
        match value {
            Value::Number(number) => Ok(*number),
            _ => Err(self.malformed("a number was expected")),
        }
    }

    pub(super) fn bytes(&self, value: &Value) -> Result<u64> {
        match value {
            Value::Bytes { end } => Ok(*end),
            _ => Err(self.malformed("a message was expected")),
        }
    }

    pub(super) fn text(&mut self, value: &Value) -> Result<String> {
        let end = self.bytes(value)?;
        let length = end - self.position;
        if length > MAX_NAME_BYTES {
            return Err(self.malformed("a name is longer than 4096 bytes"));
        }
        let mut bytes = Vec::new();
        let read = self.stream.by_ref().take(length).read_to_end(&mut bytes)? as u64;
        self.position += read;
        if read < length {
            return Err(WireError::Truncated { position: self.position });
        }
        String::from_utf8(bytes).map_err(|_| self.malformed("a name is not UTF-8"))
    }

    pub(super) fn skip(&mut self, value: &Value) -> Result<()> {
        match value {
            Value::Bytes { end } => self.forward(end - self.position, *end),
            _ => Ok(()),
        }
    }

    fn forward(&mut self, bytes: u64, end: u64) -> Result<()> {
        let target = self.position.checked_add(bytes).filter(|target| *target <= end);
        let target = target.ok_or(WireError::Truncated { position: self.position })?;
        let buffered = self.stream.fill_buf()?.len() as u64;
        if bytes <= buffered {
            self.stream.consume(usize::try_from(bytes).unwrap_or(usize::MAX));
        } else {
            self.stream.seek(SeekFrom::Start(target))?;
        }
        self.position = target;
        Ok(())
    }

    pub(super) fn malformed(&self, what: &'static str) -> WireError {
        WireError::Malformed { position: self.position, what }
    }
}
