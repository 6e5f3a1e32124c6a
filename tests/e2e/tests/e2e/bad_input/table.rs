//! A row of the table: what is applied, where it must end, and the words that a person needs to mend it.

use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream};
use k8s_openapi::{NamespaceResourceScope, api::core::v1::Pod, jiff::Timestamp};
use kube::Resource;
use modelwright::api::{
    condition::{RECONCILING, STALLED},
    model::Model,
    model_deployment::ModelDeployment,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::harness::{Space, kubectl::run, resources::Observed, wait};

/// How long a cause may be there untold.
const LIMIT: Duration = Duration::from_secs(30);
/// How long a run may take until it ends, beside all the others.
const RUN: Duration = Duration::from_mins(5);
/// The reason that a Job has for a run that took too long.
const DEADLINE_EXCEEDED: &str = "DeadlineExceeded";
/// `kubectl`s at a time.
const COMMANDS: usize = 6;

/// Where bad input must end.
#[derive(Clone, Copy, Debug)]
pub enum End {
    /// The API server refuses it.
    Refused,
    /// The operator gives up on it, for this reason, without a run.
    Invalid(&'static str),
    /// The operator waits for what is not there yet, for this reason.
    Waits(&'static str),
    /// A run of it ends, for this reason.
    Failed(&'static str),
    /// A run of it fails for this reason, and is tried again.
    Retried(&'static str),
}

/// Bad input.
pub struct Row {
    /// A Model or ModelDeployment.
    pub object: Value,
    /// Where it must end.
    pub end: End,
    /// What must be said of it: field, value, way out.
    pub words: Vec<String>,
}

/// Writes a row.
pub fn row<W: Into<String>>(object: Value, end: End, words: impl IntoIterator<Item = W>) -> Row {
    Row { object, end, words: words.into_iter().map(Into::into).collect() }
}

impl Row {
    fn name(&self) -> &str {
        self.object["metadata"]["name"].as_str().expect("every row names its object")
    }

    /// What is wrong with what was said of it.
    fn missing(&self, said: &str) -> Result<(), String> {
        let plain = said.split_whitespace().collect::<Vec<_>>().join(" ");
        let missing: Vec<_> = self.words.iter().filter(|word| !plain.contains(*word)).collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?} is not said: {plain}")) }
    }
}

/// What came of a part of the table.
#[derive(Default)]
pub struct Outcome {
    /// Rows that were looked at.
    pub rows: usize,
    /// What was wrong, a line each.
    pub wrong: Vec<String>,
}

impl Outcome {
    /// Adds another part.
    pub fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.wrong.extend(other.wrong);
    }
}

/// Applies every row at once, and holds what is said of each against its words.
pub async fn outcome(space: &Space, rows: Vec<Row>, at_once: usize) -> Outcome {
    let count = rows.len();
    let wrong = stream::iter(rows)
        .map(|row| async move {
            let end = row.end;
            look(space, &row).await.err().map(|wrong| format!("{} ({end:?}): {wrong}", row.name()))
        })
        .buffer_unordered(at_once)
        .filter_map(|wrong| async move { wrong })
        .collect()
        .await;
    Outcome { rows: count, wrong }
}

/// [`outcome`] of what the API server refuses.
pub async fn refusals(space: &Space, rows: Vec<Row>) -> Outcome {
    outcome(space, rows, COMMANDS).await
}

async fn look(space: &Space, row: &Row) -> Result<(), String> {
    match (row.end, row.object["kind"].as_str()) {
        (End::Refused, _) => refused(space, row).await,
        (_, Some("ModelDeployment")) => ended::<ModelDeployment>(space, row).await,
        _ => ended::<Model>(space, row).await,
    }
}

async fn refused(space: &Space, row: &Row) -> Result<(), String> {
    let arguments = ["apply", "--namespace", &space.name, "--validate=strict", "--filename", "-"];
    let started = Instant::now();
    let output = run("kubectl", &arguments, &row.object.to_string()).await;
    if output.success {
        return Err(format!("it was accepted: {}", row.object));
    }
    in_time(started.elapsed())?;
    row.missing(&output.stderr)
}

async fn ended<K>(space: &Space, row: &Row) -> Result<(), String>
where
    K: Observed
        + Clone
        + std::fmt::Debug
        + Send
        + Serialize
        + DeserializeOwned
        + Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + 'static,
{
    let (condition, reason, limit) = match row.end {
        End::Refused => unreachable!("the API server takes none of these"),
        End::Invalid(reason) => (STALLED, reason.to_owned(), LIMIT),
        End::Waits(reason) => (RECONCILING, reason.to_owned(), RUN),
        End::Failed(reason) => (STALLED, reason.to_owned(), RUN),
        End::Retried(_) => (RECONCILING, "Retrying".to_owned(), RUN),
    };
    let api = space.api::<K>();
    let applied = Timestamp::now();
    let object: K = serde_json::from_value(row.object.clone()).map_err(|error| error.to_string())?;
    api.create(&kube::api::PostParams::default(), &object).await.map_err(|error| error.to_string())?;
    let name = row.name();
    let (expected, told) = (format!("{reason}: "), |object: &K| object.says(condition));
    let ended = wait::within(&api, name, &format!("{condition} for {reason}"), limit, |object: &K| {
        // What waits for what waits itself has better words a moment later.
        let complete = match row.end {
            End::Waits(_) => row.missing(&told(object)).is_ok(),
            // Before its first pod has failed, a run tells what is tried again inside it, in its own words.
            End::Retried(cause) => told(object).contains(&format!(" {cause}: ")),
            _ => true,
        };
        let gave_up = object.is(STALLED);
        gave_up || object.is(condition) && told(object).starts_with(&expected) && complete
    })
    .await?;
    let now = Timestamp::now();
    let said = told(&ended);
    if !said.starts_with(&expected) {
        return Err(format!("{reason} was expected: {said} {}", ended.says(STALLED)));
    }
    if let End::Retried(cause) = row.end
        && !said.contains(&format!(" {cause}: "))
    {
        return Err(format!("{cause} was expected: {said}"));
    }
    let cause = match row.end {
        End::Failed(DEADLINE_EXCEEDED) => deadline(space, name).await?,
        End::Failed(_) | End::Retried(_) => cause(space, name).await?,
        End::Waits(_) => waiting_since(space, name).await.unwrap_or(applied),
        End::Refused | End::Invalid(_) => applied,
    };
    in_time(Duration::try_from(now.duration_since(cause)).unwrap_or_default())?;
    row.missing(&said)
}

fn in_time(taken: Duration) -> Result<(), String> {
    if taken <= LIMIT { Ok(()) } else { Err(format!("it was told {taken:?} after its cause was there")) }
}

/// When the container that failed ended; where its pod is gone, what the operator keeps of it.
async fn cause(space: &Space, model: &str) -> Result<Timestamp, String> {
    let of_pod = |pod: &Pod| {
        let status = pod.status.clone().unwrap_or_default();
        let containers = status.init_container_statuses.into_iter().flatten();
        containers
            .chain(status.container_statuses.into_iter().flatten())
            .filter_map(|container| container.state?.terminated)
            .filter(|ended| ended.exit_code != 0)
            .filter_map(|ended| Some(ended.finished_at?.0))
            .max()
    };
    if let Some(ended) = space.runs(model).await.iter().filter_map(of_pod).max() {
        return Ok(ended);
    }
    let kept = space.model(model).await.status.and_then(|status| status.last_failure);
    let time = kept.map(|failure| failure.time).unwrap_or_default();
    time.parse().map_err(|_| format!("{model} failed at {time:?}, which is no time"))
}

/// When a run's pod came to a node, or to the container that it waits with; one that waits for neither has no such time.
async fn waiting_since(space: &Space, model: &str) -> Option<Timestamp> {
    let pod = space.runs(model).await.pop()?.status?;
    let scheduled = pod
        .conditions
        .into_iter()
        .flatten()
        .filter(|condition| condition.type_ == "PodScheduled" && condition.status == "True");
    let ended =
        pod.init_container_statuses.into_iter().flatten().filter_map(|container| container.state?.terminated);
    scheduled
        .filter_map(|condition| condition.last_transition_time)
        .chain(ended.filter_map(|ended| ended.finished_at))
        .map(|time| time.0)
        .max()
}

/// When the time of a run was over.
async fn deadline(space: &Space, model: &str) -> Result<Timestamp, String> {
    let jobs = space.jobs_of(model).await;
    let job = jobs.first().ok_or_else(|| format!("{model} has no Job"))?;
    let started = job.status.as_ref().and_then(|status| status.start_time.as_ref());
    let seconds = job.spec.as_ref().and_then(|spec| spec.active_deadline_seconds);
    let (started, seconds) = started.zip(seconds).ok_or_else(|| format!("{model} had no deadline"))?;
    Ok(started.0 + Duration::from_secs(seconds.unsigned_abs()))
}

/// Names of the objects of some rows.
pub fn names(rows: &[Row]) -> Vec<String> {
    rows.iter().map(|row| row.name().to_owned()).collect()
}
