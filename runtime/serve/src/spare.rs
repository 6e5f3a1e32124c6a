//! Buffers for small bodies, which a thread uses again: to take one of a few kilobytes from the allocator, and to give it
//! back, costs as much as to copy the body. In goes a size; out comes an empty buffer, and from it bytes to share.

use std::{
    cell::RefCell,
    mem,
    ops::{Deref, DerefMut},
};

use bytes::Bytes;

/// Largest buffer that is kept.
const LARGEST: usize = 16 * 1024;
/// Most that a thread keeps.
const MOST: usize = 16;

thread_local! {
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer, kept for another body when it is dropped.
#[derive(Debug)]
pub struct Buffer(Vec<u8>);

impl Buffer {
    /// An empty one with room for so many bytes.
    pub fn new(size: usize) -> Self {
        let mut buffer = (size <= LARGEST)
            .then(|| SPARE.try_with(|spare| spare.try_borrow_mut().ok()?.pop()).ok().flatten())
            .flatten()
            .unwrap_or_default();
        buffer.reserve(size);
        Self(buffer)
    }

    /// What was written to it.
    pub fn share(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut buffer = mem::take(&mut self.0);
        buffer.clear();
        // On a thread that ends it is dropped.
        let _ = SPARE.try_with(|spare| {
            if let Ok(mut spare) = spare.try_borrow_mut()
                && spare.len() < MOST
                && buffer.capacity() <= LARGEST
            {
                spare.push(buffer);
            }
        });
    }
}

impl Deref for Buffer {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> usize {
        SPARE.with(|spare| spare.borrow().len())
    }

    #[test]
    fn a_small_buffer_is_kept_empty_and_a_large_one_is_not() {
        for (size, keeps) in [(LARGEST + 1, 0), (1000, 1), (900, 1)] {
            let mut buffer = Buffer::new(size);
            assert!(buffer.is_empty() && buffer.capacity() >= size, "nothing of another body");
            buffer.extend_from_slice(b"body");
            let bytes = buffer.share().slice(1..);
            assert_eq!((&bytes[..], kept()), (&b"ody"[..], 0), "somebody has it");
            drop(bytes);
            assert_eq!(kept(), keeps, "{size}");
        }
        let many: Vec<Buffer> = (0..2 * MOST).map(|_| Buffer::new(10)).collect();
        drop(many);
        assert_eq!(kept(), MOST);
    }
}
