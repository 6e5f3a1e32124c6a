//! How slowly something may come or go: whoever sends or reads a byte now and then keeps no connection by that. Only waiting
//! counts, so that one side is not blamed for the other.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

/// How long is waited for as many bytes as this, or for the end.
pub const PATIENCE: Duration = Duration::from_mins(1);
const BYTES: usize = 64 * 1024;

/// What is left to wait.
pub struct Pace {
    left: Duration,
    bytes: usize,
    end: Option<Pin<Box<Sleep>>>,
}

impl Pace {
    /// Nothing has been waited for.
    pub fn new() -> Self {
        Self { left: PATIENCE, bytes: 0, end: None }
    }

    /// So much came or went.
    pub fn moved(&mut self, bytes: usize) {
        if let Some(end) = self.end.take() {
            self.left = end.deadline().saturating_duration_since(Instant::now());
        }
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes >= BYTES {
            (self.left, self.bytes) = (PATIENCE, 0);
        }
    }

    /// Something is waited for; ready where that has lasted for too long.
    pub fn poll_late(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let left = self.left;
        self.end.get_or_insert_with(|| Box::pin(tokio::time::sleep(left))).as_mut().poll(context)
    }
}

/// A connection that ends where what is written to it is not read.
pub struct Paced<S> {
    stream: S,
    pace: Pace,
}

impl<S> Paced<S> {
    /// Nothing has been written.
    pub fn new(stream: S) -> Self {
        Self { stream, pace: Pace::new() }
    }

    fn watched(
        &mut self,
        written: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = written {
            self.pace.moved(*written.as_ref().unwrap_or(&0));
            return Poll::Ready(written);
        }
        ready!(self.pace.poll_late(context));
        let why = format!("too little of the answer was read within {PATIENCE:?}");
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watched(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.watched(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    async fn waits(pace: &mut Pace, time: Duration) -> bool {
        tokio::time::timeout(time, poll_fn(|context| pace.poll_late(context))).await.is_err()
    }

    #[tokio::test(start_paused = true)]
    async fn only_waiting_counts_and_only_enough_bytes_end_it() {
        let mut pace = Pace::new();
        for _ in 0..5 {
            assert!(waits(&mut pace, PATIENCE / 10).await);
            pace.moved(1);
            // while the other side is waited for
            tokio::time::sleep(2 * PATIENCE).await;
        }
        pace.moved(BYTES);
        assert!(waits(&mut pace, PATIENCE * 9 / 10).await, "it has all of its time again");
        pace.moved(1);
        assert!(!waits(&mut pace, PATIENCE / 2).await, "a byte gives no more");
    }
}
