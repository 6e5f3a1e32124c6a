//! Reads nodes, their attributes, sub-graphs, functions and what is declared of inputs and outputs.

use std::{
    collections::BTreeMap,
    io::{BufRead, Seek, SeekFrom},
};

use super::{
    Attribute, ENTRY, Function, Graph, MAX_KEPT, MAX_TEXTS, Model, Node, Port, Setting, Texts,
    tensor::{Kept, float},
};
use crate::onnx::wire::{MAX_DEPTH, Reader, Result, Value, WireError};

/// Reads a file's graph; none if it is too large to be kept.
pub fn read(mut stream: impl BufRead + Seek) -> Result<Option<Model>> {
    let end = stream.seek(SeekFrom::End(0))?;
    stream.rewind()?;
    let mut reader = Reader::new(stream, Kept::default());
    match reader.read_model(end) {
        Ok(model) => Ok(Some(model)),
        Err(WireError::TooLarge) => Ok(None),
        Err(error) => Err(error),
    }
}

impl<S: BufRead + Seek> Reader<S, Kept> {
    fn read_model(&mut self, end: u64) -> Result<Model> {
        let mut model = Model::default();
        let mut has_graph = false;
        while let Some((field, value)) = self.field(end)? {
            match field {
                7 => {
                    self.only(std::mem::replace(&mut has_graph, true), "there is a second graph")?;
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
        let (mut integers, mut floats) = (Vec::new(), Vec::new());
        let mut texts = Texts { count: 0, all: Some(Vec::new()) };
        let mut outer = None;
        while let Some((field, value)) = self.field(end)? {
            if (2..=6).contains(&field) {
                self.only(setting != Setting::Other, "an attribute has a second value")?;
            }
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
                    texts.count = texts.count.saturating_add(1);
                    self.read_text_into(&value, &mut texts.all)?;
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
            (Setting::Other, Some(3)) => Setting::Text(String::new()),
            (Setting::Other, Some(2)) => Setting::Integer(0),
            (Setting::Other, Some(1)) => Setting::Float(0.0),
            (Setting::Other, None) if !integers.is_empty() => Setting::Integers(integers),
            (Setting::Other, None) if !floats.is_empty() => Setting::Floats(floats),
            (setting, _) => setting,
        };
        self.keep(ENTRY)?;
        Ok(Attribute { name, value: setting })
    }

    /// Adds one of several texts, or drops all of them where they are no longer kept.
    pub(super) fn read_text_into(&mut self, value: &Value, all: &mut Option<Vec<String>>) -> Result<()> {
        let end = self.bytes(value)?;
        let Some(texts) = all else { return self.skip(value) };
        let length = usize::try_from(end - self.position).unwrap_or(usize::MAX);
        self.kept.texts = self.kept.texts.saturating_add(length).saturating_add(size_of::<String>());
        if self.kept.texts > MAX_TEXTS {
            *all = None;
            return self.skip(value);
        }
        match String::from_utf8(self.read_bytes(value)?) {
            Ok(text) => texts.push(text),
            Err(_) => *all = None,
        }
        Ok(())
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
                            1 => {
                                self.only(port.shape.is_some(), "there is a second shape")?;
                                port.shape = self.read_tensor_type(&value)?;
                            }
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
                self.only(shape.is_some(), "there is a second shape")?;
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
                // Of a number and a name the last one counts.
                2 => {
                    self.skip(&value)?;
                    size = None;
                }
                _ => self.skip(&value)?,
            }
        }
        Ok(size)
    }

    /// Refuses a second part of what there is once: others put both together.
    fn only(&self, is_second: bool, what: &'static str) -> Result<()> {
        if is_second { Err(self.malformed(what)) } else { Ok(()) }
    }

    pub(super) fn kept_text(&mut self, value: &Value) -> Result<String> {
        let text = self.text(value)?;
        self.keep(text.len() + size_of::<String>())?;
        Ok(text)
    }

    pub(super) fn keep(&mut self, bytes: usize) -> Result<()> {
        self.kept.all = self.kept.all.saturating_add(bytes);
        if self.kept.all <= MAX_KEPT { Ok(()) } else { Err(WireError::TooLarge) }
    }
}
