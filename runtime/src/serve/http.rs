//! The Open Inference Protocol over HTTP: paths, and the headers that every answer carries. In goes the shared state; out
//! comes a running server.

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use actix_web::{
    App, Error, HttpRequest, HttpServer,
    body::MessageBody,
    dev::{Server, ServiceRequest, ServiceResponse},
    http::{
        ConnectionType,
        header::{HeaderName, HeaderValue},
    },
    middleware::{Next, from_fn},
    rt::net::TcpStream,
    web,
};
use modelwright_contract::names::{DIGEST_HEADER, VERSION_HEADER};

use crate::cores::cores;

use super::{
    error::ApiError,
    infer, metadata, openapi, page,
    state::{self, Connection, InFlight, State},
};

/// Longer than the idle time of common clients and proxies, so that they close and the server does not.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// Seconds that the end waits for answers that are being written.
const SHUTDOWN_SECONDS: u64 = 5;

const VERSION: HeaderName = HeaderName::from_static(VERSION_HEADER);
const DIGEST: HeaderName = HeaderName::from_static(DIGEST_HEADER);

/// Starts the server on an address; port 0 takes any. Gives the address that it got.
pub fn listen(state: &Arc<State>) -> std::io::Result<(Server, SocketAddr)> {
    let workers = cores().clamp(2, 8);
    let (for_apps, for_connections) = (Arc::clone(state), Arc::clone(state));
    let server = HttpServer::new(move || {
        App::new()
            .app_data(web::Data::from(Arc::clone(&for_apps)))
            .app_data(web::Data::new(Marks::new(Arc::clone(&for_apps))))
            .wrap(from_fn(mark))
            .configure(|config| routes(config, &for_apps.settings.model))
            .default_service(web::to(no_such_path))
    })
    .on_connect(move |stream, extensions| {
        if let Some(stream) = stream.downcast_ref::<TcpStream>() {
            state::limit_patience(stream, &for_connections.settings.limits);
        }
        extensions.insert(Connection::open(Arc::clone(&for_connections)));
    })
    .workers(workers)
    .keep_alive(KEEP_ALIVE)
    // Clients open connections ahead of their first request; these are idle too.
    .client_request_timeout(KEEP_ALIVE)
    // Otherwise a client that left is noticed only when its answer is written.
    .h1_allow_half_closed(false)
    .shutdown_timeout(SHUTDOWN_SECONDS)
    .disable_signals()
    .bind(state.settings.http)?;
    let address = server.addrs().first().copied().unwrap_or(state.settings.http);
    Ok((server.run(), address))
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
    let mut response = next.call(request).await?;
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
