//! A scenario once for each fault of a kind, each held against the scenario without faults.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{LazyLock, OnceLock},
    time::Duration,
};

use serde_json::Value;

use crate::{
    faults::{Blur, Fault, How, Lie},
    kinds::{Kind, WATCHED},
    normal::differences,
    scenarios::{ALL, Other, Scenario},
    world::{Outcome, Snapshot, play},
};

/// Most violations that are told of one sweep.
const TOLD: usize = 8;
/// How much longer a scenario may take with faults, which all end before.
const LATER: Duration = Duration::from_mins(3);
/// Calls between two starts of a fault of a watch.
const STRIDE: usize = 9;
/// Kinds of which it counts how many are made.
const MADE: [Kind; 4] = [Kind::Job, Kind::ModelVersion, Kind::ControllerRevision, Kind::ReplicaSet];

/// A scenario without faults, to hold others against.
pub struct Reference {
    pub scenario: Scenario,
    pub before: Snapshot,
    pub outcome: Outcome,
    /// The world at each of its other ends, where one was asked for.
    others: Vec<OnceLock<Value>>,
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
            let others = scenario.others.iter().map(|_| OnceLock::new()).collect();
            Self { scenario, before, outcome, others }
        }))
    }

    /// What is wrong with the scenario itself.
    pub fn broken(&self) -> Vec<String> {
        let again = play(&self.before, self.scenario.script, &[]);
        let mut broken = self.outcome.broken.clone();
        broken.extend(differences(&self.outcome.state, &again.state));
        if self.outcome.took > Duration::from_secs(self.scenario.within) {
            broken.push(format!(
                "it took {:?}, and {} s are the most",
                self.outcome.took, self.scenario.within
            ));
        }
        let made = self.made(&self.outcome);
        if made != self.scenario.makes {
            let makes = self.scenario.makes;
            broken.push(format!(
                "it made {made:?} Jobs, versions, revisions and ReplicaSets, and not {makes:?}"
            ));
        }
        broken
    }

    /// How it ends, in words.
    pub fn end(&self) -> String {
        self.outcome.snapshot.end()
    }

    /// How many Jobs, versions, revisions and ReplicaSets a run made.
    fn made(&self, outcome: &Outcome) -> [usize; 4] {
        MADE.map(|kind| {
            let log = outcome.snapshot.log().iter().skip(self.before.log().len());
            log.filter(|version| version.key.kind == kind && version.before.is_none()).count()
        })
    }

    /// The other end that a run came to, if these faults may bring it there: it is all that it is without faults.
    fn other_end(&self, faults: &[Fault], state: &Value) -> Option<&'static Other> {
        let others = self.scenario.others.iter().zip(&self.others);
        let mut permitted = others.filter(|(other, _)| faults.iter().any(|fault| (other.after)(fault)));
        let found = permitted.find(|(other, known)| {
            let end = known.get_or_init(|| play(&self.before, other.script, &[]).state);
            differences(end, state).is_empty()
        });
        found.map(|(other, _)| other)
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

    /// The calls that begin with these words, befallen by this.
    pub fn calls_of(&self, words: &str, how: How) -> Vec<Vec<Fault>> {
        let calls = self.outcome.plan.calls.iter().enumerate();
        let meant = calls.filter(|(_, call)| call.told.starts_with(words) && how.befalls(call.is_write));
        meant.map(|(at, _)| vec![Fault::Call { at, how }]).collect()
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
            hows.map(move |how| vec![Fault::Lease { at, how }]).chain([vec![Fault::Outage { at }]])
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
        let mut swept = Swept::default();
        for faults in faults {
            swept.add(self, faults, play(&self.before, self.scenario.script, faults));
        }
        swept
    }
}

/// One of so many faults of each sort, scattered, others in each scenario; of fewer than so many one in some scenarios.
pub fn share_of(faults: Vec<Vec<Fault>>, scenario: usize, share: usize) -> Vec<Vec<Fault>> {
    let mut sorts: BTreeMap<String, Vec<Vec<Fault>>> = BTreeMap::new();
    for faults in faults {
        sorts.entry(words(&faults)).or_default().push(faults);
    }
    let share = share.max(1);
    let chosen = sorts.into_values().enumerate().flat_map(|(sort, mut all)| {
        let scattered =
            |index: usize| (index + 97 * sort + 31 * scenario).wrapping_mul(0x9e37_79b9) & 0xffff_ffff;
        // the part of one that is left over is drawn
        let is_one_more = scattered(all.len()) % share < all.len() % share;
        let count = all.len() / share + usize::from(is_one_more);
        let mut order: Vec<_> = (0..all.len()).collect();
        order.sort_by_key(|index| scattered(*index));
        order.into_iter().take(count).map(move |index| std::mem::take(&mut all[index]))
    });
    chosen.collect()
}

/// What came of a sweep.
#[derive(Default)]
pub struct Swept {
    /// Runs by fault, of those whose faults happened.
    pub ran: BTreeMap<String, usize>,
    /// Runs whose faults did not all come up.
    pub in_vain: usize,
    /// Runs that came to another right end, by its name.
    pub otherwise: BTreeMap<&'static str, usize>,
    /// Violations.
    pub broken: Vec<String>,
    /// Writes that the monitors looked at.
    pub writes: usize,
}

impl Swept {
    fn add(&mut self, reference: &Reference, faults: &[Fault], outcome: Outcome) {
        self.writes += outcome.writes - reference.before.log().len();
        if outcome.plan.happened.iter().all(|happened| *happened) {
            *self.ran.entry(words(faults)).or_default() += 1;
        } else {
            self.in_vain += 1;
        }
        let mut broken = outcome.broken;
        if outcome.took > reference.outcome.took + LATER {
            broken
                .push(format!("it took {:?}, and {:?} without faults", outcome.took, reference.outcome.took));
        }
        let differences = differences(&reference.outcome.state, &outcome.state);
        if !differences.is_empty() {
            match reference.other_end(faults, &outcome.state) {
                Some(other) => *self.otherwise.entry(other.name).or_default() += 1,
                None => broken.extend(differences),
            }
        }
        if !broken.is_empty() {
            if std::env::var_os("FAULTS_TRACE").is_some() {
                println!("{}", outcome.snapshot.told_since(reference.before.log().len()));
            }
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
        for (name, count) in other.otherwise {
            *self.otherwise.entry(name).or_default() += count;
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

fn words(faults: &[Fault]) -> String {
    if faults.len() > 1 { "pair".to_owned() } else { faults.iter().map(word).collect() }
}

fn word(fault: &Fault) -> String {
    match fault {
        Fault::Call { how, .. } => format!("{how:?}"),
        Fault::Watch { blur, .. } => format!("watch {blur:?}"),
        Fault::Answer { lie, .. } => format!("answer {lie:?}"),
        Fault::Lease { how, .. } => format!("lease {how:?}"),
        Fault::Outage { .. } => "lease out of reach".into(),
    }
}

impl fmt::Display for Swept {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ran: Vec<_> = self.ran.iter().map(|(word, count)| format!("{word} {count}")).collect();
        write!(formatter, "{} runs ({})", self.count(), ran.join(", "))?;
        if self.in_vain > 0 {
            write!(formatter, ", {} whose fault did not come up", self.in_vain)?;
        }
        for (name, count) in &self.otherwise {
            write!(formatter, ", {count} ended otherwise: {name}")?;
        }
        write!(formatter, "; {} writes seen; {} violations", self.writes, self.broken.len())?;
        for broken in self.broken.iter().take(TOLD) {
            write!(formatter, "\n    {broken}")?;
        }
        Ok(())
    }
}
