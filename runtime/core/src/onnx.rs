//! What an ONNX file says about itself, read before any native code touches it. In goes a folder with `model.onnx`;
//! out come its operator sets and the files that its weights lie in, or the reason why it is refused: it is no ONNX,
//! uses operators that ONNX Runtime does not have itself, or has weights outside its folder. The weights themselves
//! are not read, so that a model of any size takes the same little memory.

pub mod graph;
pub mod random;
mod summary;
mod wire;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, BufReader},
    path::{Path, PathBuf},
};

use modelwright_contract::artifact::{METADATA_DIRECTORY, MODEL_FILE};

pub use random::Randomness;
pub use summary::{External, FileSummary, read};
pub use wire::WireError;

use crate::path::check_path;

/// Domains whose operators ONNX Runtime has itself. The first two are the same one.
const DOMAINS: [&str; 4] = ["", "ai.onnx", "ai.onnx.ml", "com.microsoft"];
/// Domain of what ONNX Runtime makes of convolutions at its highest level of optimization: weights in blocks of as many channels
/// as the registers of that very processor hold. On another processor the blocks are read as if they were of its own size.
const BLOCKED: &str = "com.microsoft.nchwc";
/// ONNX Runtime's own mark for weights that lie at an address in memory; in a file it can only be an attack.
const MEMORY_MARK: &str = "_ORT_MEM_ADDR_";

/// A model that is refused.
#[derive(Debug, thiserror::Error)]
pub enum OnnxError {
    /// The file is not there.
    #[error("{path} is missing or no regular file; a model is a folder with {MODEL_FILE}")]
    Missing { path: PathBuf },
    #[error("{path} cannot be read: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("the file is no whole ONNX model: {why}; export it again, and check that it was copied in full")]
    NotOnnx {
        /// What is wrong with it.
        why: String,
    },
    /// It needs operators that nobody has here.
    #[error(
        "the model uses operators that ONNX Runtime does not have itself: {operators}; export it with standard \
         operators (domains ai.onnx, ai.onnx.ml, com.microsoft), as custom operator libraries are not loaded"
    )]
    CustomOperators { operators: String },
    /// It was saved for one kind of processor.
    #[error(
        "the model was saved for the one kind of processor that it was optimized on: {operators}; on another kind ONNX Runtime \
         gives wrong answers to it without an error. Take the model as it was exported, or save it again with \
         SessionOptions.graph_optimization_level of at most ORT_ENABLE_EXTENDED, never ORT_ENABLE_ALL"
    )]
    ProcessorSpecific {
        /// Which operators say so.
        operators: String,
    },
    #[error("the weights of {tensor:?} are said to lie in {location:?}, which is refused: {why}")]
    ExternalDataOutside {
        tensor: String,
        /// Where they are said to lie.
        location: String,
        why: &'static str,
    },
    /// Its weights are not there.
    #[error(
        "the weights of {tensor:?} are said to lie in {location:?} up to byte {end}, and {found}; name a folder (with \
         a trailing `/`) or an artifact that holds that file too"
    )]
    ExternalDataMissing {
        tensor: String,
        /// Where they are said to lie.
        location: String,
        /// Up to which byte.
        end: u64,
        found: String,
    },
}

impl OnnxError {
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "NoModel",
            Self::Io { .. } => "DiskFailed",
            Self::NotOnnx { .. } => "NotOnnx",
            Self::CustomOperators { .. } => "CustomOperators",
            Self::ProcessorSpecific { .. } => "ProcessorSpecific",
            Self::ExternalDataOutside { .. } => "ExternalDataOutside",
            Self::ExternalDataMissing { .. } => "ExternalDataMissing",
        }
    }

    /// Whether the same file may pass later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Io { .. })
    }
}

/// A model that may be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preflight {
    /// Version of the default domain's operator set.
    pub opset: i64,
    /// Versions of all operator sets, by domain (`ai.onnx` for the default one).
    pub opsets: BTreeMap<String, i64>,
    /// Version of the file format.
    pub ir_version: i64,
    /// Whether how long a run takes depends on values, not on shapes alone.
    pub has_loops: bool,
    /// Bytes of the longest text that the file has for a row: one label, or all where a row has a map of them.
    pub longest_text: u64,
    /// Most classes that a row has a map of, 0 where no row has one.
    pub map_entries: u64,
    /// The model's files by path relative to the folder: the graph, and those that its weights lie in.
    pub files: BTreeSet<String>,
}

/// Finds what of a folder's model is random; nothing, where its graph cannot be followed.
pub fn randomness(folder: &Path) -> Randomness {
    let file = File::open(folder.join(MODEL_FILE)).ok();
    let model = file.and_then(|file| graph::read(BufReader::with_capacity(64 * 1024, file)).ok().flatten());
    model.map(|model| random::of_model(&model)).unwrap_or_default()
}

/// Reads and judges the model of a folder.
pub fn preflight(folder: &Path) -> Result<Preflight, OnnxError> {
    judge(folder, MODEL_FILE)
}

/// Reads and judges one graph, whose weights lie beside it.
pub fn judge(folder: &Path, graph: &str) -> Result<Preflight, OnnxError> {
    let path = folder.join(graph);
    regular_size(&path).ok_or_else(|| OnnxError::Missing { path: path.clone() })?;
    let file = File::open(&path).map_err(|source| OnnxError::Io { path: path.clone(), source })?;
    let summary = read(BufReader::with_capacity(64 * 1024, file)).map_err(|error| match error {
        WireError::Io(source) => OnnxError::Io { path, source },
        other => OnnxError::NotOnnx { why: other.to_string() },
    })?;
    refuse_processor_specific(&summary)?;
    refuse_custom_operators(&summary)?;
    let mut files = BTreeSet::from([graph.to_owned()]);
    for external in &summary.external {
        files.insert(check_external(folder, external)?);
    }
    let has_loops =
        summary.operators.iter().any(|(_, operator)| matches!(operator.as_str(), "Loop" | "Scan"));
    let has_maps = summary.operators.iter().any(|(_, operator)| operator == "ZipMap");
    let longest_text = summary.longest_text.max(if has_maps { summary.longest_classes } else { 0 });
    let map_entries = if has_maps { summary.most_classes } else { 0 };
    let mut opsets = BTreeMap::new();
    for (domain, version) in summary.opsets {
        opsets.insert(if domain.is_empty() { "ai.onnx".to_owned() } else { domain }, version);
    }
    // Files without the list are older than the list, and mean the first operator set.
    let opset = opsets.get("ai.onnx").copied().unwrap_or(1);
    Ok(Preflight {
        opset,
        opsets,
        ir_version: summary.ir_version,
        has_loops,
        longest_text,
        map_entries,
        files,
    })
}

/// Whatever the domain's name stands for in the file, a function of the model's own too: nothing else may take that name.
fn refuse_processor_specific(summary: &FileSummary) -> Result<(), OnnxError> {
    let of_domain =
        summary.operators.iter().chain(&summary.functions).filter(|(domain, _)| domain == BLOCKED);
    let operators: BTreeSet<String> = of_domain.map(|(domain, name)| format!("{domain}::{name}")).collect();
    if operators.is_empty() {
        return Ok(());
    }
    let operators: Vec<String> = operators.into_iter().take(10).collect();
    Err(OnnxError::ProcessorSpecific { operators: operators.join(", ") })
}

fn refuse_custom_operators(summary: &FileSummary) -> Result<(), OnnxError> {
    let custom: Vec<String> = summary
        .operators
        .iter()
        .filter(|operator| !DOMAINS.contains(&operator.0.as_str()) && !summary.functions.contains(*operator))
        .take(10)
        .map(|(domain, name)| format!("{domain}::{name}"))
        .collect();
    if custom.is_empty() { Ok(()) } else { Err(OnnxError::CustomOperators { operators: custom.join(", ") }) }
}

/// Checks where one tensor's weights lie, and gives that file's path.
fn check_external(folder: &Path, external: &External) -> Result<String, OnnxError> {
    let outside = |why| OnnxError::ExternalDataOutside {
        tensor: external.tensor.clone(),
        location: external.location.clone(),
        why,
    };
    // Exporters write `./name` at times, which is within the folder.
    let location = external.location.strip_prefix("./").unwrap_or(&external.location);
    check_path(location).map_err(outside)?;
    if location.contains(MEMORY_MARK) {
        return Err(outside("it is an address in memory"));
    }
    if location == MODEL_FILE || location.split('/').next() == Some(METADATA_DIRECTORY) {
        return Err(outside("that name is not for weights"));
    }
    let mut path = folder.to_owned();
    for part in location.split('/') {
        path.push(part);
        if path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink()) {
            return Err(outside("it is a symbolic link"));
        }
    }
    let end = external.offset.saturating_add(external.length);
    let missing = |found: String| OnnxError::ExternalDataMissing {
        tensor: external.tensor.clone(),
        location: external.location.clone(),
        end,
        found,
    };
    let size = regular_size(&path).ok_or_else(|| missing("there is no such file".to_owned()))?;
    if end > size {
        return Err(missing(format!("the file has {size} bytes")));
    }
    Ok(location.to_owned())
}

fn regular_size(path: &Path) -> Option<u64> {
    path.symlink_metadata().ok().filter(std::fs::Metadata::is_file).map(|metadata| metadata.len())
}

#[cfg(test)]
mod tests;
