//! What the server and the model are, how it does, and whether they are ready, in the protocol's words over HTTP.

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use modelwright_contract::{serving::ExecutionProvider, signature::TensorSpec};
use serde_json::{Map, Value, json};

use super::{
    error::ApiError,
    state::{Served, State},
};
use crate::metrics::Statistics;

/// What the protocol calls a server of this kind.
pub const SERVER: &str = "modelwright";
/// What the protocol calls a model of this kind.
pub const PLATFORM: &str = "onnxruntime_onnx";
pub const BACKEND: &str = "onnxruntime";
/// What Triton's back end for ONNX calls the threads of a run.
const INTRA_OP: &str = "intra_op_thread_count";
const MAX_ROWS: &str = "max_shared_rows";
const MAX_DELAY: &str = "max_queue_delay_microseconds";
/// Extensions of the protocol that are served.
pub const EXTENSIONS: [&str; 5] =
    ["binary_tensor_data", "classification", "model_configuration", "model_repository", "statistics"];

pub async fn server() -> HttpResponse {
    HttpResponse::Ok().json(json!({
        "name": SERVER,
        "version": env!("CARGO_PKG_VERSION"),
        "extensions": EXTENSIONS,
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

pub async fn model(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    check_address(&state, &request)?;
    let served = state.served().map_err(ApiError::NotReady)?;
    let mut body = json!({
        "name": state.settings.model,
        "versions": [state.settings.version.to_string()],
        "platform": PLATFORM,
        "inputs": told(&served.signature.inputs),
        "outputs": told(&served.signature.outputs),
    });
    // No word of the protocol: clients that send every input that they find need not send these.
    if !served.signature.optional_inputs.is_empty() {
        body["optional_inputs"] = json!(told(&served.signature.optional_inputs));
    }
    Ok(HttpResponse::Ok().json(body))
}

/// Tensors in the protocol's words. It has none for names of dimensions and classes: these are parameters, its place for more.
fn told(tensors: &[TensorSpec]) -> Vec<Value> {
    let tensor = |tensor: &TensorSpec| {
        let mut told = json!({ "name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape });
        let mut parameters = Map::new();
        if !tensor.dimensions.is_empty() {
            parameters.insert("dimensions".to_owned(), json!(tensor.dimensions));
        }
        if let Some(classes) = &tensor.classes {
            parameters.insert("classes".to_owned(), json!(classes));
        }
        if !parameters.is_empty() {
            told["parameters"] = Value::Object(parameters);
        }
        told
    };
    tensors.iter().map(tensor).collect()
}

/// `GET /v2/models/{model}/config`, as far as clients read it.
pub async fn configuration(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    check_address(&state, &request)?;
    let served = state.served().map_err(ApiError::NotReady)?;
    let tensors = |tensors: &[TensorSpec]| -> Vec<_> {
        let tensor = |tensor: &TensorSpec| json!({ "name": tensor.name, "data_type": data_type(&tensor.datatype), "dims": tensor.shape });
        tensors.iter().map(tensor).collect()
    };
    let mut inputs = tensors(&served.signature.inputs);
    for mut input in tensors(&served.signature.optional_inputs) {
        input["optional"] = json!(true);
        inputs.push(input);
    }
    let parameters = parameters(&served)
        .into_iter()
        .map(|(name, value)| (name.to_owned(), json!({ "string_value": value })));
    Ok(HttpResponse::Ok().json(json!({
        "name": state.settings.model,
        "platform": PLATFORM,
        "backend": BACKEND,
        "max_batch_size": 0,
        "instance_group": [{
            "name": state.settings.model,
            "count": served.threads.runs,
            "kind": kind_of(&served),
        }],
        "parameters": parameters.collect::<Map<_, _>>(),
        "input": inputs,
        "output": tensors(&served.signature.outputs),
    })))
}

/// How a model is run, as parameters of the model configuration.
pub fn parameters(served: &Served) -> [(&'static str, String); 3] {
    [
        (INTRA_OP, served.threads.of_a_run.to_string()),
        (MAX_ROWS, served.sharing.max_rows.to_string()),
        (MAX_DELAY, served.sharing.max_delay.as_micros().to_string()),
    ]
}

/// What a model runs on, as the model configuration has it.
pub fn kind_of(served: &Served) -> &'static str {
    if served.loaded.execution_provider == ExecutionProvider::Cpu.to_string() {
        "KIND_CPU"
    } else {
        "KIND_GPU"
    }
}

/// A datatype as the model configuration has it.
pub fn data_type(datatype: &str) -> String {
    format!("TYPE_{}", if datatype == "BYTES" { "STRING" } else { datatype })
}

pub async fn statistics(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    if request.match_info().get("model").is_some() {
        check_address(&state, &request)?;
    }
    let Statistics { last_inference, inference_count, execution_count, inference_stats } =
        state.metrics.statistics();
    Ok(HttpResponse::Ok().json(json!({ "model_stats": [{
        "name": state.settings.model,
        "version": state.settings.version.to_string(),
        "last_inference": last_inference,
        "inference_count": inference_count,
        "execution_count": execution_count,
        "inference_stats": inference_stats,
        "batch_stats": [],
    }] })))
}

/// `POST /v2/repository/index`: the only model.
pub async fn index(state: web::Data<State>) -> HttpResponse {
    let (word, reason) = readiness(&state);
    HttpResponse::Ok().json(json!([{
        "name": state.settings.model,
        "version": state.settings.version.to_string(),
        "state": word,
        "reason": reason,
    }]))
}

/// Whether the model takes traffic, in the index's words, and why not.
pub fn readiness(state: &State) -> (&'static str, String) {
    match state.ready() {
        Ok(_) => ("READY", String::new()),
        Err(reason) => ("UNAVAILABLE", reason),
    }
}

/// Refuses a path that names another model or version.
pub fn check_address(state: &State, request: &HttpRequest) -> Result<(), ApiError> {
    let named = request.match_info();
    // The path of the model's own name has no pattern.
    check_names(state, named.get("model").unwrap_or(&state.settings.model), named.get("version"))
}

/// Refuses another model or version.
pub fn check_names(state: &State, model: &str, version: Option<&str>) -> Result<(), ApiError> {
    let other = |what: &str, named: &str, here: &str| {
        let named: String = named.chars().take(80).collect();
        ApiError::NotFound(format!("{what} {named:?} is not served here; expected {here:?}"))
    };
    let settings = &state.settings;
    if model != settings.model {
        return Err(other("model", model, &settings.model));
    }
    match version {
        Some(version) if version.parse() != Ok(settings.version) => {
            Err(other("version", version, &settings.version.to_string()))
        }
        _ => Ok(()),
    }
}
