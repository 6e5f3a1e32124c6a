//! Which execution provider runs which part of a graph. In goes a loaded session; out come counts of nodes. Unsafe, since
//! `ort` has no words for it: each call reads what belongs to the session, while it is borrowed.
#![allow(unsafe_code)]

use std::{
    collections::BTreeMap,
    ffi::{CStr, c_char},
    ptr, slice,
};

use ort::{AsPointer, session::Session, sys};

/// The option under which ONNX Runtime remembers it.
pub(super) const RECORD: &str = "session.record_ep_graph_assignment_info";
/// How its names of providers end.
const SUFFIX: &str = "ExecutionProvider";

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
