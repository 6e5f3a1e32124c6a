//! Reads JSON numbers of every form. In go their digits; out come the nearest numbers of a datatype.
//!
//! Most numbers take a path without division of long integers: their digits as an integer, times or by a power of ten
//! that a double holds exactly. Where the rounding of that could matter, the standard library reads the digits again.
// What is passed between these functions would go through memory, which takes longer than all of their work.
#![allow(clippy::inline_always)]

/// Powers of ten that a double holds exactly.
pub(super) const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];
/// Powers of ten that a single holds exactly.
const SINGLE_POWERS: [f32; 11] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10];
/// Largest integer up to which a single holds every one.
const SINGLE_EXACT: u64 = 1 << 24;
/// Digits that a 64-bit integer holds whatever they are.
const MAX_DIGITS: usize = 19;
/// Largest integer up to which a double holds every one.
pub(super) const EXACT: u64 = 1 << 53;

/// A number as it is written.
#[derive(Clone, Copy, Debug)]
pub struct Number<'a> {
    pub text: &'a [u8],
    /// Whether it has neither point nor exponent.
    pub is_integer: bool,
    negative: bool,
    digits: u64,
    count: usize,
    exponent: i32,
}

/// Reads the number at the start of a text, by JSON's grammar.
#[inline]
pub fn scan(text: &[u8]) -> Option<Number<'_>> {
    let negative = text.first() == Some(&b'-');
    let start = usize::from(negative);
    let (mut digits, mut at) = (0_u64, start);
    take_digits(text, &mut at, &mut digits);
    let whole = at - start;
    if whole == 0 || whole > 1 && text.get(start) == Some(&b'0') {
        return None;
    }
    let mut count = whole;
    let mut exponent = 0_i32;
    let mut is_integer = true;
    if text.get(at) == Some(&b'.') {
        at += 1;
        let point = at;
        take_digits(text, &mut at, &mut digits);
        let fraction = at - point;
        if fraction == 0 {
            return None;
        }
        count += fraction;
        exponent = i32::try_from(fraction).map_or(i32::MIN, |fraction| -fraction);
        is_integer = false;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        at += 1;
        let minus = text.get(at) == Some(&b'-');
        at += usize::from(minus || text.get(at) == Some(&b'+'));
        let power = at;
        let mut value = 0_i32;
        while let Some(digit @ b'0'..=b'9') = text.get(at) {
            value = value.saturating_mul(10).saturating_add(i32::from(digit - b'0'));
            at += 1;
        }
        if at == power {
            return None;
        }
        exponent = exponent.saturating_add(if minus { -value } else { value });
        is_integer = false;
    }
    Some(Number { text: text.get(..at)?, is_integer, negative, digits, count, exponent })
}

/// Adds decimal digits to an integer that may wrap; the caller counts them.
#[inline]
fn take_digits(text: &[u8], at: &mut usize, digits: &mut u64) {
    while let Some(eight) = text.get(*at..*at + 8).and_then(|eight| <[u8; 8]>::try_from(eight).ok()) {
        let word = u64::from_le_bytes(eight);
        if !are_digits(word) {
            break;
        }
        *digits = digits.wrapping_mul(100_000_000).wrapping_add(eight_digits(word & 0x0f0f_0f0f_0f0f_0f0f));
        *at += 8;
    }
    while let Some(digit @ b'0'..=b'9') = text.get(*at) {
        *digits = digits.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
        *at += 1;
    }
}

/// Whether all eight bytes are decimal digits: their upper halves are 3, and stay so with 6 added.
#[inline]
fn are_digits(word: u64) -> bool {
    const HIGH: u64 = 0xf0f0_f0f0_f0f0_f0f0;
    const THREE: u64 = 0x3030_3030_3030_3030;
    word & HIGH == THREE && word.wrapping_add(0x0606_0606_0606_0606) & HIGH == THREE
}

/// The value of eight digits, each a byte of 0 to 9 and the first the lowest: by pairs, fours and eights.
#[inline]
pub(super) fn eight_digits(ones: u64) -> u64 {
    let pairs = (ones.wrapping_mul(10).wrapping_add(ones >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul(100).wrapping_add(pairs >> 16)) & 0x0000_ffff_0000_ffff;
    (fours.wrapping_mul(10_000).wrapping_add(fours >> 32)) & 0xffff_ffff
}

impl Number<'_> {
    /// The nearest FP32; none if it would be infinite.
    #[inline(always)]
    pub fn to_f32(self) -> Option<f32> {
        /// Where the bits that FP32 drops stand half-way between two of its numbers.
        const HALF: u64 = 0x1000_0000;
        /// More last places of the double than its at most three roundings can be off.
        const DOUBT: u64 = 4;
        if self.digits <= SINGLE_EXACT
            && self.count <= MAX_DIGITS
            && self.exponent <= 0
            && let Some(power) = SINGLE_POWERS.get(self.exponent.unsigned_abs() as usize)
        {
            #[expect(clippy::cast_precision_loss, reason = "it holds the digits exactly")]
            let number = self.digits as f32 / power;
            return Some(if self.negative { -number } else { number });
        }
        if let Some(number) = self.near() {
            let dropped = number.to_bits() & 0x1fff_ffff;
            if number >= f64::from(f32::MIN_POSITIVE)
                && number <= f64::from(f32::MAX)
                && dropped.abs_diff(HALF) > DOUBT
            {
                #[expect(clippy::cast_possible_truncation, reason = "rounding is what is wanted")]
                let number = number as f32;
                return Some(if self.negative { -number } else { number });
            }
        }
        self.parse::<f32>().filter(|number| number.is_finite())
    }

    /// The nearest FP64; none if it would be infinite.
    #[inline(always)]
    pub fn to_f64(self) -> Option<f64> {
        if self.digits <= EXACT
            && let Some(number) = self.near()
        {
            return Some(if self.negative { -number } else { number });
        }
        self.parse::<f64>().filter(|number| number.is_finite())
    }

    /// The number without its sign, within two last places; exactly rounded if the digits are at most [`EXACT`].
    #[inline]
    #[expect(clippy::cast_precision_loss, reason = "it is accounted for")]
    fn near(self) -> Option<f64> {
        if self.count > MAX_DIGITS {
            return None;
        }
        let power = POWERS.get(usize::try_from(self.exponent.unsigned_abs()).ok()?)?;
        let digits = self.digits as f64;
        Some(if self.exponent < 0 { digits / power } else { digits * power })
    }

    /// The integer; none if it has a point or an exponent, or does not fit.
    #[inline]
    pub fn to_integer<T: std::str::FromStr + TryFrom<i64>>(self) -> Option<T> {
        if !self.is_integer {
            return None;
        }
        if self.count < MAX_DIGITS {
            let digits = i64::try_from(self.digits).ok()?;
            return T::try_from(if self.negative { -digits } else { digits }).ok();
        }
        self.parse()
    }

    #[cold]
    fn parse<T: std::str::FromStr>(self) -> Option<T> {
        std::str::from_utf8(self.text).ok()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    /// The standard library rounds correctly whatever the digits are.
    fn agrees(text: &str) -> Result<(), TestCaseError> {
        let number = scan(text.as_bytes()).unwrap();
        prop_assert_eq!(number.text, text.as_bytes());
        let single: f32 = text.parse().unwrap();
        let double: f64 = text.parse().unwrap();
        let finite = |bits: Option<u64>, finite: bool| bits.filter(|_| finite);
        prop_assert_eq!(
            number.to_f32().map(f32::to_bits).map(u64::from),
            finite(Some(single.to_bits().into()), single.is_finite()),
            "FP32 of {}",
            text
        );
        prop_assert_eq!(
            number.to_f64().map(f64::to_bits),
            finite(Some(double.to_bits()), double.is_finite()),
            "FP64 of {}",
            text
        );
        Ok(())
    }

    /// The decimal digits of what lies between two neighbours, and of what is next to it.
    fn halves(number: f32) -> Vec<String> {
        let above = f32::from_bits(number.to_bits() + 1);
        if !above.is_finite() {
            return Vec::new();
        }
        let half = f64::midpoint(f64::from(number), f64::from(above));
        let around = [half, f64::from_bits(half.to_bits() + 1), f64::from_bits(half.to_bits() - 1)];
        around
            .iter()
            .flat_map(|number| [format!("{number}"), format!("{number:e}"), format!("{number:.60}")])
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn every_decimal_is_read_to_the_nearest_number(
            text in "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,24})?([eE][+-]?[0-9]{1,3})?",
        ) {
            agrees(&text)?;
        }

        #[test]
        fn every_single_is_read_back_from_its_shortest_and_its_double_digits(bits in any::<u32>()) {
            let number = f32::from_bits(bits);
            if number.is_finite() {
                for text in [format!("{number}"), format!("{number:e}"), format!("{}", f64::from(number))] {
                    agrees(&text)?;
                    let read = scan(text.as_bytes()).unwrap().to_f32().unwrap();
                    prop_assert_eq!(read.to_bits(), number.to_bits());
                }
            }
        }

        #[test]
        fn every_double_is_read_back(bits in any::<u64>()) {
            let number = f64::from_bits(bits);
            if number.is_finite() {
                for text in [format!("{number}"), format!("{number:e}")] {
                    agrees(&text)?;
                }
            }
        }

        #[test]
        fn what_lies_half_way_between_two_singles_is_rounded_once(bits in 0_u32..0x7f7f_ffff) {
            for text in halves(f32::from_bits(bits)) {
                agrees(&text)?;
            }
        }

        #[test]
        fn integers_are_read_as_the_standard_library_reads_them(text in "-?(0|[1-9][0-9]{0,21})") {
            let number = scan(text.as_bytes()).unwrap();
            prop_assert_eq!(number.to_integer::<i64>(), text.parse().ok());
            // `-0` is an integer of JSON that the standard library does not take for one without a sign.
            prop_assert_eq!(number.to_integer::<u64>(), text.parse().ok().or((text == "-0").then_some(0)));
            prop_assert_eq!(number.to_integer::<i8>(), text.parse().ok());
        }

        #[test]
        fn what_is_no_number_is_none(text in "[-+0-9.eE]{0,6}") {
            let ours = scan(text.as_bytes()).is_some_and(|number| number.text.len() == text.len());
            let theirs = serde_json::from_str::<Box<serde_json::value::RawValue>>(&text).is_ok();
            prop_assert_eq!(ours, theirs, "{}", text);
        }
    }
}
