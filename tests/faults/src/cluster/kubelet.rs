//! The scheduler and the kubelet: pods get a node, their containers run one after the other and end, servers get ready,
//! read whether they drain, and go.

use std::time::Duration;

use jiff::Timestamp;
use modelwright_contract::{names::SERVING_ENV, serving::ServingConfig, traffic::Traffic};
use serde_json::{Value, json};

use super::{BY, Cluster, casts::Cast, reports::End};
use crate::{
    json::{controller, is_terminating, items, label, text},
    kinds::Kind,
    store::{Key, Part, Store},
};

const SCHEDULING: Duration = Duration::from_millis(200);
const STARTING: Duration = Duration::from_millis(300);
const LOADING: Duration = Duration::from_secs(1);
const ENDING: Duration = Duration::from_millis(500);
/// How long it takes until a pod reads the list of those that drain, and until its clients are gone.
const HEARING: Duration = Duration::from_secs(1);
const DRAINING: Duration = Duration::from_secs(2);
/// How long it takes from the list until one that was told to leave has no clients.
pub const LEAVING: Duration = HEARING.saturating_add(DRAINING);

/// How far a pod is.
#[derive(Clone, Debug)]
pub struct Life {
    /// Its init containers that ended, then its main one.
    ended: Vec<(String, End)>,
    /// Whether it has a node.
    is_placed: bool,
    /// Whether the present container runs.
    runs: bool,
    /// Whether its server has loaded.
    loaded: bool,
    /// When it gets further by itself.
    next: Timestamp,
    listed: Option<Timestamp>,
    dying: Option<Timestamp>,
    address: String,
    started: String,
}

impl Life {
    /// Whether it has read that it drains.
    pub fn is_draining(&self, now: Timestamp) -> bool {
        self.listed.is_some_and(|since| since + HEARING <= now)
    }

    /// Whether its clients are gone.
    pub fn is_drained(&self, now: Timestamp) -> bool {
        self.listed.is_some_and(|since| since + HEARING + DRAINING <= now)
    }

    /// Whether its server answers.
    pub fn serves(&self) -> bool {
        self.runs && self.is_placed
    }

    pub fn has_loaded(&self) -> bool {
        self.loaded
    }
}

/// What a serving pod was told to serve.
pub fn serving(pod: &Value) -> Option<ServingConfig> {
    let container = items(pod, "/spec/containers").find(|container| container["name"] == "serve")?;
    let variable = items(container, "/env").find(|variable| variable["name"] == SERVING_ENV)?;
    serde_json::from_str(text(variable, "/value")).ok()
}

fn names(pod: &Value) -> Vec<String> {
    let all = items(pod, "/spec/initContainers").chain(items(pod, "/spec/containers"));
    all.map(|container| text(container, "/name").to_owned()).collect()
}

fn runs_for(container: &str) -> Duration {
    Duration::from_secs(if container == "train" { 6 } else { 1 })
}

impl Cluster {
    pub(super) fn kubelet(&mut self, store: &mut Store) {
        let now = store.now;
        let pods: Vec<_> = store.all(Kind::Pod).cloned().collect();
        let is_there = |uid: &String| pods.iter().any(|pod| text(pod, "/metadata/uid") == uid);
        self.lives.retain(|uid, _| is_there(uid));
        for pod in &pods {
            let uid = text(pod, "/metadata/uid").to_owned();
            let key = Key::of(Kind::Pod, pod);
            if matches!(text(pod, "/status/phase"), "Succeeded" | "Failed") {
                continue;
            }
            let mut life = self.lives.remove(&uid).unwrap_or_else(|| Life {
                ended: Vec::new(),
                is_placed: false,
                runs: false,
                loaded: false,
                next: now + SCHEDULING,
                listed: None,
                dying: None,
                address: String::new(),
                started: store.time(),
            });
            if is_terminating(pod) {
                let since = *life.dying.get_or_insert(now);
                if since + ENDING <= now {
                    store.remove(&key, BY);
                    continue;
                }
                self.at(since + ENDING);
            } else {
                self.live(store, pod, &mut life);
            }
            self.hear(store, pod, &mut life);
            if life.is_placed {
                write(store, &key, pod, &life);
            }
            self.lives.insert(uid, life);
        }
    }

    /// A pod's own steps.
    fn live(&mut self, store: &mut Store, pod: &Value, life: &mut Life) {
        let (now, containers) = (store.now, names(pod));
        while life.next <= now && !life.loaded && life.ended.len() < containers.len() {
            let container = containers[life.ended.len()].clone();
            if !life.is_placed {
                life.is_placed = true;
                life.address = self.address();
                let key = Key::of(Kind::Pod, pod);
                let _ = store.update(&key, Part::Main, BY, |mut live| {
                    live["spec"]["nodeName"] = "node".into();
                    Ok(live)
                });
                life.next = now + STARTING;
            } else if !life.runs {
                life.runs = true;
                life.next = now + if container == "serve" { LOADING } else { runs_for(&container) };
            } else if container == "serve" {
                let digest = serving(pod).map(|config| config.model_digest).unwrap_or_default();
                if Cast::of(&digest) == Cast::Broken {
                    return;
                }
                life.loaded = true;
            } else {
                let end = self.end_of(store, pod, &container);
                let is_bad = end.0 != 0;
                life.ended.push((container, end));
                life.runs = false;
                life.next = now + STARTING;
                if is_bad {
                    break;
                }
            }
        }
        let is_over =
            life.ended.len() == containers.len() || life.ended.last().is_some_and(|(_, end)| end.0 != 0);
        if !is_over && !life.loaded && life.next > now {
            self.at(life.next);
        }
    }

    fn end_of(&mut self, store: &Store, pod: &Value, container: &str) -> End {
        let owner = controller(pod).unwrap_or_default();
        match store.all(Kind::Job).find(|job| text(job, "/metadata/uid") == owner).cloned() {
            Some(job) => self.end(&job, container),
            None => (0, String::new()),
        }
    }

    /// Whether it is on the list of those that drain.
    fn hear(&mut self, store: &Store, pod: &Value, life: &mut Life) {
        let now = store.now;
        let map = format!("{}-traffic", label(pod, "modelwright.dev/deployment"));
        let map = store.get(&Key::new(Kind::ConfigMap, text(pod, "/metadata/namespace"), &map));
        let traffic: Traffic = map
            .and_then(|map| serde_json::from_str(text(map, "/data/traffic.json")).ok())
            .unwrap_or_default();
        if !traffic.drain.contains(text(pod, "/metadata/name")) {
            life.listed = None;
            return;
        }
        let since = *life.listed.get_or_insert(now);
        for time in [since + HEARING, since + HEARING + DRAINING] {
            if time > now {
                self.at(time);
                break;
            }
        }
    }
}

fn write(store: &mut Store, key: &Key, pod: &Value, life: &Life) {
    let (now, containers) = (store.now, names(pod));
    let uid = text(pod, "/metadata/uid");
    let is_failed = life.ended.last().is_some_and(|(_, end)| end.0 != 0);
    let is_over = life.ended.len() == containers.len();
    let is_ready = life.loaded && !is_terminating(pod) && !life.is_draining(now);
    let statuses: Vec<_> = containers
        .iter()
        .enumerate()
        .map(|(index, name)| {
            let ended = life.ended.get(index);
            let is_present = index == life.ended.len() && !is_failed;
            let state = match ended {
                Some((_, (code, message))) => {
                    let reason = if *code == 0 { "Completed" } else { "Error" };
                    json!({"terminated": {"exitCode": code, "reason": reason, "message": message, "finishedAt": life.started}})
                }
                None if is_present && life.runs => json!({"running": {"startedAt": life.started}}),
                None => json!({"waiting": {"reason": "PodInitializing"}}),
            };
            json!({
                "name": name, "image": "image", "imageID": "id", "restartCount": 0, "state": state,
                "ready": name == "serve" && is_ready, "started": name == "serve" && life.loaded,
                "containerID": (life.runs || ended.is_some()).then(|| format!("containerd://{uid}-{name}")),
            })
        })
        .collect();
    let inits = items(pod, "/spec/initContainers").count();
    let phase = match (is_failed, is_over, life.ended.len() >= inits && life.runs) {
        (true, ..) => "Failed",
        (_, true, _) => "Succeeded",
        (.., true) => "Running",
        _ => "Pending",
    };
    let word = |is: bool| if is { "True" } else { "False" };
    let status = json!({
        "phase": phase, "startTime": life.started, "podIP": life.address, "hostIP": "10.1.0.1",
        "conditions": [
            {"type": "PodScheduled", "status": "True"},
            {"type": "Initialized", "status": word(life.ended.len() >= inits)},
            {"type": "ContainersReady", "status": word(is_ready)},
            {"type": "Ready", "status": word(is_ready)},
        ],
        "initContainerStatuses": statuses[..inits], "containerStatuses": statuses[inits..],
    });
    store.set(key, Part::Status, vec![("status", status)], BY);
}
