//! Has a model loaded and run by a child process, so that a model that crashes ONNX Runtime, eats all memory or never
//! ends becomes a message instead of the end of this container. In goes a folder; out comes what the child found. The
//! child's side is [`super::prover`].

use std::{
    ffi::OsString, fs::File, io, os::unix::process::ExitStatusExt, path::PathBuf, process::ExitStatus,
    time::Duration,
};

use modelwright_contract::{artifact::GoldenSamples, signature::Signature, training::Task};
use serde::{Deserialize, Serialize};

use super::{
    child::{self, last_words},
    error::{PublishError, Refusal},
};
use crate::evaluation::Evaluation;

/// What the child is asked.
#[derive(Clone, Debug)]
pub struct Question {
    /// The program to start, with the command `try`: this very one.
    pub program: PathBuf,
    pub directory: PathBuf,
    /// Folder for what passes between both processes; a container's root is read-only.
    pub work: PathBuf,
    /// How many samples to record if the folder brings none.
    pub samples: u32,
    pub seed: u64,
    /// The test part to judge the model on, and the task that it was trained for.
    pub test: Option<(PathBuf, Task)>,
    /// What samples are recorded of; absent for an import.
    pub rows: Option<Rows>,
    /// Whether samples that the folder brings go before these.
    pub brought: bool,
    /// Whether the model is a variant of the one whose answers the test part has.
    pub variant: bool,
    /// For how long the child may run.
    pub limit: Duration,
}

/// What golden samples of a training are recorded of.
#[derive(Clone, Debug)]
pub enum Rows {
    /// Rows of the test part.
    Test,
    /// The rows of a file, which are no secret.
    Shareable(PathBuf),
    /// Quantiles of the rows of a file.
    Quantiles(PathBuf),
    /// Nothing but the signature.
    None,
}

/// How far the child got; it writes this before each step, so that a crash can be told by its step.
#[derive(Debug, Serialize, Deserialize)]
pub enum ProverState {
    Loading,
    Running,
    Proven(Box<Proof>),
    Refused { reason: Refusal, message: String },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Proof {
    pub signature: Signature,
    /// Recorded samples, or those that the folder brought, now replayed.
    pub golden: GoldenSamples,
    /// What came of the test part.
    pub evaluation: Option<Evaluation>,
}

/// Starts the child and waits for it.
pub async fn prove(question: &Question) -> Result<Proof, PublishError> {
    let mut arguments: Vec<OsString> = vec!["try".into(), "--directory".into()];
    arguments.push(question.directory.clone().into());
    arguments.extend(["--samples".into(), question.samples.to_string().into()]);
    arguments.extend(["--seed".into(), question.seed.to_string().into()]);
    if let Some((evaluation, task)) = &question.test {
        arguments.extend(["--evaluation".into(), evaluation.clone().into()]);
        arguments.extend(["--task".into(), format!("{task:?}").into()]);
    }
    for (flag, is_set) in [("--brought", question.brought), ("--variant", question.variant)] {
        if is_set {
            arguments.push(flag.into());
        }
    }
    match &question.rows {
        Some(Rows::Test) => arguments.push("--test-rows".into()),
        Some(Rows::Shareable(file)) => arguments.extend(["--shareable".into(), file.clone().into()]),
        Some(Rows::Quantiles(file)) => arguments.extend(["--quantiles".into(), file.clone().into()]),
        Some(Rows::None) | None => {}
    }
    let end = child::run(&question.program, &question.work, &arguments, question.limit).await?;
    let Some(status) = end.status else {
        let what = if question.test.is_some() { "the test part" } else { "its samples" };
        let limit = question.limit.as_secs();
        return Err(PublishError::refused(
            Refusal::LimitExceeded,
            format!("the model did not load and answer {what} within {limit} s"),
        ));
    };
    judge(status, &end.answer, end.words)
}

/// Turns the child's end and its answer into a proof or a refusal.
fn judge(status: ExitStatus, answer: &[u8], words: File) -> Result<Proof, PublishError> {
    let state = serde_json::from_slice(answer).ok();
    let (reason, step) = match state {
        Some(ProverState::Proven(proof)) if status.success() => return Ok(*proof),
        Some(ProverState::Refused { reason, message }) => return Err(PublishError::refused(reason, message)),
        Some(ProverState::Loading) => (Refusal::LoadFailed, "while it loaded"),
        Some(ProverState::Running | ProverState::Proven(_)) => (Refusal::RunFailed, "while it ran"),
        None => {
            let cause = format!("it ended with {status} before it began: {}", last_words(words));
            return Err(PublishError::Prover { source: io::Error::other(cause) });
        }
    };
    let how = match status.signal() {
        // The kubelet says the same where the kernel ends the whole container.
        Some(9) => {
            return Err(PublishError::refused(
                Refusal::OutOfMemory,
                format!(
                    "the model was killed {step}, most likely for want of memory: raise spec.run.prove.limits.memory"
                ),
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Write;

    use super::*;

    fn end(raw: i32, answer: &str, words: &str) -> PublishError {
        let mut stderr = tempfile::tempfile().unwrap();
        stderr.write_all(words.as_bytes()).unwrap();
        judge(ExitStatus::from_raw(raw), answer.as_bytes(), stderr).unwrap_err()
    }

    #[test]
    fn a_crash_is_told_by_its_step_and_signal_and_the_last_words() {
        let error = end(11, "\"Loading\"", "Segmentation\n fault");
        assert_eq!(error.reason(), "LoadFailed");
        for part in ["signal 11", "while it loaded", "Segmentation fault"] {
            assert!(error.to_string().contains(part), "{part} is missing in: {error}");
        }
        assert_eq!(end(6, "\"Running\"", "").reason(), "RunFailed");
        let killed = end(9, "\"Running\"", "");
        assert_eq!(killed.reason(), "OutOfMemory");
        assert!(killed.to_string().contains("spec.run.prove.limits.memory"), "{killed}");
    }

    #[test]
    fn a_child_that_never_began_is_no_fault_of_the_model() {
        let error = end(1 << 8, "", "cannot open shared object file");
        assert!(error.is_transient());
        assert!(error.to_string().contains("shared object"), "{error}");
    }

    #[test]
    fn a_refusal_is_passed_on() {
        let answer = serde_json::to_string(&ProverState::Refused {
            reason: Refusal::GoldenMismatch,
            message: "sample 3".to_owned(),
        });
        let error = end(0, &answer.unwrap(), "");
        assert_eq!((error.reason(), error.to_string().as_str()), ("GoldenMismatch", "sample 3"));
    }
}
