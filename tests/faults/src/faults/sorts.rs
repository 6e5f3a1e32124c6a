//! The sorts of faults.

use crate::kinds::Kind;

/// How a call goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum How {
    /// The process ends before it is carried out.
    CrashBefore,
    /// The process ends when it was carried out.
    CrashAfter,
    /// The API server fails.
    Fails,
    /// Nothing comes back, and it was not carried out.
    TimesOut,
    /// It is carried out, and the answer is lost.
    AnswerLost,
    /// Somebody else was first.
    Conflicts,
    /// The API server is busy, also for whoever tries again.
    TooMany,
}

impl How {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::CrashBefore,
        Self::CrashAfter,
        Self::Fails,
        Self::TimesOut,
        Self::AnswerLost,
        Self::Conflicts,
        Self::TooMany,
    ];

    /// Whether it can befall a call.
    pub fn befalls(self, is_write: bool) -> bool {
        is_write || matches!(self, Self::Fails | Self::TimesOut | Self::TooMany)
    }
}

/// How a watch goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Blur {
    /// It tells nothing for a while.
    Frozen,
    /// It tells everything late.
    Lags,
    /// It ends, since what it goes on from is too old.
    Cut,
    /// It starts anew, from a list that is old.
    OldList,
}

impl Blur {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Frozen, Self::Lags, Self::Cut, Self::OldList];
}

/// How the answer of a pod goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lie {
    /// It comes after nobody waits any more.
    Late,
    /// It names another model.
    WrongDigest,
    /// It is ready and has no model.
    NoModel,
}

impl Lie {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Late, Self::WrongDigest, Self::NoModel];
}

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// Of the operator's call of this number.
    Call { at: usize, how: How },
    /// Of a watch, from the operator's call of this number on.
    Watch { kind: Kind, at: usize, blur: Blur },
    /// Of the answer to the operator's question of this number.
    Answer { at: usize, lie: Lie },
    /// Of the Lease's request of this number.
    Lease { at: usize, how: How },
    /// Of the Lease's requests of one process, from this number on, until another may have taken it.
    Outage { at: usize },
}
