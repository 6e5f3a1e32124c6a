//! Arguments of the executable. Each has an environment variable, so that the chart's pod needs no argument list.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::store::validate_store_uri;

/// Modelwright's operator.
#[derive(Debug, Parser)]
#[command(name = "modelwright", version, about, long_about = None)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Reconcile Models and ModelDeployments until SIGTERM.
    Run(Box<RunArguments>),
    /// Write the CustomResourceDefinitions, one YAML file each.
    Crds(CrdsArguments),
    /// Let through to a registry beside it what pods may write there; in the pod of the chart's own store.
    PushProxy(PushProxyArguments),
}

/// Arguments of `push-proxy`.
#[derive(Clone, Debug, Args)]
pub struct PushProxyArguments {
    /// Where to listen.
    #[arg(long, env = "MODELWRIGHT_PUSH_ADDRESS", default_value = "[::]:5001")]
    pub address: SocketAddr,
    /// Where the kubelet's probes are answered.
    #[arg(long, env = "MODELWRIGHT_PUSH_PROBE_ADDRESS", default_value = "[::]:5003")]
    pub probe_address: SocketAddr,
    /// `host:port` of the registry, which only this process reaches.
    #[arg(long, env = "MODELWRIGHT_PUSH_REGISTRY", default_value = "localhost:5002")]
    pub registry: String,
    /// What repositories begin with: behind it follow the namespace and what the token names.
    #[arg(long, env = "MODELWRIGHT_PUSH_PREFIX", default_value = "modelwright")]
    pub prefix: String,
    /// Format of the logs.
    #[arg(long, env = "MODELWRIGHT_LOG_FORMAT", default_value = "json")]
    pub log_format: LogFormat,
}

/// Arguments of `crds`.
#[derive(Debug, Args)]
pub struct CrdsArguments {
    /// Folder to write to; it is made if it is not there.
    #[arg(long, default_value = "crds")]
    pub directory: PathBuf,
}

/// Arguments of `run`.
#[derive(Clone, Debug, Args)]
pub struct RunArguments {
    /// Namespaces to watch, comma separated; empty: all.
    #[arg(long, env = "MODELWRIGHT_NAMESPACES", value_delimiter = ',')]
    pub namespaces: Vec<String>,
    /// Image of the runtime, for the pods that import and serve models.
    #[arg(long, env = "MODELWRIGHT_RUNTIME_IMAGE", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub runtime_image: String,
    /// Image of the runtime with CUDA, for the pods that serve models on it; without it, that of the runtime.
    #[arg(long, env = "MODELWRIGHT_RUNTIME_GPU_IMAGE")]
    pub runtime_gpu_image: Option<String>,
    /// Image of the built-in trainer, for the pods that train models.
    #[arg(long, env = "MODELWRIGHT_TRAINER_IMAGE", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub trainer_image: String,
    /// Image of the built-in trainer with Keras, for Models whose candidates have layers; without it they are not trained.
    #[arg(long, env = "MODELWRIGHT_TRAINER_KERAS_IMAGE")]
    pub trainer_keras_image: Option<String>,
    /// The same with CUDA, for those of them that ask for a GPU; without it they are not trained.
    #[arg(long, env = "MODELWRIGHT_TRAINER_KERAS_GPU_IMAGE")]
    pub trainer_keras_gpu_image: Option<String>,
    /// Artifact store: `oci://host[:port]/prefix`, `s3://bucket/prefix` or `pvc://claim/prefix`.
    #[arg(long, env = "MODELWRIGHT_STORE_URI", value_parser = validate_store_uri)]
    pub store_uri: String,
    /// Speak plain HTTP to an `oci` store; for `s3`, the Secret says so.
    #[arg(long, env = "MODELWRIGHT_STORE_PLAIN_HTTP")]
    pub store_plain_http: bool,
    /// `host[:port]` that the store is written to with a token of the run's pod, if that is elsewhere than it is read: the
    /// store that came with the operator.
    #[arg(long, env = "MODELWRIGHT_STORE_PUSH_HOST")]
    pub store_push_host: Option<String>,
    /// Deployment of the store that came with the operator, in the operator's own namespace; empty: there is none.
    #[arg(long, env = "MODELWRIGHT_BUNDLED_STORE", default_value = "")]
    pub bundled_store: String,
    /// Let imports connect to addresses in private ranges (a store or source inside the cluster or the company).
    #[arg(long, env = "MODELWRIGHT_ALLOW_PRIVATE_NETWORKS")]
    pub allow_private_networks: bool,
    /// Seconds that imports, trainings and their artifacts wait for the next piece of a request to be taken by a server, and
    /// for its answer to begin; without it, 300.
    #[arg(long, env = "MODELWRIGHT_ANSWER_SECONDS", value_parser = clap::value_parser!(u32).range(1..=86400))]
    pub answer_seconds: Option<u32>,
    /// Seconds that they wait for the next piece of an answer; without it, 60.
    #[arg(long, env = "MODELWRIGHT_READ_SECONDS", value_parser = clap::value_parser!(u32).range(1..=86400))]
    pub read_seconds: Option<u32>,
    /// Address of /healthz, /readyz and /metrics.
    #[arg(long, env = "MODELWRIGHT_ADMIN_ADDRESS", default_value = "[::]:8080")]
    pub admin_address: SocketAddr,
    /// Namespace of the operator's Lease.
    #[arg(long, env = "POD_NAMESPACE", default_value = "modelwright-system")]
    pub operator_namespace: String,
    /// Name of the operator's Lease: of several operators in one namespace, each has its own.
    #[arg(long, env = "MODELWRIGHT_LEASE", default_value = crate::api::name::FIELD_MANAGER, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub lease: String,
    /// Name that holds the Lease; it must differ between replicas.
    #[arg(long, env = "POD_NAME", default_value = "modelwright")]
    pub identity: String,
    /// DNS domain of the cluster.
    #[arg(long, env = "MODELWRIGHT_CLUSTER_DOMAIN", default_value = "cluster.local")]
    pub cluster_domain: String,
    /// Format of the logs.
    #[arg(long, env = "MODELWRIGHT_LOG_FORMAT", default_value = "json")]
    pub log_format: LogFormat,
}

/// Format of the logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_of_the_arguments_is_consistent() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }
}
