//! The only module that names `ort`: loads ONNX Runtime and a model, and runs it. In goes a path; out come a signature
//! and, from input tensors, output tensors. Needs no client.
//!
//! One session is run by many threads at once; [`shared`] says why that holds.

mod error;
pub mod library;
mod load;
pub mod maps;
mod shared;
mod signature;
mod texts;
pub mod validate;
mod value;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use modelwright_contract::{
    serving::ExecutionProvider,
    signature::{Signature, TensorSpec},
};
use ort::{session::RunOptions, value::DynValue};

pub use self::error::{LoadError, RunError};
use self::{
    library::LibraryError,
    maps::Part,
    shared::SharedSession,
    signature::Place,
    texts::Texts,
    validate::{validate_inputs, validate_outputs},
    value::{from_value, to_value},
};
use crate::tensor::Tensor;

/// How a session is loaded.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// Execution providers, in order of preference; none means the CPU.
    pub execution_providers: Vec<ExecutionProvider>,
    /// Whether a provider that is not there may be replaced by the next, and at last by the CPU.
    pub allow_fallback: bool,
    /// Threads of one run; 0 for one a core that the process may use.
    pub intra_op_threads: usize,
    /// Most memory of the model and of all runs on the processor together; the first session of a process says it for all
    /// of them that have a bound.
    pub most_bytes: Option<u64>,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            execution_providers: vec![ExecutionProvider::Cpu],
            allow_fallback: false,
            intra_op_threads: 0,
            most_bytes: None,
        }
    }
}

/// ONNX Runtime, loaded once a process.
struct Runtime {
    environment: ort::environment::Environment,
    version: String,
}

static RUNTIME: OnceLock<Runtime> = OnceLock::new();

/// Loads ONNX Runtime if it is not loaded, and gives its version.
pub fn start() -> Result<&'static str, LoadError> {
    Ok(&runtime()?.version)
}

fn runtime() -> Result<&'static Runtime, LoadError> {
    static STARTING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let executable = std::env::current_exe().ok();
    let named = std::env::var_os(modelwright_contract::names::ONNXRUNTIME_ENV);
    // `ort` takes a relative path as relative to the executable, people as relative to where they are.
    let path = library::find(named, executable.as_deref())?;
    let path = std::path::absolute(&path).unwrap_or(path);
    let unusable = |why: String| LibraryError::Unusable { path: path.clone(), why };
    let builder = ort::init_from(&path).map_err(|error| unusable(error.to_string()))?;
    let environment = builder
        .with_name("modelwright")
        .with_telemetry(false)
        .with_logger(Arc::new(log))
        .build()
        .map_err(|error| unusable(error.to_string()))?;
    let version = shared::version(&path).unwrap_or_else(|| "unknown".to_owned());
    tracing::debug!(library = %path.display(), version, "loaded ONNX Runtime");
    Ok(RUNTIME.get_or_init(|| Runtime { environment, version }))
}

/// ONNX Runtime's own messages are for its developers: they go to `tracing` one level lower than it has them.
fn log(level: ort::logging::LogLevel, category: &str, _id: &str, location: &str, message: &str) {
    match level {
        ort::logging::LogLevel::Fatal | ort::logging::LogLevel::Error => {
            tracing::warn!(target: "onnxruntime", category, location, "{message}");
        }
        ort::logging::LogLevel::Warning => {
            tracing::debug!(target: "onnxruntime", category, location, "{message}");
        }
        _ => tracing::trace!(target: "onnxruntime", category, location, "{message}"),
    }
}

/// Stops a run from another thread.
#[derive(Clone)]
pub struct Cancellation(Arc<RunOptions>);

impl std::fmt::Debug for Cancellation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cancellation")
    }
}

impl Cancellation {
    /// A cancellation for one run.
    pub fn new() -> Result<Self, RunError> {
        Ok(Self(Arc::new(RunOptions::new().map_err(|error| run_error(&error))?)))
    }

    /// Ends the run as soon as its present node is done; a run that has not begun ends at once.
    pub fn cancel(&self) {
        if let Err(error) = self.0.terminate() {
            tracing::debug!(%error, "a run cannot be cancelled");
        }
    }
}

#[derive(Debug)]
pub struct Session {
    inner: SharedSession,
    signature: Signature,
    /// Where each output of the signature is.
    parts: Vec<Place>,
    labels: Vec<String>,
    symbols: Vec<Vec<String>>,
    named_axes: Vec<Vec<bool>>,
    execution_provider: ExecutionProvider,
    nodes: BTreeMap<String, u32>,
    onnxruntime_version: &'static str,
    texts: Texts,
}

impl Session {
    pub fn load(path: &Path, options: &SessionOptions) -> Result<Self, LoadError> {
        let runtime = runtime()?;
        if !path.is_file() {
            return Err(LoadError::NoFile { path: path.to_owned() });
        }
        let (inner, execution_provider) = load::on_first(&runtime.environment, path, options)?;
        let (signature, parts) = signature::read(&inner)?;
        let labels = signature::labels(&inner);
        let symbols = signature::symbols(&inner);
        let is_named = |axes: &Vec<String>| axes.iter().map(|symbol| !symbol.is_empty()).collect();
        let named_axes = symbols.iter().map(is_named).collect();
        // Only told: a model is not refused for want of it.
        let nodes = shared::nodes_by_provider(&inner).unwrap_or_else(|error| {
            tracing::warn!(%error, "which execution provider has which nodes of the graph is not known");
            BTreeMap::new()
        });
        let optional = signature.optional_inputs.iter().map(|input| &input.name);
        let inner = SharedSession::new(inner, optional).ok_or_else(|| {
            LoadError::refused(path, execution_provider, "the name of an input or output holds a NUL")
        })?;
        Ok(Self {
            inner,
            signature,
            parts,
            labels,
            symbols,
            named_axes,
            execution_provider,
            nodes,
            onnxruntime_version: &runtime.version,
            texts: Texts::new(options.most_bytes),
        })
    }

    /// Names of the classes, if the model's metadata have them: a JSON array under `classes`.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// Input by input, the names that the model gives its axes instead of a size; empty where it gives none. One name is
    /// one size.
    pub fn symbols(&self) -> &[Vec<String>] {
        &self.symbols
    }

    /// Input by input, which of its axes the model gives a name instead of a size.
    pub fn named_axes(&self) -> &[Vec<bool>] {
        &self.named_axes
    }

    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// The execution provider in use.
    pub fn execution_provider(&self) -> ExecutionProvider {
        self.execution_provider
    }

    /// Nodes of the graph by the execution provider that runs them. Beside CUDA, those on the CPU fell back to it: that
    /// provider has no kernel for them, or they are cheaper there.
    pub fn nodes(&self) -> &BTreeMap<String, u32> {
        &self.nodes
    }

    pub fn onnxruntime_version(&self) -> &'static str {
        self.onnxruntime_version
    }

    /// Runs the model. The outputs come in the order of their names here; no names mean all, in the model's order.
    pub fn run(&self, inputs: &[Tensor], outputs: &[String]) -> Result<Vec<Tensor>, RunError> {
        self.run_cancellable(inputs, outputs, &Cancellation::new()?)
    }

    /// Runs the model so that it can be stopped.
    pub fn run_cancellable(
        &self,
        inputs: &[Tensor],
        outputs: &[String],
        cancellation: &Cancellation,
    ) -> Result<Vec<Tensor>, RunError> {
        validate_inputs(&self.signature, inputs)?;
        validate_outputs(&self.signature, outputs)?;
        self.run_validated(inputs, outputs, cancellation)
    }

    /// Runs the model on what [`validate_inputs`] and [`validate_outputs`] let pass.
    pub fn run_validated(
        &self,
        inputs: &[Tensor],
        outputs: &[String],
        cancellation: &Cancellation,
    ) -> Result<Vec<Tensor>, RunError> {
        let place =
            |tensors: &[TensorSpec], name: &str| tensors.iter().position(|tensor| tensor.name == name);
        let Signature { inputs: needed, optional_inputs, .. } = &self.signature;
        let place_of_input = |name: &str| {
            let behind = || Some(needed.len() + place(optional_inputs, name)?);
            place(needed, name).or_else(behind)
        };
        let place_of = |input: &Tensor| place_of_input(&input.name).unwrap_or(usize::MAX);
        let wanted: Vec<usize> = if outputs.is_empty() {
            (0..self.signature.outputs.len()).collect()
        } else {
            outputs.iter().filter_map(|name| place(&self.signature.outputs, name)).collect()
        };
        // Both parts of an output of maps come from one value.
        let mut places: Vec<usize> = Vec::with_capacity(wanted.len());
        for (place, _) in wanted.iter().filter_map(|place| self.parts.get(*place)) {
            if !places.contains(place) {
                places.push(*place);
            }
        }
        let values = inputs.iter().map(|input| Ok((place_of(input), to_value(input)?)));
        let values = values.collect::<Result<Vec<_>, RunError>>()?;
        let answers = self.inner.run(&values, &places, &cancellation.0).map_err(|error| run_error(&error))?;
        let mut answers: Vec<Option<DynValue>> = answers.into_iter().map(Some).collect();
        let is_input = |name: &str| place_of_input(name).is_some();
        let mut tensors = Vec::with_capacity(wanted.len());
        for wanted in wanted {
            let (Some(spec), Some((place, part))) =
                (self.signature.outputs.get(wanted), self.parts.get(wanted))
            else {
                continue;
            };
            let missing = || RunError::NotTensor { name: spec.name.clone() };
            let answer =
                places.iter().position(|found| found == place).and_then(|found| answers.get_mut(found));
            let answer = answer.ok_or_else(missing)?;
            tensors.push(match part {
                Part::Whole => {
                    let answer = answer.take().ok_or_else(missing)?;
                    from_value(&spec.name, answer, is_input(&spec.name), &self.texts)?
                }
                part => maps::tensor(spec, *part, answer.as_ref().ok_or_else(missing)?)?,
            });
        }
        Ok(tensors)
    }
}

/// Gives the system the memory back that loading a model left.
pub fn give_back_memory() {
    shared::give_back_memory();
}

fn run_error(error: &ort::Error) -> RunError {
    RunError::failed(error.message(), error.code() == ort::ErrorCode::InvalidArgument)
}

/// Where a model's graph is: the path itself, or `model.onnx` in a folder.
pub fn graph_in(path: &Path) -> PathBuf {
    if path.is_dir() { path.join(modelwright_contract::artifact::MODEL_FILE) } else { path.to_owned() }
}
