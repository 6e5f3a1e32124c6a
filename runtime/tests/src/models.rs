//! The models of `runtime/tests/models`.

use std::path::{Path, PathBuf};

use modelwright_core::session::{Session, SessionOptions};

pub fn model(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(format!("{name}.onnx"))
}

pub fn load(name: &str) -> Session {
    Session::load(&model(name), &SessionOptions::default()).unwrap_or_else(|error| panic!("{name}: {error}"))
}
