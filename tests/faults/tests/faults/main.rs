//! Every fault of every scenario: see README.md. Each prints how many it ran.
//!
//! `FAULTS_ONLY` names a part of a scenario, `FAULTS_SHARE` says that of so many faults one is run (1: all), `FAULTS_SEED`
//! with which pairs.
#![allow(missing_docs, clippy::panic)]

// the server in memory against a real one
mod conformance;
// each monitor notices what it is there for
mod monitors;

use std::time::Instant;

use modelwright_faults::{
    faults::{Fault, How},
    scenarios::ALL,
    sweep::{Reference, Swept},
};

/// Of so many faults of each test one is run, unless the environment says otherwise: together they take a few minutes.
const CRASHES: usize = 7;
const CALLS: usize = 40;
const WATCHES: usize = 60;
const ANSWERS: usize = 20;
const LEASES: usize = 40;
/// Pairs of each scenario.
const PAIRS: usize = 3;
/// Of the Lease's first requests.
const LEASE_CALLS: usize = 12;

fn setting(name: &str, otherwise: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// The scenarios that are asked for, by their numbers.
fn chosen() -> impl Iterator<Item = (usize, &'static Reference)> {
    let only = std::env::var("FAULTS_ONLY").unwrap_or_default();
    let chosen = ALL.iter().enumerate().filter(move |(_, scenario)| scenario.name.contains(&only));
    chosen.filter_map(|(number, _)| Some((number, Reference::of(number)?)))
}

/// One of so many, scattered, and others in each scenario.
fn share_of(faults: Vec<Vec<Fault>>, scenario: usize, share: usize) -> Vec<Vec<Fault>> {
    let is_one = |index: usize| (index.wrapping_mul(0x9e37_79b1) >> 8) % share == scenario % share;
    faults.into_iter().enumerate().filter(|(index, _)| is_one(*index)).map(|(_, faults)| faults).collect()
}

/// Runs these faults of every scenario, tells what ran, and fails where something was broken.
fn sweep(what: &str, share: usize, faults: impl Fn(&Reference) -> Vec<Vec<Fault>>) {
    let mut all = Swept::default();
    for (number, reference) in chosen() {
        let started = Instant::now();
        let swept = reference.sweep(&share_of(faults(reference), number, share));
        println!("{what}, {}: {swept} ({:.1} s)", reference.scenario.name, started.elapsed().as_secs_f64());
        all.and(swept);
    }
    println!("{what}: {all}");
    assert!(all.broken.is_empty(), "{what}: {} of {} runs broke something", all.broken.len(), all.count());
    // a watch that stands still where nothing is told is no fault
    assert!(all.in_vain * 2 <= all.count(), "{what}: of {} runs the fault did not come up", all.in_vain);
}

#[test]
fn every_scenario_ends_well_and_twice_alike_without_faults() {
    let mut broken = Vec::new();
    for (_, reference) in chosen() {
        let scenario = &reference.scenario;
        let (outcome, plan) = (&reference.outcome, &reference.outcome.plan);
        println!(
            "{}: {} calls, {} questions to pods, {:.0} s of its own time",
            scenario.name,
            plan.calls.len(),
            plan.questions,
            outcome.took.as_secs_f64(),
        );
        broken.extend(reference.broken().into_iter().map(|words| format!("{}: {words}", scenario.name)));
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn a_crash_before_or_after_any_write_changes_nothing() {
    let crashes = |reference: &Reference| reference.calls(&[How::CrashBefore, How::CrashAfter]);
    sweep("crashes", setting("FAULTS_SHARE", CRASHES), crashes);
}

#[test]
fn a_call_that_goes_wrong_changes_nothing() {
    let hows = [How::Fails, How::TimesOut, How::AnswerLost, How::Conflicts, How::TooMany];
    sweep("calls", setting("FAULTS_SHARE", CALLS), |reference| reference.calls(&hows));
}

#[test]
fn a_watch_that_goes_wrong_changes_nothing() {
    sweep("watches", setting("FAULTS_SHARE", WATCHES), Reference::watches);
}

#[test]
fn a_pod_that_answers_wrongly_changes_nothing() {
    sweep("answers", setting("FAULTS_SHARE", ANSWERS), Reference::answers);
}

#[test]
fn a_lease_that_goes_wrong_changes_nothing() {
    sweep("lease", setting("FAULTS_SHARE", LEASES), |reference| reference.leases(LEASE_CALLS));
}

#[test]
fn two_faults_change_nothing() {
    let seed = u64::try_from(setting("FAULTS_SEED", 1)).unwrap_or_default();
    let pairs = setting("FAULTS_PAIRS", PAIRS);
    sweep("pairs", 1, |reference| reference.pairs(pairs, seed));
}
