//! What a running serving pod is told about traffic.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// The content of [`crate::names::TRAFFIC_KEY`]. Absent means: serve.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Traffic {
    /// Names of pods that leave service: they answer `Connection: close` and fail readiness, and serve on until no client
    /// is left. A name taken off the list serves again.
    pub drain: BTreeSet<String>,
}
