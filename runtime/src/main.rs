//! The program `modelwright-runtime`: reads the command line, starts logging and runs one command.

use std::{io::IsTerminal, process::ExitCode};

use clap::Parser;
use modelwright_runtime::cli::{self, Cli};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,actix_server=warn"));
    // Standard output belongs to what a command prints.
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        logs.with_target(false).init();
    } else {
        logs.json().flatten_event(true).init();
    }
    cli::run(cli)
}
