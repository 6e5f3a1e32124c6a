//! Whether a recall that failed is tried again, and when. What a run made lies in the store and is nowhere else: a store that
//! is down for long, a node that is full or a Job that ran out of time must not be the end of it. Pure.

use std::time::Duration;

use k8s_openapi::{
    api::batch::v1::Job,
    jiff::{SignedDuration, Timestamp},
};

use super::containers::finished;
use crate::{api::model::RunFailure, problem::Problem};

/// Reason of a Job that a pod failed at once with the exit code for what no retry can mend.
const POD_FAILURE_POLICY: &str = "PodFailurePolicy";
/// Shortest wait before another try.
const SHORTEST: SignedDuration = SignedDuration::from_mins(1);
/// Longest.
const LONGEST: SignedDuration = SignedDuration::from_mins(10);

/// What follows a recall that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// `publish` itself said that another try cannot help.
    Never,
    /// Another try, after this time.
    In(Duration),
    /// Another try.
    Now,
}

/// When to try `recall` again, which failed, for `lost`. The waits grow with the time since `lost` ended, so that they
/// need no counter that a deleted Job would take along.
pub fn next_try(recall: &Job, failure: &RunFailure, lost: &Job, now: Timestamp) -> Next {
    let Some((reason, _, failed_at)) = finished(recall, "Failed") else { return Next::Never };
    // the policy's own word means that the pod is gone, and nobody knows what it said
    if reason == POD_FAILURE_POLICY && failure.reason != POD_FAILURE_POLICY {
        return Next::Never;
    }
    let Some(failed_at) = failed_at.map(|time| time.0) else { return Next::Now };
    let completed = lost.status.as_ref().and_then(|status| status.completion_time.clone());
    // one whose earlier attempt made it has failed
    let made_at = completed.or_else(|| finished(lost, "Failed")?.2);
    let without = made_at.map_or(SHORTEST, |time| failed_at.duration_since(time.0));
    let left = without.clamp(SHORTEST, LONGEST) - now.duration_since(failed_at);
    // a clock that is behind waits no longer than one that is not
    Duration::try_from(left.min(LONGEST)).ok().filter(|left| !left.is_zero()).map_or(Next::Now, Next::In)
}

/// What the status says meanwhile: it does not change with the time that is left.
pub fn problem(failure: &RunFailure) -> Problem {
    let since = if failure.time.is_empty() { String::new() } else { format!(" at {}", failure.time) };
    Problem {
        reason: "Recalling".into(),
        message: format!(
            "the run succeeded, and its pod is gone; reading from the artifact store what it reported failed{since} and is tried again: {}: {}",
            failure.reason, failure.message
        ),
    }
}
