//! Plan: what to do next. In go a valid Model and what exists around it; out comes one [`Plan`]. Pure.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt as _;
use modelwright_contract::{names::STORE_TOKEN_DIRECTORY, report::NO_REPORT, training::Metric};

use super::{
    jobs::{annotation, current_job, recall_of, superseded_jobs},
    kept,
    retention::plan_removal,
    run::{
        Run, RunState,
        containers::{containers, is_suspended, taken_over},
        phases::Phase,
        read_run,
        recall::{self, Next},
        report::Reports,
    },
    snapshot::Snapshot,
    validate::ValidModel,
    versions::{carries, highest_stamp, missing_stamp, next_number, numbered, own_versions, rank, with_hash},
};
use crate::{
    api::{
        Model, ModelVersion,
        model::RunFailure,
        name::{GENERATION_ANNOTATION, KUEUE_QUEUE_LABEL, SCHEDULING_HASH_ANNOTATION, SUSPENDED_ANNOTATION},
    },
    problem::Problem,
    unreadable,
};

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The next step towards the spec.
    pub step: Step,
    /// The run of the spec, if there is one.
    pub run: Option<Run>,
    /// Jobs to delete: those of other specs that still run, and the oldest that ended.
    pub delete: Vec<Arc<Job>>,
    /// ModelVersions that nobody controls and that are ours: restored from a backup.
    pub adopt: Vec<Arc<ModelVersion>>,
    /// The version that has the model of the spec and other variants: a run that starts takes that model over.
    pub from: Option<Arc<ModelVersion>>,
    /// ModelVersions that are not kept any longer, as far as the caches know.
    pub remove: Vec<Arc<ModelVersion>>,
}

impl Plan {
    /// Whether it makes a version whose number does not follow the highest that is there: later ones were deleted, or are
    /// not seen yet.
    pub fn skips_a_number(&self, snapshot: &Snapshot) -> bool {
        let highest = snapshot.versions.iter().map(|version| version.spec.version).max().unwrap_or(0);
        matches!(self.step, Step::Record { number, .. } if number > highest.saturating_add(1))
    }

    /// Whether it would be wrong if the run had a pod that the caches do not show, or one that is further than these know:
    /// what a lost pod made is read from the store, and a run that has not started, or that failed, is deleted.
    pub fn rests_on_absent_pods(&self) -> bool {
        matches!(self.step, Step::Recall { .. } | Step::Restart { .. })
    }
}

/// The next step towards the spec.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// A kept version has the spec's hash: it is current. `stamp` is what to write on it, if it is not the highest yet.
    Use {
        /// The version.
        version: Arc<ModelVersion>,
        /// The generation to stamp it with.
        stamp: Option<i64>,
    },
    /// Start a run.
    Start,
    /// The run succeeded, and its pod is gone: read from the store what it reported.
    Recall {
        /// The run's Job.
        job: Arc<Job>,
    },
    /// Delete the run of this spec, because it cannot end well; the next step starts anew.
    Restart {
        /// The run's Job.
        job: Arc<Job>,
        /// Why.
        why: &'static str,
    },
    /// A run is under way.
    Follow {
        /// What it waits for.
        problem: Option<Problem>,
    },
    /// The recall failed as another may not: wait before the next.
    Wait {
        /// Why it failed.
        problem: Problem,
        /// How long.
        time: Duration,
    },
    /// Halt the run, or let it go on: `spec.training.run.suspend` changed.
    Suspend {
        /// The run's Job.
        job: Arc<Job>,
        /// Whether it shall stand still.
        suspend: bool,
    },
    /// The run made bytes that no kept version has: make a version.
    Record {
        /// Its number.
        number: u64,
        /// What the run reported.
        reports: Box<Reports>,
        /// The run's Job.
        job: Arc<Job>,
        /// The generation to stamp it with.
        stamp: i64,
        /// The version whose model the run took over.
        from: Option<Arc<ModelVersion>>,
    },
    /// The run made the bytes of a kept version: let the hash point to it.
    Link {
        /// The version.
        version: Arc<ModelVersion>,
        /// All its further hashes, the new one last.
        hashes: String,
        /// The generation to stamp it with.
        stamp: i64,
    },
    /// The run failed; only a change of the spec is tried.
    GiveUp(RunFailure),
    /// Something of the Model does not parse, which may be the version that the spec asks for, or its run: nothing is made
    /// and nothing is deleted until somebody corrects or deletes it.
    Hold(Problem),
}

impl Step {
    /// Whether it makes a Job.
    pub fn makes_a_job(&self) -> bool {
        matches!(self, Self::Start | Self::Recall { .. })
    }
}

/// Decides.
pub fn plan_model(model: &Model, valid: &ValidModel, snapshot: &Snapshot) -> Plan {
    let (own, adopt): (Vec<_>, Vec<_>) =
        own_versions(model, &snapshot.versions).into_iter().partition(|version| {
            version.metadata.owner_references.iter().flatten().any(|owner| owner.uid == valid.uid)
        });
    let versions: Vec<_> = own.into_iter().chain(adopt.iter().cloned()).collect();
    let job = current_job(valid, snapshot);
    let run = job.as_ref().map(|job| read_run(job, snapshot));
    let step = match plan_step(model, valid, snapshot, &versions, job.as_ref().zip(run.as_ref())) {
        step @ Step::Use { .. } => step,
        _ if !snapshot.unreadable.is_empty() => {
            let message = unreadable::held(&snapshot.unreadable);
            Step::Hold(Problem { reason: unreadable::UNREADABLE.into(), message })
        }
        step => step,
    };
    let delete = if snapshot.unreadable.is_empty() {
        superseded_jobs(valid, snapshot, job.as_ref())
    } else {
        Vec::new()
    };
    let remove = plan_removal(model, valid, &snapshot.versions, &snapshot.in_use);
    Plan { step, run, delete, adopt, from: kept::find(valid, &versions).cloned(), remove }
}

fn plan_step(
    model: &Model,
    valid: &ValidModel,
    snapshot: &Snapshot,
    versions: &[Arc<ModelVersion>],
    current: Option<(&Arc<Job>, &Run)>,
) -> Step {
    let carrying = |version: &&Arc<ModelVersion>| carries(version, &valid.key());
    if let Some(version) = versions.iter().filter(carrying).max_by_key(|version| rank(version)) {
        return Step::Use {
            version: Arc::clone(version),
            stamp: missing_stamp(version, versions, valid.generation),
        };
    }
    let Some((job, run)) = current else { return Step::Start };
    if taken_over(job).is_some_and(|number| numbered(versions, number).is_none()) {
        return Step::Restart { job: Arc::clone(job), why: "the version whose model it takes over is gone" };
    }
    match &run.state {
        RunState::Lost => plan_recall(model, valid, snapshot, versions, job),
        RunState::Settling => Step::Follow { problem: None },
        RunState::Active { started: false, .. }
            if annotation(job.as_ref(), SCHEDULING_HASH_ANNOTATION) != Some(&valid.scheduling_hash) =>
        {
            Step::Restart { job: Arc::clone(job), why: "how it is to be run changed before it started" }
        }
        RunState::Active { problem, .. } => match wanted_suspension(job, valid) {
            Some(suspend) => Step::Suspend { job: Arc::clone(job), suspend },
            None => Step::Follow { problem: problem.clone() },
        },
        RunState::Failed(failure) => {
            let tried = annotation(job.as_ref(), GENERATION_ANNOTATION).and_then(|text| text.parse().ok());
            if tried != Some(valid.generation) {
                Step::Restart { job: Arc::clone(job), why: "it failed, and the spec changed since" }
            } else if snapshot.store_wants_tokens && was_refused_without_token(job, failure) {
                let why =
                    "it was started before an upgrade, and the store takes nothing without a token any more";
                Step::Restart { job: Arc::clone(job), why }
            } else {
                Step::GiveUp(failure.clone())
            }
        }
        RunState::Succeeded(reports) => plan_record(model, valid, snapshot, versions, (job, reports)),
    }
}

/// Whether a run of an earlier release could not write to the chart's own store, which it knows by one address only: there,
/// the registry answers 405.
fn was_refused_without_token(job: &Job, failure: &RunFailure) -> bool {
    let publish = containers(job).find(|container| container.name == Phase::Publish.container());
    let mounts = publish.and_then(|publish| publish.volume_mounts.as_ref());
    let has_token = mounts.is_some_and(|all| all.iter().any(|it| it.mount_path == STORE_TOKEN_DIRECTORY));
    failure.phase == Phase::Publish.container() && !has_token && failure.message.contains("405")
}

/// What to do with a run that succeeded and whose pod is gone: what it made is known to the store, and nothing is trained
/// again for want of an answer.
fn plan_recall(
    model: &Model,
    valid: &ValidModel,
    snapshot: &Snapshot,
    versions: &[Arc<ModelVersion>],
    lost: &Arc<Job>,
) -> Step {
    let Some(recall) = recall_of(valid, snapshot, lost) else {
        return Step::Recall { job: Arc::clone(lost) };
    };
    match read_run(&recall, snapshot).state {
        RunState::Active { problem, .. } => Step::Follow { problem: Some(problem.unwrap_or_else(recalling)) },
        RunState::Settling => Step::Follow { problem: Some(recalling()) },
        RunState::Lost => Step::Restart { job: recall, why: "its pod is gone, and with it what it read" },
        RunState::Failed(failure) if failure.reason == NO_REPORT => Step::Restart {
            job: Arc::clone(lost),
            why: "its pod is gone, and the store has no report of what it made",
        },
        RunState::Failed(failure) => {
            let tried = annotation(recall.as_ref(), GENERATION_ANNOTATION).and_then(|text| text.parse().ok());
            if tried != Some(valid.generation) {
                return Step::Restart { job: recall, why: "it failed, and the spec changed since" };
            }
            match recall::next_try(&recall, &failure, lost, snapshot.now) {
                Next::Never => Step::GiveUp(failure),
                Next::In(time) => Step::Wait { problem: recall::problem(&failure), time },
                Next::Now => Step::Restart { job: recall, why: "it failed as another may not" },
            }
        }
        RunState::Succeeded(reports) => {
            plan_record(model, valid, snapshot, versions, (lost, &reports.of_lost(lost)))
        }
    }
}

/// What the status says meanwhile.
pub(super) fn recalling() -> Problem {
    Problem {
        reason: "Recalling".into(),
        message: "the run succeeded, and its pod is gone: what it reported is read from the artifact store"
            .into(),
    }
}

/// What to do with what a run made.
fn plan_record(
    model: &Model,
    valid: &ValidModel,
    snapshot: &Snapshot,
    versions: &[Arc<ModelVersion>],
    (job, reports): (&Arc<Job>, &Reports),
) -> Step {
    let from = taken_over(job).and_then(|number| numbered(versions, number));
    if let Some(Err(failure)) = from.map(|from| kept::check(from, reports)) {
        return Step::GiveUp(failure);
    }
    let stamp = valid.generation.max(highest_stamp(versions).saturating_add(1));
    let made: Vec<_> = reports.publish.variants.iter().map(|it| (&it.name, &it.model_digest)).collect();
    let same = |version: &&Arc<ModelVersion>| {
        let has = version.spec.variants.iter().map(|it| (&it.name, &it.model_digest));
        version.spec.model_digest == reports.publish.model_digest && has.eq(made.iter().copied())
    };
    // figures of an import are of the data that the spec names, and a version has one set of both; a run that takes a model over
    // may measure nothing, and has those of its version
    let (metrics, data) = match from {
        Some(from) => {
            (from.spec.evaluation.as_ref().map(|told| &told.metrics), &from.spec.provenance.test_sha256)
        }
        None => (Some(&reports.publish.metrics), &reports.fetch.test_sha256),
    };
    let measured = |version: &&Arc<ModelVersion>| {
        let told = version.spec.evaluation.as_ref();
        valid.evaluation.is_none()
            || (told.map(|told| &told.metrics) == metrics
                && told.and_then(|told| told.metric.as_deref()) == valid.metric().map(Metric::name)
                && version.spec.provenance.test_sha256 == *data)
    };
    match versions.iter().filter(same).filter(measured).max_by_key(|version| rank(version)) {
        Some(version) => {
            Step::Link { version: Arc::clone(version), hashes: with_hash(version, &valid.key()), stamp }
        }
        None => Step::Record {
            number: next_number(model, versions, snapshot),
            reports: Box::new(reports.clone()),
            job: Arc::clone(job),
            stamp,
            from: from.cloned(),
        },
    }
}

/// What to set `suspend` of a Job to, if that is the operator's to say: a queued Job is Kueue's, and what somebody else
/// suspended stays so.
fn wanted_suspension(job: &Job, valid: &ValidModel) -> Option<bool> {
    let training = valid.training()?;
    if training.queue.is_some() || job.labels().contains_key(KUEUE_QUEUE_LABEL) {
        return None;
    }
    match (training.suspend, is_suspended(job)) {
        (true, false) => Some(true),
        (false, true) => annotation(job, SUSPENDED_ANNOTATION).map(|_| false),
        _ => None,
    }
}
