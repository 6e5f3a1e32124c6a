//! Whether a model's graph treats rows independently of each other.

use serde::{Deserialize, Serialize};

/// Most bytes of a node's name.
pub const MAX_NODE_BYTES: usize = 64;
/// Most bytes of a reason.
pub const MAX_REASON_BYTES: usize = 160;

/// Whether an answer to a row is the same whatever other rows share its run, as far as the graph shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RowIndependence {
    /// Whether that is shown.
    pub independent: bool,
    /// If not, because of which node, input or output; shortened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// If not, why; shortened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl RowIndependence {
    /// Shown.
    pub fn yes() -> Self {
        Self { independent: true, node: None, reason: None }
    }

    /// Not shown.
    pub fn not(node: Option<&str>, reason: &str) -> Self {
        let node = node.map(|node| shortened(node, MAX_NODE_BYTES));
        Self { independent: false, node, reason: Some(shortened(reason, MAX_REASON_BYTES)) }
    }
}

impl std::fmt::Display for RowIndependence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let reason = self.reason.as_deref().unwrap_or("no reason is known");
        match (self.independent, &self.node) {
            (true, _) => f.write_str("yes"),
            (false, Some(node)) => write!(f, "no, because of {node:?} ({reason})"),
            (false, None) => write!(f, "no: {reason}"),
        }
    }
}

/// Text of a stranger's file: without control characters, and no longer than so many bytes.
fn shortened(text: &str, most: usize) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if clean.len() <= most {
        return clean;
    }
    let mut end = most.saturating_sub('…'.len_utf8());
    while !clean.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", clean.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_strangers_are_cut_to_what_a_report_has_room_for() {
        let long = RowIndependence::not(Some(&"ü\n".repeat(500)), &"x".repeat(500));
        assert!(long.node.as_ref().is_some_and(|node| node.len() <= MAX_NODE_BYTES && !node.contains('\n')));
        assert!(long.reason.as_ref().is_some_and(|reason| reason.len() <= MAX_REASON_BYTES));
        assert_eq!(RowIndependence::yes().to_string(), "yes");
        assert_eq!(RowIndependence::not(Some("n"), "it sums").to_string(), "no, because of \"n\" (it sums)");
    }
}
