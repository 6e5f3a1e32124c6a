//! Whether the store that the chart brings along is up, and if not, why: the log, a metric and the runs that wait for it say
//! so. In go its Deployment, claim, events and pods; out come words for people. Needs a client.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Event, PersistentVolumeClaim, Pod},
};
use kube::{Api, Client, ResourceExt as _, api::ListParams};

use crate::{k8s::controller::chain, metrics::Metrics, serving::pods::trouble};

/// Time between two looks while it is up, and while it is not.
const PERIODS: (Duration, Duration) = (Duration::from_mins(1), Duration::from_secs(10));
/// Most events and pods that are read of it.
const MAX_READ: u32 = 50;

/// What is known of the store that came with the chart; nothing where there is none.
#[derive(Clone, Debug, Default)]
pub struct BundledStore {
    down: Arc<Mutex<Option<String>>>,
}

impl BundledStore {
    /// Why it is not up; `None` where it is, or where nobody knows.
    pub fn why_down(&self) -> Option<String> {
        self.lock().clone()
    }

    /// Looks at it from now on: `name` is that of its Deployment.
    pub async fn watch(&self, client: Client, namespace: &str, name: &str, metrics: &Metrics) {
        loop {
            let down = match why_down(&client, namespace, name).await {
                Ok(down) => {
                    metrics.set_bundled_store_up(down.is_none());
                    self.report(down)
                }
                Err(error) => {
                    tracing::debug!(error = chain(&error), "the bundled store cannot be looked at");
                    self.lock().is_some()
                }
            };
            tokio::time::sleep(if down { PERIODS.1 } else { PERIODS.0 }).await;
        }
    }

    /// Takes in what was seen, and logs what is new.
    fn report(&self, down: Option<String>) -> bool {
        let is_down = down.is_some();
        let before = std::mem::replace(&mut *self.lock(), down.clone());
        match &down {
            Some(why) if before != down => tracing::warn!(why, "the bundled store is not up"),
            None if before.is_some() => tracing::info!("the bundled store is up"),
            _ => {}
        }
        is_down
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.down.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why the store is not up, from its claim, or else from its pods.
async fn why_down(client: &Client, namespace: &str, name: &str) -> Result<Option<String>, kube::Error> {
    let deployments = Api::<Deployment>::namespaced(client.clone(), namespace);
    let prefix = format!("the bundled store (Deployment {name} in namespace {namespace}) is not up");
    let Some(deployment) = deployments.get_opt(name).await? else {
        return Ok(Some(format!("{prefix}: it does not exist; upgrade the release to make it again")));
    };
    if deployment.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0) > 0 {
        return Ok(None);
    }
    let claim = match claim_of(&deployment) {
        Some(claim) => claim_trouble(client, namespace, claim).await?,
        None => None,
    };
    let why = match claim {
        Some(why) => Some(why),
        None => pod_trouble(client, namespace, &deployment).await?,
    };
    let why = why.or_else(|| refusal(&deployment)).or_else(|| scaled_away(&deployment, namespace, name));
    let why = why.unwrap_or_else(|| "it is being started".into());
    Ok(Some(format!("{prefix}: {why}")))
}

fn claim_of(deployment: &Deployment) -> Option<&str> {
    let volumes = deployment.spec.as_ref()?.template.spec.as_ref()?.volumes.iter().flatten();
    volumes.into_iter().find_map(|volume| Some(volume.persistent_volume_claim.as_ref()?.claim_name.as_str()))
}

/// What keeps its claim from being bound.
async fn claim_trouble(client: &Client, namespace: &str, name: &str) -> Result<Option<String>, kube::Error> {
    let claims = Api::<PersistentVolumeClaim>::namespaced(client.clone(), namespace);
    let Some(claim) = claims.get_opt(name).await? else {
        return Ok(Some(format!("its PersistentVolumeClaim {name} does not exist")));
    };
    let phase = claim.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default();
    if phase == "Bound" {
        return Ok(None);
    }
    let words = last_words(client, namespace, &claim.uid().unwrap_or_default()).await?;
    // the scheduler has yet to choose a node, so its own words about the pod say more
    if words.as_ref().is_some_and(|(reason, _)| reason == "WaitForFirstConsumer") {
        return Ok(None);
    }
    let told = words.map(|(_, message)| format!(": {message}")).unwrap_or_default();
    let class = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref()).unwrap_or_default();
    let advice = if class.is_empty() {
        "; it names no StorageClass, and the cluster has no default one: set store.bundled.persistence.storageClassName \
         to one that `kubectl get storageclasses` lists (a new claim is needed: delete this one first), or \
         store.bundled.persistence.enabled=false for a store that forgets, or point store.uri elsewhere"
            .to_owned()
    } else {
        format!("; look at StorageClass {class} and its provisioner")
    };
    Ok(Some(format!("its PersistentVolumeClaim {name} is {phase}{told}{advice}")))
}

/// Reason and message of the last event of an object.
async fn last_words(
    client: &Client,
    namespace: &str,
    uid: &str,
) -> Result<Option<(String, String)>, kube::Error> {
    let parameters = ListParams::default().fields(&format!("involvedObject.uid={uid}")).limit(MAX_READ);
    let events = Api::<Event>::namespaced(client.clone(), namespace).list(&parameters).await?;
    let time = |event: &Event| {
        let last = event.last_timestamp.as_ref().map(|time| time.0);
        last.or(event.event_time.as_ref().map(|time| time.0))
    };
    let last = events.items.into_iter().max_by_key(time);
    Ok(last.and_then(|event| Some((event.reason?, event.message?))))
}

/// What keeps its pods from being ready.
async fn pod_trouble(
    client: &Client,
    namespace: &str,
    deployment: &Deployment,
) -> Result<Option<String>, kube::Error> {
    let selector = deployment.spec.as_ref().and_then(|spec| spec.selector.match_labels.clone());
    let labels: Vec<_> =
        selector.unwrap_or_default().iter().map(|(key, value)| format!("{key}={value}")).collect();
    let parameters = ListParams::default().labels(&labels.join(",")).limit(MAX_READ);
    let pods = Api::<Pod>::namespaced(client.clone(), namespace).list(&parameters).await?;
    Ok(pods.items.iter().find_map(trouble).map(|problem| format!("{}: {}", problem.reason, problem.message)))
}

/// Somebody scaled it to nothing, and nothing starts it again.
fn scaled_away(deployment: &Deployment, namespace: &str, name: &str) -> Option<String> {
    let replicas = deployment.spec.as_ref()?.replicas?;
    (replicas == 0).then(|| {
        format!(
            "it was scaled to 0 replicas; start it with `kubectl scale deployment/{name} --namespace {namespace} \
             --replicas=1`"
        )
    })
}

/// What the cluster says of pods that it refuses to make.
fn refusal(deployment: &Deployment) -> Option<String> {
    let conditions = deployment.status.as_ref()?.conditions.iter().flatten();
    let mut failures =
        conditions.filter(|condition| condition.type_ == "ReplicaFailure" && condition.status == "True");
    failures.next()?.message.clone()
}
