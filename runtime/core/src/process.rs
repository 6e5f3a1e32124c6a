//! How an executable of the runtime begins. In goes its name; it goes on with the settings that must be there before its
//! first line, and with logging.

use std::{
    env,
    io::IsTerminal,
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode},
};

use tracing_subscriber::EnvFilter;

use crate::cores::cores;

/// How the C library's memory allocator is told what to do.
const TUNABLES: &str = "GLIBC_TUNABLES";
/// ONNX Runtime's builds report their use to their makers, from threads of their own and from before the first call that
/// could forbid it, unless this is set when they are loaded: <https://github.com/microsoft/onnxruntime/pull/27379>.
const SILENCE: (&str, &str) = ("ORT_DISABLE_TELEMETRY", "1");

/// Begins; or gives the code to end with. An executable that was started without its settings starts itself anew.
pub fn begin(name: &str) -> Result<(), ExitCode> {
    let is_silent = env::var_os(SILENCE.0).is_some_and(|value| value == SILENCE.1);
    if !is_silent || env::var_os(TUNABLES).is_none() {
        let error = start_anew();
        // Without its tunables the allocator works too.
        if !is_silent {
            eprintln!("{name}: cannot start itself with {}={}: {error}; set it", SILENCE.0, SILENCE.1);
            return Err(ExitCode::FAILURE);
        }
    }
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,actix_server=warn"));
    // Standard output belongs to what a command prints.
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        logs.with_target(false).init();
    } else {
        logs.json().flatten_event(true).init();
    }
    Ok(())
}

/// What the memory allocator keeps of what was freed, and does not fetch from the system again for the next request: blocks
/// of up to 8 MiB, and 32 MiB in all for each of its arenas, of which there are as many as cores, since each keeps its own.
/// See "Memory Allocation Tunables" in the C library's manual.
fn tunables() -> String {
    let arenas = cores().max(2);
    format!(
        "glibc.malloc.mmap_threshold=8388608:glibc.malloc.trim_threshold=33554432:glibc.malloc.arena_max={arenas}"
    )
}

/// Puts this program in its own place, with [`SILENCE`] in its environment, and with [`tunables`] unless something else is
/// asked of the allocator: both are read before the first line of a program. Comes back only where it cannot.
fn start_anew() -> std::io::Error {
    let mut arguments = env::args_os();
    let name = arguments.next().unwrap_or_default();
    let tunables = env::var_os(TUNABLES).unwrap_or_else(|| tunables().into());
    match env::current_exe() {
        Ok(program) => Command::new(program)
            .arg0(name)
            .args(arguments)
            .env(SILENCE.0, SILENCE.1)
            .env(TUNABLES, tunables)
            .exec(),
        Err(error) => error,
    }
}

/// The code for the system.
pub fn exit_code(code: i32) -> ExitCode {
    u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from)
}
