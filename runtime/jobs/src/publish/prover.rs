//! The child's side of [`super::prove`](mod@super::prove): loads the model, runs it, and writes down how far it got
//! before each step, because any step may be its last. In goes a folder; out goes a file with [`ProverState`].

pub(super) mod refusal;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use modelwright_contract::{
    artifact::{GoldenSamples, GoldenSource, MODEL_FILE},
    signature::Signature,
    training::{CALIBRATION_FILE, Task},
};
use rustix::process::{Resource, Rlimit, setrlimit};

use self::refusal::{Refused, evaluation_refusal, load_refusal, replay_refusal};
use super::{
    error::{PublishError, Refusal},
    metadata,
    prove::{Proof, ProverState},
};
use crate::evaluation::{self, Judged, Manner};
use modelwright_core::{
    classes,
    golden::{self, Recording},
    onnx, rows,
    session::{Session, SessionOptions},
    tensor::Tensor,
};

/// Most bytes of all recorded samples together, as text.
const MAX_GOLDEN_BYTES: usize = 16 * 1024 * 1024;
/// Largest tolerance that samples may ask for, relative and as a share of an output's scale: beyond it they prove
/// nothing.
const MAX_TOLERANCE: f64 = 0.1;
/// Memory that is left to the parent.
const HEADROOM_BYTES: u64 = 64 * 1024 * 1024;

/// What the child is asked.
#[derive(Clone, Debug, clap::Args)]
pub struct ProveArguments {
    /// Folder with model.onnx.
    #[arg(long)]
    pub directory: PathBuf,
    /// How many golden samples to record if the folder brings none.
    #[arg(long)]
    pub samples: u32,
    /// Seed of recorded samples.
    #[arg(long)]
    pub seed: u64,
    /// The test part, as training left it.
    #[arg(long, requires = "task")]
    pub evaluation: Option<PathBuf>,
    /// What the model was trained for: Classification or Regression.
    #[arg(long, value_parser = task)]
    pub task: Option<Task>,
    /// Whether samples are rows of the test part.
    #[arg(long)]
    pub test_rows: bool,
    /// Rows to record samples of.
    #[arg(long)]
    pub shareable: Option<PathBuf>,
    /// Rows to record samples of whose quantiles.
    #[arg(long)]
    pub quantiles: Option<PathBuf>,
    /// Whether samples that the folder brought are replayed, as those of an import are, in place of others.
    #[arg(long)]
    pub brought: bool,
    /// Whether the model is a variant of the one whose answers the test part has.
    #[arg(long)]
    pub variant: bool,
    /// File for the answer.
    #[arg(long)]
    pub answer: PathBuf,
}

/// Reads the name of a task.
pub(super) fn task(name: &str) -> Result<Task, String> {
    serde_json::from_value(name.into()).map_err(|error| error.to_string())
}

/// Proves a model and writes the answer.
pub fn run(arguments: &ProveArguments) -> io::Result<()> {
    limit(false)?;
    // A library that is missing is no fault of the model: the parent tells that by an answer that stays empty.
    modelwright_core::session::start().map_err(io::Error::other)?;
    let write = |state: &ProverState| fs::write(&arguments.answer, serde_json::to_vec(state)?);
    write(&ProverState::Loading)?;
    let answer = prove(arguments, &write);
    write(&match answer {
        Ok(proof) => ProverState::Proven(Box::new(proof)),
        Err((reason, message)) => ProverState::Refused { reason, message },
    })
}

fn prove(
    arguments: &ProveArguments,
    write: &impl Fn(&ProverState) -> io::Result<()>,
) -> Result<Proof, Refused> {
    let options = one_thread();
    let path = arguments.directory.join(MODEL_FILE);
    let session =
        Session::load(&path, &options).map_err(|error| load_refusal(&error, &arguments.directory))?;
    write(&ProverState::Running).map_err(|error| (Refusal::RunFailed, error.to_string()))?;
    let mut signature = session.signature().clone();
    let (golden, evaluation) = match (&arguments.evaluation, arguments.task) {
        (Some(file), Some(task)) => {
            let manner = manner(&path, arguments.variant);
            let judged = evaluation::evaluate(&session, file, task, manner).map_err(evaluation_refusal)?;
            name_classes(&mut signature, &judged);
            let own = arguments.brought && brought(&arguments.directory, session.signature())?.is_some();
            let golden = match (&arguments.shareable, &arguments.quantiles) {
                _ if own => replayed(&session, arguments)?,
                (Some(file), _) => shareable(&session, file, arguments)?,
                (None, Some(file)) => drawn(&session, file, arguments)?,
                (None, None) if arguments.test_rows => recorded(&session, &judged, arguments)?,
                (None, None) => synthetic(&session, arguments)?,
            };
            (golden, Some(judged.evaluation))
        }
        _ => (replayed(&session, arguments)?, None),
    };
    classes::name_by_file(&mut signature, &path);
    Ok(Proof { signature, golden, evaluation })
}

/// Names the classes of an output by the test part, which the answers were held against.
fn name_classes(signature: &mut Signature, judged: &Judged) {
    if let Some((name, classes)) = &judged.classes
        && let Some(output) = signature.outputs.iter_mut().find(|output| output.name == *name)
    {
        output.classes = Some(classes.clone());
    }
}

/// How a test part is run. Scales of a whole run, as dynamic quantisation has them, make an answer depend on the other rows of
/// it: such a variant is measured as it answers alone.
pub(super) fn manner(path: &Path, of_variant: bool) -> Manner {
    Manner { of_variant, one_by_one: of_variant && !rows::of_file(path).independent }
}

/// Samples of the test part; synthetic ones, where no row of it has a stable answer.
fn recorded(
    session: &Session,
    judged: &Judged,
    arguments: &ProveArguments,
) -> Result<GoldenSamples, Refused> {
    let mut blocks = BTreeSet::new();
    let rows = golden::spread(&judged.groups, arguments.seed)
        .map(|row| judged.part.sample(row))
        // Where a graph takes several rows at once, one sample shows several rows.
        .filter(|rows| blocks.insert(rows.start))
        .map_while(|rows| judged.part.inputs(&rows).ok());
    let golden = golden::record_rows(session, rows, arguments.samples.max(1), &recording(arguments));
    if golden.samples.is_empty() { synthetic(session, arguments) } else { Ok(shortened(golden)) }
}

/// Samples of the rows that the training declared shareable.
fn shareable(session: &Session, file: &Path, arguments: &ProveArguments) -> Result<GoldenSamples, Refused> {
    let refused = |why: String| {
        let file = file.display();
        (
            Refusal::InvalidEvaluation,
            format!("{file} is refused: {why}; write it as {CALIBRATION_FILE}, or leave it out"),
        )
    };
    let rows = golden::read_rows(file, session.signature()).map_err(refused)?;
    let blocks = golden::blocks(&rows, session.signature()).map_err(refused)?;
    let samples = arguments.samples.max(1);
    let golden = golden::record_rows(session, blocks.into_iter(), samples, &recording(arguments));
    if golden.samples.is_empty() {
        return Err(refused(
            "none of its rows has a finite answer that stays the same when the input moves by its last bit"
                .to_owned(),
        ));
    }
    Ok(shortened(GoldenSamples { source: GoldenSource::Shareable, ..golden }))
}

/// Samples of inputs like those of the training part, spread over what the model answers; synthetic ones, where there are no
/// such inputs, or none with a stable answer.
fn drawn(session: &Session, file: &Path, arguments: &ProveArguments) -> Result<GoldenSamples, Refused> {
    let samples = arguments.samples.max(1);
    let signature = session.signature();
    let inputs = golden::read_rows(file, signature)
        .and_then(|rows| golden::draw_quantiles(&rows, signature, samples, arguments.seed));
    let inputs = match inputs {
        Ok(inputs) => inputs,
        Err(why) => {
            tracing::warn!(file = %file.display(), why, "samples are made from the signature alone");
            return synthetic(session, arguments);
        }
    };
    let mut known = BTreeMap::new();
    let groups: Vec<u32> = inputs
        .iter()
        .map(|inputs| {
            let next = u32::try_from(known.len()).unwrap_or(u32::MAX);
            *known.entry(label(session, inputs)).or_insert(next)
        })
        .collect();
    let order = golden::spread(&groups, arguments.seed).filter_map(|place| inputs.get(place).cloned());
    let golden = golden::record_rows(session, order, samples, &recording(arguments));
    if golden.samples.is_empty() {
        return synthetic(session, arguments);
    }
    Ok(shortened(GoldenSamples { source: GoldenSource::Quantiles, ..golden }))
}

/// What the model calls the inputs, as far as it does: its first output that is no number with a fraction, or the place of the
/// largest number of its first output.
fn label(session: &Session, inputs: &[Tensor]) -> Vec<u8> {
    let Ok(outputs) = session.run(inputs, &[]) else { return Vec::new() };
    if let Some(label) = outputs.iter().find(|output| !output.datatype.is_float()) {
        return label.data.to_vec();
    }
    let numbers = outputs.first().map(golden::floats).unwrap_or_default();
    let largest = numbers.iter().enumerate().max_by(|(_, one), (_, other)| one.total_cmp(other));
    largest.map_or_else(Vec::new, |(place, _)| place.to_le_bytes().to_vec())
}

/// The samples that the folder brought, replayed; synthetic ones, where it brought none.
fn replayed(session: &Session, arguments: &ProveArguments) -> Result<GoldenSamples, Refused> {
    match brought(&arguments.directory, session.signature())? {
        // Inputs alone: their answers are recorded here.
        Some(golden) if golden.samples.iter().all(|sample| sample.outputs.is_empty()) => {
            golden::record_provided(session, &golden, &recording(arguments))
                .map(shortened)
                .map_err(|error| (Refusal::GoldenMismatch, error.to_string()))
        }
        Some(golden) => {
            golden::replay(session, &golden).map_err(replay_refusal)?;
            Ok(golden)
        }
        None => synthetic(session, arguments),
    }
}

fn synthetic(session: &Session, arguments: &ProveArguments) -> Result<GoldenSamples, Refused> {
    let random = onnx::randomness(&arguments.directory);
    if !random.outputs.is_empty() {
        tracing::warn!(
            outcome = "proven by less",
            operators = ?random.operators,
            outputs = ?random.outputs,
            "the graph draws random numbers: of these outputs only datatype, number of axes and that they are finite is \
             compared"
        );
    }
    golden::record_synthetic_as(session, arguments.samples.max(1), arguments.seed, &recording(arguments))
        .map(shortened)
        .map_err(|error| (Refusal::RunFailed, error.to_string()))
}

fn recording(arguments: &ProveArguments) -> Recording {
    Recording { random: onnx::randomness(&arguments.directory).outputs, few_bits: arguments.variant }
}

/// The samples that the folder brought, if they can prove anything.
fn brought(folder: &Path, signature: &Signature) -> Result<Option<GoldenSamples>, Refused> {
    let refused = |why: String| (Refusal::GoldenMismatch, format!("the artifact's golden samples {why}"));
    let Some(mut golden) = metadata::golden(folder).map_err(|error| refused(error.to_string()))? else {
        return Ok(None);
    };
    if golden.samples.is_empty() {
        return Ok(None);
    }
    // The graph says what is random, and no file.
    golden.random = onnx::randomness(folder).outputs.into_iter().collect();
    if golden.source == GoldenSource::Provided && golden.samples.iter().all(|it| it.outputs.is_empty()) {
        return Ok(Some(golden));
    }
    if !golden.tolerance.parse().is_ok_and(|tolerance: f64| (0.0..=MAX_TOLERANCE).contains(&tolerance)) {
        return Err(refused(format!(
            "allow a tolerance of {:?}, and 0 to {MAX_TOLERANCE} was expected",
            golden.tolerance
        )));
    }
    golden::check_bounds(&golden, MAX_TOLERANCE).map_err(replay_refusal)?;
    for (number, sample) in golden.samples.iter().enumerate() {
        let all = signature
            .outputs
            .iter()
            .all(|output| sample.outputs.iter().any(|tensor| tensor.name == output.name));
        if !all {
            return Err(refused(format!(
                "lack outputs: sample {number} does not hold every output of the model"
            )));
        }
    }
    Ok(Some(golden))
}

/// As many samples as fit, and one in any case.
fn shortened(mut golden: GoldenSamples) -> GoldenSamples {
    let mut bytes = 0;
    let mut kept = 0;
    for sample in &golden.samples {
        bytes += sample.inputs.iter().chain(&sample.outputs).map(|tensor| tensor.data.len()).sum::<usize>();
        if kept > 0 && bytes > MAX_GOLDEN_BYTES {
            break;
        }
        kept += 1;
    }
    golden.samples.truncate(kept);
    golden
}

/// One thread adds up in one order: the same bytes give the same samples.
pub(super) fn one_thread() -> SessionOptions {
    SessionOptions { intra_op_threads: 1, ..SessionOptions::default() }
}

/// Samples for a child, in a file that goes with what is given back.
pub(super) fn write_samples(
    work: &Path,
    golden: &GoldenSamples,
) -> Result<tempfile::NamedTempFile, PublishError> {
    let file = tempfile::NamedTempFile::new_in(work).map_err(PublishError::io(work))?;
    let text = serde_json::to_vec(golden).map_err(io::Error::other);
    text.and_then(|text| fs::write(file.path(), text)).map_err(PublishError::io(work))?;
    Ok(file)
}

/// Bounds this process. Memory is the container's to bound, and the kubelet says so; only what may ask for any amount (values
/// that are tried, runs of more and more rows) is bounded before that, by less than the container has, or where there is none
/// by half of the machine: there, an error is an answer.
pub(super) fn limit(asks_for_anything: bool) -> io::Result<()> {
    let at_most = |value| Rlimit { current: Some(value), maximum: Some(value) };
    setrlimit(Resource::Core, at_most(0))?;
    if asks_for_anything {
        let machine = || modelwright_core::memory::memory().unwrap_or(u64::MAX) / 2;
        let bytes = modelwright_core::memory::container().map_or_else(machine, beside_the_parent);
        setrlimit(Resource::Data, at_most(bytes))?;
    }
    Ok(())
}

/// What is left of the container's memory beside the parent.
fn beside_the_parent(bytes: u64) -> u64 {
    bytes.saturating_sub(HEADROOM_BYTES).max(bytes / 2)
}

#[cfg(test)]
mod tests {
    use modelwright_contract::artifact::{GoldenSample, GoldenTensor};

    use super::*;

    #[test]
    fn the_containers_limit_leaves_room_for_the_parent() {
        assert_eq!(beside_the_parent(1_073_741_824), 1_006_632_960);
        assert_eq!(beside_the_parent(67_108_864), 33_554_432);
    }

    #[test]
    fn recorded_samples_stay_within_their_bound_and_one_stays_in_any_case() {
        let tensor = |bytes| GoldenTensor {
            name: "x".to_owned(),
            datatype: "FP32".to_owned(),
            shape: vec![-1],
            data: "A".repeat(bytes),
        };
        let samples = |bytes| GoldenSamples {
            source: GoldenSource::Synthetic,
            tolerance: "0.001".to_owned(),
            bounds: Vec::new(),
            random: Vec::new(),
            samples: vec![GoldenSample { inputs: vec![tensor(bytes)], outputs: Vec::new() }; 3],
        };
        assert_eq!(shortened(samples(10)).samples.len(), 3);
        assert_eq!(shortened(samples(MAX_GOLDEN_BYTES / 2)).samples.len(), 2);
        assert_eq!(shortened(samples(MAX_GOLDEN_BYTES + 1)).samples.len(), 1);
    }
}
