//! The cluster's own port: metrics, status, health of the process. In goes the shared state; out comes a running server.

use std::{net::SocketAddr, sync::Arc};

use actix_web::{App, HttpResponse, HttpServer, dev::Server, web};

use super::state::State;

const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Starts the server. Gives the address that it got.
pub fn listen(state: &Arc<State>, address: SocketAddr) -> std::io::Result<(Server, SocketAddr)> {
    let state = Arc::clone(state);
    let server = HttpServer::new(move || {
        App::new()
            .app_data(web::Data::from(Arc::clone(&state)))
            .route("/metrics", web::get().to(metrics))
            .route("/status", web::get().to(status))
            .route("/healthz", web::get().to(healthz))
    })
    .workers(1)
    .disable_signals()
    .listen(modelwright_core::listen::listen(address)?)?;
    let address = server.addrs().first().copied().unwrap_or(address);
    Ok((server.run(), address))
}

async fn metrics(state: web::Data<State>) -> HttpResponse {
    HttpResponse::Ok().content_type(METRICS_TYPE).body(state.render_metrics())
}

async fn status(state: web::Data<State>) -> HttpResponse {
    HttpResponse::Ok().json(state.status())
}

async fn healthz() -> &'static str {
    "ok"
}
