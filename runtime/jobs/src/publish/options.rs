//! What `publish` is told beside its config. In goes the program; out come the usual limits.

use std::{path::PathBuf, time::Duration};

use modelwright_contract::{names, prove::DEFAULT_DEADLINE_SECONDS};

use crate::{network::Timeouts, store::DEFAULT_CHUNK};

/// What the operator does not set.
#[derive(Clone, Debug)]
pub struct PublishOptions {
    /// Whether the store may be at a loopback address: for tests on one machine.
    pub allow_loopback: bool,
    /// Where the claim of a `pvc` store is mounted.
    pub claim_directory: PathBuf,
    /// Where `fetch` left what it said.
    pub fetched_directory: PathBuf,
    /// What the run is known by, under which its report is left in the store.
    pub run: Option<String>,
    /// How long to wait for an answer of the store.
    pub timeouts: Timeouts,
    /// Larger files are sent to a registry in parts of this size.
    pub chunk: u64,
    /// Without a proof: the program that has the commands of the children.
    pub program: PathBuf,
    /// Without a proof: for how long the model may load and run.
    pub prove_limit: Duration,
}

impl PublishOptions {
    /// The usual limits; `program` is this very program.
    pub fn new(program: PathBuf) -> Self {
        Self {
            allow_loopback: false,
            claim_directory: PathBuf::from(names::CLAIM_DIRECTORY),
            fetched_directory: PathBuf::from(names::FETCHED_DIRECTORY),
            run: None,
            timeouts: Timeouts::default(),
            chunk: DEFAULT_CHUNK,
            program,
            prove_limit: Duration::from_secs(DEFAULT_DEADLINE_SECONDS.into()),
        }
    }
}
