//! Reads the few fields of an ONNX file that matter before it is loaded, straight from the protobuf wire format, and
//! skips over all others, above all the weights. In goes a stream; out come [`FileSummary`] or what is wrong with it. What
//! is kept in memory is bounded whatever the file says.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, BufRead, Read, Seek, SeekFrom},
};

/// Deepest nesting of messages: subgraphs within subgraphs.
pub(super) const MAX_DEPTH: usize = 64;
/// Longest name that is read.
const MAX_NAME_BYTES: u64 = 4096;
/// The attribute with the names of classes.
const CLASSES: [&str; 2] = ["classlabels_strings", "classlabels_int64s"];
/// Most different operators, functions, operator sets or weight files.
const MAX_ENTRIES: usize = 20_000;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileSummary {
    /// Version of the file format.
    pub ir_version: i64,
    /// Versions by domain; the default domain is empty.
    pub opsets: BTreeMap<String, i64>,
    /// Operators in use, in subgraphs and functions too: domain and name.
    pub operators: BTreeSet<(String, String)>,
    /// Functions that the model defines itself: domain and name.
    pub functions: BTreeSet<(String, String)>,
    /// Weights in other files.
    pub external: BTreeSet<External>,
    /// Bytes of the longest text of an attribute or tensor.
    pub longest_text: u64,
    /// The same of all names of classes of one operator.
    pub longest_classes: u64,
    /// Most classes of one operator, whether they are texts or numbers.
    pub most_classes: u64,
}

/// Where a tensor's weights lie.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct External {
    /// The file, as written.
    pub location: String,
    pub offset: u64,
    /// How many bytes they are; 0 if it is not said.
    pub length: u64,
    pub tensor: String,
}

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

/// Reads a file from its start to its end.
pub fn read(mut stream: impl BufRead + Seek) -> Result<FileSummary> {
    let end = stream.seek(SeekFrom::End(0))?;
    stream.rewind()?;
    let mut reader = Reader::new(stream);
    if !reader.model(end)? {
        return Err(WireError::Absent("graph"));
    }
    if reader.summary.ir_version < 1 {
        return Err(WireError::Absent("version of its format (ir_version)"));
    }
    if reader.summary.opsets.is_empty() && reader.summary.ir_version >= 3 {
        return Err(WireError::Absent("operator sets (opset_import)"));
    }
    Ok(reader.summary)
}

/// A field's value, or where it ends.
pub(super) enum Value {
    Number(u64),
    /// Four or eight bytes, little endian.
    Fixed(u64),
    Bytes {
        end: u64,
    },
}

/// What both readers of a file share: this one, and that of the whole graph in [`super::graph`].
pub(super) struct Reader<S> {
    pub(super) stream: S,
    pub(super) position: u64,
    summary: FileSummary,
    pub(super) kept: usize,
    /// Bytes of texts among them.
    pub(super) texts: usize,
}

impl<S: BufRead + Seek> Reader<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, position: 0, summary: FileSummary::default(), kept: 0, texts: 0 }
    }

    /// Gives whether there is a graph.
    fn model(&mut self, end: u64) -> Result<bool> {
        let mut has_graph = false;
        while let Some((field, value)) = self.field(end)? {
            match field {
                1 => self.summary.ir_version = self.number(&value)?.cast_signed(),
                7 => {
                    has_graph = true;
                    let end = self.bytes(&value)?;
                    self.graph(end, 0)?;
                }
                8 => {
                    let end = self.bytes(&value)?;
                    self.opset(end)?;
                }
                20 => {
                    let end = self.bytes(&value)?;
                    self.training(end)?;
                }
                25 => {
                    let end = self.bytes(&value)?;
                    self.function(end)?;
                }
                _ => self.skip(&value)?,
            }
        }
        Ok(has_graph)
    }

    fn opset(&mut self, end: u64) -> Result<()> {
        let (mut domain, mut version) = (String::new(), 0);
        while let Some((field, value)) = self.field(end)? {
            match field {
                1 => domain = self.text(&value)?,
                2 => version = self.number(&value)?.cast_signed(),
                _ => self.skip(&value)?,
            }
        }
        self.summary.opsets.insert(domain, version);
        self.bounded(self.summary.opsets.len())
    }

    fn training(&mut self, end: u64) -> Result<()> {
        while let Some((field, value)) = self.field(end)? {
            match field {
                1 | 2 => {
                    let end = self.bytes(&value)?;
                    self.graph(end, 1)?;
                }
                _ => self.skip(&value)?,
            }
        }
        Ok(())
    }

    fn function(&mut self, end: u64) -> Result<()> {
        let (mut name, mut domain) = (String::new(), String::new());
        while let Some((field, value)) = self.field(end)? {
            match field {
                1 => name = self.text(&value)?,
                7 => {
                    let end = self.bytes(&value)?;
                    self.node(end, 1)?;
                }
                10 => domain = self.text(&value)?,
                11 => {
                    let end = self.bytes(&value)?;
                    self.attribute(end, 1)?;
                }
                _ => self.skip(&value)?,
            }
        }
        self.summary.functions.insert((domain, name));
        self.bounded(self.summary.functions.len())
    }

    fn graph(&mut self, end: u64, depth: usize) -> Result<()> {
        if depth > MAX_DEPTH {
            return Err(self.malformed("subgraphs are nested more than 64 deep"));
        }
        while let Some((field, value)) = self.field(end)? {
            match field {
                1 => {
                    let end = self.bytes(&value)?;
                    self.node(end, depth)?;
                }
                5 => {
                    let end = self.bytes(&value)?;
                    self.tensor(end)?;
                }
                15 => {
                    let end = self.bytes(&value)?;
                    self.sparse_tensor(end)?;
                }
                _ => self.skip(&value)?,
            }
        }
        Ok(())
    }

    fn node(&mut self, end: u64, depth: usize) -> Result<()> {
        let (mut operator, mut domain) = (String::new(), String::new());
        while let Some((field, value)) = self.field(end)? {
            match field {
                4 => operator = self.text(&value)?,
                5 => {
                    let end = self.bytes(&value)?;
                    self.attribute(end, depth)?;
                }
                7 => domain = self.text(&value)?,
                _ => self.skip(&value)?,
            }
        }
        self.summary.operators.insert((domain, operator));
        self.bounded(self.summary.operators.len())
    }

    /// Takes in the length of a text, and gives it.
    fn measure(&mut self, value: &Value) -> Result<u64> {
        let length = self.length(value);
        self.summary.longest_text = self.summary.longest_text.max(length);
        self.skip(value)?;
        Ok(length)
    }

    fn length(&self, value: &Value) -> u64 {
        match value {
            Value::Bytes { end } => end - self.position,
            _ => 0,
        }
    }

    fn attribute(&mut self, end: u64, depth: usize) -> Result<()> {
        let (mut is_of_classes, mut texts, mut classes) = (false, 0_u64, 0_u64);
        while let Some((field, value)) = self.field(end)? {
            match field {
                1 if CLASSES.iter().any(|name| self.length(&value) == name.len() as u64) => {
                    is_of_classes = CLASSES.contains(&self.text(&value)?.as_str());
                }
                4 => drop(self.measure(&value)?),
                // One number, or bytes of many, each of which takes one at least.
                8 => {
                    classes = classes.saturating_add(self.length(&value).max(1));
                    self.skip(&value)?;
                }
                9 => {
                    classes = classes.saturating_add(1);
                    texts = texts.saturating_add(self.measure(&value)?);
                }
                5 | 10 => {
                    let end = self.bytes(&value)?;
                    self.tensor(end)?;
                }
                6 | 11 => {
                    let end = self.bytes(&value)?;
                    self.graph(end, depth + 1)?;
                }
                22 | 23 => {
                    let end = self.bytes(&value)?;
                    self.sparse_tensor(end)?;
                }
                _ => self.skip(&value)?,
            }
        }
        if is_of_classes {
            self.summary.longest_classes = self.summary.longest_classes.max(texts);
            self.summary.most_classes = self.summary.most_classes.max(classes);
        }
        Ok(())
    }

    fn sparse_tensor(&mut self, end: u64) -> Result<()> {
        while let Some((field, value)) = self.field(end)? {
            match field {
                1 | 2 => {
                    let end = self.bytes(&value)?;
                    self.tensor(end)?;
                }
                _ => self.skip(&value)?,
            }
        }
        Ok(())
    }

    fn tensor(&mut self, end: u64) -> Result<()> {
        let mut external = External::default();
        let (mut elsewhere, mut located) = (false, false);
        while let Some((field, value)) = self.field(end)? {
            match field {
                6 => drop(self.measure(&value)?),
                8 => external.tensor = self.text(&value)?,
                13 => {
                    let end = self.bytes(&value)?;
                    elsewhere = true;
                    let (key, value) = self.pair(end)?;
                    match key.as_str() {
                        "location" => {
                            located = true;
                            external.location = value;
                        }
                        "offset" => external.offset = self.count(&value)?,
                        "length" => external.length = self.count(&value)?,
                        _ => {}
                    }
                }
                14 => elsewhere |= self.number(&value)? != 0,
                _ => self.skip(&value)?,
            }
        }
        if elsewhere && !located {
            return Err(self.malformed("a tensor's weights are in another file, and its name is missing"));
        }
        if elsewhere {
            self.summary.external.insert(external);
        }
        self.bounded(self.summary.external.len())
    }

    fn pair(&mut self, end: u64) -> Result<(String, String)> {
        let (mut key, mut text) = (String::new(), String::new());
        while let Some((field, value)) = self.field(end)? {
            match field {
                1 => key = self.text(&value)?,
                2 => text = self.text(&value)?,
                _ => self.skip(&value)?,
            }
        }
        Ok((key, text))
    }

    fn count(&self, text: &str) -> Result<u64> {
        text.parse().map_err(|_| self.malformed("the offset or length of a tensor's weights is no number"))
    }

    fn bounded(&self, entries: usize) -> Result<()> {
        if entries <= MAX_ENTRIES {
            Ok(())
        } else {
            Err(self.malformed("it names more than 20000 different things"))
        }
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
