//! When something was last heard of each watch: of its events, and of the bookmarks between them, which kube's watcher keeps
//! to itself. A watch that is silent for long shows what is no longer so.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use futures::{TryFutureExt as _, future::MapOk};
use http_body_util::{BodyExt as _, combinators::MapFrame};
use hyper::{
    Request, Response,
    body::{Body as HttpBody, Bytes, Frame},
};
use tower::{Layer, Service};

use crate::metrics::Metrics;

/// Tells the metrics of everything that arrives on a watch.
#[derive(Clone, Debug)]
pub struct Listening(pub Arc<Metrics>);

impl<S> Layer<S> for Listening {
    type Service = Heard<S>;

    fn layer(&self, inner: S) -> Heard<S> {
        Heard { inner, metrics: Arc::clone(&self.0) }
    }
}

/// What carries requests, behind [`Listening`].
#[derive(Clone, Debug)]
pub struct Heard<S> {
    inner: S,
    metrics: Arc<Metrics>,
}

type Look = Box<dyn FnMut(Frame<Bytes>) -> Frame<Bytes> + Send>;
type Answer<B> = Response<MapFrame<B, Look>>;

impl<S, A, B> Service<Request<A>> for Heard<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    B: HttpBody<Data = Bytes>,
{
    type Response = Answer<B>;
    type Error = S::Error;
    type Future = MapOk<S::Future, Box<dyn FnOnce(Response<B>) -> Answer<B> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let is_watch =
            request.uri().query().is_some_and(|query| query.split('&').any(|one| one == "watch=true"));
        let place = is_watch.then(|| request.uri().path().to_owned());
        let metrics = Arc::clone(&self.metrics);
        self.inner.call(request).map_ok(Box::new(move |response| {
            let place = place.filter(|_| response.status().is_success());
            let look = move |frame| {
                if let Some(place) = &place {
                    metrics.heard(place);
                }
                frame
            };
            response.map(|body| body.map_frame(Box::new(look) as Look))
        }))
    }
}
