//! What the status of a Model says of writes that were refused while the others went on. Pure.

use super::ModelError;
use crate::k8s::{
    events::truncated,
    refusals::{Refusals, WriteError},
};

/// Longest that the status says of one write, in bytes.
const MAX_WORDS: usize = 1000;

impl WriteError for ModelError {
    fn concerns_one_write(&self) -> bool {
        matches!(self, Self::Apply(error) if error.concerns_one_write())
    }
}

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
