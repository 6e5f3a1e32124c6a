//! A world: the store, the cluster around it, an operator that is started again when it ends, on one clock that stands still
//! between timers.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::future::BoxFuture;
use jiff::Timestamp;
use modelwright::{
    admin::Readiness,
    cli::{LogFormat, RunArguments},
    clock::Clock,
    k8s::{client, lease::Leadership},
    metrics::Metrics,
    run::{self, Outside},
};
use serde_json::Value;
use tokio::{
    sync::watch,
    task::{AbortHandle, JoinSet},
};

use crate::{
    answers,
    cluster::{self, Cluster},
    faults::{Fault, Faults, Network, Plan},
    kinds::Kind,
    monitors::Monitors,
    normal,
    server::{Connection, Shared},
    store::{Author, Store},
};

/// Where everything is.
pub const NAMESPACE: &str = "space";
/// Where the operator is.
const SYSTEM: &str = "system";
/// When all worlds begin.
const BEGINNING: &str = "2026-11-24T10:00:00Z";
/// Longest that a script waits for what should come.
const LONGEST: Duration = Duration::from_mins(30);
/// How long nothing is written before a world is at rest.
const REST: Duration = Duration::from_secs(40);
/// How long a process takes until it is started again.
const RESTART: Duration = Duration::from_secs(1);

/// An operator's process, and what it leads.
#[derive(Clone, Copy, Debug)]
pub struct Release {
    pub identity: &'static str,
    pub lease: &'static str,
    /// The namespaces that it watches; none: all.
    pub namespaces: &'static [&'static str],
}

/// A world as it was left, to go on from.
#[derive(Clone)]
pub struct Snapshot {
    store: Store,
    cluster: Cluster,
}

impl Snapshot {
    /// A world without anything.
    pub fn empty() -> Self {
        let now = BEGINNING.parse().unwrap_or(Timestamp::UNIX_EPOCH);
        Self { store: Store::new(now), cluster: Cluster::default() }
    }

    /// What a backup brings back: Models, versions, ModelDeployments and revisions, without statuses and owners, into an
    /// empty namespace.
    #[must_use]
    pub fn restored(&self) -> Self {
        let mut store = Store::new(self.store.now);
        for kind in [Kind::Model, Kind::ModelVersion, Kind::ModelDeployment, Kind::ControllerRevision] {
            for object in self.store.all(kind) {
                let mut object = object.as_ref().clone();
                object["metadata"]["ownerReferences"] = Value::Null;
                let made = store.create(kind, NAMESPACE, object, &Author::Person);
                assert!(made.is_ok(), "{made:?}");
            }
        }
        Self { store, cluster: Cluster::default() }
    }

    /// How it ended, in words.
    pub fn end(&self) -> String {
        normal::end(&self.store)
    }

    /// Every write from the one of this number on, a line each: what is asked for, and what is said of it.
    pub fn told_since(&self, number: usize) -> String {
        use std::fmt::Write as _;
        let mut told = String::new();
        for version in self.store.log.iter().skip(number) {
            let after = version.after.as_deref().unwrap_or(&Value::Null);
            let metadata = &after["metadata"];
            let (labels, annotations) = (&metadata["labels"], &metadata["annotations"]);
            let (kind, name, by) = (version.key.kind, &version.key.name, &version.by);
            let (replicas, data, status) = (&after["spec"]["replicas"], &after["data"], &after["status"]);
            _ = writeln!(
                told,
                "{} {kind} {name} by {by:?}: {replicas} {data} {labels} {annotations} {status}",
                version.at
            );
        }
        told
    }

    /// All that was written.
    pub fn log(&self) -> &[crate::store::Version] {
        &self.store.log
    }
}

/// What a script acts on.
pub struct World {
    pub store: Shared,
    pub cluster: Arc<Mutex<Cluster>>,
    pub faults: Faults,
    tasks: Mutex<JoinSet<()>>,
    operators: Mutex<Vec<AbortHandle>>,
    /// What did not come.
    missed: Mutex<Vec<String>>,
}

/// What a person does, or what befalls the cluster.
pub type Script = fn(Arc<World>) -> BoxFuture<'static, ()>;

/// How a run ended.
pub struct Outcome {
    /// The world as it is at its end, without times and random names.
    pub state: Value,
    /// What was broken, or did not come.
    pub broken: Vec<String>,
    pub plan: Plan,
    /// Writes that the monitors looked at.
    pub writes: usize,
    pub snapshot: Snapshot,
    /// How long it took by its own clock.
    pub took: Duration,
}

/// Runs a script in a world, with these faults.
pub fn play(from: &Snapshot, script: Script, faults: &[Fault]) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime needs no more than memory");
    runtime.block_on(async {
        let started = tokio::time::Instant::now();
        let clock = Clock::following(from.store.now);
        let world = World::of(from, clock, faults.to_vec());
        world.keep_operator("modelwright-0");
        world.faults.turn(true);
        script(Arc::clone(&world)).await;
        world.rest().await;
        world.faults.turn(false);
        world.end(started.elapsed())
    })
}

impl World {
    fn of(from: &Snapshot, clock: Clock, faults: Vec<Fault>) -> Arc<Self> {
        let store = Shared::new(from.store.clone(), clock);
        let cluster = Arc::new(Mutex::new(from.cluster.clone()));
        let mut tasks = JoinSet::new();
        tasks.spawn(cluster::run(store.clone(), Arc::clone(&cluster)));
        Arc::new(Self {
            store,
            cluster,
            faults: Faults::new(faults, clock),
            tasks: Mutex::new(tasks),
            operators: Mutex::default(),
            missed: Mutex::default(),
        })
    }

    /// An operator of the one release that there usually is.
    pub fn keep_operator(self: &Arc<Self>, identity: &'static str) -> AbortHandle {
        self.keep(Release { identity, lease: "modelwright", namespaces: &[] })
    }

    /// Starts an operator, and starts it again whenever its process ends. Out comes what stops it for good.
    pub fn keep(self: &Arc<Self>, release: Release) -> AbortHandle {
        self.store.lock().monitors.releases.insert(release.identity, release);
        let (store, cluster, faults) = (self.store.clone(), Arc::clone(&self.cluster), self.faults.clone());
        let keeper = async move {
            loop {
                let network = faults.network();
                let guard = Killed(network.clone());
                tokio::select! {
                    () = operate(release, &store, &cluster, &faults, network) => {}
                    () = guard.0.crashed() => {}
                }
                drop(guard);
                tokio::time::sleep(RESTART).await;
            }
        };
        let operator = self.tasks.lock().unwrap_or_else(PoisonError::into_inner).spawn(keeper);
        self.operators.lock().unwrap_or_else(PoisonError::into_inner).push(operator.clone());
        operator
    }

    /// Stops the first operator for good.
    pub fn stop_first(&self) {
        if let Some(first) = self.operators.lock().unwrap_or_else(PoisonError::into_inner).first() {
            first.abort();
        }
    }

    /// Waits until something is so.
    pub async fn until(&self, what: &str, is: impl Fn(&Store) -> bool) {
        let waits = async {
            let mut changes = self.store.lock().changes();
            loop {
                changes.mark_unchanged();
                if is(&self.store.lock()) {
                    return;
                }
                let _ = changes.changed().await;
            }
        };
        if tokio::time::timeout(LONGEST, waits).await.is_err() {
            let shown = normal::brief(&self.store.lock());
            self.missed
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(format!("did not come: {what}; {shown}"));
        }
    }

    /// Waits until nothing is written any more, but for the Lease.
    async fn rest(&self) {
        let mut changes = self.store.lock().changes();
        let last = |store: &Store| {
            let mut writes = store.log.iter().rev();
            writes
                .find(|version| !matches!(version.key.kind, Kind::Lease | Kind::Event))
                .map(|version| version.number)
        };
        let waits = async {
            loop {
                let before = last(&self.store.lock());
                tokio::time::sleep(REST).await;
                if last(&self.store.lock()) == before {
                    return;
                }
                changes.mark_unchanged();
            }
        };
        if tokio::time::timeout(LONGEST, waits).await.is_err() {
            let writes: Vec<_> = {
                let store = self.store.lock();
                let all = store.log.iter().rev().filter(|version| version.key.kind != Kind::Lease).take(6);
                all.map(|version| format!("{} {} by {:?}", version.key.kind, version.key.name, version.by))
                    .collect()
            };
            let mut missed = self.missed.lock().unwrap_or_else(PoisonError::into_inner);
            missed.push(format!("does not come to rest; its last writes: {}", writes.join(", ")));
        }
    }

    fn end(self: Arc<Self>, took: Duration) -> Outcome {
        let store = self.store.lock().clone();
        let cluster = self.cluster.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut broken = store.monitors.broken.clone();
        broken.extend(Monitors::see_at_rest(&store));
        broken.append(&mut self.missed.lock().unwrap_or_else(PoisonError::into_inner));
        let plan = std::mem::take(&mut *self.faults.plan());
        let (state, writes) = (normal::state(&store), store.monitors.seen);
        Outcome { state, broken, plan, writes, snapshot: Snapshot { store, cluster }, took }
    }
}

/// A process that ends when this does.
struct Killed(Network);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill();
    }
}

/// One process of the operator, until it ends.
async fn operate(
    release: Release,
    store: &Shared,
    cluster: &Arc<Mutex<Cluster>>,
    faults: &Faults,
    network: Network,
) {
    let by = |network: Network| Connection {
        store: store.clone(),
        network,
        author: Author::Operator(release.identity.to_owned()),
    };
    let carrier = kube::client::ClientBuilder::new(by(network.clone()), NAMESPACE);
    let leadership = Leadership::default();
    let metrics = Arc::new(Metrics::default());
    let Ok(client) = client::retrying(carrier, &leadership, &metrics) else { return };
    let outside = Outside {
        client,
        leadership,
        lease: run::Keeping::Here(kube::Client::new(by(network.of_lease()), NAMESPACE)),
        pods: answers::client(store.clone(), Arc::clone(cluster), faults.clone()),
        clock: store.clock,
    };
    let (readiness, _receiver) = watch::channel(Readiness::Standby);
    let _ = run::lead(&arguments(release), outside, &metrics, &readiness, never()).await;
}

fn never() -> impl Future<Output = ()> {
    std::future::pending()
}

fn arguments(release: Release) -> RunArguments {
    RunArguments {
        namespaces: release.namespaces.iter().map(|name| (*name).to_owned()).collect(),
        runtime_image: "registry.example/modelwright-runtime:1".into(),
        runtime_gpu_image: None,
        trainer_image: "registry.example/modelwright-trainer:1".into(),
        trainer_keras_image: None,
        trainer_keras_gpu_image: None,
        store_uri: "oci://store.example:5000/modelwright".into(),
        store_plain_http: true,
        store_push_host: None,
        bundled_store: String::new(),
        allow_private_networks: false,
        answer_seconds: None,
        read_seconds: None,
        admin_address: ([127, 0, 0, 1], 0).into(),
        operator_namespace: SYSTEM.into(),
        lease: release.lease.into(),
        identity: release.identity.into(),
        cluster_domain: "cluster.local".into(),
        log_format: LogFormat::Text,
    }
}
