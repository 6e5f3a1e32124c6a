//! An HTTP server on the runtime's library that does nothing: it takes a body whole, into one buffer, and `POST /N`
//! answers with its first N bytes, and zeros if it has fewer. What it costs is the floor of the transport.

use std::net::SocketAddr;

use actix_web::{
    App, Error, HttpRequest, HttpResponse, HttpServer,
    error::{ErrorBadRequest, ErrorPayloadTooLarge},
    http::header::CONTENT_LENGTH,
    web,
};
use clap::Parser;
use futures::StreamExt;
use modelwright_bench_floor::Outcome;

/// Largest body in bytes.
const LARGEST: usize = 64 * 1024 * 1024;

/// Answers with what it is sent.
#[derive(Debug, Parser)]
struct Arguments {
    /// Address; port 0 takes any, which is printed
    #[arg(long, default_value = "127.0.0.1:0")]
    http: SocketAddr,
}

async fn echo(request: HttpRequest, mut payload: web::Payload) -> Result<HttpResponse, Error> {
    let wanted = request.path().trim_start_matches('/').parse::<usize>();
    let wanted = wanted.map_err(|_| ErrorBadRequest("the path is the number of bytes to answer with"))?;
    let length = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let length = length.and_then(|text| text.parse().ok()).unwrap_or(0);
    if length.max(wanted) > LARGEST {
        return Err(ErrorPayloadTooLarge("at most 64 MiB"));
    }
    let mut body = web::BytesMut::with_capacity(length);
    while let Some(part) = payload.next().await {
        body.extend_from_slice(&part?);
    }
    body.resize(wanted, 0);
    Ok(HttpResponse::Ok().content_type("application/octet-stream").body(body.freeze()))
}

#[actix_web::main]
async fn main() -> Outcome<()> {
    let arguments = Arguments::parse();
    // As many as the runtime has.
    let workers = std::thread::available_parallelism().map_or(2, std::num::NonZero::get).clamp(2, 8);
    let server = HttpServer::new(|| App::new().default_service(web::to(echo)))
        .workers(workers)
        .bind(arguments.http)?;
    for address in server.addrs() {
        eprintln!("{}", serde_json::json!({ "outcome": "ready", "http": address.to_string() }));
    }
    Ok(server.run().await?)
}
