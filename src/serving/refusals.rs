//! What the status of a ModelDeployment says of writes that were refused while the others went on, and whether the reconcile
//! is to be tried again. Pure.

use std::time::Duration;

use super::{DeploymentError, status::Blocked};
use crate::{
    k8s::{apply::ApplyError, controller::chain, events::truncated, refusals::Refusals},
    problem::Problem,
};

/// Longest that the status says of one write, in bytes: several may be told, and what the rollout does besides.
const MAX_WORDS: usize = 1000;

impl Refusals<DeploymentError> {
    /// What the status says of them; `None` where every write succeeded.
    pub fn blocked(&self) -> Option<Blocked> {
        let (waits, fails): (Vec<_>, Vec<_>) = self.all().iter().partition(|error| error.waits());
        let first = fails.first().or(waits.first())?;
        let words: Vec<_> =
            fails.iter().chain(&waits).map(|error| truncated(&words(error), MAX_WORDS)).collect();
        let problem = Problem { reason: reason(first).into(), message: words.join("; ") };
        let is_answered = |error: &&DeploymentError| {
            matches!(
                error,
                DeploymentError::Apply(
                    ApplyError::Refused { .. } | ApplyError::NameTaken { .. } | ApplyError::Overruled { .. }
                )
            )
        };
        let is_stopped = fails.iter().any(is_answered);
        Some(if is_stopped { Blocked::Refused(problem) } else { Blocked::Unwritten(problem) })
    }

    /// The first write that has to be tried again by itself, as the reconcile's error. What only waits for something to go
    /// is announced by that.
    pub fn into_error(self, again: Duration) -> Option<DeploymentError> {
        let first = self.into_first(|error| !error.waits())?;
        Some(DeploymentError::InPart { source: Box::new(first), again })
    }
}

/// What the status says of a write that failed and ended a reconcile.
pub fn blocked_by(error: &DeploymentError) -> Option<Blocked> {
    match error {
        DeploymentError::Apply(ApplyError::NotLeading(_)) => None,
        _ => Some(Blocked::Unwritten(Problem { reason: "Unwritten".into(), message: words(error) })),
    }
}

fn reason(error: &DeploymentError) -> &'static str {
    match error {
        DeploymentError::Apply(error) => error.reason(),
        _ => "Unwritten",
    }
}

fn words(error: &DeploymentError) -> String {
    match error {
        DeploymentError::Apply(error) => error.words("ModelDeployment"),
        _ => chain(error),
    }
}
