//! What serving pods say of themselves, at `GET :9090/status`. In go pods; out come their answers, each asked for once
//! when the pod has started, and again only while it drains, or now and then while it is not ready, stays silent or says
//! what it should not. Needs the pods' network.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::future::join_all;
use k8s_openapi::{api::core::v1::Pod, jiff::Timestamp};
use kube::ResourceExt as _;
use modelwright_contract::{names::HTTP_PORT, status::ServeStatus};
use tokio::time::Instant;

use super::{build::SERVE, pods::Answer, reach::Reach, retries};
use crate::{
    api::name::{LEAVING_ANNOTATION, TRAFFIC_LABEL, TRAFFIC_SERVE},
    context::Context,
    pods::http::PodClient,
    problem::Problem,
};

const PATH: &str = "/status";
/// First and last wait before a silent pod is asked again.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// Answers by pod.
#[derive(Default)]
pub struct Prober {
    /// Whether the Services of first starts answer.
    pub services: Reach,
    client: PodClient,
    known: Mutex<HashMap<String, Known>>,
}

struct Known {
    namespace: String,
    name: String,
    life: String,
    /// Since when it leaves, as it stood on the pod when it was asked.
    leaving: Option<String>,
    answer: Answer,
    asked: Instant,
    /// How often in a row it was silent, not ready, or not what it should be.
    unready: u32,
}

impl Prober {
    /// Asks through this client.
    pub fn of(client: &PodClient) -> Self {
        let services = Reach::of(client.clone().to_port(HTTP_PORT));
        Self { services, client: client.clone(), known: Mutex::default() }
    }

    /// Asks pods and Services at other ports than the contract's.
    pub fn at_ports(pods: u16, services: u16) -> Self {
        Self { services: Reach::at_port(services), client: PodClient::at_port(pods), known: Mutex::default() }
    }

    /// The answers of these pods, by name. Those that have none yet are asked, and those that drain are asked again, as are
    /// those whose answer is not what was asked for: one wrong answer, of whoever had the pod's address, must not end a
    /// rollout.
    pub async fn fetch(
        &self,
        pods: &[std::sync::Arc<Pod>],
        is_asked_for: impl Fn(&Pod, &ServeStatus) -> bool,
    ) -> BTreeMap<String, Answer> {
        let asked = pods.iter().filter_map(|pod| {
            let (uid, life) = (pod.uid()?, life(pod)?);
            let address = pod.status.as_ref()?.pod_ip.clone()?;
            self.is_due(&uid, &life, leaving(pod).as_ref()).then_some((uid, life, address, pod))
        });
        let answers = join_all(asked.map(async |(uid, life, address, pod)| {
            let answer = match self.client.get::<ServeStatus>(&address, PATH).await {
                Ok(status) => Answer::Said(status),
                Err(error) => Answer::Silent(error.to_string()),
            };
            (uid, life, answer, pod)
        }))
        .await;
        let mut known = self.lock();
        for (uid, life, answer, pod) in answers {
            let before = known.get(&uid).filter(|known| known.life == life).map_or(0, |known| known.unready);
            let ready = match &answer {
                // of one that leaves it is asked for no more than that it drains
                Answer::Said(said) => {
                    said.draining || said.ready && (leaving(pod).is_some() || is_asked_for(pod, said))
                }
                Answer::Silent(_) => false,
            };
            let unready = if ready { 0 } else { before.saturating_add(1) };
            let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
            let (leaving, asked) = (leaving(pod), Instant::now());
            known.insert(uid, Known { namespace, name, life, leaving, answer, asked, unready });
        }
        pods.iter()
            .filter_map(|pod| {
                let known = known.get(&pod.uid()?)?;
                let mut answer = known.answer.clone();
                // a pod that was called back, and leaves again, has had clients since
                if let Answer::Said(said) = &mut answer {
                    said.drained &= known.leaving == leaving(pod);
                }
                (known.life == life(pod)?).then(|| (pod.name_any(), answer))
            })
            .collect()
    }

    /// What the pods that fetch their model try again.
    pub async fn retries(
        &self,
        context: &Context,
        pods: &[std::sync::Arc<Pod>],
        now: Timestamp,
    ) -> BTreeMap<String, Problem> {
        let why_down = context.bundled_store.why_down();
        let store = context.settings.store_host().zip(why_down.as_deref());
        retries::fetch(&self.client, pods, store, now).await
    }

    /// Forgets the pods that are gone: namespace, name and UID are asked for.
    pub fn keep(&self, exists: impl Fn(&str, &str, &str) -> bool) {
        self.lock().retain(|uid, known| exists(&known.namespace, &known.name, uid));
    }

    fn is_due(&self, uid: &str, life: &str, leaving: Option<&String>) -> bool {
        let known = self.lock();
        let Some(known) = known.get(uid).filter(|known| known.life == life) else { return true };
        match &known.answer {
            // what it said before is no answer to whether it is drained
            _ if leaving.is_some() && known.leaving.as_ref() != leaving => true,
            _ if known.unready > 0 => {
                let wait = PATIENCE.0.saturating_mul(2_u32.saturating_pow(known.unready - 1)).min(PATIENCE.1);
                known.asked.elapsed() >= wait
            }
            Answer::Said(said) => leaving.is_some() && !said.drained,
            Answer::Silent(_) => true,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What changes when the server of a pod starts anew, or has started; `None` while it has none.
fn life(pod: &Pod) -> Option<String> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    let serve = statuses.iter().find(|status| status.name == SERVE)?;
    serve.state.as_ref()?.running.as_ref()?;
    Some(format!("{}/{}", serve.container_id.as_ref()?, serve.started == Some(true)))
}

/// Whether the server of a pod runs, ready or not.
pub fn is_at_work(pod: &Pod) -> bool {
    life(pod).is_some()
}

/// Since when a pod leaves, as it stands on it; `None` while it does not.
fn leaving(pod: &Pod) -> Option<String> {
    let serves = pod.labels().get(TRAFFIC_LABEL).is_some_and(|value| value == TRAFFIC_SERVE);
    (!serves).then(|| pod.annotations().get(LEAVING_ANNOTATION).cloned().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;
    use std::sync::Arc;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    fn pod(labelled: bool) -> Arc<Pod> {
        let labels = if labelled { json!({TRAFFIC_LABEL: TRAFFIC_SERVE}) } else { json!({}) };
        Arc::new(
            serde_json::from_value(json!({
                "metadata": {"name": "p", "uid": "u", "labels": labels},
                "status": {"podIP": "127.0.0.1", "containerStatuses": [{
                    "name": "serve", "image": "", "imageID": "", "ready": true, "restartCount": 0,
                    "containerID": "c1", "started": true, "state": {"running": {}}
                }]}
            }))
            .unwrap(),
        )
    }

    fn status(drained: bool) -> String {
        let body = json!({
            "model": "m", "version": 1, "modelDigest": "d", "executionProvider": "CPU", "onnxruntimeVersion": "1",
            "ready": true, "draining": drained, "drained": drained, "goldenSamples": 1, "requests": 0,
        })
        .to_string();
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    }

    fn any(_: &Pod, _: &ServeStatus) -> bool {
        true
    }

    #[tokio::test]
    async fn a_pod_that_says_what_it_should_not_is_asked_again() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = tokio::spawn(async move {
            for digest in ["another", "d"] {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut request = [0; 1024];
                let _ = socket.read(&mut request).await.unwrap();
                let said =
                    status(false).replace(r#""modelDigest":"d""#, &format!(r#""modelDigest":"{digest}""#));
                let body = said.split_once("\r\n\r\n").unwrap().1;
                let length = body.len();
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
                socket.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let prober = Prober { client: PodClient::at_port(port), ..Prober::default() };
        let digest = async || {
            let mut found = prober.fetch(&[pod(true)], |_, said| said.model_digest == "d").await;
            match found.remove("p") {
                Some(Answer::Said(said)) => said.model_digest,
                other => unreachable!("it answers: {other:?}"),
            }
        };
        assert_eq!((digest().await.as_str(), digest().await.as_str()), ("another", "another"), "not at once");
        let later = |known: &mut Known| known.asked = known.asked.checked_sub(PATIENCE.0).unwrap();
        prober.lock().values_mut().for_each(later);
        assert_eq!(digest().await, "d");
        prober.lock().values_mut().for_each(later);
        assert_eq!(digest().await, "d", "and not again");
        served.await.unwrap();
    }

    #[tokio::test]
    async fn a_pod_is_asked_once_in_its_life_and_again_only_while_it_drains() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = tokio::spawn(async move {
            for drained in [false, false, true] {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut request = [0; 1024];
                let _ = socket.read(&mut request).await.unwrap();
                socket.write_all(status(drained).as_bytes()).await.unwrap();
            }
        });
        let prober = Prober { client: PodClient::at_port(port), ..Prober::default() };
        let mut unborn = pod(true).as_ref().clone();
        unborn.status.as_mut().unwrap().container_statuses = None;
        assert!(
            prober.fetch(&[Arc::new(unborn)], any).await.is_empty(),
            "a pod without a server is not asked"
        );
        for _ in 0..3 {
            let first = prober.fetch(&[pod(true)], any).await;
            assert!(matches!(first.get("p"), Some(Answer::Said(said)) if !said.drained));
        }
        assert!(
            matches!(prober.fetch(&[pod(false)], any).await.get("p"), Some(Answer::Said(said)) if !said.drained)
        );
        for _ in 0..3 {
            assert!(
                matches!(prober.fetch(&[pod(false)], any).await.get("p"), Some(Answer::Said(said)) if said.drained)
            );
        }
        served.await.unwrap();
        prober.keep(|_, _, _| false);
        assert!(prober.lock().is_empty());
    }

    /// Its drain would otherwise last for as long as it is not asked, which is up to a minute.
    #[tokio::test]
    async fn a_pod_that_said_what_it_should_not_is_asked_at_once_whether_it_is_drained_and_on() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = tokio::spawn(async move {
            // it is told to leave before it knows of that itself
            for drained in [false, false, true] {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut request = [0; 1024];
                let _ = socket.read(&mut request).await.unwrap();
                socket.write_all(status(drained).as_bytes()).await.unwrap();
            }
        });
        let prober = Prober { client: PodClient::at_port(port), ..Prober::default() };
        let drained = async |pod: Arc<Pod>| match prober.fetch(&[pod], |_, _| false).await.remove("p") {
            Some(Answer::Said(said)) => said.drained,
            other => unreachable!("it answers: {other:?}"),
        };
        assert!(!drained(pod(true)).await && !drained(pod(true)).await, "asked once");
        assert!(!drained(pod(false)).await);
        assert!(drained(pod(false)).await);
        served.await.unwrap();
    }

    /// A pod that was called back into service has clients again, whatever it said before.
    #[tokio::test]
    async fn a_pod_that_was_called_back_is_asked_again_whether_it_is_drained_the_next_time() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = tokio::spawn(async move {
            for drained in [true, false, true] {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut request = [0; 1024];
                let _ = socket.read(&mut request).await.unwrap();
                socket.write_all(status(drained).as_bytes()).await.unwrap();
            }
        });
        let prober = Prober { client: PodClient::at_port(port), ..Prober::default() };
        let told = |since: &str| {
            let mut told = pod(false).as_ref().clone();
            told.metadata.annotations = Some([(LEAVING_ANNOTATION.to_owned(), since.to_owned())].into());
            Arc::new(told)
        };
        let drained = async |pod: Arc<Pod>| match prober.fetch(&[pod], any).await.remove("p") {
            Some(Answer::Said(said)) => said.drained,
            other => unreachable!("it answers: {other:?}"),
        };
        assert!(drained(told("1")).await && drained(told("1")).await, "asked once");
        assert!(!drained(pod(true)).await, "it was called back");
        assert!(!drained(told("2")).await, "it has clients again, and says so itself");
        assert!(drained(told("2")).await);
        served.await.unwrap();
    }
}
