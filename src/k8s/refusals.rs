//! Writes of one reconcile that were refused while the others went on: each stops itself only. Pure.

use std::fmt::Display;

/// An error of a write.
pub trait WriteError: Display {
    /// Whether it says something of this write alone.
    fn concerns_one_write(&self) -> bool;
}

/// Writes that were refused, in the order in which they were tried.
#[derive(Debug)]
pub struct Refusals<E>(Vec<E>);

impl<E> Default for Refusals<E> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<E: WriteError> Refusals<E> {
    /// Takes in what one write came to. What says something of this write alone is kept, and the others go on; anything else
    /// (what was decided on has changed, the API server is away, another process leads) is an error that ends the reconcile.
    pub fn take<T, F: Into<E>>(&mut self, outcome: Result<T, F>) -> Result<Option<T>, E> {
        match outcome.map_err(Into::into) {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.concerns_one_write() => {
                // what is tried again within one reconcile is told once
                if !self.0.iter().any(|known| known.to_string() == error.to_string()) {
                    self.0.push(error);
                }
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// All of them.
    pub fn all(&self) -> &[E] {
        &self.0
    }

    /// The first of them that is so.
    pub fn into_first(self, is_so: impl Fn(&E) -> bool) -> Option<E> {
        self.0.into_iter().find(is_so)
    }
}
