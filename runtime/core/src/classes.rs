//! Which classes the outputs of a classifier stand for, as far as its graph says it for certain. In go a signature and a graph;
//! the signature is left with the labels. Needs no client and no ONNX Runtime.
//!
//! Classifiers of `ai.onnx.ml` hold their labels. Where an output is one of theirs, at most through `Identity`, its columns are
//! these classes, or its answers these labels; whatever else a graph makes of them before it gives them is not followed.

use std::{fs::File, io::BufReader, path::Path};

use modelwright_contract::signature::{Classes, Signature, TensorSpec};

use crate::{
    onnx::graph::{self, Graph, Node, Setting},
    tensor::Datatype,
};

/// Most steps from an output back to its classifier.
const MAX_STEPS: usize = 8;
const ML: &str = "ai.onnx.ml";

/// What an output is to a classifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// It has a column for each class.
    Columns,
    /// It gives one of the labels.
    Label,
}

/// Names the classes of outputs by the graph of a file. One that cannot be read names none.
pub fn name_by_file(signature: &mut Signature, path: &Path) {
    let Ok(file) = File::open(path) else { return };
    if let Ok(Some(model)) = graph::read(BufReader::with_capacity(64 * 1024, file)) {
        name_by_graph(signature, &model.graph);
    }
}

/// Names the classes of outputs by a graph: of those with a column for each, else of those that give labels.
fn name_by_graph(signature: &mut Signature, graph: &Graph) {
    if signature.outputs.iter().any(|output| output.classes.is_some()) {
        return;
    }
    let found: Vec<_> = signature.outputs.iter().map(|output| find(output, graph)).collect();
    for wanted in [Role::Columns, Role::Label] {
        let mut named = false;
        for (output, found) in signature.outputs.iter_mut().zip(&found) {
            if let Some((role, classes)) = found
                && *role == wanted
            {
                output.classes = Some(classes.clone());
                named = true;
            }
        }
        if named {
            return;
        }
    }
}

/// Names the classes of the one output that has as many columns as there are labels in the model's metadata.
pub fn name_by_metadata(signature: &mut Signature, labels: &[String]) {
    let fits = |output: &&mut TensorSpec| {
        output.shape.len() > 1
            && Datatype::parse(&output.datatype).is_some_and(Datatype::is_float)
            && output.shape.last().is_some_and(|size| usize::try_from(*size) == Ok(labels.len()))
    };
    if labels.is_empty() {
        return;
    }
    let mut fitting = signature.outputs.iter_mut().filter(fits);
    if let (Some(output), None) = (fitting.next(), fitting.next()) {
        output.classes = Some(Classes::of(labels.iter().cloned()));
    }
}

/// The classes of an output, if it is a classifier's.
fn find(output: &TensorSpec, graph: &Graph) -> Option<(Role, Classes)> {
    let mut name = output.name.as_str();
    for _ in 0..MAX_STEPS {
        let node = graph.nodes.iter().find(|node| node.outputs.iter().any(|given| given == name))?;
        if node.operator == "Identity" && node.domain.is_empty() {
            name = node.inputs.first()?;
            continue;
        }
        let place = node.outputs.iter().position(|given| given == name)?;
        let role = match (node.domain.as_str(), node.operator.as_str(), place) {
            (ML, "TreeEnsembleClassifier" | "LinearClassifier" | "SVMClassifier", 0) => Role::Label,
            // Scores of an SVM are of pairs of classes, unless it has learned probabilities.
            (ML, "ZipMap", 0) | (ML, "TreeEnsembleClassifier" | "LinearClassifier", 1) => Role::Columns,
            _ => return None,
        };
        let classes = labels(node, node.operator == "ZipMap")?;
        let columns = output.shape.last().copied().unwrap_or(-1);
        let fits = role == Role::Label || columns < 0 || u64::try_from(columns) == Ok(classes.count);
        return fits.then_some((role, classes));
    }
    None
}

/// A node's labels; those of maps in the order of their columns here, which is that of their keys.
fn labels(node: &Node, sorted: bool) -> Option<Classes> {
    let value = |name: &str| {
        node.attributes.iter().find(|attribute| attribute.name == name).map(|attribute| &attribute.value)
    };
    for name in ["classlabels_strings", "classlabels_int64s", "classlabels_ints"] {
        match value(name) {
            Some(Setting::Texts(texts)) if texts.count > 0 => {
                let Some(mut all) = texts.all.clone() else {
                    return Some(Classes { count: texts.count.into(), labels: Vec::new() });
                };
                if sorted {
                    all.sort();
                }
                return Some(Classes::of(all));
            }
            Some(Setting::Integers(numbers)) if !numbers.is_empty() => {
                let mut numbers = numbers.clone();
                if sorted {
                    numbers.sort_unstable();
                }
                return Some(Classes::of(numbers.iter().map(ToString::to_string)));
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::onnx::graph::{Attribute, Texts};

    fn node(operator: &str, domain: &str, inputs: &[&str], outputs: &[&str], labels: Setting) -> Node {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let name =
            if matches!(labels, Setting::Texts(_)) { "classlabels_strings" } else { "classlabels_int64s" };
        Node {
            operator: operator.to_owned(),
            domain: domain.to_owned(),
            inputs: names(inputs),
            outputs: names(outputs),
            attributes: vec![Attribute { name: name.to_owned(), value: labels }],
            ..Node::default()
        }
    }

    fn texts(all: &[&str]) -> Setting {
        let all: Vec<String> = all.iter().map(|text| (*text).to_owned()).collect();
        Setting::Texts(Texts { count: u32::try_from(all.len()).unwrap(), all: Some(all) })
    }

    /// What is said of outputs of these names and shapes.
    fn named(nodes: Vec<Node>, outputs: &[(&str, &str, &[i64])]) -> Vec<Option<Vec<String>>> {
        let spec = |(name, datatype, shape): &(&str, &str, &[i64])| TensorSpec {
            name: (*name).to_owned(),
            datatype: (*datatype).to_owned(),
            shape: shape.to_vec(),
            ..TensorSpec::default()
        };
        let mut signature = Signature { outputs: outputs.iter().map(spec).collect(), ..Signature::default() };
        name_by_graph(&mut signature, &Graph { nodes, ..Graph::default() });
        signature.outputs.into_iter().map(|output| output.classes.map(|classes| classes.labels)).collect()
    }

    fn all(labels: &[&str]) -> Vec<String> {
        labels.iter().map(|label| (*label).to_owned()).collect()
    }

    #[test]
    fn a_classifier_of_trees_names_its_columns_and_its_labels_where_there_are_no_columns() {
        let trees =
            |outputs: &[&str]| node("TreeEnsembleClassifier", ML, &["x"], outputs, texts(&["no", "yes"]));
        let both = [("label", "BYTES", &[-1][..]), ("scores", "FP32", &[-1, 2])];
        assert_eq!(named(vec![trees(&["label", "scores"])], &both), [None, Some(all(&["no", "yes"]))]);
        assert_eq!(named(vec![trees(&["label", ""])], &both[..1]), [Some(all(&["no", "yes"]))]);
        let other = [("scores", "FP32", &[-1, 3][..])];
        assert_eq!(named(vec![trees(&["label", "scores"])], &other), [None], "other columns than classes");
    }

    #[test]
    fn maps_name_their_columns_in_the_order_of_their_keys_and_identity_is_looked_through() {
        let zip = node("ZipMap", ML, &["p"], &["maps"], Setting::Integers(vec![30, 4, -1]));
        let same = node("Identity", "", &["maps"], &["y"], Setting::Other);
        assert_eq!(named(vec![zip, same], &[("y", "FP32", &[-1, -1])]), [Some(all(&["-1", "4", "30"]))]);
    }

    #[test]
    fn what_is_not_certain_is_not_said() {
        let svm = node("SVMClassifier", ML, &["x"], &["l", "pairs"], texts(&["a", "b", "c"]));
        assert_eq!(named(vec![svm], &[("pairs", "FP32", &[-1, 3])]), [None], "scores of pairs");
        let own = node("ZipMap", "com.example", &["p"], &["y"], texts(&["a", "b"]));
        assert_eq!(named(vec![own], &[("y", "FP32", &[-1, 2])]), [None], "another one's operator");
        let circle = node("Identity", "", &["y"], &["y"], Setting::Other);
        assert_eq!(named(vec![circle], &[("y", "FP32", &[-1, 2])]), [None]);
    }

    #[test]
    fn metadata_name_the_one_output_that_they_fit() {
        let output = |name: &str, columns| TensorSpec {
            name: name.to_owned(),
            datatype: "FP32".to_owned(),
            shape: vec![-1, columns],
            ..TensorSpec::default()
        };
        let labels: Vec<String> = ["cat", "dog"].map(str::to_owned).to_vec();
        let mut signature =
            Signature { outputs: vec![output("a", 2), output("b", 3)], ..Signature::default() };
        name_by_metadata(&mut signature, &labels);
        assert_eq!(signature.outputs[0].classes, Some(Classes::of(labels.clone())));
        assert_eq!(signature.outputs[1].classes, None);
        let mut two = Signature { outputs: vec![output("a", 2), output("b", 2)], ..Signature::default() };
        name_by_metadata(&mut two, &labels);
        assert!(two.outputs.iter().all(|output| output.classes.is_none()), "which of both?");
    }
}
