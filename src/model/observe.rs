//! Fetch: what exists around a Model. In go the caches, for pods that wait their warnings from the API server, and for a
//! pod that trains its own word; out comes [`Snapshot`]. Needs a client.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::{
    api::{
        apps::v1::ControllerRevision,
        batch::v1::Job,
        core::v1::{Event, Pod},
    },
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::{SignedDuration, Timestamp},
};
use kube::{
    Api, ResourceExt as _,
    api::{ApiResource, DynamicObject, GroupVersionKind, ListParams},
};
use modelwright_contract::{
    report::{MAX_RETRY_BYTES, RETRY_PATH, Retry},
    training::{PROGRESS_PATH, Progress},
};
use serde::de::DeserializeOwned;

use super::{
    in_use::InUse,
    run::{
        containers::{finished, has_begun, is_suspended},
        phases::{Phase, Question},
        queue::Workload,
    },
    snapshot::{Retrying, Snapshot, Warning},
};
use crate::{
    api::{
        LARGEST_INTEGER, Model, ModelDeployment, ModelVersion,
        condition::timestamp,
        model::RunProgress,
        name::{
            DEPLOYMENT_LABEL, KUEUE_JOB_LABEL, KUEUE_QUEUE_LABEL, MANAGED_BY, MANAGED_BY_LABEL, MODEL_LABEL,
            VERSION_LABEL,
        },
    },
    caches::kinds::Key,
    context::Context,
    k8s::events::truncated,
    pods::{http::NoAnswer, unstarted::container_statuses},
    unreadable,
};

/// How long something may wait before its warnings are asked for: most waits are over by then.
const GRACE: SignedDuration = SignedDuration::from_secs(4);
/// The same for a Job without pods: a busy controller manager takes a while.
const POD_GRACE: SignedDuration = SignedDuration::from_secs(15);
/// Most warnings that are read of one object.
const MAX_WARNINGS: u32 = 50;
/// Longest word of a pod's progress, in bytes.
const MAX_WORD: usize = 64;

/// Reads what exists around a Model.
pub async fn observe(context: &Context, model: &Model) -> Snapshot {
    let (name, namespace) = (model.name_any(), model.namespace().unwrap_or_default());
    let caches = &context.caches;
    let ours = Key::Model(name.clone());
    let jobs = caches.jobs.of(&namespace, &ours);
    let mut pods = caches.pods.of(&namespace, &ours);
    // serving pods carry the Model's label too
    pods.retain(|pod| !pod.labels().contains_key(DEPLOYMENT_LABEL));
    let now = context.clock.now();
    let (mut warnings, mut waited) = (Vec::new(), None);
    for (uid, time, is_due) in waiting(&jobs, &pods, now) {
        waited = Some(waited.map_or(time, |newest: SignedDuration| newest.min(time)));
        if is_due {
            warnings.extend(fetch_warnings(context, &namespace, &uid).await);
        }
    }
    waited = waited.or_else(|| jobs.iter().filter_map(|job| queued_for(job, now)).min());
    let (progress, retrying, workloads) = futures::join!(
        fetch_progress(context, &pods),
        fetch_retrying(context, &pods),
        fetch_workloads(context, &namespace, &jobs)
    );
    let revisions = caches.revisions.of(&namespace, &ours);
    let versions = caches.versions.of(&namespace, &ours);
    let following = caches.model_deployments.of(&namespace, &ours);
    let holders = fetch_holders(context, &name, &namespace);
    let mut users = following;
    // the last version is never removed
    if versions.len() > 1 {
        // one that names another Model by now may still serve this one's bytes
        let served = |version: &Arc<ModelVersion>| Key::Digest(version.spec.model_digest.clone());
        users.extend(
            versions.iter().flat_map(|version| caches.model_deployments.of(&namespace, &served(version))),
        );
    }
    Snapshot {
        versions,
        jobs,
        pods,
        in_use: InUse {
            is_unknown: is_use_unknown(context, &namespace, &ours),
            ..InUse::read(&name, users.iter().map(AsRef::as_ref), revisions.iter().map(AsRef::as_ref))
        },
        unreadable: fetch_unreadable(context, &namespace, &ours),
        highest_revision: revisions
            .iter()
            .filter_map(|revision| revision.labels().get(VERSION_LABEL)?.parse().ok())
            .max()
            .unwrap_or(0),
        holders,
        store_wants_tokens: context.settings.store_push_host.is_some(),
        workload_account: caches.has_workload_account(&namespace),
        progress,
        retrying,
        workloads,
        warnings,
        waited,
        now,
    }
}

/// ModelDeployments that name the Model, or may, and live on. In a namespace that is going away none does: the namespace
/// controller deletes them all, and admits no new ones.
pub(super) fn fetch_holders(context: &Context, name: &str, namespace: &str) -> Vec<String> {
    let deployments = &context.caches.model_deployments;
    let ours = Key::Model(name.to_owned());
    let named = deployments.of(namespace, &ours);
    let named = named.iter().filter(|deployment| deployment.metadata.deletion_timestamp.is_none());
    // one that does not parse may name any Model, unless it names one
    let unreadable = deployments.all_unreadable(namespace);
    let may = unreadable.iter().filter(|deployment| {
        !deployment.is_terminating() && (deployment.keys().is_empty() || deployment.keys().contains(&ours))
    });
    named.map(|deployment| deployment.name_any()).chain(may.map(|one| one.name().to_owned())).collect()
}

/// A Model's versions and who uses them as the API server has them now: a version is not deleted on the word of caches that
/// may be behind.
pub async fn fetch_live(
    context: &Context,
    model: &Model,
) -> Result<(Vec<Arc<ModelVersion>>, InUse), kube::Error> {
    let (name, namespace) = (model.name_any(), model.namespace().unwrap_or_default());
    let of_model = of_model(model);
    let all = ListParams::default();
    let (versions, deployments, revisions) = futures::try_join!(
        context.list::<ModelVersion>(&namespace, &of_model),
        context.list::<ModelDeployment>(&namespace, &all),
        context.list::<ControllerRevision>(&namespace, &of_model),
    )?;
    let mut in_use = InUse::read(&name, &deployments.items, &revisions.items);
    in_use.is_unknown = !(versions.unreadable.is_empty()
        && deployments.unreadable.is_empty()
        && revisions.unreadable.is_empty());
    Ok((versions.items.into_iter().map(Arc::new).collect(), in_use))
}

/// A Model's versions as the API server has them now: none is made twice on the word of a cache that may be behind.
pub async fn fetch_versions(context: &Context, model: &Model) -> Result<Vec<Arc<ModelVersion>>, kube::Error> {
    let namespace = model.namespace().unwrap_or_default();
    context.list::<ModelVersion>(&namespace, &of_model(model)).await?.all()
}

/// Pods of a Model's Jobs as the API server has them now: a run's pod is not taken for lost on the word of a cache that may
/// be behind.
pub async fn fetch_pods(context: &Context, model: &Model) -> Result<Vec<Arc<Pod>>, kube::Error> {
    let namespace = model.namespace().unwrap_or_default();
    let mut of_jobs = of_model(model);
    // serving pods carry the Model's label too
    of_jobs.label_selector = of_jobs.label_selector.map(|ours| format!("{ours},!{DEPLOYMENT_LABEL}"));
    context.list::<Pod>(&namespace, &of_jobs).await?.all()
}

/// What is ours and carries a Model's label.
fn of_model(model: &Model) -> ListParams {
    let name = model.name_any();
    ListParams::default().labels(&format!("{MANAGED_BY_LABEL}={MANAGED_BY},{MODEL_LABEL}={name}"))
}

/// What belongs to a Model and does not parse, by kind, name and field: its versions, its Jobs and their pods.
fn fetch_unreadable(context: &Context, namespace: &str, ours: &Key) -> Vec<String> {
    let caches = &context.caches;
    let versions = caches.versions.unreadable_of(namespace, ours);
    let jobs = caches.jobs.unreadable_of(namespace, ours);
    let mut pods = caches.pods.unreadable_of(namespace, ours);
    // serving pods carry the Model's label too
    pods.retain(|pod| !pod.keys().iter().any(|key| matches!(key, Key::Deployment(_))));
    let told = [unreadable::tell_all(&versions), unreadable::tell_all(&jobs), unreadable::tell_all(&pods)];
    told.into_iter().flatten().collect()
}

/// Whether something of the namespace that may use versions does not parse.
fn is_use_unknown(context: &Context, namespace: &str, ours: &Key) -> bool {
    let caches = &context.caches;
    !caches.versions.unreadable_of(namespace, ours).is_empty()
        || !caches.model_deployments.all_unreadable(namespace).is_empty()
        || !caches.revisions.all_unreadable(namespace).is_empty()
}

/// The newest pod in whose present phase this can be asked, with that phase.
fn running(pods: &[Arc<Pod>], question: Question) -> Option<(&Pod, Phase)> {
    let runs = |pod: &Pod, phase: &Phase| {
        container_statuses(pod).any(|status| {
            status.name == phase.container()
                && status.state.as_ref().is_some_and(|state| state.running.is_some())
        })
    };
    let asked = |pod: &Pod| {
        let mut phases = Phase::ALL.into_iter().filter(|phase| phase.data().answers == Some(question));
        phases.find(|phase| runs(pod, phase))
    };
    let found = pods.iter().filter_map(|pod| Some((pod.as_ref(), asked(pod)?)));
    found.max_by_key(|(pod, _)| pod.creation_timestamp().map(|time| time.0))
}

/// What a run's `fetch` or `publish` tries again. A runtime of another release may say nothing.
async fn fetch_retrying(context: &Context, pods: &[Arc<Pod>]) -> Option<Retrying> {
    let (pod, phase) = running(pods, Question::Retry)?;
    let address = pod.status.as_ref()?.pod_ip.as_deref()?;
    match ask::<Option<Retry>>(context, pod, address, RETRY_PATH).await? {
        Ok(retry) => {
            let Retry { since_unix_seconds, message } = retry?;
            let since = i64::try_from(since_unix_seconds).ok()?;
            let plain: String = message.chars().filter(|c| !c.is_control()).collect();
            let store = context.settings.store_host();
            let asks_store = phase == Phase::Publish || store.is_some_and(|host| plain.contains(host));
            Some(Retrying {
                pod: pod.uid()?,
                container: phase.container().into(),
                since: Timestamp::from_second(since).ok()?,
                message: truncated(&plain, MAX_RETRY_BYTES),
                store: context.bundled_store.why_down().filter(|_| asks_store),
            })
        }
        Err(error) => {
            tracing::debug!(pod = pod.name_any(), %error, "it does not say what it tries again");
            None
        }
    }
}

/// What the pod whose `train` runs says of itself. An image of a user's own may say nothing.
async fn fetch_progress(context: &Context, pods: &[Arc<Pod>]) -> Option<RunProgress> {
    let (pod, _) = running(pods, Question::Progress)?;
    let address = pod.status.as_ref()?.pod_ip.as_deref()?;
    match ask::<Progress>(context, pod, address, PROGRESS_PATH).await? {
        Ok(progress) => Some(RunProgress {
            activity: word(&progress.activity),
            // the schema takes no more
            done: progress.done.min(LARGEST_INTEGER),
            total: progress.total.min(LARGEST_INTEGER),
            metric: progress.metric.as_deref().map(word),
            best: progress.best.as_deref().map(word),
            epoch: progress.epoch.map(|epoch| epoch.min(LARGEST_INTEGER)),
            epochs: progress.epochs.map(|epochs| epochs.min(LARGEST_INTEGER)),
            loss: progress.loss.as_deref().map(word),
            seconds_left: progress.seconds_left.map(|seconds| seconds.min(LARGEST_INTEGER)),
            summary: None,
            time: timestamp(context.clock.now()),
        }),
        Err(error) => {
            tracing::debug!(pod = pod.name_any(), %error, "no progress");
            None
        }
    }
}

/// What a pod answers, if it is asked: not one that lately did not answer in time, as where no connection gets through.
async fn ask<T: DeserializeOwned>(
    context: &Context,
    pod: &Pod,
    address: &str,
    path: &str,
) -> Option<Result<T, NoAnswer>> {
    let uid = pod.metadata.uid.as_deref()?;
    if !context.silent.may_be_asked(uid) {
        return None;
    }
    let answer = context.pods.get(address, path).await;
    match &answer {
        Err(NoAnswer::InTime) => context.silent.was_silent(uid),
        Ok(_) | Err(NoAnswer::Unusable(_)) => context.silent.answered(uid),
    }
    Some(answer)
}

/// A word of a pod that may run anybody's code.
fn word(text: &str) -> String {
    let plain: String = text.chars().filter(|c| !c.is_control()).take(MAX_WORD).collect();
    truncated(&plain, MAX_WORD)
}

/// UIDs of what waits for something that its own status does not tell, for how long it has, and whether its warnings are due.
fn waiting(jobs: &[Arc<Job>], pods: &[Arc<Pod>], now: Timestamp) -> Vec<(String, SignedDuration, bool)> {
    let waits = |uid: Option<String>, created: Option<Time>, grace| {
        let waited = created.map(|time| now.duration_since(time.0));
        // what has no time yet was just made, and is asked about at once
        Some((uid?, waited.unwrap_or_default(), waited.is_none_or(|waited| waited >= grace)))
    };
    let pods_waiting = pods.iter().filter_map(|pod| {
        let status = pod.status.as_ref();
        let scheduled = pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
        let pending = status.and_then(|status| status.phase.as_deref()) == Some("Pending");
        let is_waiting = scheduled && pending && !has_begun(pod);
        if is_waiting { waits(pod.uid(), pod.creation_timestamp(), GRACE) } else { None }
    });
    let jobs_waiting = jobs.iter().filter_map(|job| {
        let has_pod = pods
            .iter()
            .any(|pod| pod.owner_references().iter().any(|owner| Some(&owner.uid) == job.uid().as_ref()));
        let is_waiting = !has_ended(job) && !is_suspended(job) && !has_pod;
        if is_waiting { waits(job.uid(), job.creation_timestamp(), POD_GRACE) } else { None }
    });
    pods_waiting.chain(jobs_waiting).collect()
}

fn has_ended(job: &Job) -> bool {
    ["Complete", "Failed"].into_iter().any(|type_| finished(job, type_).is_some())
}

/// How long Kueue has let a Job wait.
fn queued_for(job: &Job, now: Timestamp) -> Option<SignedDuration> {
    let queued = is_suspended(job) && job.labels().contains_key(KUEUE_QUEUE_LABEL);
    let since = finished(job, "Suspended").and_then(|(_, _, time)| time).or_else(|| job.creation_timestamp());
    queued.then(|| since.map_or(SignedDuration::ZERO, |since| now.duration_since(since.0)))
}

/// What Kueue says of Jobs in its queues. Where there is no Kueue, or no right to read what it says, that is nothing.
async fn fetch_workloads(
    context: &Context,
    namespace: &str,
    jobs: &[Arc<Job>],
) -> BTreeMap<String, Workload> {
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("kueue.x-k8s.io", "v1beta2", "Workload"));
    let workloads: Api<DynamicObject> = Api::namespaced_with(context.client.clone(), namespace, &kind);
    let mut read = BTreeMap::new();
    let queued = jobs.iter().filter(|job| job.labels().contains_key(KUEUE_QUEUE_LABEL) && !has_ended(job));
    for uid in queued.filter_map(|job| job.uid()) {
        let of_job = ListParams::default().labels(&format!("{KUEUE_JOB_LABEL}={uid}")).limit(1);
        match workloads.list(&of_job).await {
            Ok(mut found) => {
                let status = found.items.pop().and_then(|found| found.data.get("status").cloned());
                read.extend(status.and_then(|status| Some((uid, serde_json::from_value(status).ok()?))));
            }
            Err(error) => {
                tracing::debug!(namespace, uid, %error, "what Kueue says of the Job cannot be read");
            }
        }
    }
    read
}

async fn fetch_warnings(context: &Context, namespace: &str, uid: &str) -> Vec<Warning> {
    let parameters =
        ListParams::default().fields(&format!("involvedObject.uid={uid},type=Warning")).limit(MAX_WARNINGS);
    match context.list::<Event>(namespace, &parameters).await {
        Ok(mut events) => {
            events.items.sort_by_key(|event| {
                let last = event.last_timestamp.as_ref().map(|time| time.0);
                last.or(event.event_time.as_ref().map(|time| time.0)).or(event
                    .metadata
                    .creation_timestamp
                    .as_ref()
                    .map(|time| time.0))
            });
            let warning = |event: Event| {
                Some(Warning { uid: uid.to_owned(), reason: event.reason?, message: event.message? })
            };
            events.items.into_iter().filter_map(warning).collect()
        }
        Err(error) => {
            tracing::warn!(namespace, uid, %error, "warnings cannot be read; a wait has no reason in the status");
            Vec::new()
        }
    }
}
