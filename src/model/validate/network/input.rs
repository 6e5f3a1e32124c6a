//! What a network begins with, and how its layers are named in what is told of them. Pure.

use modelwright_contract::{layers::Takes, training::Kind};

use super::values::{Field, shortened};
use crate::api::training::Layer;

/// What the data gives to the first layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A row of a table: rank 1.
    Table,
    /// Steps of several values: rank 2.
    Sequences,
    /// Height, width and channels: rank 3.
    Images,
    /// A text, which has no rank before it is brought to numbers.
    Text,
}

impl Input {
    /// That of some data.
    pub fn of(kind: Kind) -> Self {
        match kind {
            Kind::Table => Self::Table,
            Kind::Images => Self::Images,
            Kind::Sequences | Kind::Window => Self::Sequences,
            Kind::Text => Self::Text,
        }
    }

    pub fn rank(self) -> usize {
        match self {
            Self::Text => 0,
            Self::Table => 1,
            Self::Sequences => 2,
            Self::Images => 3,
        }
    }

    pub fn gives(self) -> Takes {
        if self == Self::Text { Takes::Text } else { Takes::Numbers }
    }

    pub fn words(self) -> &'static str {
        match self {
            Self::Table => "the data, rows of a table (rank 1)",
            Self::Sequences => "the data, sequences (rank 2)",
            Self::Images => "the data, images (rank 3)",
            Self::Text => "the data, texts, which only TextVectorization takes",
        }
    }
}

/// The path of a layer.
pub fn layer_field(field: &str, at: usize, layer: &Layer) -> Field {
    Field::new(format!("{field}.layers[{at}]"), format!(" of layer `{}`", shortened(&layer.name)))
}
