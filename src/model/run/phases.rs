//! The phases of a run, as data: which there are, in which order they run, and all that is known of each where a run is built, read,
//! asked and told of. Pure.
//!
//! A phase is a container of a pod, and those of one pod run one after another. What a phase made is kept with the run's own
//! hash: what was published is found in the store by the `fetch` of a later attempt, and is not made twice (R16).

use crate::model::validate::ValidModel;

/// A phase of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Fetches the model, or the data.
    Fetch,
    /// Makes ONNX of what was fetched.
    Convert,
    /// Makes what a training leaves beside its model, where nothing is trained.
    Prepare,
    /// Trains.
    Train,
    /// Makes variants.
    Optimize,
    /// Runs the model and measures it.
    Prove,
    /// Stores what was proven.
    Publish,
}

/// What is known of a phase. Where there are two of something, the first is of an import and the second of a training.
#[derive(Clone, Copy, Debug)]
pub struct PhaseData {
    /// Its container, by which failures name it too.
    pub container: &'static str,
    /// Its word in the status.
    pub word: &'static str,
    /// What the run is at meanwhile, for people.
    pub activity: [&'static str; 2],
    /// The field of the spec with the resources of its container, and what takes much memory there.
    pub resources: [(&'static str, &'static str); 2],
    /// Whether its container may have credentials of the store or of a source. What runs code or a graph that may be anybody's has
    /// none.
    pub has_credentials: bool,
    /// What its container answers while it runs.
    pub answers: Option<Question>,
    /// Whether its code may be a user's own, which reports no failure: its last line is told.
    pub is_of_users: bool,
    /// Whether it looks for what an earlier attempt left in the store, and is believed that it is there.
    pub finds_earlier: bool,
}

/// What a container can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// What it tries again.
    Retry,
    /// How far it is.
    Progress,
}

const fn both<T: Copy>(one: T) -> [T; 2] {
    [one, one]
}

/// What most of them have in common.
const PLAIN: PhaseData = PhaseData {
    container: "",
    word: "",
    activity: both(""),
    resources: both(("", "")),
    has_credentials: false,
    answers: None,
    is_of_users: false,
    finds_earlier: false,
};

impl Phase {
    /// All of them, in the order in which they run.
    pub const ALL: [Self; 7] =
        [Self::Fetch, Self::Convert, Self::Prepare, Self::Train, Self::Optimize, Self::Prove, Self::Publish];

    /// What is known of it.
    pub const fn data(self) -> PhaseData {
        match self {
            Self::Fetch => PhaseData {
                container: "fetch",
                word: "Fetching",
                activity: ["its files are being fetched", "its data are being fetched"],
                resources: both(("spec.run.fetch", "")),
                has_credentials: true,
                answers: Some(Question::Retry),
                finds_earlier: true,
                ..PLAIN
            },
            Self::Convert => PhaseData {
                container: "convert",
                word: "Converting",
                activity: both("ONNX is being made of its file"),
                resources: both(("spec.run.convert", "; the model is held beside its ONNX")),
                ..PLAIN
            },
            Self::Prepare => PhaseData {
                container: "prepare",
                word: "Preparing",
                activity: [
                    "the data that it is measured on are being brought to what it takes",
                    "its test part is being made again, and nothing is trained",
                ],
                resources: [
                    ("spec.run.prepare", "; the data that the model is measured on are read whole"),
                    ("spec.training.resources", ""),
                ],
                ..PLAIN
            },
            Self::Train => PhaseData {
                container: "train",
                word: "Training",
                activity: both("train is at work"),
                resources: both(("spec.training.resources", "")),
                answers: Some(Question::Progress),
                is_of_users: true,
                ..PLAIN
            },
            Self::Optimize => PhaseData {
                container: "optimize",
                word: "Optimizing",
                activity: both("its variants are being made"),
                resources: both(("spec.run.optimize", "; to make variants, every tensor is looked at")),
                ..PLAIN
            },
            Self::Prove => PhaseData {
                container: "prove",
                word: "Proving",
                activity: both("it is being run and measured"),
                resources: both(("spec.run.prove", "; the model does not load and run in so little")),
                ..PLAIN
            },
            Self::Publish => PhaseData {
                container: "publish",
                word: "Publishing",
                activity: both("it is being published"),
                resources: both(("spec.run.publish", "")),
                has_credentials: true,
                answers: Some(Question::Retry),
                ..PLAIN
            },
        }
    }

    /// Its container.
    pub const fn container(self) -> &'static str {
        self.data().container
    }

    /// Its word in the status.
    pub const fn word(self) -> &'static str {
        self.data().word
    }

    /// The one that the status calls so.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.word() == word)
    }

    /// Whether what the status calls so can be asked how far it is.
    pub fn tells_progress(word: &str) -> bool {
        Self::of_word(word).is_some_and(|phase| phase.data().answers == Some(Question::Progress))
    }

    /// Those of a run of the Model, in the order in which they run.
    pub fn of_run(model: &ValidModel) -> Vec<Self> {
        let (is_training, is_kept) = (model.training().is_some(), model.kept.is_some());
        let is_needed = |phase: &Self| match phase {
            Self::Fetch | Self::Prove | Self::Publish => true,
            Self::Convert => model.is_converted(),
            Self::Prepare => (is_training && is_kept) || model.evaluation.is_some(),
            Self::Train => is_training && !is_kept,
            Self::Optimize => !model.variants.is_empty(),
        };
        Self::ALL.into_iter().filter(is_needed).collect()
    }
}
