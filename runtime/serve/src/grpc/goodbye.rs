//! A connection whose client may still speak of calls that it began too late. In goes what the client sends; out comes
//! the same without what would end the connection in an error.
//!
//! A server that leaves sends GOAWAY with a PING behind it, and with its answer knows the last call that it takes. A call
//! that crossed that answer is ignored, and the client sends it elsewhere. But `h2` (0.4.20) takes a WINDOW_UPDATE of such a
//! call for an error of the protocol and cuts the connection, with the calls that were being answered. gRPC's own clients
//! send one with each call, and no setting of `h2` or `hyper` takes them, so these frames are left out here.
//!
//! And what a client says while it reads the last of an answer must be read, too: to a connection that is closed the system
//! answers with a reset, which takes with it what the client has not received. So a connection is shut down for writing, and
//! read until the client closes it.

use std::{
    future::Future as _,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};

/// What a client sends before its first frame.
const PREFACE: usize = 24;
/// Length, kind, flags and stream of a frame.
const HEAD: usize = 9;
const HEADERS: u8 = 1;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const ACK: u8 = 1;
/// What `h2` puts into the PING behind its GOAWAY.
const FAREWELL: [u8; 8] = [0x0b, 0x7b, 0xa2, 0xf0, 0x8b, 0x9b, 0xfe, 0x54];

/// For how long a client may read what was sent before its connection is closed.
const LINGER: Duration = Duration::from_mins(1);

#[derive(Debug)]
pub struct Goodbye<S> {
    stream: S,
    frames: Frames,
    /// What is left of the time to read, once everything is written.
    lingers: Option<Pin<Box<Sleep>>>,
}

/// What is known of the frames that came.
#[derive(Debug)]
struct Frames {
    /// Bytes of the present frame that are still to come, and are passed on as they are.
    left: usize,
    last: u32,
    /// Whether the farewell was answered, so that later calls are ignored.
    parted: bool,
    /// The start of a frame of which not enough has come to tell what it is.
    held: Vec<u8>,
    /// What is to be passed on.
    out: Vec<u8>,
}

impl<S> Goodbye<S> {
    /// Around a connection on which nothing was read.
    pub fn new(stream: S) -> Self {
        let frames = Frames { left: PREFACE, last: 0, parted: false, held: Vec::new(), out: Vec::new() };
        Self { stream, frames, lingers: None }
    }
}

impl Frames {
    /// Takes bytes of the client, and puts those that are passed on into `out`.
    fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left > 0 {
                let (now, rest) = bytes.split_at(self.left.min(bytes.len()));
                self.out.extend_from_slice(now);
                self.left -= now.len();
                bytes = rest;
                continue;
            }
            let needed = self.needed();
            let (now, rest) = bytes.split_at((needed - self.held.len()).min(bytes.len()));
            self.held.extend_from_slice(now);
            bytes = rest;
            if self.held.len() == self.needed() {
                self.judge();
            }
        }
    }

    /// How much of a frame must be there to tell what it is: of a PING and a WINDOW_UPDATE all of it.
    fn needed(&self) -> usize {
        match (self.held.get(3), self.length()) {
            (Some(&PING), Some(length @ 8)) | (Some(&WINDOW_UPDATE), Some(length @ 4)) => HEAD + length,
            _ => HEAD,
        }
    }

    fn length(&self) -> Option<usize> {
        let &[a, b, c, ..] = self.held.get(..HEAD)? else { return None };
        Some(u32::from_be_bytes([0, a, b, c]) as usize)
    }

    /// Passes on the frame that is held, or leaves it out.
    fn judge(&mut self) {
        let &[_, _, _, kind, flags, a, b, c, d, ref data @ ..] = self.held.as_slice() else { return };
        let stream = u32::from_be_bytes([a, b, c, d]) & (u32::MAX >> 1);
        let ignored = self.parted && stream > self.last;
        match kind {
            HEADERS if !self.parted => self.last = self.last.max(stream),
            PING if flags & ACK == ACK && *data == FAREWELL => self.parted = true,
            _ => {}
        }
        self.left = self.length().unwrap_or(0) - data.len();
        if !(ignored && kind == WINDOW_UPDATE) {
            self.out.extend_from_slice(&self.held);
        }
        self.held.clear();
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Goodbye<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, frames, .. } = self.get_mut();
        loop {
            if !frames.out.is_empty() {
                let now = frames.out.len().min(buffer.remaining());
                buffer.put_slice(frames.out.get(..now).unwrap_or_default());
                frames.out.drain(..now);
                return Poll::Ready(Ok(()));
            }
            let before = buffer.filled().len();
            ready!(Pin::new(&mut *stream).poll_read(context, buffer))?;
            let came = buffer.filled().get(before..).unwrap_or_default();
            if came.is_empty() {
                return Poll::Ready(Ok(()));
            }
            // Within a large frame, nothing is to be looked at.
            if came.len() <= frames.left {
                frames.left -= came.len();
                return Poll::Ready(Ok(()));
            }
            frames.take(came);
            buffer.set_filled(before);
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Goodbye<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let lingers = if let Some(lingers) = &mut this.lingers {
            lingers
        } else {
            ready!(Pin::new(&mut this.stream).poll_shutdown(context))?;
            this.lingers.insert(Box::pin(tokio::time::sleep(LINGER)))
        };
        if lingers.as_mut().poll(context).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let mut room = [0; 4096];
        loop {
            let mut unread = ReadBuf::new(&mut room);
            // However the client ends it, it is over.
            if ready!(Pin::new(&mut this.stream).poll_read(context, &mut unread)).is_err()
                || unread.filled().is_empty()
            {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, data: &[u8]) -> Vec<u8> {
        let length = u32::try_from(data.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), data].concat()
    }

    fn passed<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
        let mut frames = Goodbye::new(()).frames;
        pieces.for_each(|piece| frames.take(piece));
        frames.out
    }

    proptest! {
        #[test]
        fn only_window_updates_of_calls_that_came_too_late_are_left_out(cuts in 1..40_usize) {
            let update = |stream| frame(WINDOW_UPDATE, 0, stream, &[0, 0, 0, 5]);
            let before = [
                vec![b'P'; PREFACE],
                frame(4, 0, 0, &[0; 12]),
                frame(HEADERS, 4, 5, b"head"),
                update(5),
                update(9),
                frame(0, 1, 5, &[7; 100]),
                frame(PING, 0, 0, &FAREWELL),
                frame(PING, ACK, 0, &FAREWELL),
                update(0),
                update(5),
                frame(HEADERS, 4, 7, b"head"),
            ]
            .concat();
            let after = [frame(0, 1, 7, b"data"), update(3)].concat();
            let all = [&before[..], &update(7), &after].concat();
            prop_assert_eq!(passed(all.chunks(cuts)), [before, after].concat());
        }

        #[test]
        fn any_bytes_are_passed_on_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let out = passed(bytes.chunks(7));
            prop_assert!(bytes.starts_with(&out[..out.len().min(PREFACE)]));
        }
    }

    #[tokio::test]
    async fn a_close_reads_what_a_client_still_sends_until_it_ends_the_connection() {
        let (mut client, server) = tokio::io::duplex(64);
        let mut server = Goodbye::new(server);
        let mut close = Box::pin(server.shutdown());
        assert!(futures::poll!(&mut close).is_pending(), "the client has not ended it");
        tokio::select! {
            biased;
            _ = &mut close => panic!("closed while the client sends, which takes from it what it has not read"),
            sent = client.write_all(&[7; 200]) => sent.unwrap(),
        }
        drop(client);
        close.await.unwrap();
    }
}
