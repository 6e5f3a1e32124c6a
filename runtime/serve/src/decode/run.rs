//! Reads the long middle of an array of numbers. In goes text at an element; out come elements, up to the first that is no
//! plain number with a comma behind it.
//!
//! Commas are found before any digit is looked at, many at once, so that a processor begins with the next number meanwhile.
// As in `decimal`.
#![allow(clippy::inline_always)]

use wide::u8x16;

use super::{
    decimal::{Float, WINDOW, long},
    lanes::{Lanes, SIZE},
    number::scan,
};

/// Bytes whose commas are found at once.
const BLOCK: usize = 64;

/// Reads numbers into `elements`; gives how many, and the bytes that they take with what separates them. Stops early at
/// white space other than one space behind every comma, and close to the end of the text.
#[inline(never)]
pub fn read<T: Float>(text: &[u8], elements: &mut [T]) -> (usize, usize) {
    let first = commas(text).unwrap_or_default().trailing_zeros() as usize;
    // A space behind every comma, or behind none, can be foreseen.
    let is_spaced = text.get(first + 1) == Some(&b' ');
    let room = elements.len().min(SIZE);
    let (mut run, mut lanes) = (Run { elements, made: 0, held: 0, room }, Lanes::default());
    let (mut taken, mut base) = (0, 0);
    while let Some(mut left) = text.get(base..).and_then(commas) {
        while left != 0 {
            let comma = base + left.trailing_zeros() as usize;
            left &= left - 1;
            let window = text.get(taken..).and_then(<[u8]>::first_chunk);
            if !window.is_some_and(|window| run.take(&mut lanes, window, comma.wrapping_sub(taken))) {
                return (run.make(&lanes), taken);
            }
            taken = comma + 1;
            if is_spaced {
                if text.get(taken) != Some(&b' ') {
                    return (run.make(&lanes), taken);
                }
                taken += 1;
            }
        }
        base += BLOCK;
    }
    (run.make(&lanes), taken)
}

/// A bit for each comma of the next block; none at the end of the text.
#[inline(always)]
fn commas(text: &[u8]) -> Option<u64> {
    let mut last = [0; BLOCK];
    let block = match text.first_chunk() {
        Some(block) => block,
        None if text.is_empty() => return None,
        None => {
            last.get_mut(..text.len())?.copy_from_slice(text);
            &last
        }
    };
    let (parts, _) = block.as_chunks();
    Some(parts.iter().rev().fold(0, |bits, part| {
        bits << 16 | u64::from(u8x16::new(*part).simd_eq(u8x16::splat(b',')).to_bitmask())
    }))
}

/// Elements of which the first were made, and how many more are in the lanes and may be.
struct Run<'a, T> {
    elements: &'a mut [T],
    made: usize,
    held: usize,
    room: usize,
}

impl<T: Float> Run<'_, T> {
    /// Reads the number of `length` bytes at the start of a window, if it is one and there is an element for it.
    #[inline(always)]
    fn take(&mut self, lanes: &mut Lanes, window: &[u8; WINDOW], length: usize) -> bool {
        if self.held == self.room {
            self.make(lanes);
            if self.room == 0 {
                return false;
            }
        }
        if lanes.take::<T>(self.held, window, length) {
            self.held += 1;
            return true;
        }
        self.make(lanes);
        let element = long(window, length)
            .and_then(T::near)
            .or_else(|| other(window.get(..length).unwrap_or_default()));
        let (Some(element), Some(slot)) = (element, self.elements.get_mut(self.made)) else { return false };
        *slot = element;
        self.made += 1;
        self.room = self.room.min(self.elements.len() - self.made);
        true
    }

    /// Makes what is in the lanes, and gives how many were made until now.
    #[inline(always)]
    fn make(&mut self, lanes: &Lanes) -> usize {
        if self.held > 0 {
            lanes.make(self.elements.get_mut(self.made..self.made + self.held).unwrap_or_default());
            self.made += self.held;
            self.held = 0;
            self.room = self.room.min(self.elements.len() - self.made);
        }
        self.made
    }
}

/// A number of another form, or that is hard to round.
#[cold]
fn other<T: Float>(text: &[u8]) -> Option<T> {
    scan(text).filter(|number| number.text.len() == text.len()).and_then(T::nearest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_a_row_but_its_end_is_read_at_once() {
        for element in ["0.5", "-0.1234", "0.12345678", "-0.12345679104328156", "255", "1e-07"] {
            for separator in [",", ", "] {
                let row = [element; 1000].join(separator) + "]}]}";
                let mut elements = [0.0_f32; 1000];
                let (read, taken) = read(row.as_bytes(), &mut elements);
                assert!(read > 1000 - WINDOW, "{read} of {element}");
                assert_eq!(taken, read * (element.len() + separator.len()));
                assert!(elements.iter().take(read).all(|number| element.parse() == Ok(*number)));
            }
        }
    }

    #[test]
    fn what_is_no_plain_number_is_left() {
        for (element, after) in
            [("null", ","), ("0.5", " ,"), ("\"0.5", ","), ("0.5]", ","), ("[0.5", ","), ("1e99", ",")]
        {
            let row = format!("0.25,{element}{after}0.125,{}", "0.5,".repeat(20));
            assert_eq!(read(row.as_bytes(), &mut [0.0_f32; 9]), (1, 5), "{element}");
        }
        let mixed = b"0.5, 0.25,13, 0.125, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5";
        assert_eq!(read(mixed, &mut [0.0_f32; 9]), (2, 10), "no space where one was expected");
        assert_eq!(read(b"0.5,0.5,0.5]", &mut [0.0_f32; 3]), (0, 0), "too close to the end");
    }
}
