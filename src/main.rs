//! The operator's executable: arguments → telemetry → the subcommand.

use std::process::ExitCode;

use clap::Parser as _;
use modelwright::{
    cli::{Cli, Command},
    crds, push_proxy, run, telemetry,
};

// One object must not end the work on the others: see the release profile in Cargo.toml.
#[cfg(not(panic = "unwind"))]
compile_error!("the operator works on many objects at once, and needs panic = \"unwind\" in its profile");

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        Command::Crds(arguments) => crds::write_all(&arguments.directory).map_err(|error| error.to_string()),
        Command::Run(arguments) => {
            telemetry::start(arguments.log_format);
            run::run(*arguments).map_err(|error| {
                tracing::error!(error = %run::describe(&error), "stopped");
                run::describe(&error)
            })
        }
        Command::PushProxy(arguments) => {
            telemetry::start(arguments.log_format);
            push_proxy::run(arguments).map_err(|error| push_proxy::describe(&error))
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("modelwright: {message}");
            ExitCode::FAILURE
        }
    }
}
