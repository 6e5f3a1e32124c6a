//! What every call needs, whatever it asks: the service that it is for, its place, its deadline, its count, and the
//! headers of its answer. In goes a call; out comes its answer.

use std::{
    pin::Pin,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use hyper::{
    Request, Response,
    body::Incoming,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use modelwright_contract::names::{DIGEST_HEADER, VERSION_HEADER};
use tonic::{Code, Status, body::Body, codec::CompressionEncoding, codegen::Service, server::NamedService};

use super::{
    message::{Broken, Message},
    proto::{DESCRIPTORS, grpc_inference_service_server::GrpcInferenceServiceServer},
    service::{Inference, Readiness},
};
use crate::{
    metrics::Outcome,
    serve::{
        error::ApiError,
        pipeline::{Counted, take_place},
        state::{InFlight, State},
    },
};

const INFER: &str = "/inference.GRPCInferenceService/ModelInfer";
/// Calls that go on during a drain, and so do not count as use.
const HEALTH: [&str; 4] = [
    "/grpc.health.v1.Health/",
    "/inference.GRPCInferenceService/ServerLive",
    "/inference.GRPCInferenceService/ServerReady",
    "/inference.GRPCInferenceService/ModelReady",
];

type Answer = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;
type Call = Arc<dyn Fn(Request<Message>) -> Answer + Send + Sync>;

/// What can be called, by the first part of its path.
#[derive(Clone)]
pub struct Services(Arc<[(String, Call)]>);

impl Services {
    /// All of them.
    pub fn new(state: &Arc<State>) -> Self {
        let largest = usize::try_from(state.settings.limits.max_request_bytes).unwrap_or(usize::MAX);
        let inference = GrpcInferenceServiceServer::new(Inference::new(Arc::clone(state)))
            .max_decoding_message_size(largest)
            .max_encoding_message_size(usize::MAX)
            // Answers are not compressed: most clients say that they take it, and few want to wait for it.
            .accept_compressed(CompressionEncoding::Gzip)
            .accept_compressed(CompressionEncoding::Deflate);
        let health = tonic_health::pb::health_server::HealthServer::new(Readiness(Arc::clone(state)));
        let mut services = vec![named(inference), named(health)];
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        match (reflection().build_v1(), reflection().build_v1alpha()) {
            (Ok(newest), Ok(older)) => services.extend([named(newest), named(older)]),
            (Err(error), _) | (_, Err(error)) => tracing::warn!(%error, "gRPC reflection is not served"),
        }
        Self(services.into())
    }

    async fn call(&self, request: Request<Message>) -> Response<Body> {
        let path = request.uri().path();
        if let Some((_, call)) = self.0.iter().find(|(prefix, _)| path.starts_with(prefix.as_str())) {
            return call(request).await;
        }
        let path: String = path.chars().take(80).collect();
        Status::unimplemented(format!(
            "there is no method {path:?}; ask the reflection service what there is"
        ))
        .into_http()
    }
}

fn named<S>(service: S) -> (String, Call)
where
    S: Service<Request<Message>, Response = Response<Body>, Error = std::convert::Infallible>
        + NamedService
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
{
    let call = move |request| {
        let answer = service.clone().call(request);
        Box::pin(async move { answer.await.unwrap_or_else(|never| match never {}) }) as Answer
    };
    (format!("/{}/", S::NAME), Arc::new(call))
}

/// What the call of a prediction is given, and what it leaves behind.
#[derive(Clone, Debug)]
pub struct Context {
    /// When its time is over, by the server's limit or the client's.
    pub deadline: Instant,
    outcome: Arc<OnceLock<Outcome>>,
}

impl Context {
    /// Notes how the call ended.
    pub fn ended(&self, outcome: Outcome) {
        // It ends once.
        let _ = self.outcome.set(outcome);
    }
}

/// Answers a call.
pub async fn answer(state: Arc<State>, services: Services, request: Request<Incoming>) -> Response<Body> {
    let path = request.uri().path();
    let is_health = HEALTH.iter().any(|prefix| path.starts_with(prefix));
    let in_flight = (!is_health).then(|| InFlight::begin(Arc::clone(&state)));
    let (is_infer, broken) = (path == INFER, Broken::default());
    let mut request = request.map(|body| Message::new(body, broken.clone()));
    let mut response = if is_infer {
        infer(&state, &services, request, &broken).await
    } else {
        request.extensions_mut().insert(broken);
        services.call(request).await
    };
    let headers = response.headers_mut();
    headers.insert(HeaderName::from_static(VERSION_HEADER), HeaderValue::from(state.settings.version));
    if let Some(digest) = state.digest().and_then(|digest| HeaderValue::from_str(&digest).ok()) {
        headers.insert(HeaderName::from_static(DIGEST_HEADER), digest);
    }
    drop(in_flight);
    response
}

async fn infer(
    state: &Arc<State>,
    services: &Services,
    mut request: Request<Message>,
    broken: &Broken,
) -> Response<Body> {
    let mut counted = Counted::begin(Arc::clone(state));
    let refused = |error: &ApiError| status(error).into_http();
    // A place is taken before the message is read, so that messages in memory are bounded too.
    let place = match take_place(state) {
        Ok(place) => place,
        Err(error) => {
            counted.outcome = error.outcome();
            return refused(&error);
        }
    };
    let limit = counted.deadline();
    let deadline = patience(request.headers()).map_or(limit, |patience| limit.min(Instant::now() + patience));
    let context = Context { deadline, outcome: Arc::default() };
    request.extensions_mut().insert(context.clone());
    let call = services.call(request);
    let Ok(response) = tokio::time::timeout_at(deadline.into(), call).await else {
        let error = ApiError::Timeout { milliseconds: state.settings.limits.timeout_milliseconds };
        counted.outcome = error.outcome();
        return refused(&error);
    };
    drop(place);
    let (outcome, response) = match context.outcome.get() {
        // Counted as a client that left.
        None if broken.is_so() => return response,
        // It never came as far as the service: the message is none, or too large.
        None => judge(state, response),
        Some(outcome) => (*outcome, response),
    };
    counted.outcome = outcome;
    response
}

/// Says in our words, and with the usual code, what the transport refused.
fn judge(state: &State, response: Response<Body>) -> (Outcome, Response<Body>) {
    let Some(refusal) = Status::from_header_map(response.headers()) else {
        return (Outcome::Predicted, response);
    };
    match unreadable(state, refusal.code()) {
        None => (Outcome::Encoding, response),
        Some(error) => (error.outcome(), status(&error).into_http()),
    }
}

/// Why the transport could not read a message, by its code; none if it is compressed in another way.
pub fn unreadable(state: &State, code: Code) -> Option<ApiError> {
    match code {
        Code::OutOfRange | Code::ResourceExhausted => {
            Some(ApiError::TooLarge { limit: state.settings.limits.max_request_bytes })
        }
        Code::Unimplemented => None,
        _ => Some(ApiError::BadRequest(
            "the message is no ModelInferRequest of the Open Inference Protocol, or it ended early"
                .to_owned(),
        )),
    }
}

/// How long the client waits: up to eight digits and a unit.
pub fn patience(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = digits.parse().ok().filter(|_| digits.len() <= 8)?;
    Some(match unit {
        "H" => Duration::from_hours(number),
        "M" => Duration::from_mins(number),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

/// An error in gRPC's words.
pub fn status(error: &ApiError) -> Status {
    let code = match error {
        ApiError::BadRequest(_) => Code::InvalidArgument,
        ApiError::NotFound(_) => Code::NotFound,
        ApiError::MethodNotAllowed { .. } | ApiError::Encoding { .. } => Code::Unimplemented,
        ApiError::SlowBody { .. } | ApiError::Timeout { .. } => Code::DeadlineExceeded,
        ApiError::TooLarge { .. } => Code::ResourceExhausted,
        ApiError::Failed(_) => Code::Internal,
        // The code that clients and meshes send again after.
        ApiError::Overloaded { .. } | ApiError::NotReady(_) | ApiError::Stopping => Code::Unavailable,
    };
    Status::new(code, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_patience_is_read_in_every_unit() {
        for (text, patience) in [
            ("2S", Some(Duration::from_secs(2))),
            ("90m", Some(Duration::from_millis(90))),
            ("7u", Some(Duration::from_micros(7))),
            ("99999999H", Some(Duration::from_hours(99_999_999))),
            ("100000000S", None),
            ("S", None),
            ("", None),
            ("5x", None),
            ("-1S", None),
        ] {
            let headers = HeaderMap::from_iter([(
                HeaderName::from_static("grpc-timeout"),
                HeaderValue::from_static(text),
            )]);
            assert_eq!(super::patience(&headers), patience, "{text}");
        }
    }
}
