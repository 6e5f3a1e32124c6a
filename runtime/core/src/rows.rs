//! Whether a model's graph treats rows independently: an answer to a row is the same whatever other rows are asked for in the
//! same run, beyond rounding. In goes the graph of a file, without its weights; out comes yes, or the node because of which it
//! is not shown. Needs no client and no ONNX Runtime.
//!
//! The first axis of every input is taken for N rows, whatever N is. Each value of the graph is then constant, or has its rows
//! on an axis, or depends on N, or mixes rows ([`value`]); sizes are terms in N ([`size`]), and the elements of shapes are
//! followed, too ([`numbers`]). What an operator does to that says one row of [`table`]; [`rules`] are the few kinds of it, and
//! [`walk`] goes through the graph. Whatever is not known mixes rows: a wrong no costs speed, a wrong yes a wrong answer.

mod frozen;
pub mod numbers;
pub mod rules;
pub mod size;
pub mod table;
pub mod value;
pub mod walk;

use std::{fs::File, io::BufReader, path::Path};

use modelwright_contract::rows::RowIndependence;

use self::{
    size::Size,
    table::{OPERATORS, Operator},
    value::{Cause, Class, Place, Value},
    walk::{Scope, Walk},
};
use crate::onnx::graph::{self, Model, Port};

/// Reads and judges the graph of a file.
pub fn of_file(path: &Path) -> RowIndependence {
    let read = File::open(path).map_err(|error| error.to_string()).and_then(|file| {
        graph::read(BufReader::with_capacity(64 * 1024, file)).map_err(|error| error.to_string())
    });
    match read {
        Ok(Some(model)) => of_model(&model, OPERATORS),
        Ok(None) => RowIndependence::not(None, "the graph is too large to be followed"),
        Err(error) => RowIndependence::not(None, &format!("the graph cannot be read: {error}")),
    }
}

/// Judges a graph by a table.
pub fn of_model(model: &Model, operators: &[Operator]) -> RowIndependence {
    match judge(model, operators) {
        Ok(()) => RowIndependence::yes(),
        Err(Cause { node, operator, reason }) => {
            let reason = if operator.is_empty() { reason } else { format!("{operator}: {reason}") };
            RowIndependence::not(Some(node.as_str()).filter(|node| !node.is_empty()), &reason)
        }
    }
}

fn judge(model: &Model, operators: &[Operator]) -> Result<(), Cause> {
    let mut walk = Walk::new(model, operators);
    let mut scope = Scope::new(None);
    let is_stored = |port: &Port| model.graph.constants.iter().any(|constant| constant.name == port.name);
    let about = |port: &Port, what: &str, reason: &str| Cause {
        node: port.name.clone(),
        operator: what.to_owned(),
        reason: reason.to_owned(),
    };
    let mut inputs = 0;
    for port in model.graph.inputs.iter().filter(|port| !is_stored(port)) {
        let Some(shape) = &port.shape else {
            return Err(about(port, "input", "its shape is not declared"));
        };
        if shape.first() != Some(&None) {
            return Err(about(port, "input", "its first axis is not free, so that it has no rows"));
        }
        let sizes = shape.iter().map(|size| size.map_or_else(|| walk.symbols.size(), Size::of)).collect();
        if let Some(value) = Value::rows(Place::on(0), sizes) {
            scope.set(&port.name, value);
        }
        inputs += 1;
    }
    if inputs == 0 {
        return Err(Cause {
            node: String::new(),
            operator: String::new(),
            reason: "it has no input".to_owned(),
        });
    }
    let outputs = walk.run(&mut scope);
    for (port, value) in model.graph.outputs.iter().zip(outputs) {
        match value.class {
            Class::Rows(place) if place == Place::on(0) => {}
            Class::Rows(_) => return Err(about(port, "output", "its rows are not on its first axis")),
            Class::Mixed(cause) => return Err(Cause::clone(&cause)),
            _ => return Err(about(port, "output", "it has no rows")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
