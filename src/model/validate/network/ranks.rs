//! Ranks of what layers take and give, without the axis of rows: 1 a row of values, 2 steps, 3 an image. Pure.

use std::collections::BTreeMap;

use modelwright_contract::layers::{Gives, INPUT, Takes, keras};
use serde_json::Value;

use super::{
    input::{Input, layer_field},
    values::Field,
};
use crate::api::training::Layer;

/// What one layer gives to the next.
#[derive(Clone, Copy)]
struct Flow {
    rank: usize,
    gives: Takes,
}

/// The rank of what each layer gives, and what that is, as far as it is known.
pub fn check_ranks(
    field: &str,
    layers: &[Layer],
    input: Input,
    problems: &mut Vec<String>,
) -> Vec<Option<(usize, Takes)>> {
    let mut flows: BTreeMap<&str, Option<Flow>> =
        [(INPUT, Some(Flow { rank: input.rank(), gives: input.gives() }))].into();
    let mut before = INPUT;
    let mut given = Vec::new();
    for (at, layer) in layers.iter().enumerate() {
        let names: Vec<&str> = if layer.inputs.is_empty() {
            vec![before]
        } else {
            layer.inputs.iter().map(String::as_str).collect()
        };
        let taken: Vec<(&str, Option<Flow>)> =
            names.iter().map(|name| (*name, flows.get(name).copied().flatten())).collect();
        let field = layer_field(field, at, layer);
        let flow = check_layer(&field.to_string(), layer, &taken, input, problems);
        let flow =
            flow.filter(|flow| check_axis(&field.child("parameters.axis"), layer, flow.rank, problems));
        given.push(flow.map(|flow| (flow.rank, flow.gives)));
        flows.insert(&layer.name, flow);
        before = &layer.name;
    }
    given
}

/// What the layer gives; nothing, where it cannot take what it is given: that is told once.
fn check_layer(
    field: &str,
    layer: &Layer,
    taken: &[(&str, Option<Flow>)],
    input: Input,
    problems: &mut Vec<String>,
) -> Option<Flow> {
    let entry = keras().layers.get(&layer.type_)?;
    let type_ = &layer.type_;
    let before = problems.len();
    for (name, flow) in taken {
        let Some(flow) = flow else { continue };
        let what = |rank: usize| {
            if *name == INPUT { input.words().to_owned() } else { format!("`{name}`, of rank {rank}") }
        };
        if entry.takes != flow.gives {
            let expected = match (entry.takes, flow.gives) {
                (Takes::Numbers, Takes::Text) => {
                    "numbers: put a TextVectorization and an Embedding before it"
                }
                (Takes::Numbers, _) => "numbers, and those are of tokens: put an Embedding before it",
                (Takes::Text, Takes::Tokens) => "texts (data.text), once",
                (Takes::Text, _) => "texts (data.text)",
                (Takes::Tokens, _) => {
                    "the numbers of tokens: put a TextVectorization before it, with data.text"
                }
            };
            problems.push(format!("{field} takes {}; {type_} takes {expected}", what(flow.rank)));
        } else if !entry.ranks.is_empty() && !entry.ranks.contains(&flow.rank) {
            problems.push(format!(
                "{field} takes {}; {type_} takes {}{}",
                what(flow.rank),
                ranks(&entry.ranks),
                mend(flow.rank, &entry.ranks, *name == INPUT)
            ));
        }
    }
    let first = taken.first().and_then(|(_, flow)| *flow);
    if let Some(first) = first
        && let Some((name, other)) = taken
            .iter()
            .find_map(|(name, flow)| flow.filter(|flow| flow.rank != first.rank).map(|flow| (name, flow)))
    {
        problems.push(format!(
            "{field} takes inputs of different ranks, {} and {} (`{name}`); {type_} takes those of one: bring them to it, for example by Flatten",
            first.rank, other.rank
        ));
    }
    if problems.len() > before {
        return None;
    }
    let rank = match entry.gives {
        Gives::Same => first?.rank,
        Gives::Steps => 2,
        Gives::Sequences if returns_sequences(layer) => 2,
        Gives::Flat | Gives::Sequences => 1,
    };
    Some(Flow { rank, gives: if entry.takes == Takes::Text { Takes::Tokens } else { Takes::Numbers } })
}

/// Whether what is put together has the axis along which it is. Axis 0 counts the rows.
fn check_axis(field: &Field, layer: &Layer, rank: usize, problems: &mut Vec<String>) -> bool {
    if layer.type_ != "Concatenate" {
        return true;
    }
    let Some(axis) = layer.parameters.get("axis").and_then(Value::as_i64) else { return true };
    if axis != 0 && usize::try_from(axis.unsigned_abs()).is_ok_and(|axis| axis <= rank) {
        return true;
    }
    let others = if rank == 1 { "1".to_owned() } else { format!("from 1 to {rank}") };
    problems.push(format!(
        "{field} is {axis}, and what comes in is of rank {rank}, behind the axis of the rows, which is 0; expected -1 or {others}"
    ));
    false
}

/// Whether a recurrent layer, or the one within it, gives every step.
fn returns_sequences(layer: &Layer) -> bool {
    let of = |parameters: Option<&Value>| parameters.and_then(Value::as_bool) == Some(true);
    let inner = layer.parameters.get("layer").and_then(|inner| inner.pointer("/parameters/return_sequences"));
    of(layer.parameters.get("return_sequences")) || of(inner)
}

fn ranks(ranks: &[usize]) -> String {
    let words: Vec<_> = ranks
        .iter()
        .map(|rank| match rank {
            1 => "rank 1 (a row of values)".to_owned(),
            2 => "rank 2 (steps of values)".to_owned(),
            3 => "rank 3 (images)".to_owned(),
            more => format!("rank {more}"),
        })
        .collect();
    words.join(", ")
}

/// What brings one rank to another, where something does.
fn mend(rank: usize, wanted: &[usize], is_data: bool) -> &'static str {
    match (rank, wanted) {
        (1, [2]) if is_data => ": give data.sequences, or a layer before it that gives steps",
        (1, [2]) => {
            ": the layer before it must give its steps (return_sequences, or no pooling over all of them)"
        }
        (1, [3]) if is_data => ": give data.images",
        (2 | 3, wanted) if wanted.contains(&1) => ": put a Flatten before it",
        _ => "",
    }
}
