//! A prediction over HTTP: admit → decode → run → encode. In goes a request; out comes the answer, counted.

use std::{sync::Arc, time::Instant};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderName, HeaderValue},
    web,
};

use super::{
    admit,
    budget::{self, Permit, REQUEST, SMALL},
    compress::Encoding,
    decode::{self, DecodeError},
    encode::{self, EncodeError, Encoded, Envelope},
    error::ApiError,
    metadata::check_address,
    pipeline::{self, Counted, Deadline, Decoded, Outputs, offload},
    request::InferRequest,
    sending::Sending,
    state::{Served, State},
};
use crate::metrics::Outcome;

/// A response, and the permit for its text if that is not small.
type Written = (Encoded, Option<Permit>);

const JSON_LENGTH: HeaderName = HeaderName::from_static(admit::BINARY_HEADER);

pub async fn infer(state: web::Data<State>, request: HttpRequest, payload: web::Payload) -> HttpResponse {
    let mut counted = Counted::begin(Arc::clone(&state));
    let deadline = counted.deadline();
    match answer(&state, &request, payload, deadline).await {
        Ok(encoded) => {
            counted.outcome = Outcome::Predicted;
            respond(encoded.0, encoded.1)
        }
        Err(error) => {
            tracing::debug!(%error, "refused");
            counted.outcome = error.outcome();
            HttpResponse::from_error(error)
        }
    }
}

fn respond(encoded: Encoded, permit: Option<Permit>) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    match encoded.json_length {
        None => response.content_type(HeaderValue::from_static("application/json")),
        Some(length) => response
            .content_type(HeaderValue::from_static("application/octet-stream"))
            .insert_header((JSON_LENGTH, length)),
    };
    if let Some(encoding) = encoded.encoding {
        response.insert_header((CONTENT_ENCODING, encoding.name()));
    }
    if encoded.behind.is_empty() && permit.is_none() {
        return response.body(encoded.body);
    }
    let text = budget::hold(permit, encoded.body);
    response.body(Sending::new(std::iter::once(text).chain(encoded.behind).collect()))
}

async fn answer(
    state: &web::Data<State>,
    request: &HttpRequest,
    payload: web::Payload,
    deadline: Instant,
) -> Result<Written, ApiError> {
    check_address(state, request)?;
    let served = state.served().map_err(ApiError::NotReady)?;
    let _own = state.budget.take(REQUEST)?;
    let body = admit::read_body(state, request, payload, deadline).await?;
    let _permit = pipeline::take_permit(state)?;
    let accept = request.headers().get(ACCEPT_ENCODING).and_then(|accept| accept.to_str().ok());
    let asked = accept.and_then(Encoding::asked);
    let until = Deadline::new(state, deadline);
    let mut decoded = read(state, body, Arc::clone(&served), until).await?;
    let outputs = pipeline::run(state, &served, &mut decoded, deadline).await?;
    write(state, decoded.request, outputs, asked, until).await
}

fn read(
    state: &web::Data<State>,
    body: admit::Body,
    served: Arc<Served>,
    until: Deadline,
) -> impl Future<Output = Result<Decoded, ApiError>> + use<> {
    // Binary data behind the text cost nothing to read.
    let text = body.json_length.unwrap_or(body.bytes.len());
    let (budget, is_large) = (Arc::clone(&state.budget), text > SMALL);
    offload(text, until, move || {
        pipeline::decode(&budget, &served, || {
            decode::decode_within(is_large.then_some(&budget), &body.bytes, body.json_length).map_err(
                |error| match error {
                    DecodeError::Memory { refused, .. } => refused.into(),
                    error => ApiError::BadRequest(error.to_string()),
                },
            )
        })
    })
}

fn write(
    state: &web::Data<State>,
    wanted: InferRequest,
    outputs: Outputs,
    asked: Option<Encoding>,
    until: Deadline,
) -> impl Future<Output = Result<Written, ApiError>> + use<> {
    let size = match asked {
        None => encode::json_size(&wanted, &outputs.tensors),
        Some(_) => outputs.tensors.iter().map(|output| output.data.len().saturating_mul(10)).sum(),
    };
    let state = state.clone();
    offload(size, until, move || {
        let mut permit = state.budget.take_large(size)?;
        pipeline::encode(&state, outputs, |outputs| {
            let settings = &state.settings;
            let envelope = Envelope { model: &settings.model, version: settings.version, wanted: &wanted };
            let encoded = encode::encode(envelope, &outputs).map_err(|error| match error {
                // The client's fault: it must not count as one of the version.
                EncodeError::NotFinite { .. } if wanted.missing => ApiError::BadRequest(format!(
                    "{error}; the request has null for a missing number, which this model does not fill in"
                )),
                _ => ApiError::Failed(error.to_string()),
            })?;
            let encoded = encoded.compressed(asked).map_err(|error| ApiError::Failed(error.to_string()))?;
            // It was an estimate.
            match &mut permit {
                Some(permit) => {
                    permit.grow_to(encoded.body.capacity())?;
                    permit.shrink_to(encoded.body.capacity());
                }
                None => permit = state.budget.take_large(encoded.body.capacity())?,
            }
            Ok((encoded, permit))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The C library's allocator has blocks of up to this many bytes ready for each thread.
    const READY: usize = 1032;
    /// What the HTTP library holds beside it, more or less.
    const AROUND: usize = 100;

    fn size<A, B, C, F: Future>(_: fn(A, B, C) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_requests_future_is_small_enough_to_be_allocated_quickly() {
        let size = size(infer);
        assert!(size + AROUND <= READY, "{size} bytes");
    }
}
