//! Reads the shortest of the numbers that tensors are made of, several at once: a digit, a point and up to six digits, or
//! up to eight digits, as many as any number of the datatype may have. In go bytes and where each number ends; out come the
//! nearest numbers of the datatype.
//!
//! Each number's digits become a word of eight bytes. Words are held back until there are many, since a processor waits
//! when it reads together what it has just written apart; then one instruction works on several of them.
// As in `decimal`.
#![allow(clippy::inline_always)]

use wide::{i16x8, i32x4, u16x8};

use super::decimal::{Float, WINDOW, digits_only};

/// Numbers that are held back.
pub const SIZE: usize = 32;
/// Numbers that are made at once.
const STEP: usize = 4;
/// Fewest bytes of a number with a point, without its sign.
const SHORTEST: usize = 3;
/// Most bytes of a number, without its sign.
const LONGEST: usize = 8;
/// What makes a digit's value of one that was taken for a point.
const POINT: u64 = ((b'.' ^ b'0') as u64) << 8;
/// The double from which on doubles are integers: their fraction is the difference.
const INTEGERS: f64 = 4_503_599_627_370_496.0;
/// What a number's digits are divided by, by its length; first, if it has no point; 16 further, if it is negative.
const DIVISORS: [f64; 32] = divisors();

/// Numbers that were read and not made yet.
pub struct Lanes {
    /// Their digits, each a byte of 0 to 9, the last the highest.
    digits: [u64; SIZE],
    divisors: [f64; SIZE],
}

impl Default for Lanes {
    fn default() -> Self {
        Self { digits: [0; SIZE], divisors: [1.0; SIZE] }
    }
}

impl Lanes {
    /// Takes the number of `length` bytes at the start of a window to a place, unless it is another one.
    #[inline(always)]
    pub fn take<T: Float>(&mut self, place: usize, window: &[u8; WINDOW], length: usize) -> bool {
        let negative = usize::from(window[0] == b'-');
        let length = length.wrapping_sub(negative);
        if length.wrapping_sub(1) >= LONGEST {
            return false;
        }
        let Some(bytes) = window.get(negative..).and_then(<[u8]>::first_chunk) else { return false };
        // Digits become their values, and a point behind the first becomes zero.
        let word = u64::from_le_bytes(*bytes) ^ 0x3030_3030_3030_2e30;
        // All move to the end, behind zeros.
        let shift = 64 - 8 * length;
        let (digits, divisor) = if word & 0xff00 == 0 && length >= SHORTEST {
            // The first digit moves over the point.
            (word.wrapping_add((word & 0xff) * 0xff) << shift, length)
        } else if (length == 1 || word & 0xff != 0) && length <= T::DIGITS {
            ((word ^ POINT) << shift, 0)
        } else {
            return false;
        };
        if !digits_only(digits) {
            return false;
        }
        self.digits[place % SIZE] = digits;
        self.divisors[place % SIZE] = DIVISORS[(16 * negative + divisor) % 32];
        true
    }

    /// Makes its first numbers, into as many elements.
    #[inline(never)]
    pub fn make<T: Float>(&self, elements: &mut [T]) {
        let (digits, _) = self.digits.as_chunks::<STEP>();
        let (divisors, _) = self.divisors.as_chunks::<STEP>();
        for ((elements, digits), divisors) in elements.chunks_mut(STEP).zip(digits).zip(divisors) {
            let mut made = [T::default(); STEP];
            for ((made, value), divisor) in made.iter_mut().zip(values(*digits)).zip(divisors) {
                // The conversion as an instruction waits for the number before.
                let value = f64::from_bits(INTEGERS.to_bits() | value) - INTEGERS;
                *made = T::of_short(value / divisor);
            }
            match elements.first_chunk_mut() {
                Some(elements) => *elements = made,
                None => elements.iter_mut().zip(made).for_each(|(element, made)| *element = made),
            }
        }
    }
}

/// The values of eight digits each: by pairs, fours and eights.
#[inline(always)]
fn values(digits: [u64; STEP]) -> [u64; STEP] {
    let mut fours = [i32x4::ZERO; STEP / 2];
    for (fours, digits) in fours.iter_mut().zip(bytemuck::cast::<_, [u16x8; STEP / 2]>(digits)) {
        let pairs = (digits & u16x8::splat(0xff)) * u16x8::splat(10) + (digits >> 8_u32);
        *fours = bytemuck::cast::<_, i16x8>(pairs).dot(i16x8::new([100, 1, 100, 1, 100, 1, 100, 1]));
    }
    bytemuck::cast::<_, [u64; STEP]>(fours).map(|fours| (fours & 0xffff_ffff) * 10_000 + (fours >> 32))
}

const fn divisors() -> [f64; 32] {
    let mut divisors = [1.0; 32];
    divisors[16] = -1.0;
    let (mut length, mut power) = (SHORTEST, 10.0);
    while length <= LONGEST {
        divisors[length] = power;
        // Its sign comes along.
        divisors[16 + length] = -power;
        length += 1;
        power *= 10.0;
    }
    divisors
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn take<T: Float>(lanes: &mut Lanes, place: usize, text: &str) -> bool {
        let behind = format!("{text},0123456789.0123456789012345678901");
        lanes.take::<T>(place, behind.as_bytes().first_chunk().unwrap(), text.len())
    }

    fn make<T: Float>(texts: &[String]) -> Vec<T> {
        let mut lanes = Lanes::default();
        assert!(texts.iter().enumerate().all(|(place, text)| take::<T>(&mut lanes, place, text)));
        let mut elements = vec![T::default(); texts.len()];
        lanes.make(&mut elements);
        elements
    }

    #[test]
    fn only_a_point_is_a_point_and_only_digits_are_digits() {
        for byte in 0..=u8::MAX {
            for text in [[byte, b'.', b'5'], [b'1', byte, b'5'], [b'0', byte, b'5'], [b'1', b'.', byte]] {
                let mut window = [b'7'; WINDOW];
                window[..3].copy_from_slice(&text);
                let is_digit = |at: usize| text[at].is_ascii_digit();
                let is_one =
                    is_digit(0) && is_digit(2) && (text[1] == b'.' || is_digit(1) && text[0] != b'0')
                        || text[0] == b'-' && text[1] != b'0' && is_digit(1) && is_digit(2);
                assert_eq!(Lanes::default().take::<f32>(0, &window, 3), is_one, "{}", text.escape_ascii());
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn what_is_made_is_the_nearest_number(
            texts in prop::collection::vec("-?([0-9]\\.[0-9]{1,6}|0|[1-9][0-9]{0,7})", 0..=SIZE),
        ) {
            let (singles, doubles, brains) =
                (make::<f32>(&texts), make::<f64>(&texts), make::<half::bf16>(&texts));
            for (at, text) in texts.iter().enumerate() {
                prop_assert_eq!(singles[at].to_bits(), text.parse::<f32>().unwrap().to_bits(), "{}", text);
                let double: f64 = text.parse().unwrap();
                prop_assert_eq!(doubles[at].to_bits(), double.to_bits(), "{}", text);
                prop_assert_eq!(brains[at].to_bits(), half::bf16::of_short(double).to_bits(), "{}", text);
            }
        }

        #[test]
        fn a_half_that_is_made_is_finite_and_what_may_not_be_is_not_taken(
            texts in prop::collection::vec("-?([0-9]\\.[0-9]{1,6}|0|[1-9][0-9]{0,7})", 0..=SIZE),
        ) {
            let is_long = |text: &String| !text.contains('.') && text.trim_start_matches('-').len() > 4;
            let (long, short): (Vec<_>, Vec<_>) = texts.into_iter().partition(is_long);
            prop_assert!(!long.iter().any(|text| take::<half::f16>(&mut Lanes::default(), 0, text)));
            for (made, text) in make::<half::f16>(&short).into_iter().zip(&short) {
                let nearest = half::f16::of_short(text.parse().unwrap());
                prop_assert!(made.is_finite() && made.to_bits() == nearest.to_bits(), "{}", text);
            }
        }

        #[test]
        fn other_text_is_not_taken(text in "[-0-9.eE ,\\]n\u{7f}é]{1,20}") {
            let number = text.strip_prefix('-').unwrap_or(&text);
            let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let is_one = match number.split_once('.') {
                Some((whole, places)) => whole.len() == 1 && digits(whole) && digits(places) && places.len() <= 6,
                None => digits(number) && number.len() <= 8 && (number.len() == 1 || !number.starts_with('0')),
            };
            prop_assert_eq!(take::<f32>(&mut Lanes::default(), 0, &text), is_one, "{}", text);
        }
    }
}
