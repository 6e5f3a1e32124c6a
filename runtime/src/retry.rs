//! What a job tries again, told while it does: retries run inside one container, so that nothing ends that the kubelet
//! could tell of. In go failures; out comes the present one, over HTTP at [`RETRY_PATH`], to whoever asks.

use std::{
    fmt::Display,
    net::{Ipv6Addr, SocketAddr},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use modelwright_contract::report::{MAX_RETRY_BYTES, RETRY_PATH, Retry};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};

use crate::listen::listen;

/// Longest that one question may take.
const LIMIT: Duration = Duration::from_secs(5);
/// Longest question, in bytes.
const MAX_QUESTION: usize = 4096;
/// Questions that are answered at the same time.
const AT_ONCE: usize = 8;

/// A process has one job, and a job waits for one thing.
static PRESENT: Mutex<Option<Retry>> = Mutex::new(None);

/// A try failed, and another one follows.
pub fn failed(error: &impl Display) {
    let mut message = error.to_string();
    if message.len() > MAX_RETRY_BYTES {
        let mut end = MAX_RETRY_BYTES - '…'.len_utf8();
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        message.truncate(end);
        message.push('…');
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let mut present = lock();
    let since = present.as_ref().map_or(now, |present| present.since_unix_seconds);
    *present = Some(Retry { since_unix_seconds: since, message });
}

/// A try succeeded, or none follows.
pub fn over() {
    *lock() = None;
}

fn lock() -> MutexGuard<'static, Option<Retry>> {
    PRESENT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Answers on a port from now on. It never stops a job: without its port it is silent.
pub fn tell(port: u16) {
    let address = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    let listener = listen(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    });
    match listener {
        Ok(listener) => drop(tokio::spawn(serve(listener))),
        Err(error) => tracing::warn!(port, %error, "what is tried again is not told"),
    }
}

async fn serve(listener: TcpListener) {
    static ROOM: Semaphore = Semaphore::const_new(AT_ONCE);
    loop {
        let Ok(room) = ROOM.acquire().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(async move {
                // whoever asks too slowly, or leaves, has no answer
                let _ = timeout(LIMIT, answer(stream)).await;
                drop(room);
            })),
            // of the process's files, say: they may come free
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut question = Vec::new();
    while !question.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut part = [0; 512];
        let length = stream.read(&mut part).await?;
        question.extend(part.iter().take(length));
        if length == 0 || question.len() > MAX_QUESTION {
            return Ok(());
        }
    }
    let wanted = format!("GET {RETRY_PATH} ");
    let (status, body) = if question.starts_with(wanted.as_bytes()) {
        // a text and a number are JSON
        ("200 OK", serde_json::to_string(&*lock()).unwrap_or_default())
    } else {
        ("404 Not Found", format!("\"there is only GET {RETRY_PATH}\""))
    };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}
