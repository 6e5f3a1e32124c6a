//! What a model does with the integers that a client may send: 0, 1, −1 and the ends of their range. In go a proven model
//! and its samples; out comes nothing, or which value of which input ends the process.
//!
//! Integers are often counts, steps and places, and some kernels divide by them or take them for an address without a look.
//! An error is an answer; the end of the process is that of every other client's request, too.

use std::{
    ffi::OsString, fs, io, os::unix::process::ExitStatusExt, path::PathBuf, sync::mpsc, time::Duration,
};

use modelwright_contract::{
    artifact::{GoldenSamples, MODEL_FILE},
    signature::TensorSpec,
};
use serde::{Deserialize, Serialize};

use super::{
    child::{self, last_words},
    error::{PublishError, Refusal},
    prove::{Proof, Question},
    prover::{self, one_thread},
};
use modelwright_core::{
    golden,
    session::{Cancellation, Session},
    tensor::{Datatype, Tensor, element_count},
};

/// For how long one value may compute: it may be the number of rounds of a loop.
const A_VALUE: Duration = Duration::from_secs(5);
/// For how long all of them may.
const ALL_VALUES: Duration = Duration::from_mins(3);

/// What the child is asked.
#[derive(Clone, Debug, clap::Args)]
pub struct ProbeArguments {
    /// Folder with model.onnx.
    #[arg(long)]
    pub directory: PathBuf,
    /// File with samples that the model answers.
    #[arg(long)]
    pub samples: PathBuf,
    /// Input whose values are not tried.
    #[arg(long)]
    pub tolerate: Vec<String>,
    /// File for what is tried now.
    #[arg(long)]
    pub answer: PathBuf,
}

/// What is about to be tried; it is written before each run, since any may be the last.
#[derive(Debug, Serialize, Deserialize)]
struct Tried {
    input: String,
    datatype: String,
    value: String,
}

/// Whether some value of an input may be tried.
fn is_tried(input: &TensorSpec, tolerated: &[String]) -> bool {
    Datatype::parse(&input.datatype).is_some_and(|datatype| values(datatype).is_some())
        && !tolerated.contains(&input.name)
}

/// Has each integer input of a model tried by a child, and refuses the model if that ends it by a signal.
pub async fn probe(question: &Question, proof: &Proof, tolerated: &[String]) -> Result<(), PublishError> {
    let mut inputs = proof.signature.inputs.iter().chain(&proof.signature.optional_inputs);
    if !inputs.any(|input| is_tried(input, tolerated)) {
        return Ok(());
    }
    let work = &question.work;
    let samples = prover::write_samples(work, &proof.golden)?;
    let mut arguments: Vec<OsString> = vec!["probe".into(), "--directory".into()];
    arguments.push(question.directory.clone().into());
    arguments.extend(["--samples".into(), samples.path().into()]);
    for input in tolerated {
        arguments.push(format!("--tolerate={input}").into());
    }
    let limit = question.limit.min(ALL_VALUES);
    let end = child::run(&question.program, work, &arguments, limit).await?;
    let Some(status) = end.status else {
        // It was busy and not brought down; a request is stopped by its time, too.
        tracing::warn!(outcome = "not all values tried", ?limit, "integer inputs");
        return Ok(());
    };
    let tried = serde_json::from_slice::<Tried>(&end.answer).ok();
    match (status.signal(), tried) {
        (None, _) if status.success() => Ok(()),
        (Some(signal), Some(tried)) => {
            let is_import = question.test.is_none();
            Err(PublishError::refused(Refusal::CrashesOnInput, refusal(&tried, signal, is_import)))
        }
        _ => {
            tracing::warn!(outcome = "not all values tried", %status, "{}", last_words(end.words));
            Ok(())
        }
    }
}

fn refusal(tried: &Tried, signal: i32, is_import: bool) -> String {
    let Tried { input, datatype, value } = tried;
    let what = match signal {
        4 => " (SIGILL)",
        6 => " (SIGABRT: ONNX Runtime gave up)",
        7 => " (SIGBUS)",
        8 => " (SIGFPE: most likely a division by zero)",
        9 => " (SIGKILL: most likely for want of memory)",
        11 => " (SIGSEGV: an address that is none)",
        _ => "",
    };
    let accept = if is_import {
        format!(", or accept that with spec.source.tolerateCrashInputs: [{input:?}]")
    } else {
        String::new()
    };
    format!(
        "input {input:?} ({datatype}) filled with {value} ends the process by signal {signal}{what}: a client that sends \
         it would end the serving pod, and everybody's requests in it. Bound the input in the graph (Clip), or make it a \
         constant{accept}"
    )
}

/// The child's side: tries one value after another, and says before each which.
pub fn run(arguments: &ProbeArguments) -> io::Result<()> {
    prover::limit(true)?;
    modelwright_core::session::start().map_err(io::Error::other)?;
    let samples: GoldenSamples = serde_json::from_slice(&fs::read(&arguments.samples)?)?;
    let session =
        Session::load(&arguments.directory.join(MODEL_FILE), &one_thread()).map_err(io::Error::other)?;
    let Some(sample) = samples.samples.first() else { return Ok(()) };
    let inputs: Vec<Tensor> =
        sample.inputs.iter().map(golden::decode).collect::<Result<_, _>>().map_err(io::Error::other)?;
    let signature = session.signature();
    let all = signature.inputs.iter().chain(&signature.optional_inputs);
    for spec in all.filter(|spec| is_tried(spec, &arguments.tolerate)) {
        for (value, bytes) in Datatype::parse(&spec.datatype).and_then(values).into_iter().flatten() {
            let tried =
                Tried { input: spec.name.clone(), datatype: spec.datatype.clone(), value: value.clone() };
            fs::write(&arguments.answer, serde_json::to_vec(&tried)?)?;
            let mut filled: Vec<Tensor> =
                inputs.iter().map(|input| fill(input, &spec.name, &bytes)).collect();
            if signature.optional_inputs.contains(spec) {
                filled.extend(optional(spec, &bytes));
            }
            if let Err(error) = run_within(&session, &filled) {
                tracing::debug!(input = spec.name, value, %error, "refused by the model");
            }
        }
    }
    Ok(())
}

/// Runs for so long and no longer.
fn run_within(session: &Session, inputs: &[Tensor]) -> Result<(), modelwright_core::session::RunError> {
    let cancellation = Cancellation::new()?;
    let (done, ended) = mpsc::channel::<()>();
    let stop = cancellation.clone();
    let clock = std::thread::spawn(move || {
        if ended.recv_timeout(A_VALUE) == Err(mpsc::RecvTimeoutError::Timeout) {
            stop.cancel();
        }
    });
    let outcome = session.run_cancellable(inputs, &[], &cancellation);
    drop(done);
    // It waits for nothing but this.
    let _ = clock.join();
    outcome.map(drop)
}

/// A value for an input that the sample leaves out.
fn optional(spec: &TensorSpec, value: &[u8]) -> Option<Tensor> {
    let shape: Vec<i64> = spec.shape.iter().map(|size| if *size < 0 { 1 } else { *size }).collect();
    let data = value.repeat(element_count(&shape)?).into();
    Some(Tensor { name: spec.name.clone(), datatype: Datatype::parse(&spec.datatype)?, shape, data })
}

fn fill(input: &Tensor, name: &str, value: &[u8]) -> Tensor {
    if input.name != name {
        return input.clone();
    }
    Tensor { data: value.repeat(element_count(&input.shape).unwrap_or(0)).into(), ..input.clone() }
}

/// The values that are tried of a datatype, in words and as bytes; none if it holds no integers.
fn values(datatype: Datatype) -> Option<Vec<(String, Vec<u8>)>> {
    let size = datatype.size().filter(|_| !datatype.is_float() && datatype != Datatype::Bool)?;
    let bits = size * 8;
    let is_signed = matches!(datatype, Datatype::Int8 | Datatype::Int16 | Datatype::Int32 | Datatype::Int64);
    let (least, most) = if is_signed {
        (-(1_i128 << (bits - 1)), (1_i128 << (bits - 1)) - 1)
    } else {
        (0, (1_i128 << bits) - 1)
    };
    let mut all = Vec::with_capacity(5);
    for value in [0, 1, -1, least, most] {
        if (least..=most).contains(&value) && !all.contains(&value) {
            all.push(value);
        }
    }
    let bytes = |value: i128| value.to_le_bytes().into_iter().take(size).collect();
    Some(all.into_iter().map(|value| (value.to_string(), bytes(value))).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_integer_datatype_has_its_ends_and_what_lies_around_zero() {
        let words = |datatype| -> Vec<String> {
            values(datatype).unwrap().into_iter().map(|(word, _)| word).collect()
        };
        assert_eq!(words(Datatype::Int8), ["0", "1", "-1", "-128", "127"]);
        assert_eq!(words(Datatype::Uint16), ["0", "1", "65535"]);
        assert_eq!(words(Datatype::Int64).last().unwrap(), "9223372036854775807");
        assert_eq!(words(Datatype::Uint64).last().unwrap(), "18446744073709551615");
        for datatype in Datatype::ALL {
            let expected = !datatype.is_float() && ![Datatype::Bool, Datatype::Bytes].contains(&datatype);
            assert_eq!(values(datatype).is_some(), expected, "{datatype}");
            for (word, bytes) in values(datatype).into_iter().flatten() {
                assert_eq!(Some(bytes.len()), datatype.size(), "{datatype} {word}");
            }
        }
        assert_eq!(values(Datatype::Int16).unwrap()[3].1, i16::MIN.to_le_bytes());
    }

    #[test]
    fn a_refusal_names_the_input_the_value_the_signal_and_the_way_on() {
        let tried = Tried { input: "step".to_owned(), datatype: "INT64".to_owned(), value: "0".to_owned() };
        let message = refusal(&tried, 8, true);
        for part in
            ["\"step\"", "INT64", "filled with 0", "signal 8", "SIGFPE", "tolerateCrashInputs: [\"step\"]"]
        {
            assert!(message.contains(part), "{part} is missing in: {message}");
        }
        assert!(!refusal(&tried, 8, false).contains("spec.source"), "a training has no source");
    }
}
