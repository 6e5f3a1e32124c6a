//! The program `modelwright-jobs`: reads the command line, starts logging and runs one command.

use std::process::ExitCode;

use clap::Parser;
use modelwright_core::process;
use modelwright_jobs::cli::{self, Cli};

// A job's report is written at its end, whatever happens before: see the release profile in Cargo.toml.
#[cfg(not(panic = "unwind"))]
compile_error!("the jobs need panic = \"unwind\" in their profile");

fn main() -> ExitCode {
    let cli = Cli::parse();
    match process::begin(env!("CARGO_BIN_NAME")) {
        Ok(()) => cli::run(cli),
        Err(code) => code,
    }
}
