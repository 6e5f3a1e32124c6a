//! What to serve, from a pod's config or a person's command line. In go arguments and the environment; out come
//! settings with nothing left open. Needs no client.

use std::{
    ffi::OsString,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use modelwright_contract::{
    names::{GRPC_PORT, HTTP_PORT, METRICS_PORT, POD_NAME_ENV, SERVING_ENV, TRAFFIC_DIRECTORY, TRAFFIC_KEY},
    serving::{ExecutionProvider, ServingConfig, ServingLimits, ServingMode},
};

use super::{
    bounds,
    budget::shown,
    limits::{BUDGET_PART, MemoryLimits},
    worker::{QUICK, QUICK_MICROSECONDS, batch::MAX_ROWS},
};
use modelwright_core::{cores::cores, memory::memory};

/// Most runs that a GPU is given at the same time, unless another number is asked for: with fewer it waits for the processor
/// between them, and with more they wait for each other.
const MOST_ON_A_GPU: usize = 4;

/// Arguments of `serve`. In a pod, all comes from MODELWRIGHT_SERVING instead.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ServeArguments {
    /// ONNX model, or folder with model.onnx; without it, the config is in MODELWRIGHT_SERVING
    #[arg(long, value_name = "PATH", requires = "name")]
    pub model: Option<PathBuf>,
    /// Model name in the protocol
    #[arg(long, requires = "model")]
    pub name: Option<String>,
    /// Version number in the protocol
    #[arg(long, default_value_t = 1, requires = "model")]
    pub version: u64,
    /// Address of the Open Inference Protocol over HTTP [default: 127.0.0.1:8080 with --model, else [::]:8080]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub http: Option<SocketAddr>,
    /// Address of the Open Inference Protocol over gRPC [default: none with --model, else [::]:9000]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub grpc: Option<SocketAddr>,
    /// Address of /metrics, /status and /healthz [default: none with --model, else [::]:9090]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub metrics: Option<SocketAddr>,
    /// Execution provider, in order of preference if given again: CPU or CUDA
    #[arg(long, value_name = "PROVIDER", value_parser = provider, default_value = "CPU", requires = "model")]
    pub execution_provider: Vec<ExecutionProvider>,
    /// Replace a provider that is missing by the next, and at last by the CPU
    #[arg(long, requires = "model")]
    pub allow_fallback: bool,
    /// Requests that may wait for the model
    #[arg(long, default_value_t = ServingLimits::default().queue, requires = "model")]
    pub queue: u32,
    /// What the cores are for: Throughput runs as many requests at once as there are cores, Latency one on all of them
    #[arg(long, value_name = "MODE", value_parser = mode, default_value_t = ServingMode::default(), requires = "model")]
    pub mode: ServingMode,
    /// Requests that are run at the same time, which share the cores [default: as the mode says; at most 4 on CUDA]
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 0,
        hide_default_value = true,
        requires = "model",
        conflicts_with = "mode"
    )]
    pub threads: usize,
    /// Runs that take less are made where their request was read, and longer ones on threads of their own
    #[arg(long, value_name = "MICROSECONDS", default_value_t = QUICK_MICROSECONDS, requires = "model")]
    pub quick: u64,
    /// Most rows of requests that share a run
    #[arg(long, value_name = "ROWS", default_value_t = MAX_ROWS, value_parser = clap::value_parser!(u32).range(1..), requires = "model")]
    pub max_rows: u32,
    /// Your own word on whether an answer to a row is the same whatever other rows share its run [default: as the graph shows]
    #[arg(long, value_name = "true|false", requires = "model")]
    pub rows_independent: Option<bool>,
    /// How long a request waits for others to share its run, where runs are made one at a time; set on CUDA, it makes them so
    #[arg(long, value_name = "MICROSECONDS", default_value_t = 0, requires = "model")]
    pub max_delay: u64,
    /// Milliseconds from the head of a request to its answer
    #[arg(long, value_name = "MILLISECONDS", default_value_t = ServingLimits::default().timeout_milliseconds, requires = "model")]
    pub timeout: u64,
    /// Largest request body in bytes
    #[arg(long, value_name = "BYTES", default_value_t = ServingLimits::default().max_request_bytes, requires = "model")]
    pub max_request_bytes: u64,
    /// Most rows of a request, where the model takes any number [default: one for each KiB of memory, fewer where it has a long label]
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u64).range(1..), requires = "model")]
    pub max_request_rows: Option<u64>,
    /// Most elements of an input of a request [default: one for each 64 bytes of memory, and
    /// no fewer than the bytes of the largest request]
    #[arg(long, value_name = "ELEMENTS", value_parser = clap::value_parser!(u64).range(1..), requires = "model")]
    pub max_request_elements: Option<u64>,
    /// Most memory of the model and its runs together, in bytes [default: three quarters of the container's limit; without
    /// one, none]
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..), requires = "model")]
    pub max_run_bytes: Option<u64>,
    /// Bytes of memory that may be held for clients: bodies, what is made of them, and answers [default: a quarter of the
    /// memory that the process may use]
    #[arg(long, value_name = "BYTES", requires = "model")]
    pub memory_budget: Option<u64>,
    /// Milliseconds that a drain waits for clients to leave
    #[arg(long, value_name = "MILLISECONDS", default_value_t = ServingLimits::default().drain_timeout_milliseconds, requires = "model")]
    pub drain_timeout: u64,
    /// Panic at a request with this id, for tests of what that does to others
    #[arg(long, hide = true)]
    pub panic_on_id: Option<String>,
    /// Folder of the traffic file, for tests
    #[arg(long, hide = true, default_value = TRAFFIC_DIRECTORY)]
    pub traffic_directory: PathBuf,
    /// File to write the reason of a failure to; the kubelet's own if it is there
    #[arg(long, hide = true)]
    pub termination_log: Option<PathBuf>,
}

fn provider(text: &str) -> Result<ExecutionProvider, String> {
    [ExecutionProvider::Cpu, ExecutionProvider::Cuda]
        .into_iter()
        .find(|provider| provider.to_string() == text)
        .ok_or_else(|| "expected CPU or CUDA".to_owned())
}

fn mode(text: &str) -> Result<ServingMode, String> {
    ServingMode::ALL
        .into_iter()
        .find(|mode| mode.to_string() == text)
        .ok_or_else(|| "expected Throughput or Latency".to_owned())
}

/// Requests that are run at the same time.
fn threads(mode: ServingMode, providers: &[ExecutionProvider]) -> usize {
    match (mode, providers.first()) {
        (ServingMode::Latency, _) => 1,
        (ServingMode::Throughput, Some(ExecutionProvider::Cuda)) => cores().min(MOST_ON_A_GPU),
        (ServingMode::Throughput, _) => cores(),
    }
}

/// What to serve, and how.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Model name in the protocol.
    pub model: String,
    /// Version number in the protocol.
    pub version: u64,
    /// The digest that the files must have; none for a person's own file.
    pub model_digest: Option<String>,
    /// Hash of the revision; empty outside of a deployment.
    pub revision: String,
    /// ONNX model, or folder with `model.onnx`.
    pub path: PathBuf,
    /// Execution providers, in order of preference.
    pub execution_providers: Vec<ExecutionProvider>,
    /// Whether a provider may be replaced.
    pub allow_fallback: bool,
    pub limits: ServingLimits,
    /// What is held for clients at most.
    pub memory: MemoryLimits,
    /// What the cores are for.
    pub mode: ServingMode,
    /// Requests that are run at the same time.
    pub threads: usize,
    /// Longest run, on average, that is made where the request is.
    pub quick: Duration,
    /// Most rows of requests that share a run.
    pub max_rows: u32,
    /// The user's own word on whether rows are independent.
    pub rows_independent: Option<bool>,
    /// How long a request waits for others to share its run.
    pub max_delay: Duration,
    /// Where the protocol is served over HTTP.
    pub http: SocketAddr,
    /// Where the protocol is served over gRPC.
    pub grpc: Option<SocketAddr>,
    pub metrics: Option<SocketAddr>,
    /// Most memory of the model and its runs together.
    pub max_run_bytes: Option<u64>,
    /// Id of a request at which to panic.
    pub panic_on_id: Option<String>,
    pub traffic_file: PathBuf,
    /// This pod's name, if it is one.
    pub pod_name: Option<String>,
    /// Where a failure's reason goes.
    pub termination_log: Option<PathBuf>,
}

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error(
        "nothing to serve: give --model and --name, or set {SERVING_ENV} to the JSON of a serving config (for example: \
         serve --model digits.onnx --name digits)"
    )]
    Nothing,
    #[error("{SERVING_ENV} is no serving config: {source}")]
    Config {
        #[from]
        source: serde_json::Error,
    },
    /// A body may be larger than all that may be held.
    #[error(
        "maxRequestBytes is {}, and no more than {} bytes are held for all requests (the memory budget: a quarter of what \
         the process may use); set serving.maxRequestBytes (--max-request-bytes) to at most that, or give the container \
         more memory: resources.limits.memory of at least {} (--memory-budget by hand)",
        shown(*.asked), shown(*.budget), shown(.asked.saturating_mul(BUDGET_PART))
    )]
    RequestTooLarge { asked: u64, budget: u64 },
    /// The config is no text.
    #[error("{SERVING_ENV} is not UTF-8; expected the JSON of a serving config")]
    NotText,
}

/// The environment as far as it matters.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    pub config: Option<OsString>,
    pub pod_name: Option<OsString>,
    /// Bytes of memory that the process may use, as far as the system says.
    pub memory: Option<u64>,
}

impl Environment {
    pub fn of_process() -> Self {
        Self {
            config: std::env::var_os(SERVING_ENV),
            pod_name: std::env::var_os(POD_NAME_ENV),
            memory: memory(),
        }
    }
}

/// Puts arguments and environment together; flags win, since a person typed them.
pub fn settings(arguments: ServeArguments, environment: Environment) -> Result<Settings, SettingsError> {
    let memory = MemoryLimits::new(environment.memory.unwrap_or(u64::MAX), arguments.memory_budget);
    let mut settings = settings_with(arguments, environment, memory)?;
    let (asked, budget) = (settings.limits.max_request_bytes, memory.budget);
    if asked > budget {
        // What nobody chose is no mistake of anybody.
        if asked != ServingLimits::default().max_request_bytes {
            return Err(SettingsError::RequestTooLarge { asked, budget });
        }
        tracing::warn!(
            outcome = "the largest request is smaller than the default",
            max_request_bytes = budget,
            default = asked,
            "a quarter of the memory that the process may use is held for all requests"
        );
        settings.limits.max_request_bytes = budget;
    }
    Ok(settings)
}

fn settings_with(
    arguments: ServeArguments,
    environment: Environment,
    memory: MemoryLimits,
) -> Result<Settings, SettingsError> {
    let pod_name =
        environment.pod_name.and_then(|name| name.into_string().ok()).filter(|name| !name.is_empty());
    let traffic_file = arguments.traffic_directory.join(TRAFFIC_KEY);
    if let (Some(path), Some(model)) = (arguments.model, arguments.name) {
        return Ok(Settings {
            model,
            version: arguments.version,
            model_digest: None,
            revision: String::new(),
            path,
            threads: match arguments.threads {
                0 => threads(arguments.mode, &arguments.execution_provider),
                given => given,
            },
            execution_providers: arguments.execution_provider,
            allow_fallback: arguments.allow_fallback,
            limits: ServingLimits {
                queue: arguments.queue,
                timeout_milliseconds: arguments.timeout,
                max_request_bytes: arguments.max_request_bytes,
                drain_timeout_milliseconds: arguments.drain_timeout,
                max_rows: arguments.max_request_rows,
                max_elements: arguments.max_request_elements,
            },
            memory,
            mode: arguments.mode,
            quick: Duration::from_micros(arguments.quick),
            max_rows: arguments.max_rows,
            rows_independent: arguments.rows_independent,
            max_delay: Duration::from_micros(arguments.max_delay),
            http: arguments.http.unwrap_or(SocketAddr::from(([127, 0, 0, 1], HTTP_PORT))),
            grpc: arguments.grpc,
            metrics: arguments.metrics,
            max_run_bytes: arguments.max_run_bytes.or_else(bounds::run_memory),
            panic_on_id: arguments.panic_on_id,
            traffic_file,
            pod_name,
            termination_log: arguments.termination_log,
        });
    }
    let text = environment.config.ok_or(SettingsError::Nothing)?;
    let config: ServingConfig = serde_json::from_str(text.to_str().ok_or(SettingsError::NotText)?)?;
    let every = |port| SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port);
    Ok(Settings {
        model: config.model,
        version: config.version,
        model_digest: Some(config.model_digest),
        revision: config.revision,
        path: PathBuf::from(config.directory),
        threads: threads(config.mode, &config.execution_providers),
        execution_providers: config.execution_providers,
        allow_fallback: config.allow_fallback,
        limits: config.limits,
        memory,
        mode: config.mode,
        quick: QUICK,
        max_rows: config.batching.max_size.unwrap_or(MAX_ROWS),
        rows_independent: config.batching.rows_independent,
        max_delay: Duration::from_millis(config.batching.max_delay_milliseconds.unwrap_or(0)),
        http: arguments.http.unwrap_or_else(|| every(HTTP_PORT)),
        grpc: Some(arguments.grpc.unwrap_or_else(|| every(GRPC_PORT))),
        metrics: Some(arguments.metrics.unwrap_or_else(|| every(METRICS_PORT))),
        max_run_bytes: bounds::run_memory(),
        panic_on_id: arguments.panic_on_id,
        traffic_file,
        pod_name,
        termination_log: arguments.termination_log,
    })
}

#[cfg(test)]
pub(super) mod tests;
