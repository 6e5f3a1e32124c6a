//! The commands that run in the containers of a Job or before a serving container: each reads its config from the
//! environment, does its work, and ends with a report and an exit code. In go the command line's few options; out comes
//! the exit code.

use std::path::{Path, PathBuf};

use modelwright_contract::{
    fetch::FetchKind,
    names::{
        EARLIER_ENV, EXIT_TRANSIENT, FETCH_ENV, FETCHED_DIRECTORY, METRICS_PORT, PROVE_ENV, PUBLISH_ENV,
        RUN_ENV, TERMINATION_LOG,
    },
    publish::PublishConfig,
};

use crate::{
    fetch::{self, FetchOptions},
    publish::{
        self, PublishOptions, compare::CompareArguments, integers::ProbeArguments, prover::ProveArguments,
        recall, size::MeasureArguments,
    },
    retry,
};
use modelwright_core::report::{self, Ending};

/// What `fetch`, `prove` and `publish` take from the command line; all else is in their config.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct JobArguments {
    /// File to write the report to; the kubelet's own if it is there, else standard output.
    #[arg(long, value_name = "FILE")]
    pub termination_log: Option<PathBuf>,
    /// Connect to loopback addresses too. For tests on one machine: in a pod they are the pod itself.
    #[arg(long, hide = true)]
    pub allow_loopback: bool,
    /// Port that tells what is tried again; in a pod, that of the contract.
    #[arg(long, hide = true)]
    pub retry_port: Option<u16>,
    /// Where `fetch` leaves its report for `publish`; in a pod, that of the contract.
    #[arg(long, hide = true)]
    pub fetched_directory: Option<PathBuf>,
}

impl JobArguments {
    fn fetched_directory(&self) -> PathBuf {
        self.fetched_directory.clone().unwrap_or_else(|| PathBuf::from(FETCHED_DIRECTORY))
    }

    /// Tells what is tried again. Where no kubelet waits for a report a person is looking, and no port is opened.
    fn tell_retries(&self) {
        let in_a_pod = Path::new(TERMINATION_LOG).is_file().then_some(METRICS_PORT);
        if let Some(port) = self.retry_port.or(in_a_pod) {
            retry::tell(port);
        }
    }
}

impl Ending for fetch::FetchError {
    fn reason(&self) -> &'static str {
        Self::reason(self)
    }

    fn is_transient(&self) -> bool {
        Self::is_transient(self)
    }
}

impl Ending for publish::PublishError {
    fn reason(&self) -> &'static str {
        Self::reason(self)
    }

    fn is_transient(&self) -> bool {
        Self::is_transient(self)
    }
}

pub async fn fetch(arguments: &JobArguments) -> i32 {
    arguments.tell_retries();
    let log = arguments.termination_log.as_deref();
    let config = match report::config(FETCH_ENV) {
        Ok(config) => config,
        Err(error) => return report::finish(Err::<(), _>(error), log),
    };
    if let Err(error) = find_earlier(arguments).await {
        return report::finish(Err::<(), _>(error), log);
    }
    let options = FetchOptions { allow_loopback: arguments.allow_loopback, ..FetchOptions::default() };
    let outcome = fetch::run(&config, &options).await;
    if let Ok(fetched) = &outcome
        && config.kind != FetchKind::Artifact
    {
        recall::leave_fetched(&arguments.fetched_directory(), fetched);
    }
    report::finish(outcome, log)
}

/// Of a training's `fetch`: looks for what an earlier attempt of the run left.
async fn find_earlier(arguments: &JobArguments) -> Result<(), publish::PublishError> {
    if std::env::var_os(EARLIER_ENV).is_none() {
        return Ok(());
    }
    let config = match report::config(EARLIER_ENV) {
        Ok(config) => config,
        Err(error) => {
            tracing::warn!(%error, "whether an earlier attempt of the run published is not looked for");
            return Ok(());
        }
    };
    let options = PublishOptions {
        allow_loopback: arguments.allow_loopback,
        run: run(),
        // it runs no model
        ..PublishOptions::new(PathBuf::new())
    };
    recall::find_earlier(config, &options).await
}

/// What the run is known by.
fn run() -> Option<String> {
    std::env::var(RUN_ENV).ok().filter(|run| !run.is_empty())
}

pub async fn prove(arguments: &JobArguments) -> i32 {
    let log = arguments.termination_log.as_deref();
    let config = match report::config(PROVE_ENV) {
        Ok(config) => config,
        Err(error) => return report::finish(Err::<(), _>(error), log),
    };
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(source) => return report::finish(Err::<(), _>(publish::PublishError::Prover { source }), log),
    };
    report::finish(publish::prove(&config, &program).await, log)
}

pub async fn publish(arguments: &JobArguments) -> i32 {
    arguments.tell_retries();
    let log = arguments.termination_log.as_deref();
    let config: PublishConfig = match report::config(PUBLISH_ENV) {
        Ok(config) => config,
        Err(error) => return report::finish(Err::<(), _>(error), log),
    };
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(source) => return report::finish(Err::<(), _>(publish::PublishError::Prover { source }), log),
    };
    let options = PublishOptions {
        allow_loopback: arguments.allow_loopback,
        fetched_directory: arguments.fetched_directory(),
        run: run(),
        ..PublishOptions::new(program)
    };
    if config.recall.is_some() {
        return report::finish(recall::recall(&config, &options).await, log);
    }
    report::finish(publish::run(&config, &options).await, log)
}

/// Runs `try`, the child of `prove`.
pub fn try_model(arguments: &ProveArguments) -> i32 {
    child(publish::prover::run(arguments))
}

/// Runs `probe`, another child of it.
pub fn probe(arguments: &ProbeArguments) -> i32 {
    child(publish::integers::run(arguments))
}

/// Runs `measure`, another child of it.
pub fn measure(arguments: &MeasureArguments) -> i32 {
    child(publish::size::run(arguments))
}

/// Runs `compare`, the last of them.
pub fn compare(arguments: &CompareArguments) -> i32 {
    child(publish::compare::run(arguments))
}

fn child(outcome: std::io::Result<()>) -> i32 {
    match outcome {
        Ok(()) => 0,
        Err(error) => {
            tracing::error!(%error, "the model was not tried");
            EXIT_TRANSIENT
        }
    }
}
