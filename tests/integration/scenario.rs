//! A mock API server: requests are answered one by one, in order, and one that does not come within a second fails the
//! test.

use std::{sync::Arc, time::Duration};

use http::{Request, Response};
use kube::{
    Client,
    client::{Body, ClientBuilder},
};
use modelwright::{
    bundled_store::BundledStore,
    caches::Caches,
    clock::Clock,
    context::{Context, MANAGER},
    k8s::{cache::Cache, client::WhileLeading, cluster::Cluster, lease::Leadership},
    metrics::Metrics,
    pods::{http::PodClient, silent::SilentPods},
};
use serde_json::{Value, json};
use tower_test::mock::{Handle, Mock, SendResponse, pair};

use crate::fixtures::{NAMESPACE, settings};

const LIMIT: Duration = Duration::from_secs(1);

/// The server's side of the conversation.
pub struct ApiServer {
    handle: Handle<Request<Body>, Response<Body>>,
    /// Whether the client may write.
    pub leadership: Leadership,
    /// How long it waits for a request.
    pub limit: Duration,
}

/// A request that waits for its answer.
pub struct Call {
    pub method: String,
    pub path: String,
    pub query: String,
    pub body: Value,
    answer: SendResponse<Response<Body>>,
}

/// A client without the operator's guards, and the server that it talks to.
pub fn client() -> (Client, ApiServer) {
    let (service, server) = carrier();
    (Client::new(service, NAMESPACE), server)
}

/// What carries requests, and the server that gets them.
pub fn carrier() -> (Mock<Request<Body>, Response<Body>>, ApiServer) {
    let (service, handle) = pair();
    (service, ApiServer { handle, leadership: Leadership::default(), limit: LIMIT })
}

/// A context that leads and whose caches are empty.
pub fn context() -> (Context, ApiServer) {
    let (service, server) = carrier();
    server.leadership.renew(tokio::time::Instant::now());
    let guard = WhileLeading(server.leadership.clone());
    let client = ClientBuilder::new(service, NAMESPACE).with_layer(&guard).build();
    let context = Context {
        cluster: Cluster::new(client, MANAGER, Arc::new(Metrics::default()), "test"),
        caches: empty_caches(),
        settings: settings(),
        pods: PodClient::default(),
        silent: SilentPods::default(),
        clock: Clock::default(),
        bundled_store: BundledStore::default(),
    };
    (context, server)
}

fn empty_caches() -> Caches {
    Caches {
        models: Cache::fixed(vec![]),
        versions: Cache::fixed(vec![]),
        model_deployments: Cache::fixed(vec![]),
        jobs: Cache::fixed(vec![]),
        pods: Cache::fixed(vec![]),
        revisions: Cache::fixed(vec![]),
        replica_sets: Cache::fixed(vec![]),
        services: Cache::fixed(vec![]),
        endpoint_slices: Cache::fixed(vec![]),
        disruption_budgets: Cache::fixed(vec![]),
        config_maps: Cache::fixed(vec![]),
        service_accounts: Cache::fixed(vec![]),
    }
}

impl ApiServer {
    /// The next request, which must be this one.
    pub async fn expect(&mut self, method: &str, path: &str) -> Call {
        let call = tokio::time::timeout(self.limit, self.next())
            .await
            .unwrap_or_else(|_| panic!("{method} {path} did not come"));
        assert_eq!(format!("{} {}", call.method, call.path), format!("{method} {path}"));
        call
    }

    /// Whether an owner stays is asked before something gets it: it does.
    pub async fn owner_stays<K>(&mut self, owner: &K)
    where
        K: kube::Resource<DynamicType = ()> + serde::Serialize,
    {
        let path = format!(
            "{}/{}",
            K::url_path(&(), owner.meta().namespace.as_deref()),
            owner.meta().name.clone().unwrap()
        );
        self.expect("GET", &path).await.object(owner);
    }

    /// The next request.
    pub async fn next(&mut self) -> Call {
        let (request, answer) = self.handle.next_request().await.expect("the client is gone");
        let (parts, body) = request.into_parts();
        let bytes = body.collect_bytes().await.unwrap();
        Call {
            method: parts.method.to_string(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
            answer,
        }
    }

    /// No request comes for this long.
    pub async fn quiet_for(&mut self, time: Duration) {
        let late = tokio::time::timeout(time, self.handle.next_request()).await;
        if let Ok(Some((request, _))) = late {
            panic!("unexpected: {} {}", request.method(), request.uri());
        }
    }

    /// No request comes any more.
    pub async fn nothing_more(mut self) {
        self.quiet_for(Duration::from_millis(50)).await;
    }
}

impl Call {
    /// Answers with an object.
    pub fn object(self, object: &impl serde::Serialize) {
        self.send(200, serde_json::to_value(object).unwrap());
    }

    /// Answers with what was sent, as stored.
    pub fn echo(self) {
        let mut stored = self.body.clone();
        if let Some(metadata) = stored["metadata"].as_object_mut() {
            metadata.insert("uid".into(), "stored".into());
            metadata.insert("resourceVersion".into(), "999".into());
        }
        self.send(201, stored);
    }

    /// Answers a watch with these events, and ends it. The API server, too, writes the type before the object.
    pub fn events(self, events: &[(&str, Value)]) {
        let line =
            |(type_, object): &(&str, Value)| format!("{{\"type\":\"{type_}\",\"object\":{object}}}\n");
        let body = Body::from(events.iter().map(line).collect::<String>().into_bytes());
        self.answer.send_response(Response::builder().status(200).body(body).unwrap());
    }

    /// Answers with a text.
    pub fn text(self, text: String) {
        let body = Body::from(text.into_bytes());
        self.answer.send_response(Response::builder().status(200).body(body).unwrap());
    }

    /// Answers a write of a Model's status.
    pub fn echo_model(self, model: &modelwright::api::Model) {
        self.object(model);
    }

    /// Answers with an error.
    pub fn error(self, code: u16, reason: &str, message: &str) {
        let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
            "reason": reason, "message": message});
        self.send(code, status);
    }

    fn send(self, code: u16, body: Value) {
        let body = Body::from(serde_json::to_vec(&body).unwrap());
        self.answer.send_response(Response::builder().status(code).body(body).unwrap());
    }
}

/// Runs both sides of a scenario within the limit.
pub async fn play<T>(client: impl Future<Output = T>, server: impl Future<Output = ()>) -> T {
    let (outcome, ()) = tokio::time::timeout(2 * LIMIT, futures::future::join(client, server))
        .await
        .expect("the client waits for a request that nobody answers");
    outcome
}
