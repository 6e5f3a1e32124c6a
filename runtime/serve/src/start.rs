//! Brings a model up: check the digest, load, check the execution provider, replay golden samples, warm up. In go the
//! settings; out comes a model that answers, or why it must not.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use modelwright_contract::{
    artifact::{GOLDEN_FILE, GoldenSamples, MAX_GOLDEN_BYTES, METADATA_DIRECTORY, MODEL_FILE},
    serving::{ExecutionProvider, ServingMode},
    status::SharedRuns,
};

use super::{
    about,
    bounds::Bounds,
    settings::Settings,
    state::{Loaded, Served, Sharing, Threads},
    tied::Tied,
    worker::{Worker, WorkerOptions, batch, trial},
};
use modelwright_core::{
    cores::cores,
    digest::{self, DigestError},
    golden::{self, ReplayError},
    onnx::{self, OnnxError},
    report::Ending,
    rows,
    session::{LoadError, Session, SessionOptions},
};

/// A model that is not served.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The file is refused before it is loaded.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    /// The files cannot be digested.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// Other files than those that were asked for.
    #[error(
        "the model's files have the digest {found}, expected {expected}; they were changed after they were fetched, or \
         the config names another version"
    )]
    DigestMismatch { expected: String, found: String },
    /// ONNX Runtime refuses the model.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The samples' file is none.
    #[error("{} holds no golden samples: {why}", path.display())]
    Golden { path: PathBuf, why: String },
    /// The model does not answer as recorded.
    #[error(transparent)]
    Replay(Box<NotReproduced>),
    #[error("the model's threads cannot be started: {0}")]
    Thread(io::Error),
}

/// A model that answers other than recorded.
#[derive(Debug, thiserror::Error)]
#[error("{source} (provider {}, {machine})", loaded.execution_provider)]
pub struct NotReproduced {
    source: ReplayError,
    machine: String,
    /// What was loaded, for `/status`.
    pub loaded: Loaded,
}

impl Ending for StartError {
    fn reason(&self) -> &'static str {
        match self {
            Self::Onnx(error) => error.reason(),
            Self::Digest(_) => "Unreadable",
            Self::DigestMismatch { .. } => "DigestMismatch",
            Self::Load(error) => error.reason(),
            Self::Golden { .. } => "GoldenSamplesUnreadable",
            Self::Replay(_) => "GoldenSampleMismatch",
            Self::Thread(_) => "OutOfThreads",
        }
    }

    fn is_transient(&self) -> bool {
        matches!(self, Self::Thread(_))
    }
}

/// A model's files, before they are loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    pub digest: String,
    /// Whether how long a run takes depends on values, not on shapes alone.
    pub has_loops: bool,
    /// Bytes of the longest text that the file has for a row.
    pub longest_text: u64,
    /// Most classes that a row has a map of.
    pub map_entries: u64,
}

/// Checks the model's files. A single file counts as the `model.onnx` that it would be in an artifact.
pub fn check_files(settings: &Settings) -> Result<Checked, StartError> {
    let (found, preflight) = if settings.path.is_dir() {
        let preflight = onnx::preflight(&settings.path)?;
        (digest::model_files(&settings.path)?.digest, preflight)
    } else {
        let folder = settings.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let graph = settings.path.file_name().and_then(|name| name.to_str()).unwrap_or(MODEL_FILE);
        let in_artifact = |file: &str| if file == graph { MODEL_FILE.to_owned() } else { file.to_owned() };
        let preflight = onnx::judge(folder, graph)?;
        let files: BTreeMap<String, PathBuf> =
            preflight.files.iter().map(|file| (in_artifact(file), folder.join(file))).collect();
        (digest::listed_files(&files)?.digest, preflight)
    };
    match &settings.model_digest {
        Some(expected) if *expected != found => {
            Err(StartError::DigestMismatch { expected: expected.clone(), found })
        }
        _ => Ok(Checked {
            digest: found,
            has_loops: preflight.has_loops,
            longest_text: preflight.longest_text,
            map_entries: preflight.map_entries,
        }),
    }
}

/// Loads and tries the model.
pub fn start(settings: &Settings, checked: &Checked) -> Result<Served, StartError> {
    let Checked { has_loops, longest_text, map_entries, .. } = *checked;
    let graph = modelwright_core::session::graph_in(&settings.path);
    let threads_of_a_run = threads_of_a_run(settings);
    let options = SessionOptions {
        execution_providers: settings.execution_providers.clone(),
        allow_fallback: settings.allow_fallback,
        intra_op_threads: threads_of_a_run,
        most_bytes: settings.max_run_bytes,
    };
    let session = Session::load(&graph, &options)?;
    let fell_back =
        session.nodes().get("CPU").filter(|_| session.execution_provider() != ExecutionProvider::Cpu);
    if let Some(nodes) = fell_back {
        let provider = session.execution_provider();
        tracing::warn!(outcome = "fell back", nodes, "of the graph run on the CPU, and not on {provider}");
    }
    let mut loaded = Loaded {
        execution_provider: session.execution_provider().to_string(),
        graph_nodes: session.nodes().clone(),
        onnxruntime_version: session.onnxruntime_version().to_owned(),
        shared_runs: None,
        golden_samples: 0,
    };
    // The replay warms up too. Without samples, any input that the model answers does.
    let samples = match read_golden(&settings.path)? {
        Some(samples) => match golden::replay(&session, &samples) {
            Ok(replay) => {
                loaded.golden_samples = replay.count;
                tracing::info!(
                    outcome = "reproduced",
                    golden_samples = replay.count,
                    max_difference = replay.max_difference
                );
                if !samples.random.is_empty() {
                    let outputs = &samples.random;
                    tracing::warn!(outcome = "proven by less", ?outputs, "are made of random numbers");
                }
                Some(samples)
            }
            Err(source) => {
                let machine = machine();
                return Err(StartError::Replay(Box::new(NotReproduced { source, machine, loaded })));
            }
        },
        None => match golden::record_synthetic(&session, 2, 0) {
            Ok(samples) => Some(samples),
            Err(error) => {
                tracing::info!(outcome = "not warmed up", %error);
                None
            }
        },
    };
    let session = Arc::new(session);
    let shared_runs = match shares_runs(settings, &graph, &session, samples.as_ref()) {
        Ok(reason) => SharedRuns { shared: true, reason },
        Err(reason) => SharedRuns { shared: false, reason },
    };
    let batches = shared_runs.shared;
    tracing::info!(
        outcome = if batches { "requests share runs" } else { "requests share no runs" },
        reason = shared_runs.reason
    );
    loaded.shared_runs = Some(shared_runs);
    let found =
        Found { is_on_cpu: session.execution_provider() == ExecutionProvider::Cpu, has_loops, batches };
    let options = worker_options(settings, found);
    let threads = Threads { runs: options.threads, of_a_run: threads_of_a_run };
    let sharing = Sharing { max_rows: options.max_rows, max_delay: options.max_delay };
    tracing::debug!(?options, "the model is run");
    let (mut signature, labels) = (session.signature().clone(), session.labels().to_vec());
    let texts = (longest_text, map_entries);
    let bounds = Bounds::new(&settings.limits, &signature, session.named_axes(), texts);
    let tied = Tied::new(&signature, session.symbols());
    let (max_rows, max_elements) = bounds.most();
    tracing::info!(outcome = "bounded", max_rows, max_elements, "of a request");
    let about = about::read(&settings.path, samples.as_ref());
    about.name_classes(&mut signature);
    let worker = Worker::start(session, options).map_err(StartError::Thread)?;
    drop(samples);
    modelwright_core::session::give_back_memory();
    Ok(Served { signature, labels, bounds, tied, worker, threads, sharing, loaded, about })
}

/// What was found of a model and its runs.
#[derive(Clone, Copy, Debug)]
struct Found {
    is_on_cpu: bool,
    has_loops: bool,
    /// Whether requests may share a run.
    batches: bool,
}

/// Requests that run together share the cores.
fn threads_of_a_run(settings: &Settings) -> usize {
    (cores() / settings.threads.max(1)).max(1)
}

/// How the model is run.
fn worker_options(settings: &Settings, found: Found) -> WorkerOptions {
    // On a GPU, who lets requests wait for each other wants few large runs.
    let waits_on_a_gpu = !found.is_on_cpu && !settings.max_delay.is_zero();
    let one_at_a_time = settings.mode == ServingMode::Latency || waits_on_a_gpu;
    let batches = found.batches && settings.max_rows > 1;
    // Beside other runs, a core that waits is a core that is lost.
    let max_delay = if one_at_a_time && batches { settings.max_delay } else { Duration::ZERO };
    WorkerOptions {
        queue: settings.limits.queue,
        threads: if one_at_a_time { 1 } else { settings.threads },
        batches,
        max_rows: if batches { settings.max_rows } else { 1 },
        max_delay,
        // Where requests are, several would run at once; and a thread that waits for a device has others waiting.
        quick: if found.has_loops || one_at_a_time || !found.is_on_cpu {
            Duration::ZERO
        } else {
            settings.quick
        },
        one_thread: threads_of_a_run(settings) == 1,
    }
}

/// Why requests share runs, or why they do not: the graph, or the user's own word, must say that rows are independent, and
/// the model must answer rows together as it answers them alone.
fn shares_runs(
    settings: &Settings,
    graph: &Path,
    session: &Session,
    samples: Option<&GoldenSamples>,
) -> Result<String, String> {
    if settings.max_rows <= 1 {
        return Err("a run has one row at most, as serving.batching.maxSize says".to_owned());
    }
    if settings.rows_independent == Some(false) {
        return Err("serving.batching.rowsIndependent is false".to_owned());
    }
    let independence = rows::of_file(graph);
    let why = format!("rows independent: {independence}");
    let why = match (independence.independent, settings.rows_independent) {
        (false, Some(true)) => {
            format!("serving.batching.rowsIndependent is true, although by its graph {why}")
        }
        (false, _) => return Err(why),
        (true, _) => why,
    };
    if !batch::has_rows(session.signature()) {
        return Err("the first axis of an input or output is not free".to_owned());
    }
    let samples = samples.ok_or("there is no sample to try a shared run with")?;
    let inputs: Vec<Vec<_>> = samples
        .samples
        .iter()
        .filter_map(|sample| sample.inputs.iter().map(golden::decode).collect::<Result<_, _>>().ok())
        .collect();
    trial::run(session, &inputs, settings.max_rows).map_err(|error| format!("{error} ({why})"))?;
    // What a processor shares costs no more than what it does not.
    if session.execution_provider() != ExecutionProvider::Cpu
        && !batch::pays(session, &inputs).map_err(|error| error.to_string())?
    {
        return Err("a shared run takes longer than runs one after another".to_owned());
    }
    Ok(why)
}

fn read_golden(folder: &Path) -> Result<Option<GoldenSamples>, StartError> {
    let path = folder.join(METADATA_DIRECTORY).join(GOLDEN_FILE);
    if !path.exists() {
        return Ok(None);
    }
    let size = fs::metadata(&path)
        .map_err(|error| StartError::Golden { path: path.clone(), why: error.to_string() })?
        .len();
    if size > MAX_GOLDEN_BYTES {
        return Err(StartError::Golden { path, why: format!("{size} bytes, at most {MAX_GOLDEN_BYTES}") });
    }
    let text =
        fs::read(&path).map_err(|error| StartError::Golden { path: path.clone(), why: error.to_string() })?;
    let samples =
        serde_json::from_slice(&text).map_err(|error| StartError::Golden { path, why: error.to_string() })?;
    Ok(Some(samples))
}

/// What the answers were computed on, as far as the machine says.
fn machine() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix("model name"))
        .and_then(|rest| rest.split_once(':'))
        .map_or_else(|| "an unknown processor".to_owned(), |(_, name)| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{
        settings::{Environment, settings, tests::parsed},
        worker::QUICK,
    };

    fn options(line: &str, is_on_cpu: bool, has_loops: bool) -> WorkerOptions {
        let arguments = parsed(&format!(" --model x --name x{line}"));
        let found = Found { is_on_cpu, has_loops, batches: true };
        worker_options(&settings(arguments, Environment::default()).unwrap(), found)
    }

    #[test]
    fn a_run_that_has_all_cores_is_made_on_the_one_thread_and_never_beside_another() {
        let options = |line: &str, is_on_cpu: bool, has_loops: bool| {
            let options = options(line, is_on_cpu, has_loops);
            (options.threads, options.quick)
        };
        assert_eq!(options("", true, false), (cores(), QUICK));
        assert_eq!(options(" --quick 7", true, false).1, Duration::from_micros(7));
        assert_eq!(options(" --mode Latency", true, false), (1, Duration::ZERO));
        assert_eq!(options("", true, true).1, Duration::ZERO, "a loop may take any time");
        let on_a_gpu = " --execution-provider CUDA";
        assert_eq!(
            options(on_a_gpu, false, false),
            (cores().min(4), Duration::ZERO),
            "the thread waits for the device"
        );
        assert_eq!(options(" --execution-provider CUDA --threads 9", false, false).0, 9);
        assert_eq!(options(" --execution-provider CUDA --mode Latency", false, false), (1, Duration::ZERO));
    }

    #[test]
    fn requests_wait_for_others_only_where_runs_are_made_one_at_a_time() {
        let delay = |line: &str, is_on_cpu: bool| options(line, is_on_cpu, false).max_delay;
        assert_eq!(delay("", true), Duration::ZERO);
        assert_eq!(delay(" --max-delay 500", true), Duration::ZERO, "other threads run meanwhile");
        assert_eq!(delay(" --mode Latency", true), Duration::ZERO, "nobody asked for it");
        assert_eq!(delay(" --mode Latency --max-delay 500", true), Duration::from_micros(500));
        assert_eq!(delay("", false), Duration::ZERO);
        assert_eq!(delay(" --mode Latency", false), Duration::ZERO);
        assert_eq!(delay(" --mode Latency --max-delay 500", false), Duration::from_micros(500));
        let given = options(" --max-delay 500", false, false);
        assert_eq!((given.threads, given.max_delay), (1, Duration::from_micros(500)));
        assert_eq!(delay(" --mode Latency --max-delay 0", false), Duration::ZERO);
        assert_eq!(options(" --max-rows 3", true, false).max_rows, 3);
        assert!(!options(" --max-rows 1", true, false).batches, "nobody is to be gathered with others");
        assert_eq!(delay(" --mode Latency --max-rows 1", false), Duration::ZERO);
        let settings = settings(parsed("--model x --name x --mode Latency"), Environment::default()).unwrap();
        let found = Found { is_on_cpu: false, has_loops: false, batches: false };
        let options = worker_options(&settings, found);
        assert_eq!((options.max_rows, options.max_delay), (1, Duration::ZERO), "rows are not independent");
    }
}
