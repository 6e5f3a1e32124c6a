//! A scenario once for each fault of a kind, each held against the scenario without faults.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        LazyLock, Mutex, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use crate::{
    faults::{Blur, Fault, How, Lie},
    kinds::WATCHED,
    normal::differences,
    scenarios::{ALL, Scenario},
    world::{Outcome, Snapshot, play},
};

/// Most violations that are told of one sweep.
const TOLD: usize = 8;
/// Calls between two starts of a fault of a watch.
const STRIDE: usize = 9;

/// A scenario without faults, to hold others against.
pub struct Reference {
    pub scenario: Scenario,
    pub before: Snapshot,
    pub outcome: Outcome,
}

static KNOWN: LazyLock<Vec<OnceLock<Reference>>> =
    LazyLock::new(|| ALL.iter().map(|_| OnceLock::new()).collect());

impl Reference {
    /// That of one of all scenarios, which is run once.
    pub fn of(number: usize) -> Option<&'static Self> {
        let scenario = *ALL.get(number)?;
        let known = KNOWN.get(number)?;
        Some(known.get_or_init(|| {
            let before = scenario.after.world();
            let outcome = play(&before, scenario.script, &[]);
            Self { scenario, before, outcome }
        }))
    }

    /// What is wrong with the scenario itself.
    pub fn broken(&self) -> Vec<String> {
        let again = play(&self.before, self.scenario.script, &[]);
        let mut broken = self.outcome.broken.clone();
        broken.extend(differences(&self.outcome.state, &again.state));
        broken
    }

    /// Every call of the operator, befallen by what can befall it.
    pub fn calls(&self, hows: &[How]) -> Vec<Vec<Fault>> {
        let calls = self.outcome.plan.calls.iter().enumerate();
        let faults = calls.flat_map(|(at, call)| {
            hows.iter()
                .filter(|how| how.befalls(call.is_write))
                .map(move |how| vec![Fault::Call { at, how: *how }])
        });
        faults.collect()
    }

    /// The watch of every kind, at moments all over the scenario. One that has nothing more to tell is neither frozen nor
    /// late.
    pub fn watches(&self) -> Vec<Vec<Fault>> {
        let calls = &self.outcome.plan.calls;
        let mut all = Vec::new();
        for kind in WATCHED {
            let written = self.outcome.snapshot.log().iter().filter(|version| version.key.kind == kind);
            let last = written.map(|version| version.at).max();
            for (at, call) in calls.iter().enumerate().skip(WATCHED.len() * 2).step_by(STRIDE) {
                let has_more = last.is_some_and(|last| last > call.at);
                let can = |blur: &Blur| has_more || matches!(blur, Blur::Cut | Blur::OldList);
                all.extend(
                    Blur::ALL.into_iter().filter(can).map(|blur| vec![Fault::Watch { kind, at, blur }]),
                );
            }
        }
        all
    }

    /// Every answer of a pod.
    pub fn answers(&self) -> Vec<Vec<Fault>> {
        let asked = 0..self.outcome.plan.questions;
        asked.flat_map(|at| Lie::ALL.into_iter().map(move |lie| vec![Fault::Answer { at, lie }])).collect()
    }

    /// The first requests of the Lease.
    pub fn leases(&self, most: usize) -> Vec<Vec<Fault>> {
        let calls = self.outcome.plan.lease_calls.iter().take(most).enumerate();
        let faults = calls.flat_map(|(at, call)| {
            let hows = How::ALL.into_iter().filter(|how| how.befalls(call.is_write));
            hows.map(move |how| vec![Fault::Lease { at, how }])
        });
        faults.collect()
    }

    /// Two faults each, drawn by a seed.
    pub fn pairs(&self, count: usize, seed: u64) -> Vec<Vec<Fault>> {
        let mut all = self.calls(&How::ALL);
        all.extend(self.watches());
        all.extend(self.answers());
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut draw = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let index = usize::try_from(state >> 16).unwrap_or_default() % all.len().max(1);
            all.get(index).cloned().unwrap_or_default()
        };
        (0..count).map(|_| [draw(), draw()].concat()).collect()
    }

    /// Runs them all.
    pub fn sweep(&self, faults: &[Vec<Fault>]) -> Swept {
        let (next, swept) = (AtomicUsize::new(0), Mutex::new(Swept::default()));
        let workers = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    while let Some(faults) = faults.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let outcome = play(&self.before, self.scenario.script, faults);
                        swept.lock().unwrap_or_else(PoisonError::into_inner).add(self, faults, outcome);
                    }
                });
            }
        });
        swept.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What came of a sweep.
#[derive(Default)]
pub struct Swept {
    /// Runs by fault, of those whose faults happened.
    pub ran: BTreeMap<String, usize>,
    /// Runs whose faults did not all come up.
    pub in_vain: usize,
    /// Violations.
    pub broken: Vec<String>,
    /// Writes that the monitors looked at.
    pub writes: usize,
}

impl Swept {
    fn add(&mut self, reference: &Reference, faults: &[Fault], outcome: Outcome) {
        self.writes += outcome.writes - reference.before.log().len();
        if outcome.plan.happened.iter().all(|happened| *happened) {
            let words: Vec<_> = faults.iter().map(word).collect();
            let word = if words.len() > 1 { "pair".to_owned() } else { words.concat() };
            *self.ran.entry(word).or_default() += 1;
        } else {
            self.in_vain += 1;
        }
        let mut broken = outcome.broken;
        broken.extend(differences(&reference.outcome.state, &outcome.state));
        if !broken.is_empty() {
            let calls = faults.iter().filter_map(|fault| match fault {
                Fault::Call { at, .. } => outcome.plan.calls.get(*at).map(|call| call.told.clone()),
                _ => None,
            });
            let calls: Vec<_> = calls.collect();
            let told = broken.iter().take(4).cloned().collect::<Vec<_>>().join("\n      ");
            self.broken.push(format!("{}: {faults:?} {calls:?}\n      {told}", reference.scenario.name));
        }
    }

    /// Adds up two.
    pub fn and(&mut self, other: Self) {
        for (word, count) in other.ran {
            *self.ran.entry(word).or_default() += count;
        }
        self.in_vain += other.in_vain;
        self.broken.extend(other.broken);
        self.writes += other.writes;
    }

    /// How many ran.
    pub fn count(&self) -> usize {
        self.ran.values().sum()
    }
}

fn word(fault: &Fault) -> String {
    match fault {
        Fault::Call { how, .. } => format!("{how:?}"),
        Fault::Watch { blur, .. } => format!("watch {blur:?}"),
        Fault::Answer { lie, .. } => format!("answer {lie:?}"),
        Fault::Lease { how, .. } => format!("lease {how:?}"),
    }
}

impl fmt::Display for Swept {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ran: Vec<_> = self.ran.iter().map(|(word, count)| format!("{word} {count}")).collect();
        write!(formatter, "{} runs ({})", self.count(), ran.join(", "))?;
        if self.in_vain > 0 {
            write!(formatter, ", {} whose fault did not come up", self.in_vain)?;
        }
        write!(formatter, "; {} writes seen; {} violations", self.writes, self.broken.len())?;
        for broken in self.broken.iter().take(TOLD) {
            write!(formatter, "\n    {broken}")?;
        }
        Ok(())
    }
}
