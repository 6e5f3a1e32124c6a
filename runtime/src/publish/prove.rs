//! Has a model loaded and run by a child process, so that a model that crashes ONNX Runtime, eats all memory or never
//! ends becomes a message instead of the end of this container. In goes a folder; out comes what the child found. The
//! child's side is [`super::prover`].

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use modelwright_contract::{artifact::GoldenSamples, signature::Signature, training::Task};
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use super::error::{PublishError, Refusal};
use crate::evaluation::Evaluation;

/// Most bytes of the child's last words that are shown.
const MAX_WORDS: u64 = 400;

/// What the child is asked.
#[derive(Clone, Debug)]
pub struct Question {
    /// The program to start, with the subcommand `prove`: this very one.
    pub program: PathBuf,
    /// The model's folder.
    pub directory: PathBuf,
    /// Folder for what passes between both processes; a container's root is read-only.
    pub work: PathBuf,
    /// How many samples to record if the folder brings none.
    pub samples: u32,
    /// Seed of recorded samples.
    pub seed: u64,
    /// The test part to judge the model on, and the task that it was trained for.
    pub test: Option<(PathBuf, Task)>,
    /// For how long the child may run.
    pub limit: Duration,
}

/// How far the child got; it writes this before each step, so that a crash can be told by its step.
#[derive(Debug, Serialize, Deserialize)]
pub enum Progress {
    /// It loads the model.
    Loading,
    /// It runs the model.
    Running,
    /// It is done.
    Proven(Box<Proof>),
    /// It refuses the model.
    Refused {
        /// One word for conditions.
        reason: Refusal,
        /// Why.
        message: String,
    },
}

/// What the child found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Proof {
    /// Inputs and outputs.
    pub signature: Signature,
    /// Recorded samples, or those that the folder brought, now replayed.
    pub golden: GoldenSamples,
    /// What came of the test part.
    pub evaluation: Option<Evaluation>,
}

/// Starts the child and waits for it.
pub async fn prove(question: &Question) -> Result<Proof, PublishError> {
    let work = &question.work;
    let answer = tempfile::NamedTempFile::new_in(work).map_err(PublishError::io(work))?;
    let words = tempfile::tempfile_in(work).map_err(PublishError::io(work))?;
    let started = |source| PublishError::Prover { source };
    let mut command = Command::new(&question.program);
    command
        .arg("prove")
        .arg("--directory")
        .arg(&question.directory)
        .args(["--samples", &question.samples.to_string(), "--seed", &question.seed.to_string()])
        .args(["--cpu-seconds", &cpu_seconds(question.limit).to_string()])
        .arg("--answer")
        .arg(answer.path());
    if let Some((evaluation, task)) = &question.test {
        command.arg("--evaluation").arg(evaluation).args(["--task", &format!("{task:?}")]);
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(words.try_clone().map_err(started)?)
        .kill_on_drop(true)
        .spawn()
        .map_err(started)?;
    let Ok(status) = tokio::time::timeout(question.limit, child.wait()).await else {
        child.kill().await.map_err(started)?;
        let what = if question.test.is_some() { "the test part" } else { "its samples" };
        let limit = question.limit.as_secs();
        return Err(PublishError::refused(
            Refusal::LimitExceeded,
            format!("the model did not load and answer {what} within {limit} s"),
        ));
    };
    judge(status.map_err(started)?, answer.path(), words)
}

/// All cores of a large machine for the whole time; a child that spins is stopped by the clock before that.
fn cpu_seconds(limit: Duration) -> u64 {
    let cores = crate::cores::cores();
    limit.as_secs().saturating_mul(cores as u64).max(1)
}

/// Turns the child's end and its answer into a proof or a refusal.
fn judge(status: ExitStatus, answer: &Path, words: File) -> Result<Proof, PublishError> {
    let text = std::fs::read(answer).map_err(PublishError::io(answer))?;
    let progress = serde_json::from_slice(&text).ok();
    let (reason, step) = match progress {
        Some(Progress::Proven(proof)) if status.success() => return Ok(*proof),
        Some(Progress::Refused { reason, message }) => return Err(PublishError::refused(reason, message)),
        Some(Progress::Loading) => (Refusal::LoadFailed, "while it loaded"),
        Some(Progress::Running | Progress::Proven(_)) => (Refusal::RunFailed, "while it ran"),
        None => {
            let cause = format!("it ended with {status} before it began: {}", last_words(words));
            return Err(PublishError::Prover { source: io::Error::other(cause) });
        }
    };
    let how = match status.signal() {
        Some(9) => "was killed, most likely for want of memory; give the Job more".to_owned(),
        Some(24) => {
            return Err(PublishError::refused(
                Refusal::LimitExceeded,
                format!("the model used up its processor time {step}"),
            ));
        }
        Some(signal) => format!("crashed with signal {signal}"),
        None => format!("ended with {status}"),
    };
    Err(PublishError::refused(
        reason,
        format!("the model brought ONNX Runtime down {step}: it {how}: {}", last_words(words)),
    ))
}

/// The end of what the child wrote to its standard error.
fn last_words(mut words: File) -> String {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Write;

    use super::*;

    fn end(raw: i32, answer: &str, words: &str) -> PublishError {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(answer.as_bytes()).unwrap();
        let mut stderr = tempfile::tempfile().unwrap();
        stderr.write_all(words.as_bytes()).unwrap();
        judge(ExitStatus::from_raw(raw), file.path(), stderr).unwrap_err()
    }

    #[test]
    fn a_crash_is_told_by_its_step_and_signal_and_the_last_words() {
        let error = end(11, "\"Loading\"", "Segmentation\n fault");
        assert_eq!(error.reason(), "LoadFailed");
        for part in ["signal 11", "while it loaded", "Segmentation fault"] {
            assert!(error.to_string().contains(part), "{part} is missing in: {error}");
        }
        assert_eq!(end(6, "\"Running\"", "").reason(), "RunFailed");
        assert_eq!(end(24, "\"Running\"", "").reason(), "LimitExceeded");
        assert!(end(9, "\"Running\"", "").to_string().contains("memory"));
    }

    #[test]
    fn a_child_that_never_began_is_no_fault_of_the_model() {
        let error = end(1 << 8, "", "cannot open shared object file");
        assert!(error.is_transient());
        assert!(error.to_string().contains("shared object"), "{error}");
    }

    #[test]
    fn a_refusal_is_passed_on() {
        let answer = serde_json::to_string(&Progress::Refused {
            reason: Refusal::GoldenMismatch,
            message: "sample 3".to_owned(),
        });
        let error = end(0, &answer.unwrap(), "");
        assert_eq!((error.reason(), error.to_string().as_str()), ("GoldenMismatch", "sample 3"));
    }
}
