//! An answer that is not small, on its way to the client. In go its parts; out come pieces that the connection's buffer
//! takes, so that nothing is there twice, and the memory of a part is given back when the last of it was taken.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use actix_web::body::{BodySize, MessageBody};
use bytes::Bytes;

const PIECE: usize = 64 * 1024;

/// The parts that are still to be sent.
#[derive(Debug)]
pub struct Sending {
    parts: VecDeque<Bytes>,
    length: u64,
}

impl Sending {
    pub fn new(parts: VecDeque<Bytes>) -> Self {
        let length = parts.iter().map(|part| part.len() as u64).sum();
        Self { parts, length }
    }

    pub fn next(&mut self) -> Option<Bytes> {
        let part = self.parts.front_mut()?;
        if part.len() > PIECE {
            return Some(part.split_to(PIECE));
        }
        self.parts.pop_front()
    }
}

impl MessageBody for Sending {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.length)
    }

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        Poll::Ready(self.get_mut().next().map(Ok))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::budget::Budget;

    #[test]
    fn parts_come_in_pieces_and_give_their_memory_back_when_they_are_taken() {
        let budget = Budget::new(1_000_000, 0);
        let bytes = |number: u8, length: usize| budget.take(length).unwrap().hold(vec![number; length]);
        let mut sending = Sending::new([bytes(1, 10), bytes(2, 200_000)].into());
        assert_eq!(sending.size(), BodySize::Sized(200_010));
        let mut all = Vec::new();
        while let Some(piece) = sending.next() {
            assert!(piece.len() <= PIECE);
            all.extend_from_slice(&piece);
        }
        assert_eq!((all.len(), budget.held()), (200_010, 0));
        assert_eq!(all, [vec![1; 10], vec![2; 200_000]].concat());
    }
}
