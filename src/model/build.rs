//! Build: the objects that a plan asks for. In go a valid Model, settings and what a run reported; out come a Job or a
//! ModelVersion. Pure.

mod containers;
mod convert;
mod further;
mod job;
mod parts;
mod pod;
mod prepare;
mod trainer;
mod version;
mod volumes;

pub use job::{build_job, build_recall};
pub use trainer::complete;
pub use version::build_version;
