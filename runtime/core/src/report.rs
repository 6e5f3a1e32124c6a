//! How a container says what came of it: a [`Report`] in the termination message, which the kubelet reads, and an exit
//! code that says whether another try may help. Without a kubelet the report goes to standard output.

use std::{error::Error, fs, io, path::Path};

use modelwright_contract::{
    names::{EXIT_BAD_INPUT, EXIT_TRANSIENT, TERMINATION_LOG},
    report::{Failure, MAX_REPORT_BYTES, Report},
};
use serde::Serialize;

/// An error that ends a container.
pub trait Ending: Error {
    /// One word for conditions.
    fn reason(&self) -> &'static str;
    /// Whether another try may help.
    fn is_transient(&self) -> bool;
}

/// A container without the config that it was started for.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("the environment variable {name} is not set; it holds the config as JSON")]
    Missing { name: &'static str },
    #[error("the environment variable {name} is no config: {source}")]
    Invalid { name: &'static str, source: serde_json::Error },
}

impl Ending for ConfigError {
    fn reason(&self) -> &'static str {
        "InvalidConfig"
    }

    fn is_transient(&self) -> bool {
        false
    }
}

/// Reads a config from the environment.
pub fn config<T: serde::de::DeserializeOwned>(name: &'static str) -> Result<T, ConfigError> {
    let text = std::env::var(name).map_err(|_| ConfigError::Missing { name })?;
    serde_json::from_str(&text).map_err(|source| ConfigError::Invalid { name, source })
}

/// Writes the report of what came out and gives the exit code.
pub fn finish<T: Serialize, E: Ending>(outcome: Result<T, E>, termination_log: Option<&Path>) -> i32 {
    let (report, code) = match outcome {
        Ok(value) => (Report::Succeeded(value), 0),
        Err(error) => {
            tracing::error!(reason = error.reason(), transient = error.is_transient(), "{error}");
            let failure = Failure { reason: error.reason().to_owned(), message: error.to_string() };
            (Report::Failed(failure), if error.is_transient() { EXIT_TRANSIENT } else { EXIT_BAD_INPUT })
        }
    };
    let text = render(report);
    match write(&text, termination_log) {
        Ok(()) => code,
        Err(error) => {
            tracing::error!(%error, "the termination message cannot be written");
            // Whoever waits for the report must not take its absence for a success.
            if code == 0 { EXIT_TRANSIENT } else { code }
        }
    }
}

/// Leaves word for an end that leaves none: a signal that ONNX Runtime brings on. Only for the kubelet; a person sees the
/// signal. None takes the word back.
pub fn forewarn(failure: Option<Failure>, termination_log: Option<&Path>) {
    let default = Path::new(TERMINATION_LOG);
    let Some(path) = termination_log.or_else(|| default.is_file().then_some(default)) else { return };
    let text = failure.map(|failure| render(Report::<()>::Failed(failure))).unwrap_or_default();
    if let Err(error) = fs::write(path, text) {
        tracing::warn!(%error, "the termination message cannot be written");
    }
}

/// The report as JSON, its message cut so that it fits.
fn render<T: Serialize>(mut report: Report<T>) -> String {
    loop {
        // Reports hold no maps with keys other than strings, the only thing that JSON cannot write.
        let text = serde_json::to_string(&report).unwrap_or_default();
        match &mut report {
            Report::Failed(failure) if text.len() > MAX_REPORT_BYTES && !failure.message.is_empty() => {
                let excess = (text.len() - MAX_REPORT_BYTES).max(8) + '…'.len_utf8();
                let mut end = failure.message.len().saturating_sub(excess);
                while !failure.message.is_char_boundary(end) {
                    end -= 1;
                }
                failure.message.truncate(end);
                if !failure.message.is_empty() {
                    failure.message.push('…');
                }
            }
            _ => return text,
        }
    }
}

fn write(text: &str, termination_log: Option<&Path>) -> io::Result<()> {
    match termination_log {
        Some(path) => fs::write(path, text),
        // The kubelet mounts this file; where there is none, a person is looking.
        None if Path::new(TERMINATION_LOG).is_file() => fs::write(TERMINATION_LOG, text),
        None => {
            use io::Write;
            writeln!(io::stdout(), "{text}")
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{message}")]
    struct Sample {
        message: String,
        transient: bool,
    }

    impl Ending for Sample {
        fn reason(&self) -> &'static str {
            "Sample"
        }

        fn is_transient(&self) -> bool {
            self.transient
        }
    }

    fn finished(message: &str, transient: bool) -> (i32, Report<u32>, usize) {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let code = finish(Err::<u32, _>(Sample { message: message.to_owned(), transient }), Some(&log));
        let text = fs::read_to_string(log).unwrap();
        (code, Report::parse(&text).unwrap(), text.len())
    }

    #[test]
    fn the_exit_code_says_whether_another_try_may_help() {
        assert_eq!(finished("x", true).0, EXIT_TRANSIENT);
        assert_eq!(finished("x", false).0, EXIT_BAD_INPUT);
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(finish(Ok::<_, Sample>(7), Some(&folder.path().join("log"))), 0);
    }

    #[test]
    fn a_report_that_cannot_be_written_is_no_success() {
        assert_eq!(finish(Ok::<_, Sample>(7), Some(Path::new("/nowhere/at/all"))), EXIT_TRANSIENT);
    }

    proptest! {
        #[test]
        fn a_report_of_any_message_fits_and_can_be_read(message in "\\PC{0,3000}|[\"\\\\\u{1}]{0,3000}") {
            let (_, report, length) = finished(&message, false);
            prop_assert!(length <= MAX_REPORT_BYTES);
            let Report::Failed(failure) = report else { return Err(TestCaseError::fail("it failed")) };
            prop_assert!(message.starts_with(failure.message.trim_end_matches('…')));
        }
    }
}
