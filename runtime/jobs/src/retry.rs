//! What a job tries again, told while it does: retries run inside one container, so that nothing ends that the kubelet
//! could tell of. In go failures; out comes the present one, over HTTP at [`RETRY_PATH`], to whoever asks.

use std::{
    fmt::Display,
    net::{Ipv6Addr, SocketAddr},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use modelwright_contract::report::{MAX_RETRY_BYTES, RETRY_PATH, Retry};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};

use modelwright_core::listen::listen;

/// Longest that one question may take.
const LIMIT: Duration = Duration::from_secs(5);
const MAX_QUESTION: usize = 4096;
/// Questions that are answered at the same time.
const AT_ONCE: usize = 8;

/// What is tried again now. A process has one job, which waits for one thing; its tries may have tries within.
static PRESENT: Mutex<Present> = Mutex::new(Present(Vec::new()));
/// The next number of a [`Trying`].
static NEXT: AtomicU64 = AtomicU64::new(0);

/// The tries of one thing, which are told of from the first failure until this is dropped: it worked, or is given up.
#[derive(Debug)]
pub struct Trying {
    number: u64,
}

impl Trying {
    pub fn start() -> Self {
        Self { number: NEXT.fetch_add(1, Ordering::Relaxed) }
    }

    /// A try failed, and another one follows.
    pub fn failed(&self, error: &impl Display) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        lock().failed(self.number, now, shortened(error));
    }
}

impl Drop for Trying {
    fn drop(&mut self) {
        lock().over(self.number);
    }
}

/// Tries that failed and go on, the latest failure last.
struct Present(Vec<(u64, Retry)>);

impl Present {
    fn failed(&mut self, number: u64, now: u64, message: String) {
        let known = self.0.iter().position(|(own, _)| *own == number);
        let since = known.map_or(now, |place| self.0.remove(place).1.since_unix_seconds);
        self.0.push((number, Retry { since_unix_seconds: since, message }));
    }

    fn over(&mut self, number: u64) {
        self.0.retain(|(own, _)| *own != number);
    }

    /// What there is to tell: since the first failure of all, by the words of the latest.
    fn told(&self) -> Option<Retry> {
        let since = self.0.iter().map(|(_, retry)| retry.since_unix_seconds).min()?;
        let (_, latest) = self.0.last()?;
        Some(Retry { since_unix_seconds: since, message: latest.message.clone() })
    }
}

fn shortened(error: &impl Display) -> String {
    let mut message = error.to_string();
    if message.len() > MAX_RETRY_BYTES {
        let mut end = MAX_RETRY_BYTES - '…'.len_utf8();
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        message.truncate(end);
        message.push('…');
    }
    message
}

fn lock() -> MutexGuard<'static, Present> {
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
        ("200 OK", serde_json::to_string(&lock().told()).unwrap_or_default())
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::network::{NetworkError, RetryPolicy};

    fn told(present: &Present) -> Option<(u64, String)> {
        present.told().map(|retry| (retry.since_unix_seconds, retry.message))
    }

    #[test]
    fn what_is_tried_within_a_try_takes_its_own_words_along_and_no_others() {
        let mut present = Present(Vec::new());
        let words = |number: u64, text: &str| Some((number, text.to_owned()));
        present.failed(1, 10, "the blob is not there".to_owned());
        present.failed(2, 20, "no answer".to_owned());
        assert_eq!(told(&present), words(10, "no answer"));
        present.failed(2, 30, "503".to_owned());
        present.over(2);
        assert_eq!(told(&present), words(10, "the blob is not there"));
        // One within that never failed.
        present.over(3);
        present.failed(1, 40, "it is still not there".to_owned());
        assert_eq!(told(&present), words(10, "it is still not there"));
        present.over(1);
        assert_eq!(told(&present), None);
    }

    #[tokio::test]
    async fn tries_within_a_try_leave_what_it_tells() {
        let policy = RetryPolicy { first_delay: Duration::from_millis(1), ..RetryPolicy::default() };
        let has = |words: &str| lock().0.iter().any(|(_, retry)| retry.message.contains(words));
        let mut outer = policy.attempts();
        outer.pause(lost("the outer one")).await.unwrap();
        let mut inner = policy.attempts();
        inner.pause(lost("the inner one")).await.unwrap();
        assert!(has("the outer one") && has("the inner one"));
        inner.progressed();
        assert!(has("the outer one") && !has("the inner one"));
        drop(inner);
        assert!(has("the outer one"));
        drop(outer);
        assert!(!has("the outer one"));
    }

    fn lost(cause: &str) -> NetworkError {
        NetworkError::Interrupted { url: "http://store.example".to_owned(), cause: cause.to_owned() }
    }
}
