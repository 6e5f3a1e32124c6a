//! Starts this very program again to try a model: what brings ONNX Runtime down, eats all memory or never ends is then
//! the end of that process alone. In go arguments and a limit; out comes how it ended, and what it wrote.

use std::{
    ffi::OsString,
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::process::Command;

use super::error::PublishError;

/// Most bytes of its last words that are shown.
const MAX_WORDS: u64 = 400;

#[derive(Debug)]
pub struct End {
    /// None if its time was over and it was stopped.
    pub status: Option<ExitStatus>,
    /// The answer as far as it was written.
    pub answer: Vec<u8>,
    /// What it wrote to its standard error.
    pub words: File,
}

/// Runs `program` with the arguments and `--answer FILE` behind them.
pub async fn run(
    program: &Path,
    work: &Path,
    arguments: &[OsString],
    limit: Duration,
) -> Result<End, PublishError> {
    let answer = tempfile::NamedTempFile::new_in(work).map_err(PublishError::io(work))?;
    let words = tempfile::tempfile_in(work).map_err(PublishError::io(work))?;
    let started = |source| PublishError::Prover { source };
    let mut child = Command::new(program)
        .args(arguments)
        .arg("--answer")
        .arg(answer.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(words.try_clone().map_err(started)?)
        .kill_on_drop(true)
        .spawn()
        .map_err(started)?;
    let status = if let Ok(status) = tokio::time::timeout(limit, child.wait()).await {
        Some(status.map_err(started)?)
    } else {
        child.kill().await.map_err(started)?;
        None
    };
    let text = std::fs::read(answer.path()).map_err(PublishError::io(answer.path()))?;
    Ok(End { status, answer: text, words })
}

/// The end of what the child wrote to its standard error.
pub fn last_words(mut words: File) -> String {
    let mut bytes = Vec::new();
    let read = words.seek(SeekFrom::End(0)).and_then(|end| {
        words.seek(SeekFrom::Start(end.saturating_sub(MAX_WORDS)))?;
        words.read_to_end(&mut bytes)
    });
    match read {
        Ok(0) | Err(_) => "it left no word".to_owned(),
        Ok(_) => String::from_utf8_lossy(&bytes).split_whitespace().collect::<Vec<_>>().join(" "),
    }
}
