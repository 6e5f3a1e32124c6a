//! Why a write failed, and what that says of other writes. Pure.

use std::sync::Arc;

use crate::k8s::{
    controller::{STALE, chain},
    lease::NotLeading,
};

/// Why a write failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ApplyError {
    /// An object of that name belongs to somebody else. Permanent: a person renames one of the two.
    #[error("{kind} {name} exists and does not belong to this object")]
    NameTaken {
        /// Kind of the stranger.
        kind: String,
        /// Name of the stranger.
        name: String,
    },
    /// The object of that name is being deleted; wait.
    #[error("{kind} {name} is being deleted")]
    Terminating {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
    },
    /// The object of that name is what is left of a deleted one with the name of this: garbage collection removes it; wait.
    #[error(
        "{kind} {name} is of a deleted object with the same name, and garbage collection has not removed it yet"
    )]
    Remains {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
    },
    /// What was written was changed at once, by a policy or a webhook. Permanent: a person changes that.
    #[error(
        "{kind} {name}: something in the cluster changes {fields} at every write, so it cannot be put back; look for a mutating policy or webhook"
    )]
    Overruled {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
        /// Paths of what was changed.
        fields: String,
        /// The object as it is after it, in short.
        left: String,
    },
    /// The cache was behind: what was read is not what is there.
    #[error("{kind} {name} changed since it was read")]
    Stale {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
    },
    /// The API server refuses the object (a quota, a policy, a missing right).
    #[error("{kind} {name} was refused: {message}")]
    Refused {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
        /// The API server's words.
        message: String,
    },
    /// The Lease is lost.
    #[error(transparent)]
    NotLeading(#[from] NotLeading),
    /// The API server did not answer, or not sensibly.
    #[error("{kind} {name} was not written")]
    Api {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
        /// What the client says.
        #[source]
        source: Arc<kube::Error>,
    },
}

impl ApplyError {
    /// The static label for metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::NameTaken { .. } => "name_taken",
            Self::Terminating { .. } => "terminating",
            Self::Remains { .. } => "remains",
            Self::Overruled { .. } => "overruled",
            Self::Stale { .. } => STALE,
            Self::Refused { .. } => "refused",
            Self::NotLeading(_) => "not_leading",
            Self::Api { .. } => "api",
        }
    }

    /// One CamelCase word, for conditions.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NameTaken { .. } => "NameTaken",
            Self::Refused { .. } => "Refused",
            Self::Overruled { .. } => "Overruled",
            Self::Terminating { .. } => "Terminating",
            Self::Remains { .. } => "PredecessorRemains",
            Self::Stale { .. } | Self::NotLeading(_) | Self::Api { .. } => "Unwritten",
        }
    }

    /// What it is and what to do, for people; `asker` is the kind of what the write was made for.
    pub fn words(&self, asker: &str) -> String {
        match self {
            Self::NameTaken { kind, name } => format!(
                "{kind} {name} exists and belongs to somebody else; rename or delete it, or rename this {asker}"
            ),
            Self::Terminating { kind, name } => format!(
                "{kind} {name} is being deleted, and is made again as soon as it is gone; if it stays, look at its finalizers"
            ),
            _ => chain(self),
        }
    }

    /// Whether it says something of this one write alone, so that others are tried all the same: the API server answered,
    /// and what the write was decided on still holds.
    pub fn concerns_one_write(&self) -> bool {
        match self {
            Self::NameTaken { .. }
            | Self::Terminating { .. }
            | Self::Remains { .. }
            | Self::Overruled { .. }
            | Self::Refused { .. } => true,
            Self::Api { source, .. } => matches!(**source, kube::Error::Api(_)),
            Self::Stale { .. } | Self::NotLeading(_) => false,
        }
    }

    /// Whether it ends by itself: what is in the way is on its way out.
    pub fn waits(&self) -> bool {
        matches!(self, Self::Terminating { .. } | Self::Remains { .. })
    }

    pub(super) fn of(kind: &str, name: &str, error: kube::Error) -> Self {
        let (kind, name) = (kind.to_owned(), name.to_owned());
        match error {
            kube::Error::Service(source) if source.is::<NotLeading>() => Self::NotLeading(NotLeading),
            // what is gone by now was there when it was read
            kube::Error::Api(status) if status.is_conflict() || status.is_not_found() => {
                Self::Stale { kind, name }
            }
            kube::Error::Api(status) if status.is_forbidden() || status.is_invalid() => {
                Self::Refused { kind, name, message: status.message }
            }
            source => Self::Api { kind, name, source: Arc::new(source) },
        }
    }
}
