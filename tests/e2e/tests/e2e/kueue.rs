//! A real Kueue decides when runs of a queue start and stop: none is lost, none is made twice, and what it stops is no failure.
//! It is built from its sources, so `make test-full` runs these.

use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::ResourceExt as _;
use modelwright::api::{
    condition::RECONCILING,
    model::Model,
    model_version::ModelVersion,
    name::{KUEUE_QUEUE_LABEL, MODEL_LABEL},
};
use serde_json::{Value, json};

use crate::{
    harness::{Space, datasets, kueue::Kueue, resources::Observed as _},
    training::LIAR,
};

/// A training that stays in its middle until there is a file of its name, with one pod only.
async fn create(space: &Space, name: &str, priority: Option<&str>) {
    let uri = space.serve_text("data.csv", "a,b,label\n1,2,0\n3,4,1\n").await;
    let code = space.until_file(name) + LIAR;
    let priority = priority.map(|class| format!("{}-{class}", space.name));
    let run = json!({"queueName": "team", "priorityClass": priority, "backoffLimit": 0});
    let spec = space.own_code(&uri, &code, json!({"run": run}));
    space.create_object::<Model>(datasets::model(name, spec)).await;
}

async fn go_on(space: &Space, name: &str) {
    space.serve_text(name, "go").await;
}

fn phase(model: &Model) -> &str {
    model.status.as_ref().and_then(|status| status.run.as_ref()).map_or("", |run| run.phase.as_str())
}

async fn training(space: &Space, name: &str) -> Model {
    space.until(name, "in the middle of its training", 180, |model: &Model| phase(model) == "Training").await
}

/// Waits until a run stands still and its Model says all of this.
async fn told(space: &Space, name: &str, reason: &str, parts: &[&str]) -> Model {
    space
        .until(name, "told why it waits", 120, |model: &Model| {
            let said = model.says(RECONCILING);
            said.starts_with(reason) && parts.iter().all(|part| said.contains(part))
        })
        .await
}

/// One Job made one version, and nothing in it counts as a failure.
async fn assert_made_once(space: &Space, name: &str) -> Job {
    let model = space.trained_model(name).await;
    assert_eq!(model.status.as_ref().and_then(|status| status.last_failure.clone()), None);
    let mut jobs = space.jobs_of(name).await;
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    let job = jobs.remove(0);
    let status = job.status.clone().unwrap_or_default();
    assert_eq!((status.failed.unwrap_or(0), status.succeeded), (0, Some(1)), "{status:?}");
    assert_eq!(job.spec.as_ref().and_then(|spec| spec.backoff_limit), Some(0));
    let versions = space.list::<ModelVersion>().await;
    let own: Vec<_> =
        versions.iter().filter(|it| it.labels().get(MODEL_LABEL).is_some_and(|it| it == name)).collect();
    assert_eq!(own.iter().map(|version| version.spec.version).collect::<Vec<_>>(), [1]);
    job
}

fn seconds(job: &Job, field: &str) -> String {
    let status = serde_json::to_value(job.status.as_ref()).expect("it is JSON");
    status[field].as_str().unwrap_or_default().to_owned()
}

/// A run waits for its quota, and says so by the queue's name; of two with a quota for one, the second follows the first.
pub async fn runs_wait_for_the_quota_of_their_queue_and_each_becomes_a_version(space: Space) {
    let kueue = Kueue::install(&space, json!({})).await;
    kueue.queue(0).await;
    create(&space, "one", None).await;
    let waiting = told(&space, "one", "Suspended", &["waits for quota in Kueue's queue team", "pods"]).await;
    assert_eq!(phase(&waiting), "Suspended");
    assert!(space.runs("one").await.is_empty(), "a run that waits has no pod");
    let made = space.jobs_of("one").await.remove(0);
    assert_eq!(made.labels()[KUEUE_QUEUE_LABEL], "team");
    assert_eq!(made.spec.as_ref().and_then(|spec| spec.suspend), Some(true), "Kueue's webhook suspends it");

    kueue.set_runs(1).await;
    training(&space, "one").await;
    create(&space, "two", None).await;
    told(&space, "two", "Suspended", &["waits for quota in Kueue's queue team", "pods"]).await;
    assert!(space.runs("two").await.is_empty());
    go_on(&space, "two").await;
    go_on(&space, "one").await;
    let (one, two) = (assert_made_once(&space, "one").await, assert_made_once(&space, "two").await);
    assert_eq!(one.uid(), made.uid(), "the Job that waited is the one that ran");
    assert!(
        seconds(&one, "completionTime") <= seconds(&two, "startTime"),
        "they ran side by side: {:?} {:?}",
        one.status,
        two.status
    );
    // What Kueue put into the pods is in them, and nobody took it out.
    for pod in space.runs("two").await {
        let spec = serde_json::to_value(pod.spec).expect("it is JSON");
        assert_eq!(spec["nodeSelector"]["kubernetes.io/os"], "linux");
        let tolerated = spec["tolerations"].as_array().into_iter().flatten();
        assert!(tolerated.map(|it| &it["key"]).any(|key| key == "tests/flavor"), "{spec}");
    }
    kueue.remove().await;
}

/// A run of a higher priority takes the place of one that trains; that one is told why it stopped, loses nothing of its
/// `backoffLimit`, and follows.
pub async fn a_run_that_is_preempted_is_no_failure_and_follows_later(space: Space) {
    let kueue = Kueue::install(&space, json!({})).await;
    kueue.queue(1).await;
    create(&space, "low", Some("low")).await;
    training(&space, "low").await;
    let first = space.runs("low").await.remove(0).name_any();
    create(&space, "high", Some("high")).await;
    let stopped = told(&space, "low", "Suspended", &["queue team", "Preempted", "no failure"]).await;
    assert_eq!(phase(&stopped), "Suspended");
    space.until_gone::<Pod>(&first, 60).await;
    training(&space, "high").await;
    go_on(&space, "high").await;
    let high = assert_made_once(&space, "high").await;
    training(&space, "low").await;
    go_on(&space, "low").await;
    let low = assert_made_once(&space, "low").await;
    assert!(
        seconds(&high, "completionTime") <= seconds(&low, "startTime"),
        "{:?} {:?}",
        high.status,
        low.status
    );
    assert_eq!(kueue.evictions("Preempted").await, 1);
    let events = space.events().await;
    assert!(events.contains("RunSuspended") && !events.contains("RunFailed"), "{events}");
    kueue.remove().await;
}

/// A pod whose work is in init containers is Ready only once it publishes: with a timeout for that which is below the
/// run's length, Kueue stops the run again and again. The Model says so, with the way out, and that is one.
pub async fn a_timeout_for_ready_pods_below_the_length_of_a_run_is_told_with_its_way_out(space: Space) {
    let wait = |timeout: &str| -> Value {
        let again = json!({"backoffBaseSeconds": 1, "backoffMaxSeconds": 2});
        json!({"waitForPodsReady": {"timeout": timeout, "requeuingStrategy": again}})
    };
    let kueue = Kueue::install(&space, wait("20s")).await;
    kueue.queue(1).await;
    create(&space, "long", None).await;
    let parts = ["2 times", "waitForPodsReady.timeout", "activeDeadlineSeconds"];
    told(&space, "long", "PodsReadyTimeout", &parts).await;
    assert!(kueue.evictions("PodsReadyTimeout").await >= 2);
    let events = space.events().await;
    assert!(events.contains("RunWaiting: PodsReadyTimeout") && !events.contains("RunFailed"), "{events}");

    kueue.set(wait("1h")).await;
    go_on(&space, "long").await;
    assert_made_once(&space, "long").await;
    kueue.remove().await;
}
