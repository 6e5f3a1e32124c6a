//! A session that one run has at a time, as on every provider but the CPU. In go tensors; out come values.
//!
//! A device reads and writes memory that the system cannot move by itself (pinned memory), while what lies elsewhere has
//! to be copied there first, by a thread that waits for it. So inputs are put into such memory and bound to the run, and
//! outputs are bound to be written into it: see `OrtIoBinding` in ONNX Runtime's C API, and
//! <https://onnxruntime.ai/docs/performance/tune-performance/iobinding.html>. Where there is none, or where it is used
//! up, a run does without it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use modelwright_contract::{
    serving::ExecutionProvider,
    signature::{Signature, TensorSpec},
};
use ort::{
    memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType},
    session::{IoBinding, RunOptions, Session},
    value::DynValue,
};

use super::{
    RunError, run_error,
    value::{in_memory_of, to_value},
};
use crate::tensor::{Datatype, Tensor};

/// The session.
#[derive(Debug)]
pub(super) struct LockedSession {
    inner: Mutex<Inner>,
    inputs: Vec<String>,
    outputs: Vec<String>,
}

#[derive(Debug)]
struct Inner {
    // Its memory is the session's: it goes first.
    staging: Option<Staging>,
    session: Session,
}

/// Where inputs are put and outputs are written.
#[derive(Debug)]
struct Staging {
    inputs: Allocator,
    outputs: MemoryInfo<'static>,
}

impl Staging {
    /// Memory of this session that its provider reads and writes.
    fn new(session: &Session, device: AllocationDevice<'static>) -> ort::Result<Self> {
        let memory = |kind: MemoryType| MemoryInfo::new(device.clone(), 0, AllocatorType::Device, kind);
        Ok(Self {
            inputs: Allocator::new(session, memory(MemoryType::CPUInput)?)?,
            outputs: memory(MemoryType::CPUOutput)?,
        })
    }

    /// Puts inputs there, and binds them and the outputs.
    fn bind<'a>(
        &self,
        session: &Session,
        inputs: &[(&str, &Tensor)],
        outputs: impl Iterator<Item = &'a str>,
    ) -> Result<IoBinding, RunError> {
        let refused = |error: ort::Error| run_error(&error);
        let mut binding = session.create_binding().map_err(refused)?;
        for (name, tensor) in inputs {
            let value = in_memory_of(&self.inputs, tensor)?;
            binding.bind_input(*name, &value).map_err(refused)?;
        }
        for name in outputs {
            binding.bind_output_to_device(name, &self.outputs).map_err(refused)?;
        }
        // The copies to the device are on their way.
        binding.synchronize_inputs().map_err(refused)?;
        Ok(binding)
    }
}

/// Whether every value of a model is a tensor whose elements have a fixed size: nothing else can lie in a device's memory.
fn can_be_bound(session: &Session, signature: &Signature) -> bool {
    let is_fixed = |tensor: &TensorSpec| Datatype::parse(&tensor.datatype).and_then(Datatype::size).is_some();
    session.outputs().iter().all(|output| output.dtype().is_tensor())
        && signature.inputs.iter().chain(&signature.outputs).all(is_fixed)
}

impl LockedSession {
    /// Takes over a session on this provider, which has this signature.
    pub fn new(session: Session, provider: ExecutionProvider, signature: &Signature) -> Self {
        let device = match provider {
            ExecutionProvider::Cuda => AllocationDevice::CUDA_PINNED,
            ExecutionProvider::Cpu => AllocationDevice::CPU,
        };
        Self::staged_in(session, device, signature)
    }

    fn staged_in(session: Session, device: AllocationDevice<'static>, signature: &Signature) -> Self {
        let staging = can_be_bound(&session, signature).then(|| Staging::new(&session, device)).transpose();
        let staging = staging.unwrap_or_else(|error| {
            tracing::warn!(%error, "there is no memory that the device reads by itself; inputs are copied twice");
            None
        });
        let inputs = session.inputs().iter().map(|input| input.name().to_owned()).collect();
        let outputs = session.outputs().iter().map(|output| output.name().to_owned()).collect();
        Self { inner: Mutex::new(Inner { staging, session }), inputs, outputs }
    }

    /// Whether inputs and outputs are bound.
    pub fn is_bound(&self) -> bool {
        self.lock().staging.is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs. Inputs and outputs are named by their place in the model; places that it does not have are left out, which
    /// ONNX Runtime then refuses.
    pub fn run(
        &self,
        inputs: &[(usize, &Tensor)],
        outputs: &[usize],
        options: &RunOptions,
    ) -> Result<Vec<DynValue>, RunError> {
        let pair = |(place, tensor): &(usize, _)| Some((self.inputs.get(*place)?.as_str(), *tensor));
        let inputs: Vec<(&str, &Tensor)> = inputs.iter().filter_map(pair).collect();
        let names = || outputs.iter().filter_map(|place| self.outputs.get(*place)).map(String::as_str);
        let mut inner = self.lock();
        let Inner { session, staging } = &mut *inner;
        let bound = staging.as_ref().map(|staging| staging.bind(session, &inputs, names())).transpose();
        let bound = bound.unwrap_or_else(|error| {
            tracing::debug!(%error, "a run's inputs cannot be put where the device reads by itself");
            None
        });
        let refused = |error: ort::Error| run_error(&error);
        let mut answer = if let Some(binding) = &bound {
            let answer = session.run_binding_with_options(binding, options).map_err(refused)?;
            binding.synchronize_outputs().map_err(refused)?;
            answer
        } else {
            let values = inputs.iter().map(|(name, tensor)| Ok((*name, to_value(tensor)?)));
            let values = values.collect::<Result<Vec<_>, RunError>>()?;
            session.run_with_options(values, options).map_err(refused)?
        };
        let missing = || run_error(&ort::Error::new("a run ended well without one of its outputs"));
        names().map(|name| answer.remove(name).ok_or_else(missing)).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;

    use super::*;
    use crate::session::{runtime, signature};

    #[test]
    fn a_run_does_without_memory_that_is_not_there() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models/linear.onnx");
        let input = Tensor {
            name: "x".to_owned(),
            datatype: Datatype::Fp32,
            shape: vec![1, 4],
            data: [1.0_f32; 4].iter().flat_map(|x| x.to_le_bytes()).collect(),
        };
        for (device, is_there) in [(AllocationDevice::CPU, true), (AllocationDevice::CUDA_PINNED, false)] {
            let mut builder = Session::builder(&runtime().unwrap().environment).unwrap();
            let session = builder.commit_from_file(&path).unwrap();
            let (signature, _) = signature::read(&session).unwrap();
            let locked = LockedSession::staged_in(session, device, &signature);
            assert_eq!(locked.is_bound(), is_there);
            let answer = locked.run(&[(0, &input)], &[0], &RunOptions::new().unwrap()).unwrap();
            assert_eq!(answer[0].try_extract_tensor::<f32>().unwrap().1, [2.75, 1.75, 5.25]);
        }
    }
}
