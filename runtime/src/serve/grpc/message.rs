//! What a client sends of a call. In goes the connection's body; out comes the same, with a note when it broke off: the
//! client left, or sent the call to a server that had said that it takes no more, and sends it elsewhere. That is no
//! mistake in the message.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

/// The body of a call.
#[derive(Debug)]
pub struct Message {
    body: Incoming,
    broken: Broken,
}

/// Whether a body broke off.
#[derive(Clone, Debug, Default)]
pub struct Broken(Arc<AtomicBool>);

impl Broken {
    /// Whether it did, so far.
    pub fn is_so(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Message {
    /// Around a body; `broken` tells when it breaks off.
    pub fn new(body: Incoming, broken: Broken) -> Self {
        Self { body, broken }
    }
}

impl Body for Message {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(context));
        if let Some(Err(_)) = &frame {
            this.broken.0.store(true, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
