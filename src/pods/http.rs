//! Questions to pods over plain HTTP. In go a pod's address and a path; out comes what it answers as JSON, small and soon,
//! or why it does not. Needs the pods' network.

use std::{io, sync::Arc, time::Duration};

use futures::{FutureExt as _, TryFutureExt as _, future::BoxFuture};
use http_body_util::{BodyExt as _, Empty, Limited, combinators::UnsyncBoxBody};
use hyper::{Response, Uri, body::Bytes};
use hyper_util::{client::legacy::Client, client::legacy::connect::HttpConnector, rt::TokioExecutor};
use modelwright_contract::names::METRICS_PORT;
use serde::de::DeserializeOwned;
use tower::BoxError;

use crate::k8s::controller::chain;

/// Longest that a pod may take to answer.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Largest answer.
const MAX_BYTES: usize = 64 * 1024;

/// Why nothing answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// The connection was refused: nobody is behind the address.
    Refused,
    /// Anything else, as where a policy lets nothing through.
    Other,
}

/// Why there is no answer that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// There was none in time.
    #[error("no answer within {TIMEOUT:?}")]
    InTime,
    /// It was refused, or is none of those that are expected.
    #[error("{0}")]
    Unusable(String),
}

/// What a pod answers to a question.
pub type Answered = Result<Response<UnsyncBoxBody<Bytes, io::Error>>, BoxError>;

/// A client of pods. It follows no redirects: a pod answers for itself only.
#[derive(Clone)]
pub struct PodClient {
    carrier: Arc<dyn Fn(Uri) -> BoxFuture<'static, Answered> + Send + Sync>,
    port: u16,
}

impl Default for PodClient {
    fn default() -> Self {
        Self::at_port(METRICS_PORT)
    }
}

impl PodClient {
    /// A client that asks at another port than the contract's.
    pub fn at_port(port: u16) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(TIMEOUT));
        let client: Client<_, Empty<Bytes>> =
            Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        Self::by(move |uri| {
            let answer = client
                .get(uri)
                .map_ok(|answer| answer.map(|body| body.map_err(io::Error::other).boxed_unsync()));
            answer.map_err(Into::into).boxed()
        })
        .to_port(port)
    }

    /// A client whose questions go through `carrier`.
    pub fn by(carrier: impl Fn(Uri) -> BoxFuture<'static, Answered> + Send + Sync + 'static) -> Self {
        Self { carrier: Arc::new(carrier), port: METRICS_PORT }
    }

    /// The same at another port.
    #[must_use]
    pub fn to_port(self, port: u16) -> Self {
        Self { port, ..self }
    }

    /// The answer of the pod at `address` to `GET path`.
    pub async fn get<T: DeserializeOwned>(&self, address: &str, path: &str) -> Result<T, NoAnswer> {
        match tokio::time::timeout(TIMEOUT, self.ask(address, path)).await {
            Ok(answer) => answer.map_err(NoAnswer::Unusable),
            Err(_) => Err(NoAnswer::InTime),
        }
    }

    /// Whether something at `address` answers `GET path` with success.
    pub async fn reach(&self, address: &str, path: &str) -> Result<(), Silence> {
        let uri = self.uri(address, path).map_err(|_| Silence::Other)?;
        match tokio::time::timeout(TIMEOUT, (self.carrier)(uri)).await {
            Ok(Ok(response)) if response.status().is_success() => Ok(()),
            Ok(Err(error)) if is_refused(error.as_ref()) => Err(Silence::Refused),
            Ok(Ok(_) | Err(_)) | Err(_) => Err(Silence::Other),
        }
    }

    fn uri(&self, address: &str, path: &str) -> Result<Uri, String> {
        let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
        format!("http://{host}:{}{path}", self.port).parse().map_err(|_| format!("`{address}` is no address"))
    }

    async fn ask<T: DeserializeOwned>(&self, address: &str, path: &str) -> Result<T, String> {
        let uri = self.uri(address, path)?;
        let response = (self.carrier)(uri).await.map_err(|error| chain(error.as_ref()))?;
        if !response.status().is_success() {
            return Err(format!("it answered {}", response.status()));
        }
        let body = Limited::new(response.into_body(), MAX_BYTES)
            .collect()
            .await
            .map_err(|error| format!("its answer broke off: {error}"))?;
        serde_json::from_slice(&body.to_bytes())
            .map_err(|error| format!("its answer at {path} is not readable: {error}"))
    }
}

/// Whether an error comes of a connection that was refused.
fn is_refused(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    causes.any(|cause| {
        let cause = cause.downcast_ref::<std::io::Error>();
        cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::ConnectionRefused)
    })
}
