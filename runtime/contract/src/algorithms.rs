//! What the built-in trainers know: algorithms by task, and the parameters of each by the library's own names. The table
//! is `algorithms.json`; the trainer's tests compare it with the library itself.

use std::{collections::BTreeMap, sync::LazyLock};

use serde::Deserialize;
use serde_json::Value;

use crate::training::{Kind, Task};

static SCIKIT_LEARN: LazyLock<BTreeMap<Task, BTreeMap<String, Algorithm>>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("algorithms.json")).expect("a committed table, read by a test")
});

/// One algorithm for one task.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Algorithm {
    /// The library's class, with its module.
    pub class: String,
    /// Its parameters.
    pub parameters: Vec<String>,
    /// What rows may be for it.
    pub takes: Vec<Kind>,
    /// Of a classifier that can tell how probable each class is: the parameters that decide whether it does, each with the
    /// values with which it does. Empty where it always does.
    #[serde(default)]
    pub probabilities: Option<BTreeMap<String, Vec<Value>>>,
}

impl Algorithm {
    /// Whether it tells how probable each class is, with these parameters and the library's defaults for others.
    pub fn gives_probabilities(&self, parameters: &BTreeMap<String, Value>) -> bool {
        self.probabilities.as_ref().is_some_and(|wanted| {
            wanted
                .iter()
                .all(|(name, values)| parameters.get(name).is_some_and(|value| values.contains(value)))
        })
    }
}

/// Algorithms of scikit-learn for a task, by name.
pub fn scikit_learn(task: Task) -> &'static BTreeMap<String, Algorithm> {
    static NONE: BTreeMap<String, Algorithm> = BTreeMap::new();
    SCIKIT_LEARN.get(&task).unwrap_or(&NONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_tasks_have_algorithms_with_parameters() {
        for task in [Task::Classification, Task::Regression] {
            let known = scikit_learn(task);
            for name in ["RandomForest", "DecisionTree", "SVM", "MLP", "SGD"] {
                assert!(known.get(name).is_some_and(|one| !one.parameters.is_empty()), "{task:?} {name}");
            }
        }
    }
}
