//! Walks a graph in its order, with graphs within it and functions, and asks the table what each node does. In goes a graph;
//! out come its outputs, each with what it depends on.

mod turns;

use std::{collections::HashMap, rc::Rc};

use super::{
    numbers,
    rules::{self, Call, Rule, cause, stored},
    size::Symbols,
    table::Operator,
    value::{Cause, Class, Value},
};
use crate::onnx::graph::{Attribute, Function, Graph, Model, Node, Setting};

/// Most nodes that are looked at, those of loops again for each turn.
const MAX_STEPS: u32 = 1_000_000;
/// Deepest nesting of graphs and functions.
const MAX_DEPTH: usize = 64;
/// Most axes of a value: indices by indices double them with each node.
const MAX_RANK: usize = 64;

/// Values by name, and those of the graph around.
pub struct Scope<'a> {
    values: HashMap<&'a str, Value>,
    around: Option<&'a Scope<'a>>,
}

impl<'a> Scope<'a> {
    pub fn new(around: Option<&'a Scope<'a>>) -> Self {
        Self { values: HashMap::new(), around }
    }

    /// Gives a value its name.
    pub fn set(&mut self, name: &'a str, value: Value) {
        self.values.insert(name, value);
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name).or_else(|| self.around?.get(name))
    }
}

/// What holds for all nodes of a graph or function.
#[derive(Clone, Copy)]
struct Frame<'a> {
    opsets: &'a std::collections::BTreeMap<String, i64>,
    settings: Option<&'a HashMap<String, Setting>>,
    depth: usize,
}

pub struct Walk<'a> {
    model: &'a Model,
    operators: HashMap<(&'a str, &'a str), &'a Operator>,
    functions: HashMap<(&'a str, &'a str, &'a str), &'a Function>,
    /// What is known of sizes.
    pub symbols: Symbols,
    steps: u32,
}

impl<'a> Walk<'a> {
    /// A walk by a table.
    pub fn new(model: &'a Model, operators: &'a [Operator]) -> Self {
        let functions = model.functions.iter();
        Self {
            model,
            operators: operators.iter().map(|row| ((row.domain, row.name), row)).collect(),
            functions: functions
                .map(|it| ((plain(&it.domain), it.name.as_str(), it.overload.as_str()), it))
                .collect(),
            symbols: Symbols::default(),
            steps: 0,
        }
    }

    /// The outputs of the model's graph, whose inputs are in the scope.
    pub fn run(&mut self, scope: &mut Scope<'a>) -> Vec<Value> {
        let frame = Frame { opsets: &self.model.opsets, settings: None, depth: 0 };
        self.graph(&self.model.graph, scope, frame)
    }

    fn graph<'s>(&mut self, graph: &'s Graph, scope: &mut Scope<'s>, frame: Frame<'_>) -> Vec<Value> {
        for constant in &graph.constants {
            let value = stored(constant, &mut self.symbols);
            scope.set(&constant.name, value);
        }
        for node in &graph.nodes {
            self.node(node, scope, frame);
        }
        let mut outputs = Vec::with_capacity(graph.outputs.len());
        for port in &graph.outputs {
            outputs.push(read(scope, &port.name).plain());
        }
        outputs
    }

    fn node<'s>(&mut self, node: &'s Node, scope: &mut Scope<'s>, frame: Frame<'_>) {
        let outputs = self.outputs(node, scope, frame);
        for (name, value) in node.outputs.iter().zip(outputs) {
            if !name.is_empty() {
                scope.set(name, value);
            }
        }
    }

    fn outputs(&mut self, node: &Node, scope: &Scope<'_>, frame: Frame<'_>) -> Vec<Value> {
        let mixed = |reason: &str| vec![Value::mixed(cause(node, reason)); node.outputs.len()];
        self.steps += 1;
        let refers = |it: &Attribute| matches!(it.value, Setting::Of(_));
        if frame.settings.is_none() && node.attributes.iter().any(refers) {
            return mixed("it refers to an attribute of a function and is in none");
        }
        if self.steps > MAX_STEPS || frame.depth > MAX_DEPTH {
            return mixed("the graph is too large to be followed");
        }
        let inputs: Vec<Option<Value>> =
            node.inputs.iter().map(|name| (!name.is_empty()).then(|| read(scope, name))).collect();
        let domain = plain(&node.domain);
        let known = self.operators.get(&(domain, node.operator.as_str())).copied();
        let function = self.functions.get(&(domain, node.operator.as_str(), node.overload.as_str())).copied();
        let row = match (known, function) {
            (None, Some(function)) => return self.function(node, function, inputs, frame),
            (Some(_), Some(_)) => return mixed("a function of the model has the name of a known operator"),
            (None, None) => return mixed("what this operator does to rows is not known"),
            (Some(row), None) => row,
        };
        let version = frame.opsets.get(domain).copied().unwrap_or(1);
        let mut call = Call { node, version, inputs, settings: frame.settings };
        let beyond = rules::beyond_rows(row, &call, &mut self.symbols);
        if beyond.is_none() {
            call.inputs = call.inputs.into_iter().map(|value| value.map(Value::plain)).collect();
        }
        let outcome = match (beyond, row.rule) {
            (Some(Err(reason)), _) => return mixed(reason),
            (Some(Ok(outputs)), _) => Ok(outputs),
            (None, Rule::If) => self.branches(&call, scope, frame),
            (None, Rule::Loop) => self.turns(&call, scope, frame),
            (None, Rule::Scan) => self.slices(&call, scope, frame),
            (None, rule) => rules::apply(rule, &call, &mut self.symbols),
        };
        let is_control = matches!(row.rule, Rule::If | Rule::Loop | Rule::Scan);
        let mut outputs = match outcome {
            Ok(outputs)
                if outputs.iter().any(|value| matches!(value.class, Class::Mixed(_))) && !is_control =>
            {
                outputs
            }
            Ok(outputs) => outputs,
            Err(_) if !is_control && row.rule != Rule::Random && call.given().all(|it| !has_rows(it)) => {
                same_class(&call).unwrap_or_else(|| mixed("it puts a row together with the number of rows"))
            }
            Err(reason) => {
                let first = call.given().find_map(|value| match &value.class {
                    Class::Mixed(cause) => Some(Value::mixed(Rc::clone(cause))),
                    _ => None,
                });
                return match first {
                    Some(first) => vec![first; node.outputs.len()],
                    None => mixed(reason),
                };
            }
        };
        numbers::follow(row.rule, row.numbers, &call, &mut outputs, &mut self.symbols);
        if outputs.iter().any(|value| value.rank().is_some_and(|rank| rank > MAX_RANK)) {
            return mixed("it has too many axes to be followed");
        }
        outputs.into_iter().map(|value| value.with_symbols(&mut self.symbols)).collect()
    }

    /// A function is walked as a graph, with a scope of its own.
    fn function(
        &mut self,
        node: &Node,
        function: &Function,
        inputs: Vec<Option<Value>>,
        frame: Frame<'_>,
    ) -> Vec<Value> {
        let mut settings: HashMap<String, Setting> =
            function.defaults.iter().map(|it| (it.name.clone(), it.value.clone())).collect();
        for attribute in &node.attributes {
            let value = match &attribute.value {
                Setting::Of(outer) => frame.settings.and_then(|settings| settings.get(outer)).cloned(),
                value => Some(value.clone()),
            };
            if let Some(value) = value {
                settings.insert(attribute.name.clone(), value);
            }
        }
        let inner = Frame { opsets: &function.opsets, settings: Some(&settings), depth: frame.depth + 1 };
        let outputs = self.body(function, &inputs, inner);
        // ONNX Runtime puts a function's nodes into the graph, where they get the versions of the model's operator sets.
        let opsets = &self.model.opsets;
        if function.opsets.iter().all(|(domain, version)| opsets.get(domain).is_none_or(|it| it == version)) {
            return outputs;
        }
        let put_in = self.body(function, &inputs, Frame { opsets, ..inner });
        let pairs = outputs.into_iter().zip(put_in);
        pairs.map(|(a, b)| if a == b { a } else { self.either(a, b, node) }).collect()
    }

    fn body<'s>(&mut self, function: &'s Function, inputs: &[Option<Value>], frame: Frame<'_>) -> Vec<Value> {
        let mut scope: Scope<'s> = Scope::new(None);
        for (name, value) in function.inputs.iter().zip(inputs) {
            if let Some(value) = value {
                scope.set(name, value.clone());
            }
        }
        for node in &function.nodes {
            self.node(node, &mut scope, frame);
        }
        function.outputs.iter().map(|name| read(&scope, name).plain()).collect()
    }

    fn branch(&mut self, graph: &Graph, scope: &Scope<'_>, frame: Frame<'_>) -> Vec<Value> {
        let mut inner = Scope::new(Some(scope));
        self.graph(graph, &mut inner, Frame { depth: frame.depth + 1, ..frame })
    }

    /// What holds for both values.
    fn either(&mut self, a: Value, b: Value, node: &Node) -> Value {
        let sizes = match (&a.sizes, &b.sizes) {
            (Some(a), Some(b)) if a.len() == b.len() => {
                let both = a.iter().zip(b);
                Some(both.map(|(a, b)| if a == b { a.clone() } else { self.symbols.size() }).collect())
            }
            _ => None,
        };
        match (a.class, b.class) {
            (Class::Mixed(cause), _) | (_, Class::Mixed(cause)) => Value::mixed(cause),
            (Class::Rows(a), Class::Rows(b)) if a == b => match sizes {
                Some(sizes) => Value::rows(a, sizes)
                    .unwrap_or_else(|| Value::mixed(cause(node, "its branches have other sizes"))),
                None => Value::mixed(cause(node, "its branches have other axes")),
            },
            (a, b) if a == b => Value::new(a, sizes.filter(|_| b == Class::Constant)),
            _ => Value::mixed(cause(node, "its branches depend on other things")),
        }
    }
}

fn has_rows(value: &Value) -> bool {
    matches!(value.class, Class::Rows(_) | Class::Mixed(_))
}

/// What comes of a rule that gave up where there are no rows: the same in every run, of sizes that are not known.
fn same_class(call: &Call<'_>) -> Option<Vec<Value>> {
    let class = rules::alike(call.given()).ok()??;
    Some(vec![Value::new(class, None); call.outputs()])
}

/// Both names of the default domain.
fn plain(domain: &str) -> &str {
    if domain == "ai.onnx" { "" } else { domain }
}

fn read(scope: &Scope<'_>, name: &str) -> Value {
    scope.get(name).cloned().unwrap_or_else(|| {
        let reason = "it is read and nothing gives it".to_owned();
        Value::mixed(Rc::new(Cause { node: name.to_owned(), operator: String::new(), reason }))
    })
}
