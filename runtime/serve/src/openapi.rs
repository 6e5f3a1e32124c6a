//! `GET /openapi.json`: the protocol as this server speaks it, in OpenAPI 3.1, with the model's own names and shapes. In
//! goes the shared state; out comes JSON.

use actix_web::{HttpResponse, web};
use modelwright_contract::{
    names::{DIGEST_HEADER, VERSION_HEADER},
    signature::TensorSpec,
};
use serde_json::{Value, json};

use super::{error::ApiError, page::infer_path, state::State};
use modelwright_core::tensor::Datatype;

pub async fn document(state: web::Data<State>) -> Result<HttpResponse, ApiError> {
    let served = state.served().map_err(ApiError::NotReady)?;
    let settings = &state.settings;
    let infer = format!("/{}", infer_path(&settings.model));
    let model = infer.trim_end_matches("/infer");
    let needed = served.signature.inputs.len();
    let inputs: Vec<Value> =
        served.signature.inputs.iter().chain(&served.signature.optional_inputs).map(input).collect();
    let outputs: Vec<Value> = served.signature.outputs.iter().map(output).collect();
    let ready = |summary: &str| {
        json!({"get": {"summary": summary, "responses": {
            "200": {"description": "It is."},
            "503": {"description": "It is not; the body says why.", "content": error_content()},
        }}})
    };
    let plain = |summary: &str| {
        json!({"get": {"summary": summary, "responses": {
            "200": {"description": "JSON.", "content": {"application/json": {"schema": {"type": "object"}}}},
        }}})
    };
    Ok(HttpResponse::Ok().json(json!({
        "openapi": "3.1.0",
        "info": {
            "title": settings.model,
            "version": settings.version.to_string(),
            "description": "A model behind the Open Inference Protocol, version 2.",
        },
        "paths": {
            "/v2": plain("What the server is"),
            "/v2/health/live": plain("Whether the server runs"),
            "/v2/health/ready": ready("Whether the server takes traffic"),
            format!("{model}/ready"): ready("Whether the model takes traffic"),
            model: plain("What the model takes and gives"),
            format!("{model}/config"): plain("How the model is run, in Triton's words"),
            format!("{model}/stats"): plain("How many predictions were made, and how long they took"),
            infer: {"post": {
                "summary": "Predict",
                "operationId": "infer",
                "requestBody": {"required": true, "content": {"application/json": {
                    "schema": {"$ref": "#/components/schemas/Request"},
                }}},
                "responses": {
                    "200": {
                        "description": "The predictions.",
                        "headers": {
                            VERSION_HEADER: {"description": "The version that answered.", "schema": {"type": "string"}},
                            DIGEST_HEADER: {"description": "The digest of its files.", "schema": {"type": "string"}},
                        },
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Response"}}},
                    },
                    "400": {"description": "The request is not one for this model.", "content": error_content()},
                    "413": {"description": "The body is too large.", "content": error_content()},
                    "503": {
                        "description": "The queue is full, or the model is not ready; try again.",
                        "headers": {"retry-after": {"schema": {"type": "integer"}, "description": "Seconds."}},
                        "content": error_content(),
                    },
                    "504": {"description": "No answer in time.", "content": error_content()},
                },
            }},
        },
        "components": {"schemas": {
            "Request": {
                "type": "object",
                "required": ["inputs"],
                "properties": {
                    "id": {"type": "string"},
                    "parameters": {"type": "object"},
                    "inputs": {
                        "type": "array", "minItems": needed, "maxItems": inputs.len(),
                        "items": {"oneOf": inputs},
                    },
                    "outputs": {"type": "array", "items": {
                        "type": "object", "required": ["name"],
                        "properties": {"name": {"enum": names(&served.signature.outputs)}},
                    }},
                },
            },
            "Response": {
                "type": "object",
                "required": ["model_name", "outputs"],
                "properties": {
                    "model_name": {"const": settings.model},
                    "model_version": {"const": settings.version.to_string()},
                    "id": {"type": "string"},
                    "outputs": {"type": "array", "items": {"oneOf": outputs}},
                },
            },
            "Error": {
                "type": "object", "required": ["error"], "properties": {"error": {"type": "string"}},
            },
        }},
    })))
}

fn error_content() -> Value {
    json!({"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}})
}

fn names(tensors: &[TensorSpec]) -> Vec<&str> {
    tensors.iter().map(|tensor| tensor.name.as_str()).collect()
}

/// An input's `data` is flat or nested as its shape says.
fn input(tensor: &TensorSpec) -> Value {
    schema(tensor, json!({"type": "array"}))
}

/// An output's `data` is flat.
fn output(tensor: &TensorSpec) -> Value {
    schema(tensor, json!({"type": "array", "items": element(&tensor.datatype)}))
}

fn schema(tensor: &TensorSpec, data: Value) -> Value {
    let sizes: Vec<Value> = tensor
        .shape
        .iter()
        .enumerate()
        .map(|(axis, size)| {
            let mut schema =
                if *size < 0 { json!({"type": "integer", "minimum": 0}) } else { json!({"const": size}) };
            if let Some(name) = tensor.dimensions.get(axis).filter(|name| !name.is_empty()) {
                schema["title"] = json!(name);
            }
            schema
        })
        .collect();
    let shape =
        json!({"type": "array", "prefixItems": sizes, "minItems": sizes.len(), "maxItems": sizes.len()});
    json!({
        "title": tensor.name,
        "type": "object",
        "required": ["name", "shape", "datatype", "data"],
        "properties": {
            "name": {"const": tensor.name},
            "datatype": {"const": tensor.datatype},
            "shape": shape,
            "data": data,
            "parameters": {"type": "object"},
        },
    })
}

fn element(datatype: &str) -> Value {
    match Datatype::parse(datatype) {
        Some(Datatype::Bool) => json!({"type": "boolean"}),
        Some(Datatype::Bytes) => json!({"type": "string"}),
        Some(Datatype::Fp16 | Datatype::Bf16 | Datatype::Fp32 | Datatype::Fp64) => {
            json!({"type": "number"})
        }
        _ => json!({"type": "integer"}),
    }
}
