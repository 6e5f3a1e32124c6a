//! What a model takes to load and to run, as `publish` measured it: its size certificate.

use serde::{Deserialize, Serialize};

/// Most entries of a certificate.
pub const MAX_ROWS: usize = 8;

/// The highest memory of fresh processes that loaded a model and ran it, on the CPU and on one thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Size {
    /// Highest memory of a process that has loaded the model and not run it, in bytes.
    pub load_bytes: u64,
    /// The same with runs of so many rows, the fewest rows first; what did not fit into the memory of `publish` is left
    /// out.
    pub rows: Vec<RowsSize>,
}

/// What runs of one size take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RowsSize {
    /// Rows of a run; 1 for a run that has none.
    pub rows: u32,
    /// Highest memory of a process that loaded the model and made such runs one after another, in bytes.
    pub peak_bytes: u64,
    /// Such runs in a second of one core, a decimal string.
    pub runs_per_core_second: String,
}
