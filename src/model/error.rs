//! Why a Model was not reconciled. Pure.

use crate::k8s::{
    apply::ApplyError, controller::ReconcileError, objects::Unrenderable, refusals::WriteError,
};

/// Why a Model was not reconciled.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A write failed.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// An object cannot be rendered.
    #[error(transparent)]
    Render(#[from] Unrenderable),
    /// The API server did not tell what there is: versions, who uses them, or pods of runs.
    #[error("what belongs to the Model cannot be listed")]
    Fetch {
        /// What the client says.
        #[source]
        source: Box<kube::Error>,
    },
}

impl ModelError {
    /// What was read is not what is there, or another process leads: no status is made from what was read.
    pub(super) fn is_out_of_date(&self) -> bool {
        use ApplyError::{NotLeading, Stale};
        matches!(self, Self::Apply(Stale { .. } | NotLeading(_)))
    }
}

impl From<kube::Error> for ModelError {
    fn from(source: kube::Error) -> Self {
        Self::Fetch { source: Box::new(source) }
    }
}

impl WriteError for ModelError {
    fn concerns_one_write(&self) -> bool {
        matches!(self, Self::Apply(error) if error.concerns_one_write())
    }
}

impl ReconcileError for ModelError {
    fn label(&self) -> &'static str {
        match self {
            Self::Apply(error) => error.label(),
            Self::Render(_) => "render",
            Self::Fetch { .. } => "fetch",
        }
    }
}
