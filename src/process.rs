//! What every long-lived subcommand starts with: cryptography, one thread, the cluster's address; and what stops it.

use std::io;

use kube::Config;
use tokio::signal::unix::{SignalKind, signal};

/// Why a process could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It has no runtime, signals or server.
    #[error("cannot start")]
    Start(#[from] io::Error),
    /// No cluster is configured.
    #[error("cannot find a cluster: neither a kubeconfig nor a service account of a pod is there")]
    Config(#[from] kube::config::InferConfigError),
    /// The client could not be made.
    #[error("cannot make a client of the cluster")]
    Client(#[from] kube::Error),
}

/// Runs to the end, on one thread: it waits nearly all the time, and handing tasks from thread to thread took the operator a
/// quarter of its processor time.
pub fn run<E: From<StartError>>(operate: impl Future<Output = Result<(), E>>) -> Result<(), E> {
    // fails only where the process has chosen one before
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(StartError::from)?.block_on(operate)
}

/// Ends at SIGTERM or SIGINT, which from now on no longer end the process by themselves.
pub fn stop() -> Result<impl Future<Output = ()>, StartError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// How to reach the cluster.
pub async fn cluster() -> Result<Config, StartError> {
    Ok(Config::infer().await?)
}
