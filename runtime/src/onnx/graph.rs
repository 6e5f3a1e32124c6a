//! Reads the graph of an ONNX file as far as its shape arithmetic goes: nodes with their attributes, sub-graphs and
//! functions, and the elements of small tensors, which are axes, sizes and the like. Weights are skipped. In goes a stream;
//! out comes a [`Model`], or nothing where the graph is larger than what is kept.

use std::{
    collections::BTreeMap,
    io::{BufRead, Seek, SeekFrom},
};

use super::wire::{MAX_DEPTH, Reader, Result, Value, WireError};

/// Most bytes that are kept of a file, about: a graph of hundreds of thousands of nodes.
const MAX_KEPT: usize = 128 * 1024 * 1024;
/// Most elements of a tensor that is kept.
const MAX_ELEMENTS: u64 = 1024;
/// What an entry takes beside its text, about.
const ENTRY: usize = 64;

/// A file's graph.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Model {
    /// Versions of the operator sets by domain; the default domain is empty.
    pub opsets: BTreeMap<String, i64>,
    /// The graph.
    pub graph: Graph,
    /// Functions that the model defines itself.
    pub functions: Vec<Function>,
}

/// A graph, or one within another.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    /// What it takes.
    pub inputs: Vec<Port>,
    /// What it gives.
    pub outputs: Vec<Port>,
    /// Initializers, sparse ones too.
    pub constants: Vec<Constant>,
    /// What it does, in order.
    pub nodes: Vec<Node>,
}

/// An input or output.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// Sizes, none where one is free; no sizes if it is no tensor, or none are declared.
    pub shape: Option<Vec<Option<i64>>>,
}

/// A tensor in the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Constant {
    /// Its name.
    pub name: String,
    /// Its sizes.
    pub sizes: Vec<i64>,
    /// Its elements, if it is small, in this file and of numbers.
    pub numbers: Option<Numbers>,
}

/// Elements of a small tensor.
#[derive(Clone, Debug, PartialEq)]
pub enum Numbers {
    /// Integers and truth values.
    Integers(Vec<i64>),
    /// Floating-point numbers.
    Floats(Vec<f64>),
}

/// One step of a graph.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Node {
    /// Its name, often empty.
    pub name: String,
    /// What it does.
    pub operator: String,
    /// Whose operator that is.
    pub domain: String,
    /// Which of several functions of one name.
    pub overload: String,
    /// What it takes; an empty name is an input that is left out.
    pub inputs: Vec<String>,
    /// What it gives.
    pub outputs: Vec<String>,
    /// How.
    pub attributes: Vec<Attribute>,
}

/// How a node does it.
#[derive(Clone, Debug, PartialEq)]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Setting,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Setting {
    /// A number.
    Integer(i64),
    /// A floating-point number.
    Float(f32),
    /// Text.
    Text(String),
    /// Numbers.
    Integers(Vec<i64>),
    /// Floating-point numbers.
    Floats(Vec<f32>),
    /// So many texts, which are not kept.
    Texts(u32),
    /// A tensor.
    Tensor(Constant),
    /// A graph.
    Graph(Box<Graph>),
    /// That of an attribute of the function that the node is in.
    Of(String),
    /// Something else.
    Other,
}

/// A function that the model defines itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Function {
    /// Its domain.
    pub domain: String,
    /// Its name.
    pub name: String,
    /// Which of several of one name.
    pub overload: String,
    /// Names of what it takes.
    pub inputs: Vec<String>,
    /// Names of what it gives.
    pub outputs: Vec<String>,
    /// What it does.
    pub nodes: Vec<Node>,
    /// Versions of its own operator sets.
    pub opsets: BTreeMap<String, i64>,
    /// Attributes with a default.
    pub defaults: Vec<Attribute>,
}

/// Reads a file's graph; none if it is too large to be kept.
pub fn read(mut stream: impl BufRead + Seek) -> Result<Option<Model>> {
    let end = stream.seek(SeekFrom::End(0))?;
    stream.rewind()?;
    let mut reader = Reader::new(stream);
    match reader.read_model(end) {
        Ok(model) => Ok(Some(model)),
        Err(WireError::TooLarge) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The parts of a message of repeated fields, as the wire has them.
#[derive(Default)]
struct Elements {
    raw: Option<Vec<u8>>,
    integers: Vec<i64>,
    floats: Vec<f64>,
}

impl<S: BufRead + Seek> Reader<S> {
    fn read_model(&mut self, end: u64) -> Result<Model> {
        let mut model = Model::default();
        while let Some((field, value)) = self.field(end)? {
            match field {
                7 => {
                    let end = self.bytes(&value)?;
                    model.graph = self.read_graph(end, 0)?;
                }
                8 => {
                    self.read_opset(&value, &mut model.opsets)?;
                }
                25 => {
                    let function = self.read_function(&value)?;
                    model.functions.push(function);
                }
                _ => self.skip(&value)?,
            }
        }
        Ok(model)
    }

    fn read_opset(&mut self, value: &Value, into: &mut BTreeMap<String, i64>) -> Result<()> {
        let end = self.bytes(value)?;
        let (mut domain, mut version) = (String::new(), 0);
        while let Some((field, value)) = self.field(end)? {
            match field {
                1 => domain = self.kept_text(&value)?,
                2 => version = self.number(&value)?.cast_signed(),
                _ => self.skip(&value)?,
            }
        }
        // Both are names of the default domain.
        if domain == "ai.onnx" {
            domain.clear();
        }
        match into.insert(domain, version) {
            Some(before) if before != version => Err(self.malformed("an operator set has two versions")),
            _ => Ok(()),
        }
    }

    fn read_function(&mut self, value: &Value) -> Result<Function> {
        let end = self.bytes(value)?;
        let mut function = Function::default();
        while let Some((field, value)) = self.field(end)? {
            match field {
                1 => function.name = self.kept_text(&value)?,
                4 => function.inputs.push(self.kept_text(&value)?),
                5 => function.outputs.push(self.kept_text(&value)?),
                7 => {
                    let node = self.read_node(&value, 1)?;
                    function.nodes.push(node);
                }
                9 => {
                    self.read_opset(&value, &mut function.opsets)?;
                }
                10 => function.domain = self.kept_text(&value)?,
                11 => {
                    let attribute = self.read_attribute(&value, 1)?;
                    function.defaults.push(attribute);
                }
                13 => function.overload = self.kept_text(&value)?,
                _ => self.skip(&value)?,
            }
        }
        Ok(function)
    }

    fn read_graph(&mut self, end: u64, depth: usize) -> Result<Graph> {
        if depth > MAX_DEPTH {
            return Err(self.malformed("subgraphs are nested more than 64 deep"));
        }
        let mut graph = Graph::default();
        while let Some((field, value)) = self.field(end)? {
            match field {
                1 => {
                    let node = self.read_node(&value, depth)?;
                    graph.nodes.push(node);
                }
                5 => {
                    let constant = self.read_tensor(&value)?;
                    graph.constants.push(constant);
                }
                11 => {
                    let port = self.read_port(&value)?;
                    graph.inputs.push(port);
                }
                12 => {
                    let port = self.read_port(&value)?;
                    graph.outputs.push(port);
                }
                15 => {
                    let constant = self.read_sparse(&value)?;
                    graph.constants.push(constant);
                }
                _ => self.skip(&value)?,
            }
        }
        Ok(graph)
    }

    fn read_node(&mut self, value: &Value, depth: usize) -> Result<Node> {
        let end = self.bytes(value)?;
        let mut node = Node::default();
        while let Some((field, value)) = self.field(end)? {
            match field {
                1 => node.inputs.push(self.kept_text(&value)?),
                2 => node.outputs.push(self.kept_text(&value)?),
                3 => node.name = self.kept_text(&value)?,
                4 => node.operator = self.kept_text(&value)?,
                5 => {
                    let attribute = self.read_attribute(&value, depth)?;
                    node.attributes.push(attribute);
                }
                7 => node.domain = self.kept_text(&value)?,
                8 => node.overload = self.kept_text(&value)?,
                _ => self.skip(&value)?,
            }
        }
        if node.domain == "ai.onnx" {
            node.domain.clear();
        }
        self.keep(ENTRY)?;
        Ok(node)
    }

    fn read_attribute(&mut self, value: &Value, depth: usize) -> Result<Attribute> {
        let end = self.bytes(value)?;
        let (mut name, mut setting, mut kind) = (String::new(), Setting::Other, None);
        let (mut integers, mut floats, mut texts) = (Vec::new(), Vec::new(), 0_u32);
        let mut outer = None;
        while let Some((field, value)) = self.field(end)? {
            match field {
                1 => name = self.kept_text(&value)?,
                2 => setting = Setting::Float(float(&value)),
                3 => setting = Setting::Integer(self.number(&value)?.cast_signed()),
                4 => setting = self.read_setting_text(&value)?,
                5 => setting = Setting::Tensor(self.read_tensor(&value)?),
                6 => {
                    let end = self.bytes(&value)?;
                    setting = Setting::Graph(Box::new(self.read_graph(end, depth + 1)?));
                }
                7 => self.read_floats(&value, &mut floats)?,
                8 => self.read_integers(&value, &mut integers)?,
                9 => {
                    texts = texts.saturating_add(1);
                    self.skip(&value)?;
                }
                20 => kind = Some(self.number(&value)?),
                21 => outer = Some(self.kept_text(&value)?),
                _ => self.skip(&value)?,
            }
        }
        if let Some(outer) = outer.filter(|outer| !outer.is_empty()) {
            if setting != Setting::Other || !integers.is_empty() || !floats.is_empty() {
                return Err(self.malformed("an attribute has a value and refers to another one"));
            }
            setting = Setting::Of(outer);
        }
        // Numbers may be none at all, which only the kind tells.
        let setting = match (setting, kind) {
            (Setting::Other, Some(7)) => Setting::Integers(integers),
            (Setting::Other, Some(6)) => Setting::Floats(floats),
            (Setting::Other, Some(8)) => Setting::Texts(texts),
            (Setting::Other, Some(2)) => Setting::Integer(0),
            (Setting::Other, Some(1)) => Setting::Float(0.0),
            (Setting::Other, None) if !integers.is_empty() => Setting::Integers(integers),
            (Setting::Other, None) if !floats.is_empty() => Setting::Floats(floats),
            (setting, _) => setting,
        };
        self.keep(ENTRY)?;
        Ok(Attribute { name, value: setting })
    }

    /// Text that is no name may be of any length and in any encoding: then it is not kept.
    fn read_setting_text(&mut self, value: &Value) -> Result<Setting> {
        let end = self.bytes(value)?;
        if end - self.position > 4096 {
            self.skip(value)?;
            return Ok(Setting::Other);
        }
        let bytes = self.raw(value)?;
        Ok(String::from_utf8(bytes).map_or(Setting::Other, Setting::Text))
    }

    fn read_sparse(&mut self, value: &Value) -> Result<Constant> {
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

    fn read_tensor(&mut self, value: &Value) -> Result<Constant> {
        let end = self.bytes(value)?;
        let mut constant = Constant::default();
        let (mut kind, mut elsewhere, mut elements) = (0, false, Elements::default());
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
        }
        self.keep(ENTRY)?;
        Ok(constant)
    }

    fn read_port(&mut self, value: &Value) -> Result<Port> {
        let end = self.bytes(value)?;
        let mut port = Port::default();
        while let Some((field, value)) = self.field(end)? {
            match field {
                1 => port.name = self.kept_text(&value)?,
                2 => {
                    let end = self.bytes(&value)?;
                    while let Some((field, value)) = self.field(end)? {
                        match field {
                            1 => port.shape = self.read_tensor_type(&value)?,
                            _ => self.skip(&value)?,
                        }
                    }
                }
                _ => self.skip(&value)?,
            }
        }
        self.keep(ENTRY)?;
        Ok(port)
    }

    fn read_tensor_type(&mut self, value: &Value) -> Result<Option<Vec<Option<i64>>>> {
        let end = self.bytes(value)?;
        let mut shape = None;
        while let Some((field, value)) = self.field(end)? {
            if field == 2 {
                let end = self.bytes(&value)?;
                let mut sizes = Vec::new();
                while let Some((field, value)) = self.field(end)? {
                    match field {
                        1 => sizes.push(self.read_dimension(&value)?),
                        _ => self.skip(&value)?,
                    }
                    self.keep(8)?;
                }
                shape = Some(sizes);
            } else {
                self.skip(&value)?;
            }
        }
        Ok(shape)
    }

    fn read_dimension(&mut self, value: &Value) -> Result<Option<i64>> {
        let end = self.bytes(value)?;
        let mut size = None;
        while let Some((field, value)) = self.field(end)? {
            match field {
                // Some exporters write -1 where a size is free.
                1 => size = Some(self.number(&value)?.cast_signed()).filter(|size| *size >= 0),
                _ => self.skip(&value)?,
            }
        }
        Ok(size)
    }

    /// Integers, packed or one by one.
    fn read_integers(&mut self, value: &Value, into: &mut Vec<i64>) -> Result<()> {
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

    fn read_floats(&mut self, value: &Value, into: &mut Vec<f32>) -> Result<()> {
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

    fn read_doubles(&mut self, value: &Value, into: &mut Vec<f64>) -> Result<()> {
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

    fn raw(&mut self, value: &Value) -> Result<Vec<u8>> {
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
        self.keep(bytes.len())?;
        Ok(bytes)
    }

    fn kept_text(&mut self, value: &Value) -> Result<String> {
        let text = self.text(value)?;
        self.keep(text.len() + size_of::<String>())?;
        Ok(text)
    }

    fn keep(&mut self, bytes: usize) -> Result<()> {
        self.kept = self.kept.saturating_add(bytes);
        if self.kept <= MAX_KEPT { Ok(()) } else { Err(WireError::TooLarge) }
    }
}

fn float(value: &Value) -> f32 {
    match value {
        Value::Fixed(bits) => f32::from_bits(u32::try_from(bits & 0xffff_ffff).unwrap_or_default()),
        _ => f32::NAN,
    }
}

/// The elements of a tensor, if they are all there. Those of 8 and 16 bits are not kept: no sizes have them, and what is
/// computed of them wraps around early. The kinds are those of `TensorProto.DataType`.
fn numbers(kind: u64, sizes: &[i64], elements: Elements) -> Option<Numbers> {
    let count = sizes.iter().try_fold(1_u64, |count, size| count.checked_mul(u64::try_from(*size).ok()?))?;
    if count > MAX_ELEMENTS {
        return None;
    }
    let count = usize::try_from(count).ok()?;
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

fn chunks<const SIZE: usize>(raw: &[u8]) -> impl Iterator<Item = [u8; SIZE]> + '_ {
    raw.chunks_exact(SIZE).filter_map(|bytes| bytes.try_into().ok())
}
