//! A body that ends badly where nothing of it comes for long: whoever is gone without a word keeps no place.

use std::{
    error::Error,
    future::Future as _,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep};

/// How long nothing of a body may come.
const PATIENCE: Duration = Duration::from_mins(1);

/// Nothing of it came for long.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("nothing came for {PATIENCE:?}")]
pub struct Stalled;

impl Stalled {
    /// Whether it is why something failed.
    pub fn caused(error: &(dyn Error + 'static)) -> bool {
        error.is::<Self>() || error.source().is_some_and(Self::caused)
    }
}

/// A body, and how long is waited for more of it.
pub struct Watched {
    body: Incoming,
    end: Pin<Box<Sleep>>,
}

impl Watched {
    /// It has time from now on.
    pub fn new(body: Incoming) -> Self {
        Self { body, end: Box::pin(tokio::time::sleep(PATIENCE)) }
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.end.as_mut().reset(Instant::now() + PATIENCE);
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        self.end.as_mut().poll(context).map(|()| Some(Err(Stalled.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
