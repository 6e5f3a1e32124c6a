//! The resources that users write and read: `Model`, `ModelVersion`, `ModelDeployment` in group `modelwright.dev`.
//!
//! Doc comments of fields are what `kubectl explain` prints. No field has a CRD default (it would make diffs and move
//! hashes); the description states the default, and the operator resolves it.

pub mod condition;
pub mod model;
pub mod model_deployment;
pub mod model_version;
pub mod name;
pub mod scheduling;
pub mod training;

pub use condition::{Condition, ConditionStatus};
pub use model::{Model, ModelSource, ModelSpec, ModelStatus};
pub use model_deployment::{ModelDeployment, ModelDeploymentSpec, ModelDeploymentStatus};
pub use model_version::{ModelVersion, ModelVersionSpec};
pub use scheduling::Scheduling;
pub use training::Training;

/// API group of all kinds.
pub const GROUP: &str = "modelwright.dev";
/// API version of all kinds.
pub const VERSION: &str = "v1alpha1";
