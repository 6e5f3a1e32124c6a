//! `modelwright run`: admin server → Lease → caches → controllers, until SIGTERM or the Lease is lost. Needs a client.

use std::sync::Arc;

use futures::future::join_all;
use kube::{Api, Client, Config};
use tokio::{sync::watch, task::JoinSet};

use crate::{
    admin::{self, Readiness},
    bundled_store::BundledStore,
    caches::Caches,
    cli::RunArguments,
    clock::Clock,
    context::{Context, MANAGER, Settings},
    k8s::{
        client,
        cluster::Cluster,
        controller::chain,
        election::Election,
        lease::{Elector, Leadership},
    },
    metrics::Metrics,
    model,
    pods::{http::PodClient, silent::SilentPods},
    process::{self, StartError},
    serving,
};

/// Why the operator stopped other than by request.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Another process leads, or the API server is away.
    #[error("the lease was lost; a restart stands by for it")]
    LeaseLost,
    /// A watcher or controller ended, which none does by itself.
    #[error("a task of the operator ended unexpectedly")]
    TaskEnded,
}

/// What the operator meets outside of itself.
pub struct Outside {
    /// Retries a bounded number of times, and writes only while the Lease is held.
    pub client: Client,
    /// Whether it is held.
    pub leadership: Leadership,
    /// Where the Lease is kept.
    pub lease: Keeping,
    /// Asks pods.
    pub pods: PodClient,
    /// The time of day.
    pub clock: Clock,
}

/// Where the Lease is taken and renewed.
pub enum Keeping {
    /// In a task beside the others, by this client, which must not retry.
    Here(Client),
    /// On a thread of its own, by a client of this configuration.
    OnAThread(Box<Config>),
}

/// An error with its causes.
pub fn describe(error: &RunError) -> String {
    chain(error)
}

/// Runs the operator until SIGTERM or SIGINT.
pub fn run(arguments: RunArguments) -> Result<(), RunError> {
    process::run(operate(arguments))
}

async fn operate(arguments: RunArguments) -> Result<(), RunError> {
    let stop = process::stop()?;
    let metrics = Arc::new(Metrics::default());
    let (readiness, receiver) = watch::channel(Readiness::Standby);
    let (server, server_handle) =
        admin::server(arguments.admin_address, receiver, Arc::clone(&metrics)).map_err(StartError::from)?;
    let server = tokio::spawn(server);
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        admin = %arguments.admin_address,
        namespaces = ?arguments.namespaces,
        "started"
    );
    let config = process::cluster().await?;
    let leadership = Leadership::default();
    let outside = Outside {
        lease: Keeping::OnAThread(Box::new(config.clone())),
        client: client::client(config, &leadership, &metrics).map_err(StartError::from)?,
        leadership,
        pods: PodClient::default(),
        clock: Clock::default(),
    };
    let outcome = lead(&arguments, outside, &metrics, &readiness, stop).await;
    server_handle.stop(true).await;
    if let Ok(Err(error)) = server.await {
        tracing::warn!(%error, "the admin server ended badly");
    }
    tracing::info!("stopped");
    outcome
}

/// Waits for the Lease, reconciles until `stop` or the Lease is lost, and gives the Lease back. Dropped, it writes nothing
/// more.
pub async fn lead(
    arguments: &RunArguments,
    outside: Outside,
    metrics: &Arc<Metrics>,
    readiness: &watch::Sender<Readiness>,
    stop: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let identity = arguments.identity.clone();
    let leadership = outside.leadership.clone();
    let Outside { client, lease, pods, clock, .. } = outside;
    let (namespace, name) = (arguments.operator_namespace.clone(), arguments.lease.clone());
    let elector = move |client| {
        let leases = Api::namespaced(client, &namespace);
        Elector::new(leases, MANAGER.name, identity, leadership).named(&name).by(clock)
    };
    let mut election = match lease {
        Keeping::Here(client) => Election::spawn(elector(client)),
        Keeping::OnAThread(config) => {
            let made = Election::on_a_thread(move || Ok(elector(client::lease_client(*config)?)));
            made.map_err(StartError::from)?
        }
    };
    let outside = Connected { client, pods, clock };
    let outcome = reconcile(arguments, outside, metrics, readiness, &mut election, stop).await;
    readiness.send_replace(Readiness::Stopping);
    metrics.set_leading(false);
    if !matches!(outcome, Err(RunError::LeaseLost)) {
        match election.release().await {
            Ok(()) => tracing::info!("released the lease"),
            Err(error) => tracing::warn!(%error, "the lease was not released"),
        }
    }
    outcome
}

/// What the controllers meet outside of themselves.
struct Connected {
    client: Client,
    pods: PodClient,
    clock: Clock,
}

async fn reconcile(
    arguments: &RunArguments,
    Connected { client, pods, clock }: Connected,
    metrics: &Arc<Metrics>,
    readiness: &watch::Sender<Readiness>,
    election: &mut Election,
    stop: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let mut stop = std::pin::pin!(stop);
    tokio::select! {
        () = &mut stop => return Ok(()),
        started = election.started() => started.map_err(StartError::from)?,
    }
    metrics.set_leading(true);
    readiness.send_replace(Readiness::Syncing);
    tracing::info!(identity = arguments.identity, "leading");

    let bundled_store = BundledStore::default();
    let mut watches = JoinSet::new();
    if !arguments.bundled_store.is_empty() {
        let (store, client) = (bundled_store.clone(), client.clone());
        let (namespace, name) = (arguments.operator_namespace.clone(), arguments.bundled_store.clone());
        let metrics = Arc::clone(metrics);
        watches.spawn(async move { store.watch(client, &namespace, &name, &metrics).await });
    }
    let mut contexts = Vec::new();
    for namespace in scopes(&arguments.namespaces) {
        let (caches, drivers) = Caches::new(&client, namespace.as_deref(), metrics);
        contexts.push(Arc::new(Context {
            cluster: Cluster::new(client.clone(), MANAGER, Arc::clone(metrics), &arguments.identity),
            caches,
            settings: Settings::from(arguments),
            pods: pods.clone(),
            silent: SilentPods::default(),
            clock,
            bundled_store: bundled_store.clone(),
        }));
        for driver in drivers {
            watches.spawn(driver);
        }
    }
    let (shutdown, stopping) = watch::channel(false);
    // as the watches, they end when this does
    let mut controllers = JoinSet::new();
    for context in &contexts {
        controllers.spawn(model::run(Arc::clone(context), stopping.clone()));
        controllers.spawn(serving::run(Arc::clone(context), stopping.clone()));
    }
    let synced = async {
        join_all(contexts.iter().map(|context| context.caches.synced())).await;
        readiness.send_replace(Readiness::Leading);
        tracing::info!("caches are filled");
        std::future::pending::<()>().await;
    };
    let outcome = tokio::select! {
        () = &mut stop => Ok(()),
        () = election.stopped() => Err(RunError::LeaseLost),
        _ = watches.join_next() => Err(RunError::TaskEnded),
        _ = controllers.join_next() => Err(RunError::TaskEnded),
        () = synced => Err(RunError::TaskEnded),
    };
    match &outcome {
        Ok(()) => {
            tracing::info!("stopping: finishing what is under way");
            readiness.send_replace(Readiness::Stopping);
            shutdown.send_replace(true);
            // the Lease is kept while they finish: two leaders at once would be worse than a late stop
            tokio::select! {
                () = async { while controllers.join_next().await.is_some() {} } => {}
                () = election.stopped() => {}
            }
        }
        // nothing may be written any more: the process exits at once
        Err(_) => controllers.abort_all(),
    }
    outcome
}

/// One scope a namespace; none named: one scope over all.
fn scopes(namespaces: &[String]) -> Vec<Option<String>> {
    let mut named: Vec<_> =
        namespaces.iter().map(|name| name.trim()).filter(|name| !name.is_empty()).collect();
    named.sort_unstable();
    named.dedup();
    if named.is_empty() { vec![None] } else { named.into_iter().map(|name| Some(name.to_owned())).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_namespace_means_all_and_a_doubled_one_counts_once() {
        assert_eq!(scopes(&[]), vec![None]);
        assert_eq!(scopes(&[String::new()]), vec![None]);
        assert_eq!(scopes(&["b".into(), " a".into(), "b".into()]), vec![Some("a".into()), Some("b".into())]);
    }
}
