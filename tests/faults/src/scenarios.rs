//! What people do with Modelwright, each from a world that is at rest, and how each ends.

mod scripts;

use std::sync::OnceLock;

use futures::FutureExt as _;
use scripts::{
    abort, back_and_forth, create_again, delete, delete_at_once, edit, edit_seen_late, fails, fails_again,
    idle_abort, import, late_policy, lose_statuses, lost_pod, policy, restore, retry, revert, roll, scale,
    serve, train, two_leaders, two_operators, two_releases,
};

use crate::{
    faults::{Blur, Fault, How},
    world::{Script, Snapshot, play},
};

/// A scenario.
#[derive(Clone, Copy)]
pub struct Scenario {
    pub name: &'static str,
    /// What was before.
    pub after: Before,
    /// How many Jobs, versions, revisions and ReplicaSets are made in it.
    pub makes: [usize; 4],
    /// Most seconds that it takes, 40 of them at its end, when nothing more happens.
    pub within: u64,
    pub script: Script,
    /// Where faults may have it end otherwise.
    pub others: &'static [Other],
}

/// Another right end: that of another script, without faults, in the same world.
#[derive(Clone, Copy)]
pub struct Other {
    pub name: &'static str,
    pub script: Script,
    /// Whether this fault may bring it about.
    pub after: fn(&Fault) -> bool,
}

/// What was before a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Before {
    Nothing,
    /// A Model of one version, imported.
    Imported,
    /// The same with a ModelDeployment of two pods.
    Served,
    /// The same with a second version that took over from the first.
    Rolled,
    /// What a backup of the second kind of world brings back into an empty namespace.
    Restored,
}

impl Before {
    /// The world that was; it is made once.
    pub fn world(self) -> Snapshot {
        static KNOWN: [OnceLock<Snapshot>; 4] = [const { OnceLock::new() }; 4];
        let (place, before, script): (_, _, Script) = match self {
            Self::Nothing => return Snapshot::empty(),
            Self::Imported => (0, Self::Nothing, |world| import(world).boxed()),
            Self::Served => (1, Self::Imported, |world| serve(world).boxed()),
            Self::Rolled => (2, Self::Served, |world| roll(world).boxed()),
            Self::Restored => return Self::Rolled.world().restored(),
        };
        let known = KNOWN[place].get_or_init(|| {
            let outcome = play(&before.world(), script, &[]);
            assert!(outcome.broken.is_empty(), "{self:?}: {:?}", outcome.broken);
            outcome.snapshot
        });
        known.clone()
    }
}

const fn scenario(
    name: &'static str,
    after: Before,
    makes: [usize; 4],
    within: u64,
    script: Script,
) -> Scenario {
    Scenario { name, after, makes, within, script, others: &[] }
}

impl Scenario {
    const fn or(self, others: &'static [Other]) -> Self {
        Self { others, ..self }
    }
}

/// What keeps the operator from seeing, or doing, something for seconds.
fn delays(fault: &Fault) -> bool {
    match fault {
        Fault::Watch { blur, .. } => *blur != Blur::Cut,
        Fault::Call { how, .. } | Fault::Lease { how, .. } => {
            !matches!(how, How::AnswerLost | How::Conflicts)
        }
        Fault::Outage { .. } => true,
        Fault::Answer { .. } => false,
    }
}

const SEEN_LATE: Other = Other {
    name: "version 2 was promoted before version 3 was seen",
    script: |world| edit_seen_late(world).boxed(),
    after: delays,
};

/// All of them.
pub const ALL: &[Scenario] = &[
    scenario("import", Before::Nothing, [1, 1, 0, 0], 50, |world| import(world).boxed()),
    scenario("train", Before::Nothing, [1, 1, 0, 0], 60, |world| train(world).boxed()),
    scenario("lost pod", Before::Nothing, [2, 1, 0, 0], 60, |world| lost_pod(world).boxed()),
    scenario("first start", Before::Imported, [0, 0, 1, 1], 50, |world| serve(world).boxed()),
    scenario("roll", Before::Served, [1, 1, 1, 1], 120, |world| roll(world).boxed()),
    scenario("revert", Before::Rolled, [0, 0, 0, 1], 110, |world| revert(world).boxed()),
    scenario("abort", Before::Served, [1, 1, 1, 1], 100, |world| abort(world).boxed()),
    scenario("idle abort", Before::Served, [0, 0, 0, 0], 50, |world| idle_abort(world).boxed()),
    scenario("retry", Before::Served, [1, 1, 1, 1], 120, |world| retry(world).boxed()),
    scenario("rollback", Before::Served, [1, 1, 1, 1], 240, |world| fails(world, "broken").boxed()),
    scenario("wrong model", Before::Served, [1, 1, 1, 1], 240, |world| fails(world, "wrong").boxed()),
    scenario("no model", Before::Served, [1, 1, 1, 1], 240, |world| fails(world, "empty").boxed()),
    scenario("silent pods", Before::Served, [1, 1, 1, 1], 240, |world| fails(world, "silent").boxed()),
    scenario("back and forth", Before::Served, [1, 1, 1, 1], 240, |world| back_and_forth(world).boxed()),
    scenario("rollback in a rollback", Before::Served, [2, 2, 2, 2], 110, |world| fails_again(world).boxed()),
    scenario("scale", Before::Served, [0, 0, 0, 0], 100, |world| scale(world).boxed()),
    scenario("edit in mid-rollout", Before::Served, [2, 2, 2, 2], 130, |world| edit(world).boxed())
        .or(&[SEEN_LATE]),
    scenario("delete", Before::Served, [0, 0, 0, 0], 50, |world| delete(world).boxed()),
    scenario("delete at once", Before::Imported, [0, 0, 0, 0], 50, |world| delete_at_once(world).boxed()),
    scenario("delete and create", Before::Served, [0, 0, 1, 1], 50, |world| create_again(world).boxed()),
    scenario("restore", Before::Restored, [0, 0, 0, 1], 100, |world| restore(world).boxed()),
    scenario("lost statuses", Before::Served, [1, 1, 1, 1], 120, |world| lose_statuses(world).boxed()),
    scenario("policy", Before::Nothing, [2, 2, 2, 2], 120, |world| policy(world).boxed()),
    scenario("late policy", Before::Served, [1, 1, 1, 1], 130, |world| late_policy(world).boxed()),
    scenario("two operators", Before::Served, [1, 1, 1, 1], 140, |world| two_operators(world).boxed()),
    scenario("two leaders", Before::Served, [1, 1, 1, 1], 120, |world| two_leaders(world).boxed()),
    scenario("two releases", Before::Served, [2, 2, 2, 2], 120, |world| two_releases(world).boxed()),
];
