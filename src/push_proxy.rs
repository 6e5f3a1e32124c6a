//! `modelwright push-proxy`: the only way to write to the chart's own store. Beside it, in the same pod, a registry listens
//! on the pod's loopback address alone; what comes in here is passed on there if it carries a ServiceAccount token of this
//! cluster whose audience names the repository. So a run's `publish`, which the kubelet gives such a token, may push to the
//! repository of its Model, and a container without one may not, whatever runs in it.
//!
//! [`token`] says what a token is for, [`keys`] by whose signature, [`path`] what a request is about, [`places`] how many
//! connections whom may have, [`pace`] and [`watched`] how slow they may be. Needs a client, for the cluster's keys; no key or
//! password is kept anywhere.

mod keys;
mod pace;
mod path;
mod places;
mod token;
mod watched;

use std::{convert::Infallible, io, sync::Arc, time::Duration};

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
use tokio::net::{TcpListener, TcpStream};

use self::{
    keys::Keys,
    pace::Paced,
    places::{Crowded, OF_NAMESPACE, Place, Places},
    token::{Grant, Refused, Token},
    watched::{Ended, Watched},
};
use crate::{
    admin,
    cli::PushProxyArguments,
    k8s::controller::chain,
    process::{self, StartError},
};

/// Most connections that have shown no token.
const STRANGERS: usize = 128;
/// Most connections of those that ask whether it is well.
const PROBES: usize = 64;
/// How long one of them may last, in all.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);
/// Most bytes that are held for a side of a connection.
const BUFFER: usize = 32 * 1024;
/// How long a connection may take for the head of a request, and lie idle before it.
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

/// Where it listens.
pub struct Doors {
    /// For whoever pushes.
    pub push: TcpListener,
    /// For the kubelet's probes alone, so that no push is in their way.
    pub probe: TcpListener,
}

impl Doors {
    fn open(arguments: &PushProxyArguments) -> io::Result<Self> {
        let listen = |address| {
            let listener = admin::listen(address)?;
            listener.set_nonblocking(true)?;
            TcpListener::from_std(listener)
        };
        Ok(Self { push: listen(arguments.address)?, probe: listen(arguments.probe_address)? })
    }
}

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
    let doors = Doors::open(&arguments)?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        address = %arguments.address,
        probes = %arguments.probe_address,
        arguments.registry,
        "started"
    );
    tokio::select! {
        () = stop => {}
        () = serve(&doors, cluster, arguments.registry, arguments.prefix) => {}
    }
    // what is cut off here goes on where it was, with whoever comes next
    tracing::info!("stopped");
    Ok(())
}

/// Lets through to `registry` what the tokens of a cluster allow, in repositories that begin with `prefix`.
pub async fn serve(doors: &Doors, cluster: kube::Client, registry: String, prefix: String) {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(TIMEOUT));
    let mut client = Client::builder(TokioExecutor::new());
    // a connection that is kept and was closed meanwhile would break an upload off
    let client = client.pool_max_idle_per_host(0).http1_max_buf_size(BUFFER).build(connector);
    let proxy = Arc::new(Proxy { keys: Keys::new(cluster), registry, prefix, client });
    let (pushes, probes) = (Places::new(STRANGERS), Places::new(PROBES));
    tokio::join!(
        accept(&doors.push, &pushes, |stream, place| converse(stream, place, Arc::clone(&proxy))),
        accept(&doors.probe, &probes, |stream, _| probed(stream, Arc::clone(&proxy))),
    );
}

/// Takes every connection at once, whatever the others do; one that gives its place to another ends.
async fn accept<F: Future<Output = Result<(), hyper::Error>> + Send + 'static>(
    listener: &TcpListener,
    places: &Arc<Places>,
    converse: impl Fn(TcpStream, Arc<Place>) -> F,
) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let place = Arc::new(places.enter(peer.ip()));
                let conversation = converse(stream, Arc::clone(&place));
                tokio::spawn(async move {
                    tokio::select! {
                        ended = conversation => if let Err(error) = ended {
                            tracing::debug!(error = chain(&error), "a connection ended badly");
                        },
                        () = place.is_lost() => tracing::debug!("a connection gave its place to another"),
                    }
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

async fn converse(stream: TcpStream, place: Arc<Place>, proxy: Arc<Proxy>) -> Result<(), hyper::Error> {
    let service = service_fn(|request| async { Ok::<_, Infallible>(proxy.answer(request, &place).await) });
    server().serve_connection(TokioIo::new(Paced::new(stream)), service).await
}

/// Answers one question of the kubelet.
async fn probed(stream: TcpStream, proxy: Arc<Proxy>) -> Result<(), hyper::Error> {
    let service =
        service_fn(async |request: Request<_>| Ok::<_, Infallible>(proxy.probe(request.uri().path()).await));
    let connection = server().keep_alive(false).serve_connection(TokioIo::new(stream), service);
    tokio::time::timeout(PROBE_TIMEOUT, connection).await.unwrap_or(Ok(()))
}

fn server() -> http1::Builder {
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(BUFFER);
    server
}

impl Proxy {
    async fn probe(&self, path: &str) -> Response<Body> {
        match path {
            "/healthz" => said(StatusCode::OK, "ok\n"),
            "/readyz" => self.ready().await,
            _ => said(StatusCode::NOT_FOUND, "only /healthz and /readyz are here\n"),
        }
    }

    async fn answer(&self, request: Request<Incoming>, place: &Place) -> Response<Body> {
        match self.check(request.uri().path(), request.headers(), place).await {
            Ok(()) => self.pass(request).await,
            Err(refusal) => *refusal,
        }
    }

    /// Whether whoever shows these headers may ask for this path, and has a place of its namespace to do so.
    async fn check(&self, path: &str, headers: &HeaderMap, place: &Place) -> Result<(), Box<Response<Body>>> {
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
        let Grant { namespace, names } = match self.granted(&text).await {
            Ok(Ok(grant)) => grant,
            // no other token of this cluster would do
            Ok(Err(refused @ Refused::Algorithm { .. })) => {
                let why = format!("{refused}; use a store of your own, store.uri");
                return Err(Box::new(refusal(StatusCode::FORBIDDEN, "DENIED", &why)));
            }
            Ok(Err(refused)) => return Err(unknown(&refused.to_string())),
            Err(error) => {
                let why =
                    format!("the token cannot be checked now: the cluster does not tell its keys: {error}");
                return Err(Box::new(put_off(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", &why)));
            }
        };
        place.claim(&namespace).map_err(|Crowded| Box::new(crowded(&namespace)))?;
        let repositories: Vec<_> =
            names.iter().map(|name| format!("{}/{namespace}/{name}", self.prefix)).collect();
        if path == "/v2/" || repositories.iter().any(|repository| path::is_of(path, repository)) {
            return Ok(());
        }
        let why = format!("the token lets push to {}, and to nothing else", repositories.join(", "));
        Err(Box::new(refusal(StatusCode::FORBIDDEN, "DENIED", &why)))
    }

    /// What a token is for.
    async fn granted(&self, text: &str) -> Result<Result<Grant, Refused>, String> {
        let token = match Token::parse(text) {
            Ok(token) => token,
            Err(refused) => return Ok(Err(refused)),
        };
        let Some(key) = self.keys.find(token.key()).await? else { return Ok(Err(Refused::UnknownKey)) };
        Ok(token.grant(&key, Timestamp::now().as_second()))
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
            Err(error) => match Ended::that_caused(&error) {
                Some(ended) => unfinished(ended),
                None => self.unreachable(&chain(&error)),
            },
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

/// To a namespace that has no place left.
fn crowded(namespace: &str) -> Response<Body> {
    tracing::info!(namespace, "a namespace has all of its connections");
    let why = format!(
        "the namespace {namespace} has {OF_NAMESPACE} connections already, or its share of all: try again when one has ended"
    );
    put_off(StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS", &why)
}

/// To a request whose body did not come whole.
fn unfinished(ended: &Ended) -> Response<Body> {
    let why = format!("the request has a body, and {ended}: send it again");
    match ended {
        Ended::Stalled => refusal(StatusCode::REQUEST_TIMEOUT, "UNAVAILABLE", &why),
        Ended::Broken(_) => refusal(StatusCode::BAD_REQUEST, "UNSUPPORTED", &why),
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

/// An error that passes soon.
fn put_off(status: StatusCode, code: &str, message: &str) -> Response<Body> {
    let mut answer = refusal(status, code, message);
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("2"));
    answer
}
