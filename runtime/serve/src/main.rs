//! The program `modelwright-serve`: reads the command line, starts logging and answers requests for predictions.

use std::process::ExitCode;

use clap::Parser;
use modelwright_core::process;
use modelwright_serve::ServeArguments;

// One client's request must not end those of the others: see the release profile in Cargo.toml.
#[cfg(not(panic = "unwind"))]
compile_error!("the server has many clients at once, and needs panic = \"unwind\" in its profile");

/// Serves a model over the Open Inference Protocol; its config is in MODELWRIGHT_SERVING, or in flags.
#[derive(Debug, Parser)]
// `--version` is the model's.
#[command(name = "modelwright-serve")]
struct Cli {
    #[command(flatten)]
    arguments: ServeArguments,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match process::begin(env!("CARGO_BIN_NAME")) {
        Ok(()) => process::exit_code(modelwright_serve::run(cli.arguments)),
        Err(code) => code,
    }
}
