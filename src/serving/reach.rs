//! Whether clients can reach a first start: ready pods are not yet a Service that answers, since each node's proxy takes
//! endpoints over about once a second. In go a Service's address and how often it was asked; out comes whether to wait on.
//! Needs the cluster's network.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use k8s_openapi::api::core::v1::Service;
use modelwright_contract::names::HTTP_PORT;
use tokio::time::Instant;

use super::rollout::{Observed, stable_of};
use crate::pods::http::{PodClient, Silence};

/// What a Service is asked.
const PATH: &str = "/v2/health/ready";
/// How long a Service that lets no answer through is asked: a policy may forbid the operator to, and by then every proxy
/// has taken the endpoints over.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long one is asked that refuses connections, as proxies do that know of no endpoint.
const REFUSED_PATIENCE: Duration = Duration::from_secs(10);
/// A first start that was not looked at for so long is asked for anew.
const FORGOTTEN: Duration = Duration::from_mins(10);

/// Services that are, or were, asked whether they answer.
pub struct Reach {
    client: PodClient,
    tried: Mutex<HashMap<String, Tried>>,
}

#[derive(Clone, Copy)]
struct Tried {
    since: Instant,
    reached: bool,
}

impl Default for Reach {
    fn default() -> Self {
        Self::at_port(HTTP_PORT)
    }
}

impl Reach {
    /// Asks at another port than the contract's.
    pub fn at_port(port: u16) -> Self {
        Self::of(PodClient::at_port(port))
    }

    /// Asks through this client.
    pub fn of(client: PodClient) -> Self {
        Self { client, tried: Mutex::default() }
    }

    /// Whether the promotion of a first start has to wait: its pods serve, and its Service has not answered yet. `uid` is
    /// the ModelDeployment's. Where something was promoted before, or nothing serves, nobody is asked.
    pub async fn is_awaited(&self, uid: &str, service: Option<&Service>, observed: &Observed) -> bool {
        let records = observed.revisions.iter().map(|(name, revision)| (name, &revision.record));
        let mut pods = observed.revisions.values().flat_map(|revision| &revision.pods);
        let serves = pods.any(|pod| pod.verified && pod.in_service(&observed.draining));
        if stable_of(records).is_some() || !serves {
            self.lock().remove(uid);
            return false;
        }
        let tried = self.begin(uid);
        let patience = tried.since.elapsed();
        if tried.reached || patience >= REFUSED_PATIENCE {
            return false;
        }
        let address = service.and_then(|service| service.spec.as_ref()?.cluster_ip.clone());
        let answer = match address.filter(|address| !address.is_empty() && address != "None") {
            Some(address) => self.client.reach(&address, PATH).await,
            None => Err(Silence::Other),
        };
        match answer {
            Ok(()) => {
                self.lock().insert(uid.to_owned(), Tried { reached: true, ..tried });
                false
            }
            Err(Silence::Refused) => true,
            Err(Silence::Other) => tried.since.elapsed() < PATIENCE,
        }
    }

    fn begin(&self, uid: &str) -> Tried {
        let mut tried = self.lock();
        tried.retain(|_, tried| tried.since.elapsed() < FORGOTTEN);
        *tried.entry(uid.to_owned()).or_insert_with(|| Tried { since: Instant::now(), reached: false })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Tried>> {
        self.tried.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use serde_json::json;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
        task::JoinHandle,
    };

    use super::*;
    use crate::serving::{
        record::Record,
        rollout::{Pod, Revision},
    };

    fn service(address: &str) -> Service {
        serde_json::from_value(json!({"metadata": {"name": "s"}, "spec": {"clusterIP": address}})).unwrap()
    }

    fn serving(promoted: Option<u64>) -> Observed {
        let pod = Pod {
            name: "p".into(),
            created: None,
            terminating: false,
            started: true,
            ready: true,
            taken_up: true,
            routed: true,
            labelled: true,
            leaving_since: None,
            verified: true,
            drained: false,
            problem: None,
        };
        let record = Record { number: 1, promoted, ..Record::default() };
        let revision = Revision { record, pods: vec![pod], ..Revision::default() };
        Observed { revisions: [("a".to_owned(), revision)].into(), ..Observed::default() }
    }

    async fn free_port() -> u16 {
        TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap().port()
    }

    /// Answers everyone, and counts them.
    fn answering(listener: TcpListener, status: &'static str) -> JoinHandle<()> {
        tokio::spawn(async move {
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                let _ = socket.read(&mut [0; 1024]).await.unwrap();
                let text = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
                socket.write_all(text.as_bytes()).await.unwrap();
            }
        })
    }

    #[tokio::test]
    async fn a_first_start_waits_until_its_service_answers_and_then_asks_no_more() {
        let port = free_port().await;
        let (reach, at) = (Reach::at_port(port), service("127.0.0.1"));
        assert!(reach.is_awaited("u", Some(&at), &serving(None)).await, "connections are refused");
        let server = answering(TcpListener::bind(("127.0.0.1", port)).await.unwrap(), "200 OK");
        assert!(!reach.is_awaited("u", Some(&at), &serving(None)).await);
        server.abort();
        let _ = server.await;
        assert!(!reach.is_awaited("u", Some(&at), &serving(None)).await, "it answered before");
        assert!(reach.is_awaited("another", Some(&at), &serving(None)).await, "its own Service did not");
    }

    #[tokio::test]
    async fn where_something_was_promoted_before_or_nothing_serves_nobody_is_asked() {
        let (reach, at) = (Reach::at_port(free_port().await), service("127.0.0.1"));
        assert!(!reach.is_awaited("u", Some(&at), &serving(Some(1))).await);
        assert!(!reach.is_awaited("u", Some(&at), &Observed::default()).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_may_not_be_asked_is_waited_for_two_seconds() {
        let silent = Reach::at_port(1);
        for nowhere in [service("None"), service("no address at all")] {
            assert!(silent.is_awaited("u", Some(&nowhere), &serving(None)).await);
            tokio::time::advance(Duration::from_millis(1_900)).await;
            assert!(silent.is_awaited("u", Some(&nowhere), &serving(None)).await);
            tokio::time::advance(Duration::from_millis(101)).await;
            assert!(!silent.is_awaited("u", Some(&nowhere), &serving(None)).await);
            silent.lock().clear();
        }
    }

    #[tokio::test]
    async fn a_service_that_refuses_is_asked_longer_than_one_that_is_silent() {
        let (reach, at) = (Reach::at_port(free_port().await), service("127.0.0.1"));
        let ago = |time| Tried { since: Instant::now().checked_sub(time).unwrap(), reached: false };
        reach.lock().insert("u".into(), ago(PATIENCE + Duration::from_secs(1)));
        assert!(reach.is_awaited("u", Some(&at), &serving(None)).await);
        reach.lock().insert("u".into(), ago(REFUSED_PATIENCE));
        assert!(!reach.is_awaited("u", Some(&at), &serving(None)).await);
    }

    #[tokio::test]
    async fn an_answer_that_is_no_success_is_none() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = answering(listener, "503 Service Unavailable");
        assert!(Reach::at_port(port).is_awaited("u", Some(&service("127.0.0.1")), &serving(None)).await);
        server.abort();
    }
}
