//! What `ort` has no words for: runs of one ONNX Runtime session from many threads at once, which execution provider has
//! which node of its graph, how long texts are, the library's version, and giving back the memory that loading one left. In go a
//! session and values; out come values and counts. The only file of the workspace with `unsafe` code.
//!
//! `ort` takes `&mut` for a run, so that sharing would need a lock or a session a thread, and each session holds a copy
//! of the weights. ONNX Runtime documents `Run` as callable from several threads on one session, and `ort` objects that
//! some execution providers break that promise. Why the promise holds for what is let in here, and nothing else:
//!
//! - Only the providers CPU and CUDA are registered, with the operators that are built in. On the CPU their kernels are
//!   immutable after the session is made; what a run needs lies in an execution frame that the run owns. The arena and the
//!   thread pool, which runs share, lock by themselves; random operators lock their generator. On CUDA a run has a stream
//!   of its own, and libraries' handles belong to a stream or a thread; what a convolution keeps of its last shape, it
//!   locks. Graphs of CUDA, which forbid it, are not asked for.
//! - Nothing that changes a session is called on one that is shared: no binding, no profiling, no options, no adapters.
//!   `inner` is private, and this file calls `Run` alone.
//! - Inputs are borrowed for the run and not written: graphs cannot alias an input with a buffer of theirs that they
//!   write to, since inputs belong to the caller. Outputs are fresh values that belong to the caller.
//! - Run options are only read by `Run`; their terminate flag may be set meanwhile by any thread, which is what it is for.
//!
//! `runs_from_many_threads_are_those_of_one` in the integration tests holds this against bit-equal answers, and its namesake
//! in `cuda` on a GPU.
#![allow(unsafe_code)]

use std::{
    collections::BTreeMap,
    ffi::{CStr, CString, c_char},
    path::Path,
    ptr::{self, NonNull},
    slice,
};

use ort::{
    AsPointer,
    session::{RunOptions, Session, SessionInputValue},
    sys,
    value::DynValue,
};

/// The option under which ONNX Runtime remembers it.
pub(super) const RECORD: &str = "session.record_ep_graph_assignment_info";
/// How its names of providers end.
const SUFFIX: &str = "ExecutionProvider";

/// A session for any number of threads.
#[derive(Debug)]
pub(super) struct SharedSession {
    inner: Session,
    inputs: Vec<CString>,
    outputs: Vec<CString>,
}

impl SharedSession {
    /// Takes over a session that has no providers but those named above. None if a name holds a NUL, which no graph's does.
    /// `optional` are the names of initializers that are inputs, too.
    pub fn new<'a>(inner: Session, optional: impl Iterator<Item = &'a String>) -> Option<Self> {
        let names = |outlets: &[ort::value::Outlet]| {
            outlets.iter().map(|outlet| CString::new(outlet.name())).collect::<Result<Vec<_>, _>>().ok()
        };
        let (mut inputs, outputs) = (names(inner.inputs())?, names(inner.outputs())?);
        for name in optional {
            inputs.push(CString::new(name.as_str()).ok()?);
        }
        Some(Self { inner, inputs, outputs })
    }

    /// Runs. Inputs and outputs are named by their place in the model, optional inputs behind the others; places that it does not have are left out, which
    /// ONNX Runtime then refuses.
    pub fn run(
        &self,
        inputs: &[(usize, SessionInputValue<'_>)],
        outputs: &[usize],
        options: &RunOptions,
    ) -> ort::Result<Vec<DynValue>> {
        let mut input_names: Vec<*const c_char> = Vec::with_capacity(inputs.len());
        let mut input_values: Vec<*const sys::OrtValue> = Vec::with_capacity(inputs.len());
        for (place, value) in inputs {
            if let Some(name) = self.inputs.get(*place) {
                input_names.push(name.as_ptr());
                input_values.push(value.ptr());
            }
        }
        let output_names: Vec<*const c_char> =
            outputs.iter().filter_map(|place| self.outputs.get(*place)).map(|name| name.as_ptr()).collect();
        let mut answers: Vec<*mut sys::OrtValue> = vec![ptr::null_mut(); output_names.len()];
        // SAFETY: session, options, names and values live until the call returns, since they are borrowed here; each
        // pair of arrays has the length that is given; `answers` has room for every output and is null, so that ONNX
        // Runtime makes the values. Other threads may be in the same call: see the top of this file.
        let status = unsafe {
            (ort::api().Run)(
                self.inner.ptr().cast_mut(),
                options.ptr(),
                input_names.as_ptr(),
                input_values.as_ptr(),
                input_values.len(),
                output_names.as_ptr(),
                output_names.len(),
                answers.as_mut_ptr(),
            )
        };
        // SAFETY: each value that is not null was made for this call, and is owned by nothing else. A run that failed may
        // have made some.
        let answers: Vec<Option<DynValue>> = answers
            .into_iter()
            .map(|value| {
                NonNull::new(value)
                    .map(|value| unsafe { DynValue::from_ptr(value, Some(self.inner.allocator())) })
            })
            .collect();
        // SAFETY: the status is the one that ONNX Runtime just returned, and it is taken once.
        unsafe { ort::Error::result_from_status(status) }?;
        let missing = || ort::Error::new("a run ended well without one of its outputs");
        answers.into_iter().map(|value| value.ok_or_else(missing)).collect()
    }
}

/// What the library at this path, which `ort` has loaded, says of its version: `ort` asks for it and tells nobody.
pub(super) fn version(path: &Path) -> Option<String> {
    // SAFETY: the library is loaded, so that nothing in it is run by opening it once more, and `ort` keeps it for the whole
    // process. The function is the C API's only export and has this type; what it gives is null or constant, and the
    // version is a constant that ends with a NUL.
    unsafe {
        let library = libloading::Library::new(path).ok()?;
        let base = library.get::<unsafe extern "C" fn() -> *const sys::OrtApiBase>(b"OrtGetApiBase").ok()?;
        let version = (base().as_ref()?.GetVersionString)();
        Some(CStr::from_ptr(version).to_str().ok()?.to_owned())
    }
}

/// Bytes of all texts of a tensor of texts.
pub(super) fn text_bytes(value: &DynValue) -> ort::Result<usize> {
    let mut bytes = 0;
    // SAFETY: the value is borrowed, and the place lives until the call returns. The status is taken once.
    let status = unsafe { (ort::api().GetStringTensorDataLength)(value.ptr(), &raw mut bytes) };
    // SAFETY: as above.
    unsafe { ort::Error::result_from_status(status) }?;
    Ok(bytes)
}

/// Gives the environment memory for runs on the processor that ends at so many bytes: beyond them a run fails, where the
/// process would be ended by its container's limit, with everybody's runs in it. Sessions take it that are told to take
/// the environment's.
pub(super) fn bound_memory(environment: &ort::environment::Environment, most: usize) -> ort::Result<()> {
    let api = ort::api();
    let (keys, values) = ([c"max_mem".as_ptr()], [most]);
    let (mut arena, mut place) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: keys and values have the length that is given and live until the call returns, as both places do. What was
    // made is released once, when ONNX Runtime has copied it. Each status is taken once. The environment outlives its
    // sessions, and `ort` keeps it for the whole process.
    unsafe {
        let status = (api.CreateArenaCfgV2)(keys.as_ptr(), values.as_ptr(), values.len(), &raw mut arena);
        ort::Error::result_from_status(status)?;
        let status = (api.CreateCpuMemoryInfo)(
            sys::OrtAllocatorType::OrtArenaAllocator,
            sys::OrtMemType::OrtMemTypeDefault,
            &raw mut place,
        );
        let outcome = ort::Error::result_from_status(status).and_then(|()| {
            let status = (api.CreateAndRegisterAllocator)(environment.ptr().cast_mut(), place, arena);
            ort::Error::result_from_status(status)
        });
        if !place.is_null() {
            (api.ReleaseMemoryInfo)(place);
        }
        (api.ReleaseArenaCfg)(arena);
        outcome
    }
}

/// Nodes of the graph by the provider that ONNX Runtime gave them to, which is named as in a spec: `CPU`, `CUDA`. Counted
/// when the graph was shared out, before some were fused to one. Fails if the session was made without [`RECORD`].
pub(super) fn nodes_by_provider(session: &Session) -> ort::Result<BTreeMap<String, u32>> {
    let api = ort::api();
    let mut nodes = BTreeMap::new();
    let (mut parts, mut count) = (ptr::null::<*const sys::OrtEpAssignedSubgraph>(), 0_usize);
    // SAFETY: the session is borrowed, and both places live until the call returns. The status is taken once.
    unsafe {
        let status = (api.Session_GetEpGraphAssignmentInfo)(session.ptr(), &raw mut parts, &raw mut count);
        ort::Error::result_from_status(status)?;
    }
    // SAFETY: so many parts are there, and belong to the session; an array without any may be null.
    let parts = if parts.is_null() { &[] } else { unsafe { slice::from_raw_parts(parts, count) } };
    for part in parts {
        let (mut name, mut inside, mut count) = (ptr::null::<c_char>(), ptr::null(), 0_usize);
        // SAFETY: the part is the session's; the places live until the calls return. Each status is taken once. The name
        // ends with a NUL and is the session's too.
        let name = unsafe {
            ort::Error::result_from_status((api.EpAssignedSubgraph_GetEpName)(*part, &raw mut name))?;
            let status = (api.EpAssignedSubgraph_GetNodes)(*part, &raw mut inside, &raw mut count);
            ort::Error::result_from_status(status)?;
            if name.is_null() { String::new() } else { CStr::from_ptr(name).to_string_lossy().into_owned() }
        };
        let name = name.strip_suffix(SUFFIX).unwrap_or(&name).to_owned();
        *nodes.entry(name).or_default() += u32::try_from(count).unwrap_or(u32::MAX);
    }
    Ok(nodes)
}

/// Gives memory that is not in use back to the system. Loading a model leaves some that no request needs, and the C library
/// would keep it for itself.
pub(super) fn give_back_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes a number of bytes to keep, and may be called by any thread at any time (malloc_trim(3)).
    unsafe {
        libc::malloc_trim(0);
    }
}
