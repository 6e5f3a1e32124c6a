//! Reads the long middle of an array of numbers. In goes text at an element; out come elements, up to the first that is no
//! plain number with a comma behind it.
//!
//! A number's end is found before its digits are looked at, so that a processor begins with the next one meanwhile.
// As in `decimal`.
#![allow(clippy::inline_always)]

use super::{
    decimal::{Decimal, Float, WINDOW, long, short},
    number::scan,
};

/// Reads numbers into `elements`; gives how many, and the bytes that they take with what separates them. Stops early at
/// white space other than one space behind every comma, and close to the end of the text.
#[inline]
pub fn read<T: Float>(text: &[u8], elements: &mut [T]) -> (usize, usize) {
    let window = |at: usize| text.get(at..).and_then(<[u8]>::first_chunk);
    let Some(length) = window(0).and_then(to_comma) else { return (0, 0) };
    // A space behind every comma, or behind none, can be foreseen.
    let is_spaced = text.get(length + 1) == Some(&b' ');
    let mut taken = 0;
    for (read, slot) in elements.iter_mut().enumerate() {
        let found = window(taken).and_then(|window| {
            let length = to_comma(window)?;
            Some((element(window, length)?, length))
        });
        let Some((element, length)) = found else { return (read, taken) };
        *slot = element;
        taken += length + 1;
        if is_spaced {
            if text.get(taken) != Some(&b' ') {
                return (read + 1, taken);
            }
            taken += 1;
        }
    }
    (elements.len(), taken)
}

#[inline(always)]
fn element<T: Float>(window: &[u8; WINDOW], length: usize) -> Option<T> {
    let near = |decimal: Option<Decimal>| decimal.and_then(T::near);
    near(short(window, length))
        .or_else(|| near(long(window, length)))
        .or_else(|| other(window.get(..length).unwrap_or_default()))
}

/// A number of another form, or that is hard to round.
#[cold]
fn other<T: Float>(text: &[u8]) -> Option<T> {
    scan(text).filter(|number| number.text.len() == text.len()).and_then(T::nearest)
}

/// Bytes before the first comma.
#[inline(always)]
fn to_comma(window: &[u8; WINDOW]) -> Option<usize> {
    let (words, _) = window.as_chunks();
    for (place, word) in words.iter().enumerate() {
        let differs = u64::from_le_bytes(*word) ^ 0x2c2c_2c2c_2c2c_2c2c;
        // The highest bit of the first byte that is zero, and perhaps of some behind it.
        let zeros = differs.wrapping_sub(0x0101_0101_0101_0101) & !differs & 0x8080_8080_8080_8080;
        if zeros != 0 {
            return Some(place * 8 + zeros.trailing_zeros() as usize / 8);
        }
    }
    None
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
