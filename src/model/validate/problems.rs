//! Why a Model is refused. Pure.

/// Every reason to refuse a Model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", problems.join("; "))]
pub struct InvalidModel {
    /// One sentence each: field, value, what was expected.
    pub problems: Vec<String>,
}

/// Problems that are told of one Model: a condition holds fewer. A spec of thousands would keep the operator, and everybody else's
/// objects, waiting for half a minute at each look.
const MOST_TOLD: usize = 100;

/// Whether nobody reads further problems.
pub(super) fn are_enough(problems: &[String]) -> bool {
    problems.len() >= MOST_TOLD
}
