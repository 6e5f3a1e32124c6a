//! Connections of gRPC clients, from their first byte to their last. In goes a listener; out come calls to the frontend.
//!
//! A server that leaves service must lose no call. HTTP/2 has a message for it, GOAWAY: the client sends its next calls
//! elsewhere, and those on their way are still answered. A connection that comes after the server was told to leave
//! gets it behind its first call, or the client would come back at once and never be answered.

use std::{io, net::TcpListener, pin::pin, sync::Arc, time::Duration};

use hyper::{server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::TcpStream,
    sync::{
        Notify,
        mpsc::{UnboundedReceiver, UnboundedSender},
        watch,
    },
    task::JoinSet,
};

use super::{
    answer::Calls,
    frontend::{self, Services},
    goodbye::Goodbye,
};
use crate::{
    budget::{Budget, Permit},
    limits::GRPC_WINDOW,
    state::{Connection, Parting, State, tell_progress},
};

/// Bytes that a client may send of one call before the server has read them: fewer than of all calls of its connection, so
/// that one that is not read does not keep the others.
const STREAM_WINDOW: u32 = GRPC_WINDOW / 2;
/// Largest piece; the smallest that is allowed would cut a tensor into many.
const FRAME: u32 = 256 * 1024;
/// Calls at the same time on one connection; the client holds back more.
const STREAMS: u32 = 128;
/// Bytes of a call's headers.
const HEADERS: u32 = 16 * 1024;
/// Silence after which a client is asked whether it is there, and how long it may take to say so.
const ALIVE: Duration = Duration::from_secs(20);
/// How long a connection that came during a drain is left without a call before it gets its GOAWAY.
const UNASKED: Duration = Duration::from_secs(1);
/// A pause when the process has no room for another connection.
const FULL: Duration = Duration::from_millis(100);

/// Whether connections are to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Never,
    /// When their present answers are written.
    Soon,
    Now,
}

/// A connection, and its permit.
type Accepted = (std::net::TcpStream, Permit);

/// Accepts until the end, and hands connections to the threads in turn; those for which there is no permit are closed.
pub async fn accept(
    listener: TcpListener,
    permits: Arc<Budget>,
    ways: Vec<UnboundedSender<Accepted>>,
    mut ending: watch::Receiver<End>,
) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "gRPC connections are not accepted"),
    };
    for way in ways.iter().cycle() {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = ending.wait_for(|end| *end != End::Never) => return,
        };
        match accepted.and_then(|(stream, _)| stream.into_std()) {
            // A thread that is gone has ended with the process.
            Ok(stream) => {
                if let Ok(permit) = permits.take(1) {
                    drop(way.send((stream, permit)));
                } else {
                    tracing::debug!(most = permits.total(), "a gRPC connection too many was closed");
                }
            }
            Err(error) => {
                tracing::debug!(%error, "a gRPC connection was not accepted");
                tokio::time::sleep(FULL).await;
            }
        }
    }
}

/// Serves the connections of one thread.
pub async fn serve(
    state: Arc<State>,
    mut streams: UnboundedReceiver<Accepted>,
    mut ending: watch::Receiver<End>,
) {
    let services = Services::new(&state);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            stream = streams.recv() => match stream.map(|(stream, permit)| (prepare(stream), permit)) {
                Some((Ok(stream), permit)) => {
                    let talk = converse(Arc::clone(&state), services.clone(), stream, ending.clone());
                    connections.spawn(async move {
                        let _permit = permit;
                        talk.await;
                    });
                }
                Some((Err(error), _)) => tracing::debug!(%error, "a gRPC connection was not served"),
                None => break,
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
    let all = async { while connections.join_next().await.is_some() {} };
    tokio::select! {
        () = all => {}
        _ = ending.wait_for(|end| *end == End::Now) => {}
    }
}

fn prepare(stream: std::net::TcpStream) -> io::Result<TcpStream> {
    stream.set_nonblocking(true)?;
    let stream = TcpStream::from_std(stream)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn converse(
    state: Arc<State>,
    services: Services,
    stream: TcpStream,
    mut ending: watch::Receiver<End>,
) {
    let _open = Connection::open(Arc::clone(&state));
    tell_progress(&stream);
    let asked = Arc::new(Notify::new());
    let (for_calls, asked_by_call) = (Arc::clone(&state), Arc::clone(&asked));
    let calls = service_fn(move |request| {
        asked_by_call.notify_one();
        let (state, services) = (Arc::clone(&for_calls), services.clone());
        async move { Ok::<_, std::convert::Infallible>(frontend::answer(state, services, request).await) }
    });
    let connection = http2::Builder::new(Calls)
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(GRPC_WINDOW)
        .max_frame_size(FRAME)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEADERS)
        .keep_alive_interval(ALIVE)
        .keep_alive_timeout(ALIVE)
        .serve_connection(TokioIo::new(Goodbye::new(stream)), calls);
    let mut connection = pin!(connection);
    let mut leaving = state.leaving();
    let told_to_leave = async {
        // The sender lives as long as the state.
        let _ = leaving.wait_for(|leaving| *leaving).await;
        let _ = tokio::time::timeout(UNASKED, asked.notified()).await;
    };
    let outcome = tokio::select! {
        outcome = &mut connection => return log(outcome),
        () = told_to_leave => None,
        end = ending.wait_for(|end| *end != End::Never) => end.ok().map(|end| *end),
    };
    if outcome == Some(End::Now) {
        return;
    }
    // HTTP/2 holds an answer back until its client has room for it, which the kernel's queue does not show.
    let _parting = Parting::begin(Arc::clone(&state));
    connection.as_mut().graceful_shutdown();
    log(connection.await);
}

fn log(outcome: Result<(), hyper::Error>) {
    if let Err(error) = outcome {
        tracing::debug!(%error, "a gRPC connection ended");
    }
}
