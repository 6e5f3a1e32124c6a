//! `inspect`: says what a model is, without a cluster. In goes the path of a file or folder; out comes text for people
//! or JSON.

use std::{
    collections::BTreeMap,
    fmt::{self, Write},
    path::{Path, PathBuf},
};

use modelwright_contract::{
    artifact::{DESCRIPTION_FILE, Description, METADATA_DIRECTORY, MODEL_FILE},
    rows::RowIndependence,
    signature::{MAX_VERSION_LABELS, Signature, TensorSpec},
};
use serde::Serialize;

use modelwright_core::{
    classes,
    digest::{self, DigestError},
    onnx::{self, OnnxError},
    rows,
    session::{LoadError, Session, SessionOptions},
};

/// A model that cannot be inspected.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The file is refused before it is loaded.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    #[error(transparent)]
    Digest(#[from] DigestError),
    #[error(transparent)]
    Load(#[from] LoadError),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Inspection {
    pub path: PathBuf,
    /// SHA-256 of the graph's file alone: what `spec.source.sha256` of a single file is.
    pub sha256: String,
    /// The model digest, as ModelVersions and responses name it.
    pub model_digest: String,
    /// Bytes over the graph and its external data.
    pub size_bytes: u64,
    /// Version of the file format.
    pub ir_version: i64,
    /// Versions of the operator sets by domain.
    pub operator_sets: BTreeMap<String, i64>,
    pub external_data: Vec<String>,
    pub signature: Signature,
    /// Whether requests may share runs of it, as its graph shows.
    pub row_independence: RowIndependence,
    /// Metrics of its training, if the folder is an artifact that holds them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, String>,
    /// The ONNX Runtime that read it.
    pub onnx_runtime: String,
}

/// Inspects a file, or the `model.onnx` of a folder.
pub fn inspect(path: &Path) -> Result<Inspection, InspectError> {
    let graph = if path.is_dir() { path.join(MODEL_FILE) } else { path.to_owned() };
    let folder = graph.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = graph.file_name().and_then(|name| name.to_str()).unwrap_or(MODEL_FILE);
    let preflight = onnx::judge(folder, name)?;
    let session = Session::load(&graph, &SessionOptions::default())?;
    let mut signature = session.signature().clone();
    classes::name_by_file(&mut signature, &graph);
    let in_artifact = |file: &String| if file == name { MODEL_FILE.to_owned() } else { file.clone() };
    let listed = preflight.files.iter().map(|file| (in_artifact(file), folder.join(file))).collect();
    let files = digest::listed_files(&listed)?;
    let metrics = metrics(folder, &files.digest);
    Ok(Inspection {
        path: path.to_owned(),
        sha256: digest::hash_file(&graph)?.sha256,
        model_digest: files.digest,
        size_bytes: files.size_bytes,
        ir_version: preflight.ir_version,
        operator_sets: preflight.opsets,
        external_data: preflight.files.into_iter().filter(|file| file != name).collect(),
        signature,
        row_independence: rows::of_file(&graph),
        metrics,
        onnx_runtime: session.onnxruntime_version().to_owned(),
    })
}

/// The metrics that a folder's description gives to this very model.
fn metrics(folder: &Path, model_digest: &str) -> BTreeMap<String, String> {
    let path = folder.join(METADATA_DIRECTORY).join(DESCRIPTION_FILE);
    let description =
        std::fs::read(path).ok().and_then(|text| serde_json::from_slice::<Description>(&text).ok());
    description.filter(|it| it.model_digest == model_digest).map(|it| it.metrics).unwrap_or_default()
}

impl fmt::Display for Inspection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sets: Vec<String> =
            self.operator_sets.iter().map(|(domain, version)| format!("{domain} {version}")).collect();
        writeln!(formatter, "model          {}", self.path.display())?;
        writeln!(formatter, "size           {} bytes", self.size_bytes)?;
        writeln!(formatter, "file sha256    {}", self.sha256)?;
        writeln!(formatter, "model digest   {}", self.model_digest)?;
        writeln!(formatter, "operator sets  {}", sets.join(", "))?;
        writeln!(formatter, "format         IR version {}", self.ir_version)?;
        if !self.external_data.is_empty() {
            writeln!(formatter, "external data  {}", self.external_data.join(", "))?;
        }
        writeln!(formatter, "read by        ONNX Runtime {}", self.onnx_runtime)?;
        let widest =
            self.signature.inputs.iter().chain(&self.signature.outputs).map(|t| t.name.chars().count()).max();
        for (title, tensors) in [
            ("inputs", &self.signature.inputs),
            ("optional inputs", &self.signature.optional_inputs),
            ("outputs", &self.signature.outputs),
        ] {
            if tensors.is_empty() && title == "optional inputs" {
                continue;
            }
            writeln!(formatter, "{title}")?;
            for tensor in tensors {
                writeln!(formatter, "  {}", line(tensor, widest.unwrap_or_default())?)?;
            }
        }
        writeln!(formatter, "rows independent: {}", self.row_independence)?;
        if !self.metrics.is_empty() {
            writeln!(formatter, "metrics")?;
            let widest = self.metrics.keys().map(|name| name.chars().count()).max().unwrap_or_default();
            for (name, value) in &self.metrics {
                writeln!(formatter, "  {name:widest$}  {value}")?;
            }
        }
        Ok(())
    }
}

fn line(tensor: &TensorSpec, width: usize) -> Result<String, fmt::Error> {
    let mut text = String::new();
    write!(text, "{:width$}  {:6}  [", tensor.name, tensor.datatype)?;
    for (index, size) in tensor.shape.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        // What any size fits is easier to read as a word than as -1.
        let name = tensor.dimensions.get(index).map(String::as_str).filter(|name| !name.is_empty());
        if *size < 0 {
            write!(text, "{comma}{}", name.unwrap_or("any"))?;
        } else {
            write!(text, "{comma}{size}")?;
        }
    }
    text.push(']');
    if let Some(classes) = &tensor.classes {
        write!(text, "  {} classes", classes.count)?;
        let shown: Vec<_> =
            classes.labels.iter().take(MAX_VERSION_LABELS).map(|label| format!("{label:?}")).collect();
        if !shown.is_empty() {
            let more = if shown.len() as u64 == classes.count { "" } else { ", …" };
            write!(text, ": {}{more}", shown.join(", "))?;
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use modelwright_contract::signature::Classes;

    use super::*;

    #[test]
    fn a_persons_view_lines_up_and_spells_out_free_sizes() {
        let tensor = |name: &str, shape: &[i64]| TensorSpec {
            name: name.to_owned(),
            datatype: "FP32".to_owned(),
            shape: shape.to_vec(),
            ..TensorSpec::default()
        };
        let inspection = Inspection {
            path: "digits.onnx".into(),
            sha256: "aa".to_owned(),
            model_digest: "bb".to_owned(),
            size_bytes: 7,
            ir_version: 10,
            operator_sets: BTreeMap::from([("ai.onnx".to_owned(), 21), ("ai.onnx.ml".to_owned(), 3)]),
            external_data: Vec::new(),
            signature: Signature {
                inputs: vec![tensor("image", &[-1, 1, 28, -1]).with_dimensions(["rows", "", "", ""])],
                optional_inputs: Vec::new(),
                outputs: vec![
                    TensorSpec {
                        classes: Some(Classes::of(["cat", "dog"].map(str::to_owned))),
                        ..tensor("probabilities", &[-1, 2])
                    },
                    tensor("n", &[]),
                ],
            },
            row_independence: RowIndependence::not(Some("n"), "ReduceSum: it sums"),
            metrics: BTreeMap::from([
                ("Accuracy".to_owned(), "0.98".to_owned()),
                ("F1Macro".to_owned(), "0.97".to_owned()),
            ]),
            onnx_runtime: "1.31.1".to_owned(),
        };
        assert_eq!(
            inspection.to_string(),
            "model          digits.onnx\n\
             size           7 bytes\n\
             file sha256    aa\n\
             model digest   bb\n\
             operator sets  ai.onnx 21, ai.onnx.ml 3\n\
             format         IR version 10\n\
             read by        ONNX Runtime 1.31.1\n\
             inputs\n\
             \x20 image          FP32    [rows, 1, 28, any]\n\
             outputs\n\
             \x20 probabilities  FP32    [any, 2]  2 classes: \"cat\", \"dog\"\n\
             \x20 n              FP32    []\n\
             rows independent: no, because of \"n\" (ReduceSum: it sums)\n\
             metrics\n\
             \x20 Accuracy  0.98\n\
             \x20 F1Macro   0.97\n"
        );
    }
}
