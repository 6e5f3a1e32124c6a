//! A body that ends badly where it comes too slowly, and whose other ends are known from those of whom it is sent to.

use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll, ready},
};

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};

use super::pace::{PATIENCE, Pace};

/// Why no more of a body came.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// Too slowly.
    #[error("too little of it came within {PATIENCE:?}")]
    Stalled,
    /// It is not as the protocol has it, or the connection ended before it did.
    #[error("it cannot be read: {0}")]
    Broken(#[source] hyper::Error),
}

impl Ended {
    /// It, if it is why something failed.
    pub fn that_caused<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        error.downcast_ref().or_else(|| error.source().and_then(Self::that_caused))
    }
}

/// A body, and how long is waited for more of it.
pub struct Watched {
    body: Incoming,
    pace: Pace,
}

impl Watched {
    /// Nothing has been waited for.
    pub fn new(body: Incoming) -> Self {
        Self { body, pace: Pace::new() }
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = Ended;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            let bytes = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
            self.pace.moved(bytes.map_or(0, Bytes::len));
            return Poll::Ready(frame.map(|frame| frame.map_err(Ended::Broken)));
        }
        ready!(self.pace.poll_late(context));
        Poll::Ready(Some(Err(Ended::Stalled)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
