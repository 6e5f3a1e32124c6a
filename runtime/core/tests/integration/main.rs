//! What of the core needs ONNX Runtime.
#![allow(clippy::unwrap_used, clippy::panic)]

// Models in ONNX Runtime, and their golden samples.
mod session;
