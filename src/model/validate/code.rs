//! Code of a user's own: in the spec, or in a ConfigMap and pinned by its digest. In goes what a user wrote; problems are told
//! by the path of the field. Pure.

use crate::{api::training as written, store::is_dns_name};

const FIELD: &str = "spec.training.trainer.python";
/// Most bytes of code in the spec.
const MAX_CODE: usize = 64 * 1024;

/// Where the code is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Code {
    /// In the spec.
    Inline(String),
    /// In a ConfigMap.
    ConfigMap {
        /// Its name.
        name: String,
        /// Its key.
        key: String,
        /// SHA-256 of what is there.
        sha256: String,
    },
}

/// Parses where the code is.
pub(super) fn validate_python(python: &written::Python, problems: &mut Vec<String>) -> Option<Code> {
    match (&python.inline, &python.config_map, &python.sha256) {
        (Some(code), None, None) => {
            if code.trim().is_empty() {
                problems.push(format!("{FIELD}.inline is empty; write the code that trains"));
            }
            // it is a variable of the container, and Python takes none either
            if let Some(at) = code.find('\0') {
                problems.push(format!("{FIELD}.inline has a NUL character at byte {at}; remove it"));
            }
            if code.len() > MAX_CODE {
                problems.push(format!(
                    "{FIELD}.inline has {} bytes; at most {MAX_CODE} are possible: put it into a ConfigMap, with its sha256",
                    code.len()
                ));
            }
            Some(Code::Inline(code.clone()))
        }
        (None, Some(key), Some(sha256)) => {
            let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            if sha256.len() != 64 || !sha256.bytes().all(is_digit) {
                problems.push(format!("{FIELD}.sha256 `{sha256}` is not 64 lower-case hex digits"));
            }
            if !is_dns_name(&key.name) {
                problems.push(format!("{FIELD}.configMap.name `{}` is no Kubernetes name", key.name));
            }
            Some(Code::ConfigMap { name: key.name.clone(), key: key.key.clone(), sha256: sha256.clone() })
        }
        (Some(_), None, Some(_)) => {
            problems.push(format!("{FIELD}.sha256 is of code in a ConfigMap; remove it beside inline"));
            None
        }
        (None, Some(key), None) => {
            problems.push(format!(
                "{FIELD}.sha256 is missing beside configMap `{}`; it says which code is meant: set it to what sha256sum prints for the file",
                key.name
            ));
            None
        }
        _ => {
            problems.push(format!(
                "{FIELD} takes exactly one of inline (the code itself) and configMap (with sha256)"
            ));
            None
        }
    }
}
