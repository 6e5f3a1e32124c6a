//! The resources that users write and read: `Model`, `ModelVersion`, `ModelDeployment` in group `modelwright.dev`.
//!
//! Doc comments of fields are what `kubectl explain` prints. No field has a CRD default (it would make diffs and move
//! hashes); the description states the default, and the operator resolves it.
#![warn(missing_docs)]

pub mod amount;
pub mod condition;
pub mod evaluation;
pub mod model;
pub mod model_deployment;
pub mod model_version;
pub mod name;
pub mod optimize;
mod rules;
pub mod run;
pub mod scheduling;
pub mod training;

pub use amount::Amount;
pub use condition::{Condition, ConditionStatus};
pub use evaluation::{EvaluationData, ImportEvaluation};
pub use model::{Model, ModelSource, ModelSpec, ModelStatus, SourceFormat};
pub use model_deployment::{ModelDeployment, ModelDeploymentSpec, ModelDeploymentStatus};
pub use model_version::{ModelVersion, ModelVersionSpec};
pub use scheduling::Scheduling;
pub use training::Training;

/// API group of all kinds.
pub const GROUP: &str = "modelwright.dev";
/// API version of all kinds.
pub const VERSION: &str = "v1alpha1";
/// Largest integer of a schema that states no smaller one, and with a minus the smallest: every float, and so every bound
/// and every client, holds it exactly.
pub const LARGEST_INTEGER: u64 = 9_007_199_254_740_991;
