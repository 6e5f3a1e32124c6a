//! Which outputs of a graph are made of random numbers. In goes a graph; out come the operators that draw, and the outputs
//! that anything of them reaches. Needs no client.

use std::collections::{BTreeMap, BTreeSet};

use super::graph::{Attribute, Function, Graph, Model, Node, Numbers, Setting};

/// Operators that draw, each with its domain. `Dropout` is one where it is told to train.
const DRAWS: [(&str, &str); 9] = [
    ("", "RandomNormal"),
    ("", "RandomNormalLike"),
    ("", "RandomUniform"),
    ("", "RandomUniformLike"),
    ("", "Multinomial"),
    ("", "Bernoulli"),
    ("com.microsoft", "Sampling"),
    ("com.microsoft", "BiasDropout"),
    ("com.microsoft", "BitmaskDropout"),
];
/// How deep functions may call each other: beyond, what is called counts as one that draws.
const MAX_DEPTH: usize = 32;

/// What of a model is random.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Randomness {
    /// Operators that draw random numbers.
    pub operators: BTreeSet<String>,
    /// Outputs that are made of them.
    pub outputs: BTreeSet<String>,
}

/// Finds what of a model is random.
pub fn of_model(model: &Model) -> Randomness {
    let mut walk = Walk { functions: &model.functions, operators: BTreeSet::new() };
    let tainted = walk.graph(&model.graph, &BTreeSet::new(), 0);
    let names = model.graph.outputs.iter().map(|port| port.name.clone());
    Randomness { outputs: names.filter(|name| tainted.contains(name)).collect(), operators: walk.operators }
}

struct Walk<'a> {
    functions: &'a [Function],
    operators: BTreeSet<String>,
}

impl Walk<'_> {
    /// The names of a graph that are random, those of around it included.
    fn graph(&mut self, graph: &Graph, around: &BTreeSet<String>, depth: usize) -> BTreeSet<String> {
        let stored: BTreeMap<&str, &Numbers> = graph
            .constants
            .iter()
            .filter_map(|constant| Some((constant.name.as_str(), constant.numbers.as_ref()?)))
            .collect();
        self.nodes(&graph.nodes, &stored, around, depth)
    }

    fn nodes(
        &mut self,
        nodes: &[Node],
        stored: &BTreeMap<&str, &Numbers>,
        around: &BTreeSet<String>,
        depth: usize,
    ) -> BTreeSet<String> {
        let mut tainted = around.clone();
        for node in nodes {
            if self.is_random(node, nodes, stored, &tainted, depth) {
                tainted.extend(node.outputs.iter().filter(|name| !name.is_empty()).cloned());
            }
        }
        tainted
    }

    fn is_random(
        &mut self,
        node: &Node,
        nodes: &[Node],
        stored: &BTreeMap<&str, &Numbers>,
        tainted: &BTreeSet<String>,
        depth: usize,
    ) -> bool {
        let own = (node.domain.as_str(), node.operator.as_str());
        let function = self.functions.iter().find(|function| {
            (function.domain.as_str(), function.name.as_str(), function.overload.as_str())
                == (own.0, own.1, node.overload.as_str())
        });
        let draws = match function {
            Some(_) if depth >= MAX_DEPTH => true,
            Some(function) => {
                let inside = self.nodes(&function.nodes, &BTreeMap::new(), &BTreeSet::new(), depth + 1);
                function.outputs.iter().any(|name| inside.contains(name))
            }
            None => DRAWS.contains(&own) || own == ("", "Dropout") && trains(node, nodes, stored),
        };
        if draws && function.is_none() {
            self.operators.insert(node.operator.clone());
        }
        let mut within = false;
        for Attribute { value, .. } in &node.attributes {
            if let Setting::Graph(graph) = value {
                // What is random around it is random in it; a loop carries it into its next turn by its inputs.
                let inside = self.graph(graph, tainted, depth + 1);
                within |= graph.outputs.iter().any(|port| inside.contains(&port.name));
                within |= graph.nodes.iter().flat_map(|node| &node.inputs).any(|name| tainted.contains(name));
            }
        }
        draws || within || node.inputs.iter().any(|name| tainted.contains(name))
    }
}

/// Whether a `Dropout` drops: unless its third input is known to be false.
fn trains(node: &Node, nodes: &[Node], stored: &BTreeMap<&str, &Numbers>) -> bool {
    let Some(mode) = node.inputs.get(2).filter(|name| !name.is_empty()) else { return false };
    let is_false = |numbers: &Numbers| *numbers == Numbers::Integers(vec![0]);
    if let Some(numbers) = stored.get(mode.as_str()) {
        return !is_false(numbers);
    }
    let source = nodes.iter().find(|node| node.operator == "Constant" && node.outputs.first() == Some(mode));
    !source.is_some_and(|node| {
        node.attributes.iter().any(|attribute| match &attribute.value {
            Setting::Tensor(constant) => constant.numbers.as_ref().is_some_and(is_false),
            _ => false,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::graph::{Constant, Port};

    fn node(operator: &str, inputs: &[&str], outputs: &[&str]) -> Node {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Node {
            operator: operator.to_owned(),
            inputs: names(inputs),
            outputs: names(outputs),
            ..Node::default()
        }
    }

    fn graph(nodes: Vec<Node>, outputs: &[&str]) -> Graph {
        let outputs = outputs.iter().map(|name| Port { name: (*name).to_owned(), shape: None }).collect();
        Graph { outputs, nodes, ..Graph::default() }
    }

    fn of(graph: Graph, functions: Vec<Function>) -> (Vec<String>, Vec<String>) {
        let found = of_model(&Model { graph, functions, ..Model::default() });
        (found.operators.into_iter().collect(), found.outputs.into_iter().collect())
    }

    #[test]
    fn what_random_numbers_reach_is_random_and_nothing_else() {
        let nodes = vec![
            node("RandomNormalLike", &["x"], &["noise"]),
            node("Add", &["x", "noise"], &["sum"]),
            node("Relu", &["sum"], &["noisy"]),
            node("Relu", &["x"], &["plain"]),
        ];
        let (operators, outputs) = of(graph(nodes, &["plain", "noisy"]), Vec::new());
        assert_eq!(
            (operators.join(","), outputs.join(",")),
            ("RandomNormalLike".to_owned(), "noisy".to_owned())
        );
        let plain = of(graph(vec![node("Relu", &["x"], &["y"])], &["y"]), Vec::new());
        assert_eq!(plain, (Vec::new(), Vec::new()));
    }

    #[test]
    fn random_numbers_within_a_branch_a_function_or_around_a_loop_count() {
        let branch = |nodes| {
            let value = Setting::Graph(Box::new(graph(nodes, &["b"])));
            vec![Attribute { name: "then_branch".to_owned(), value }]
        };
        let draws = Node {
            attributes: branch(vec![node("Bernoulli", &["x"], &["b"])]),
            ..node("If", &["c"], &["y"])
        };
        assert_eq!(of(graph(vec![draws], &["y"]), Vec::new()).1, ["y"]);
        let takes =
            Node { attributes: branch(vec![node("Relu", &["noise"], &["b"])]), ..node("If", &["c"], &["y"]) };
        let around = vec![node("RandomUniform", &[], &["noise"]), takes];
        assert_eq!(of(graph(around, &["y"]), Vec::new()).1, ["y"]);
        let function = Function {
            domain: "mine".to_owned(),
            name: "Noise".to_owned(),
            outputs: vec!["f".to_owned()],
            nodes: vec![node("Multinomial", &["x"], &["f"])],
            ..Function::default()
        };
        let call = Node { domain: "mine".to_owned(), ..node("Noise", &["x"], &["y"]) };
        let (operators, outputs) = of(graph(vec![call.clone()], &["y"]), vec![function.clone()]);
        assert_eq!((operators.join(","), outputs.join(",")), ("Multinomial".to_owned(), "y".to_owned()));
        // One that calls itself ends, and counts.
        let endless =
            Function { nodes: vec![Node { outputs: vec!["f".to_owned()], ..call.clone() }], ..function };
        assert_eq!(of(graph(vec![call], &["y"]), vec![endless]).1, ["y"]);
    }

    #[test]
    fn dropout_draws_only_where_it_is_told_to_train() {
        let told = |value: i64| Constant {
            name: "mode".to_owned(),
            sizes: Vec::new(),
            numbers: Some(Numbers::Integers(vec![value])),
            texts: None,
        };
        let dropout = || vec![node("Dropout", &["x", "", "mode"], &["y"])];
        let with = |value| Graph { constants: vec![told(value)], ..graph(dropout(), &["y"]) };
        assert_eq!(of(with(0), Vec::new()).1, Vec::<String>::new());
        assert_eq!(of(with(1), Vec::new()).1, ["y"]);
        assert_eq!(of(graph(dropout(), &["y"]), Vec::new()).1, ["y"], "who knows");
        assert_eq!(
            of(graph(vec![node("Dropout", &["x"], &["y"])], &["y"]), Vec::new()).1,
            Vec::<String>::new()
        );
    }
}
