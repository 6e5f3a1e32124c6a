//! Status: what the user sees. In go what was planned, the state that came of it, and the time; out come a [`ModelStatus`] and
//! the events of its transitions. Pure.

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::{
    plan::Plan,
    run::{phases::Phase, progress, words},
    snapshot::Snapshot,
    versions,
};
use crate::{
    api::{
        Condition, ConditionStatus, Model, ModelStatus, ModelVersion,
        condition::{READY, RECONCILING, STALLED, merge, timestamp},
        model::{RunFailure, RunProgress, RunStatus},
    },
    k8s::events::{Event, truncated},
    problem::Problem,
};

/// Longest message of a condition, in bytes.
const MAX_MESSAGE: usize = 4096;
/// Longest reason of a condition, in bytes.
const MAX_REASON: usize = 128;
/// Progress alone is not written more often.
const PROGRESS_INTERVAL: SignedDuration = SignedDuration::from_secs(10);

/// Reason of a deleted Model that ModelDeployments name.
pub(super) const IN_USE: &str = "InUse";
/// Reason of a run that stands still because somebody wants it to.
const SUSPENDED: &str = "Suspended";

/// The state of a Model after a reconcile.
#[derive(Clone, Debug, PartialEq)]
pub enum ModelState {
    /// A version serves the spec.
    Resolved {
        /// Its number.
        version: u64,
        /// Whether this reconcile made it.
        made: bool,
        /// How good it is.
        score: Option<Score>,
    },
    /// A run is under way.
    Running {
        /// What it waits for.
        problem: Option<Problem>,
        /// Its Job, if this reconcile started it.
        started: Option<String>,
    },
    /// The run failed.
    Failed(RunFailure),
    /// Somebody must act: the spec is wrong, or a write was refused.
    Blocked(Problem),
    /// A write did not succeed and is tried again.
    Unwritten(Problem),
    /// It is being deleted, and these ModelDeployments still name it.
    Held(Vec<String>),
}

/// How good a version is, by the metric that it was selected by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Score {
    /// Name of the metric.
    pub metric: String,
    /// Its value on the test part, a decimal string.
    pub value: Option<String>,
}

impl Score {
    /// The score of a version that was trained.
    pub fn of(version: &ModelVersion) -> Option<Self> {
        let evaluation = version.spec.evaluation.as_ref()?;
        let metric = evaluation.metric.clone()?;
        Some(Self { value: evaluation.metrics.get(&metric).cloned(), metric })
    }
}

/// What the status is made from.
#[derive(Clone, Debug)]
pub struct Inputs<'a> {
    /// The Model, with its present status.
    pub model: &'a Model,
    /// What was planned; absent where the spec is invalid or the Model is being deleted.
    pub plan: Option<&'a Plan>,
    /// What came of it.
    pub state: &'a ModelState,
    /// Writes besides it that were refused, in words.
    pub refused: Option<&'a str>,
    /// The version that it resolves to apart from this reconcile.
    pub current_version: Option<u64>,
    /// How good that one is.
    pub score: Option<Score>,
    /// The highest version apart from this reconcile.
    pub latest_version: Option<u64>,
    /// The time.
    pub now: Timestamp,
}

impl<'a> Inputs<'a> {
    /// Those of a reconcile that found this.
    pub fn of(
        model: &'a Model,
        snapshot: &Snapshot,
        plan: Option<&'a Plan>,
        state: &'a ModelState,
        refused: Option<&'a str>,
    ) -> Self {
        Self {
            model,
            plan,
            state,
            refused,
            current_version: versions::current_version(model, snapshot),
            score: versions::current(model, snapshot).and_then(|version| Score::of(&version)),
            latest_version: versions::latest_version(model, snapshot),
            now: snapshot.now,
        }
    }
}

/// The status after a reconcile.
pub fn model_status(inputs: &Inputs<'_>) -> ModelStatus {
    let previous = inputs.model.status.clone().unwrap_or_default();
    let resolved = match inputs.state {
        ModelState::Resolved { version, .. } => Some(*version),
        _ => None,
    };
    let current_version = resolved.or(inputs.current_version);
    let score = match inputs.state {
        ModelState::Resolved { score, .. } => score.clone(),
        _ => inputs.score.clone(),
    };
    let latest_version =
        [inputs.latest_version, resolved, previous.latest_version].into_iter().flatten().max();
    let run = match (inputs.state, inputs.plan) {
        (ModelState::Running { started: Some(job), .. }, _) => {
            Some(RunStatus { job: job.clone(), attempt: 1, phase: "Pending".into(), progress: None })
        }
        (_, Some(plan)) => plan
            .run
            .as_ref()
            .map(|run| with_settled_progress(run.status.clone(), previous.run.as_ref(), inputs.now)),
        (_, None) => previous.run.clone(),
    };
    let last_failure = match inputs.state {
        ModelState::Failed(failure) => {
            let job = |run: &Option<RunStatus>| run.as_ref().map(|run| run.job.clone());
            let same_run = job(&previous.run) == job(&run);
            Some(kept(previous.last_failure.as_ref().filter(|_| same_run), failure))
        }
        ModelState::Resolved { .. } => None,
        _ => previous.last_failure.clone(),
    };
    ModelStatus {
        observed_generation: inputs.model.metadata.generation,
        conditions: merge(&previous.conditions, conditions(inputs, current_version, last_failure.as_ref())),
        current_version,
        latest_version,
        metric: score.as_ref().map(|score| score.metric.clone()),
        score: score.and_then(|score| score.value),
        run,
        last_failure,
    }
}

/// Progress that says nothing new, comes too soon, or is missing leaves what was told of the same run.
fn with_settled_progress(mut next: RunStatus, previous: Option<&RunStatus>, now: Timestamp) -> RunStatus {
    let same_attempt = |previous: &&RunStatus| {
        Phase::tells_progress(&next.phase)
            && (&previous.phase, &previous.job, previous.attempt) == (&next.phase, &next.job, next.attempt)
    };
    let Some(told) = previous.filter(same_attempt).and_then(|previous| previous.progress.clone()) else {
        next.progress = next.progress.map(progress::with_summary);
        return next;
    };
    let is_due = |progress: &RunProgress| {
        let waited = told.time.parse::<Timestamp>().map(|time| now.duration_since(time));
        progress::says_more(progress, &told) && waited.map_or(true, |waited| waited >= PROGRESS_INTERVAL)
    };
    let due = next.progress.filter(is_due);
    next.progress =
        due.map(|progress| progress::with_summary(progress::with_time_left(progress, &told))).or(Some(told));
    next
}

/// A failure that was told in detail stays as it was told when the pods that told it are gone.
fn kept(previous: Option<&RunFailure>, failure: &RunFailure) -> RunFailure {
    const OF_THE_JOB: [&str; 2] = ["BackoffLimitExceeded", "PodFailurePolicy"];
    match previous {
        Some(previous) if OF_THE_JOB.contains(&failure.reason.as_str()) => previous.clone(),
        _ => failure.clone(),
    }
}

fn conditions(
    inputs: &Inputs<'_>,
    current_version: Option<u64>,
    last_failure: Option<&RunFailure>,
) -> Vec<Condition> {
    let mut told = told(inputs, last_failure);
    if let Some(refused) = inputs.refused {
        told.message = format!("{}; besides: {refused}", told.message);
    }
    let condition = |type_: &str, status, message: &str| Condition {
        type_: type_.into(),
        status,
        observed_generation: inputs.model.metadata.generation,
        last_transition_time: timestamp(inputs.now),
        reason: truncated(&told.reason, MAX_REASON),
        message: truncated(message, MAX_MESSAGE),
    };
    let ready = match (current_version, inputs.state) {
        (Some(_), ModelState::Resolved { .. }) => condition(READY, ConditionStatus::True, &told.message),
        (Some(version), _) => condition(
            READY,
            ConditionStatus::True,
            &format!("version {version} stays current; of the present spec: {}", told.message),
        ),
        (None, _) => condition(READY, ConditionStatus::False, &told.message),
    };
    let further = match inputs.state {
        ModelState::Resolved { .. } => None,
        ModelState::Running { .. } | ModelState::Unwritten(_) | ModelState::Held(_) => Some(RECONCILING),
        ModelState::Failed(_) | ModelState::Blocked(_) => Some(STALLED),
    };
    std::iter::once(ready)
        .chain(further.map(|type_| condition(type_, ConditionStatus::True, &told.message)))
        .collect()
}

/// Reason and message of a state.
fn told(inputs: &Inputs<'_>, last_failure: Option<&RunFailure>) -> Problem {
    let problem = |reason: &str, message: String| Problem { reason: reason.into(), message };
    let is_training = inputs.model.spec.training.is_some();
    match inputs.state {
        ModelState::Resolved { version, .. } => {
            problem("VersionReady", format!("version {version} is what the spec resolves to"))
        }
        ModelState::Running { problem: Some(problem), .. }
        | ModelState::Blocked(problem)
        | ModelState::Unwritten(problem) => problem.clone(),
        ModelState::Running { problem: None, .. } => {
            let run = inputs.plan.and_then(|plan| plan.run.as_ref());
            let at = run.map(|run| run.status.phase.as_str());
            let since = run.and_then(|run| run.since);
            if let Some(from) = inputs.plan.and_then(|plan| plan.from.as_ref()) {
                let words = words::words_of_kept(from.spec.version, is_training, at, since);
                return problem("TakingOver", words);
            }
            let words = words::words(is_training, at, since);
            problem(if is_training { "Training" } else { "Importing" }, words)
        }
        ModelState::Failed(failure) => {
            let failure = last_failure.unwrap_or(failure);
            problem(
                &failure.reason,
                format!(
                    "{} failed: {}; change the spec to try again (for the same {}, set spec.rerun to another value)",
                    failure.phase,
                    failure.message,
                    if is_training { "training" } else { "source" }
                ),
            )
        }
        ModelState::Held(holders) => problem(IN_USE, held(holders)),
    }
}

/// Why a deleted Model is still there.
pub(super) fn held(holders: &[String]) -> String {
    format!(
        "it is deleted when no ModelDeployment names it any more; delete or change: {}",
        holders.join(", ")
    )
}

/// That versions were removed, for people.
pub fn removal(versions: &[u64]) -> Option<Event> {
    let numbers: Vec<_> = versions.iter().map(u64::to_string).collect();
    let (noun, verb) = if versions.len() == 1 { ("version", "was") } else { ("versions", "were") };
    let message = format!(
        "{noun} {} {verb} removed: spec.history.keep newer ones are kept, and nothing uses {}; the bytes stay in the store",
        numbers.join(", "),
        if versions.len() == 1 { "it" } else { "them" }
    );
    (!versions.is_empty()).then_some(Event { warning: false, reason: "VersionRemoved", message })
}

/// What happened between two statuses, for people.
pub fn events(previous: &ModelStatus, next: &ModelStatus, state: &ModelState) -> Vec<Event> {
    let normal = |reason, message| Event { warning: false, reason, message };
    let warning = |reason, message| Event { warning: true, reason, message };
    let told = |status: &ModelStatus| {
        let bad = status.conditions.iter().find(|condition| condition.type_ != READY);
        bad.map(|condition| (condition.reason.clone(), condition.observed_generation))
    };
    let is_new = told(previous) != told(next);
    let message = next
        .conditions
        .iter()
        .find(|condition| condition.type_ != READY)
        .map(|condition| format!("{}: {}", condition.reason, condition.message))
        .unwrap_or_default();
    match state {
        ModelState::Resolved { version, made: true, .. } => {
            vec![normal("VersionCreated", format!("version {version} was made"))]
        }
        ModelState::Resolved { version, made: false, .. } if previous.current_version != Some(*version) => {
            vec![normal(
                "VersionSelected",
                format!("the spec resolves to version {version}, which is kept: no run"),
            )]
        }
        ModelState::Running { started: Some(job), .. } => {
            vec![normal("RunStarted", format!("Job {job} was made: {message}"))]
        }
        ModelState::Running { problem: Some(problem), .. } if is_new && problem.reason == SUSPENDED => {
            vec![normal("RunSuspended", message)]
        }
        ModelState::Running { problem: Some(_), .. } if is_new => vec![warning("RunWaiting", message)],
        ModelState::Failed(_) if is_new => vec![warning("RunFailed", message)],
        ModelState::Blocked(_) if is_new => vec![warning("Blocked", message)],
        ModelState::Held(_) if is_new => vec![warning("InUse", message)],
        _ => Vec::new(),
    }
}
