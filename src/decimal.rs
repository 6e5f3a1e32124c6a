//! Decimal strings as users write thresholds (`0.95`). In goes text, out comes an exact value or why not. Pure.

use std::fmt;

/// Digits behind the point that are kept; more are refused.
const PLACES: usize = 15;
/// Digits before the point.
const WHOLE: usize = 15;
const ONE: i128 = 10_i128.pow(15);

/// An exact decimal; equal values are equal whatever their spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decimal {
    scaled: i128,
}

/// Text that is no decimal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a decimal string; expected digits with an optional point, for example \"0.95\"")]
pub struct InvalidDecimal {
    text: String,
}

impl Decimal {
    /// 0.
    pub const ZERO: Self = Self { scaled: 0 };
    /// 1.
    pub const ONE: Self = Self { scaled: ONE };

    /// Reads a decimal: at most 15 digits on each side of the point.
    pub fn parse(text: &str) -> Result<Self, InvalidDecimal> {
        scaled(text).map(|scaled| Self { scaled }).ok_or_else(|| InvalidDecimal { text: text.into() })
    }

    /// The sum of two.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { scaled: self.scaled.saturating_add(other.scaled) }
    }
}

fn scaled(text: &str) -> Option<i128> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_digits = |part: &str, most: usize| {
        !part.is_empty() && part.len() <= most && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !is_digits(whole, WHOLE) || !is_digits(fraction, PLACES) {
        return None;
    }
    let value: i128 = format!("{whole}{fraction:0<PLACES$}").parse().ok()?;
    Some(if negative { -value } else { value })
}

/// The canonical form for hashes: no zeros that mean nothing.
impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (size, sign) = (self.scaled.abs(), if self.scaled < 0 { "-" } else { "" });
        let fraction = format!("{:0>PLACES$}", size % ONE);
        match fraction.trim_end_matches('0') {
            "" => write!(f, "{sign}{}", size / ONE),
            fraction => write!(f, "{sign}{}.{fraction}", size / ONE),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spellings_of_the_same_value_are_equal() {
        for (group, canonical) in [
            (vec!["0.1", "0.10", "00.1", "0.100000000000000"], "0.1"),
            (vec!["0", "-0", "0.0", "-0.000"], "0"),
            (vec!["-12.50", "-12.5"], "-12.5"),
            (vec!["999999999999999"], "999999999999999"),
        ] {
            for text in group {
                assert_eq!(Decimal::parse(text).unwrap().to_string(), canonical, "{text}");
            }
        }
        assert!(
            Decimal::parse("-1").unwrap() < Decimal::ZERO && Decimal::parse("0.95").unwrap() < Decimal::ONE
        );
    }

    #[test]
    fn what_is_no_decimal_is_refused_with_an_example() {
        for bad in ["", "-", ".", "1.", ".5", "1e5", "0x1", "1,5", "NaN", "95%", "+1", "1234567890123456"] {
            assert!(Decimal::parse(bad).unwrap_err().to_string().contains("0.95"), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_the_canonical_form_reads_back(text in "-?[0-9]{1,15}(\\.[0-9]{1,15})?", other in ".{0,20}") {
            let _ = Decimal::parse(&other);
            let value = Decimal::parse(&text).unwrap();
            prop_assert_eq!(Decimal::parse(&value.to_string()).unwrap(), value);
        }
    }
}
