//! The command line. In go arguments; out comes an exit code.

use std::{io::Write, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use modelwright_core::process::exit_code;

use crate::{
    inspect,
    job::{self, JobArguments},
    publish::{
        compare::CompareArguments, integers::ProbeArguments, prover::ProveArguments, size::MeasureArguments,
    },
};

/// Fetches, proves, publishes and inspects ONNX models.
#[derive(Debug, Parser)]
#[command(name = "modelwright-jobs", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Fetch a model's files and prove their digest; config in MODELWRIGHT_FETCH
    Fetch(JobArguments),
    /// Prove a model by inference, and leave what `publish` stores; config in MODELWRIGHT_PROVE
    Prove(JobArguments),
    /// Store a proven model as an artifact; config in MODELWRIGHT_PUBLISH
    Publish(JobArguments),
    /// Print what a model is: inputs, outputs, operator sets, size, digests
    Inspect {
        /// An .onnx file, or a folder with model.onnx
        path: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Load and run a model, for `prove`
    #[command(hide = true)]
    Try(ProveArguments),
    /// Try integers on a model under limits, for `prove`
    #[command(hide = true)]
    Probe(ProbeArguments),
    /// Measure what a model takes, for `prove`
    #[command(hide = true)]
    Measure(MeasureArguments),
    /// Compare a variant with its original, for `prove`
    #[command(hide = true)]
    Compare(CompareArguments),
}

/// Runs a command.
pub fn run(cli: Cli) -> ExitCode {
    match cli.command {
        Command::Fetch(arguments) => with_runtime(job::fetch(&arguments)),
        Command::Prove(arguments) => with_runtime(job::prove(&arguments)),
        Command::Publish(arguments) => with_runtime(job::publish(&arguments)),
        Command::Inspect { path, json } => run_inspect(&path, json),
        Command::Try(arguments) => exit_code(job::try_model(&arguments)),
        Command::Probe(arguments) => exit_code(job::probe(&arguments)),
        Command::Measure(arguments) => exit_code(job::measure(&arguments)),
        Command::Compare(arguments) => exit_code(job::compare(&arguments)),
    }
}

fn with_runtime(work: impl Future<Output = i32>) -> ExitCode {
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => exit_code(runtime.block_on(work)),
        Err(error) => {
            tracing::error!(%error, "no threads can be started");
            ExitCode::FAILURE
        }
    }
}

fn run_inspect(path: &std::path::Path, json: bool) -> ExitCode {
    let written = match inspect::inspect(path) {
        Ok(inspection) if json => serde_json::to_string_pretty(&inspection)
            .map_err(std::io::Error::other)
            .and_then(|text| writeln!(std::io::stdout(), "{text}")),
        Ok(inspection) => write!(std::io::stdout(), "{inspection}"),
        Err(error) => {
            // A person reads this, so it is no log line; nothing is left to do if it cannot be written.
            let _ = writeln!(std::io::stderr(), "modelwright-jobs: {error}");
            return ExitCode::FAILURE;
        }
    };
    if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
