//! What is wrong, as conditions say it.

/// Why something is not as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// One CamelCase word.
    pub reason: String,
    /// For people.
    pub message: String,
}
