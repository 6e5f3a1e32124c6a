//! A Kubernetes quantity as users write it: text, or a whole number without quotes.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error, Unexpected, Visitor},
};

/// What is expected, for people.
const EXPECTED: &str =
    "a whole number up to 9223372036854775807, or text: quote it, for example \"1.5\" or \"512Mi\"";

/// A quantity as written, not yet checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Amount {
    /// Without quotes: a whole number, as large as the API server's own.
    Whole(i64),
    /// In quotes.
    Text(String),
}

impl fmt::Display for Amount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(number) => number.fmt(formatter),
            Self::Text(text) => text.fmt(formatter),
        }
    }
}

impl JsonSchema for Amount {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Amount".into()
    }

    // no maximum: the API server's integers end where these do, and it compares as integers what no float holds exactly
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A quantity: a whole number, or text with a unit or a fraction, in quotes, for example \"1.5\" or \"512Mi\".",
            "maxLength": 64,
            "x-kubernetes-int-or-string": true,
        })
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AmountVisitor)
    }
}

struct AmountVisitor;

impl Visitor<'_> for AmountVisitor {
    type Value = Amount;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(EXPECTED)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Amount, E> {
        Ok(Amount::Whole(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Amount, E> {
        let whole =
            i64::try_from(number).map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))?;
        Ok(Amount::Whole(whole))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Amount, E> {
        // a whole number may come with a point or an exponent
        let text = number.to_string();
        let whole = text.parse().map_err(|_| E::invalid_value(Unexpected::Float(number), &self))?;
        Ok(Amount::Whole(whole))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Amount, E> {
        Ok(Amount::Text(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Amount, E> {
        Ok(Amount::Text(text))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn text_and_whole_numbers_are_taken_and_a_fraction_is_to_be_quoted() {
        for (json, text) in [
            ("4294967296", "4294967296"),
            ("9223372036854775807", "9223372036854775807"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("1e9", "1000000000"),
            ("2.0", "2"),
            ("\"1.5\"", "1.5"),
        ] {
            let amount: Amount = serde_json::from_str(json).unwrap();
            assert_eq!(amount.to_string(), text, "{json}");
            let again: Amount = serde_json::from_str(&serde_json::to_string(&amount).unwrap()).unwrap();
            assert_eq!(again, amount);
        }
        for json in ["1.5", "9223372036854775808", "1e300", "true", "null", "{}", "[]"] {
            let error = serde_json::from_str::<Amount>(json).unwrap_err().to_string();
            assert!(error.contains("quote it") && error.contains("9223372036854775807"), "{json}: {error}");
        }
    }
}
