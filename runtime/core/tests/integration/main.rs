//! What of the core needs ONNX Runtime.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

// Models in ONNX Runtime, and their golden samples.
mod session;
