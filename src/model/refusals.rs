//! Writes of one reconcile of a Model that were refused while the others went on. In go what writes came to; out comes what
//! the status says of them, and whether the reconcile is to be tried again. Pure.

use super::ModelError;
use crate::k8s::{apply::ApplyError, events::truncated};

/// Longest that the status says of one write, in bytes.
const MAX_WORDS: usize = 1000;

/// Writes that were refused, in the order in which they were tried.
#[derive(Debug, Default)]
pub struct Refusals(Vec<ApplyError>);

impl Refusals {
    /// Takes in what one write came to. What says something of this write alone is kept, and the others go on; anything else
    /// is an error that ends the reconcile.
    pub fn take<T>(&mut self, outcome: Result<T, ApplyError>) -> Result<Option<T>, ModelError> {
        match outcome {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.concerns_one_write() => {
                self.0.push(error);
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What the status says of them, if there are any.
    pub fn words(&self) -> Option<String> {
        let words: Vec<_> = self.0.iter().map(|error| truncated(&error.words("Model"), MAX_WORDS)).collect();
        (!words.is_empty()).then(|| words.join("; "))
    }

    /// The first, as the reconcile's error.
    pub fn into_error(self) -> Option<ModelError> {
        self.0.into_iter().next().map(ModelError::from)
    }
}
