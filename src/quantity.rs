//! Kubernetes quantities (`500m`, `64Mi`, `1e3`). In goes text, out comes an exact value or why not. Pure.

use std::fmt;

/// An exact quantity; equal values are equal whatever their spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity {
    nano: i128,
}

/// Text that is no quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a quantity; expected a number with an optional unit, for example 2, 500m or 64Mi")]
pub struct InvalidQuantity {
    text: String,
}

const NANO: i128 = 1_000_000_000;
const KIBI: i128 = 1024;
/// Largest value: Kubernetes caps quantities at 2^63-1.
const MAX_NANO: i128 = i64::MAX as i128 * NANO;

impl Quantity {
    /// Reads a quantity; what is finer than a nano is rounded up, as Kubernetes does.
    pub fn parse(text: &str) -> Result<Self, InvalidQuantity> {
        nano(text).map(|nano| Self { nano }).ok_or_else(|| InvalidQuantity { text: text.into() })
    }

    /// The whole number of units (bytes, say), rounded up; `None` where it is negative.
    pub fn units(self) -> Option<u64> {
        if self.nano < 0 {
            return None;
        }
        u64::try_from((self.nano + NANO - 1) / NANO).ok()
    }
}

/// The canonical form for hashes: whole units, or nanos with `n`.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nano % NANO == 0 { write!(f, "{}", self.nano / NANO) } else { write!(f, "{}n", self.nano) }
    }
}

/// Nanos of one unit, and the power of ten that comes on top.
fn scale(unit: &str) -> Option<(i128, u32)> {
    Some(match unit {
        "" => (NANO, 0),
        "n" => (1, 0),
        "u" => (1_000, 0),
        "m" => (1_000_000, 0),
        "k" => (NANO, 3),
        "M" => (NANO, 6),
        "G" => (NANO, 9),
        "T" => (NANO, 12),
        "P" => (NANO, 15),
        "E" => (NANO, 18),
        "Ki" => (NANO * KIBI, 0),
        "Mi" => (NANO * KIBI.pow(2), 0),
        "Gi" => (NANO * KIBI.pow(3), 0),
        "Ti" => (NANO * KIBI.pow(4), 0),
        "Pi" => (NANO * KIBI.pow(5), 0),
        "Ei" => (NANO * KIBI.pow(6), 0),
        _ => return None,
    })
}

fn nano(text: &str) -> Option<i128> {
    let (negative, text) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(unit_at)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.len() + fraction.len() == 0 || whole.len() > 28 || fraction.len() > 12 || fraction.contains('.')
    {
        return None;
    }
    let exponent = unit.strip_prefix(['e', 'E']).filter(|digits| !digits.is_empty());
    let (unit_nano, power) = match exponent {
        // `E` alone is exa and `Ei` exbi; with digits it is an exponent
        Some(digits) if digits != "i" => {
            let exponent: i32 = digits.parse().ok()?;
            if !(-9..=18).contains(&exponent) {
                return None;
            }
            if exponent < 0 {
                (NANO / 10_i128.pow(exponent.unsigned_abs()), 0)
            } else {
                (NANO, exponent.unsigned_abs())
            }
        }
        _ => scale(unit)?,
    };
    let mantissa: i128 = format!("{whole}{fraction}").parse().ok()?;
    let scaled = mantissa.checked_mul(unit_nano)?.checked_mul(10_i128.checked_pow(power)?)?;
    let divisor = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
    let value = scaled.div_euclid(divisor) + i128::from(scaled.rem_euclid(divisor) != 0);
    (value <= MAX_NANO).then_some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spellings_of_the_same_amount_are_equal() {
        for group in [
            ["1", "1000m", "1.0", "1e0", "+1"],
            ["64Mi", "65536Ki", "67108864", "0.0625Gi", "67108864.0"],
            ["2k", "2000", "2e3", "2E3", "2000000m"],
            ["1E", "1000P", "1e18", "1000000T", "1000000000G"],
        ] {
            let values: Vec<_> = group.map(|text| Quantity::parse(text).unwrap()).to_vec();
            assert!(values.windows(2).all(|pair| pair[0] == pair[1]), "{group:?}: {values:?}");
        }
    }

    #[test]
    fn units_round_up_and_are_never_negative() {
        assert_eq!(Quantity::parse("1500m").unwrap().units(), Some(2));
        assert_eq!(Quantity::parse("64Mi").unwrap().units(), Some(67_108_864));
        assert_eq!(Quantity::parse("-1").unwrap().units(), None);
        assert_eq!(Quantity::parse("100m").unwrap().to_string(), "100000000n");
    }

    #[test]
    fn what_is_no_quantity_is_refused_with_an_example() {
        for bad in ["", "-", "Mi", "1KB", "1 Mi", "1.2.3", ".", "1e99", "99999999999999999999", "0x10", "1mi"]
        {
            assert!(Quantity::parse(bad).unwrap_err().to_string().contains("64Mi"), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_the_canonical_form_reads_back(
            text in "[-+]?[0-9.]{0,22}[a-zA-Z]{0,3}[0-9]{0,3}", other in ".{0,8}", whole in 0_i64..i64::MAX, milli in 0_u32..1000,
        ) {
            let _ = Quantity::parse(&other);
            if let Ok(quantity) = Quantity::parse(&text) {
                prop_assert_eq!(Quantity::parse(&quantity.to_string()).unwrap(), quantity);
            }
            let quantity = Quantity::parse(&format!("{}.{milli:03}", whole / 1000)).unwrap();
            prop_assert_eq!(Quantity::parse(&quantity.to_string()).unwrap(), quantity);
        }
    }
}
