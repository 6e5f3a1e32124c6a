//! The writes of a plan, in the order in which they are made, and the state of the Model once they are. Pure.
//!
//! A crash between any two is safe. What is made goes by a name that follows from the spec, or from the versions that there are:
//! whoever decides next finds it under that name, and does not make it twice. A Job that is in the way goes before another is
//! made.

use std::sync::Arc;

use k8s_openapi::{api::batch::v1::Job, apimachinery::pkg::apis::meta::v1::OwnerReference};
use kube::ResourceExt as _;

use super::{
    build, jobs, kept,
    plan::{self, Plan, Step},
    run::waits,
    snapshot::Snapshot,
    status::{ModelState, Score},
    validate::ValidModel,
};
use crate::{api::ModelVersion, context::Settings, problem::Problem};

/// One write of a plan.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// A version that nobody controls gets its owner back.
    Adopt {
        /// The version.
        version: Arc<ModelVersion>,
        /// The Model.
        owner: OwnerReference,
    },
    /// A Job goes.
    DeleteJob {
        /// The Job.
        job: Arc<Job>,
        /// Why.
        why: &'static str,
        /// Whether the writes after it rest on this one: two runs at once are worse than one that waits (R7).
        is_needed: bool,
    },
    /// A Job is made.
    CreateJob(Box<Job>),
    /// A Job halts, or goes on.
    Suspend {
        /// The Job.
        job: Arc<Job>,
        /// Whether it halts.
        suspend: bool,
    },
    /// A version is made.
    CreateVersion(Box<ModelVersion>),
    /// A version is selected.
    Select {
        /// The version.
        version: Arc<ModelVersion>,
        /// The generation to stamp it with.
        stamp: i64,
        /// All its further hashes, where one was added.
        hashes: Option<String>,
    },
    /// A version that is not kept any longer goes.
    DeleteVersion(Arc<ModelVersion>),
}

impl Write {
    /// Whether what follows is left out where this one fails. Of the others, each stops itself only.
    pub fn is_needed(&self) -> bool {
        match self {
            Self::DeleteJob { is_needed, .. } => *is_needed,
            Self::Adopt { .. } | Self::DeleteVersion(_) => false,
            Self::CreateJob(_) | Self::Suspend { .. } | Self::CreateVersion(_) | Self::Select { .. } => true,
        }
    }
}

/// The writes of a plan but for the removal of versions, which is decided on what is read live, and the state of the Model once
/// they are made.
pub fn plan_writes(
    plan: &Plan,
    valid: &ValidModel,
    settings: &Settings,
    snapshot: &Snapshot,
) -> (Vec<Write>, ModelState) {
    let adopt = |version: &Arc<ModelVersion>| Write::Adopt {
        version: Arc::clone(version),
        owner: valid.owner.clone(),
    };
    let delete = |job: &Arc<Job>| Write::DeleteJob {
        job: Arc::clone(job),
        why: "it is of another spec",
        is_needed: plan.step.makes_a_job() && !jobs::may_stay(job),
    };
    let (step, state) = step_writes(plan, valid, settings, snapshot);
    let before = plan.adopt.iter().map(adopt).chain(plan.delete.iter().map(delete));
    (before.chain(step).collect(), state)
}

fn step_writes(
    plan: &Plan,
    valid: &ValidModel,
    settings: &Settings,
    snapshot: &Snapshot,
) -> (Vec<Write>, ModelState) {
    let running = |problem| ModelState::Running { problem, started: None };
    let resolved = |version: &ModelVersion, made| ModelState::Resolved {
        version: version.spec.version,
        made,
        score: Score::of(version),
    };
    match &plan.step {
        Step::Use { version, stamp } => {
            let select =
                stamp.map(|stamp| Write::Select { version: Arc::clone(version), stamp, hashes: None });
            (select.into_iter().collect(), resolved(version, false))
        }
        Step::Start => match run_job(plan, valid, settings, snapshot) {
            Err(missing) => (Vec::new(), ModelState::Blocked(missing)),
            Ok(job) => {
                let is_suspended = valid.training().is_some_and(|training| training.suspend);
                let problem = is_suspended.then(waits::suspended_by_spec);
                let started = Some(job.name_any());
                (vec![Write::CreateJob(Box::new(job))], ModelState::Running { problem, started })
            }
        },
        Step::Recall { job } => {
            let recall = build::build_recall(valid, settings, snapshot.workload_account, job);
            (vec![Write::CreateJob(Box::new(recall))], running(Some(plan::recalling())))
        }
        Step::Restart { job, why } => {
            let delete = Write::DeleteJob { job: Arc::clone(job), why, is_needed: true };
            (vec![delete], running(None))
        }
        Step::Follow { problem } => (Vec::new(), running(problem.clone())),
        Step::Wait { problem, .. } => (Vec::new(), running(Some(problem.clone()))),
        Step::Suspend { job, suspend } => {
            let write = Write::Suspend { job: Arc::clone(job), suspend: *suspend };
            (vec![write], running(suspend.then(waits::suspended_by_spec)))
        }
        Step::Record { number, reports, job, stamp, from } => {
            let version = build::build_version(valid, *number, reports, job, *stamp);
            let version = match from {
                Some(from) => kept::carry_over(version, from),
                None => version,
            };
            let state = resolved(&version, true);
            (vec![Write::CreateVersion(Box::new(version))], state)
        }
        Step::Link { version, hashes, stamp } => {
            let (version, hashes) = (Arc::clone(version), Some(hashes.clone()));
            let state = resolved(&version, false);
            (vec![Write::Select { version, stamp: *stamp, hashes }], state)
        }
        Step::GiveUp(failure) => (Vec::new(), ModelState::Failed(failure.clone())),
        Step::Hold(problem) => (Vec::new(), ModelState::Blocked(problem.clone())),
    }
}

/// The run's Job, or what it lacks.
fn run_job(
    plan: &Plan,
    valid: &ValidModel,
    settings: &Settings,
    snapshot: &Snapshot,
) -> Result<Job, Problem> {
    let taking = plan.from.as_ref().map(|version| kept::take_over(valid, version)).transpose()?;
    let complete = build::complete(taking.as_ref().unwrap_or(valid), settings, &snapshot.versions)?;
    Ok(build::build_job(&complete, settings, snapshot.workload_account))
}
