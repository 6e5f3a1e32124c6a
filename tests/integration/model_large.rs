//! Specs as large as an object can be: one keeps the operator, and everybody else's objects, waiting for no longer than others.

use std::fmt::Write as _;

use modelwright::model::validate::validate_model;
use serde_json::{Map, Value, json};

use crate::fixtures::trained_model;

/// What etcd takes of one object, in bytes.
const LARGEST: usize = 1_500_000;

/// Names of 40 characters.
fn name(kind: char, number: usize) -> String {
    let mut name = String::new();
    write!(name, "{kind}{number:039}").unwrap();
    name
}

/// A network whose layers name what is none.
fn network(candidate: usize) -> Value {
    let inputs =
        |layer: usize| (0..16).map(|input| name('x', 7_777_777 + layer * 16 + input)).collect::<Vec<_>>();
    let layers: Vec<_> = (0..128)
        .map(|layer| json!({"name": name('l', layer), "type": "Add", "inputs": inputs(layer)}))
        .collect();
    json!({"name": format!("c{candidate}"), "layers": layers})
}

fn many(count: usize) -> Map<String, Value> {
    (0..count).map(|number| (name('p', number), json!(1))).collect()
}

/// Each problem has a hint, which is looked for among all that is known: of tens of thousands, that takes half a minute of the one
/// thread that does everything.
#[test]
fn of_a_spec_with_tens_of_thousands_of_problems_the_first_are_told() {
    let dense = || json!([{"name": "out", "type": "Dense", "parameters": many(28_000)}]);
    for candidates in [
        json!([{"name": "a", "algorithm": "RandomForest", "parameters": many(28_000)}]),
        json!([{"name": "a", "layers": dense()}]),
        json!([{"name": "a", "layers": [{"name": "out", "type": "Dense", "parameters": {"units": 1}}],
            "optimizer": {"type": "Adam", "parameters": many(28_000)}}]),
        json!((0..14).map(network).collect::<Vec<_>>()),
    ] {
        let size = candidates.to_string().len();
        assert!((LARGEST - 400_000..LARGEST).contains(&size), "{size}");
        let model = trained_model(json!({"candidates": candidates}), 1);
        let problems = validate_model(&model).unwrap_err().problems;
        assert!((100..110).contains(&problems.len()), "{}", problems.len());
    }
}
