//! The driver of ModelDeployments.

pub mod record;
pub mod rollout;
