//! What a serving pod's `fetch` tries again, in its own words: it has not ended, so the kubelet knows nothing of it. In go
//! pods; out come their problems. Needs the pods' network.

use std::{collections::BTreeMap, sync::Arc};

use futures::future::join_all;
use k8s_openapi::{
    api::core::v1::{ContainerStateRunning, Pod},
    jiff::{SignedDuration, Timestamp},
};
use kube::ResourceExt as _;
use modelwright_contract::report::{MAX_RETRY_BYTES, RETRY_PATH, Retry};

use super::{build::FETCH, rollout::Observed};
use crate::{api::condition::timestamp, k8s::events::truncated, pods::http::PodClient, problem::Problem};

/// How long a pod fetches before it is asked: most have their model by then.
const GRACE: SignedDuration = SignedDuration::from_secs(5);

/// Whether a pod fetches its model.
pub fn is_fetching(pod: &Pod) -> bool {
    running(pod).is_some()
}

/// The state of a pod's `fetch` while it runs.
fn running(pod: &Pod) -> Option<&ContainerStateRunning> {
    let statuses = pod.status.as_ref()?.init_container_statuses.as_ref()?;
    statuses.iter().find(|status| status.name == FETCH)?.state.as_ref()?.running.as_ref()
}

fn is_due(pod: &Pod, now: Timestamp) -> bool {
    running(pod).is_some_and(|running| {
        running.started_at.as_ref().is_none_or(|since| now.duration_since(since.0) >= GRACE)
    })
}

/// What the pods that fetch say they try again, by name. `store` is the host of the store and why that is not up,
/// where both are known.
pub async fn fetch(
    client: &PodClient,
    pods: &[Arc<Pod>],
    store: Option<(&str, &str)>,
    now: Timestamp,
) -> BTreeMap<String, Problem> {
    let asked = pods.iter().filter(|pod| is_due(pod, now)).map(async |pod| {
        let address = pod.status.as_ref()?.pod_ip.as_deref()?;
        // a runtime of another release says nothing
        let retry: Option<Retry> = client.get(address, RETRY_PATH).await.ok()?;
        Some((pod.name_any(), problem(&pod.name_any(), &retry?, store)?))
    });
    join_all(asked).await.into_iter().flatten().collect()
}

/// Tells of each pod what it tries again, unless more is known of it.
pub fn add(observed: &mut Observed, problems: &BTreeMap<String, Problem>) {
    let pods = observed.revisions.values_mut().flat_map(|revision| &mut revision.pods);
    for pod in pods.filter(|pod| pod.problem.is_none()) {
        pod.problem = problems.get(&pod.name).cloned();
    }
}

fn problem(pod: &str, retry: &Retry, store: Option<(&str, &str)>) -> Option<Problem> {
    let since = Timestamp::from_second(i64::try_from(retry.since_unix_seconds).ok()?).ok()?;
    let plain: String = retry.message.chars().filter(|c| !c.is_control()).collect();
    let store = store.filter(|(host, _)| plain.contains(host));
    let store = store.map(|(_, why)| format!("; {why}")).unwrap_or_default();
    let message = format!(
        "fetch of pod {pod} tries again since {}; it failed last because of this: {}{store}",
        timestamp(since),
        truncated(&plain, MAX_RETRY_BYTES)
    );
    Some(Problem { reason: "Retrying".into(), message })
}
