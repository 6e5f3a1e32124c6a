//! What the rows of `training.data` are, where they are not those of a table, and a test set of its own.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::rules;

/// Images. Default: with format Images as each field says, otherwise the rows are those of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.height) == has(self.width)").message("training.data.images.height and width belong together; set both or neither"))]
pub struct Images {
    /// Height in pixels that images are resized to, inside the model. Default: that of the data, which must be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4096))]
    pub height: Option<u32>,
    /// Width in pixels that images are resized to, inside the model. Default: that of the data, which must be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4096))]
    pub width: Option<u32>,
    /// Values of a pixel: 1 for grey, 3 for colour. Default: as in the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4))]
    pub channels: Option<u32>,
}

/// Sequences. Default: the rows are those of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.id) == has(self.order)").message("sequences.id and order belong together: the columns of a long table; set both or neither"))]
pub struct Sequences {
    /// Column of a long table that says to which sequence a row belongs. Default: none, a row holds a whole sequence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub id: Option<String>,
    /// Column of a long table that orders the rows of a sequence. Default: none, a row holds a whole sequence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub order: Option<String>,
    /// Longest sequence; a longer one is refused. Default: that of the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_length: Option<u32>,
}

/// Texts. Default: the rows are those of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Text {
    /// The column with the text. Default: the only one besides the label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub column: Option<String>,
}

/// Windows of a table in time order. Default: each row stands for itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// Rows in a row whose numbers, the label's among them, are what the model is given.
    #[schemars(range(min = 1, max = 10_000))]
    pub past: u32,
    /// How many rows after them the label is predicted. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub horizon: Option<u32>,
}

/// A test set of its own. Default: a share of the data, as `split.test` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = rules::has_a_scheme("training.data.test", "digits-test.csv"),
    validation = rules::has_no_credentials_of_a_claim("training.data.test"),
    validation = rules::has_a_path("training.data.test", "digits-test.csv")
)]
pub struct TestData {
    /// Where it is, as `training.data.uri`.
    #[schemars(length(min = 1, max = 2048))]
    pub uri: String,
    /// The expected SHA-256, as `training.data.sha256`. A mismatch fails the run. Default: not checked, but recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 64, max = 64), regex(pattern = r"^[0-9a-f]{64}$"))]
    pub sha256: Option<String>,
    /// Secret with the credentials, as `training.data.credentialsSecret`. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), regex(pattern = r"^modelwright-[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub credentials_secret: Option<String>,
}
