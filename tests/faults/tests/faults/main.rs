//! Every fault of every scenario: see README.md. Each test prints how many it ran, and the last of them all.
//!
//! `FAULTS_SHARE` says that of so many faults of a sort one is run (1: all), `FAULTS_SEED` and `FAULTS_PAIRS` which pairs and
//! how many of each scenario. `FAULTS_WRITE=1` writes `ends/` again.
#![allow(missing_docs, clippy::panic)]

// the server in memory against a real one
mod conformance;
// each monitor notices what it is there for
mod monitors;

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use modelwright_faults::{
    faults::{Fault, How},
    scenarios::ALL,
    sweep::{Reference, Swept, share_of},
};

/// Of so many faults of one sort one is run, unless the environment says otherwise.
const SHARE: usize = 100;
/// Pairs of each scenario.
const PAIRS: usize = 2;
/// Of the Lease's first requests.
const LEASE_CALLS: usize = 12;

fn setting(name: &str, otherwise: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// The scenario of this name, and its number.
fn reference(name: &str) -> (usize, &'static Reference) {
    let number = ALL.iter().position(|scenario| scenario.name == name).expect("it is one of the scenarios");
    (number, Reference::of(number).expect("it is one of the scenarios"))
}

/// What all tests together ran, and how many there are still to come.
#[derive(Default)]
struct Totals {
    swept: BTreeMap<&'static str, Swept>,
    finished: usize,
    took: Duration,
}

static TOTALS: Mutex<Option<Totals>> = Mutex::new(None);

/// Adds it up, and tells all when it is the last.
fn add_up(what: &'static str, swept: Swept, took: Duration) {
    let mut totals = TOTALS.lock().unwrap_or_else(PoisonError::into_inner);
    let totals = totals.get_or_insert_default();
    totals.swept.entry(what).or_default().and(swept);
    totals.finished += 1;
    totals.took += took;
    if totals.finished < ALL.len() * SWEEPS {
        return;
    }
    for (what, swept) in &totals.swept {
        println!("ALL {what}: {swept}");
        // a watch that stands still where nothing is told is no fault
        assert!(swept.in_vain * 2 <= swept.count(), "{what}: of {} runs no fault came up", swept.in_vain);
    }
    let sorts: usize = totals.swept.values().map(|swept| swept.ran.len()).sum();
    assert!(sorts >= SORTS, "only {sorts} sorts of faults were run");
    let runs: usize = totals.swept.values().map(Swept::count).sum();
    println!("ALL: {} scenarios, {runs} runs, {:.0} s of all threads", ALL.len(), totals.took.as_secs_f64());
}

/// How many sorts of faults there are: of crashes, calls, watches, answers and the Lease, and pairs.
const SORTS: usize = 2 + 5 + 4 + 3 + 8 + 1;
/// How many sweeps each scenario has.
const SWEEPS: usize = 6;

/// Runs these faults of a scenario, tells what ran, and fails where something was broken.
fn sweep(what: &'static str, name: &str, faults: impl Fn(&Reference) -> Vec<Vec<Fault>>) {
    let (number, reference) = reference(name);
    run(what, reference, &share_of(faults(reference), number, setting("FAULTS_SHARE", SHARE)));
}

fn run(what: &'static str, reference: &Reference, faults: &[Vec<Fault>]) {
    let started = Instant::now();
    let name = reference.scenario.name;
    let swept = reference.sweep(faults);
    println!("{what}, {name}: {swept} ({:.1} s)", started.elapsed().as_secs_f64());
    let broken = swept.broken.len();
    add_up(what, swept, started.elapsed());
    assert!(broken == 0, "{what}, {name}: {broken} runs broke something");
}

fn undisturbed(name: &str) {
    let (_, reference) = reference(name);
    let (outcome, plan) = (&reference.outcome, &reference.outcome.plan);
    let (calls, questions, took) = (plan.calls.len(), plan.questions, outcome.took.as_secs_f64());
    println!("{name}: {calls} calls, {questions} questions to pods, {took:.0} s of its own time");
    let broken = reference.broken();
    assert!(broken.is_empty(), "{broken:#?}");
    let file = format!("{}/tests/faults/ends/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    if setting("FAULTS_WRITE", 0) == 1 {
        std::fs::write(&file, reference.end()).expect("its file can be written");
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(reference.end(), kept, "{file} says otherwise; FAULTS_WRITE=1 writes it again");
}

fn pairs(name: &str) {
    let seed = u64::try_from(setting("FAULTS_SEED", 1)).unwrap_or_default();
    let (_, reference) = reference(name);
    run("pairs", reference, &reference.pairs(setting("FAULTS_PAIRS", PAIRS), seed));
}

/// Runs all of these, each of which must come up.
fn all_of(name: &str, faults: impl Fn(&Reference) -> Vec<Vec<Fault>>) {
    let (_, reference) = reference(name);
    let swept = reference.sweep(&faults(reference));
    println!("{name}: {swept}");
    assert!(swept.broken.is_empty() && swept.count() > 0 && swept.in_vain == 0, "{name}: {swept}");
}

/// What once was wrong, or is easily made so, and must not be left to the share of all faults that is run.
mod once_wrong {
    use super::{Fault, How, Reference, all_of};
    use modelwright_faults::faults::Lie;

    #[test]
    fn what_was_made_is_not_made_again_because_its_answer_was_lost() {
        for name in ["import", "first start"] {
            all_of(name, |reference| reference.calls_of("Create", How::AnswerLost));
            all_of(name, |reference| reference.calls_of("Create", How::CrashAfter));
        }
    }

    #[test]
    fn a_run_whose_pod_is_not_seen_is_not_lost() {
        all_of("train", |reference| reference.calls_of("Watch Pod", How::TimesOut));
    }

    #[test]
    fn a_pod_is_asked_again_that_said_what_it_should_not() {
        all_of("first start", |reference| {
            reference
                .answers()
                .into_iter()
                .filter(|faults| matches!(faults[..], [Fault::Answer { lie: Lie::WrongDigest, .. }]))
                .collect()
        });
    }

    #[test]
    fn who_no_longer_reaches_the_lease_writes_nothing() {
        let outages = |_: &Reference| -> Vec<_> { (2..9).map(|at| vec![Fault::Outage { at }]).collect() };
        all_of("two operators", outages);
    }

    #[test]
    fn a_way_back_takes_its_place_of_the_surge() {
        all_of("edit in mid-rollout", |reference| {
            reference.calls_of("Patch Model/status digits", How::TimesOut)
        });
    }

    #[test]
    fn a_pod_whose_leave_is_told_late_keeps_its_clients() {
        for name in ["roll", "lost statuses", "two releases"] {
            all_of(name, |reference| reference.calls_of("Patch Pod", How::TooMany));
        }
    }

    #[test]
    fn what_fails_once_is_tried_again() {
        all_of("first start", |reference| reference.calls_of("Create", How::Fails));
    }
}

macro_rules! scenarios {
    ($($module:ident: $name:literal,)*) => {
        $(mod $module {
            use super::{How, LEASE_CALLS, Reference, sweep};

            #[test]
            fn undisturbed() {
                super::undisturbed($name);
            }

            #[test]
            fn crashes() {
                sweep("crashes", $name, |reference| reference.calls(&[How::CrashBefore, How::CrashAfter]));
            }

            #[test]
            fn calls() {
                let hows = [How::Fails, How::TimesOut, How::AnswerLost, How::Conflicts, How::TooMany];
                sweep("calls", $name, |reference| reference.calls(&hows));
            }

            #[test]
            fn watches() {
                sweep("watches", $name, Reference::watches);
            }

            #[test]
            fn answers() {
                sweep("answers", $name, Reference::answers);
            }

            #[test]
            fn lease() {
                sweep("lease", $name, |reference| reference.leases(LEASE_CALLS));
            }

            #[test]
            fn pairs() {
                super::pairs($name);
            }
        })*

        #[test]
        fn every_scenario_has_its_tests() {
            assert_eq!(ALL.iter().map(|scenario| scenario.name).collect::<Vec<_>>(), [$($name),*]);
        }
    };
}

scenarios! {
    import: "import",
    train: "train",
    lost_pod: "lost pod",
    first_start: "first start",
    roll: "roll",
    revert: "revert",
    abort: "abort",
    idle_abort: "idle abort",
    retry: "retry",
    rollback: "rollback",
    wrong_model: "wrong model",
    no_model: "no model",
    silent_pods: "silent pods",
    back_and_forth: "back and forth",
    rollback_in_a_rollback: "rollback in a rollback",
    scale: "scale",
    edit_in_mid_rollout: "edit in mid-rollout",
    delete: "delete",
    delete_at_once: "delete at once",
    delete_and_create: "delete and create",
    restore: "restore",
    lost_statuses: "lost statuses",
    policy: "policy",
    late_policy: "late policy",
    two_operators: "two operators",
    two_leaders: "two leaders",
    two_releases: "two releases",
}
