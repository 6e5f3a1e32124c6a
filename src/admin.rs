//! The admin HTTP server: `/healthz`, `/readyz`, `/metrics`. In come the process's own states; it needs no client.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    sync::Arc,
};

use actix_web::{
    App, HttpResponse, HttpServer,
    dev::{Server, ServerHandle},
    get,
    http::header,
    web,
};
use tokio::sync::watch;

use crate::metrics::Metrics;

/// Linux's error for a kind of address that the kernel does not know.
const EAFNOSUPPORT: i32 = 97;

/// How far the process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Another replica holds the Lease; this one is ready to take over.
    Standby,
    /// It leads, and its caches are not yet filled.
    Syncing,
    /// It leads and reconciles.
    Leading,
    /// It shuts down.
    Stopping,
}

struct State {
    readiness: watch::Receiver<Readiness>,
    metrics: Arc<Metrics>,
}

/// Binds the server; it runs when it is awaited.
pub fn server(
    address: SocketAddr,
    readiness: watch::Receiver<Readiness>,
    metrics: Arc<Metrics>,
) -> io::Result<(Server, ServerHandle)> {
    let state = web::Data::new(State { readiness, metrics });
    let server = HttpServer::new(move || {
        App::new().app_data(state.clone()).service(healthz).service(readyz).service(render_metrics)
    })
    .workers(1)
    .shutdown_timeout(2)
    .disable_signals()
    .listen(listen(address)?)?
    .run();
    let handle = server.handle();
    Ok((server, handle))
}

/// Listens on an address. `[::]` takes IPv4 too, and stands for `0.0.0.0` where the kernel has no IPv6.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    or_ipv4(address, TcpListener::bind)
}

fn or_ipv4<T>(address: SocketAddr, bind: impl Fn(SocketAddr) -> io::Result<T>) -> io::Result<T> {
    match bind(address) {
        Err(error) if address.ip() == Ipv6Addr::UNSPECIFIED && is_without_ipv6(&error) => {
            tracing::info!(%error, "the kernel has no IPv6: listening on IPv4 alone");
            bind((Ipv4Addr::UNSPECIFIED, address.port()).into())
        }
        outcome => outcome,
    }
}

fn is_without_ipv6(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(EAFNOSUPPORT)
}

#[get("/healthz")]
async fn healthz() -> HttpResponse {
    HttpResponse::Ok().body("ok\n")
}

#[get("/readyz")]
async fn readyz(state: web::Data<State>) -> HttpResponse {
    match *state.readiness.borrow() {
        Readiness::Standby => HttpResponse::Ok().body("standby\n"),
        Readiness::Leading => HttpResponse::Ok().body("leading\n"),
        Readiness::Syncing => HttpResponse::ServiceUnavailable().body("caches are not yet filled\n"),
        Readiness::Stopping => HttpResponse::ServiceUnavailable().body("stopping\n"),
    }
}

#[get("/metrics")]
async fn render_metrics(state: web::Data<State>) -> HttpResponse {
    match state.metrics.render() {
        Ok(text) => HttpResponse::Ok()
            .insert_header((
                header::CONTENT_TYPE,
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
            ))
            .body(text),
        Err(error) => HttpResponse::InternalServerError().body(format!("metrics: {error}\n")),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test;

    use super::*;

    async fn get(readiness: Readiness, path: &str) -> (u16, String) {
        let (_sender, receiver) = watch::channel(readiness);
        let state = web::Data::new(State { readiness: receiver, metrics: Arc::new(Metrics::default()) });
        let app = test::init_service(
            App::new().app_data(state).service(healthz).service(readyz).service(render_metrics),
        )
        .await;
        let response = test::call_service(&app, test::TestRequest::get().uri(path).to_request()).await;
        let status = response.status().as_u16();
        (status, String::from_utf8_lossy(&test::read_body(response).await).into_owned())
    }

    #[actix_web::test]
    async fn a_standby_is_ready_and_a_leader_is_when_its_caches_are_filled() {
        assert_eq!(get(Readiness::Standby, "/readyz").await.0, 200);
        assert_eq!(get(Readiness::Syncing, "/readyz").await.0, 503);
        assert_eq!(get(Readiness::Leading, "/readyz").await.0, 200);
        assert_eq!(get(Readiness::Stopping, "/readyz").await.0, 503);
        assert_eq!(get(Readiness::Stopping, "/healthz").await.0, 200);
    }

    #[std::prelude::v1::test]
    fn without_ipv6_any_address_means_any_of_ipv4_and_nothing_else_does() {
        let kernel = |error: i32| {
            move |address: SocketAddr| {
                if address.is_ipv6() { Err(io::Error::from_raw_os_error(error)) } else { Ok(address) }
            }
        };
        let (any, in_use, unavailable) = (SocketAddr::from((Ipv6Addr::UNSPECIFIED, 8080)), 98, 99);
        for error in [EAFNOSUPPORT, unavailable] {
            assert_eq!(or_ipv4(any, kernel(error)).ok(), Some((Ipv4Addr::UNSPECIFIED, 8080).into()));
        }
        assert!(or_ipv4(any, kernel(in_use)).is_err());
        assert!(or_ipv4((Ipv6Addr::LOCALHOST, 8080).into(), kernel(unavailable)).is_err());
    }

    #[actix_web::test]
    async fn metrics_are_openmetrics_text() {
        let (status, text) = get(Readiness::Leading, "/metrics").await;
        assert_eq!(status, 200);
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}
