//! `modelwright push-proxy`: the only way to write to the chart's own store. Beside it, in the same pod, a registry listens
//! on the pod's loopback address alone; what comes in here is passed on there if it carries a ServiceAccount token of this
//! cluster whose audience names the repository. So a run's `publish`, which the kubelet gives such a token, may push to the
//! repository of its Model, and a container without one may not, whatever runs in it.
//!
//! [`token`] says what a token is for, [`keys`] by whose signature, [`path`] what a request is about, [`watched`] how long its
//! body may take to come. Needs a client, for the cluster's keys; no key or password is kept anywhere.

mod keys;
mod path;
mod token;
mod watched;

use std::{convert::Infallible, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http_body_util::{Either, Full};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, Uri,
    body::{Bytes, Incoming},
    header::{
        AUTHORIZATION, CONNECTION, CONTENT_TYPE, EXPECT, HeaderName, HeaderValue, RETRY_AFTER, TE,
        TRANSFER_ENCODING, UPGRADE, WWW_AUTHENTICATE,
    },
    server::conn::http1,
    service::service_fn,
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use k8s_openapi::jiff::Timestamp;
use modelwright_contract::names::STORE_AUDIENCE;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

use self::{
    keys::Keys,
    token::{Refused, Token},
    watched::{Stalled, Watched},
};
use crate::{
    admin,
    cli::PushProxyArguments,
    controller::chain,
    process::{self, StartError},
};

/// Connections at a time: one without a token is answered at once, and keeps its place for as long as it is idle.
const MAX_CONNECTIONS: usize = 512;
/// How long a connection may take for the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the registry beside may take to let connect, and the cluster to tell its keys.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Headers that are about a connection, and not about what it carries.
const OF_CONNECTION: [HeaderName; 5] = [CONNECTION, EXPECT, TE, TRANSFER_ENCODING, UPGRADE];
/// How an unknown caller is asked who it is.
const CHALLENGE: HeaderValue = HeaderValue::from_static("Basic realm=\"modelwright-store\"");

/// An error with its causes.
pub fn describe(error: &StartError) -> String {
    chain(error)
}

type Body = Either<Watched, Full<Bytes>>;

struct Proxy {
    keys: Keys,
    registry: String,
    prefix: String,
    client: Client<HttpConnector, Body>,
}

/// Listens until SIGTERM or SIGINT.
pub fn run(arguments: PushProxyArguments) -> Result<(), StartError> {
    process::run(operate(arguments))
}

async fn operate(arguments: PushProxyArguments) -> Result<(), StartError> {
    let stop = process::stop()?;
    let mut config = process::cluster().await?;
    (config.connect_timeout, config.read_timeout) = (Some(TIMEOUT), Some(TIMEOUT));
    config.default_retry = false;
    let cluster = kube::Client::try_from(config)?;
    let listener = admin::listen(arguments.address)?;
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), address = %arguments.address, arguments.registry, "started");
    tokio::select! {
        () = stop => {}
        () = serve(&listener, cluster, arguments.registry, arguments.prefix) => {}
    }
    // what is cut off here goes on where it was, with whoever comes next
    tracing::info!("stopped");
    Ok(())
}

/// Lets through to `registry` what the tokens of a cluster allow, in repositories that begin with `prefix`.
pub async fn serve(listener: &TcpListener, cluster: kube::Client, registry: String, prefix: String) {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(TIMEOUT));
    // a connection that is kept and was closed meanwhile would break an upload off
    let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
    let proxy = Arc::new(Proxy { keys: Keys::new(cluster), registry, prefix, client });
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let proxy = Arc::clone(&proxy);
                tokio::spawn(async move {
                    converse(stream, &proxy).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection is not taken");
                // as where the process has no descriptors left: they come back when others end
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn converse(stream: TcpStream, proxy: &Arc<Proxy>) {
    let service = service_fn(|request| async { Ok::<_, Infallible>(proxy.answer(request).await) });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(error = chain(&error), "a connection ended badly");
    }
}

impl Proxy {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        match request.uri().path() {
            "/healthz" => said(StatusCode::OK, "ok\n"),
            "/readyz" => self.ready().await,
            path => match self.check(path, request.headers()).await {
                Ok(()) => self.pass(request).await,
                Err(refusal) => *refusal,
            },
        }
    }

    /// Whether whoever shows these headers may ask for this path.
    async fn check(&self, path: &str, headers: &HeaderMap) -> Result<(), Box<Response<Body>>> {
        let unknown = |why: &str| {
            tracing::debug!(why, path, "refused");
            let how = format!(
                "{why}; push with a token of a ServiceAccount of the namespace as the password: kubectl create token \
                 default --namespace NAMESPACE --audience {STORE_AUDIENCE}NAME lets push to {}/NAMESPACE/NAME",
                self.prefix
            );
            let mut answer = refusal(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", &how);
            answer.headers_mut().insert(WWW_AUTHENTICATE, CHALLENGE);
            Box::new(answer)
        };
        let text = shown(headers).ok_or_else(|| unknown("no token is shown"))?;
        let repositories = match self.repositories(&text).await {
            Ok(Ok(repositories)) => repositories,
            Ok(Err(refused)) => return Err(unknown(&refused.to_string())),
            Err(error) => {
                let why =
                    format!("the token cannot be checked now: the cluster does not tell its keys: {error}");
                let mut answer = refusal(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", &why);
                answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("2"));
                return Err(Box::new(answer));
            }
        };
        if path == "/v2/" || repositories.iter().any(|repository| path::is_of(path, repository)) {
            return Ok(());
        }
        let why = format!("the token lets push to {}, and to nothing else", repositories.join(", "));
        Err(Box::new(refusal(StatusCode::FORBIDDEN, "DENIED", &why)))
    }

    /// What a token is for.
    async fn repositories(&self, text: &str) -> Result<Result<Vec<String>, Refused>, String> {
        let token = match Token::parse(text) {
            Ok(token) => token,
            Err(refused) => return Ok(Err(refused)),
        };
        let Some(key) = self.keys.find(token.key()).await? else { return Ok(Err(Refused::UnknownKey)) };
        let below = token.repositories(&key, Timestamp::now().as_second());
        Ok(below.map(|below| below.iter().map(|name| format!("{}/{name}", self.prefix)).collect()))
    }

    /// Passes a request on, without the token, and its answer back.
    async fn pass(&self, request: Request<Incoming>) -> Response<Body> {
        let (mut head, body) = request.into_parts();
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let Ok(uri) = format!("http://{}{path}", self.registry).parse::<Uri>() else {
            return refusal(
                StatusCode::BAD_REQUEST,
                "UNSUPPORTED",
                "the request names no path of the registry",
            );
        };
        head.uri = uri;
        head.headers.remove(AUTHORIZATION);
        for name in OF_CONNECTION {
            head.headers.remove(name);
        }
        match self.client.request(Request::from_parts(head, Either::Left(Watched::new(body)))).await {
            Ok(response) => {
                let (mut head, body) = response.into_parts();
                for name in OF_CONNECTION {
                    head.headers.remove(name);
                }
                Response::from_parts(head, Either::Left(Watched::new(body)))
            }
            Err(error) if Stalled::caused(&error) => {
                let why = format!("the request has a body, and {Stalled} of it: send it again");
                refusal(StatusCode::REQUEST_TIMEOUT, "UNAVAILABLE", &why)
            }
            Err(error) => self.unreachable(&chain(&error)),
        }
    }

    /// Whether the registry beside answers.
    async fn ready(&self) -> Response<Body> {
        let uri = format!("http://{}/v2/", self.registry);
        let request = Request::builder().method(Method::GET).uri(uri).body(Either::Right(Full::default()));
        let Ok(request) = request else { return self.unreachable("its address is none") };
        match tokio::time::timeout(TIMEOUT, self.client.request(request)).await {
            Ok(Ok(answer)) if answer.status().is_success() => said(StatusCode::OK, "ok\n"),
            Ok(Ok(answer)) => self.unreachable(&format!("it answered {}", answer.status())),
            Ok(Err(error)) => self.unreachable(&chain(&error)),
            Err(_) => self.unreachable(&format!("no answer within {TIMEOUT:?}")),
        }
    }

    fn unreachable(&self, why: &str) -> Response<Body> {
        tracing::warn!(why, registry = self.registry, "the registry does not answer");
        let why = format!("the registry behind does not answer: {why}");
        refusal(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", &why)
    }
}

/// The token that a request shows: as such, or as a password, as clients of registries send it.
fn shown(headers: &HeaderMap) -> Option<String> {
    let (scheme, rest) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
    Some(pair.split_once(':')?.1.to_owned())
}

fn said(status: StatusCode, text: &str) -> Response<Body> {
    let mut answer = Response::new(Either::Right(Full::from(text.to_owned())));
    *answer.status_mut() = status;
    answer
}

/// An error in the words of registries.
fn refusal(status: StatusCode, code: &str, message: &str) -> Response<Body> {
    let body = serde_json::json!({"errors": [{"code": code, "message": message}]});
    let mut answer = said(status, &body.to_string());
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}
