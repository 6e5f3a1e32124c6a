//! What the rows of training data are, where they are not those of a table, and the further sets of a run.

use serde::{Deserialize, Serialize};

use super::{DataFormat, RunData};

/// What a row of training data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A row of a table.
    Table,
    /// An image.
    Images,
    /// A sequence; whether all have one length is known once they are read.
    Sequences,
    /// A text.
    Text,
    /// Some rows of a table in time order.
    Window,
}

impl RunData {
    /// What the rows are.
    pub fn kind(&self) -> Kind {
        if self.images.is_some() || self.format == DataFormat::Images {
            Kind::Images
        } else if self.sequences.is_some() {
            Kind::Sequences
        } else if self.text.is_some() {
            Kind::Text
        } else if self.window.is_some() {
            Kind::Window
        } else {
            Kind::Table
        }
    }
}

/// How the columns of a table reach the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TableInputs {
    /// One input a column, by its name, of the shape [rows, 1].
    Columns,
    /// One input `x` of FP32 [rows, columns]; numbers only.
    Matrix,
}

/// Images: `images`, UINT8 [rows, height, width, channels]. What is absent is as in the data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Images {
    /// Height to resize to, in the graph.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// Width to resize to, in the graph.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// 1 for grey, 3 for colour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<u32>,
}

/// Sequences: `sequences`, FP32 [rows, time, channels], and `lengths`, INT64 [rows], where lengths differ.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sequences {
    /// Of a long table: the column that says to which sequence a row belongs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Of a long table: the column that orders the rows of a sequence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
    /// Longest sequence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_length: Option<u32>,
}

/// Texts: `text`, one a row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Text {
    /// The column with the text; absent: the only one besides the label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
}

/// Windows of a table in time order: `past`, FP32 [rows, past, columns].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Window {
    /// Rows that are known.
    pub past: u32,
    /// How many rows after them the label is predicted; absent: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub horizon: Option<u32>,
}

/// A test set of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TestData {
    /// The folder with its fetched files, as they came.
    pub directory: String,
}
