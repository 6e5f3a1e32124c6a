//! What is trained, how the best is chosen, and what it must reach. In goes what a user wrote, out comes what the
//! containers are told; problems are told by the path of the field. Pure.

use std::collections::{BTreeMap, BTreeSet};

use modelwright_contract::{
    algorithms::{Algorithm, scikit_learn},
    layers::keras,
    training::{Candidate, Gate, Kind, Metric, Selection, Task},
};
use serde_json::Value;

use super::{
    data::{check_order, read_decimal},
    network::{self, Input},
    problems::are_enough,
};
use crate::{api::training as written, decimal::Decimal, suggestion::did_you_mean};

/// Most values of a parameter that is a list.
const MAX_LIST: usize = 16;
/// Longest string of a parameter, and longest name of one, in bytes.
const MAX_STRING: usize = 256;
/// Most bytes of a candidate's parameters as JSON.
const MAX_PARAMETERS: usize = 8 * 1024;
/// Longest name of a candidate.
const MAX_NAME: usize = 40;

/// `built_in`: what the data gives to a built-in trainer, whose algorithms, layers and parameters are known.
pub(super) fn validate_candidates(
    candidates: &[written::Candidate],
    task: Task,
    built_in: Option<Kind>,
    problems: &mut Vec<String>,
) -> Vec<Candidate> {
    if candidates.is_empty() && built_in.is_some() {
        problems.push(
            "spec.training.candidates is empty; name at least one algorithm to train, for example {name: forest, algorithm: RandomForest}"
                .into(),
        );
    }
    let mut names = BTreeSet::new();
    for (at, candidate) in candidates.iter().enumerate() {
        if are_enough(problems) {
            break;
        }
        let field = format!("spec.training.candidates[{at}]");
        if !is_label(&candidate.name) {
            problems.push(format!(
                "{field}.name `{}` is not a name; expected at most {MAX_NAME} lower-case letters, digits and -, for example forest-200",
                candidate.name
            ));
        }
        if !names.insert(&candidate.name) {
            problems.push(format!(
                "{field}.name `{}` is there twice; give each candidate a name of its own",
                candidate.name
            ));
        }
        check_candidate(&field, candidate, task, built_in, problems);
    }
    candidates
        .iter()
        .map(|candidate| Candidate {
            name: candidate.name.clone(),
            algorithm: candidate.algorithm.clone(),
            layers: network::layers(candidate),
            loss: candidate.loss.clone(),
            optimizer: network::optimizer(candidate),
            callbacks: network::callbacks(candidate),
            parameters: candidate.parameters.clone(),
        })
        .collect()
}

/// A candidate is an algorithm, or a network of layers, which only the built-in trainer takes.
fn check_candidate(
    field: &str,
    candidate: &written::Candidate,
    task: Task,
    built_in: Option<Kind>,
    problems: &mut Vec<String>,
) {
    let has_network_parts =
        candidate.loss.is_some() || candidate.optimizer.is_some() || !candidate.callbacks.is_empty();
    match (&candidate.algorithm, candidate.layers.is_empty(), built_in) {
        (Some(algorithm), false, _) => problems.push(format!(
            "{field}.algorithm `{}` and {field}.layers are both set; a candidate is one of both: remove one",
            shortened(algorithm)
        )),
        (None, true, _) => problems.push(format!(
            "{field} has neither algorithm nor layers; set algorithm (scikit-learn, or a word of your own image) or layers (a network)"
        )),
        (None, false, None) => problems.push(format!(
            "{field}.layers are trained by the built-in Keras, and spec.training.trainer is your own; remove one of both"
        )),
        (None, false, Some(kind)) => {
            network::check_network(field, candidate, task, Input::of(kind), problems);
        },
        (Some(_), true, _) if has_network_parts => problems.push(format!(
            "{field}.loss, optimizer and callbacks belong to layers; remove them, or put those of an algorithm into {field}.parameters"
        )),
        (Some(algorithm), true, Some(kind)) => {
            check_parameters(field, &candidate.parameters, problems);
            check_algorithm(field, algorithm, candidate, (task, kind), problems);
        }
        (Some(algorithm), true, None) => {
            check_parameters(field, &candidate.parameters, problems);
            if algorithm.is_empty() {
                problems.push(format!("{field}.algorithm is empty; expected a word that your image knows"));
            }
        }
    }
}

/// Refuses metrics that need probabilities, by their fields, of candidates that give none. A network gives them always.
pub(super) fn check_probabilities(
    candidates: &[Candidate],
    measured: impl IntoIterator<Item = (String, Metric)>,
    task: Task,
    problems: &mut Vec<String>,
) {
    for (field, metric) in measured.into_iter().filter(|(_, metric)| metric.needs_probabilities()) {
        for (at, candidate) in candidates.iter().enumerate() {
            let Some(name) = &candidate.algorithm else { continue };
            // one that is not known is refused by its name
            let Some(known) = scikit_learn(task).get(name) else { continue };
            if !known.gives_probabilities(&candidate.parameters) {
                problems.push(format!(
                    "{field} {} is measured of probabilities, and spec.training.candidates[{at}] `{}` gives none: {}",
                    metric.name(),
                    shortened(&candidate.name),
                    how_probabilities_come(name, known)
                ));
            }
        }
    }
}

fn how_probabilities_come(name: &str, algorithm: &Algorithm) -> String {
    let words = |values: &[Value]| {
        let words =
            values.iter().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        words.collect::<Vec<_>>().join(" or ")
    };
    match &algorithm.probabilities {
        Some(wanted) => {
            let wanted = wanted.iter().map(|(parameter, values)| format!("{parameter}: {}", words(values)));
            let wanted = wanted.collect::<Vec<_>>().join(" and ");
            format!("algorithm {name} does with {wanted}; set that, or choose another metric or algorithm")
        }
        None => format!("algorithm {name} never does; choose another metric or algorithm"),
    }
}

fn is_label(name: &str) -> bool {
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= MAX_NAME
        && name.starts_with(edge)
        && name.ends_with(edge)
        && name.chars().all(|c| edge(c) || c == '-')
}

fn check_algorithm(
    field: &str,
    name: &str,
    candidate: &written::Candidate,
    (task, kind): (Task, Kind),
    problems: &mut Vec<String>,
) {
    let known = scikit_learn(task);
    if let Some(algorithm) = known.get(name) {
        if !algorithm.takes.contains(&kind) {
            problems.push(format!(
                "{field}.algorithm `{name}` takes a fixed number of numbers for each row, and spec.training.data has {}; give the candidate layers that begin with TextVectorization, or prepare the data as a table",
                named(kind)
            ));
        }
        for parameter in candidate.parameters.keys() {
            if are_enough(problems) {
                return;
            }
            if !algorithm.parameters.contains(parameter) {
                problems.push(unknown_parameter(field, parameter, name, algorithm));
            }
        }
        return;
    }
    let other = match task {
        Task::Classification => Task::Regression,
        Task::Regression => Task::Classification,
    };
    let all = known.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    let hint = if scikit_learn(other).contains_key(name) {
        format!(" (it is one for {other:?}, and spec.training.task is {task:?})")
    } else if keras().layers.contains_key(name) {
        " (it is a layer of Keras: put it into layers, in place of algorithm)".to_owned()
    } else if let Some((name, _)) = known.iter().find(|(_, known)| is_class(&known.class, name)) {
        format!(" (did you mean `{name}`?)")
    } else {
        did_you_mean(name, known.keys().map(String::as_str))
    };
    problems.push(format!(
        "{field}.algorithm `{name}` is not one of scikit-learn for {task:?}{hint}; expected one of {all}"
    ));
}

/// Whether a word is the library's own name for a class, with or without its module.
fn is_class(class: &str, word: &str) -> bool {
    class == word || class.rsplit('.').next() == Some(word)
}

fn unknown_parameter(field: &str, parameter: &str, name: &str, algorithm: &Algorithm) -> String {
    let known = algorithm.parameters.iter().map(String::as_str);
    format!(
        "{field}.parameters.{} is not a parameter of {name}{}; expected one of {}",
        shortened(parameter),
        did_you_mean(parameter, known.clone()),
        known.collect::<Vec<_>>().join(", ")
    )
}

fn check_parameters(field: &str, parameters: &BTreeMap<String, Value>, problems: &mut Vec<String>) {
    for (name, value) in parameters {
        if are_enough(problems) {
            return;
        }
        let field = format!("{field}.parameters.{}", shortened(name));
        if name.is_empty() || name.len() > MAX_STRING {
            problems.push(format!("{field}: a parameter's name has 1 to {MAX_STRING} bytes"));
        }
        match value {
            Value::Array(items) if items.len() > MAX_LIST => problems
                .push(format!("{field} has {} values; expected a list of at most {MAX_LIST}", items.len())),
            Value::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    check_scalar(&format!("{field}[{at}]"), item, problems);
                }
            }
            scalar => check_scalar(&field, scalar, problems),
        }
    }
    let bytes = serde_json::to_string(parameters).map_or(usize::MAX, |text| text.len());
    if bytes > MAX_PARAMETERS {
        problems.push(format!(
            "{field}.parameters has {bytes} bytes as JSON; at most {MAX_PARAMETERS} are possible: shorten them"
        ));
    }
}

fn check_scalar(field: &str, value: &Value, problems: &mut Vec<String>) {
    match value {
        Value::String(text) if text.len() > MAX_STRING => problems.push(format!(
            "{field} is a string of {} bytes; at most {MAX_STRING} are possible: shorten it",
            text.len()
        )),
        Value::Array(_) | Value::Object(_) => problems.push(format!(
            "{field} is a {}; expected a number, string, boolean, null, or one list of these",
            if value.is_array() { "list inside a list" } else { "map" }
        )),
        _ => {}
    }
}

fn named(kind: Kind) -> &'static str {
    match kind {
        Kind::Table => "a table",
        Kind::Images => "images",
        Kind::Sequences => "sequences",
        Kind::Text => "text",
        Kind::Window => "a window",
    }
}

fn shortened(text: &str) -> String {
    crate::k8s::events::truncated(text, 64)
}

/// The metric of a task where none is named.
pub(super) fn default_metric(task: Task) -> Metric {
    match task {
        Task::Classification => Metric::F1Macro,
        Task::Regression => Metric::MeanSquaredError,
    }
}

pub(super) fn validate_selection(
    selection: &written::Selection,
    task: Task,
    problems: &mut Vec<String>,
) -> Selection {
    let metric = selection.metric.unwrap_or_else(|| default_metric(task));
    check_metric("spec.training", "selection.metric", metric, task, problems);
    if let Some(goal) = selection.goal.filter(|goal| *goal != metric.goal()) {
        problems.push(format!(
            "spec.training.selection.goal is {goal:?}; {} is better the {} it is: remove goal, or set it to {:?}",
            metric.name(),
            if metric.goal() == modelwright_contract::training::Goal::Maximize { "higher" } else { "lower" },
            metric.goal()
        ));
    }
    Selection { metric, goal: metric.goal() }
}

/// Parses the gates of what is at the path `of`.
pub(super) fn validate_gates(
    of: &str,
    gates: &[written::Gate],
    task: Task,
    problems: &mut Vec<String>,
) -> Vec<Gate> {
    let mut metrics = BTreeSet::new();
    for (at, gate) in gates.iter().enumerate() {
        let field = format!("{of}.gates[{at}]");
        check_metric(of, &format!("gates[{at}].metric"), gate.metric, task, problems);
        if !metrics.insert(gate.metric) {
            problems.push(format!(
                "{field}.metric {} is there twice; put min and max into one gate",
                gate.metric.name()
            ));
        }
        if gate.min.is_none() && gate.max.is_none() {
            problems.push(format!(
                "{field} has no bound; set min or max, for example {{metric: {}, min: \"0.9\"}}",
                gate.metric.name()
            ));
        }
        let mut read = |name: &str, text: &Option<String>| {
            let field = format!("{field}.{name}");
            let value = read_decimal(&field, text.as_deref()?, problems)?;
            check_reachable(&field, gate.metric, value, problems);
            Some(value)
        };
        let (min, max) = (read("min", &gate.min), read("max", &gate.max));
        check_order(&field, min, max, problems);
    }
    gates
        .iter()
        .map(|gate| Gate { metric: gate.metric, min: gate.min.clone(), max: gate.max.clone() })
        .collect()
}

pub(super) fn check_metric(of: &str, name: &str, metric: Metric, task: Task, problems: &mut Vec<String>) {
    if metric.task() != task {
        let fitting: Vec<_> =
            Metric::ALL.into_iter().filter(|metric| metric.task() == task).map(Metric::name).collect();
        problems.push(format!(
            "{of}.{name} {} measures a {:?}, and {of}.task is {task:?}; expected one of {}",
            metric.name(),
            metric.task(),
            fitting.join(", ")
        ));
    }
}

/// Whether a metric can have this value: a percentage for a share is the usual slip.
fn check_reachable(field: &str, metric: Metric, value: Decimal, problems: &mut Vec<String>) {
    let (least, most) = match metric {
        Metric::LogLoss | Metric::MeanSquaredError | Metric::MeanAbsoluteError => (Some(Decimal::ZERO), None),
        Metric::R2 => (None, Some(Decimal::ONE)),
        _ => (Some(Decimal::ZERO), Some(Decimal::ONE)),
    };
    if least.is_some_and(|least| value < least) || most.is_some_and(|most| value > most) {
        let range = match (least, most) {
            (Some(_), Some(_)) => "lies from 0 to 1",
            (Some(_), None) => "is never below 0",
            _ => "is never above 1",
        };
        problems
            .push(format!("{field} is {value}; {} {range}: choose a bound that it can reach", metric.name()));
    }
}
