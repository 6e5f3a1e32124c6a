//! What a training left, for the classifier and the regression of `tests/models`, and how it is published.

use std::{fs, path::PathBuf};

use modelwright_contract::{
    publish::PublishConfig,
    report::PublishReport,
    training::{Gate, Judgement, Metric, Task},
};
use modelwright_jobs::publish::{self, PublishError, PublishOptions};
use tempfile::TempDir;

use super::{
    npz::{f32s, f64s, i64s, npz},
    publishing,
};
use crate::support::models::model;

/// Nothing listens there: a refused model never reaches the store.
pub const NOWHERE: &str = "127.0.0.1:1";

/// What a training left in its folder, and the config to publish it.
pub struct Run {
    pub folder: TempDir,
    pub config: PublishConfig,
    pub options: PublishOptions,
}

impl Run {
    pub fn new(host: &str, task: Task) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("out")).unwrap();
        let mut config = publishing::config(host, &folder.path().join("out"));
        config.judgement = Some(Judgement { task, gates: Vec::new() });
        let options = publishing::options();
        Self { folder, config, options }
    }

    pub fn of(host: &str, task: Task, name: &str, arrays: &[(&str, Vec<u8>)]) -> Self {
        let run = Self::new(host, task);
        run.write("model.onnx", fs::read(model(name)).unwrap());
        run.write("evaluation.npz", npz(arrays));
        run
    }

    pub fn gated(mut self, metric: Metric, min: Option<&str>, max: Option<&str>) -> Self {
        let gates = &mut self.config.judgement.as_mut().unwrap().gates;
        gates.push(Gate { metric, min: min.map(str::to_owned), max: max.map(str::to_owned) });
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("out").join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), content).unwrap();
    }

    pub async fn publish(&self) -> Result<PublishReport, PublishError> {
        let outcome = publish::run(&self.config, &self.options).await;
        assert!(fs::read_dir(self.folder.path()).unwrap().count() <= 1, "a work folder is left behind");
        outcome
    }

    pub async fn refused(&self) -> (&'static str, String) {
        let error = self.publish().await.expect_err("the model was expected to be refused");
        assert!(!error.is_transient(), "{error}");
        (error.reason(), error.to_string())
    }
}

/// Checks a refusal's reason and a part of its message.
#[track_caller]
pub fn says((reason, message): &(&'static str, String), expected: &str, part: &str) {
    assert_eq!(*reason, expected, "{message}");
    assert!(message.contains(part), "{part:?} is missing in: {message}");
    assert!(message.len() < 1200, "{message}");
}

/// Four rows, each nearest to its class but the last: x·w is largest in column 0, 1, 2, 0.
pub const ROWS: [f32; 8] = [1.0, 0.0, 0.0, 1.0, -1.0, -1.0, 1.0, 0.5];

pub fn inputs() -> (&'static str, Vec<u8>) {
    ("inputs/x", f32s(&[4, 2], &ROWS))
}

pub fn classes() -> (&'static str, Vec<u8>) {
    ("classes", i64s(&[3], &[10, 20, 30]))
}

pub fn digits() -> [(&'static str, Vec<u8>); 3] {
    [inputs(), ("labels", i64s(&[4], &[10, 20, 30, 20])), classes()]
}

pub fn numbers() -> [(&'static str, Vec<u8>); 2] {
    // x·(1, 2) + 0.5 is 1.5, 2.5, -2.5, 2.5.
    [inputs(), ("labels", f64s(&[4], &[1.5, 2.5, -2.5, 3.5]))]
}

/// A trainer's report that boasts.
pub const REPORT: &str = r#"{"chosen": "forest", "candidates": [], "metrics": {"Accuracy": 1.0},
    "rows": {"train": 8, "validation": 4, "test": 4}, "features": ["a", "b"], "versions": {}}"#;
