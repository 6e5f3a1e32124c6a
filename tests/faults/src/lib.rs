//! The operator as it is, against an API server in memory and actors for the rest of a cluster, on one clock that stands
//! still between timers: see README.md.
#![allow(missing_docs, clippy::indexing_slicing, clippy::missing_panics_doc)]

pub mod answers;
pub mod cluster;
pub mod faults;
pub mod json;
pub mod kinds;
pub mod monitors;
pub mod normal;
pub mod patch;
pub mod person;
pub mod scenarios;
pub mod selectors;
pub mod server;
pub mod store;
pub mod sweep;
pub mod world;
