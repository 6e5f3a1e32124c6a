//! What the `publish` container is told.

use serde::{Deserialize, Serialize};

use crate::{fetch::Waits, training::Judgement, variants::Variant};

/// Store what `prove` has proven as an artifact. Without [`PublishConfig::proof`], as a person may want it, the model is
/// proven first by this very command, by the fields that are then those of [`crate::prove::ProveConfig`]; in a run's pod it
/// never is, since this container has the store's credentials.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PublishConfig {
    /// Namespace of the Model, part of the artifact's address.
    pub namespace: String,
    /// Name of the Model, part of the artifact's address.
    pub model: String,
    /// What `prove` left: that is stored, and no model is run. The fields of a proof are then left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
    /// What a run is known by whose report is to be read from the store and reported as a [`crate::report::RunReport`]: nothing
    /// is proven or stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recall: Option<String>,
    /// Folder with the model's files.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub directory: String,
    /// Where artifacts are stored.
    pub store: Store,
    /// How many golden samples to record when the source brings none.
    #[serde(default, skip_serializing_if = "is_default")]
    pub golden_samples: u32,
    /// Seed of the synthetic golden samples.
    #[serde(default, skip_serializing_if = "is_default")]
    pub golden_seed: u64,
    /// For how many seconds a store that does not answer is retried.
    pub store_retry_seconds: u32,
    /// After `train`: how its model is judged, on [`crate::training::EVALUATION_FILE`] of the folder. Absent for an import.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judgement: Option<Judgement>,
    /// Of an import: how its model is judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluation: Option<Judgement>,
    /// Variants that `optimize` left.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<Variant>,
    /// Whether the rows and labels of the test part, or of the one that an import brings, go along with the model, and golden
    /// samples are rows of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_evaluation: bool,
    /// Integer inputs of which some values may end the process by a signal: they are not tried.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerate_crash_inputs: Vec<String>,
    /// How long to wait for the store, where the usual times are too short.
    #[serde(default, skip_serializing_if = "Waits::are_usual")]
    pub waits: Waits,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The artifact store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Store {
    /// `oci://host[:port]/prefix`, `s3://bucket/prefix`, or `pvc://claim/prefix` of a claim that is mounted for writing at
    /// [`crate::names::CLAIM_DIRECTORY`].
    pub uri: String,
    /// Whether an `oci` host is spoken to by plain HTTP. For `s3`, the Secret says so.
    #[serde(default)]
    pub plain_http: bool,
    /// Folder with the store's credentials, one file a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_directory: Option<String>,
    /// Of an `oci` store that is written to elsewhere than it is read: the chart's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push: Option<Push>,
}

/// Where an `oci` store is written to, and as whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Push {
    /// `host[:port]`, in place of that of [`Store::uri`], by which artifacts are known and read.
    pub host: String,
    /// File with the bearer token for that host alone, which the kubelet renews: it is read anew whenever it is asked for.
    pub token_file: String,
}
