//! What every test stands on: the cluster, the operator under test, servers to import from, namespaces, waiting.

pub mod agreement;
pub mod argocd;
pub mod certificates;
pub mod claims;
pub mod datasets;
pub mod diagnostics;
pub mod examples;
pub mod fixtures;
pub mod images;
pub mod kubectl;
pub mod kueue;
pub mod load;
pub mod onnx;
pub mod operator;
pub mod predict;
pub mod registry;
pub mod release;
pub mod resources;
pub mod run;
pub mod space;
pub mod wait;
pub mod world;

pub use space::Space;
pub use world::World;
