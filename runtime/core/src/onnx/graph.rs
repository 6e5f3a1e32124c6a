//! Reads the graph of an ONNX file as far as its shape arithmetic goes: nodes with their attributes, sub-graphs and
//! functions, and the elements of small tensors, which are axes, sizes and the like. Weights are skipped, and so are lists of
//! texts that are long. In goes a stream; out comes a [`Model`], or nothing where the graph is larger than what is kept.

mod read;
mod tensor;

use std::collections::BTreeMap;

pub use read::read;

/// Most bytes that are kept of a file beside texts, about: a graph of hundreds of thousands of nodes.
const MAX_KEPT: usize = 128 * 1024 * 1024;
/// Most elements of a tensor that is kept.
const MAX_ELEMENTS: u64 = 1024;
/// What an entry takes beside its text, about.
const ENTRY: usize = 64;
/// Most bytes, about, of the texts of all attributes and tensors that are kept: some vocabularies of 100,000 words. What is
/// beyond is counted, and a graph is not too large for it.
const MAX_TEXTS: usize = 32 * 1024 * 1024;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Model {
    /// Versions of the operator sets by domain; the default domain is empty.
    pub opsets: BTreeMap<String, i64>,
    pub graph: Graph,
    /// Functions that the model defines itself.
    pub functions: Vec<Function>,
}

/// A graph, or one within another.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    pub inputs: Vec<Port>,
    pub outputs: Vec<Port>,
    /// Initializers, sparse ones too.
    pub constants: Vec<Constant>,
    /// What it does, in order.
    pub nodes: Vec<Node>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Port {
    pub name: String,
    /// Sizes, none where one is free; no sizes if it is no tensor, or none are declared.
    pub shape: Option<Vec<Option<i64>>>,
}

/// A tensor in the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Constant {
    pub name: String,
    pub sizes: Vec<i64>,
    /// Its elements, if it is small, in this file and of numbers.
    pub numbers: Option<Numbers>,
    /// Its elements, if it is small, in this file and of texts.
    pub texts: Option<Vec<String>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts {
    /// How many there are.
    pub count: u32,
    /// The texts, unless they are too long to be kept, or in another encoding.
    pub all: Option<Vec<String>>,
}

/// Elements of a small tensor.
#[derive(Clone, Debug, PartialEq)]
pub enum Numbers {
    /// Integers and truth values.
    Integers(Vec<i64>),
    Floats(Vec<f64>),
}

/// One step of a graph.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Node {
    /// Its name, often empty.
    pub name: String,
    pub operator: String,
    /// Whose operator that is.
    pub domain: String,
    /// Which of several functions of one name.
    pub overload: String,
    /// What it takes; an empty name is an input that is left out.
    pub inputs: Vec<String>,
    pub outputs: Vec<String>,
    pub attributes: Vec<Attribute>,
}

/// How a node does it.
#[derive(Clone, Debug, PartialEq)]
pub struct Attribute {
    pub name: String,
    pub value: Setting,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Setting {
    Integer(i64),
    Float(f32),
    Text(String),
    Integers(Vec<i64>),
    Floats(Vec<f32>),
    Texts(Texts),
    Tensor(Constant),
    Graph(Box<Graph>),
    /// That of an attribute of the function that the node is in.
    Of(String),
    Other,
}

/// A function that the model defines itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Function {
    pub domain: String,
    pub name: String,
    /// Which of several of one name.
    pub overload: String,
    /// Names of what it takes.
    pub inputs: Vec<String>,
    /// Names of what it gives.
    pub outputs: Vec<String>,
    pub nodes: Vec<Node>,
    /// Versions of its own operator sets.
    pub opsets: BTreeMap<String, i64>,
    /// Attributes with a default.
    pub defaults: Vec<Attribute>,
}
