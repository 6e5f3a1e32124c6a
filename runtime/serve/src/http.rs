//! The Open Inference Protocol over HTTP: paths, and the headers that every answer carries. In goes the shared state; out
//! comes a running server.

use std::{
    future::ready,
    net::SocketAddr,
    rc::Rc,
    sync::{Arc, OnceLock},
    time::Duration,
};

use actix_http::{HttpService, KeepAlive};
use actix_service::{ServiceFactoryExt, fn_service, map_config};
use actix_web::{
    App, Error, HttpRequest,
    body::MessageBody,
    dev::{AppConfig, Extensions, Server, ServiceRequest, ServiceResponse},
    http::{
        ConnectionType,
        header::{HeaderName, HeaderValue},
    },
    middleware::{Next, from_fn},
    rt::net::TcpStream,
    web,
};
use modelwright_contract::names::{DIGEST_HEADER, VERSION_HEADER};

use modelwright_core::cores::cores;

use super::{
    error::ApiError,
    infer, metadata, openapi, page,
    socket::{Socket, Watched},
    state::{self, Connection, InFlight, State},
};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;
/// How long a client may go on sending what is not read any more, so that it reads the answer that says why.
const LINGER: Duration = Duration::from_secs(1);
/// Longer than the idle time of common clients and proxies, so that they close and the server does not.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// Seconds that the end waits for answers that are being written.
const SHUTDOWN_SECONDS: u64 = 5;

const VERSION: HeaderName = HeaderName::from_static(VERSION_HEADER);
const DIGEST: HeaderName = HeaderName::from_static(DIGEST_HEADER);

/// Starts the server on an address; port 0 takes any. Gives the address that it got.
pub fn listen(state: &Arc<State>) -> std::io::Result<(Server, SocketAddr)> {
    let workers = cores().clamp(2, 8);
    let listener = modelwright_core::listen::listen(state.settings.http)?;
    rustix::net::listen(&listener, BACKLOG)?;
    let address = listener.local_addr()?;
    let builder = Server::build()
        .workers(workers)
        // Large bodies are read on a thread beside it, one at a time, so that small ones have their share of the cores.
        .worker_max_blocking_threads(1)
        .max_concurrent_connections(state.settings.memory.http_connections.div_ceil(workers))
        .shutdown_timeout(SHUTDOWN_SECONDS)
        .disable_signals();
    let stopping = builder.graceful_shutdown_signal();
    let state = Arc::clone(state);
    let builder = builder.listen("http", listener, move || {
        let (for_apps, stopping) = (Arc::clone(&state), stopping.clone());
        let app = App::new()
            .app_data(web::Data::from(Arc::clone(&for_apps)))
            .app_data(web::Data::new(Marks::new(Arc::clone(&for_apps))))
            .wrap(from_fn(mark))
            .configure(|config| routes(config, &for_apps.settings.model))
            .default_service(web::to(no_such_path));
        let connections = Arc::clone(&state);
        let http = HttpService::build()
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            .keep_alive(KeepAlive::Timeout(KEEP_ALIVE))
            // Clients open connections ahead of their first request; these are idle too.
            .client_request_timeout(KEEP_ALIVE)
            .client_disconnect_timeout(LINGER)
            // Otherwise a client that left is noticed only when its answer is written.
            .h1_allow_half_closed(false)
            .on_connect_ext(move |socket: &Socket, extensions: &mut Extensions| {
                extensions.insert(Rc::clone(socket.watched()));
                extensions.insert(Connection::open(Arc::clone(&connections)));
            })
            .h1(map_config(app, |()| AppConfig::default()));
        fn_service(move |stream: TcpStream| {
            state::tell_progress(&stream);
            let peer = stream.peer_addr().ok();
            ready(Ok((Socket::new(stream), peer)))
        })
        .and_then(http)
    })?;
    Ok((builder.run(), address))
}

fn routes(config: &mut web::ServiceConfig, model: &str) {
    let get = |path: &str| web::resource(path).default_service(web::to(only_get));
    let infer = |path: String| {
        web::resource(path).route(web::post().to(infer::infer)).default_service(web::to(only_post))
    };
    // Most requests come here, and a path without a pattern is found by comparison.
    if model.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')) {
        config.service(infer(format!("/v2/models/{model}/infer")));
    }
    config
        .service(get("/").route(web::get().to(page::page)))
        .service(get("/curves.svg").route(web::get().to(page::curves)))
        .service(get("/openapi.json").route(web::get().to(openapi::document)))
        .service(get("/v2").route(web::get().to(metadata::server)))
        .service(get("/v2/health/live").route(web::get().to(metadata::live)))
        .service(get("/v2/health/ready").route(web::get().to(metadata::ready)))
        .service(
            web::resource("/v2/repository/index")
                .route(web::post().to(metadata::index))
                .default_service(web::to(only_post)),
        );
    // A model of that name keeps its own path.
    if model != "stats" {
        config.service(get("/v2/models/stats").route(web::get().to(metadata::statistics)));
    }
    for model in ["/v2/models/{model}", "/v2/models/{model}/versions/{version}"] {
        config
            .service(get(model).route(web::get().to(metadata::model)))
            .service(get(&format!("{model}/ready")).route(web::get().to(metadata::model_ready)))
            .service(get(&format!("{model}/config")).route(web::get().to(metadata::configuration)))
            .service(get(&format!("{model}/stats")).route(web::get().to(metadata::statistics)))
            .service(infer(format!("{model}/infer")));
    }
}

async fn no_such_path(request: HttpRequest) -> Result<&'static str, ApiError> {
    let path: String = request.path().chars().take(80).collect();
    Err(ApiError::NotFound(format!(
        "there is nothing at {path:?}; see GET /v2/models/NAME and POST /v2/models/NAME/infer"
    )))
}

async fn only_get(request: HttpRequest) -> Result<&'static str, ApiError> {
    Err(ApiError::MethodNotAllowed { method: request.method().to_string(), expected: "GET" })
}

async fn only_post(request: HttpRequest) -> Result<&'static str, ApiError> {
    Err(ApiError::MethodNotAllowed { method: request.method().to_string(), expected: "POST" })
}

/// What every answer says of the model, made once for all answers of a thread.
struct Marks {
    state: Arc<State>,
    version: HeaderValue,
    digest: OnceLock<HeaderValue>,
}

impl Marks {
    fn new(state: Arc<State>) -> Self {
        Self { version: HeaderValue::from(state.settings.version), digest: OnceLock::new(), state }
    }

    /// Once it is known, it stays as it is.
    fn digest(&self) -> Option<&HeaderValue> {
        if self.digest.get().is_none() {
            let value = HeaderValue::from_str(&self.state.digest()?).ok()?;
            return Some(self.digest.get_or_init(|| value));
        }
        self.digest.get()
    }
}

/// Says in every answer which version and bytes gave it, and tells clients to leave when this server does.
async fn mark(
    marks: web::Data<Marks>,
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let is_health = request.path().starts_with("/v2/health/");
    let in_flight = (!is_health).then(|| InFlight::begin(Arc::clone(&marks.state)));
    let watched = request.conn_data::<Rc<Watched>>().cloned();
    if let Some(watched) = &watched {
        watched.begin();
    }
    let response = next.call(request).await;
    if let Some(watched) = watched {
        watched.end();
    }
    let mut response = response?;
    let headers = response.headers_mut();
    headers.insert(VERSION, marks.version.clone());
    if let Some(digest) = marks.digest() {
        headers.insert(DIGEST, digest.clone());
    }
    if marks.state.is_draining() {
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    drop(in_flight);
    Ok(response)
}
