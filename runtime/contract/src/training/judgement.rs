//! How good a model is, and how good it must be: metrics, the selection of a candidate, gates.

use serde::{Deserialize, Serialize};

use super::Task;

/// How a candidate is chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Selection {
    /// The metric, on the validation part.
    pub metric: Metric,
    /// Whether more is better.
    pub goal: Goal,
}

/// Which direction is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Goal {
    /// More.
    Maximize,
    /// Less.
    Minimize,
}

/// How good a model is. Formulas are scikit-learn's of the same names; macro and weighted averages are over all labels that
/// occur in the truth or in the answers, and a share without cases is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Metric {
    /// Share of right answers.
    Accuracy,
    /// Mean precision of the labels.
    PrecisionMacro,
    /// Mean recall of the labels.
    RecallMacro,
    /// Mean F1 of the labels.
    F1Macro,
    /// Precision weighted by the labels' cases.
    PrecisionWeighted,
    /// Recall weighted by the labels' cases.
    RecallWeighted,
    /// F1 weighted by the labels' cases.
    F1Weighted,
    /// Mean negative logarithm of the probability given to the truth (natural; probabilities clipped to the type's epsilon).
    LogLoss,
    /// Mean squared error.
    MeanSquaredError,
    /// Mean absolute error.
    MeanAbsoluteError,
    /// Coefficient of determination.
    R2,
}

impl Metric {
    /// Every metric.
    pub const ALL: [Self; 11] = [
        Self::Accuracy,
        Self::PrecisionMacro,
        Self::RecallMacro,
        Self::F1Macro,
        Self::PrecisionWeighted,
        Self::RecallWeighted,
        Self::F1Weighted,
        Self::LogLoss,
        Self::MeanSquaredError,
        Self::MeanAbsoluteError,
        Self::R2,
    ];

    /// Its name, as in specs and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "Accuracy",
            Self::PrecisionMacro => "PrecisionMacro",
            Self::RecallMacro => "RecallMacro",
            Self::F1Macro => "F1Macro",
            Self::PrecisionWeighted => "PrecisionWeighted",
            Self::RecallWeighted => "RecallWeighted",
            Self::F1Weighted => "F1Weighted",
            Self::LogLoss => "LogLoss",
            Self::MeanSquaredError => "MeanSquaredError",
            Self::MeanAbsoluteError => "MeanAbsoluteError",
            Self::R2 => "R2",
        }
    }

    /// The task that it measures.
    pub fn task(self) -> Task {
        match self {
            Self::MeanSquaredError | Self::MeanAbsoluteError | Self::R2 => Task::Regression,
            _ => Task::Classification,
        }
    }

    /// Whether it is measured of how probable each class is, and not of the answers.
    pub fn needs_probabilities(self) -> bool {
        self == Self::LogLoss
    }

    /// Which direction is better.
    pub fn goal(self) -> Goal {
        match self {
            Self::LogLoss | Self::MeanSquaredError | Self::MeanAbsoluteError => Goal::Minimize,
            _ => Goal::Maximize,
        }
    }
}

/// What a model must reach on the test part. At least one bound is given; both are decimal strings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Gate {
    /// The metric.
    pub metric: Metric,
    /// Smallest value that passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<String>,
    /// Largest value that passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<String>,
}

/// What `publish` judges a trained model by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Judgement {
    /// What was learned.
    pub task: Task,
    /// What it must reach.
    #[serde(default)]
    pub gates: Vec<Gate>,
}
