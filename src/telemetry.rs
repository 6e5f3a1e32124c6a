//! Logs: structured, one line an outcome, to standard error; `RUST_LOG` filters them.

use tracing::Metadata;
use tracing_subscriber::{
    EnvFilter,
    filter::{FilterFn, filter_fn},
    fmt,
    prelude::*,
};

use crate::{cli::LogFormat, k8s::events::truncated};

/// The client's module that logs an answer, whole, where it does not understand it: an answer holds what belongs to others.
const ANSWERS: &str = "kube_client::client";

/// Starts logging; a second call changes nothing.
pub fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("info,kube_client=warn,kube_runtime=warn"));
    let registry = tracing_subscriber::registry().with(filter);
    let started = match format {
        LogFormat::Json => {
            let lines = fmt::layer().json().flatten_event(true).with_writer(std::io::stderr);
            registry.with(lines.with_filter(no_answers())).try_init()
        }
        LogFormat::Text => {
            let lines = fmt::layer().with_writer(std::io::stderr);
            registry.with(lines.with_filter(no_answers())).try_init()
        }
    };
    if let Err(error) = started {
        tracing::debug!(%error, "logging was started before");
    }
}

/// Longest text of an error in the log, in bytes.
const LONGEST: usize = 500;
/// What the API server puts before the value that it refuses: a whole pod, say.
const VALUE: &str = "Invalid value: ";

/// An error's text without what the API server repeats of an object; its own user reads that in the conditions.
pub fn loggable(text: &str) -> String {
    let text =
        text.split_once(VALUE).map_or_else(|| text.to_owned(), |(start, _)| format!("{start}{VALUE}…"));
    truncated(&text, LONGEST)
}

/// What may be logged, whatever `RUST_LOG` asks for.
pub fn no_answers() -> FilterFn<fn(&Metadata<'_>) -> bool> {
    filter_fn(|event| event.target() != ANSWERS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_logged_without_the_object_that_was_refused() {
        let told = "Job a was refused: Job.batch \"a\" is invalid: spec.template: Invalid value: {\"env\":\"secret\"}: field is immutable";
        let logged = loggable(told);
        assert!(
            logged.ends_with("spec.template: Invalid value: …") && !logged.contains("secret"),
            "{logged}"
        );
        assert_eq!(loggable("the lease is lost"), "the lease is lost");
        assert!(loggable(&"long ".repeat(1000)).len() <= LONGEST);
    }
}
