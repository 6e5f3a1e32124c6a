//! Reads the numbers that most tensors are made of: one digit, a point and up to 18 digits. In go bytes and where the number
//! ends; out come the nearest numbers of a datatype, or nothing where that takes more thought. Shorter ones are faster read
//! several at once, by [`super::lanes`].
//!
//! There is no loop over digits and no branch on the sign, which no processor could foresee.
// What is passed between these functions would go through memory, which takes longer than all of their work.
#![allow(clippy::inline_always)]

use super::number::{EXACT, Number, POWERS, eight_digits};

/// Bytes that are looked at: more than a number has.
pub const WINDOW: usize = 32;
/// Most digits behind the point.
const MOST: usize = 18;
/// Powers of ten as integers.
const TENS: [u64; 9] = [1, 10, 100, 1000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];
/// Powers of ten by their sign, so that dividing by one brings the sign along.
const DIVISORS: [[f64; MOST + 1]; 2] = divisors();

/// A number as an integer and the place of its point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decimal {
    negative: usize,
    /// The nearest double to the integer.
    digits: f64,
    /// Whether that is the integer.
    is_exact: bool,
    /// Digits behind the point.
    places: usize,
}

/// A datatype of floating-point numbers.
pub trait Float: Copy + Default {
    /// What stands for a missing number.
    const NAN: Self;
    /// Most digits of an integer that is finite in any case, as far as eight.
    const DIGITS: usize;

    /// The nearest number; none if that is not certain.
    fn near(decimal: Decimal) -> Option<Self>;

    /// The nearest number to a decimal of one digit and up to six places or of up to [`Self::DIGITS`] digits, which this
    /// double is nearest to.
    fn of_short(quotient: f64) -> Self;

    /// The nearest number; none if it would be infinite.
    fn nearest(number: Number<'_>) -> Option<Self>;
}

/// Reads a number of `length` bytes at the start of a window if it has up to 18 digits behind the point.
#[inline]
pub fn long(window: &[u8; WINDOW], length: usize) -> Option<Decimal> {
    let negative = usize::from(window[0] == b'-');
    let first = window[negative].wrapping_sub(b'0');
    let point = negative + 1;
    let places = length.wrapping_sub(point + 1);
    if first > 9 || window[point] != b'.' {
        return None;
    }
    // The next digits, up to eight.
    let next = |digits: u64, read: usize| {
        let count = (places - read).min(8);
        let word = word(window, point + 1 + read) ^ 0x3030_3030_3030_3030;
        Some(digits * TENS[count] + value(word, count)?)
    };
    let first = u64::from(first);
    let digits = match places {
        1..=8 => next(first, 0)?,
        9..=16 => next(next(first, 0)?, 8)?,
        17..=MOST => next(next(next(first, 0)?, 8)?, 16)?,
        _ => return None,
    };
    #[expect(clippy::cast_precision_loss, reason = "it is accounted for")]
    Some(Decimal { negative, digits: digits as f64, is_exact: digits <= EXACT, places })
}

/// Eight bytes of a window.
#[inline(always)]
fn word(window: &[u8; WINDOW], at: usize) -> u64 {
    window.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// The value of the first 1 to 8 bytes, the first the lowest; none unless all are 0 to 9.
#[inline(always)]
fn value(bytes: u64, count: usize) -> Option<u64> {
    // They move to the end, behind zeros.
    let digits = bytes << (64 - 8 * count);
    digits_only(digits).then(|| eight_digits(digits))
}

/// Whether each of eight bytes is 0 to 9.
#[inline(always)]
pub fn digits_only(bytes: u64) -> bool {
    // The highest bit of each byte that is none; a carry only reaches bytes behind the first of them.
    (bytes.wrapping_add(0x7676_7676_7676_7676) | bytes) & 0x8080_8080_8080_8080 == 0
}

const fn divisors() -> [[f64; MOST + 1]; 2] {
    let mut divisors = [[0.0; MOST + 1]; 2];
    let mut places = 0;
    while places <= MOST {
        divisors[0][places] = POWERS[places];
        divisors[1][places] = -POWERS[places];
        places += 1;
    }
    divisors
}

impl Decimal {
    /// The nearest double if the digits are exact; else within two last places.
    #[inline(always)]
    fn quotient(self) -> f64 {
        self.digits / DIVISORS[self.negative][self.places]
    }
}

impl Float for f32 {
    const NAN: Self = Self::NAN;
    const DIGITS: usize = 8;

    #[inline(always)]
    fn near(decimal: Decimal) -> Option<Self> {
        let quotient = decimal.quotient();
        // How far the bits that FP32 drops are from half-way between two of its numbers. A decimal of up to eight places
        // that is not half-way is further from there than the quotient's error, so its quotient is on the right side.
        let half = (quotient.to_bits() & 0x1fff_ffff).abs_diff(0x1000_0000);
        if decimal.places > 8 && half <= 4 {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "rounding is what is wanted")]
        Some(quotient as f32)
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "as in `near`, rounding is what is wanted")]
    fn of_short(quotient: f64) -> Self {
        quotient as f32
    }

    #[inline]
    fn nearest(number: Number<'_>) -> Option<Self> {
        number.to_f32()
    }
}

impl Float for f64 {
    const NAN: Self = Self::NAN;
    const DIGITS: usize = 8;

    #[inline(always)]
    fn near(decimal: Decimal) -> Option<Self> {
        decimal.is_exact.then(|| decimal.quotient())
    }

    #[inline(always)]
    fn of_short(quotient: f64) -> Self {
        quotient
    }

    #[inline]
    fn nearest(number: Number<'_>) -> Option<Self> {
        number.to_f64()
    }
}

/// Half a single's bits: rounded once, from the whole double.
macro_rules! half {
    ($type:ty, $digits:literal) => {
        impl Float for $type {
            const NAN: Self = Self::NAN;
            const DIGITS: usize = $digits;

            #[inline]
            fn near(decimal: Decimal) -> Option<Self> {
                f64::near(decimal).map(|number| Self::from_f32(odd(number)))
            }

            #[inline]
            fn of_short(quotient: f64) -> Self {
                Self::from_f32(odd(quotient))
            }

            #[inline]
            fn nearest(number: Number<'_>) -> Option<Self> {
                number.to_f64().map(|number| Self::from_f32(odd(number))).filter(|number| number.is_finite())
            }
        }
    };
}

// The largest is 65504.
half!(half::f16, 4);
half!(half::bf16, 8);

/// The single next to a double towards zero, with its last bit set unless it is the double: so that rounding once more,
/// to fewer bits, goes where rounding the double would. (`half::bf16::from_f64` drops the lower half of the double first.)
#[expect(clippy::cast_possible_truncation, reason = "rounding is what is wanted")]
pub(super) fn odd(number: f64) -> f32 {
    let nearest = number as f32;
    if f64::from(nearest).to_bits() == number.to_bits() {
        return nearest;
    }
    let is_beyond = f64::from(nearest).abs() > number.abs();
    f32::from_bits((nearest.to_bits() - u32::from(is_beyond)) | 1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    /// What is read of a number with text behind it.
    fn read(text: &str) -> Option<Decimal> {
        let behind = format!("{text},0123456789.0123456789012345678901");
        long(behind.as_bytes().first_chunk().unwrap(), text.len())
    }

    fn agrees(text: &str) -> Result<(), TestCaseError> {
        if let Some(decimal) = read(text) {
            if let Some(number) = f32::near(decimal) {
                prop_assert_eq!(number.to_bits(), text.parse::<f32>().unwrap().to_bits(), "FP32 of {}", text);
            }
            if let Some(number) = f64::near(decimal) {
                prop_assert_eq!(number.to_bits(), text.parse::<f64>().unwrap().to_bits(), "FP64 of {}", text);
            }
        }
        Ok(())
    }

    #[test]
    fn only_a_point_is_a_point_and_only_digits_are_digits() {
        for byte in 0..=u8::MAX {
            for text in [[byte, b'.', b'5'], [b'1', byte, b'5'], [b'1', b'.', byte]] {
                let mut window = [b'7'; WINDOW];
                window[..3].copy_from_slice(&text);
                let is_one = text[0].is_ascii_digit() && text[1] == b'.' && text[2].is_ascii_digit();
                assert_eq!(long(&window, 3).is_some(), is_one, "{}", text.escape_ascii());
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn what_is_read_is_the_nearest_number(text in "-?[0-9]\\.[0-9]{1,18}") {
            prop_assert!(read(&text).is_some());
            agrees(&text)?;
        }

        #[test]
        fn every_short_number_is_read_without_a_doubt(text in "-?[0-9]\\.[0-9]{1,8}") {
            let decimal = read(&text).unwrap();
            prop_assert_eq!(f32::near(decimal).unwrap().to_bits(), text.parse::<f32>().unwrap().to_bits());
            prop_assert_eq!(f64::near(decimal).unwrap().to_bits(), text.parse::<f64>().unwrap().to_bits());
        }

        #[test]
        fn numbers_next_to_half_way_between_two_singles_are_rounded_once(
            bits in 0x3000_0000_u32..0x411f_ffff,
            places in 1..19_usize,
        ) {
            let (below, above) = (f32::from_bits(bits), f32::from_bits(bits + 1));
            let half = f64::midpoint(below.into(), above.into());
            for near in [half.next_down(), half, half.next_up()] {
                agrees(&format!("{near:.places$}"))?;
                agrees(&format!("-{near:.places$}"))?;
            }
        }

        #[test]
        fn doubles_next_to_half_way_between_two_halves_are_rounded_once(bits in 0_u16..0x7b00) {
            let half = |below: f64, above: f64| f64::midpoint(below, above);
            let (below, above) = (half::f16::from_bits(bits), half::f16::from_bits(bits + 1));
            let middle = half(below.to_f64(), above.to_f64());
            prop_assert_eq!(half::f16::from_f32(odd(middle.next_down())), below);
            prop_assert_eq!(half::f16::from_f32(odd(middle.next_up())), above);
            prop_assert_eq!(half::f16::from_f32(odd(middle)).to_bits() % 2, 0);
            let (below, above) = (half::bf16::from_bits(bits), half::bf16::from_bits(bits + 1));
            let middle = half(below.to_f64(), above.to_f64());
            prop_assert_eq!(half::bf16::from_f32(odd(-middle.next_down())), -below);
            prop_assert_eq!(half::bf16::from_f32(odd(-middle.next_up())), -above);
            prop_assert_eq!(half::bf16::from_f32(odd(middle)).to_bits() % 2, 0);
        }

        #[test]
        fn other_text_is_nothing(text in "[-0-9.eE ,\\]n\u{7f}é]{1,20}") {
            let is_one = text.strip_prefix('-').unwrap_or(&text).split_once('.').is_some_and(|(whole, places)| {
                let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
                whole.len() == 1 && digits(whole) && digits(places) && (1..=MOST).contains(&places.len())
            });
            prop_assert_eq!(read(&text).is_some(), is_one, "{}", text);
        }
    }
}
