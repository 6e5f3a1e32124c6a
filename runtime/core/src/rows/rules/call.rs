//! What a rule is asked about: a node, and what it takes.

use std::collections::HashMap;

use super::RuleResult;
use crate::{
    onnx::graph::{Constant, Graph, Node, Setting},
    rows::value::Value,
};

/// A node with what it takes.
pub struct Call<'a> {
    pub node: &'a Node,
    /// Version of its operator set.
    pub version: i64,
    /// What it takes; none where an input is left out.
    pub inputs: Vec<Option<Value>>,
    /// The values of the attributes of the function that it is in.
    pub settings: Option<&'a HashMap<String, Setting>>,
}

impl<'a> Call<'a> {
    pub fn setting(&self, name: &str) -> Option<&'a Setting> {
        let attribute = self.node.attributes.iter().find(|attribute| attribute.name == name)?;
        match &attribute.value {
            Setting::Of(outer) => self.settings?.get(outer),
            value => Some(value),
        }
    }

    pub fn integer(&self, name: &str) -> Option<i64> {
        match self.setting(name)? {
            Setting::Integer(number) => Some(*number),
            _ => None,
        }
    }

    pub fn integers(&self, name: &str) -> Option<&'a [i64]> {
        match self.setting(name)? {
            Setting::Integers(numbers) => Some(numbers),
            _ => None,
        }
    }

    pub fn floats(&self, name: &str) -> Option<&'a [f32]> {
        match self.setting(name)? {
            Setting::Floats(numbers) => Some(numbers),
            _ => None,
        }
    }

    pub fn text(&self, name: &str) -> Option<&'a str> {
        match self.setting(name)? {
            Setting::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn tensor(&self, name: &str) -> Option<&'a Constant> {
        match self.setting(name)? {
            Setting::Tensor(tensor) => Some(tensor),
            _ => None,
        }
    }

    pub fn graph(&self, name: &str) -> Option<&'a Graph> {
        match self.setting(name)? {
            Setting::Graph(graph) => Some(graph),
            _ => None,
        }
    }

    /// An input, if it is there.
    pub fn input(&self, place: usize) -> Option<&Value> {
        self.inputs.get(place)?.as_ref()
    }

    /// An input that must be there.
    pub fn needed(&self, place: usize) -> RuleResult<&Value> {
        self.input(place).ok_or("an input is missing")
    }

    /// All inputs that are there.
    pub fn given(&self) -> impl Iterator<Item = &Value> {
        self.inputs.iter().flatten()
    }

    /// All inputs that are there beside those at some places.
    pub fn others<'b>(&'b self, places: &'b [usize]) -> impl Iterator<Item = &'b Value> {
        self.inputs
            .iter()
            .enumerate()
            .filter(|(at, _)| !places.contains(at))
            .filter_map(|(_, value)| value.as_ref())
    }

    /// Holds if everything beside the inputs at some places is constant.
    pub fn constant_beside(&self, places: &[usize]) -> RuleResult<()> {
        if self.others(places).all(Value::is_constant) {
            Ok(())
        } else {
            Err("its parameters depend on the rows or on their number")
        }
    }

    pub fn outputs(&self) -> usize {
        self.node.outputs.len()
    }

    /// An attribute of numbers that became an input later.
    pub fn integers_or_input(&self, name: &str, place: usize) -> RuleResult<Option<Vec<i64>>> {
        if let Some(numbers) = self.integers(name) {
            return Ok(Some(numbers.to_vec()));
        }
        match self.input(place) {
            None => Ok(None),
            Some(value) => value.constants().map(Some).ok_or("its axes are computed"),
        }
    }
}
