//! Writes of one reconcile that did not succeed while the others went on: each stops itself only. In go their errors; out
//! comes what the status says of them, and whether the reconcile is to be tried again. Pure.

use std::time::Duration;

use super::{DeploymentError, status::Blocked};
use crate::{
    k8s::{apply::ApplyError, controller::chain, events::truncated},
    problem::Problem,
};

/// Longest that the status says of one write, in bytes: several may be told, and what the rollout does besides.
const MAX_WORDS: usize = 1000;

/// Writes that did not succeed, in the order in which they were tried.
#[derive(Debug, Default)]
pub struct Refusals(Vec<DeploymentError>);

impl Refusals {
    /// Takes in what one write came to. What says something of this write alone is kept, and the others go on; anything else
    /// (what was decided on has changed, the API server is away, another process leads) is an error that ends the reconcile.
    pub fn take<T, E: Into<DeploymentError>>(
        &mut self,
        outcome: Result<T, E>,
    ) -> Result<Option<T>, DeploymentError> {
        match outcome.map_err(Into::into) {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.concerns_one_write() => {
                // what is tried again within one reconcile is told once
                let is_told = self.0.iter().any(|known| known.to_string() == error.to_string());
                if !is_told {
                    self.0.push(error);
                }
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// What the status says of them; `None` where every write succeeded.
    pub fn blocked(&self) -> Option<Blocked> {
        let (waits, fails): (Vec<_>, Vec<_>) = self.0.iter().partition(|error| error.waits());
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
        let first = self.0.into_iter().find(|error| !error.waits())?;
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
