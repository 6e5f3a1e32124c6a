//! The one budget of bytes for all that is held for clients: bodies as they arrive, what they are inflated and decoded to,
//! requests that wait, answers until they are sent. In go sizes; out come permits, or refusals. Needs no client.
//!
//! A permit gives its bytes back when it is dropped, and travels with the bytes that it is for ([`Permit::hold`]), so that
//! no owner can forget it. Nobody waits for a permit: who waited would hold what he has, and two who wait for each other's
//! bytes would wait for ever.
//!
//! Pieces of up to [`SMALL`] bytes are covered by what each request takes at its start ([`REQUEST`]): one addition and one
//! subtraction are all that a small request costs. Large pieces leave an eighth of the budget to small requests.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
};

use bytes::Bytes;

/// Largest piece that is covered by its request's own permit.
pub const SMALL: usize = 8 * 1024;
/// What a request takes at its start: its head, and a small body, small tensors and a small answer.
pub const REQUEST: usize = 4 * SMALL;

/// Why bytes are not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// However little is held for others, they would not fit.
    #[error("it takes {bytes} bytes of memory, and no more than {most} are held for all requests")]
    Never { bytes: usize, most: usize },
    /// They do not fit beside what is held now.
    #[error("the {most} bytes of memory for requests are taken")]
    Now { most: usize },
}

#[derive(Debug)]
pub struct Budget {
    total: usize,
    /// Of it, for pieces that are not small.
    large: usize,
    held: AtomicUsize,
    refusals: AtomicU64,
}

impl Budget {
    /// A budget of so many bytes, of which a body of `largest` bytes may be one, beside what its request takes at its start.
    pub fn new(total: usize, largest: usize) -> Arc<Self> {
        let largest = if largest == 0 { 0 } else { largest.min(total).saturating_add(REQUEST) };
        let large = (total - total / 8).max(largest);
        let total = total.max(largest);
        Arc::new(Self { total, large, held: AtomicUsize::new(0), refusals: AtomicU64::new(0) })
    }

    pub fn total(&self) -> usize {
        self.total
    }

    pub fn held(&self) -> usize {
        self.held.load(Relaxed)
    }

    /// How often bytes were not given.
    pub fn refusals(&self) -> u64 {
        self.refusals.load(Relaxed)
    }

    /// Whether so many bytes could be had now. What comes later takes them as it comes.
    pub fn expect(&self, bytes: usize) -> Result<(), Refused> {
        if self.held().saturating_add(bytes) <= self.bound(bytes) { Ok(()) } else { Err(self.refuse(bytes)) }
    }

    #[inline]
    pub fn take(self: &Arc<Self>, bytes: usize) -> Result<Permit, Refused> {
        self.add(bytes, bytes)?;
        Ok(Permit { budget: Arc::clone(self), bytes })
    }

    /// Takes the bytes of a piece, unless its request's own permit covers them.
    #[inline]
    pub fn take_large(self: &Arc<Self>, bytes: usize) -> Result<Option<Permit>, Refused> {
        if bytes <= SMALL { Ok(None) } else { self.take(bytes).map(Some) }
    }

    /// Up to where a holder of so many bytes may fill the budget.
    fn bound(&self, bytes: usize) -> usize {
        if bytes <= REQUEST { self.total } else { self.large }
    }

    /// Adds bytes for somebody who holds `all` then.
    #[inline]
    fn add(&self, bytes: usize, all: usize) -> Result<(), Refused> {
        let bound = self.bound(all);
        if self.fits(bytes, bound) { Ok(()) } else { Err(self.refuse(all)) }
    }

    /// Adds bytes unless more than so many would be held.
    #[inline]
    fn fits(&self, bytes: usize, bound: usize) -> bool {
        let added = |held: usize| held.checked_add(bytes).filter(|held| *held <= bound);
        self.held.fetch_update(Relaxed, Relaxed, added).is_ok()
    }

    #[cold]
    fn refuse(&self, bytes: usize) -> Refused {
        self.refusals.fetch_add(1, Relaxed);
        let most = self.bound(bytes);
        if bytes > most { Refused::Never { bytes, most } } else { Refused::Now { most } }
    }
}

/// Bytes of the budget, until it is dropped.
#[derive(Debug)]
pub struct Permit {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Permit {
    /// Has so many bytes from now on, if it had fewer.
    pub fn grow_to(&mut self, bytes: usize) -> Result<(), Refused> {
        if bytes > self.bytes {
            self.budget.add(bytes - self.bytes, bytes)?;
            self.bytes = bytes;
        }
        Ok(())
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Gives back what is more than so many bytes.
    pub fn shrink_to(&mut self, bytes: usize) {
        if bytes < self.bytes {
            self.budget.held.fetch_sub(self.bytes - bytes, Relaxed);
            self.bytes = bytes;
        }
    }

    /// A permit of its own for some of the bytes.
    #[must_use]
    pub fn split(&mut self, bytes: usize) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self { budget: Arc::clone(&self.budget), bytes }
    }

    /// Bytes that are given back when the last of those who share them is done.
    pub fn hold<T: AsRef<[u8]> + Send + 'static>(self, what: T) -> Bytes {
        Bytes::from_owner(Held { what, _permit: self })
    }
}

impl Drop for Permit {
    #[inline]
    fn drop(&mut self) {
        self.budget.held.fetch_sub(self.bytes, Relaxed);
    }
}

struct Held<T> {
    what: T,
    _permit: Permit,
}

impl<T: AsRef<[u8]>> AsRef<[u8]> for Held<T> {
    fn as_ref(&self) -> &[u8] {
        self.what.as_ref()
    }
}

/// Bytes with their permit, if they have one.
pub fn hold<T: AsRef<[u8]> + Send + 'static>(permit: Option<Permit>, what: T) -> Bytes {
    match permit {
        Some(permit) => permit.hold(what),
        None => Bytes::from_owner(what),
    }
}

/// Room for bytes that come one after another, taken as they come: what was announced and does not come takes nothing.
#[derive(Debug)]
pub struct Room {
    budget: Arc<Budget>,
    permit: Option<Permit>,
    most: usize,
}

/// First step of what is taken for a body.
const STEP: usize = 64 * 1024;

impl Room {
    /// For at most so many bytes.
    pub fn new(budget: &Arc<Budget>, most: usize) -> Self {
        Self { budget: Arc::clone(budget), permit: None, most }
    }

    /// Makes room for so many bytes in all, and gives how many there is room for then: at most twice as many, so that a
    /// buffer that grows with it moves seldom.
    pub fn make(&mut self, bytes: usize) -> Result<usize, Refused> {
        let has = self.permit.as_ref().map_or(SMALL, |permit| permit.bytes);
        if bytes <= has {
            return Ok(has);
        }
        let target = has.saturating_mul(2).max(STEP).min(self.most).min(self.budget.large).max(bytes);
        let held = self.permit.as_ref().map_or(0, |permit| permit.bytes);
        let has_room = target > bytes && self.budget.fits(target - held, self.budget.bound(target));
        let target = if has_room { target } else { bytes };
        if !has_room {
            self.budget.add(bytes - held, bytes)?;
        }
        match &mut self.permit {
            Some(permit) => permit.bytes = target,
            None => self.permit = Some(Permit { budget: Arc::clone(&self.budget), bytes: target }),
        }
        Ok(target)
    }

    /// The permit for all that came, if it is not small.
    pub fn close(mut self, bytes: usize) -> Option<Permit> {
        if let Some(permit) = &mut self.permit {
            permit.shrink_to(bytes);
        }
        self.permit
    }
}

/// Bytes for people: in MiB where they are whole ones.
pub fn shown(bytes: u64) -> String {
    const MEBIBYTE: u64 = 1024 * 1024;
    if bytes >= MEBIBYTE && bytes.is_multiple_of(MEBIBYTE) {
        format!("{bytes} ({} MiB)", bytes / MEBIBYTE)
    } else {
        bytes.to_string()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    const MANY: usize = 1024 * 1024;

    #[test]
    fn what_does_not_fit_now_and_what_never_fits_are_told_apart_and_nothing_is_kept_of_either() {
        let budget = Budget::new(MANY, 0);
        let most = MANY / 8 * 7;
        let first = budget.take(most - 1).unwrap();
        assert_eq!(budget.take(REQUEST + 1).unwrap_err(), Refused::Now { most });
        assert_eq!(budget.take(most + 1).unwrap_err(), Refused::Never { bytes: most + 1, most });
        assert_eq!(budget.expect(MANY).unwrap_err(), Refused::Never { bytes: MANY, most });
        assert_eq!((budget.held(), budget.refusals()), (most - 1, 3));
        drop(first);
        assert_eq!(budget.held(), 0);
        let budget = Budget::new(MANY, MANY);
        let _own = budget.take(REQUEST).unwrap();
        assert!(budget.take(MANY).is_ok(), "the largest body fits beside what its request takes");
    }

    #[test]
    fn an_eighth_is_left_to_small_requests() {
        let budget = Budget::new(MANY, 0);
        let _large = budget.take(MANY / 8 * 7).unwrap();
        let small: Vec<Permit> = (0..MANY / 8 / REQUEST).map(|_| budget.take(REQUEST).unwrap()).collect();
        assert_eq!(budget.held(), MANY);
        assert_eq!(budget.take(REQUEST).unwrap_err(), Refused::Now { most: MANY });
        drop(small);
        assert!(budget.take(REQUEST).is_ok());
    }

    #[test]
    fn bytes_are_given_back_with_the_last_view_of_them() {
        let budget = Budget::new(MANY, 0);
        let bytes = budget.take(1000).unwrap().hold(vec![7; 1000]);
        let view = bytes.slice(10..20);
        drop(bytes);
        assert_eq!((budget.held(), &view[..]), (1000, &[7; 10][..]));
        drop(view);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn room_is_taken_as_bytes_come_and_what_was_only_announced_takes_none() {
        let budget = Budget::new(MANY, 0);
        let mut room = Room::new(&budget, 500_000);
        assert_eq!(
            (room.make(SMALL).unwrap(), budget.held()),
            (SMALL, 0),
            "the request's own permit covers it"
        );
        assert_eq!(room.make(SMALL + 1).unwrap(), STEP);
        assert_eq!(room.make(STEP + 1).unwrap(), 2 * STEP);
        assert_eq!(room.make(400_000).unwrap(), 400_000);
        assert_eq!(room.make(400_001).unwrap(), 500_000, "no more than can come");
        let permit = room.close(450_000).unwrap();
        assert_eq!(budget.held(), 450_000);
        drop(permit);
        let mut room = Room::new(&budget, usize::MAX);
        room.make(600_000).unwrap();
        assert_eq!(room.make(700_000).unwrap(), MANY / 8 * 7, "it would double, were there more");
        let small = budget.take(REQUEST).unwrap();
        assert!(matches!(room.make(950_000), Err(Refused::Never { .. })));
        drop(room);
        let mut room = Room::new(&budget, usize::MAX);
        room.make(500_000).unwrap();
        let other = budget.take(200_000).unwrap();
        assert_eq!(room.make(600_000).unwrap(), 600_000, "what is needed, where there is no room to double");
        drop((room, other, small));
        assert_eq!(budget.held(), 0);
    }

    proptest! {
        #[test]
        fn whatever_is_taken_grown_split_and_dropped_no_byte_is_lost_and_the_bound_holds(
            steps in prop::collection::vec((0..4_u8, 0..MANY, any::<prop::sample::Index>()), 1..60),
        ) {
            let budget = Budget::new(MANY, MANY / 2);
            let mut permits: Vec<Permit> = Vec::new();
            for (step, bytes, which) in steps {
                match step {
                    0 => permits.extend(budget.take(bytes).ok()),
                    _ if permits.is_empty() => {}
                    1 => {
                        let place = which.index(permits.len());
                        let permit = &mut permits[place];
                        let before = permit.bytes;
                        if permit.grow_to(bytes).is_err() {
                            prop_assert_eq!(permit.bytes, before);
                        }
                    }
                    2 => {
                        let place = which.index(permits.len());
                        let part = permits[place].split(bytes);
                        permits.push(part);
                    }
                    _ => drop(permits.swap_remove(which.index(permits.len()))),
                }
                prop_assert_eq!(budget.held(), permits.iter().map(|permit| permit.bytes).sum::<usize>());
                prop_assert!(budget.held() <= budget.total());
            }
            permits.clear();
            prop_assert_eq!(budget.held(), 0);
        }
    }
}
