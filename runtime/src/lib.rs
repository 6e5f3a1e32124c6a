//! The runtime: one binary that fetches, publishes, inspects and serves ONNX models, and knows nothing of Kubernetes.

pub mod fetch;
pub mod network;
pub mod onnx;
pub mod store;
