//! The API server: in goes a request, out comes its answer, from the store. A fault of its client's network stands between
//! the two.

pub mod request;
pub mod watches;

use std::{
    convert::Infallible,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use hyper::body::Bytes;
use kube::client::Body;
use modelwright::clock::Clock;
use serde_json::{Value, json};
use tower::BoxError;

use self::request::{Call, Verb};
use crate::{
    faults::{Network, Way},
    kinds::Kind,
    patch,
    selectors::Selection,
    store::{Author, Guard, Part, Refusal, Store},
};

/// The store that all have a part in.
#[derive(Clone)]
pub struct Shared {
    store: Arc<Mutex<Store>>,
    pub clock: Clock,
}

impl Shared {
    pub fn new(store: Store, clock: Clock) -> Self {
        Self { store: Arc::new(Mutex::new(store)), clock }
    }

    /// The store, now.
    pub fn lock(&self) -> MutexGuard<'_, Store> {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        store.now = self.clock.now();
        store
    }
}

pub type Answer = Response<UnsyncBoxBody<Bytes, io::Error>>;

/// Longest that a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The way of one client to the API server.
#[derive(Clone)]
pub struct Connection {
    pub store: Shared,
    pub network: Network,
    pub author: Author,
}

impl tower::Service<Request<Body>> for Connection {
    type Response = Answer;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Answer, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let connection = self.clone();
        Pin::from(Box::new(async move { connection.carry(request).await }))
    }
}

impl Connection {
    async fn carry(self, request: Request<Body>) -> Result<Answer, BoxError> {
        let (parts, body) = request.into_parts();
        let body = body.collect_bytes().await?;
        let call = Call::read(&parts, &body)?;
        // as long as a request takes: without it, nothing would ever be under way
        tokio::time::sleep(Duration::from_millis(2)).await;
        match self.network.way(&call) {
            Way::Clear => Ok(self.answer(&call)),
            Way::Refused(refusal) => Ok(refused(&refusal)),
            Way::Lost => {
                let _ = self.answer(&call);
                tokio::time::sleep(Duration::from_millis(100)).await;
                Err(io::Error::from(io::ErrorKind::ConnectionReset).into())
            }
            Way::Silent => {
                tokio::time::sleep(PATIENCE).await;
                Err(io::Error::from(io::ErrorKind::TimedOut).into())
            }
            Way::DeadBefore => std::future::pending().await,
            Way::DeadAfter => {
                let _ = self.answer(&call);
                std::future::pending().await
            }
        }
    }

    fn answer(&self, call: &Call) -> Answer {
        let kind = call.key.kind;
        let selection = Selection::read(&call.query);
        match call.verb {
            Verb::Watch => return watches::stream(self, call, selection),
            Verb::List => {
                let store = self.store.lock();
                let version = self.network.version_of_list(kind, store.version());
                let listed = store.all_at(kind, version);
                let here = |object: &&Arc<Value>| {
                    (call.key.namespace.is_empty()
                        || object["metadata"]["namespace"] == call.key.namespace.as_str())
                        && selection.takes(object)
                };
                // events are listed in the older words only
                let (api_version, items): (_, Vec<_>) = if kind == Kind::Event {
                    ("v1", listed.iter().filter(here).map(|event| core_event(event)).collect())
                } else {
                    (kind.place().0, listed.iter().filter(here).map(|object| Value::clone(object)).collect())
                };
                return answered(
                    200,
                    &json!({
                        "apiVersion": api_version, "kind": format!("{kind}List"),
                        "metadata": {"resourceVersion": version.to_string()}, "items": items,
                    }),
                );
            }
            Verb::Get | Verb::Create | Verb::Replace | Verb::Patch | Verb::Delete => {}
        }
        let mut store = self.store.lock();
        store.guard = call.guard();
        let acted = act(&mut store, call, &self.author);
        store.guard = Guard::default();
        match acted {
            Ok((code, value)) => answered(code, &value),
            Err(refusal) => refused(&refusal),
        }
    }
}

fn act(store: &mut Store, call: &Call, by: &Author) -> Result<(u16, Value), Refusal> {
    let Call { key, part, body, .. } = call;
    let found = |object: Arc<Value>| object.as_ref().clone();
    Ok(match call.verb {
        Verb::Get => (200, found(store.get(key).cloned().ok_or_else(|| Refusal::not_found(key))?)),
        Verb::Create => (201, found(store.create(key.kind, &key.namespace, body.clone(), by)?)),
        Verb::Replace => (200, found(store.update(key, *part, by, |_| Ok(body.clone()))?)),
        Verb::Patch => match call.content_type.as_str() {
            "application/apply-patch+yaml" => {
                let is_new = store.get(key).is_none();
                let manager = call.query.get("fieldManager").cloned().unwrap_or_default();
                (if is_new { 201 } else { 200 }, found(store.apply(key, *part, &manager, body, by)?))
            }
            "application/json-patch+json" => {
                (200, found(store.update(key, *part, by, |live| patch::json_patch(live, body))?))
            }
            "application/merge-patch+json" => {
                let merged = store.update(key, *part, by, |mut live| {
                    patch::merge(&mut live, body);
                    Ok(live)
                })?;
                (200, found(merged))
            }
            other => {
                let message = format!("the body of the request was in an unknown format: {other}");
                return Err(Refusal { code: 415, reason: "UnsupportedMediaType", message });
            }
        },
        Verb::Delete => match store.delete(key, &body["preconditions"], by)? {
            Some(left) => (200, found(left)),
            None => (200, json!({"apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Success"})),
        },
        Verb::List | Verb::Watch => unreachable!("answered before"),
    })
}

/// The object that a refusal is sent as.
pub fn status(refusal: &Refusal) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure",
        "message": refusal.message, "reason": refusal.reason, "code": refusal.code,
    })
}

fn refused(refusal: &Refusal) -> Answer {
    answered(refusal.code, &status(refusal))
}

fn answered(code: u16, value: &Value) -> Answer {
    let text = serde_json::to_vec(value).unwrap_or_default();
    let body = Full::new(Bytes::from(text)).map_err(|never: Infallible| match never {}).boxed_unsync();
    let mut answer = Response::new(body);
    *answer.status_mut() = http::StatusCode::from_u16(code).unwrap_or_default();
    answer
}

/// The part that a subresource is.
pub fn part(subresource: Option<&str>) -> Part {
    if subresource == Some("status") { Part::Status } else { Part::Main }
}

/// An event in the words of the core group.
fn core_event(event: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Event", "metadata": event["metadata"], "type": event["type"], "reason": event["reason"],
        "message": event["note"], "involvedObject": event["regarding"],
    })
}
