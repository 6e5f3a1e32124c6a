//! Answers of calls, on their way to the client. In go messages; out come bodies, whose memory is given back when the
//! connection has written it; and calls whose client does not take its answer are given up.
//!
//! `hyper` asks for a piece when the last one was handed to the connection. A client that takes nothing stops that, and its
//! call would wait for as long as the connection lives, with all that it holds.

use std::{
    cell::Cell,
    convert::Infallible,
    future::poll_fn,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::{Stream, task::AtomicWaker};
use hyper::{
    Response,
    body::{Body, Frame},
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use prost::Message;
use tonic::{Status, body::Body as AnyBody};

use super::message::HEAD;
use crate::{
    budget::{Permit, SMALL},
    error::ApiError,
    pace::{LEAST, WINDOW},
    sending::Sending,
    state::State,
};

const STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// A message as it is sent. `own` is the permit of its request, which it keeps as far as it needs it.
pub fn frame(state: &State, mut own: Permit, message: &impl Message) -> Result<Bytes, ApiError> {
    let length = message.encoded_len();
    let announced = u32::try_from(length).map_err(|_| {
        ApiError::Failed(format!("the answer has {length} bytes; a message has at most 4 GiB"))
    })?;
    let permit = if length > SMALL {
        state.budget.take(length + HEAD)?
    } else {
        own.shrink_to(length + HEAD);
        own
    };
    let mut frame = Vec::with_capacity(length + HEAD);
    frame.push(0);
    frame.extend_from_slice(&announced.to_be_bytes());
    message
        .encode(&mut frame)
        .map_err(|error| ApiError::Failed(format!("the answer cannot be written: {error}")))?;
    Ok(permit.hold(frame))
}

fn respond(body: impl Body<Data = Bytes, Error = Infallible> + Send + 'static) -> Response<AnyBody> {
    let mut response = Response::new(AnyBody::new(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// The answer of a call with one message.
pub fn one(frame: Bytes) -> Response<AnyBody> {
    let (frame, written) = if frame.len() > SMALL { Written::of(frame) } else { (frame, None) };
    respond(One { sending: Sending::new([frame].into()), written, ended: false })
}

/// The answers of a stream.
pub fn many(frames: impl Stream<Item = Result<Bytes, Status>> + Send + 'static) -> Response<AnyBody> {
    respond(Many { frames: Box::pin(frames), sending: Sending::new([].into()), ended: false })
}

/// How much of a call's answer was taken, and whether more waits for the client.
#[derive(Clone, Copy, Debug, Default)]
struct Delivery {
    taken: u64,
    waits: bool,
}

thread_local! {
    /// Of the call that this thread is at.
    static DELIVERY: Cell<Delivery> = const { Cell::new(Delivery { taken: 0, waits: false }) };
}

fn note(bytes: usize, waits: bool) {
    DELIVERY.with(|delivery| {
        let Delivery { taken, .. } = delivery.get();
        delivery.set(Delivery { taken: taken + bytes as u64, waits });
    });
}

struct One {
    sending: Sending,
    written: Option<Arc<Written>>,
    ended: bool,
}

impl Body for One {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        if let Some(piece) = this.sending.next() {
            note(piece.len(), true);
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        // The call lasts until all is written, so that it can be given up.
        if this.written.as_ref().is_some_and(|written| !written.is_so(context)) {
            note(0, true);
            return Poll::Pending;
        }
        note(0, false);
        let ended = std::mem::replace(&mut this.ended, true);
        Poll::Ready(
            (!ended).then(|| {
                Ok(Frame::trailers(HeaderMap::from_iter([(STATUS, HeaderValue::from_static("0"))])))
            }),
        )
    }
}

struct Many {
    frames: Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>,
    sending: Sending,
    ended: bool,
}

impl Body for Many {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        loop {
            if let Some(piece) = this.sending.next() {
                note(piece.len(), true);
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            note(0, false);
            if this.ended {
                return Poll::Ready(None);
            }
            let status = match this.frames.as_mut().poll_next(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(frame))) => {
                    this.sending = Sending::new([frame].into());
                    continue;
                }
                Poll::Ready(Some(Err(status))) => status,
                Poll::Ready(None) => Status::ok(""),
            };
            this.ended = true;
            let mut trailers = HeaderMap::new();
            if status.add_header(&mut trailers).is_err() {
                trailers.insert(STATUS, HeaderValue::from_static("13"));
            }
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
    }
}

/// Whether all of an answer was written to the connection.
#[derive(Debug, Default)]
struct Written {
    is_so: AtomicBool,
    waker: AtomicWaker,
}

/// Notes it when it is dropped.
struct Notes(Bytes, Arc<Written>);

impl Written {
    fn of(frame: Bytes) -> (Bytes, Option<Arc<Self>>) {
        let written = Arc::<Self>::default();
        (Bytes::from_owner(Notes(frame, Arc::clone(&written))), Some(written))
    }

    fn is_so(&self, context: &Context<'_>) -> bool {
        self.waker.register(context.waker());
        self.is_so.load(Ordering::Acquire)
    }
}

impl AsRef<[u8]> for Notes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Notes {
    fn drop(&mut self) {
        self.1.is_so.store(true, Ordering::Release);
        self.1.waker.wake();
    }
}

/// Runs calls, and gives up those whose client takes less of its answer than the least rate.
#[derive(Clone, Copy, Debug)]
pub struct Calls;

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Calls {
    fn execute(&self, call: F) {
        tokio::spawn(async move {
            let mut call = pin!(call);
            let mut delivery = Delivery::default();
            let mut timer = None;
            poll_fn(|context| {
                let others = DELIVERY.replace(delivery);
                let polled = call.as_mut().poll(context);
                delivery = DELIVERY.replace(others);
                if polled.is_ready() {
                    return polled;
                }
                if !delivery.waits {
                    timer = None;
                    return Poll::Pending;
                }
                loop {
                    let (sleep, before) =
                        timer.get_or_insert_with(|| (Box::pin(tokio::time::sleep(WINDOW)), delivery.taken));
                    match sleep.as_mut().poll(context) {
                        Poll::Pending => return Poll::Pending,
                        Poll::Ready(()) if delivery.taken - *before < LEAST => {
                            tracing::debug!(outcome = "given up", "a client does not take its answer");
                            return Poll::Ready(());
                        }
                        Poll::Ready(()) => timer = None,
                    }
                }
            })
            .await;
        });
    }
}
