//! Reads the few fields of an ONNX file that matter before it is loaded, and skips over all others, above all the weights. In
//! goes a stream; out come a [`FileSummary`] or what is wrong with it. What is kept in memory is bounded whatever the file says.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, Seek, SeekFrom},
};

use super::wire::{MAX_DEPTH, Reader, Result, Value, WireError};

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

/// Reads a file from its start to its end.
pub fn read(mut stream: impl BufRead + Seek) -> Result<FileSummary> {
    let end = stream.seek(SeekFrom::End(0))?;
    stream.rewind()?;
    let mut reader = Reader::new(stream, FileSummary::default());
    if !reader.model(end)? {
        return Err(WireError::Absent("graph"));
    }
    if reader.kept.ir_version < 1 {
        return Err(WireError::Absent("version of its format (ir_version)"));
    }
    if reader.kept.opsets.is_empty() && reader.kept.ir_version >= 3 {
        return Err(WireError::Absent("operator sets (opset_import)"));
    }
    Ok(reader.kept)
}

impl<S: BufRead + Seek> Reader<S, FileSummary> {
    /// Gives whether there is a graph.
    fn model(&mut self, end: u64) -> Result<bool> {
        let mut has_graph = false;
        while let Some((field, value)) = self.field(end)? {
            match field {
                1 => self.kept.ir_version = self.number(&value)?.cast_signed(),
                7 => {
                    has_graph = true;
                    self.graph(&value, 0)?;
                }
                8 => self.opset(&value)?,
                20 => self.training(&value)?,
                25 => self.function(&value)?,
                _ => self.skip(&value)?,
            }
        }
        Ok(has_graph)
    }

    fn opset(&mut self, value: &Value) -> Result<()> {
        let end = self.bytes(value)?;
        let (mut domain, mut version) = (String::new(), 0);
        while let Some((field, value)) = self.field(end)? {
            match field {
                1 => domain = self.text(&value)?,
                2 => version = self.number(&value)?.cast_signed(),
                _ => self.skip(&value)?,
            }
        }
        self.kept.opsets.insert(domain, version);
        self.bounded(self.kept.opsets.len())
    }

    fn training(&mut self, value: &Value) -> Result<()> {
        let end = self.bytes(value)?;
        while let Some((field, value)) = self.field(end)? {
            match field {
                1 | 2 => self.graph(&value, 1)?,
                _ => self.skip(&value)?,
            }
        }
        Ok(())
    }

    fn function(&mut self, value: &Value) -> Result<()> {
        let end = self.bytes(value)?;
        let (mut name, mut domain) = (String::new(), String::new());
        while let Some((field, value)) = self.field(end)? {
            match field {
                1 => name = self.text(&value)?,
                7 => self.node(&value, 1)?,
                10 => domain = self.text(&value)?,
                11 => self.attribute(&value, 1)?,
                _ => self.skip(&value)?,
            }
        }
        self.kept.functions.insert((domain, name));
        self.bounded(self.kept.functions.len())
    }

    fn graph(&mut self, value: &Value, depth: usize) -> Result<()> {
        let end = self.bytes(value)?;
        if depth > MAX_DEPTH {
            return Err(self.malformed("subgraphs are nested more than 64 deep"));
        }
        while let Some((field, value)) = self.field(end)? {
            match field {
                1 => self.node(&value, depth)?,
                5 => self.tensor(&value)?,
                15 => self.sparse_tensor(&value)?,
                _ => self.skip(&value)?,
            }
        }
        Ok(())
    }

    fn node(&mut self, value: &Value, depth: usize) -> Result<()> {
        let end = self.bytes(value)?;
        let (mut operator, mut domain) = (String::new(), String::new());
        while let Some((field, value)) = self.field(end)? {
            match field {
                4 => operator = self.text(&value)?,
                5 => self.attribute(&value, depth)?,
                7 => domain = self.text(&value)?,
                _ => self.skip(&value)?,
            }
        }
        self.kept.operators.insert((domain, operator));
        self.bounded(self.kept.operators.len())
    }

    /// Takes in the length of a text, and gives it.
    fn measure(&mut self, value: &Value) -> Result<u64> {
        let length = self.length(value);
        self.kept.longest_text = self.kept.longest_text.max(length);
        self.skip(value)?;
        Ok(length)
    }

    fn length(&self, value: &Value) -> u64 {
        match value {
            Value::Bytes { end } => end - self.position,
            _ => 0,
        }
    }

    fn attribute(&mut self, value: &Value, depth: usize) -> Result<()> {
        let end = self.bytes(value)?;
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
                5 | 10 => self.tensor(&value)?,
                6 | 11 => self.graph(&value, depth + 1)?,
                22 | 23 => self.sparse_tensor(&value)?,
                _ => self.skip(&value)?,
            }
        }
        if is_of_classes {
            self.kept.longest_classes = self.kept.longest_classes.max(texts);
            self.kept.most_classes = self.kept.most_classes.max(classes);
        }
        Ok(())
    }

    fn sparse_tensor(&mut self, value: &Value) -> Result<()> {
        let end = self.bytes(value)?;
        while let Some((field, value)) = self.field(end)? {
            match field {
                1 | 2 => self.tensor(&value)?,
                _ => self.skip(&value)?,
            }
        }
        Ok(())
    }

    fn tensor(&mut self, value: &Value) -> Result<()> {
        let end = self.bytes(value)?;
        let mut external = External::default();
        let (mut elsewhere, mut located) = (false, false);
        while let Some((field, value)) = self.field(end)? {
            match field {
                6 => drop(self.measure(&value)?),
                8 => external.tensor = self.text(&value)?,
                13 => {
                    elsewhere = true;
                    let (key, value) = self.pair(&value)?;
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
            self.kept.external.insert(external);
        }
        self.bounded(self.kept.external.len())
    }

    fn pair(&mut self, value: &Value) -> Result<(String, String)> {
        let end = self.bytes(value)?;
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
}
