//! What all parts of a serving process share: how far it is, who is connected, and whether it is leaving. Needs no client.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::AsFd,
    sync::{
        Arc, Mutex, OnceLock, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::watch;

use modelwright_contract::{
    signature::Signature,
    status::{ServeStatus, SharedRuns},
};

use super::{
    about::About, bounds::Bounds, budget::Budget, drain::Snapshot, settings::Settings, tied::Tied, unsent,
    worker::Worker,
};
use crate::metrics::{Gauges, Metrics};

/// How far a serving process is.
#[derive(Clone, Debug)]
pub enum Phase {
    /// Files are checked, the model is loaded and tried.
    Starting,
    Serving(Arc<Served>),
    /// It does not reproduce its golden samples, and never answers.
    Refused {
        message: String,
        loaded: Loaded,
    },
}

/// What is known once a model is loaded.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub execution_provider: String,
    /// Nodes of the graph by the execution provider that runs them.
    pub graph_nodes: BTreeMap<String, u32>,
    pub onnxruntime_version: String,
    /// Whether requests share runs, and why not; none before that is known.
    pub shared_runs: Option<SharedRuns>,
    pub golden_samples: u32,
}

/// How the cores are shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threads {
    /// Runs at the same time.
    pub runs: usize,
    pub of_a_run: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sharing {
    /// Most rows of a run; 1 if none is shared.
    pub max_rows: u32,
    /// How long a request waits for others.
    pub max_delay: Duration,
}

#[derive(Debug)]
pub struct Served {
    pub signature: Signature,
    /// Names of its classes, as far as its metadata have them.
    pub labels: Vec<String>,
    /// What a request may ask of it.
    pub bounds: Bounds,
    /// Sizes of its inputs that are one.
    pub tied: Tied,
    pub worker: Worker,
    /// How the cores are shared out.
    pub threads: Threads,
    pub sharing: Sharing,
    pub loaded: Loaded,
    pub about: About,
}

fn to_usize(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[derive(Debug)]
pub struct State {
    pub settings: Settings,
    pub metrics: Metrics,
    pub activity: Activity,
    /// Bytes for all that is held for clients.
    pub budget: Arc<Budget>,
    /// Permits for requests: those that run, and those that wait. One is taken when the body is there, so that who sends
    /// slowly keeps nobody from the model.
    pub permits: Arc<Budget>,
    /// Ports that clients are served at.
    ports: OnceLock<BTreeSet<u16>>,
    phase: RwLock<Phase>,
    digest: RwLock<Option<String>>,
    told_by_traffic: AtomicBool,
    told_by_signal: AtomicBool,
    leaving: watch::Sender<bool>,
}

impl State {
    /// The state at the start.
    pub fn new(settings: Settings) -> Self {
        Self {
            metrics: Metrics::new(&settings.model, settings.version),
            activity: Activity::default(),
            budget: Budget::new(
                to_usize(settings.memory.budget),
                to_usize(settings.limits.max_request_bytes),
            ),
            permits: Budget::new((settings.limits.queue as usize).saturating_add(settings.threads), 0),
            ports: OnceLock::new(),
            phase: RwLock::new(Phase::Starting),
            digest: RwLock::new(settings.model_digest.clone()),
            told_by_traffic: AtomicBool::new(false),
            told_by_signal: AtomicBool::new(false),
            leaving: watch::Sender::new(false),
            settings,
        }
    }

    pub fn phase(&self) -> Phase {
        self.phase.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set_phase(&self, phase: Phase) {
        *self.phase.write().unwrap_or_else(PoisonError::into_inner) = phase;
    }

    /// Digest of the model's files: as configured, and checked before anything is served; or as found.
    pub fn digest(&self) -> Option<String> {
        self.digest.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes the digest that was found.
    pub fn set_digest(&self, digest: String) {
        *self.digest.write().unwrap_or_else(PoisonError::into_inner) = Some(digest);
    }

    /// Whether it was told to leave service.
    pub fn is_draining(&self) -> bool {
        self.told_by_traffic.load(Ordering::Relaxed) || self.told_by_signal.load(Ordering::Relaxed)
    }

    /// Leaves service, or comes back, as the traffic file says. Gives whether that is news.
    pub fn drain_by_traffic(&self, drain: bool) -> bool {
        let news = self.told_by_traffic.swap(drain, Ordering::Relaxed) != drain;
        self.leaving.send_replace(self.is_draining());
        if news && drain {
            self.activity.touch();
        }
        news
    }

    /// Notes the ports that clients are served at.
    pub fn set_ports(&self, ports: BTreeSet<u16>) {
        // They are told once, at the start.
        let _ = self.ports.set(ports);
    }

    /// Who is there. Whose answer is still being sent is asked only where nothing else speaks against an end.
    pub fn snapshot(&self) -> Snapshot {
        let seen = self.activity.snapshot();
        let Some(ports) = self.ports.get().filter(|_| seen.is_drained()) else { return seen };
        let sending = unsent::count(ports);
        if sending == 0 {
            return seen;
        }
        // Its client may ask again as soon as it has read it.
        self.activity.touch();
        Snapshot { sending: seen.sending + sending, ..self.activity.snapshot() }
    }

    pub fn drain_by_signal(&self) {
        self.told_by_signal.store(true, Ordering::Relaxed);
        self.leaving.send_replace(true);
    }

    /// Tells those who wait for it when the server leaves service, or comes back.
    pub fn leaving(&self) -> watch::Receiver<bool> {
        self.leaving.subscribe()
    }

    /// Why no traffic should come, or the model that takes it.
    pub fn ready(&self) -> Result<Arc<Served>, String> {
        if self.is_draining() {
            return Err("draining: this server was told to leave service".to_owned());
        }
        self.served()
    }

    /// The model, draining or not.
    pub fn served(&self) -> Result<Arc<Served>, String> {
        match self.phase() {
            Phase::Serving(served) => Ok(served),
            Phase::Starting => Err("starting: the model is being loaded and tried".to_owned()),
            Phase::Refused { message, .. } => Err(message),
        }
    }

    /// What is reported to the operator.
    pub fn status(&self) -> ServeStatus {
        let (loaded, message) = match self.phase() {
            Phase::Starting => (None, None),
            Phase::Serving(served) => (Some(served.loaded.clone()), None),
            Phase::Refused { message, loaded } => (Some(loaded), Some(message)),
        };
        let loaded = loaded.unwrap_or_else(|| Loaded {
            execution_provider: String::new(),
            graph_nodes: BTreeMap::new(),
            onnxruntime_version: String::new(),
            shared_runs: None,
            golden_samples: 0,
        });
        let draining = self.is_draining();
        ServeStatus {
            model: self.settings.model.clone(),
            version: self.settings.version,
            model_digest: self.digest().unwrap_or_default(),
            execution_provider: loaded.execution_provider,
            graph_nodes: loaded.graph_nodes,
            onnxruntime_version: loaded.onnxruntime_version,
            ready: self.ready().is_ok(),
            draining,
            drained: draining && self.snapshot().is_drained(),
            shared_runs: loaded.shared_runs,
            golden_samples: loaded.golden_samples,
            requests: self.metrics.requests(),
            message,
        }
    }

    pub fn render_metrics(&self) -> String {
        let Snapshot { in_flight, connections, .. } = self.activity.snapshot();
        self.metrics.render(Gauges {
            in_flight,
            connections,
            ready: self.ready().is_ok(),
            draining: self.is_draining(),
            memory_held: self.budget.held() as u64,
            memory_budget: self.budget.total() as u64,
            memory_refusals: self.budget.refusals(),
        })
    }
}

/// Who is connected, and when something was last heard. Health checks do not count: they go on during a drain.
#[derive(Debug)]
pub struct Activity {
    in_flight: AtomicI64,
    connections: AtomicI64,
    parting: AtomicI64,
    last: Mutex<Instant>,
}

impl Default for Activity {
    fn default() -> Self {
        Self {
            in_flight: AtomicI64::new(0),
            connections: AtomicI64::new(0),
            parting: AtomicI64::new(0),
            last: Mutex::new(Instant::now()),
        }
    }
}

impl Activity {
    fn touch(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// What a drain looks at.
    pub fn snapshot(&self) -> Snapshot {
        let quiet = self.last.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
        Snapshot {
            in_flight: self.in_flight.load(Ordering::Acquire),
            connections: self.connections.load(Ordering::Acquire),
            sending: self.parting.load(Ordering::Acquire),
            quiet,
        }
    }
}

/// One open connection, until it is dropped.
#[derive(Debug)]
pub struct Connection(Arc<State>);

impl Connection {
    pub fn open(state: Arc<State>) -> Self {
        state.activity.connections.fetch_add(1, Ordering::AcqRel);
        Self(state)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.activity.connections.fetch_sub(1, Ordering::AcqRel);
    }
}

/// One connection that ends as soon as its last answers are received, until it is dropped.
#[derive(Debug)]
pub struct Parting(Arc<State>);

impl Parting {
    pub fn begin(state: Arc<State>) -> Self {
        state.activity.parting.fetch_add(1, Ordering::AcqRel);
        Self(state)
    }
}

impl Drop for Parting {
    fn drop(&mut self) {
        self.0.activity.parting.fetch_sub(1, Ordering::AcqRel);
    }
}

/// One request without an answer, until it is dropped.
#[derive(Debug)]
pub struct InFlight(Arc<State>);

impl InFlight {
    pub fn begin(state: Arc<State>) -> Self {
        state.activity.in_flight.fetch_add(1, Ordering::AcqRel);
        state.activity.touch();
        Self(state)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.activity.touch();
        self.0.activity.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Most bytes of an answer that the kernel has taken for a client and not sent. Without a bound, it takes megabytes at once
/// and then nothing until a third of them is gone: of a client that takes its answer slowly, and fast enough, nothing would
/// be seen for longer than the window of [`super::pace`].
const UNSENT: u32 = 128 * 1024;

/// Has the system tell how much of an answer a client takes while it does. From this the connection's own clock tells a
/// client that takes too little ([`super::pace`]).
pub fn tell_progress(stream: impl AsFd) {
    if let Err(error) = socket2::SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT) {
        tracing::debug!(%error, "how much a client takes is told late");
    }
}
