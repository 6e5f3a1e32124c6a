//! The server: answers requests for predictions until it is told to stop. In go arguments and the environment; out comes an
//! exit code.
//!
//! One pipeline: [`admit`] → [`decode`] → run ([`worker`]) → [`encode`]. What no frontend needs to know of lies in
//! [`pipeline`]; [`infer`] puts it together behind [`http`], and [`grpc`] is the other frontend. It
//! listens from the start, so that liveness can be asked while [`start`] checks, loads and tries the model. It leaves
//! service when [`traffic`] or a signal says so, as [`drain`] decides.

pub mod about;
pub mod admin;
pub mod admit;
pub mod bounds;
pub mod budget;
pub mod classify;
pub mod compress;
pub mod curves;
pub mod decode;
pub mod drain;
pub mod encode;
pub mod error;
pub mod grpc;
pub mod http;
pub mod infer;
pub mod limits;
pub mod metadata;
pub mod metrics;
pub mod openapi;
mod pace;
pub mod page;
pub mod pipeline;
pub mod request;
mod sending;
pub mod settings;
pub mod shutdown;
mod socket;
mod spare;
pub mod start;
pub mod state;
pub mod tied;
pub mod traffic;
mod unsent;
pub mod worker;

use std::{
    collections::BTreeSet,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use modelwright_contract::report::Failure;
use tokio::sync::oneshot;

pub use self::settings::ServeArguments;
use self::{
    drain::{Stop, plan_stop},
    settings::{Environment, Settings, SettingsError},
    start::StartError,
    state::{Phase, Served, State},
};
use crate::shutdown::Signals;
use modelwright_core::report::{self, Ending};

/// How often a drain looks who is left.
const LOOK: Duration = Duration::from_millis(100);
/// How long the end waits for a run that was told to stop.
const HALT: Duration = Duration::from_secs(2);
/// Reason of an end that leaves no word.
const CRASHED: &str = "ModelCrashed";
const TRYING: &str =
    "while the model was loaded and tried with its golden samples, or, without any, with ones made up";
const SERVING: &str = "while the model answered requests";
/// Exit code after a second signal.
const EXIT_INTERRUPTED: i32 = 1;

/// An end that is none of the model's.
#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error("{address} cannot be listened on: {source}")]
    Listen { address: std::net::SocketAddr, source: io::Error },
    #[error("signals cannot be received: {0}")]
    Signals(io::Error),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("the thread that loads the model ended without a result; see the log")]
    Loader,
}

impl Ending for ServeError {
    fn reason(&self) -> &'static str {
        match self {
            Self::Settings(_) => "InvalidConfig",
            Self::Listen { .. } => "AddressUnavailable",
            Self::Signals(_) | Self::Loader => "Internal",
            Self::Start(error) => error.reason(),
        }
    }

    fn is_transient(&self) -> bool {
        match self {
            Self::Settings(_) => false,
            Self::Start(error) => error.is_transient(),
            Self::Listen { .. } | Self::Signals(_) | Self::Loader => true,
        }
    }
}

/// Serves until it is told to stop.
pub fn run(arguments: ServeArguments) -> i32 {
    let log = arguments.termination_log.clone();
    let outcome = settings::settings(arguments, Environment::of_process())
        .map_err(ServeError::from)
        .and_then(|settings| actix_web::rt::System::new().block_on(serve(settings)));
    match outcome {
        Ok(code) => code,
        Err(error) => report::finish(Err::<(), _>(error), log.as_deref()),
    }
}

async fn serve(settings: Settings) -> Result<i32, ServeError> {
    let mut signals = Signals::listen().map_err(ServeError::Signals)?;
    let state = Arc::new(State::new(settings));
    let listen = |address| move |source| ServeError::Listen { address, source };
    let (server, address) = http::listen(&state).map_err(listen(state.settings.http))?;
    let handle = server.handle();
    actix_web::rt::spawn(server);
    let metrics = match state.settings.metrics {
        Some(address) => {
            let (server, address) = admin::listen(&state, address).map_err(listen(address))?;
            actix_web::rt::spawn(server);
            Some(address)
        }
        None => None,
    };
    let grpc = match state.settings.grpc {
        Some(address) => Some(grpc::listen(&state, address).map_err(listen(address))?),
        None => None,
    };
    let ports = [Some(address.port()), grpc.as_ref().map(|grpc| grpc.address.port())];
    state.set_ports(ports.into_iter().flatten().collect::<BTreeSet<_>>());
    let settings = &state.settings;
    tracing::info!(
        outcome = "listening",
        http = %address,
        grpc = grpc.as_ref().map(|grpc| grpc.address.to_string()),
        metrics = metrics.map(|address| address.to_string()),
        model = settings.model,
        version = settings.version,
        revision = settings.revision,
    );
    actix_web::rt::spawn(traffic::follow(Arc::clone(&state)));
    forewarn(&state, Some(TRYING));
    let mut starting = start_aside(&state)?;
    tokio::select! {
        signal = signals.next() => {
            // As for a run: ONNX Runtime should not be taken down while it loads. A long load is not waited for.
            let _ = tokio::time::timeout(HALT, starting).await;
            forewarn(&state, None);
            tracing::info!(outcome = "stopped", signal, "before the model was ready");
            return Ok(0);
        }
        started = &mut starting => settle(&state, started.map_err(|_| ServeError::Loader)?)?,
    }
    let signal = signals.next().await;
    // From here on it may be ended by force, which is no fault of the model.
    if state.served().is_ok() {
        forewarn(&state, None);
    }
    let (code, drained) = tokio::select! {
        _ = signals.next() => (EXIT_INTERRUPTED, false),
        drained = leave(&state, signal) => (0, drained),
    };
    // With grace, an answer that is still being written gets its time.
    let stop_grpc = async {
        if let Some(grpc) = grpc {
            grpc.stop(drained).await;
        }
    };
    futures::join!(handle.stop(drained), stop_grpc);
    if let Ok(served) = state.served()
        && !served.worker.halt(HALT)
    {
        tracing::warn!(outcome = "the model still runs", waited = ?HALT);
    }
    tracing::info!(
        outcome = "stopped",
        requests = state.metrics.requests(),
        answered = state.metrics.answers()
    );
    Ok(code)
}

/// Leaves word for the case that the process ends here without one.
fn forewarn(state: &State, when: Option<&str>) {
    let failure = when.map(|when| Failure {
        reason: CRASHED.to_owned(),
        message: format!(
            "the process was ended by a signal {when}: most likely ONNX Runtime was brought down by the values that it was \
             given (exit code 136 is a division by zero, 139 an address that is none, 134 its own abort); \
             `kubectl logs --previous` has its last words"
        ),
    });
    report::forewarn(failure, state.settings.termination_log.as_deref());
}

/// Loads the model on a thread of its own: it may take minutes, and must not keep the process from ending.
fn start_aside(state: &Arc<State>) -> Result<oneshot::Receiver<Result<Served, StartError>>, ServeError> {
    let (sender, receiver) = oneshot::channel();
    let state = Arc::clone(state);
    let load = move || {
        let started = start::check_files(&state.settings).and_then(|checked| {
            state.set_digest(checked.digest.clone());
            start::start(&state.settings, &checked)
        });
        // Nobody waits any more if the process is ending.
        let _ = sender.send(started);
    };
    std::thread::Builder::new().name("loader".to_owned()).spawn(load).map_err(StartError::Thread)?;
    Ok(receiver)
}

/// Takes traffic; or stays up without it if the model does not answer here as it was recorded, so that the reason can be
/// asked for; or ends.
fn settle(state: &State, started: Result<Served, StartError>) -> Result<(), ServeError> {
    match started {
        Ok(served) => {
            let loaded = served.loaded.clone();
            forewarn(state, Some(SERVING));
            state.set_phase(Phase::Serving(Arc::new(served)));
            tracing::info!(
                outcome = "ready",
                digest = state.digest(),
                execution_provider = loaded.execution_provider,
                graph_nodes = ?loaded.graph_nodes,
                onnxruntime_version = loaded.onnxruntime_version,
                golden_samples = loaded.golden_samples,
            );
            Ok(())
        }
        Err(error) => {
            let StartError::Replay(differs) = &error else { return Err(error.into()) };
            state.set_phase(Phase::Refused { message: error.to_string(), loaded: differs.loaded.clone() });
            // The report is for the kubelet; the exit code is not used, since the process stays.
            report::finish(Err::<(), _>(error), state.settings.termination_log.as_deref());
            Ok(())
        }
    }
}

/// Serves on until no client is left, or until time is over; gives whether no client is left.
async fn leave(state: &State, signal: &'static str) -> bool {
    let begun = Instant::now();
    let drained_before = state.is_draining() && state.snapshot().is_drained();
    state.drain_by_signal();
    tracing::info!(outcome = "draining", by = signal);
    let timeout = Duration::from_millis(state.settings.limits.drain_timeout_milliseconds);
    let mut interval = tokio::time::interval(LOOK);
    loop {
        interval.tick().await;
        let snapshot = state.snapshot();
        match plan_stop(snapshot, begun.elapsed(), drained_before, timeout) {
            Stop::Wait => {}
            Stop::Drained => {
                tracing::info!(outcome = "drained", connections = snapshot.connections);
                return true;
            }
            Stop::TimedOut => {
                tracing::warn!(
                    outcome = "drain timed out",
                    in_flight = snapshot.in_flight,
                    sending = snapshot.sending,
                    connections = snapshot.connections
                );
                return false;
            }
        }
    }
}
