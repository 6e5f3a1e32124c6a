//! The Open Inference Protocol over gRPC. In goes the shared state; out comes a running server.
//!
//! [`connection`] accepts and says goodbye, [`frontend`] does what every call needs (headers, permits, deadlines, counts), and
//! [`service`] answers. What it does with a prediction is the same as for HTTP: see [`super::pipeline`].

mod answer;
mod connection;
pub mod contents;
mod frontend;
mod goodbye;
mod message;
pub mod proto;
mod service;
mod status;
mod stream;
mod weight;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::sync::{mpsc, oneshot, watch};

use self::connection::End;
use super::{budget::Budget, state::State};

/// How long the end waits for answers that are being written.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub struct Server {
    /// The address that it got.
    pub address: SocketAddr,
    end: watch::Sender<End>,
    threads: Vec<oneshot::Receiver<()>>,
}

/// Starts the server on an address; port 0 takes any. Each connection stays on one thread.
pub fn listen(state: &Arc<State>, address: SocketAddr) -> io::Result<Server> {
    let listener = modelwright_core::listen::listen(address)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let (end, ending) = watch::channel(End::Never);
    let (mut ways, mut threads) = (Vec::new(), Vec::new());
    for number in 0..modelwright_core::cores::cores().clamp(2, 8) {
        let (way, streams) = mpsc::unbounded_channel();
        let (done, ended) = oneshot::channel();
        // Large messages are decoded on a thread beside it, one at a time.
        let runtime =
            tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).enable_all().build()?;
        let (state, ending) = (Arc::clone(state), ending.clone());
        std::thread::Builder::new().name(format!("grpc-{number}")).spawn(move || {
            runtime.block_on(connection::serve(state, streams, ending));
            // Whoever waited for the end may be gone.
            let _ = done.send(());
        })?;
        ways.push(way);
        threads.push(ended);
    }
    let connections = Budget::new(state.settings.memory.grpc_connections, 0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new()
        .name("grpc-accept".to_owned())
        .spawn(move || runtime.block_on(connection::accept(listener, connections, ways, ending)))?;
    Ok(Server { address, end, threads })
}

impl Server {
    /// Accepts nothing more and ends every connection: with grace, after the answers that are being written.
    pub async fn stop(self, grace: bool) {
        self.end.send_replace(if grace { End::Soon } else { End::Now });
        let all = futures::future::join_all(self.threads);
        if tokio::time::timeout(PATIENCE, all).await.is_err() {
            tracing::debug!("gRPC connections are cut");
        }
    }
}
