//! What a model must reach. In go gates and measured metrics; out comes nothing, or every gate that was missed and by how
//! much. Needs no client.

use modelwright_contract::training::{EVALUATION_FILE, Gate, Judgement, Metric};

use super::Evaluation;

/// How far from its bound a metric may be and still count as there: that much is rounding.
const ROUNDING: f64 = 1e-12;
const MAX_BOUND_BYTES: usize = 64;

/// A gate that was read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    metric: Metric,
    min: Option<f64>,
    max: Option<f64>,
}

/// Reads all gates, or says what is wrong with one.
pub fn read(judgement: &Judgement) -> Result<Vec<Bounds>, String> {
    judgement.gates.iter().map(|gate| bounds(gate, judgement)).collect()
}

fn bounds(gate: &Gate, judgement: &Judgement) -> Result<Bounds, String> {
    let metric = gate.metric;
    let name = metric.name();
    if metric.task() != judgement.task {
        return Err(format!(
            "{name} is a metric of a {:?}, and the task is {:?}",
            metric.task(),
            judgement.task
        ));
    }
    let read = |bound: &str, text: &Option<String>| match text {
        None => Ok(None),
        Some(text) => decimal(text).map(Some).ok_or_else(|| {
            let short: String = text.chars().take(40).collect();
            format!("{bound} of {name} is {short:?}; expected a decimal number like 0.95")
        }),
    };
    let (min, max) = (read("min", &gate.min)?, read("max", &gate.max)?);
    match (min, max) {
        (None, None) => Err(format!("{name} has neither min nor max")),
        (Some(min), Some(max)) if min > max => {
            Err(format!("min of {name} is {min} and larger than max, {max}: nothing can pass"))
        }
        (min, max) => Ok(Bounds { metric, min, max }),
    }
}

/// Reads a decimal number: digits, with a sign and a fraction at most.
pub fn decimal(text: &str) -> Option<f64> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let fine = match unsigned.split_once('.') {
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => digits(unsigned),
    };
    (fine && text.len() <= MAX_BOUND_BYTES).then(|| text.parse().ok()).flatten()
}

/// Writes a number with 6 significant digits, the same way for the same number, and as plain digits where those are
/// not many.
pub fn shown(number: f64) -> String {
    let scientific = format!("{number:.5e}");
    let rounded: f64 = scientific.parse().unwrap_or(number);
    if rounded == 0.0 {
        return "0".to_owned();
    }
    if (1e-20..1e20).contains(&rounded.abs()) { rounded.to_string() } else { format!("{rounded:e}") }
}

/// What stands between a model and its gates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missed {
    /// A metric that could not be computed.
    Unknown(String),
    Values(String),
}

pub fn check(gates: &[Bounds], evaluation: &Evaluation) -> Result<(), Missed> {
    let mut unknown = Vec::new();
    let mut missed = Vec::new();
    for Bounds { metric, min, max } in gates {
        let Some(value) = evaluation.metrics.get(metric).map(|value| value.get()) else {
            let why = evaluation.without.get(metric).map_or("it was not measured", String::as_str);
            unknown.push(format!("{} cannot be computed: {why}", metric.name()));
            continue;
        };
        let slack = |bound: f64| ROUNDING * bound.abs().max(1.0);
        if let Some(min) = min.filter(|min| value < min - slack(*min)) {
            missed.push(told(*metric, value, "at least", min));
        }
        if let Some(max) = max.filter(|max| value > max + slack(*max)) {
            missed.push(told(*metric, value, "at most", max));
        }
    }
    if !unknown.is_empty() {
        return Err(Missed::Unknown(format!(
            "a gate asks for what this model does not tell: {}. Take another metric for the gate, or export the model so \
             that it can be computed",
            unknown.join("; ")
        )));
    }
    if missed.is_empty() {
        return Ok(());
    }
    Err(Missed::Values(format!(
        "{} on the {} rows of the test part ({EVALUATION_FILE}), computed from the model's own answers. No version is \
         made; train a better model, or lower the gate",
        missed.join("; "),
        evaluation.rows
    )))
}

fn told(metric: Metric, value: f64, at: &str, bound: f64) -> String {
    // A value that looks like its bound is shown in full.
    let short = shown(value);
    let value_shown = if short.parse() == Ok(bound) { value.to_string() } else { short };
    format!(
        "{} is {value_shown}, and {at} {bound} was asked for (missed by {})",
        metric.name(),
        shown((value - bound).abs())
    )
}

#[cfg(test)]
mod tests;
