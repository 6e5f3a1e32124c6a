//! Graphs with and without independent rows. For every row of the table there is a graph that is answered wrongly once that row
//! says that its operator keeps rows apart.
#![allow(clippy::unwrap_used)]

mod corpus;

use std::{collections::BTreeSet, io::Cursor};

use proptest::prelude::*;

use super::{
    of_model,
    rules::Rule,
    table::{OPERATORS, Operator},
};
use crate::onnx::graph;
use corpus::{Case, cases};

fn wrong(case: &Case, operators: &[Operator]) -> Option<String> {
    let found = of_model(&case.model, operators);
    let expected = case.because.is_none();
    let reason = found.reason.clone().unwrap_or_default();
    let same = found.independent == expected
        && case.because.is_none_or(|because| because.is_empty() || reason.starts_with(because));
    (!same).then(|| format!("{}: {found}, expected {:?}", case.name, case.because))
}

#[test]
fn every_graph_of_the_corpus_is_answered_as_it_is() {
    let wrong: Vec<String> = cases().iter().filter_map(|case| wrong(case, OPERATORS)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let yes = cases().iter().filter(|case| case.because.is_none()).count();
    assert!(yes >= 100, "{yes} graphs with independent rows");
}

#[test]
fn every_operator_that_is_made_wrongly_row_wise_gives_a_wrong_answer() {
    let cases = cases();
    let mut unnoticed = Vec::new();
    for at in 0..OPERATORS.len() {
        let mut operators = OPERATORS.to_vec();
        operators[at].rule = Rule::Wrong;
        let spoiled = &operators[at];
        let noticed = cases.iter().filter(|case| case.because.is_some()).any(|case| {
            let uses = case.model.graph.nodes.iter().any(|node| node.operator == spoiled.name);
            uses && of_model(&case.model, &operators).independent
        });
        if !noticed {
            unnoticed.push(format!("{}::{}", spoiled.domain, spoiled.name));
        }
    }
    assert!(unnoticed.is_empty(), "no graph of the corpus notices: {}", unnoticed.join(", "));
}

#[test]
fn every_operator_has_one_row_with_its_source() {
    let names: BTreeSet<(&str, &str)> = OPERATORS.iter().map(|row| (row.domain, row.name)).collect();
    assert_eq!(names.len(), OPERATORS.len(), "an operator has two rows");
    for row in OPERATORS {
        assert!(!row.source.is_empty(), "{} has no source", row.name);
    }
    let mut sorted: Vec<(&str, &str)> = OPERATORS.iter().map(|row| (row.domain, row.name)).collect();
    sorted.sort_unstable();
    assert!(OPERATORS.iter().map(|row| (row.domain, row.name)).eq(sorted), "rows are not in order");
}

/// Two nodes of any operators over the corpus' own graphs: nothing that a file may say makes the walk panic.
fn any_graph() -> impl Strategy<Value = graph::Model> {
    let count = cases().len();
    (
        0..count,
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        -4_i64..5,
    )
        .prop_map(|(which, operator, node, input, number)| {
            let mut model = cases().swap_remove(which).model;
            let row = &OPERATORS[operator.index(OPERATORS.len())];
            let names: Vec<String> = model.graph.nodes.iter().flat_map(|node| node.inputs.clone()).collect();
            let nodes = model.graph.nodes.len().max(1);
            if let Some(node) = model.graph.nodes.get_mut(node.index(nodes)) {
                node.operator = row.name.to_owned();
                node.domain = row.domain.to_owned();
                if !names.is_empty() {
                    node.inputs.push(names[input.index(names.len())].clone());
                }
                for attribute in &mut node.attributes {
                    if let graph::Setting::Integer(value) = &mut attribute.value {
                        *value = number;
                    }
                }
            }
            model
        })
}

proptest! {
    #[test]
    fn no_graph_makes_the_walk_panic(model in any_graph()) {
        let _ = of_model(&model, OPERATORS);
    }

    #[test]
    fn no_bytes_make_the_reader_of_graphs_panic(content in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = graph::read(Cursor::new(content));
    }
}

#[test]
fn both_names_of_the_default_domain_are_one_and_have_one_version() {
    let opset = |domain: &str, version: u8| {
        let name =
            [&[0x0a, u8::try_from(domain.len()).unwrap()], domain.as_bytes(), &[0x10, version]].concat();
        [&[0x42, u8::try_from(name.len()).unwrap()], name.as_slice()].concat()
    };
    let read = |opsets: &[Vec<u8>]| graph::read(Cursor::new(opsets.concat()));
    let model = read(&[opset("ai.onnx", 13)]).unwrap().unwrap();
    assert_eq!(model.opsets.get(""), Some(&13));
    assert!(read(&[opset("", 13), opset("ai.onnx", 13), opset("ai.onnx.ml", 3)]).is_ok());
    let error = read(&[opset("", 13), opset("ai.onnx", 11)]).unwrap_err().to_string();
    assert!(error.contains("two versions"), "{error}");
}

#[test]
fn an_attribute_has_a_value_or_refers_to_one() {
    // A graph of one node with one attribute, which has an integer and names an attribute of a function.
    let read = |attribute: &[u8]| {
        let wrap = |tag: u8, content: &[u8]| [&[tag, u8::try_from(content.len()).unwrap()], content].concat();
        graph::read(Cursor::new(wrap(0x3a, &wrap(0x0a, &wrap(0x2a, attribute)))))
    };
    let (integer, outer): (&[u8], &[u8]) = (&[0x18, 0], &[0xaa, 0x01, 1, b'o']);
    assert!(read(integer).is_ok() && read(outer).is_ok());
    assert!(read(&[integer, outer].concat()).unwrap_err().to_string().contains("refers"));
    assert!(read(&[outer, integer].concat()).unwrap_err().to_string().contains("refers"));
}

#[test]
fn what_is_there_once_is_not_put_together_of_two_parts_and_the_last_kind_of_a_size_counts() {
    let wrap = |tag: u8, parts: &[&[u8]]| {
        let content = parts.concat();
        [&[tag, u8::try_from(content.len()).unwrap()], content.as_slice()].concat()
    };
    let read = |graphs: &[Vec<u8>]| graph::read(Cursor::new(graphs.concat()));
    let attribute = |values: &[&[u8]]| wrap(0x3a, &[&wrap(0x0a, &[&wrap(0x2a, values)])]);
    let (integer, tensor): (&[u8], &[u8]) = (&[0x18, 1], &[0x2a, 2, 0x08, 3]);
    assert!(read(&[attribute(&[integer])]).is_ok() && read(&[attribute(&[tensor])]).is_ok());
    for values in [[integer, integer], [tensor, tensor], [integer, tensor]] {
        let error = read(&[attribute(&values)]).unwrap_err().to_string();
        assert!(error.contains("an attribute has a second value"), "{error}");
    }
    let error = read(&[attribute(&[integer]), attribute(&[integer])]).unwrap_err().to_string();
    assert!(error.contains("a second graph"), "{error}");

    let (three, free): (&[u8], &[u8]) = (&[0x08, 3], &[0x12, 1, b'K']);
    let shape = |kinds: &[&[u8]]| wrap(0x12, &[&wrap(0x0a, kinds)]);
    let port = |types: &[Vec<u8>]| {
        let types: Vec<Vec<u8>> = types.iter().map(|it| wrap(0x12, &[it])).collect();
        wrap(0x3a, &[&wrap(0x5a, &types.iter().map(Vec::as_slice).collect::<Vec<_>>())])
    };
    let tensor = |shapes: &[&[u8]]| wrap(0x0a, shapes);
    for (kinds, size) in [([free, three], Some(3)), ([three, free], None)] {
        let model = read(&[port(&[tensor(&[&shape(&kinds)])])]).unwrap().unwrap();
        assert_eq!(model.graph.inputs[0].shape, Some(vec![size]));
    }
    let one = shape(&[three]);
    for ports in [port(&[tensor(&[&one, &one])]), port(&[tensor(&[&one]), tensor(&[&one])])] {
        assert!(read(&[ports]).unwrap_err().to_string().contains("a second shape"));
    }
}
