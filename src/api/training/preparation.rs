//! `preprocess` of a training: what is done to columns, in order.

use kube::KubeSchema;
use modelwright_contract::training::{ImputeStrategy, ScaleMethod};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::words::{method_schema, strategy_schema};

/// One step of preparation: exactly one of its fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.impute), has(self.scale), has(self.oneHot), has(self.ordinal)].filter(given, given).size() == 1").message("a step of training.preprocess takes exactly one of impute, scale, oneHot and ordinal; make a step of each"))]
pub struct Preparation {
    /// Fill in missing values. Default: another field of the step is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub impute: Option<Impute>,
    /// Scale numbers. Default: another field of the step is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<Scale>,
    /// One column of 0 and 1 for each value that the training part has; other values give 0 in all of them. Default:
    /// another field of the step is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub one_hot: Option<Encode>,
    /// The number of a value among those of the training part, sorted; other values give -1. Default: another field of
    /// the step is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ordinal: Option<Encode>,
}

/// Fill in missing values. Default: another field of the step is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(self.strategy == 'Constant') == has(self.fillValue)").message("impute.fillValue belongs to strategy Constant, which needs it; set both or neither"))]
pub struct Impute {
    /// With what: Mean, Median, MostFrequent or Constant.
    #[schemars(schema_with = "strategy_schema")]
    pub strategy: ImputeStrategy,
    /// The value of strategy Constant, as text. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub fill_value: Option<String>,
    /// Names of columns. Default: every column that the strategy can fill.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 256)))]
    pub columns: Vec<String>,
}

/// Scale numbers. Default: another field of the step is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Scale {
    /// Standard (to mean 0 and variance 1), MinMax (to 0 … 1) or Robust (by median and interquartile range).
    #[schemars(schema_with = "method_schema")]
    pub method: ScaleMethod,
    /// Names of columns. Default: every numeric column.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 256)))]
    pub columns: Vec<String>,
}

/// Encode values as numbers. Default: another field of the step is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Encode {
    /// Names of columns. Default: every text column.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 256)))]
    pub columns: Vec<String>,
}
