//! The runtime: one binary that fetches, publishes, inspects and serves ONNX models, and knows nothing of Kubernetes.
//!
//! | step | modules |
//! | --- | --- |
//! | bytes come in | [`fetch`] through [`network`], judged by [`onnx`] before ONNX Runtime sees them |
//! | a model is loaded and run | [`session`], the only one that names `ort`, with [`tensor`]s in and out |
//! | a model proves itself | [`digest`] of its bytes, [`golden`] samples of its answers |
//! | an artifact goes out | [`store`] |

pub mod digest;
pub mod fetch;
pub mod golden;
pub mod network;
pub mod onnx;
pub mod session;
pub mod store;
pub mod tensor;
