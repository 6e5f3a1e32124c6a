//! Memory for texts that leave ONNX Runtime. Its own bound counts an element of a fixed size for each text, and what they hold
//! lies outside of that: a label for each row, or a text that a graph repeats, may be any size. So they are counted before
//! they are copied. In go sizes; out come permits, or refusals.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::RunError;

/// How often the bytes of a text are there until it is answered: with ONNX Runtime, in a row of all, each by itself, and as
/// the protocol has them.
const COPIES: u64 = 4;
/// What a text takes beside its bytes, about: objects, and places in the row of all.
const EACH: u64 = 64;

/// Texts of all runs of a session.
#[derive(Debug)]
pub(super) struct Texts {
    most: Option<u64>,
    held: AtomicU64,
}

/// Those of one output, until it is dropped.
#[derive(Debug)]
pub(super) struct Held<'a> {
    texts: &'a Texts,
    bytes: u64,
}

impl Texts {
    /// At most so many bytes at a time.
    pub fn new(most: Option<u64>) -> Self {
        Self { most, held: AtomicU64::new(0) }
    }

    /// Makes room for so many texts of so many bytes in all.
    pub fn hold(&self, count: usize, bytes: usize) -> Result<Held<'_>, RunError> {
        let bytes = (bytes as u64).saturating_mul(COPIES).saturating_add((count as u64).saturating_mul(EACH));
        let most = self.most.unwrap_or(u64::MAX);
        let added = |held: u64| held.checked_add(bytes).filter(|held| *held <= most);
        match self.held.fetch_update(Relaxed, Relaxed, added) {
            Ok(_) => Ok(Held { texts: self, bytes }),
            Err(_) => Err(RunError::NoMemory { requested: bytes }),
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.texts.held.fetch_sub(self.bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn texts_have_so_much_memory_at_a_time_and_give_it_back() {
        let texts = Texts::new(Some(1000));
        let first = texts.hold(1, 200).unwrap();
        assert!(matches!(texts.hold(1, 20).unwrap_err(), RunError::NoMemory { requested: 144 }));
        drop(first);
        drop(texts.hold(1, 20).unwrap());
        assert!(matches!(texts.hold(2, 300), Err(RunError::NoMemory { requested: 1328 })));
        assert!(texts.hold(usize::MAX, usize::MAX).is_err());
        assert!(Texts::new(None).hold(1 << 20, 1 << 40).is_ok());
    }
}
