//! `spec.training`, parsed. In goes what a user wrote, out comes a [`ValidTraining`] with every default resolved; problems
//! are told by the path of the field. Pure.

use std::iter;

use modelwright_contract::{
    artifact::METADATA_DIRECTORY,
    names::{CHECKPOINT_DIRECTORY, FROM_DIRECTORY},
    training::{Folder, Gate, OUTPUT_DIRECTORY, RunConfig},
};

use super::{
    candidates::{check_probabilities, validate_candidates, validate_gates, validate_selection},
    code::{Code, validate_python},
    data::{validate_checks, validate_preprocess, validate_split},
    inputs::validate_data,
    source::{ValidSource, validate_source},
};
use crate::{
    api::{
        model_version::Artifact,
        training as written,
        training::{Library, Training},
    },
    pods::resources::{Amounts, check_resources},
    store::is_dns_name,
};

/// Pods that may fail before a training does.
const DEFAULT_BACKOFF_LIMIT: i32 = 2;
/// Longest that a training may take, waiting included.
const DEFAULT_DEADLINE_SECONDS: i64 = 3600;
const MAX_BACKOFF_LIMIT: i32 = 20;
/// Most bytes of what the containers are told. One variable has at most 128 KiB on Linux, and addresses are in it, too.
const MAX_CONFIG: usize = 112 * 1024;

/// A training that makes sense.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidTraining {
    /// Where the data comes from.
    pub source: ValidSource,
    /// Where a test set of its own comes from.
    pub test: Option<ValidSource>,
    /// Who trains.
    pub trainer: Trainer,
    /// What `train` is told.
    pub config: RunConfig,
    /// What the model must reach.
    pub gates: Vec<Gate>,
    /// Limits of `train`, as written.
    pub limits: Amounts,
    /// Requests of `train`, as written.
    pub requests: Amounts,
    /// Pods that may fail before the run does.
    pub backoff_limit: i32,
    /// Longest that the run may take.
    pub deadline_seconds: i64,
    /// Whether the run stands still.
    pub suspend: bool,
    /// Kueue's queue that admits the run.
    pub queue: Option<Queue>,
    /// The claim that keeps what it goes on from.
    pub checkpoint: Option<String>,
    /// The version that it starts from.
    pub from: Option<StartFrom>,
}

/// Who trains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trainer {
    /// The built-in trainer.
    ScikitLearn,
    /// The built-in trainer with Keras.
    Keras,
    /// Python of the user's own, in the image of a library.
    Python {
        /// Whether in the image with Keras.
        keras: bool,
        /// The code.
        code: Code,
    },
    /// An image of the user's own.
    Image {
        /// Its reference.
        image: String,
        /// Its command, if not its entrypoint.
        command: Vec<String>,
        /// Its arguments, if not its own.
        args: Vec<String>,
    },
}

/// A version that a training starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartFrom {
    /// Its number.
    pub version: u64,
    /// Its bytes, once they are known.
    pub artifact: Option<Artifact>,
}

impl Trainer {
    /// Whether it runs in the image with Keras.
    pub fn needs_keras(&self) -> bool {
        matches!(self, Self::Keras | Self::Python { keras: true, .. })
    }

    /// Whether what it knows is known.
    pub fn is_built_in(&self) -> bool {
        matches!(self, Self::ScikitLearn | Self::Keras)
    }
}

/// A queue of Kueue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// WorkloadPriorityClass of the run.
    pub priority_class: Option<String>,
}

/// Parses the training of the Model `model`.
pub(super) fn validate_training(
    model: &str,
    training: &Training,
    problems: &mut Vec<String>,
) -> Option<ValidTraining> {
    let task = training.task;
    let data = &training.data;
    let source = validate_source(
        "spec.training.data",
        [&data.uri, "digits.csv"],
        data.sha256.as_ref(),
        data.credentials_secret.as_ref(),
        problems,
    );
    let test = data.test.as_ref().map(|test| {
        validate_source(
            "spec.training.data.test",
            [&test.uri, "digits-test.csv"],
            test.sha256.as_ref(),
            test.credentials_secret.as_ref(),
            problems,
        )
    });
    if data.label.trim().is_empty() {
        problems.push(
            "spec.training.data.label is empty; name the column, or with NPZ the array, that holds the truth"
                .into(),
        );
    }
    let has_layers = training.candidates.iter().any(|candidate| !candidate.layers.is_empty());
    let trainer = validate_trainer(training.trainer.as_ref(), has_layers, problems);
    let run_data = validate_data(training, problems);
    let built_in = trainer.is_built_in().then(|| run_data.kind());
    let resources = training.resources.clone().unwrap_or_default();
    let (limits, requests) =
        check_resources("spec.training.resources", &resources.limits, &resources.requests, problems);
    let run = training.run.clone().unwrap_or_default();
    check_run(&run, problems);
    let config = RunConfig {
        model: model.to_owned(),
        task,
        data: run_data,
        checks: validate_checks(&training.checks.clone().unwrap_or_default(), task, problems),
        preprocess: validate_preprocess(&training.preprocess, &data.label, problems),
        split: validate_split(&training.split.clone().unwrap_or_default(), data, task, problems),
        candidates: validate_candidates(&training.candidates, task, built_in, problems),
        selection: validate_selection(&training.selection.clone().unwrap_or_default(), task, problems),
        output: OUTPUT_DIRECTORY.into(),
        checkpoint: run.checkpoint.as_ref().map(|_| Folder { directory: CHECKPOINT_DIRECTORY.into() }),
        from: training
            .from
            .as_ref()
            .map(|_| Folder { directory: format!("{FROM_DIRECTORY}/{METADATA_DIRECTORY}") }),
    };
    check_networks_only(training, &trainer, has_layers, problems);
    let gates = validate_gates("spec.training", &training.gates, task, problems);
    if built_in.is_some() {
        let selected = ("spec.training.selection.metric".to_owned(), config.selection.metric);
        let numbered = gates.iter().enumerate();
        let others = numbered.map(|(at, gate)| (format!("spec.training.gates[{at}].metric"), gate.metric));
        check_probabilities(&config.candidates, iter::once(selected).chain(others), task, problems);
    }
    check_size(&config, problems);
    // every problem is told before this can end
    Some(ValidTraining {
        source: source?,
        test: match test {
            Some(test) => Some(test?),
            None => None,
        },
        trainer,
        config,
        gates,
        limits,
        requests,
        backoff_limit: run.backoff_limit.unwrap_or(DEFAULT_BACKOFF_LIMIT),
        deadline_seconds: run.active_deadline_seconds.unwrap_or(DEFAULT_DEADLINE_SECONDS),
        suspend: run.suspend.unwrap_or(false),
        checkpoint: run.checkpoint.map(|checkpoint| checkpoint.claim),
        from: training.from.as_ref().map(|from| StartFrom { version: from.version, artifact: None }),
        queue: run.queue_name.map(|name| Queue { name, priority_class: run.priority_class }),
    })
}

fn validate_trainer(
    trainer: Option<&written::Trainer>,
    has_layers: bool,
    problems: &mut Vec<String>,
) -> Trainer {
    let library = trainer.and_then(|trainer| trainer.library);
    let built_in = match library {
        Some(Library::Keras) => Trainer::Keras,
        _ if has_layers => Trainer::Keras,
        _ => Trainer::ScikitLearn,
    };
    let Some(trainer) = trainer else { return built_in };
    let field = "spec.training.trainer";
    if has_layers && library == Some(Library::ScikitLearn) {
        problems.push(format!(
            "{field}.library is ScikitLearn, and a candidate has layers, which Keras trains; set it to Keras, whose image has scikit-learn, too, or remove it"
        ));
    }
    let code = trainer.python.as_ref().map(|python| validate_python(python, problems));
    match (&trainer.library, &trainer.image) {
        (_, Some(image)) if code.is_some() => problems.push(format!(
            "{field}.python and {field}.image `{image}` are both set; your code runs in the library's image: remove one"
        )),
        (Some(_), Some(image)) => problems.push(format!(
            "{field}.library and {field}.image `{image}` are both set; either the library trains or your image: remove one"
        )),
        (None, None) if code.is_none() => problems.push(format!(
            "{field} has neither library nor image; set library: ScikitLearn or Keras, or image to your own"
        )),
        (None, Some(image)) if image.trim().is_empty() || image.contains(char::is_whitespace) => {
            problems.push(format!(
                "{field}.image `{image}` is no reference of an image; expected one without white space, for example registry.example.com/team/trainer:1"
            ));
        }
        _ => {}
    }
    if trainer.image.is_none() {
        for (name, words) in [("command", &trainer.command), ("args", &trainer.args)] {
            if !words.is_empty() {
                problems.push(format!(
                    "{field}.{name} applies to an own image only; remove it, or set {field}.image"
                ));
            }
        }
        return match code {
            // one that was refused stands for itself: what is said of it is said once
            Some(code) => {
                let code = code.unwrap_or_else(|| Code::Inline(String::new()));
                Trainer::Python { keras: built_in == Trainer::Keras, code }
            }
            None => built_in,
        };
    }
    Trainer::Image {
        image: trainer.image.clone().unwrap_or_default(),
        command: trainer.command.clone(),
        args: trainer.args.clone(),
    }
}

/// Whether `fetch` can be told of it: it is one variable of its environment, and the kernel takes no longer one.
fn check_size(config: &RunConfig, problems: &mut Vec<String>) {
    let bytes = serde_json::to_string(config)
        .map_or(usize::MAX, |text| serde_json::to_string(&text).map_or(usize::MAX, |quoted| quoted.len()));
    if bytes > MAX_CONFIG {
        problems.push(format!(
            "spec.training has {bytes} bytes as the containers are told of it; at most {MAX_CONFIG} are possible: give fewer or shorter candidates, layers, checks or steps of preparation"
        ));
    }
}

/// What only networks and code of a user's own do.
fn check_networks_only(training: &Training, trainer: &Trainer, has_layers: bool, problems: &mut Vec<String>) {
    if !trainer.is_built_in() || has_layers {
        return;
    }
    if training.from.is_some() {
        problems.push(
            "spec.training.from is for networks, whose weights start from those of a version, and no candidate has layers; remove it"
                .into(),
        );
    }
    if let Some(checkpoint) = training.run.as_ref().and_then(|run| run.checkpoint.as_ref()) {
        problems.push(format!(
            "spec.training.run.checkpoint.claim `{}` is for networks, which go on from it, and no candidate has layers; remove it",
            checkpoint.claim
        ));
    }
}

fn check_run(run: &written::RunSettings, problems: &mut Vec<String>) {
    let field = "spec.training.run";
    if let Some(limit) = run.backoff_limit.filter(|limit| !(0..=MAX_BACKOFF_LIMIT).contains(limit)) {
        problems.push(format!("{field}.backoffLimit is {limit}; expected 0 to {MAX_BACKOFF_LIMIT}"));
    }
    if let Some(seconds) = run.active_deadline_seconds.filter(|seconds| *seconds < 1) {
        problems.push(format!("{field}.activeDeadlineSeconds is {seconds}; expected 1 or more"));
    }
    if let Some(checkpoint) = run.checkpoint.as_ref().filter(|checkpoint| !is_dns_name(&checkpoint.claim)) {
        problems.push(format!("{field}.checkpoint.claim `{}` is no Kubernetes name", checkpoint.claim));
    }
    match (&run.queue_name, &run.priority_class) {
        (None, Some(class)) => problems.push(format!(
            "{field}.priorityClass `{class}` is Kueue's and needs {field}.queueName; set it, or use spec.scheduling.priorityClassName for the pods"
        )),
        (Some(queue), _) if run.suspend == Some(true) => problems.push(format!(
            "{field}.suspend is true, and {field}.queueName is `{queue}`: Kueue decides when a queued run starts; remove one of both"
        )),
        _ => {}
    }
}
