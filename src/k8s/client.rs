//! The clients of the API server. No write passes while the Lease is not held: that is asked beneath the retries, so that none
//! of these leaves the process either.

use std::{
    future::{Ready, ready},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{
    TryFutureExt as _,
    future::{Either, ErrInto},
};
use hyper::{
    Method, Request, Response,
    body::{Body as HttpBody, Bytes},
};
use kube::{
    Client, Config,
    client::{Body, ClientBuilder, retry::RetryPolicy},
};
use tower::{BoxError, Layer, Service, buffer::BufferLayer, retry::RetryLayer};

use super::{heard::Listening, lease::Leadership};
use crate::metrics::Metrics;

/// Requests that wait for the client's worker.
const BUFFER: usize = 1024;
/// Longest that the Lease's client waits for an answer.
const LEASE_TIMEOUT: Duration = Duration::from_secs(4);

/// A client that retries 429, 503 and 504 at most four times within seconds, whatever Retry-After asks for, and writes only
/// while the Lease is held.
pub fn client(
    mut config: Config,
    leadership: &Leadership,
    metrics: &Arc<Metrics>,
) -> Result<Client, kube::Error> {
    config.default_retry = false;
    retrying(ClientBuilder::try_from(config)?, leadership, metrics)
}

/// The same of what carries its requests.
pub fn retrying<S, B>(
    carrier: ClientBuilder<S>,
    leadership: &Leadership,
    metrics: &Arc<Metrics>,
) -> Result<Client, kube::Error>
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError> + Send + 'static,
    S::Future: Send + 'static,
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let policy = RetryPolicy::new(Duration::from_millis(100), Duration::from_secs(2), 4, false)
        .map_err(|error| kube::Error::Service(error.into()))?;
    let guarded =
        carrier.with_layer(&Listening(Arc::clone(metrics))).with_layer(&WhileLeading(leadership.clone()));
    Ok(guarded.with_layer(&BufferLayer::new(BUFFER)).with_layer(&RetryLayer::new(policy)).build())
}

/// A client that never retries and gives up soon, for the Lease.
pub fn lease_client(mut config: Config) -> Result<Client, kube::Error> {
    config.default_retry = false;
    config.connect_timeout = Some(LEASE_TIMEOUT);
    config.read_timeout = Some(LEASE_TIMEOUT);
    config.write_timeout = Some(LEASE_TIMEOUT);
    Client::try_from(config)
}

/// Lets nothing but reads pass while the Lease is not held.
#[derive(Clone, Debug)]
pub struct WhileLeading(pub Leadership);

impl<S> Layer<S> for WhileLeading {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { inner, leadership: self.0.clone() }
    }
}

/// What carries requests, behind [`WhileLeading`].
#[derive(Clone, Debug)]
pub struct Guarded<S> {
    inner: S,
    leadership: Leadership,
}

impl<S, B> Service<Request<B>> for Guarded<S>
where
    S: Service<Request<B>, Error: Into<BoxError>>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Either<Ready<Result<S::Response, BoxError>>, ErrInto<S::Future, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let reads = *request.method() == Method::GET;
        match self.leadership.check() {
            Err(error) if !reads => Either::Left(ready(Err(error.into()))),
            _ => Either::Right(self.inner.call(request).err_into()),
        }
    }
}
