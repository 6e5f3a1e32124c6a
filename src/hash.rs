//! Canonical hashes. In goes what a user wrote, as JSON; out comes a string that is the same for the same meaning, on
//! every machine and in every release. Pure.
//!
//! Canonical form: object keys in byte order, members that are `null` left out, no white space, strings and numbers as
//! serde_json writes them. Who hashes durations or quantities normalises them first ([`crate::duration`],
//! [`crate::quantity`]).

use std::fmt::Write as _;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Prefix that names the algorithm, so that a later one can tell its hashes from these.
pub const ALGORITHM: &str = "v1";

/// `v1-` and 64 hex digits: the hash of a value's canonical form.
pub fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write_canonical(value, &mut text);
    format!("{ALGORITHM}-{}", sha256_hex(text.as_bytes()))
}

/// The 64 hex digits of a hash, without the prefix.
pub fn digits(hash: &str) -> &str {
    hash.split_once('-').map_or(hash, |(_, digits)| digits)
}

/// The first `count` hex digits of a hash, for names and labels.
pub fn short(hash: &str, count: usize) -> &str {
    let digits = digits(hash);
    digits.get(..count).unwrap_or(digits)
}

/// SHA-256 in lower-case hex.
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        // writing to a String cannot fail
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn write_canonical(value: &Value, text: &mut String) {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().filter(|(_, value)| !value.is_null()).collect();
            members.sort_unstable_by_key(|(key, _)| key.as_bytes());
            text.push('{');
            for (index, (key, value)) in members.into_iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push(':');
                write_canonical(value, text);
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write_canonical(item, text);
            }
            text.push(']');
        }
        scalar => text.push_str(&scalar.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn golden_hashes_never_change() {
        assert_eq!(
            canonical(&json!({})),
            "v1-44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
        );
        assert_eq!(
            canonical(&json!({"b": [1, "x", null], "a": {"d": true, "c": "é\n"}})),
            format!(
                "v1-{}",
                sha256_hex("{\"a\":{\"c\":\"é\\n\",\"d\":true},\"b\":[1,\"x\",null]}".as_bytes())
            )
        );
    }

    #[test]
    fn order_and_absent_members_do_not_matter_but_content_does() {
        let one: Value = serde_json::from_str(r#"{"a":1,"b":2,"c":null}"#).unwrap_or_default();
        let other: Value = serde_json::from_str(r#"{"b":2,"a":1}"#).unwrap_or_default();
        assert_eq!(canonical(&one), canonical(&other));
        assert_ne!(canonical(&one), canonical(&json!({"a": 1, "b": "2"})));
        assert_ne!(canonical(&json!(["a", "b"])), canonical(&json!(["b", "a"])));
    }

    #[test]
    fn a_short_hash_is_cut_from_the_digits() {
        assert_eq!(short("v1-0123456789abcdef", 10), "0123456789");
        assert_eq!(short("v1-01", 10), "01");
        assert_eq!(digits("0123"), "0123");
    }
}
