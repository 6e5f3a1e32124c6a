//! What the Keras trainer knows: layers, losses, optimizers and the like, with the parameters of each by Keras' own names.
//! The table is `layers.json`, which the trainer's own table is written to, so that both sides refuse the same.

use std::{collections::BTreeMap, sync::LazyLock};

use serde::Deserialize;
use serde_json::Value;

use crate::training::Task;

/// The name by which layers take the data.
pub const INPUT: &str = "input";

static KERAS: LazyLock<Table> = LazyLock::new(|| {
    serde_json::from_str(include_str!("layers.json")).expect("a committed table, read by a test")
});

/// The table.
pub fn keras() -> &'static Table {
    &KERAS
}

/// All that a network is made of. Of each kind, what Keras has and the trainer does not take stands beside it, with why.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Table {
    /// Layers by type.
    pub layers: BTreeMap<String, LayerEntry>,
    /// Losses by task, the default first.
    pub losses: BTreeMap<Task, Vec<String>>,
    /// Other losses.
    #[serde(default)]
    pub losses_refused: BTreeMap<String, String>,
    /// Optimizers by type.
    pub optimizers: BTreeMap<String, Entry>,
    /// Schedules of a learning rate by type.
    pub schedules: BTreeMap<String, Entry>,
    /// Activations.
    pub activations: Vec<String>,
    /// Other activations.
    #[serde(default)]
    pub activations_refused: BTreeMap<String, String>,
    /// Initializers by type.
    pub initializers: BTreeMap<String, Entry>,
    /// Other initializers.
    #[serde(default)]
    pub initializers_refused: BTreeMap<String, String>,
    /// Regularizers by type.
    pub regularizers: BTreeMap<String, Entry>,
    /// Other regularizers.
    #[serde(default)]
    pub regularizers_refused: BTreeMap<String, String>,
    /// Callbacks by type.
    pub callbacks: BTreeMap<String, Entry>,
    /// Other callbacks.
    #[serde(default)]
    pub callbacks_refused: BTreeMap<String, String>,
    /// What `fit` takes.
    pub fit: Entry,
}

/// Something with parameters.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Those that are taken.
    #[serde(default)]
    pub parameters: BTreeMap<String, Parameter>,
    /// Those that Keras has and the trainer does not take, with why.
    #[serde(default)]
    pub refused: BTreeMap<String, String>,
    /// Other names of the same.
    #[serde(default)]
    pub names: Vec<String>,
}

/// A layer.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerEntry {
    /// Its parameters.
    #[serde(flatten)]
    pub entry: Entry,
    /// Ranks of what it takes, without the axis of rows; empty: any.
    #[serde(default)]
    pub ranks: Vec<usize>,
    /// How many inputs it takes.
    #[serde(default)]
    pub inputs: Inputs,
    /// What it stands behind.
    #[serde(default)]
    pub takes: Takes,
    /// The rank of what it gives.
    #[serde(default)]
    pub gives: Gives,
}

/// How many inputs a layer takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Inputs {
    /// One.
    #[default]
    One,
    /// One or more.
    Several,
}

/// What a layer stands behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Takes {
    /// Numbers.
    #[default]
    Numbers,
    /// The text of the data itself.
    Text,
    /// Numbers of tokens.
    Tokens,
}

/// The rank of what a layer gives, without the axis of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Gives {
    /// That of what it takes.
    #[default]
    Same,
    /// 1.
    #[serde(rename = "1")]
    Flat,
    /// 2.
    #[serde(rename = "2")]
    Steps,
    /// 2 where `return_sequences` is true, otherwise 1.
    Sequences,
}

/// A parameter.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Parameter {
    /// What its value is.
    pub kind: Kind,
    /// Whether it must be given.
    #[serde(default)]
    pub required: bool,
    /// Whether it may be null.
    #[serde(default)]
    pub nullable: bool,
    /// What it is where it is not given.
    #[serde(default)]
    pub default: Option<Value>,
    /// Smallest number.
    #[serde(default)]
    pub min: Option<f64>,
    /// Largest number.
    #[serde(default)]
    pub max: Option<f64>,
    /// Numbers are greater.
    #[serde(default)]
    pub above: Option<f64>,
    /// Numbers are smaller.
    #[serde(default)]
    pub below: Option<f64>,
    /// The words, or the types of a layer within.
    #[serde(default)]
    pub words: Vec<String>,
    /// How many numbers a list has; 0: any.
    #[serde(default)]
    pub axes: usize,
}

/// What the value of a parameter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Kind {
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// True or false.
    Boolean,
    /// One of some words.
    Word,
    /// A whole number for all axes, or a list with one for each.
    Integers,
    /// A list of numbers.
    Numbers,
    /// The name of an activation.
    Activation,
    /// An initializer, by name or as `{type, parameters}`.
    Initializer,
    /// A regularizer, likewise.
    Regularizer,
    /// A layer within the layer, as `{type, parameters}`.
    Layer,
    /// A number, or a schedule as `{type, parameters}`.
    LearningRate,
    /// A number for each label.
    ClassWeights,
    /// Something of a later table, which only the trainer checks.
    #[serde(other)]
    Other,
}

impl Entry {
    /// Whether it goes by this name: its own, or another of the same.
    pub fn is_named(&self, own: &str, name: &str) -> bool {
        own == name || self.names.iter().any(|other| other == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_of_networks_is_in_the_table() {
        let table = keras();
        for name in [
            "Dense",
            "Flatten",
            "Rescaling",
            "Conv1D",
            "Conv2D",
            "SeparableConv2D",
            "MaxPooling2D",
            "AveragePooling1D",
            "GlobalAveragePooling1D",
            "BatchNormalization",
            "LayerNormalization",
            "Dropout",
            "Embedding",
            "PositionEmbedding",
            "SimpleRNN",
            "LSTM",
            "GRU",
            "Bidirectional",
            "MultiHeadAttention",
            "Add",
            "Concatenate",
            "TransformerEncoder",
            "TextVectorization",
        ] {
            assert!(table.layers.contains_key(name), "{name}");
        }
        for name in ["SGD", "RMSprop", "Adam", "AdamW"] {
            let rate = table.optimizers.get(name).and_then(|one| one.parameters.get("learning_rate"));
            assert_eq!(rate.map(|rate| rate.kind), Some(Kind::LearningRate), "{name}");
        }
        for task in [Task::Classification, Task::Regression] {
            assert!(table.losses.get(&task).is_some_and(|losses| losses.len() > 2), "{task:?}");
        }
        assert!(table.callbacks.contains_key("EarlyStopping"));
        assert!(table.fit.parameters.contains_key("epochs"));
    }

    /// What it does not know is checked by nobody before a Job.
    #[test]
    fn every_kind_of_parameter_in_the_table_is_known_here() {
        let table = keras();
        let layers = table.layers.values().map(|layer| &layer.entry);
        let others =
            [&table.optimizers, &table.schedules, &table.initializers, &table.regularizers, &table.callbacks];
        let all = layers.chain(others.into_iter().flat_map(BTreeMap::values)).chain([&table.fit]);
        for (name, parameter) in all.flat_map(|entry| &entry.parameters) {
            assert_ne!(parameter.kind, Kind::Other, "{name}");
            let has_words = matches!(parameter.kind, Kind::Word | Kind::Layer);
            assert_eq!(has_words, !parameter.words.is_empty(), "{name}");
        }
    }
}
