//! What the status of a Model says of writes that failed: of those that were refused while the others went on, and of the one with
//! which a reconcile ended. Pure.

use super::{error::ModelError, status::ModelState};
use crate::{
    k8s::{apply::ApplyError, controller::chain, events::truncated, refusals::Refusals},
    problem::Problem,
};

/// Longest that the status says of one write, in bytes.
const MAX_WORDS: usize = 1000;

impl Refusals<ModelError> {
    /// What the status says of them, if there are any.
    pub fn words(&self) -> Option<String> {
        let words = self.all().iter().map(|error| match error {
            ModelError::Apply(error) => truncated(&error.words("Model"), MAX_WORDS),
            other => truncated(&other.to_string(), MAX_WORDS),
        });
        let words: Vec<_> = words.collect();
        (!words.is_empty()).then(|| words.join("; "))
    }

    /// The first, as the reconcile's error.
    pub fn into_error(self) -> Option<ModelError> {
        self.into_first(|_| true)
    }
}

/// The state of a Model of which a write failed that the others rest on.
pub fn failed_write(error: &ModelError) -> ModelState {
    let ModelError::Apply(error) = error else {
        return ModelState::Unwritten(Problem { reason: "Retrying".into(), message: chain(error) });
    };
    let problem = Problem { reason: error.reason().into(), message: error.words("Model") };
    match error {
        ApplyError::NameTaken { .. } | ApplyError::Refused { .. } | ApplyError::Overruled { .. } => {
            ModelState::Blocked(problem)
        }
        _ if error.waits() => ModelState::Unwritten(problem),
        _ => ModelState::Unwritten(Problem { reason: "Retrying".into(), ..problem }),
    }
}
