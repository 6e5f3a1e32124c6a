//! What a model takes and gives, as the protocol has it. In goes a loaded model; out come its signature, where each output
//! of it is in the model, and the names of its classes.

use modelwright_contract::signature::{Signature, TensorSpec};
use ort::{
    session::OverridableInitializer,
    value::{Outlet, ValueType},
};

use super::{
    LoadError,
    maps::{self, Part},
    value::datatype,
};
use crate::classes;

/// Key of a model's metadata that names its classes.
const LABELS: &str = "classes";
/// Most initializers that are inputs, too: some exporters list all weights among the inputs, which nobody means to send.
const MAX_OPTIONAL: usize = 16;

/// Which output of a model one of the signature is, and which part of it.
pub(super) type Place = (usize, Part);

/// A loaded model's signature, and where each of its outputs is.
pub(super) fn read(session: &ort::session::Session) -> Result<(Signature, Vec<Place>), LoadError> {
    let inputs = session.inputs().iter().map(|tensor| spec("input", tensor)).collect::<Result<_, _>>()?;
    let (outputs, parts) = outputs(session)?;
    let mut signature = Signature { inputs, optional_inputs: optional_inputs(session), outputs };
    classes::name_by_metadata(&mut signature, &labels(session));
    Ok((signature, parts))
}

/// Initializers that a request may give another value.
fn optional_inputs(session: &ort::session::Session) -> Vec<TensorSpec> {
    let stored = session.overridable_initializers();
    if stored.len() > MAX_OPTIONAL {
        return Vec::new();
    }
    let spec = |stored: &OverridableInitializer| {
        let ValueType::Tensor { ty, shape, .. } = stored.dtype() else { return None };
        let shape = shape.iter().map(|size| (*size).max(-1)).collect();
        let (name, datatype) = (stored.name().to_owned(), datatype(*ty)?.name().to_owned());
        Some(TensorSpec { name, datatype, shape, ..TensorSpec::default() })
    };
    stored.iter().filter_map(spec).collect()
}

fn outputs(session: &ort::session::Session) -> Result<(Vec<TensorSpec>, Vec<Place>), LoadError> {
    let (mut specs, mut parts) = (Vec::new(), Vec::new());
    for (place, outlet) in session.outputs().iter().enumerate() {
        if let Some(both) = maps::specs(outlet.name(), outlet.dtype()) {
            for (part, spec) in both {
                specs.push(spec);
                parts.push((place, part));
            }
        } else {
            specs.push(spec("output", outlet)?);
            parts.push((place, Part::Whole));
        }
    }
    Ok((specs, parts))
}

/// Names of classes in a model's metadata.
pub(super) fn labels(session: &ort::session::Session) -> Vec<String> {
    let text = session.metadata().ok().and_then(|metadata| metadata.custom(LABELS));
    let values: Vec<serde_json::Value> =
        text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let label = |value: serde_json::Value| match value {
        serde_json::Value::String(label) => label,
        other => other.to_string(),
    };
    values.into_iter().map(label).collect()
}

/// Input by input, the names of its axes; empty where one has none.
pub(super) fn symbols(session: &ort::session::Session) -> Vec<Vec<String>> {
    let axes = |outlet: &Outlet| match outlet.dtype() {
        ValueType::Tensor { dimension_symbols, .. } => {
            dimension_symbols.iter().map(ToString::to_string).collect()
        }
        _ => Vec::new(),
    };
    session.inputs().iter().map(axes).collect()
}

fn spec(direction: &'static str, outlet: &Outlet) -> Result<TensorSpec, LoadError> {
    let unsupported = |kind: String| LoadError::UnsupportedValue {
        direction,
        name: outlet.name().to_owned(),
        kind,
        hint: match outlet.dtype() {
            // Elements may differ in shape and number, which no tensor's shape says.
            ValueType::Sequence(inner) if matches!(**inner, ValueType::Tensor { .. }) => {
                "; end the graph with ConcatFromSequence (new_axis=1 where all have the same shape), or with SequenceAt for \
                 each of them, so that its outputs are tensors"
            }
            ValueType::Sequence(_) | ValueType::Map { .. } => {
                "; export it as a tensor. Of maps, those with keys of text or INT64 and values of FP32 are served (ZipMap)"
            }
            _ => {
                "; change the export so that it is one of BOOL, INT8 to INT64, UINT8 to UINT64, FP16, BF16, FP32, FP64, BYTES"
            }
        },
    };
    let ValueType::Tensor { ty, shape, dimension_symbols } = outlet.dtype() else {
        return Err(unsupported(match outlet.dtype() {
            ValueType::Sequence(inner) if matches!(**inner, ValueType::Tensor { .. }) => {
                "a sequence of tensors".to_owned()
            }
            ValueType::Sequence(_) => "a sequence".to_owned(),
            ValueType::Map { .. } => "a map".to_owned(),
            _ => "an optional value".to_owned(),
        }));
    };
    let datatype = datatype(*ty).ok_or_else(|| unsupported(format!("a tensor of {ty}")))?;
    let spec = TensorSpec {
        name: outlet.name().to_owned(),
        datatype: datatype.name().to_owned(),
        shape: shape.iter().map(|size| (*size).max(-1)).collect(),
        ..TensorSpec::default()
    };
    Ok(spec.with_dimensions(dimension_symbols.iter().map(AsRef::as_ref)))
}
