//! The size certificate: what a model takes to load and to run, by its number of rows. In go a proven model and its samples;
//! out comes what fresh processes took, each for one number of rows: a process that has had much memory never shows again
//! what little takes.

use std::{
    ffi::OsString,
    fs, io,
    path::PathBuf,
    time::{Duration, Instant},
};

use modelwright_contract::{
    artifact::{GoldenSamples, MODEL_FILE},
    signature::Signature,
    size::{RowsSize, Size},
};
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use super::{
    child::{self, last_words},
    error::PublishError,
    prove::{Proof, Question},
    prover::{self, one_thread},
};
use modelwright_core::{
    golden,
    session::Session,
    tensor::{Shape, Tensor},
};

/// Rows that are tried: one request, some, and as many as share a run unless a user says otherwise.
const ROWS: [u32; 3] = [1, 8, 64];
/// For how long runs are counted.
const COUNTED: Duration = Duration::from_millis(200);
/// Most runs that are counted.
const MOST_RUNS: u32 = 10_000;
/// After this time no further process is started.
const PATIENCE: Duration = Duration::from_mins(5);

/// What the child is asked.
#[derive(Clone, Debug, clap::Args)]
pub struct MeasureArguments {
    /// Folder with model.onnx.
    #[arg(long)]
    pub directory: PathBuf,
    /// File with samples that the model answers.
    #[arg(long)]
    pub samples: PathBuf,
    /// Rows of a run.
    #[arg(long)]
    pub rows: u32,
    /// File for the answer.
    #[arg(long)]
    pub answer: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
struct Measured {
    load_bytes: u64,
    of_rows: Option<RowsSize>,
}

/// Measures a model. What cannot be measured, for want of memory or time, is left out: it is no fault of the model.
pub async fn measure(question: &Question, proof: &Proof) -> Result<Option<Size>, PublishError> {
    let work = &question.work;
    let samples = prover::write_samples(work, &proof.golden)?;
    let begun = Instant::now();
    let mut size: Option<Size> = None;
    for rows in ROWS {
        if rows > 1 && (!has_rows(&proof.signature) || begun.elapsed() > PATIENCE) {
            break;
        }
        let mut arguments: Vec<OsString> = vec!["measure".into(), "--directory".into()];
        arguments.push(question.directory.clone().into());
        arguments.extend(["--samples".into(), samples.path().into()]);
        arguments.extend(["--rows".into(), rows.to_string().into()]);
        let end = child::run(&question.program, work, &arguments, question.limit).await?;
        let ended_well = end.status.is_some_and(|status| status.success());
        let Some(measured) = serde_json::from_slice::<Measured>(&end.answer).ok().filter(|_| ended_well)
        else {
            tracing::warn!(outcome = "not measured", rows, status = ?end.status, "{}", last_words(end.words));
            break;
        };
        let size = size.get_or_insert_with(|| Size { load_bytes: measured.load_bytes, rows: Vec::new() });
        size.load_bytes = size.load_bytes.min(measured.load_bytes);
        size.rows.extend(measured.of_rows);
    }
    Ok(size)
}

/// Whether the first axis of every input is free: only then more rows can be tried.
pub(super) fn has_rows(signature: &Signature) -> bool {
    !signature.inputs.is_empty() && signature.inputs.iter().all(|input| input.shape.first() == Some(&-1))
}

pub fn run(arguments: &MeasureArguments) -> io::Result<()> {
    prover::limit(true)?;
    modelwright_core::session::start().map_err(io::Error::other)?;
    let samples: GoldenSamples = serde_json::from_slice(&fs::read(&arguments.samples)?)?;
    let session =
        Session::load(&arguments.directory.join(MODEL_FILE), &one_thread()).map_err(io::Error::other)?;
    let mut measured = Measured { load_bytes: peak()?, of_rows: None };
    if let Some(sample) = samples.samples.first() {
        let inputs: Vec<Tensor> =
            sample.inputs.iter().map(golden::decode).collect::<Result<_, _>>().map_err(io::Error::other)?;
        let (rows, inputs) = repeated(&session, inputs, arguments.rows)?;
        let runs = runs_per_second(&session, &inputs)?;
        measured.of_rows =
            Some(RowsSize { rows, peak_bytes: peak()?, runs_per_core_second: three_digits(runs) });
    }
    fs::write(&arguments.answer, serde_json::to_vec(&measured)?)
}

/// A sample's rows over and over, until there are so many; and how many those are.
pub(super) fn repeated(session: &Session, inputs: Vec<Tensor>, rows: u32) -> io::Result<(u32, Vec<Tensor>)> {
    if !has_rows(session.signature()) {
        return Ok((1, inputs));
    }
    let mut sizes = inputs.iter().map(|input| input.shape.first().copied().unwrap_or(1));
    let of_one = sizes.next().and_then(|size| u32::try_from(size).ok()).unwrap_or(1).max(1);
    if !sizes.all(|size| size == i64::from(of_one)) {
        // Rows are no notion of this model.
        return if rows == 1 {
            Ok((1, inputs))
        } else {
            Err(io::Error::other("inputs differ in their first axis"))
        };
    }
    let times = rows.div_ceil(of_one);
    let repeat = |input: Tensor| {
        let mut shape = input.shape.clone();
        if let Some(size) = shape.first_mut() {
            *size = size.checked_mul(times.into()).ok_or_else(|| {
                io::Error::other(format!("{times} times {} is too large", Shape(&input.shape)))
            })?;
        }
        Ok(Tensor { shape, data: input.data.repeat(times as usize).into(), ..input })
    };
    Ok((of_one.saturating_mul(times), inputs.into_iter().map(repeat).collect::<io::Result<_>>()?))
}

/// Runs in a second of the processor's time, behind a first one, which makes what is made once.
fn runs_per_second(session: &Session, inputs: &[Tensor]) -> io::Result<f64> {
    let run = || session.run(inputs, &[]).map(drop).map_err(io::Error::other);
    run()?;
    let (begun, used_before) = (Instant::now(), processor_time());
    let mut runs = 0;
    while runs == 0 || runs < MOST_RUNS && begun.elapsed() < COUNTED {
        run()?;
        runs += 1;
    }
    let used = processor_time().saturating_sub(used_before);
    // What the clock of the processor is too coarse for took less than it tells.
    Ok(f64::from(runs) / used.max(Duration::from_micros(1)).as_secs_f64())
}

pub(super) fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// Most memory that this process has had so far.
fn peak() -> io::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kibibytes
        .and_then(|kibibytes| kibibytes.checked_mul(1024))
        .ok_or_else(|| io::Error::other("the kernel does not say how much memory this process has had"))
}

/// A decimal string of three digits that count, without an exponent.
fn three_digits(number: f64) -> String {
    let digits = number.abs().max(f64::MIN_POSITIVE).log10().floor();
    // Of any finite number.
    #[expect(clippy::cast_possible_truncation, reason = "a power of ten is between -308 and 308")]
    let digits = digits as i32;
    if digits >= 3 {
        let unit = 10_f64.powi(digits - 2);
        return format!("{:.0}", (number / unit).round() * unit);
    }
    let decimals = usize::try_from(2 - digits).unwrap_or(0).min(9);
    let text = format!("{number:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn rates_have_three_digits_and_no_exponent() {
        for (number, text) in [
            (123_456.7, "123000"),
            (99.96, "100"),
            (12.0, "12"),
            (0.012_345, "0.0123"),
            (1.0, "1"),
            (0.0, "0"),
        ] {
            assert_eq!(three_digits(number), text);
        }
    }

    #[test]
    fn the_highest_memory_so_far_is_seen() {
        let before = peak().unwrap();
        let taken = std::hint::black_box(vec![1_u8; 64 * 1024 * 1024]);
        assert!(taken.iter().all(|byte| *byte == 1));
        drop(taken);
        assert!(peak().unwrap() >= before.min(1 << 40) && peak().unwrap() >= 64 * 1024 * 1024);
    }
}
