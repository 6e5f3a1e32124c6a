//! Why a ModelDeployment was not reconciled, and what that means for what else there is to do. Pure.

use std::time::Duration;

use crate::k8s::{
    apply::ApplyError, controller::ReconcileError, objects::Unrenderable, refusals::WriteError,
};

/// Why a ModelDeployment was not reconciled.
#[derive(Debug, thiserror::Error)]
pub enum DeploymentError {
    /// A write failed.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// An object cannot be rendered.
    #[error(transparent)]
    Render(#[from] Unrenderable),
    /// The API server did not tell what there is.
    #[error("the objects of the ModelDeployment cannot be listed")]
    Fetch {
        /// What the client says.
        #[source]
        source: Box<kube::Error>,
    },
    /// A person's request could not be removed.
    #[error("the request that is done with cannot be removed from the status")]
    Request {
        /// What the client says.
        #[source]
        source: Box<kube::Error>,
    },
    /// Some writes did not succeed; all others did.
    #[error("reconciled in part: {source}")]
    InPart {
        /// The first of them.
        source: Box<DeploymentError>,
        /// When what did succeed has to be looked at again.
        again: Duration,
    },
}

impl DeploymentError {
    pub(super) fn is_out_of_date(&self) -> bool {
        matches!(self, Self::Apply(ApplyError::Stale { .. }))
    }

    /// Whether it ends by itself: what is in the way is on its way out.
    pub fn waits(&self) -> bool {
        matches!(self, Self::Apply(error) if error.waits())
    }
}

impl WriteError for DeploymentError {
    fn concerns_one_write(&self) -> bool {
        match self {
            Self::Apply(error) => error.concerns_one_write(),
            Self::Render(_) => true,
            Self::Request { source } => matches!(**source, kube::Error::Api(_)),
            Self::Fetch { .. } | Self::InPart { .. } => false,
        }
    }
}

impl ReconcileError for DeploymentError {
    fn label(&self) -> &'static str {
        match self {
            Self::Apply(error) => error.label(),
            Self::Render(_) => "render",
            Self::Fetch { .. } => "fetch",
            Self::Request { .. } => "request",
            Self::InPart { source, .. } => source.label(),
        }
    }

    fn longest_wait(&self) -> Option<Duration> {
        match self {
            Self::InPart { again, .. } => Some(*again),
            _ => None,
        }
    }
}
