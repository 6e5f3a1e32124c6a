//! What the server was asked. In goes each request; out comes a list, so that a test can prove what was never sent.

use std::sync::Mutex;

use actix_web::{
    Error, HttpResponse,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::header::AUTHORIZATION,
    middleware::Next,
    web,
};
use serde::Serialize;

/// One request.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Seen {
    method: String,
    path: String,
    with_credentials: bool,
}

/// The requests so far.
#[derive(Default)]
pub struct Log(Mutex<Vec<Seen>>);

/// Remembers a request before it is answered.
pub async fn record(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    if let Some(log) = request.app_data::<web::Data<Log>>()
        && let Ok(mut seen) = log.0.lock()
    {
        seen.push(Seen {
            method: request.method().to_string(),
            path: request.path().to_owned(),
            with_credentials: request.headers().contains_key(AUTHORIZATION),
        });
    }
    next.call(request).await
}

/// `GET /requests`.
pub async fn list(log: web::Data<Log>) -> HttpResponse {
    match log.0.lock() {
        Ok(seen) => HttpResponse::Ok().json(&*seen),
        Err(_) => HttpResponse::InternalServerError().finish(),
    }
}
