//! Logs: structured, one line an outcome, to standard error; `RUST_LOG` filters them.

use tracing::Metadata;
use tracing_subscriber::{
    EnvFilter,
    filter::{FilterFn, filter_fn},
    fmt,
    prelude::*,
};

use crate::cli::LogFormat;

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

/// What may be logged, whatever `RUST_LOG` asks for.
pub fn no_answers() -> FilterFn<fn(&Metadata<'_>) -> bool> {
    filter_fn(|event| event.target() != ANSWERS)
}
