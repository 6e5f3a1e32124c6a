//! Variants of a model: smaller or faster forms of the same graph, each proven beside it.

use kube::KubeSchema;
use modelwright_contract::variants::{Quantize, Target};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{model_version::Size, training::FRACTION};

fn quantize_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": ["Dynamic", "Static"], "maxLength": 7})
}

fn target_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": ["Latency", "Size"], "maxLength": 7})
}

/// A variant of the model, made by a container of its own and judged on the test part. One that is not as good, small or fast
/// as is asked here fails the run, with what was measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.quantize) || !has(self.for) || self.for == 'Size'").message("an entry of optimize without quantize has weights in FP16, which saves bytes and no time on a CPU; set for: Size, remove it, or set quantize"))]
pub struct VariantRequest {
    /// Its name, by which ModelDeployments ask for it: lower-case letters, digits and hyphens.
    #[schemars(length(min = 1, max = 20), regex(pattern = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"))]
    pub name: String,
    /// How weights become integers of eight bits. Dynamic: activations are scaled in each run (dense layers, Transformers,
    /// LSTM; answers then depend on the other rows of a request, so that requests share no runs). Static: they are scaled by
    /// what rows of the training part showed (dense layers, convolutions). Default: weights in FP16.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "quantize_schema")]
    pub quantize: Option<Quantize>,
    /// What it has to gain. Latency: 5 % of CPU time, shown by the far end of the interval of 99 % over interleaved runs. Size: bytes.
    /// Default: Latency with `quantize`, and Size without.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "target_schema")]
    pub target: Option<Target>,
    /// Most that the metric of `training.selection` or `evaluation` may be worse on the test part than the original's, a decimal string; of an
    /// error or a loss, as a share of the original's. Default: 0.01.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20), regex(pattern = FRACTION))]
    pub max_metric_drop: Option<String>,
    /// Most that its answers may be away from the original's: the share of rows with another label, or of the probability that
    /// went to other classes, where that is more; of a regression, the root of the mean square of the differences in parts of
    /// the standard deviation of the original's answers. Default: 0.05.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20), regex(pattern = FRACTION))]
    pub max_disagreement: Option<String>,
}

/// A variant in a version's artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VersionVariant {
    /// Its name.
    #[schemars(length(max = 20))]
    pub name: String,
    /// SHA-256 over the sorted list of its files and their digests, as of a model of its own: what pods that serve it and
    /// their response header `x-modelwright-digest` say.
    #[schemars(length(min = 64, max = 64))]
    pub model_digest: String,
    /// Bytes of its files.
    pub size_bytes: u64,
    /// What was measured of it beside the original; where there was no room for it, it is in the artifact. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub figures: Option<VariantFigures>,
    /// Its own size certificate; where there was no room for it, the original's counts. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
}

/// A variant beside its original, in decimal strings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VariantFigures {
    /// The metric that was asked about.
    #[schemars(length(max = 64))]
    pub metric: String,
    /// Its value on the test part.
    #[schemars(length(max = 64))]
    pub value: String,
    /// The original's.
    #[schemars(length(max = 64))]
    pub original: String,
    /// How far its answers are from the original's.
    #[schemars(length(max = 64))]
    pub disagreement: String,
    /// CPU time of runs in parts of the original's, the fewest rows first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    pub time: Vec<TimeShare>,
}

/// CPU time of runs in parts of the original's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TimeShare {
    /// Rows of a run.
    #[schemars(range(min = 1, max = 2_147_483_647_u32))]
    pub rows: u32,
    /// The median of interleaved runs.
    #[schemars(length(max = 32))]
    pub median: String,
    /// Lower end of its interval of 99 %.
    #[schemars(length(max = 32))]
    pub low: String,
    /// Upper end of it.
    #[schemars(length(max = 32))]
    pub high: String,
}
