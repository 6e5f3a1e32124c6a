//! What all tests share: the cluster, the operator under test, the servers to import from. In goes the environment.

use std::{env, process, time::Duration};

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, Config,
    api::{DeleteParams, ListParams},
};

use super::{fixtures::Fixtures, images::Images, release, wait};

/// Label on every namespace of a run.
pub const RUN_LABEL: &str = "modelwright-e2e/run";

/// What all tests share.
pub struct World {
    /// Client with the rights of the KUBECONFIG.
    pub client: Client,
    /// Client for pods and Services.
    pub http: reqwest::Client,
    /// Servers to import from.
    pub fixtures: Fixtures,
    /// The images under test.
    pub images: Images,
    /// Tells this run's namespaces from those of others.
    pub run: String,
}

impl World {
    /// What is not there, if anything.
    pub fn missing() -> Option<String> {
        if env::var_os("KUBECONFIG").is_none() {
            return Some("KUBECONFIG is not set; run `make test`".to_owned());
        }
        Images::from_environment().err()
    }

    /// Installs the operator and starts the servers, once for all tests.
    pub async fn prepare() -> Result<Self, String> {
        let images = Images::from_environment()?;
        let client = client().await?;
        let run = run_name();
        let (installed, fixtures) =
            tokio::join!(release::install(&images, &[]), Fixtures::start(client.clone(), &run));
        let fixtures = match (installed, fixtures) {
            (Ok(()), Ok(fixtures)) => fixtures,
            (installed, fixtures) => {
                remove_namespaces(&client, &run).await?;
                return Err(installed.and(fixtures.map(|_| ())).err().unwrap_or_default());
            }
        };
        let http = reqwest::Client::builder()
            .no_proxy()
            // Each request is a connection of its own: an old one may go on to a pod that leaves service.
            .pool_max_idle_per_host(0)
            .timeout(Duration::from_secs(20))
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { client, http, fixtures, images, run })
    }

    /// Deletes the servers, and waits until every namespace of the run is gone.
    pub async fn clean_up(&self) -> Result<(), String> {
        remove_namespaces(&self.client, &self.run).await
    }
}

async fn remove_namespaces(client: &Client, run: &str) -> Result<(), String> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let ours = ListParams::default().labels(&format!("{RUN_LABEL}={run}"));
    let left = namespaces.list(&ours).await.map_err(|error| error.to_string())?;
    for namespace in left {
        let name = namespace.metadata.name.unwrap_or_default();
        if namespace.metadata.deletion_timestamp.is_none() {
            // Gone in the meantime is as good.
            let _ = namespaces.delete(&name, &DeleteParams::default()).await;
        }
        wait::until_gone(&namespaces, &name, Duration::from_mins(2)).await?;
    }
    Ok(())
}

/// A client of the cluster that KUBECONFIG names.
async fn client() -> Result<Client, String> {
    let mut config = Config::infer().await.map_err(|error| error.to_string())?;
    // An eviction that is refused must not be asked for again behind the test's back.
    config.default_retry = false;
    Client::try_from(config).map_err(|error| error.to_string())
}

fn run_name() -> String {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis();
    format!("{:06x}", (now ^ (u128::from(process::id()) << 8)) & 0xff_ffff)
}
