//! What answers the operator's questions over plain HTTP: the pods' servers, and the Services before them.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::FutureExt as _;
use http_body_util::{BodyExt as _, Full};
use hyper::{Response, Uri, body::Bytes};
use modelwright::pods::http::{Answered, PodClient};
use modelwright_contract::status::ServeStatus;
use serde_json::{Value, json};

use crate::{
    cluster::{
        Cluster,
        casts::{self, Cast},
        kubelet,
    },
    faults::{Faults, Lie},
    json::{is_true, items, text},
    kinds::Kind,
    server::Shared,
};

/// A client of all pods and Services of the cluster.
pub fn client(store: Shared, cluster: Arc<Mutex<Cluster>>, faults: Faults) -> PodClient {
    PodClient::by(move |uri| {
        let (store, cluster, faults) = (store.clone(), Arc::clone(&cluster), faults.clone());
        async move { answer(&uri, &store, &cluster, &faults).await }.boxed()
    })
}

async fn answer(uri: &Uri, store: &Shared, cluster: &Mutex<Cluster>, faults: &Faults) -> Answered {
    tokio::time::sleep(Duration::from_millis(2)).await;
    let (host, path) = (uri.host().unwrap_or_default(), uri.path());
    let lie = if path == "/status" { faults.lie() } else { None };
    if lie == Some(Lie::Late) {
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    let value = if uri.port_u16() == Some(9090) {
        said(host, path, store, cluster, lie)
    } else {
        reached(host, store).then(|| json!({"ready": true}))
    };
    let Some(value) = value else { return Err(io::Error::from(io::ErrorKind::ConnectionRefused).into()) };
    let body = Full::new(Bytes::from(value.to_string())).map_err(|never| match never {}).boxed_unsync();
    Ok(Response::new(body))
}

/// Whether a Service has somebody behind it.
fn reached(address: &str, store: &Shared) -> bool {
    let store = store.lock();
    let service = store.all(Kind::Service).find(|service| text(service, "/spec/clusterIP") == address);
    let name = service.map(|service| text(service, "/metadata/name").to_owned()).unwrap_or_default();
    store
        .all(Kind::EndpointSlice)
        .filter(|slice| crate::json::label(slice, "kubernetes.io/service-name") == name)
        .any(|slice| items(slice, "/endpoints").any(|endpoint| endpoint["conditions"]["ready"] == true))
}

fn said(
    address: &str,
    path: &str,
    store: &Shared,
    cluster: &Mutex<Cluster>,
    lie: Option<Lie>,
) -> Option<Value> {
    let store = store.lock();
    let cluster = cluster.lock().unwrap_or_else(PoisonError::into_inner);
    let pod = store.all(Kind::Pod).find(|pod| text(pod, "/status/podIP") == address)?;
    let process = cluster.lives.get(text(pod, "/metadata/uid"))?;
    match path {
        "/retry" => Some(Value::Null),
        "/status" => {
            let config = kubelet::serving(pod)?;
            if !process.serves() || Cast::of(&config.model_digest) == Cast::Silent {
                return None;
            }
            let served = casts::served(&config.model_digest).filter(|_| process.has_loaded());
            let served = match lie {
                Some(Lie::WrongDigest) => Some("f".repeat(64)),
                Some(Lie::NoModel) => None,
                _ => served,
            };
            let now = store.now;
            let status = ServeStatus {
                model: config.model,
                version: config.version,
                execution_provider: if served.is_some() { "CPU".into() } else { String::new() },
                model_digest: served.unwrap_or_default(),
                graph_nodes: std::collections::BTreeMap::default(),
                onnxruntime_version: "1".into(),
                ready: is_true(pod, "Ready"),
                draining: process.is_draining(now),
                drained: process.is_drained(now),
                shared_runs: None,
                golden_samples: 8,
                requests: 0,
                message: None,
            };
            serde_json::to_value(status).ok()
        }
        _ => None,
    }
}
