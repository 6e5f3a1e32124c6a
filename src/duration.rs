//! Durations as users write them (`500ms`, `1h30m`). In goes text, out comes a [`Duration`] or why not. Pure.

use std::time::Duration;

/// Text that is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a duration; expected numbers with the units ms, s, m or h, for example 500ms or 1h30m"
)]
pub struct InvalidDuration {
    text: String,
}

/// Reads a duration.
pub fn parse(text: &str) -> Result<Duration, InvalidDuration> {
    milliseconds(text).map(Duration::from_millis).ok_or_else(|| InvalidDuration { text: text.into() })
}

/// The canonical form for hashes: milliseconds.
pub fn canonical(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}

fn milliseconds(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let unit_at = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at_checked(unit_at)?;
        let (scale, tail) = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)]
            .into_iter()
            .find_map(|(unit, scale)| Some((scale, tail.strip_prefix(unit)?)))?;
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(scale)?)?;
        rest = tail;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spellings_of_the_same_time_are_equal() {
        for (text, expected) in [
            ("0s", 0),
            ("500ms", 500),
            ("30s", 30_000),
            ("90m", 5_400_000),
            ("1h30m", 5_400_000),
            ("1m1ms", 60_001),
        ] {
            assert_eq!(parse(text).unwrap(), Duration::from_millis(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_with_an_example() {
        for bad in [
            "",
            "5",
            "s",
            "-1s",
            "1.5s",
            "1d",
            "1s ",
            "99999999999999999999s",
            "18446744073709551615h",
            "1µs",
        ] {
            assert!(parse(bad).unwrap_err().to_string().contains("1h30m"), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_the_canonical_form_reads_back(text in ".{0,20}", millis in 0_u64..u64::from(u32::MAX)) {
            let _ = parse(&text);
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse(&canonical(duration)).unwrap(), duration);
        }
    }
}
