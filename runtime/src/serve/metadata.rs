//! What the server and the model are, and whether they are ready, in the protocol's words.

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use serde_json::json;

use super::{error::ApiError, state::State};

/// What the protocol calls a model of this kind.
const PLATFORM: &str = "onnxruntime_onnx";

/// `GET /v2`.
pub async fn server() -> HttpResponse {
    HttpResponse::Ok().json(json!({
        "name": "modelwright",
        "version": env!("CARGO_PKG_VERSION"),
        "extensions": [],
    }))
}

/// `GET /v2/health/live`: it runs.
pub async fn live() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "live": true }))
}

/// `GET /v2/health/ready`: it takes traffic.
pub async fn ready(state: web::Data<State>) -> HttpResponse {
    match state.ready() {
        Ok(_) => HttpResponse::Ok().json(json!({ "ready": true })),
        Err(reason) => not_ready(json!({ "ready": false, "error": reason })),
    }
}

/// `GET /v2/models/{model}/ready`: the same for the only model.
pub async fn model_ready(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    check_address(&state, &request)?;
    let name = &state.settings.model;
    Ok(match state.ready() {
        Ok(_) => HttpResponse::Ok().json(json!({ "name": name, "ready": true })),
        Err(reason) => not_ready(json!({ "name": name, "ready": false, "error": reason })),
    })
}

fn not_ready(body: serde_json::Value) -> HttpResponse {
    HttpResponse::ServiceUnavailable().insert_header((header::RETRY_AFTER, "1")).json(body)
}

/// `GET /v2/models/{model}`.
pub async fn model(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    check_address(&state, &request)?;
    let served = state.served().map_err(ApiError::Unavailable)?;
    Ok(HttpResponse::Ok().json(json!({
        "name": state.settings.model,
        "versions": [state.settings.version.to_string()],
        "platform": PLATFORM,
        "inputs": served.signature.inputs,
        "outputs": served.signature.outputs,
    })))
}

/// Refuses a path that names another model or version.
pub fn check_address(state: &State, request: &HttpRequest) -> Result<(), ApiError> {
    let settings = &state.settings;
    let version = settings.version.to_string();
    for (what, here) in [("model", &settings.model), ("version", &version)] {
        if let Some(named) = request.match_info().get(what).filter(|named| named != here) {
            let named: String = named.chars().take(80).collect();
            return Err(ApiError::NotFound(format!(
                "{what} {named:?} is not served here; expected {here:?}"
            )));
        }
    }
    Ok(())
}
