//! A session on an execution provider. In go a path and options; out come a session of `ort` and the provider that it is on.

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
};

use modelwright_contract::serving::ExecutionProvider;
use ort::{
    environment::Environment,
    ep::{self, ExecutionProvider as _},
    session::{Session, builder::AutoDevicePolicy},
};

use super::{
    SessionOptions,
    error::{self, LoadError},
    shared,
};
use crate::cores::cores;

/// Loads on the first provider of the list that is there, or only on the first.
pub(super) fn on_first(
    environment: &Environment,
    path: &Path,
    options: &SessionOptions,
) -> Result<(Session, ExecutionProvider), LoadError> {
    let mut providers = options.execution_providers.clone();
    if providers.is_empty() || options.allow_fallback && !providers.contains(&ExecutionProvider::Cpu) {
        providers.push(ExecutionProvider::Cpu);
    }
    if !options.allow_fallback {
        providers.truncate(1);
    }
    let mut failure = None;
    for provider in providers {
        match load_on(environment, path, provider, options) {
            Ok(session) => return Ok((session, provider)),
            Err(error) => {
                if options.allow_fallback && provider != ExecutionProvider::Cpu {
                    tracing::warn!(%provider, %error, "the execution provider is not used; falling back");
                }
                failure = Some(error);
            }
        }
    }
    // The list was not empty, so there is a failure.
    Err(failure.unwrap_or_else(|| LoadError::NoFile { path: path.to_owned() }))
}

fn load_on(
    environment: &Environment,
    path: &Path,
    provider: ExecutionProvider,
    options: &SessionOptions,
) -> Result<Session, LoadError> {
    let threads = options.intra_op_threads;
    let refused = |error: &ort::Error| LoadError::refused(path, provider, error.message());
    let builder = Session::builder(environment).map_err(|error| refused(&error))?;
    // Left to itself, ONNX Runtime counts the machine's cores and not those of the container.
    let threads = if threads == 0 { cores() } else { threads };
    let builder = builder.with_intra_threads(threads).map_err(|error| refused(&error.into()))?;
    // A thread that spins until the next run takes a core's time from whoever has work.
    let builder = builder.with_intra_op_spinning(false).map_err(|error| refused(&error.into()))?;
    let builder = builder.with_config_entry(shared::RECORD, "1").map_err(|error| refused(&error.into()))?;
    let builder = match options.most_bytes.filter(|_| provider == ExecutionProvider::Cpu) {
        None => builder,
        Some(most) => {
            bound_runs(environment, most).map_err(|error| refused(&error))?;
            builder.with_env_allocators().map_err(|error| refused(&error.into()))?
        }
    };
    let mut builder = match provider {
        // Without the policy, ONNX Runtime may choose another provider that its build happens to hold.
        ExecutionProvider::Cpu => builder
            .with_auto_device(AutoDevicePolicy::PreferCPU)
            .map_err(|error| refused(&error.into()))?
            .with_execution_providers([ep::CPU::default().with_arena_allocator(true).build()])
            .map_err(|error| refused(&error.into()))?,
        ExecutionProvider::Cuda => {
            // TF32 keeps 10 bits of the fraction, and an answer must agree with the one recorded on another device.
            // Left to itself, ONNX Runtime tries every algorithm of a convolution each time that its input has another
            // shape than before, also one that it had earlier: https://github.com/microsoft/onnxruntime/issues/23006.
            let cuda = ep::CUDA::default()
                .with_tf32(false)
                .with_conv_algorithm_search(ep::cuda::ConvAlgorithmSearch::Heuristic)
                .build()
                .error_on_failure();
            builder.with_execution_providers([cuda]).map_err(|error| LoadError::ProviderUnavailable {
                asked: provider,
                available: available(),
                why: error::shorten(error.message()).trim_end_matches('.').to_owned(),
            })?
        }
    };
    // Only now is a device looked for.
    builder.commit_from_file(path).map_err(|error| match error::of_device(error.message()) {
        Some(why) => {
            LoadError::ProviderUnavailable { asked: provider, available: available(), why: why.to_owned() }
        }
        None => refused(&error),
    })
}

/// Has runs share memory that is bounded, once in a process.
fn bound_runs(environment: &Environment, most: u64) -> ort::Result<()> {
    static BOUNDED: Mutex<bool> = Mutex::new(false);
    let mut is_bounded = BOUNDED.lock().unwrap_or_else(PoisonError::into_inner);
    if !*is_bounded {
        shared::bound_memory(environment, usize::try_from(most).unwrap_or(usize::MAX))?;
        *is_bounded = true;
    }
    Ok(())
}

/// The providers that the loaded library was built with, and that this runtime can ask for.
fn available() -> String {
    let cuda = ep::CUDA::is_available().unwrap_or(false);
    if cuda { "CPU, and CUDA where its libraries and a device are present" } else { "CPU" }.to_owned()
}
