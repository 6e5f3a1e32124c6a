//! Why a model is refused. In go errors of loading, running and measuring it; out come reasons and messages.

use std::path::Path;

use crate::{evaluation::EvaluationError, publish::error::Refusal};
use modelwright_core::{golden::ReplayError, onnx, session::LoadError};

/// A model that is refused.
pub type Refused = (Refusal, String);

pub fn load_refusal(error: &LoadError, folder: &Path) -> Refused {
    match error {
        LoadError::UnsupportedValue { .. } => (Refusal::UnsupportedSignature, error.to_string()),
        LoadError::Refused { why, .. } if names_version(why) => {
            (Refusal::UnsupportedOperatorSet, newer_than_known(folder))
        }
        _ => (Refusal::LoadFailed, error.to_string()),
    }
}

/// What the file says of itself; ONNX Runtime's own words are about its source code.
fn newer_than_known(folder: &Path) -> String {
    let own = onnx::preflight(folder).map_or_else(
        |error| error.to_string(),
        |summary| {
            let sets: Vec<_> =
                summary.opsets.iter().map(|(domain, version)| format!("{domain} {version}")).collect();
            format!("operator sets {}, file format {}", sets.join(", "), summary.ir_version)
        },
    );
    format!(
        "the model is of a newer version of ONNX than ONNX Runtime knows here ({own}); export it for an older one, for \
         example with opset_version=21"
    )
}

/// Whether ONNX Runtime's words are about a version that it does not know yet.
fn names_version(why: &str) -> bool {
    why.contains("is under development") || why.contains("Unsupported model IR version")
}

pub fn evaluation_refusal(error: EvaluationError) -> Refused {
    let reason = match &error {
        EvaluationError::Part(_) | EvaluationError::Npz(_) => Refusal::InvalidEvaluation,
        EvaluationError::Outputs(_) => Refusal::InvalidOutputs,
        EvaluationError::Run { .. } => Refusal::RunFailed,
        EvaluationError::NotReproducible(_) => Refusal::NotReproducible,
    };
    (reason, error.to_string())
}

pub fn replay_refusal(error: ReplayError) -> Refused {
    let reason = match &error {
        ReplayError::Run { .. } => Refusal::RunFailed,
        _ => Refusal::GoldenMismatch,
    };
    (reason, error.to_string())
}
