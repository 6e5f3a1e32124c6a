//! What every call needs, whatever it asks: the service that it is for, its memory, its permit, its deadline, its count, and
//! the headers of its answer. In goes a call; out comes its answer.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyper::{
    Request, Response,
    body::{Frame, Incoming, SizeHint},
    header::{HeaderName, HeaderValue},
};
use modelwright_contract::names::{DIGEST_HEADER, VERSION_HEADER};
use tonic::{Code, Status, body::Body, codec::CompressionEncoding, codegen::Service, server::NamedService};

use super::{
    answer,
    message::{Messages, Unreadable},
    proto::{DESCRIPTORS, grpc_inference_service_server::GrpcInferenceServiceServer},
    service::{Inference, Readiness},
    status::{refuse, status, timeout},
    stream,
};
use crate::{
    budget::{Permit, REQUEST, SMALL},
    error::ApiError,
    metrics::Outcome,
    pipeline::{Counted, take_permit},
    state::{InFlight, State},
};

const INFER: &str = "/inference.GRPCInferenceService/ModelInfer";
const STREAM: &str = "/inference.GRPCInferenceService/ModelStreamInfer";
/// Calls that go on during a drain, and so do not count as use.
const HEALTH: [&str; 4] = [
    "/grpc.health.v1.Health/",
    "/inference.GRPCInferenceService/ServerLive",
    "/inference.GRPCInferenceService/ServerReady",
    "/inference.GRPCInferenceService/ModelReady",
];
/// Largest message of a call that asks for no prediction: names, at most.
const LARGEST: usize = SMALL;
/// How long such a call may be asked. Its answers may come for longer, where somebody watches.
const ASKED: Duration = Duration::from_mins(5);

type Answer = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;
type Call = Arc<dyn Fn(Request<Bounded>) -> Answer + Send + Sync>;

/// What can be called, by the first part of its path.
#[derive(Clone)]
pub struct Services {
    inference: Inference,
    others: Arc<[(String, Call)]>,
}

impl Services {
    pub fn new(state: &Arc<State>) -> Self {
        let inference = Inference::new(Arc::clone(state));
        let methods = GrpcInferenceServiceServer::new(inference.clone())
            .max_decoding_message_size(LARGEST)
            // Answers are not compressed: most clients say that they take it, and few want to wait for it.
            .accept_compressed(CompressionEncoding::Gzip)
            .accept_compressed(CompressionEncoding::Deflate);
        let health = tonic_health::pb::health_server::HealthServer::new(Readiness(Arc::clone(state)))
            .max_decoding_message_size(LARGEST);
        let mut others = vec![named(methods), named(health)];
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        match (reflection().build_v1(), reflection().build_v1alpha()) {
            (Ok(newest), Ok(older)) => others.extend([
                named(newest.max_decoding_message_size(LARGEST)),
                named(older.max_decoding_message_size(LARGEST)),
            ]),
            (Err(error), _) | (_, Err(error)) => tracing::warn!(%error, "gRPC reflection is not served"),
        }
        Self { inference, others: others.into() }
    }

    async fn call(&self, request: Request<Bounded>) -> Response<Body> {
        let path = request.uri().path();
        if let Some((_, call)) = self.others.iter().find(|(prefix, _)| path.starts_with(prefix.as_str())) {
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
    S: Service<Request<Bounded>, Response = Response<Body>, Error = std::convert::Infallible>
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

/// What a client sends of a call that asks for no prediction, for so long as it may.
#[derive(Debug)]
struct Bounded {
    body: Incoming,
    end: Pin<Box<tokio::time::Sleep>>,
}

impl hyper::body::Body for Bounded {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        match Pin::new(&mut this.body).poll_frame(context) {
            Poll::Ready(frame) => {
                Poll::Ready(frame.map(|frame| {
                    frame.map_err(|error| Status::cancelled(format!("the client left: {error}")))
                }))
            }
            Poll::Pending if this.end.as_mut().poll(context).is_ready() => {
                let problem = format!("the call was not asked to the end within {ASKED:?}; call again");
                Poll::Ready(Some(Err(Status::deadline_exceeded(problem))))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer that holds memory for its call until it has ended.
struct Holding {
    body: Body,
    _own: Permit,
}

impl hyper::body::Body for Holding {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

pub async fn answer(state: Arc<State>, services: Services, request: Request<Incoming>) -> Response<Body> {
    let path = request.uri().path();
    let is_health = HEALTH.iter().any(|prefix| path.starts_with(prefix));
    let in_flight = (!is_health).then(|| InFlight::begin(Arc::clone(&state)));
    let mut response = match path {
        INFER => infer(&state, &services.inference, request).await,
        STREAM => infer_many(&state, services.inference, request),
        _ => Box::pin(ask(&state, &services, request)).await,
    };
    let headers = response.headers_mut();
    headers.insert(HeaderName::from_static(VERSION_HEADER), HeaderValue::from(state.settings.version));
    if let Some(digest) = state.digest().and_then(|digest| HeaderValue::from_str(&digest).ok()) {
        headers.insert(HeaderName::from_static(DIGEST_HEADER), digest);
    }
    drop(in_flight);
    response
}

/// A call that asks for no prediction: its messages are small, and its first answer comes in time.
async fn ask(state: &Arc<State>, services: &Services, request: Request<Incoming>) -> Response<Body> {
    let own = match state.budget.take(REQUEST) {
        Ok(own) => own,
        Err(refused) => return status(&refused.into()).into_http(),
    };
    let limit = Duration::from_millis(state.settings.limits.timeout_milliseconds);
    let limit = timeout(request.headers()).map_or(limit, |timeout| limit.min(timeout));
    let end = Box::pin(tokio::time::sleep(ASKED));
    let call = services.call(request.map(|body| Bounded { body, end }));
    let Ok(response) = tokio::time::timeout(limit, call).await else {
        let milliseconds = state.settings.limits.timeout_milliseconds;
        return status(&ApiError::Timeout { milliseconds }).into_http();
    };
    match Status::from_header_map(response.headers()) {
        Some(refusal) if refusal.code() == Code::OutOfRange => Status::resource_exhausted(format!(
            "the message is larger than {LARGEST} bytes; only those of ModelInfer and ModelStreamInfer may be"
        ))
        .into_http(),
        _ => response.map(|body| Body::new(Holding { body, _own: own })),
    }
}

async fn infer(state: &Arc<State>, inference: &Inference, request: Request<Incoming>) -> Response<Body> {
    let mut counted = Counted::begin(Arc::clone(state));
    let limit = counted.deadline();
    let deadline = timeout(request.headers()).map_or(limit, |timeout| limit.min(Instant::now() + timeout));
    let answered = tokio::time::timeout_at(deadline.into(), predict(state, inference, request, deadline));
    let answered = answered.await.unwrap_or_else(|_| {
        let milliseconds = state.settings.limits.timeout_milliseconds;
        Err(ApiError::Timeout { milliseconds }.into())
    });
    match answered {
        Ok(frame) => {
            counted.outcome = Outcome::Predicted;
            answer::one(frame)
        }
        Err(unreadable) => refuse(unreadable, &mut counted).into_http(),
    }
}

/// Answers the only message of a call with the message's frame.
async fn predict(
    state: &Arc<State>,
    inference: &Inference,
    request: Request<Incoming>,
    deadline: Instant,
) -> Result<Bytes, Unreadable> {
    let own = state.budget.take(REQUEST)?;
    let (head, body) = request.into_parts();
    let mut messages = Messages::new(Arc::clone(state), &head.headers, body)?;
    let message = messages.message(deadline).await?;
    messages.end().await?;
    let _permit = take_permit(state)?;
    let (message, memory) = inference.read(message, deadline).await?;
    let (answer, _memory) = inference.predict(message, memory, deadline).await?;
    Ok(answer::frame(state, own, &answer)?)
}

fn infer_many(state: &Arc<State>, inference: Inference, request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let own = match state.budget.take(REQUEST) {
        Ok(own) => own,
        Err(refused) => return status(&refused.into()).into_http(),
    };
    let messages = match Messages::new(Arc::clone(state), &head.headers, body) {
        Ok(messages) => messages,
        Err(unreadable) => {
            return refuse(unreadable, &mut Counted::begin(Arc::clone(state))).into_http();
        }
    };
    let timeout = timeout(&head.headers);
    answer::many(stream::answer(inference, messages, timeout))
        .map(|body| Body::new(Holding { body, _own: own }))
}
