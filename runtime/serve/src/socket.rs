//! A client's connection over HTTP, and how long it may have the server wait. In goes a stream; out comes the same, which
//! ends with an error when its client sends the head of a request too slowly, takes too little of its answer, or does
//! nothing for too long.
//!
//! The HTTP library times the first head of a connection only, and no answer. A clock of each thread looks at all of its
//! connections once a second, so that a request costs no timer.

use std::{
    cell::{Cell, RefCell},
    io,
    pin::Pin,
    rc::{Rc, Weak},
    task::{Context, Poll, Waker},
    time::Duration,
};

use actix_web::rt::net::TcpStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::pace::{LEAST, WINDOW};

/// How often connections are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How long the head of a request may take from its first byte.
const HEAD: Duration = Duration::from_secs(10);
/// How long a connection may be without a request, somewhat longer than the HTTP library lets it.
const IDLE: Duration = Duration::from_secs(85);
/// What a client is told whose head does not end.
const SLOW_HEAD: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\nx-reason: slow head\r\n\r\n";

/// How much is read of what nobody reads any more: the rest of a body that was refused. Beyond, the client is left to
/// notice its answer, which takes the server nothing; to read on would take as much of the processor as to serve.
const UNREAD: u64 = 256 * 1024;

thread_local! {
    /// The connections of this thread; none while nobody looks at them.
    static CONNECTIONS: RefCell<Option<Vec<Weak<Watched>>>> = const { RefCell::new(None) };
}

#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
    watched: Rc<Watched>,
}

/// What is known of a connection.
#[derive(Debug, Default)]
pub struct Watched {
    /// Whether a request is being answered.
    serving: Cell<bool>,
    /// Whether one began since the last look: most are answered between two of them.
    asked: Cell<bool>,
    /// Whether something of a head is there.
    has_head: Cell<bool>,
    /// Bytes that were read since the last answer was made. The head of another request is shorter than [`UNREAD`].
    unread: Cell<u64>,
    /// Whether an answer waits for the client.
    blocked: Cell<bool>,
    /// Bytes that the client has taken.
    taken: Cell<u64>,
    ended: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    seen: Cell<Seen>,
}

/// What the clock has seen so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    /// For how many looks there is a head without its end.
    head: u32,
    /// For how many looks nothing was asked.
    idle: u32,
    /// For how many looks an answer waits, and how much was taken before.
    blocked: (u32, u64),
}

impl Watched {
    pub fn begin(&self) {
        self.serving.set(true);
        self.asked.set(true);
        self.has_head.set(false);
        self.unread.set(0);
    }

    pub fn end(&self) {
        self.serving.set(false);
    }

    /// Looks at the connection; gives whether it is to be ended.
    fn look(&self) -> bool {
        let looks = |time: Duration| u32::try_from(time.as_secs() / LOOK.as_secs()).unwrap_or(u32::MAX);
        let mut seen = self.seen.get();
        let is_idle = !self.serving.get() && !self.blocked.get();
        let (head, idle) = if self.asked.replace(false) { (0, 0) } else { (seen.head, seen.idle) };
        seen.head = if is_idle && self.has_head.get() { head + 1 } else { 0 };
        seen.idle = if is_idle { idle + 1 } else { 0 };
        let taken = self.taken.get();
        let (count, before) = seen.blocked;
        let too_slow = count >= looks(WINDOW) && taken - before < LEAST;
        seen.blocked = if self.blocked.get() && count < looks(WINDOW) {
            (count + 1, before)
        } else {
            // Another window, or none.
            (0, taken)
        };
        self.seen.set(seen);
        too_slow || seen.head > looks(HEAD) || seen.idle > looks(IDLE)
    }

    fn give_up(&self) {
        self.ended.set(true);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Remembers whom to wake, since an end comes without the system's doing.
    fn remember(&self, context: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            *waker = Some(context.waker().clone());
        }
    }
}

impl Socket {
    /// Around a stream, on the thread that serves it.
    pub fn new(stream: TcpStream) -> Self {
        let watched = Rc::<Watched>::default();
        CONNECTIONS.with(|connections| {
            let mut connections = connections.borrow_mut();
            let is_first = connections.is_none();
            connections.get_or_insert_default().push(Rc::downgrade(&watched));
            if is_first {
                actix_web::rt::spawn(look_at_all());
            }
        });
        Self { stream, watched }
    }

    /// What is known of it.
    pub fn watched(&self) -> &Rc<Watched> {
        &self.watched
    }

    fn check(&self) -> io::Result<()> {
        if !self.watched.ended.get() {
            return Ok(());
        }
        if self.watched.has_head.replace(false) {
            // It may have no room for it.
            let _ = self.stream.try_write(SLOW_HEAD);
        }
        tracing::debug!(outcome = "given up", "a client over HTTP is too slow");
        Err(io::ErrorKind::TimedOut.into())
    }
}

/// Looks at the connections of this thread until there is none.
async fn look_at_all() {
    loop {
        tokio::time::sleep(LOOK).await;
        let is_last = CONNECTIONS.with(|connections| {
            let mut connections = connections.borrow_mut();
            let Some(all) = connections.as_mut() else { return true };
            all.retain(|one| {
                let Some(one) = one.upgrade() else { return false };
                if one.look() {
                    one.give_up();
                }
                true
            });
            let is_last = all.is_empty();
            if is_last {
                *connections = None;
            }
            is_last
        });
        if is_last {
            return;
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check()?;
        if this.watched.unread.get() > UNREAD {
            this.watched.remember(context);
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(context, buffer);
        match read {
            Poll::Pending => this.watched.remember(context),
            Poll::Ready(_) if !this.watched.serving.get() && buffer.filled().len() > before => {
                let came = (buffer.filled().len() - before) as u64;
                this.watched.has_head.set(true);
                this.watched.unread.set(this.watched.unread.get() + came);
            }
            Poll::Ready(_) => {}
        }
        read
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.check()?;
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        match &written {
            Poll::Pending => this.watched.remember(context),
            Poll::Ready(Ok(count)) => this.watched.taken.set(this.watched.taken.get() + *count as u64),
            Poll::Ready(Err(_)) => {}
        }
        this.watched.blocked.set(written.is_pending());
        written
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check()?;
        Pin::new(&mut this.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After how many looks it is ended, if what happens before each of them is so.
    fn ends(mut happens: impl FnMut(&Watched)) -> Option<u32> {
        let watched = Watched::default();
        (1..300).find(|_| {
            happens(&watched);
            watched.look()
        })
    }

    #[test]
    fn a_head_that_does_not_end_a_connection_that_does_nothing_and_an_answer_that_is_not_taken_are_given_up()
    {
        assert_eq!(ends(|one| one.has_head.set(true)), Some(11));
        assert_eq!(ends(|_| {}), Some(86));
        assert_eq!(ends(|one| one.blocked.set(true)), Some(11));
        assert_eq!(ends(Watched::begin), None, "a run may take its time, which has another end");
        let takes = |one: &Watched, bytes: u64| {
            one.begin();
            one.blocked.set(true);
            one.taken.set(one.taken.get() + bytes);
        };
        assert_eq!(ends(|one| takes(one, LEAST / 20)), Some(11), "half of the least rate");
        assert_eq!(ends(|one| takes(one, LEAST / 5)), None, "twice the least rate");
        let mut number = 0;
        let asks = |one: &Watched| {
            number += 1;
            one.has_head.set(true);
            if number % 9 == 0 {
                one.begin();
            } else {
                one.end();
            }
        };
        assert_eq!(ends(asks), None, "each head ends in time");
        let between_looks = |one: &Watched| {
            one.has_head.set(true);
            one.begin();
            one.end();
        };
        assert_eq!(ends(between_looks), None, "what is answered between two looks was asked, too");
        let beside = |one: &Watched| {
            between_looks(one);
            one.has_head.set(true);
        };
        assert_eq!(ends(beside), None, "each look sees the head of another request");
    }
}
