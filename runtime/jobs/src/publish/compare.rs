//! How a variant compares with its original: how far its answers are from the original's, and its CPU time beside it. In go
//! both folders, samples and the test part; out comes what a fresh process measured.
//!
//! Times on a machine with other work wander by more than what is looked for. So runs of both take turns, in an order that is
//! drawn for each pair, and what counts is the median of the pairs' ratios with its interval, which takes nothing for granted
//! of how times are spread: so many of the pairs lie below a median as heads fall of a coin.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use modelwright_contract::{
    artifact::{GoldenSamples, MODEL_FILE},
    training::Task,
};
use serde::{Deserialize, Serialize};

use super::{
    child::{self, last_words},
    error::{PublishError, Refusal},
    prove::{Proof, Question},
    prover::{self, one_thread},
    size::{has_rows, processor_time, repeated},
};
use crate::evaluation::{self, Value};
use modelwright_core::{
    golden::{self, SplitMix64},
    session::Session,
    tensor::Tensor,
};

/// Rows that are tried: one request, and as many as share a run or come in one.
const ROWS: [u32; 2] = [1, 32];
/// Pairs of runs, and the fewest that say something.
const PAIRS: usize = 60;
const FEWEST_PAIRS: usize = 16;
/// Processor time of one side of a pair, about: well above what the clock can tell.
const A_SIDE: Duration = Duration::from_millis(2);
/// After this time no further pair is begun, for each number of rows.
const PATIENCE: Duration = Duration::from_mins(1);
/// How many standard deviations of a fair coin are 99 %.
const DEVIATIONS: f64 = 2.576;

/// What the child is asked.
#[derive(Clone, Debug, clap::Args)]
pub struct CompareArguments {
    /// Folder with the original.
    #[arg(long)]
    pub original: PathBuf,
    /// Folder with the variant.
    #[arg(long)]
    pub directory: PathBuf,
    /// File with samples that both answer.
    #[arg(long)]
    pub samples: PathBuf,
    /// The test part.
    #[arg(long)]
    pub evaluation: PathBuf,
    /// What the model was trained for: Classification or Regression.
    #[arg(long, value_parser = prover::task)]
    pub task: Task,
    /// File for the answer.
    #[arg(long)]
    pub answer: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    Compared(Compared),
    Refused { reason: Refusal, message: String },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    /// How far the answers are from the original's.
    pub disagreement: Value,
    /// Processor time in parts of the original's, the fewest rows first.
    pub time: Vec<Ratio>,
}

/// Processor time of the variant in parts of the original's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    pub rows: u32,
    /// The median of the pairs.
    pub median: f64,
    /// The ends of its interval of 99 %.
    pub low: f64,
    /// See above.
    pub high: f64,
}

/// Has a variant compared with its original.
pub async fn compare(original: &Path, question: &Question, proof: &Proof) -> Result<Compared, PublishError> {
    let Some((evaluation, task)) = &question.test else {
        return Err(PublishError::InvalidConfig {
            field: "variants",
            why: "there is no test part to judge them on".to_owned(),
        });
    };
    let samples = prover::write_samples(&question.work, &proof.golden)?;
    let mut arguments: Vec<OsString> = vec!["compare".into(), "--original".into(), original.into()];
    arguments.extend(["--directory".into(), question.directory.clone().into()]);
    arguments.extend(["--samples".into(), samples.path().into()]);
    arguments.extend(["--evaluation".into(), evaluation.clone().into()]);
    arguments.extend(["--task".into(), format!("{task:?}").into()]);
    let end = child::run(&question.program, &question.work, &arguments, question.limit).await?;
    let ended_well = end.status.is_some_and(|status| status.success());
    match serde_json::from_slice(&end.answer).ok().filter(|_| ended_well) {
        Some(Answer::Compared(compared)) => Ok(compared),
        Some(Answer::Refused { reason, message }) => Err(PublishError::refused(reason, message)),
        None => Err(PublishError::refused(
            Refusal::RunFailed,
            match end.status {
                Some(status) => format!(
                    "it could not be compared with the original: the process ended with {status}: {}; both have to fit into \
                     spec.run.prove.limits.memory",
                    last_words(end.words)
                ),
                None => format!(
                    "it and the original did not answer the test part within {} s",
                    question.limit.as_secs()
                ),
            },
        )),
    }
}

pub fn run(arguments: &CompareArguments) -> io::Result<()> {
    prover::limit(false)?;
    modelwright_core::session::start().map_err(io::Error::other)?;
    let samples: GoldenSamples = serde_json::from_slice(&fs::read(&arguments.samples)?)?;
    let load =
        |folder: &Path| Session::load(&folder.join(MODEL_FILE), &one_thread()).map_err(io::Error::other);
    let (original, variant) = (load(&arguments.original)?, load(&arguments.directory)?);
    let manner = |folder: &Path, of_variant| prover::manner(&folder.join(MODEL_FILE), of_variant);
    let disagreement = evaluation::variant::disagreement(
        (&original, manner(&arguments.original, false)),
        (&variant, manner(&arguments.directory, true)),
        &arguments.evaluation,
        arguments.task,
    );
    let answer = match disagreement {
        Ok(disagreement) => Answer::Compared(Compared {
            disagreement: disagreement.into(),
            time: times(&original, &variant, &samples)?,
        }),
        Err(error) => {
            let (reason, message) = prover::refusal::evaluation_refusal(error);
            Answer::Refused { reason, message }
        }
    };
    fs::write(&arguments.answer, serde_json::to_vec(&answer)?)
}

/// The ratios for each number of rows that both take.
fn times(original: &Session, variant: &Session, samples: &GoldenSamples) -> io::Result<Vec<Ratio>> {
    let Some(sample) = samples.samples.first() else { return Ok(Vec::new()) };
    let inputs: Vec<Tensor> =
        sample.inputs.iter().map(golden::decode).collect::<Result<_, _>>().map_err(io::Error::other)?;
    let mut ratios = Vec::new();
    for wanted in ROWS {
        if wanted > 1 && !(has_rows(original.signature()) && has_rows(variant.signature())) {
            break;
        }
        let (rows, inputs) = repeated(original, inputs.clone(), wanted)?;
        let run = |session: &Session| session.run(&inputs, &[]).map(drop).map_err(io::Error::other);
        ratios.extend(
            ratio(processor_time, || run(original), || run(variant))?.map(|ratio| Ratio { rows, ..ratio }),
        );
    }
    Ok(ratios)
}

/// The ratio of one number of rows; none where there was no time for enough pairs.
fn ratio(
    clock: impl Fn() -> Duration,
    original: impl Fn() -> io::Result<()>,
    variant: impl Fn() -> io::Result<()>,
) -> io::Result<Option<Ratio>> {
    // What is made once is made before anything is measured.
    original()?;
    variant()?;
    let times = repetitions(&clock, &original)?;
    let mut order = SplitMix64(7);
    let begun = Instant::now();
    let mut ratios = Vec::with_capacity(PAIRS);
    while ratios.len() < PAIRS && begun.elapsed() < PATIENCE {
        let (ours, theirs) = if order.below(2) == 0 {
            let ours = side(&clock, &original, times)?;
            (ours, side(&clock, &variant, times)?)
        } else {
            let theirs = side(&clock, &variant, times)?;
            (side(&clock, &original, times)?, theirs)
        };
        ratios.push(theirs.max(f64::MIN_POSITIVE) / ours.max(1e-9));
    }
    Ok(interval(ratios))
}

/// How many runs of the original take as long as one side of a pair.
fn repetitions(clock: &impl Fn() -> Duration, original: &impl Fn() -> io::Result<()>) -> io::Result<u32> {
    let mut times = 1;
    while side(clock, original, times)? < A_SIDE.as_secs_f64() && times < 1 << 16 {
        times *= 2;
    }
    Ok(times)
}

/// Seconds of the processor for so many runs.
fn side(clock: &impl Fn() -> Duration, run: &impl Fn() -> io::Result<()>, times: u32) -> io::Result<f64> {
    let before = clock();
    for _ in 0..times {
        run()?;
    }
    Ok(clock().saturating_sub(before).as_secs_f64())
}

/// The median with its interval of 99 %; none of too few.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "places in a list of some dozens"
)]
fn interval(mut ratios: Vec<f64>) -> Option<Ratio> {
    ratios.sort_unstable_by(f64::total_cmp);
    let count = ratios.len();
    if count < FEWEST_PAIRS {
        return None;
    }
    let below = ((count as f64 - DEVIATIONS * (count as f64).sqrt()) / 2.0).floor() as usize;
    let at = |place: usize| ratios.get(place).copied();
    Some(Ratio { rows: 1, median: at(count / 2)?, low: at(below)?, high: at(count - 1 - below)? })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::cell::{Cell, RefCell};

    use super::*;

    #[test]
    fn an_interval_covers_the_median_and_is_none_of_too_few() {
        assert_eq!(interval(vec![1.0; FEWEST_PAIRS - 1]), None);
        let ratios: Vec<f64> = (0..60_u32).rev().map(f64::from).collect();
        let found = interval(ratios).unwrap();
        assert_eq!((found.low, found.median, found.high), (20.0, 30.0, 39.0));
        let found = interval((0..16_u32).map(f64::from).collect()).unwrap();
        assert_eq!((found.low, found.high), (2.0, 13.0));
    }

    /// Coins of one model against itself: the interval lies wholly below 1 in less than one of a hundred.
    #[test]
    fn two_equal_models_are_seldom_told_apart() {
        let mut random = SplitMix64(3);
        let mut told = 0;
        for _ in 0..2000 {
            let ratios = (0..PAIRS).map(|_| random.between(0.5, 1.5)).collect();
            let found = interval(ratios).unwrap();
            told += u32::from(found.high < 1.0 || found.low > 1.0);
        }
        assert!(told < 40, "{told} of 2000");
    }

    /// The process's own clock counts the tests beside this one, so time goes by here as each run takes it, with the half of a
    /// run in noise.
    #[test]
    fn work_that_is_a_third_more_is_told_through_noise() {
        let (now, noise) = (Cell::new(Duration::ZERO), RefCell::new(SplitMix64(5)));
        let work = |micros: f64| {
            let (now, noise) = (&now, &noise);
            move || {
                let share = 1.0 + noise.borrow_mut().between(0.0, 0.5);
                now.set(now.get() + Duration::from_secs_f64(micros * share / 1e6));
                Ok(())
            }
        };
        let found = ratio(|| now.get(), work(300.0), work(200.0)).unwrap().unwrap();
        assert!(found.high < 0.75 && found.low > 0.6, "{found:?}");
        let found = ratio(|| now.get(), work(200.0), work(300.0)).unwrap().unwrap();
        assert!(found.low > 1.3 && found.high < 1.7, "{found:?}");
        let found = ratio(|| now.get(), work(200.0), work(200.0)).unwrap().unwrap();
        assert!(found.low < 1.0 && found.high > 1.0, "{found:?}");
    }
}
