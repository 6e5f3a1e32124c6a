//! The end of a network: its last layer, its loss, and what is watched, as the task needs them. Pure.

use modelwright_contract::{
    layers::{Takes, keras},
    training::Task,
};
use serde_json::Value;

use super::{
    input::layer_field,
    values::{Field, shown, unknown},
};
use crate::api::training::{Callback, Candidate, Layer};

/// Losses whose network ends in one probability.
const BINARY: [&str; 2] = ["binary_crossentropy", "bce"];
/// What is told of each epoch beside the loss.
const METRICS: [(Task, &str); 2] =
    [(Task::Classification, "accuracy"), (Task::Regression, "mean_absolute_error")];

/// Whether the last layer gives what the task asks for.
pub fn check_end(
    field: &str,
    candidate: &Candidate,
    task: Task,
    end: Option<(usize, Takes)>,
    problems: &mut Vec<String>,
) {
    let layers = &candidate.layers;
    let Some(last) = layers.last() else { return };
    let Some((rank, gives)) = end else { return };
    let field = layer_field(field, layers.len() - 1, last);
    let example = match task {
        Task::Classification => "Dense with one unit a label and activation softmax",
        Task::Regression => "Dense with units 1",
    };
    if gives != Takes::Numbers {
        problems.push(format!(
            "{field} is the last and gives the numbers of tokens; a {task:?} ends in one row of values: put an Embedding, a pooling over all and {example} after it"
        ));
        return;
    }
    if rank != 1 {
        problems.push(format!(
            "{field} is the last and gives rank {rank}; a {task:?} ends in one row of values: put a pooling over all or Flatten, and {example}, after it"
        ));
        return;
    }
    match task {
        Task::Classification => check_probabilities(&field, candidate, last, problems),
        Task::Regression => {
            if let Some(units) = last.parameters.get("units").filter(|units| units.as_u64() != Some(1)) {
                problems.push(format!(
                    "{} is {}, and it is the last; a Regression ends in one value: expected 1",
                    field.child("parameters.units"),
                    shown(units)
                ));
            }
        }
    }
}

fn check_probabilities(field: &Field, candidate: &Candidate, last: &Layer, problems: &mut Vec<String>) {
    let loss = candidate.loss.as_deref();
    let is_binary = loss.is_some_and(|loss| BINARY.contains(&loss));
    let expected = if is_binary { "sigmoid" } else { "softmax" };
    let field = field.child("parameters.activation");
    let of_loss = if is_binary { " with binary_crossentropy" } else { "" };
    if !["Dense", "Activation"].contains(&last.type_.as_str()) {
        problems.push(format!(
            "{field}: the last layer is a {}; a Classification ends in probabilities{of_loss}: expected Dense with activation {expected}",
            last.type_
        ));
        return;
    }
    match last.parameters.get("activation") {
        Some(Value::String(activation)) if activation == expected => {}
        other => problems.push(format!(
            "{field} is {}, and it is the last; a Classification ends in probabilities{of_loss}: expected {expected}",
            other.map_or_else(|| "not set".to_owned(), shown)
        )),
    }
    let units = last.parameters.get("units").and_then(Value::as_u64);
    match units {
        Some(units) if is_binary && units != 1 => problems.push(format!(
            "{} of the last layer is {units}; binary_crossentropy is of one probability: expected 1, or the loss sparse_categorical_crossentropy",
            field.path.replace("activation", "units")
        )),
        Some(1) if !is_binary => problems.push(format!(
            "{} of the last layer is 1, whose softmax is always 1; expected one unit a label, or the loss binary_crossentropy with activation sigmoid",
            field.path.replace("activation", "units")
        )),
        _ => {}
    }
}

/// Whether a loss measures the task.
pub fn check_loss(field: &str, loss: Option<&str>, task: Task, problems: &mut Vec<String>) {
    let Some(loss) = loss else { return };
    let table = keras();
    let empty = Vec::new();
    let known = table.losses.get(&task).unwrap_or(&empty);
    if known.iter().any(|one| one == loss) {
        return;
    }
    let field = Field::new(format!("{field}.loss"), String::new());
    if let Some((other, _)) = table.losses.iter().find(|(_, losses)| losses.iter().any(|one| one == loss)) {
        problems.push(format!(
            "{field} `{loss}` measures a {other:?}, and spec.training.task is {task:?}; expected one of {}",
            known.join(", ")
        ));
    } else {
        problems.push(unknown(
            &field,
            loss,
            &format!("a loss for {task:?}"),
            known.iter(),
            table.losses_refused.get(loss),
        ));
    }
}

/// Whether what is watched is measured.
pub fn check_monitor(field: &Field, callback: &Callback, task: Task, problems: &mut Vec<String>) {
    let Some(Value::String(monitor)) = callback.parameters.get("monitor") else { return };
    let metric = monitor.strip_prefix("val_").unwrap_or(monitor);
    if let Some((other, _)) = METRICS.iter().find(|(of, name)| *of != task && *name == metric) {
        let own = METRICS.iter().find(|(of, _)| *of == task).map_or("loss", |(_, name)| name);
        problems.push(format!(
            "{field} is `{monitor}`, which is of a {other:?}, and spec.training.task is {task:?}; expected val_loss, loss, val_{own} or {own}"
        ));
    }
}
