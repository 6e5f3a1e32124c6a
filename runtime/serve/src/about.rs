//! What the artifact says of its model beyond its signature, for the page and the OpenAPI document. In goes the model's
//! folder; out comes [`About`].

use std::{collections::BTreeMap, fs, path::Path};

use bytes::Bytes;
use modelwright_contract::{
    artifact::{
        Confusion, DESCRIPTION_FILE, Description, GoldenSamples, GoldenSource, GoldenTensor,
        METADATA_DIRECTORY,
    },
    signature::{Classes, Signature},
};

use super::curves;

/// Most examples that are shown.
const MAX_EXAMPLES: usize = 3;
/// Largest example, in bytes of base64.
const MAX_EXAMPLE: usize = 256 * 1024;
const MAX_DESCRIPTION: u64 = 4 * 1024 * 1024;

/// What people are told of a model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct About {
    /// Metrics by name, measured on the test part.
    pub metrics: BTreeMap<String, String>,
    /// What it answered to which truth.
    pub confusion: Option<Confusion>,
    /// Inputs that it answers. Only made-up ones: rows of a test part may be somebody's.
    pub examples: Vec<Vec<GoldenTensor>>,
    pub classes: BTreeMap<String, Classes>,
    /// A picture of how it was trained.
    pub curves: Option<Bytes>,
}

impl About {
    /// Names the classes of outputs as they were named when the model was proven.
    pub fn name_classes(&self, signature: &mut Signature) {
        for output in &mut signature.outputs {
            if let Some(classes) = self.classes.get(&output.name) {
                output.classes = Some(classes.clone());
            }
        }
    }
}

/// Reads what there is. A description that cannot be read is none: it decides nothing.
pub fn read(folder: &Path, golden: Option<&GoldenSamples>) -> About {
    let description = read_description(folder);
    let samples = golden.filter(|golden| golden.source == GoldenSource::Synthetic);
    let size = |inputs: &[GoldenTensor]| inputs.iter().map(|tensor| tensor.data.len()).sum::<usize>();
    About {
        curves: curves::read(folder),
        examples: samples
            .into_iter()
            .flat_map(|golden| &golden.samples)
            .map(|sample| sample.inputs.clone())
            .filter(|inputs| size(inputs) <= MAX_EXAMPLE)
            .take(MAX_EXAMPLES)
            .collect(),
        classes: description
            .iter()
            .flat_map(|description| &description.signature.outputs)
            .filter_map(|output| Some((output.name.clone(), output.classes.clone()?)))
            .collect(),
        metrics: description.as_ref().map(|description| description.metrics.clone()).unwrap_or_default(),
        confusion: description.and_then(|description| description.confusion),
    }
}

fn read_description(folder: &Path) -> Option<Description> {
    let path = folder.join(METADATA_DIRECTORY).join(DESCRIPTION_FILE);
    let size = fs::metadata(&path).ok()?.len();
    let read = || -> Result<Description, String> {
        if size > MAX_DESCRIPTION {
            return Err(format!("{size} bytes, at most {MAX_DESCRIPTION}"));
        }
        let text = fs::read(&path).map_err(|error| error.to_string())?;
        serde_json::from_slice(&text).map_err(|error| error.to_string())
    };
    read().inspect_err(|why| tracing::warn!(path = %path.display(), why, "the description is not shown")).ok()
}
